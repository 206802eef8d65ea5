//! Softmax where classes lie apart: some registers of positions beside each other go through all classes, and what is
//! read again lies together meanwhile: rows a power of two apart would push each other out of the first-level cache.
//! Positions that follow are asked for, row by row, while something is computed.

use super::{
    super::simd::{Asked, Each, Job, LINE, MOST_LANES, MatMut, Simd, each, each_past, exp_below_0},
    Wanted,
};

/// Registers of positions that go together: whole lines of the cache.
const TOGETHER: usize = 4;
/// The most positions that go together.
pub const MOST: usize = TOGETHER * MOST_LANES;

/// Work on positions beside each other.
trait Positions: Sized {
    /// `n` of them from number `at` on: `R` registers.
    fn some<S: Simd, const R: usize>(&mut self, simd: S, at: usize, n: usize);

    /// The first `count`.
    #[inline(always)]
    fn all<S: Simd>(mut self, simd: S, count: usize) {
        let wide = TOGETHER * S::LANES;
        for at in (0..count - count % wide).step_by(wide) {
            self.some::<S, TOGETHER>(simd, at, wide);
        }
        for at in (count - count % wide..count).step_by(S::LANES) {
            self.some::<S, 1>(simd, at, S::LANES.min(count - at));
        }
        simd.fence();
    }
}

/// A value for each position, of registers.
#[inline(always)]
fn spread<S: Simd, const R: usize>(simd: S, registers: [S::V; R]) -> [f32; MOST] {
    let mut values = [0.0; MOST];
    for (values, register) in values.chunks_mut(S::LANES).zip(registers) {
        simd.write_first(values, register);
    }
    values
}

/// Asks for as many values as these, behind them.
#[inline(always)]
fn ask_for_next<S: Simd>(simd: S, values: &[f32]) {
    for at in (values.len()..2 * values.len()).step_by(LINE) {
        simd.prefetch(values.as_ptr().wrapping_add(at));
    }
}

/// out = each(rows), past the caches if `far`; else what is written next is asked for.
#[inline(always)]
fn make<S: Simd, const N: usize>(simd: S, rows: [&[f32]; N], out: &mut [f32], far: bool, f: impl Each<N, 1>) {
    if far {
        each_past(simd, rows, out, f);
    } else {
        let asked = Asked { reads: [], writes: [out.as_ptr_range().end] };
        each(simd, rows, [out], asked, f);
    }
}

/// Softmax of the positions that `y` has a column for; `x` begins with the first.
pub struct Shares<'a> {
    pub x: &'a [f32],
    pub y: MatMut<'a>,
    /// Room for [`MOST`] values of each class.
    pub near: &'a mut [f32],
    /// Whether they are written past the caches.
    pub far: bool,
}

impl Job for Shares<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let count = self.y.cols();
        self.all(simd, count);
    }
}

impl Positions for Shares<'_> {
    #[inline(always)]
    fn some<S: Simd, const R: usize>(&mut self, simd: S, at: usize, n: usize) {
        let stride = self.y.stride();
        let near = self.near.chunks_exact_mut(R * S::LANES).take(self.y.rows());
        let mut max = [simd.splat(f32::NEG_INFINITY); R];
        for (c, near) in near.enumerate() {
            let x = &self.x[c * stride + at..][..n];
            for (r, max) in max.iter_mut().enumerate() {
                let lane = r * S::LANES;
                let v = simd.read_first(&x[lane..]);
                *max = simd.max(v, *max);
                simd.write_first(&mut near[lane..], v);
            }
        }
        let minus = max.map(|max| simd.mul(max, simd.splat(-1.0)));
        let near = self.near.chunks_exact_mut(R * S::LANES).take(self.y.rows());
        let mut sum = [simd.splat(0.0); R];
        for (c, near) in near.enumerate() {
            ask_for_next(simd, &self.x[c * stride + at..][..n]);
            for (r, sum) in sum.iter_mut().enumerate() {
                let near = &mut near[r * S::LANES..];
                let share = exp_below_0(simd, simd.add(simd.read(near), minus[r]));
                simd.write_first(near, share);
                *sum = simd.add(*sum, share);
            }
        }
        let scales = spread(simd, sum.map(|sum| simd.div(simd.splat(1.0), sum)));
        for (c, near) in self.near.chunks_exact(R * S::LANES).take(self.y.rows()).enumerate() {
            make(simd, [near, &scales], &mut self.y.row(c)[at..][..n], self.far, Product);
        }
    }
}

/// a * b.
#[derive(Clone, Copy)]
pub struct Product;

impl Each<2, 1> for Product {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [a, b]: [S::V; 2]) -> [S::V; 1] {
        [simd.mul(a, b)]
    }
}

/// The gradient of the positions that `dx` has a column for; `y` and `dy` begin with the first.
pub struct Slopes<'a> {
    pub y: &'a [f32],
    pub dy: &'a [f32],
    pub dx: MatMut<'a>,
    /// Room for twice [`MOST`] values of each class.
    pub near: &'a mut [f32],
    /// Whether it is written past the caches.
    pub far: bool,
}

impl Job for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let count = self.dx.cols();
        self.all(simd, count);
    }
}

impl Positions for Slopes<'_> {
    #[inline(always)]
    fn some<S: Simd, const R: usize>(&mut self, simd: S, at: usize, n: usize) {
        let stride = self.dx.stride();
        let mut dots = [simd.splat(0.0); R];
        let near = self.near.chunks_exact_mut(2 * R * S::LANES).take(self.dx.rows());
        for (c, near) in near.enumerate() {
            let (y, dy) = (&self.y[c * stride + at..][..n], &self.dy[c * stride + at..][..n]);
            let (near_y, near_dy) = near.split_at_mut(R * S::LANES);
            ask_for_next(simd, y);
            for (r, dot) in dots.iter_mut().enumerate() {
                let lane = r * S::LANES;
                let (y, dy) = (simd.read_first(&y[lane..]), simd.read_first(&dy[lane..]));
                simd.write_first(&mut near_y[lane..], y);
                simd.write_first(&mut near_dy[lane..], dy);
                *dot = simd.fma(y, dy, *dot);
            }
        }
        let minus = spread(simd, dots.map(|dot| simd.mul(dot, simd.splat(-1.0))));
        for (c, near) in self.near.chunks_exact(2 * R * S::LANES).take(self.dx.rows()).enumerate() {
            let (near_y, near_dy) = near.split_at(R * S::LANES);
            ask_for_next(simd, &self.dy[c * stride + at..][..n]);
            make(simd, [near_y, near_dy, &minus], &mut self.dx.row(c)[at..][..n], self.far, Slope);
        }
    }
}

/// y * (dy + minus).
#[derive(Clone, Copy)]
struct Slope;

impl Each<3, 1> for Slope {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [y, dy, minus]: [S::V; 3]) -> [S::V; 1] {
        [simd.mul(y, simd.add(dy, minus))]
    }
}

/// Positions whose labels and weights are kept as numbers.
const NEAR: usize = 512;

/// The gradient of cross entropy of the positions that `dx` has a column for; `p` begins with the first, and so does what is wanted.
pub struct Misses<'a> {
    pub wanted: Wanted<'a>,
    pub p: &'a [f32],
    pub dx: MatMut<'a>,
}

impl Job for Misses<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (cols, stride) = (self.dx.cols(), self.dx.stride());
        let Wanted { own, each: other, scale, .. } = self.wanted;
        let (mut labels, mut factors) = ([0.0; NEAR], [0.0; NEAR]);
        for at in (0..cols).step_by(NEAR) {
            let n = NEAR.min(cols - at);
            labels
                .iter_mut()
                .zip(&self.wanted.labels[at..])
                .for_each(|(label, &class)| *label = class as f32);
            factors.iter_mut().zip(&self.wanted.weights[at..]).for_each(|(factor, w)| *factor = scale * w);
            for c in 0..self.dx.rows() {
                let (p, dx) = (&self.p[c * stride + at..], &mut self.dx.row(c)[at..][..n]);
                let asked = Asked { reads: [p.as_ptr().wrapping_add(n)], writes: [dx.as_ptr_range().end] };
                let miss = Miss { class: c as f32, own: -own - other, other: -other };
                each(simd, [p, &labels, &factors], [dx], asked, miss);
            }
        }
    }
}

/// factor * (p + own) where the label is the class, factor * (p + other) elsewhere.
#[derive(Clone, Copy)]
struct Miss {
    class: f32,
    own: f32,
    other: f32,
}

impl Each<3, 1> for Miss {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [p, label, factor]: [S::V; 3]) -> [S::V; 1] {
        let own = simd.splat(self.own);
        let minus = simd.where_equal(label, simd.splat(self.class), own, simd.splat(self.other));
        [simd.mul(factor, simd.add(p, minus))]
    }
}
