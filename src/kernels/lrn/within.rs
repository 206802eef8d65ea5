//! Neighbourhoods of squares in a plane.
//!
//! Planes stay as they lie, so that no lane is idle but at a plane's end, and some are worked on together. Values are summed along
//! their rows first: a neighbour is read from where it lies, and does not count if it is in another row. The sums have zeros
//! between the planes, so that sums of those above and below need not ask.

use super::{
    super::{
        parallel::{for_chunks_mut, planes_per_chunk},
        scratch,
        simd::{Asked, Isa, Job, MOST_LANES, Simd, each},
    },
    Any, Half, MAX_SIZE, Power, Ratio, Response, Slope, ThreeQuarters, Value, sum_rows,
};

/// Values that are worked on together: few enough to stay in the first-level cache, whatever is made of them.
const TOGETHER: usize = 2048;

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
        scratch::lend(boxes.sums_len() + 2 * boxes.whole(), |scratch| {
            let (sums, row) = boxes.parts(scratch);
            with_power!(response, |power| isa.run(Normalize { boxes, response, power, x, y, sums, row }));
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
    let group = boxes.group * plane;
    for_chunks_mut(dx, plane * planes_per_chunk(plane), |start, dx| {
        let (x, dy) = (&x[start..][..dx.len()], &dy[start..][..dx.len()]);
        scratch::lend(2 * group + boxes.sums_len() + 2 * boxes.whole(), |scratch| {
            let (direct, rest) = scratch.split_at_mut(group);
            let (ratios, rest) = rest.split_at_mut(group);
            let (sums, row) = boxes.parts(rest);
            with_power!(response, |power| {
                isa.run(Backward { boxes, response, power, x, dy, dx, direct, ratios, sums, row });
            });
        });
    });
}

/// How planes and their sums along rows lie.
#[derive(Clone, Copy)]
struct Boxes {
    width: usize,
    plane: usize,
    /// Columns on either side that a square can reach, and likewise rows.
    side: usize,
    above: usize,
    /// Planes that are worked on together.
    group: usize,
    /// Zeros before the first plane's sums, and distance between those of planes.
    margin: usize,
    stride: usize,
}

/// Sums along rows, of which `all` is as long as a group of planes needs, and the columns of a plane's values.
struct Sums<'a> {
    columns: &'a [f32],
    all: &'a mut [f32],
}

impl Boxes {
    fn new(dims: Within, size: usize) -> Self {
        let Within { height, width, .. } = dims;
        let reach = |n: usize| (size / 2).min(n.saturating_sub(1));
        let (side, above, plane) = (reach(width), reach(height), height * width);
        let (margin, stride) = (above * width, (plane + above * width).next_multiple_of(MOST_LANES));
        Self { width, plane, side, above, group: (TOGETHER / plane.max(1)).max(1), margin, stride }
    }

    /// A plane in whole registers.
    fn whole(&self) -> usize {
        self.plane.next_multiple_of(MOST_LANES)
    }

    fn sums_len(&self) -> usize {
        self.margin + self.group * self.stride
    }

    /// Sums, and room for a plane.
    fn parts<'a>(&self, scratch: &'a mut [f32]) -> (Sums<'a>, &'a mut [f32]) {
        let (all, rest) = scratch.split_at_mut(self.sums_len());
        let (columns, row) = rest.split_at_mut(self.whole());
        all.fill(0.0);
        // What is behind a plane is in no row.
        columns.fill(f32::NAN);
        for row in columns[..self.plane].chunks_mut(self.width) {
            row.iter_mut().enumerate().for_each(|(i, column)| *column = i as f32);
        }
        (Sums { columns, all }, row)
    }

    /// The sums along rows of the values of some planes, or of their squares, while what is at `soon` is asked for.
    #[inline(always)]
    fn along<S: Simd, const SQUARES: bool>(
        self,
        simd: S,
        values: &[f32],
        sums: &mut Sums<'_>,
        soon: *const f32,
    ) {
        match self.side {
            1 => self.along_sides::<S, SQUARES, 1>(simd, values, sums, soon),
            2 => self.along_sides::<S, SQUARES, 2>(simd, values, sums, soon),
            _ => self.along_sides::<S, SQUARES, 0>(simd, values, sums, soon),
        }
    }

    /// [`Self::along`] with `SIDE` neighbours on either side, or as many as there are.
    #[inline(always)]
    fn along_sides<S: Simd, const SQUARES: bool, const SIDE: usize>(
        self,
        simd: S,
        values: &[f32],
        sums: &mut Sums<'_>,
        soon: *const f32,
    ) {
        let (zero, last) = (simd.splat(0.0), self.width as f32 - 1.0);
        for first in (0..values.len()).step_by(self.plane) {
            let plane = &values[first..][..self.plane];
            let sums_of_plane = &mut sums.all[self.margin + first / self.plane * self.stride..];
            for at in (0..self.plane).step_by(S::LANES) {
                simd.prefetch_to_write(soon.wrapping_add(first + at));
                let (here, column) = (simd.read_first(&plane[at..]), simd.read(&sums.columns[at..]));
                let mut sum = if SQUARES { simd.mul(here, here) } else { here };
                for d in 1..=if SIDE == 0 { self.side } else { SIDE } {
                    let [before, after] = [(first + at).wrapping_sub(d), first + at + d];
                    let (d, before) = (d as f32, simd.read_around(values, before as isize));
                    let after = simd.read_around(values, after as isize);
                    let before = simd.where_greater(column, simd.splat(d - 1.0), before, zero);
                    let after = simd.where_at_most(column, simd.splat(last - d), after, zero);
                    if SQUARES {
                        sum = simd.fma(after, after, simd.fma(before, before, sum));
                    } else {
                        sum = simd.add(sum, simd.add(before, after));
                    }
                }
                simd.write_first(&mut sums_of_plane[at..], sum);
            }
        }
    }

    /// Sums along rows near plane `i` of a group, those highest above first.
    #[inline(always)]
    fn rows_near<'a>(self, sums: &'a Sums<'_>, i: usize) -> impl Iterator<Item = &'a [f32]> {
        (0..=2 * self.above).map(move |k| &sums.all[i * self.stride + k * self.width..][..self.plane])
    }

    /// [`Self::rows_near`] where three rows are.
    #[inline(always)]
    fn three<'a>(self, sums: &'a Sums<'_>, i: usize) -> [&'a [f32]; 3] {
        [0, 1, 2].map(|k| &sums.all[i * self.stride + k * self.width..][..self.plane])
    }
}

struct Normalize<'a, P> {
    boxes: Boxes,
    response: Response,
    power: P,
    x: &'a [f32],
    y: &'a mut [f32],
    sums: Sums<'a>,
    row: &'a mut [f32],
}

impl<P: Power> Job for Normalize<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Normalize { boxes, response, power, x, y, mut sums, row } = self;
        let (group, value) = (boxes.group * boxes.plane, Value::<P, false> { response, power });
        for (x, y) in x.chunks(group).zip(y.chunks_mut(group)) {
            boxes.along::<S, true>(simd, x, &mut sums, y.as_ptr());
            let planes = x.chunks_exact(boxes.plane).zip(y.chunks_exact_mut(boxes.plane));
            for (i, (x, y)) in planes.enumerate() {
                if boxes.above == 1 {
                    let [a, b, c] = boxes.three(&sums, i);
                    each(simd, [a, b, c, x], [y], Asked::NOTHING, value);
                } else {
                    sum_rows::<S, false>(simd, boxes.rows_near(&sums, i), &mut row[..boxes.plane]);
                    each(simd, [row, x], [y], Asked::NOTHING, value);
                }
            }
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
    /// dy * s^-beta of a group.
    direct: &'a mut [f32],
    ratios: &'a mut [f32],
    sums: Sums<'a>,
    row: &'a mut [f32],
}

impl<P: Power> Job for Backward<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Backward { boxes, response, power, x, dy, dx, direct, ratios, mut sums, row } = self;
        let (plane, group) = (boxes.plane, boxes.group * boxes.plane);
        let (ratio, slope) = (Ratio::<P, false> { response, power }, Slope::of(response));
        for ((x, dy), dx) in x.chunks(group).zip(dy.chunks(group)).zip(dx.chunks_mut(group)) {
            boxes.along::<S, true>(simd, x, &mut sums, dx.as_ptr());
            for (i, (x, dy)) in x.chunks_exact(plane).zip(dy.chunks_exact(plane)).enumerate() {
                let own = i * plane..(i + 1) * plane;
                let outs = [&mut direct[own.clone()], &mut ratios[own]];
                if boxes.above == 1 {
                    let [a, b, c] = boxes.three(&sums, i);
                    each(simd, [a, b, c, x, dy], outs, Asked::NOTHING, ratio);
                } else {
                    sum_rows::<S, false>(simd, boxes.rows_near(&sums, i), &mut row[..plane]);
                    each(simd, [row, x, dy], outs, Asked::NOTHING, ratio);
                }
            }
            boxes.along::<S, false>(simd, &ratios[..dx.len()], &mut sums, dx.as_ptr());
            for (i, (x, dx)) in x.chunks_exact(plane).zip(dx.chunks_exact_mut(plane)).enumerate() {
                let direct = &direct[i * plane..][..plane];
                if boxes.above == 1 {
                    let [a, b, c] = boxes.three(&sums, i);
                    each(simd, [a, b, c, x, direct], [dx], Asked::NOTHING, slope);
                } else {
                    sum_rows::<S, false>(simd, boxes.rows_near(&sums, i), &mut row[..plane]);
                    each(simd, [row, x, direct], [dx], Asked::NOTHING, slope);
                }
            }
        }
    }
}
