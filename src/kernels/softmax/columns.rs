//! Softmax where classes lie apart: some registers of positions beside each other go through all classes, again and again while
//! they are near, and those that follow them are asked for.

use super::{
    super::simd::{Asked, Each, Job, MatMut, Simd, each, exp_below_0},
    Wanted,
};

/// Registers of positions that go together: whole lines of the cache.
pub const TOGETHER: usize = 4;

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
    }
}

/// Softmax of the positions that `y` has a column for; `x` begins with the first.
pub struct Shares<'a> {
    pub x: &'a [f32],
    pub y: MatMut<'a>,
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
        let (classes, stride) = (self.y.rows(), self.y.stride());
        let mut max = [simd.splat(f32::NEG_INFINITY); R];
        for c in 0..classes {
            let x = &self.x[c * stride + at..][..n];
            for (r, max) in max.iter_mut().enumerate() {
                *max = simd.max(simd.read_first(&x[r * S::LANES..]), *max);
            }
        }
        let mut sum = [simd.splat(0.0); R];
        for c in 0..classes {
            let (x, y) = (&self.x[c * stride + at..][..n], &mut self.y.row(c)[at..][..n]);
            for (r, sum) in sum.iter_mut().enumerate() {
                let lane = r * S::LANES;
                simd.prefetch(x.as_ptr().wrapping_add(n + lane));
                simd.prefetch_to_write(y.as_ptr().wrapping_add(n + lane));
                let minus = simd.mul(max[r], simd.splat(-1.0));
                let share = exp_below_0(simd, simd.add(simd.read_first(&x[lane..]), minus));
                simd.write_first(&mut y[lane..], share);
                *sum = simd.add(*sum, share);
            }
        }
        for sum in &mut sum {
            *sum = simd.div(simd.splat(1.0), *sum);
        }
        for c in 0..classes {
            let y = &mut self.y.row(c)[at..][..n];
            for (r, &scale) in sum.iter().enumerate() {
                let y = &mut y[r * S::LANES..];
                let share = simd.mul(simd.read_first(y), scale);
                simd.write_first(y, share);
            }
        }
    }
}

/// The gradient of the positions that `dx` has a column for; `y` and `dy` begin with the first.
pub struct Slopes<'a> {
    pub y: &'a [f32],
    pub dy: &'a [f32],
    pub dx: MatMut<'a>,
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
        let (classes, stride) = (self.dx.rows(), self.dx.stride());
        let mut dot = [simd.splat(0.0); R];
        for c in 0..classes {
            let (y, dy) = (&self.y[c * stride + at..][..n], &self.dy[c * stride + at..][..n]);
            for (r, dot) in dot.iter_mut().enumerate() {
                let lane = r * S::LANES;
                *dot = simd.fma(simd.read_first(&y[lane..]), simd.read_first(&dy[lane..]), *dot);
            }
        }
        for c in 0..classes {
            let (y, dy) = (&self.y[c * stride + at..][..n], &self.dy[c * stride + at..][..n]);
            let dx = &mut self.dx.row(c)[at..][..n];
            for (r, &dot) in dot.iter().enumerate() {
                let lane = r * S::LANES;
                simd.prefetch(y.as_ptr().wrapping_add(n + lane));
                simd.prefetch(dy.as_ptr().wrapping_add(n + lane));
                simd.prefetch_to_write(dx.as_ptr().wrapping_add(n + lane));
                let above = simd.add(simd.read_first(&dy[lane..]), simd.mul(dot, simd.splat(-1.0)));
                simd.write_first(&mut dx[lane..], simd.mul(simd.read_first(&y[lane..]), above));
            }
        }
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
