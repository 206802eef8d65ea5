//! Neighbourhoods of squares in a plane.
//!
//! A plane lies in scratch with zeros around it, and one margin between its rows serves both. So sums over columns and
//! then along rows are loops over the whole plane, as are the powers; only what goes in and out is done row by row.

use std::ops::Range;

use super::{
    super::{
        gemm::scratch,
        parallel::{for_chunks_mut, planes_per_chunk},
        simd::{Isa, Job, Simd},
    },
    Any, Half, MAX_SIZE, Power, Response, ThreeQuarters, beside,
};

/// Values that are worked on at a time: the widest register.
const STEP: usize = 16;

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
        if beside::serves(isa, dims) {
            return beside::normalize(isa, dims, response, x, y);
        }
        scratch::lend(boxes.scratch_len(), |scratch| {
            with_power!(response, |power| isa.run(Normalize { boxes, response, power, x, y, scratch }));
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
        if beside::serves(isa, dims) {
            return beside::backward(isa, dims, response, [x, dy], dx);
        }
        scratch::lend(boxes.scratch_len(), |scratch| {
            with_power!(response, |power| isa.run(Backward { boxes, response, power, x, dy, dx, scratch }));
        });
    });
}

/// How a plane lies in scratch, for sums over squares.
#[derive(Clone, Copy)]
struct Boxes {
    width: usize,
    height: usize,
    /// Columns on either side that a square can reach, and likewise rows.
    side: usize,
    above: usize,
    /// A row with a margin.
    line: usize,
    /// Values of the rows with their margins, and what sums along rows read; whole steps.
    sums: usize,
    columns: usize,
}

/// Scratch: the plane, its sums over columns, over squares, and their powers.
struct Parts<'a> {
    padded: &'a mut [f32],
    columns: &'a mut [f32],
    sums: &'a mut [f32],
    powers: &'a mut [f32],
}

impl Boxes {
    fn new(dims: Within, size: usize) -> Self {
        let Within { height, width, .. } = dims;
        let reach = |n: usize| (size / 2).min(n.saturating_sub(1));
        let (side, above) = (reach(width), reach(height));
        let line = width + side;
        let sums = (height * line).next_multiple_of(STEP);
        let columns = (sums + 2 * side).next_multiple_of(STEP);
        Self { width, height, side, above, line, sums, columns }
    }

    fn padded(&self) -> usize {
        self.columns + 2 * self.above * self.line
    }

    fn scratch_len(&self) -> usize {
        self.padded() + self.columns + 2 * self.sums
    }

    fn parts<'a>(&self, scratch: &'a mut [f32]) -> Parts<'a> {
        let (padded, rest) = scratch.split_at_mut(self.padded());
        let (columns, rest) = rest.split_at_mut(self.columns);
        let (sums, powers) = rest.split_at_mut(self.sums);
        padded.fill(0.0);
        Parts { padded, columns, sums, powers }
    }

    /// Registers of the rows: where each lies in the plane, where among the sums, and how many values it has.
    #[inline(always)]
    fn for_rows<S: Simd>(&self, _: S, mut f: impl FnMut(Range<usize>, usize)) {
        for row in 0..self.height {
            for column in (0..self.width).step_by(S::LANES) {
                let at = row * self.width + column;
                f(at..at + S::LANES.min(self.width - column), row * self.line + column);
            }
        }
    }

    /// Where the value that belongs to sum `at` lies in the padded plane.
    fn centre(&self, at: usize) -> usize {
        at + self.above * self.line + self.side
    }

    /// Sums over the squares of the padded plane.
    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, Parts { padded, columns, sums, .. }: &mut Parts<'_>) {
        for at in (0..self.columns).step_by(S::LANES) {
            let mut sum = simd.read(&padded[at..]);
            for k in 1..=2 * self.above {
                sum = simd.add(sum, simd.read(&padded[at + k * self.line..]));
            }
            simd.write_first(&mut columns[at..], sum);
        }
        for at in (0..self.sums).step_by(S::LANES) {
            let mut sum = simd.read(&columns[at..]);
            for k in 1..=2 * self.side {
                sum = simd.add(sum, simd.read(&columns[at + k..]));
            }
            simd.write_first(&mut sums[at..], sum);
        }
    }

    /// Sums of squares of a plane.
    #[inline(always)]
    fn squares<S: Simd>(&self, simd: S, x: &[f32], parts: &mut Parts<'_>) {
        self.for_rows(
            simd,
            #[inline(always)]
            |range, at| {
                let n = range.len();
                let v = simd.read_first(&x[range]);
                simd.write_first(&mut parts.padded[self.centre(at)..][..n], simd.mul(v, v));
            },
        );
        self.sum(simd, parts);
    }
}

struct Normalize<'a, P> {
    boxes: Boxes,
    response: Response,
    power: P,
    x: &'a [f32],
    y: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl<P: Power> Job for Normalize<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Normalize { boxes, response, power, x, y, scratch } = self;
        let (scale, k) = (simd.splat(response.scale), simd.splat(response.k));
        let (plane, mut parts) = (boxes.width * boxes.height, boxes.parts(scratch));
        for (x, y) in x.chunks_exact(plane).zip(y.chunks_exact_mut(plane)) {
            boxes.squares(simd, x, &mut parts);
            for at in (0..boxes.sums).step_by(S::LANES) {
                let s = simd.fma(scale, simd.read(&parts.sums[at..]), k);
                simd.write_first(&mut parts.powers[at..], power.of(simd, s).0);
            }
            boxes.for_rows(
                simd,
                #[inline(always)]
                |range, at| {
                    let v =
                        simd.mul(simd.read_first(&x[range.clone()]), simd.read_first(&parts.powers[at..]));
                    simd.write_first(&mut y[range], v);
                },
            );
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
    scratch: &'a mut [f32],
}

impl<P: Power> Job for Backward<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Backward { boxes, response, power, x, dy, dx, scratch } = self;
        let slope = simd.splat(-2.0 * response.scale * response.beta);
        let (scale, k) = (simd.splat(response.scale), simd.splat(response.k));
        let (plane, mut parts) = (boxes.width * boxes.height, boxes.parts(scratch));
        let from = x.chunks_exact(plane).zip(dy.chunks_exact(plane));
        for ((x, dy), dx) in from.zip(dx.chunks_exact_mut(plane)) {
            boxes.squares(simd, x, &mut parts);
            // s^-beta, and in place of the sums s^(-beta - 1).
            for at in (0..boxes.sums).step_by(S::LANES) {
                let s = simd.fma(scale, simd.read(&parts.sums[at..]), k);
                let (power, inverse) = power.of(simd, s);
                simd.write_first(&mut parts.powers[at..], power);
                simd.write_first(&mut parts.sums[at..], simd.mul(power, inverse));
            }
            boxes.for_rows(
                simd,
                #[inline(always)]
                |range, at| {
                    let n = range.len();
                    let product = simd.mul(simd.read_first(&dy[range.clone()]), simd.read_first(&x[range]));
                    let ratio = simd.mul(product, simd.read_first(&parts.sums[at..]));
                    simd.write_first(&mut parts.padded[boxes.centre(at)..][..n], ratio);
                },
            );
            boxes.sum(simd, &mut parts);
            boxes.for_rows(
                simd,
                #[inline(always)]
                |range, at| {
                    let x = simd.mul(simd.read_first(&x[range.clone()]), slope);
                    let direct =
                        simd.mul(simd.read_first(&dy[range.clone()]), simd.read_first(&parts.powers[at..]));
                    simd.write_first(&mut dx[range], simd.fma(x, simd.read_first(&parts.sums[at..]), direct));
                },
            );
        }
    }
}
