//! Neighbourhoods of squares in a plane.
//!
//! Planes stay as they lie, so that no lane is idle but at a plane's end, and some are worked on together. Their squares lie in
//! scratch, zeros between planes, so that sums down the columns need not ask where a plane ends. Of these sums a neighbour along
//! the row is read from where it lies, and does not count if it is in another row.

use super::{
    super::{
        parallel::{for_chunks_mut, planes_per_chunk},
        scratch,
        simd::{Asked, Each, Isa, Job, MOST_LANES, Renew, Simd, each, renew},
    },
    Any, Half, MAX_SIZE, Near, Plain, Power, Ratio, Response, Slope, Squares, ThreeQuarters, Value, sum_rows,
};

/// Values that are worked on together: few enough to stay in the first-level cache, whatever is made of them.
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
        let x = &x[start..][..y.len()];
        boxes.with_room(|room| {
            with_power!(response, |power| isa.run(Normalize { boxes, response, power, x, y, room }));
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
        let (x, dy) = (&x[start..][..dx.len()], &dy[start..][..dx.len()]);
        boxes.with_room(|room| {
            with_power!(response, |power| isa.run(Backward { boxes, response, power, x, dy, dx, room }));
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
    /// Values before and behind sums down the columns, which count for nothing.
    guard: usize,
}

/// Scratch for a group of planes.
struct Room<'a> {
    /// The column of each value.
    columns: &'a [f32],
    /// Planes with margins.
    apart: &'a mut [f32],
    /// Sums down the columns, guarded.
    down: &'a mut [f32],
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
        Self { width, plane, side, above, group, margin, guard }
    }

    /// Lends scratch.
    fn with_room(&self, f: impl FnOnce(Room<'_>)) {
        let group = self.group.next_multiple_of(MOST_LANES);
        let apart = (self.margin + self.group / self.plane * self.apart()).next_multiple_of(MOST_LANES);
        scratch::lend(apart + 2 * self.guard + 4 * group, |scratch| {
            let (apart, rest) = scratch.split_at_mut(apart);
            let (down, rest) = rest.split_at_mut(2 * self.guard + group);
            let (sums, rest) = rest.split_at_mut(group);
            let (direct, columns) = rest.split_at_mut(group);
            apart.fill(0.0);
            for row in columns.chunks_mut(self.width) {
                row.iter_mut().enumerate().for_each(|(i, column)| *column = i as f32);
            }
            f(Room { columns, apart, down, sums, direct });
        });
    }

    /// Distance between planes that lie apart.
    fn apart(&self) -> usize {
        self.plane + self.margin
    }

    /// Lays the squares of some planes apart.
    #[inline(always)]
    fn put_squares<S: Simd>(self, simd: S, x: &[f32], room: &mut Room<'_>) {
        for (i, x) in x.chunks_exact(self.plane).enumerate() {
            let out = &mut room.apart[self.margin + i * self.apart()..][..self.plane];
            each(simd, [x], [out], Asked::NOTHING, Squares);
        }
    }

    /// The sums down the columns of planes that lie apart, `len` values in all; and over whole squares, where these are kept.
    #[inline(always)]
    fn add_up<S: Simd>(self, simd: S, room: &mut Room<'_>, len: usize) {
        for (i, down) in room.down[self.guard..][..len].chunks_exact_mut(self.plane).enumerate() {
            let near = |k: usize| {
                &room.apart[self.margin + i * self.apart() + k * self.width - self.above * self.width..]
            };
            match self.above {
                1 => each(simd, [0, 1, 2].map(near), [down], Asked::NOTHING, Plain),
                2 => each(simd, [0, 1, 2, 3, 4].map(near), [down], Asked::NOTHING, Plain),
                _ => sum_rows::<S, false>(simd, (0..=2 * self.above).map(near), down),
            }
        }
        if !matches!(self.side, 1 | 2) {
            let sums = &mut room.sums[..len];
            sums.copy_from_slice(&room.down[self.guard..][..len]);
            for d in 1..=self.side {
                let rows = [&room.down[self.guard - d..], &room.down[self.guard + d..], room.columns];
                renew(simd, rows, [&mut *sums], Asked::NOTHING, self.beside(d));
            }
        }
    }

    /// How neighbours along the row are summed, of which the nearest are `nearest` away.
    fn beside(self, nearest: usize) -> Beside {
        Beside { nearest: nearest as f32, width: self.width as f32 }
    }

    /// What [`Beside`] sums from value `at` of a group on: `N` rows.
    #[inline(always)]
    fn rows<'a, const N: usize>(self, down: &'a [f32], columns: &'a [f32], at: usize) -> [&'a [f32]; N] {
        let mut rows = [&columns[at..]; N];
        for (k, row) in rows.iter_mut().enumerate().take(N - 1) {
            *row = &down[self.guard - self.side + at + k..];
        }
        rows
    }
}

/// Runs [`each`] over rows that begin with those whose sums are those over squares, `$near` being how these are summed: of the values
/// from `$at` of a group on.
macro_rules! over_squares {
    ($simd:expr, $boxes:expr, $room:expr, $at:expr, [$($row:expr),*], $outs:expr, $asked:expr, |$near:ident| $each:expr) => {
        match $boxes.side {
            1 => {
                let ([a, b, c, d], $near) = ($boxes.rows($room.down, $room.columns, $at), $boxes.beside(1));
                each($simd, [a, b, c, d, $($row),*], $outs, $asked, $each);
            }
            2 => {
                let ([a, b, c, d, e, f], $near) = ($boxes.rows($room.down, $room.columns, $at), $boxes.beside(1));
                each($simd, [a, b, c, d, e, f, $($row),*], $outs, $asked, $each);
            }
            _ => {
                let $near = Plain;
                each($simd, [&$room.sums[$at..], $($row),*], $outs, $asked, $each);
            }
        }
    };
}

impl Each<1, 1> for Squares {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: [S::V; 1]) -> [S::V; 1] {
        [self.sum(simd, &x)]
    }
}

impl<const N: usize> Each<N, 1> for Plain {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, near: [S::V; N]) -> [S::V; 1] {
        [self.sum(simd, &near)]
    }
}

/// As many neighbours before as behind, and the column; those of another row do not count.
#[derive(Clone, Copy)]
struct Beside {
    nearest: f32,
    width: f32,
}

impl Near for Beside {
    #[inline(always)]
    fn sum<S: Simd>(self, simd: S, near: &[S::V]) -> S::V {
        let (side, zero) = (near.len() / 2 - 1, simd.splat(0.0));
        let (mut sum, column) = (near[side], near[2 * side + 1]);
        for i in 0..side {
            let d = self.nearest + i as f32;
            let before = simd.where_greater(simd.splat(d), column, zero, near[side - 1 - i]);
            let after = simd.where_greater(simd.splat(self.width - d), column, near[side + 1 + i], zero);
            sum = simd.add(sum, simd.add(before, after));
        }
        sum
    }
}

impl Renew<3, 1> for Beside {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [before, after, column]: [S::V; 3], [sum]: [S::V; 1]) -> [S::V; 1] {
        [self.sum(simd, &[before, sum, after, column])]
    }
}

struct Normalize<'a, P> {
    boxes: Boxes,
    response: Response,
    power: P,
    x: &'a [f32],
    y: &'a mut [f32],
    room: Room<'a>,
}

impl<P: Power> Job for Normalize<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Normalize { boxes, response, power, x, y, mut room } = self;
        for (x, y) in x.chunks(boxes.group).zip(y.chunks_mut(boxes.group)) {
            boxes.put_squares(simd, x, &mut room);
            boxes.add_up(simd, &mut room, x.len());
            // What the next planes read and write.
            let [reads, writes] = [x.as_ptr(), y.as_ptr()].map(|p| [p.wrapping_add(boxes.group)]);
            let asked = Asked { reads, writes };
            over_squares!(simd, boxes, room, 0, [x], [y], asked, |near| Value { response, power, near });
        }
    }
}

struct Backward<'a, P> {
    boxes: Boxes,
    response: Response,
    power: P,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    room: Room<'a>,
}

impl<P: Power> Job for Backward<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Backward { boxes, response, power, x, dy, dx, mut room } = self;
        let (group, plane) = (boxes.group, boxes.plane);
        for ((x, dy), dx) in x.chunks(group).zip(dy.chunks(group)).zip(dx.chunks_mut(group)) {
            boxes.put_squares(simd, x, &mut room);
            boxes.add_up(simd, &mut room, x.len());
            for (i, (x, dy)) in x.chunks_exact(plane).zip(dy.chunks_exact(plane)).enumerate() {
                let at = i * plane;
                // Squares have been summed: ratios take their places.
                let ratios = &mut room.apart[boxes.margin + i * boxes.apart()..][..plane];
                let outs = [&mut room.direct[at..][..plane], ratios];
                let reads = [x, dy].map(|row| row.as_ptr().wrapping_add(group));
                let asked = Asked { reads, writes: [dx.as_ptr().wrapping_add(at)] };
                over_squares!(simd, boxes, room, at, [x, dy], outs, asked, |near| Ratio {
                    response,
                    power,
                    near
                });
            }
            boxes.add_up(simd, &mut room, x.len());
            let direct = &*room.direct;
            over_squares!(simd, boxes, room, 0, [x, direct], [dx], Asked::NOTHING, |near| Slope::of(
                response, near
            ));
        }
    }
}
