//! Softmax where classes lie side by side: row by row, of which one stays near.

use super::{
    super::simd::{Asked, Each, Job, Simd, each, exp_below_0},
    Wanted,
};

/// Registers that are folded side by side.
const TOGETHER: usize = 4;

/// Softmax of the rows of `y`.
pub struct Shares<'a> {
    pub classes: usize,
    pub x: &'a [f32],
    pub y: &'a mut [f32],
}

impl Job for Shares<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (x, y) in self.x.chunks_exact(self.classes).zip(self.y.chunks_exact_mut(self.classes)) {
            let max = across::<S, true>(simd, largest(simd, x, y.as_ptr()));
            let minus = simd.mul(max, simd.splat(-1.0));
            let mut sums = [simd.splat(0.0); TOGETHER];
            let (mut x_wide, mut y_wide) =
                (x.chunks_exact(TOGETHER * S::LANES), y.chunks_exact_mut(TOGETHER * S::LANES));
            for (x, y) in x_wide.by_ref().zip(y_wide.by_ref()) {
                for (r, sum) in sums.iter_mut().enumerate() {
                    let share = exp_below_0(simd, simd.add(simd.read(&x[r * S::LANES..]), minus));
                    simd.write_first(&mut y[r * S::LANES..], share);
                    *sum = simd.add(*sum, share);
                }
            }
            let [a, b, c, d] = sums;
            let mut sum = simd.add(simd.add(a, b), simd.add(c, d));
            let rest = x_wide.remainder().chunks(S::LANES).zip(y_wide.into_remainder().chunks_mut(S::LANES));
            for (x, y) in rest {
                let share = exp_below_0(simd, simd.add(simd.read_first(x), minus));
                simd.write_first(y, share);
                sum = simd.add(sum, simd.first_lanes(y.len(), share, 0.0));
            }
            let scale = simd.div(simd.splat(1.0), across::<S, false>(simd, sum));
            for y in y.chunks_mut(S::LANES) {
                let share = simd.mul(simd.read_first(y), scale);
                simd.write_first(y, share);
            }
        }
    }
}

/// Lanes of the largest values of a row, while as much is asked for where it will be written.
#[inline(always)]
fn largest<S: Simd>(simd: S, x: &[f32], y: *const f32) -> S::V {
    let mut max = [simd.splat(f32::NEG_INFINITY); TOGETHER];
    let mut wide = x.chunks_exact(TOGETHER * S::LANES);
    for (i, x) in wide.by_ref().enumerate() {
        for (r, max) in max.iter_mut().enumerate() {
            simd.prefetch_to_write(y.wrapping_add((i * TOGETHER + r) * S::LANES));
            // What is not a number is passed over.
            *max = simd.max(simd.read(&x[r * S::LANES..]), *max);
        }
    }
    let [a, b, c, d] = max;
    let mut max = simd.max(simd.max(a, b), simd.max(c, d));
    for x in wide.remainder().chunks(S::LANES) {
        let v = simd.first_lanes(x.len(), simd.read_first(x), f32::NEG_INFINITY);
        max = simd.max(v, max);
    }
    max
}

/// The largest, or the sum, of all lanes, in each of them.
#[inline(always)]
fn across<S: Simd, const LARGEST: bool>(simd: S, mut v: S::V) -> S::V {
    for _ in 0..S::LANES.ilog2() {
        let (even, odd) = simd.unzip(v, v);
        v = if LARGEST { simd.max(even, odd) } else { simd.add(even, odd) };
    }
    v
}

/// The gradient of the rows of `dx`.
pub struct Slopes<'a> {
    pub classes: usize,
    pub y: &'a [f32],
    pub dy: &'a [f32],
    pub dx: &'a mut [f32],
}

impl Job for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.y.chunks_exact(self.classes).zip(self.dy.chunks_exact(self.classes));
        for (dx, (y, dy)) in self.dx.chunks_exact_mut(self.classes).zip(rows) {
            let mut dots = [simd.splat(0.0); TOGETHER];
            let (y_wide, dy_wide) =
                (y.chunks_exact(TOGETHER * S::LANES), dy.chunks_exact(TOGETHER * S::LANES));
            let rest = y_wide.remainder().chunks(S::LANES).zip(dy_wide.remainder().chunks(S::LANES));
            for (i, (y, dy)) in y_wide.zip(dy_wide).enumerate() {
                for (r, dot) in dots.iter_mut().enumerate() {
                    simd.prefetch_to_write(dx.as_ptr().wrapping_add((i * TOGETHER + r) * S::LANES));
                    *dot = simd.fma(simd.read(&y[r * S::LANES..]), simd.read(&dy[r * S::LANES..]), *dot);
                }
            }
            let [a, b, c, d] = dots;
            let mut dot = simd.add(simd.add(a, b), simd.add(c, d));
            for (y, dy) in rest {
                dot = simd.fma(simd.read_first(y), simd.read_first(dy), dot);
            }
            let mut lane = [0.0; 16];
            simd.write_first(&mut lane, across::<S, false>(simd, dot));
            each(simd, [y, dy], [dx], Asked::NOTHING, Slope { minus_dot: -lane[0] });
        }
    }
}

/// y * (dy - dot).
#[derive(Clone, Copy)]
struct Slope {
    minus_dot: f32,
}

impl Each<2, 1> for Slope {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [y, dy]: [S::V; 2]) -> [S::V; 1] {
        [simd.mul(y, simd.add(dy, simd.splat(self.minus_dot)))]
    }
}

/// The gradient of cross entropy in the rows of `dx`; `p` begins with the first, and so does what is wanted.
pub struct Misses<'a> {
    pub classes: usize,
    pub wanted: Wanted<'a>,
    pub p: &'a [f32],
    pub dx: &'a mut [f32],
}

impl Job for Misses<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Misses { classes, wanted, p, dx } = self;
        let Wanted { own, each: other, scale, labels, weights } = wanted;
        let miss = Miss { minus: -other };
        // Of rows within a register, some are done as one, with a factor for each value.
        let rows = if classes <= S::LANES { NEAR / classes } else { 1 };
        let mut factors = [0.0; NEAR + 16];
        let blocks = dx.chunks_mut(rows * classes).zip(p.chunks(rows * classes));
        for ((dx, p), (labels, weights)) in blocks.zip(labels.chunks(rows).zip(weights.chunks(rows))) {
            let asked = Asked { reads: [], writes: [dx.as_ptr_range().end] };
            if classes <= S::LANES {
                // A register of factors runs over into the next row's, which are written later.
                for (row, weight) in weights[..dx.len() / classes].iter().enumerate() {
                    simd.write_first(&mut factors[row * classes..], simd.splat(scale * weight));
                }
                each(simd, [p, &factors], [&mut *dx], asked, miss);
            } else {
                each(simd, [p], [&mut *dx], asked, Even { factor: scale * weights[0], miss });
            }
            for (dx, (&label, weight)) in dx.chunks_exact_mut(classes).zip(labels.iter().zip(weights)) {
                dx[label as usize] -= scale * weight * own;
            }
        }
    }
}

/// Values whose factors are written out.
const NEAR: usize = 1024;

/// factor * (p + minus).
#[derive(Clone, Copy)]
struct Miss {
    minus: f32,
}

impl Each<2, 1> for Miss {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [p, factor]: [S::V; 2]) -> [S::V; 1] {
        [simd.mul(factor, simd.add(p, simd.splat(self.minus)))]
    }
}

/// The same with one factor.
#[derive(Clone, Copy)]
struct Even {
    factor: f32,
    miss: Miss,
}

impl Each<1, 1> for Even {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [p]: [S::V; 1]) -> [S::V; 1] {
        self.miss.of(simd, [p, simd.splat(self.factor)])
    }
}
