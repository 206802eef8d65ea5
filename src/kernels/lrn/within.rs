//! Neighbourhoods of squares in a plane.
//!
//! Planes stay as they lie, so that no lane is idle but at a plane's end, and some are worked on together. Sums along the rows come
//! first, of neighbours that are read from where they lie and do not count if they are in another row. These sums lie in scratch,
//! zeros between planes, so that those down the columns, in the pass that computes, need not ask where a plane ends. Over a large
//! plane the passes follow each other part by part, each as far behind as what it reads reaches.

use std::ops::Range;

use super::{
    super::{
        parallel::{for_chunks_mut, planes_per_chunk},
        scratch,
        simd::{Asked, Cut, Isa, Job, MOST_LANES, Simd, each_piece, renew_pieces},
    },
    Any, Half, MAX_SIZE, Plain, Power, Ratio, Response, Slope, ThreeQuarters, Value,
    beside::{Beside, Fixed, Lanes},
    sum_rows,
};

/// Values that are worked on together: few enough to stay in the first-level cache, whatever is made of them. Planes of more than
/// twice as many are cut into parts.
const TOGETHER: usize = 1024;

/// Blobs whose neighbourhoods are squares within a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// Planes, each by itself.
    pub planes: usize,
    /// Rows of a plane.
    pub height: usize,
    /// Columns of a plane.
    pub width: usize,
}

/// y, over squares within planes.
pub fn within(dims: Within, response: Response, x: &[f32], y: &mut [f32]) {
    within_on(Isa::best(), dims, response, x, y);
}

/// [`within`] by one instruction set.
pub(super) fn within_on(isa: Isa, dims: Within, response: Response, x: &[f32], y: &mut [f32]) {
    let plane = dims.height * dims.width;
    assert!(x.len() == y.len() && x.len() == dims.planes * plane && response.size <= MAX_SIZE);
    let boxes = Boxes::new(dims, response.size);
    for_chunks_mut(y, plane * planes_per_chunk(plane), |start, y| {
        boxes.with_room(|room| {
            with_power!(response, |power| isa.run(Normalize { boxes, response, power, x, start, y, room }));
        });
    });
}

/// dx, over squares within planes, given x and dy.
pub fn within_backward(dims: Within, response: Response, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    within_backward_on(Isa::best(), dims, response, [x, dy], dx);
}

/// [`within_backward`] by one instruction set.
pub(super) fn within_backward_on(
    isa: Isa,
    dims: Within,
    response: Response,
    [x, dy]: [&[f32]; 2],
    dx: &mut [f32],
) {
    let plane = dims.height * dims.width;
    assert!(x.len() == dims.planes * plane && x.len() == dy.len() && x.len() == dx.len());
    assert!(response.size <= MAX_SIZE);
    let boxes = Boxes::new(dims, response.size);
    for_chunks_mut(dx, plane * planes_per_chunk(plane), |start, dx| {
        boxes.with_room(|room| {
            with_power!(response, |power| isa.run(Backward {
                boxes,
                response,
                power,
                x,
                dy,
                start,
                dx,
                room
            }));
        });
    });
}

/// How planes and what is made of them lie.
#[derive(Clone, Copy)]
struct Boxes {
    width: usize,
    plane: usize,
    /// Columns on either side that a square can reach, and likewise rows.
    side: usize,
    above: usize,
    /// Values of the planes that are worked on together.
    group: usize,
    /// Zeros before, between and behind planes that lie apart: whole registers.
    margin: usize,
    /// Values before and behind what is summed along the rows, which count for nothing.
    guard: usize,
    lanes: Lanes,
}

/// Scratch for a group of planes.
struct Room<'a> {
    /// The column of each value.
    columns: &'a [f32],
    /// Sums along the rows, planes with margins.
    apart: &'a mut [f32],
    /// What is summed along the rows, if it must be put there, guarded.
    guarded: &'a mut [f32],
    /// Sums over whole squares, where these are kept.
    sums: &'a mut [f32],
    /// dy * s^-beta.
    direct: &'a mut [f32],
}

impl Boxes {
    fn new(dims: Within, size: usize) -> Self {
        let Within { height, width, .. } = dims;
        let reach = |n: usize| (size / 2).min(n.saturating_sub(1));
        let (side, above, plane) = (reach(width), reach(height), height * width);
        let group = (TOGETHER / plane.max(1)).max(1) * plane;
        let [margin, guard] = [above * width, side].map(|n| n.next_multiple_of(MOST_LANES));
        Self { width, plane, side, above, group, margin, guard, lanes: Lanes::of(width) }
    }

    /// Lends scratch.
    fn with_room(&self, f: impl FnOnce(Room<'_>)) {
        let group = self.group.next_multiple_of(MOST_LANES);
        let apart = (self.margin + self.group / self.plane * self.apart()).next_multiple_of(MOST_LANES);
        scratch::lend(apart + 2 * self.guard + 4 * group, |scratch| {
            let (apart, rest) = scratch.split_at_mut(apart);
            let (guarded, rest) = rest.split_at_mut(2 * self.guard + group);
            let (sums, rest) = rest.split_at_mut(group);
            let (direct, columns) = rest.split_at_mut(group);
            apart.fill(0.0);
            let mut known = self.width;
            columns[..known].iter_mut().enumerate().for_each(|(i, column)| *column = i as f32);
            while known < columns.len() {
                let more = known.min(columns.len() - known);
                columns.copy_within(..more, known);
                known += more;
            }
            f(Room { columns, apart, guarded, sums, direct });
        });
    }

    /// Distance between planes that lie apart.
    fn apart(&self) -> usize {
        self.plane + self.margin
    }

    /// How a plane is cut.
    fn parts(&self) -> Parts {
        if self.plane <= 2 * TOGETHER {
            Parts { plane: self.plane, step: self.plane, lag: 0, next: self.group }
        } else {
            let lag = self.margin.max(self.guard);
            Parts { plane: self.plane, step: TOGETHER, lag, next: TOGETHER + lag }
        }
    }

    /// A part of each of the planes of so many values.
    fn planes(&self, len: usize, part: &Range<usize>) -> Cut {
        Cut { count: len / self.plane, len: part.len(), asked: self.plane }
    }

    /// Sums the squares of `len` values of `x` along their rows, from value `start` on, a part of each plane.
    #[inline(always)]
    fn add_squares<S: Simd>(
        self,
        simd: S,
        x: &[f32],
        (start, len): (usize, usize),
        part: Range<usize>,
        room: &mut Room<'_>,
    ) {
        let (side, guard) = (self.side, self.guard);
        if start >= side && x.len() - start >= len + side {
            self.add_along::<S, true>(simd, &x[start - side..], len, part, (room.columns, room.apart));
        } else {
            // Neighbours would be outside of the blob. What else is put there comes later.
            if part.start == 0 {
                room.guarded[guard..][..len].copy_from_slice(&x[start..][..len]);
            }
            let values = &room.guarded[guard - side..];
            self.add_along::<S, true>(simd, values, len, part, (room.columns, room.apart));
        }
    }

    /// Lays sums of a part of `len` values, or of their squares, along their rows apart; the values begin at number `side` of
    /// `values`.
    #[inline(always)]
    fn add_along<S: Simd, const SQUARES: bool>(
        self,
        simd: S,
        values: &[f32],
        len: usize,
        part: Range<usize>,
        (columns, apart): (&[f32], &mut [f32]),
    ) {
        let from = |i: usize| (&values[part.start + i..], self.plane);
        let planes = self.planes(len, &part);
        let columns = (&columns[part.start..], self.plane);
        let out = (&mut apart[self.margin + part.start..], self.apart());
        let beside = Beside::<SQUARES> { nearest: 1, width: self.width };
        let fixed = Fixed::<SQUARES>(self.lanes);
        let within = self.width <= S::LANES && S::LANES.is_multiple_of(self.width);
        match self.side {
            1 if within => {
                each_piece(simd, planes, [0, 1, 2].map(from), [out], Asked::NOTHING, fixed);
            }
            1 => {
                let [a, b, c] = [0, 1, 2].map(from);
                each_piece(simd, planes, [a, b, c, columns], [out], Asked::NOTHING, beside);
            }
            2 if within => {
                each_piece(simd, planes, [0, 1, 2, 3, 4].map(from), [out], Asked::NOTHING, fixed);
            }
            2 => {
                let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(from);
                each_piece(simd, planes, [a, b, c, d, e, columns], [out], Asked::NOTHING, beside);
            }
            side => {
                let (out, out_apart) = out;
                each_piece(simd, planes, [from(side)], [(&mut *out, out_apart)], Asked::NOTHING, fixed);
                for d in 1..=side {
                    let rows = [from(side - d), from(side + d), columns];
                    let beside = Beside::<SQUARES> { nearest: d, ..beside };
                    renew_pieces(simd, planes, rows, [(&mut *out, out_apart)], Asked::NOTHING, beside);
                }
            }
        }
    }

    /// The rows down a column of which value `i` from `start` on is the middle, of planes that lie apart.
    #[inline(always)]
    fn down<const N: usize>(self, apart: &[f32], start: usize) -> [(&[f32], usize); N] {
        let first = self.margin - self.above * self.width + start;
        std::array::from_fn(|i| (&apart[first + i * self.width..], self.apart()))
    }

    /// Sums over squares, from those along the rows, of a part of `len` values.
    #[inline(always)]
    fn add_down<S: Simd>(self, simd: S, apart: &[f32], sums: &mut [f32], len: usize, part: Range<usize>) {
        let first = self.margin - self.above * self.width + part.start;
        for (i, sums) in sums[..len].chunks_exact_mut(self.plane).enumerate() {
            let rows = (0..=2 * self.above).map(|k| &apart[first + i * self.apart() + k * self.width..]);
            sum_rows::<S, false>(simd, rows, &mut sums[part.clone()]);
        }
    }
}

/// How the passes over planes are cut: parts follow each other.
#[derive(Clone, Copy)]
struct Parts {
    plane: usize,
    /// Values of a part.
    step: usize,
    /// How far a pass that reads neighbours is behind the one that makes them.
    lag: usize,
    /// How far ahead of a pass lies what the first will read next.
    next: usize,
}

impl Parts {
    /// Where a pass with `behind` passes behind it gets to with each part of the last.
    fn pass(self, first: usize, behind: usize) -> Range<usize> {
        let end = |last: usize| self.plane.min(last + behind * self.lag);
        // The first part is longer by what lies between.
        let start = if first == 0 { 0 } else { end(first) };
        start..end(first + self.step)
    }
}

/// Runs [`each_piece`] over rows down the columns, whose sums are those over squares, and over `$row`s, a part of `$len` values of
/// each.
macro_rules! over_squares {
    ($simd:expr, $boxes:expr, $room:expr, $len:expr, $part:expr, [$($row:expr),*], [$($out:expr),*], $asked:expr, $each:expr) => {{
        let (part, plane): (Range<usize>, _) = ($part, $boxes.plane);
        let (planes, start) = ($boxes.planes($len, &part), part.start);
        let outs = [$((&mut $out[start..], plane)),*];
        match $boxes.above {
            1 => {
                let [a, b, c] = $boxes.down($room.apart, start);
                each_piece($simd, planes, [a, b, c, $((&$row[start..], plane)),*], outs, $asked, $each);
            }
            2 => {
                let [a, b, c, d, e] = $boxes.down($room.apart, start);
                each_piece($simd, planes, [a, b, c, d, e, $((&$row[start..], plane)),*], outs, $asked, $each);
            }
            _ => {
                $boxes.add_down($simd, $room.apart, $room.sums, $len, part);
                let sums = (&$room.sums[start..], plane);
                each_piece($simd, planes, [sums, $((&$row[start..], plane)),*], outs, $asked, $each);
            }
        }
    }};
}

struct Normalize<'a, P> {
    boxes: Boxes,
    response: Response,
    power: P,
    /// All of x, and where y begins.
    x: &'a [f32],
    start: usize,
    y: &'a mut [f32],
    room: Room<'a>,
}

impl<P: Power> Job for Normalize<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Normalize { boxes, response, power, x, start, y, mut room } = self;
        let parts = boxes.parts();
        for (i, y) in y.chunks_mut(boxes.group).enumerate() {
            let (at, len) = (start + i * boxes.group, y.len());
            for first in (0..boxes.plane).step_by(parts.step) {
                boxes.add_squares(simd, x, (at, len), parts.pass(first, 1), &mut room);
                let (x, part) = (&x[at..], parts.pass(first, 0));
                // What the next part, or the next planes, read and write.
                let [reads, writes] =
                    [x.as_ptr(), y.as_ptr()].map(|p| [p.wrapping_add(part.start + parts.next)]);
                let value = Value { response, power, near: Plain };
                over_squares!(simd, boxes, room, len, part, [x], [y], Asked { reads, writes }, value);
            }
        }
    }
}

struct Backward<'a, P> {
    boxes: Boxes,
    response: Response,
    power: P,
    /// All of x and dy, and where dx begins.
    x: &'a [f32],
    dy: &'a [f32],
    start: usize,
    dx: &'a mut [f32],
    room: Room<'a>,
}

impl<P: Power> Job for Backward<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Backward { boxes, response, power, x, dy, start, dx, mut room } = self;
        let parts = boxes.parts();
        for (i, dx) in dx.chunks_mut(boxes.group).enumerate() {
            let (at, len) = (start + i * boxes.group, dx.len());
            for first in (0..boxes.plane).step_by(parts.step) {
                boxes.add_squares(simd, x, (at, len), parts.pass(first, 3), &mut room);
                let (x, dy, part) = (&x[at..], &dy[at..], parts.pass(first, 2));
                // What the next part, or the next planes, read, and these write.
                let reads = [x.as_ptr().wrapping_add(part.start + parts.next)];
                let asked = Asked { reads, writes: [dx.as_ptr().wrapping_add(part.start)] };
                let (direct, ratios) = (&mut *room.direct, &mut room.guarded[boxes.guard..]);
                let ratio = Ratio { response, power, near: Plain };
                over_squares!(simd, boxes, room, len, part, [x, dy], [direct, ratios], asked, ratio);
                // Sums of squares that are still read lie behind.
                let (part, ratios) = (parts.pass(first, 1), &room.guarded[boxes.guard - boxes.side..]);
                boxes.add_along::<S, false>(simd, ratios, len, part, (room.columns, room.apart));
                let part = parts.pass(first, 0);
                let reads = [dy.as_ptr().wrapping_add(part.start + parts.next + parts.lag)];
                let asked = Asked { reads, writes: [] };
                let slope = Slope::of(response, Plain);
                over_squares!(simd, boxes, room, len, part, [x, room.direct], [dx], asked, slope);
            }
        }
    }
}
