//! Layers that work on each value by itself: the maths is two functions, the rest is here.

use super::{Backward, Follow, Forward, Layer, LayerError, Outline, Reads};
use crate::{
    kernels::{
        elementwise::evaluate,
        simd::{Each, Simd},
    },
    tensor::Shape,
};

/// A function of one value, with its derivative, of a register of values at a time. Both must be `#[inline(always)]`: they
/// are bodies of loops.
pub trait Activation: Copy + Send + Sync + 'static {
    /// What `derivative` looks at, the less the better: a layer that does not look at x can work in place.
    fn reads(&self) -> Reads;

    /// What the layer before could do as well.
    fn follows(&self) -> Option<Follow> {
        None
    }

    /// f(x).
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V;

    /// f'(x), given x and y = f(x); where `reads` names one of them, the other argument is that one too.
    fn derivative<S: Simd>(self, simd: S, x: S::V, y: S::V) -> S::V;
}

/// The layer of an activation: y = f(x), dE/dx = dE/dy * f'(x).
pub struct Pointwise<A>(pub A);

impl<A: Activation> Layer for Pointwise<A> {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        Ok(Outline::of([bottoms[0].clone()]).reads(self.0.reads()))
    }

    fn follows(&self) -> Option<Follow> {
        self.0.follows()
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        evaluate([pass.bottoms[0].data], pass.tops[0].data, Value(self.0));
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        let (top, reads) = (&pass.tops[0], self.0.reads());
        let (x, y) = match (reads.bottoms, reads.tops) {
            (true, true) => (pass.bottoms[0].data, top.data),
            (true, false) => (pass.bottoms[0].data, pass.bottoms[0].data),
            (false, true) => (top.data, top.data),
            (false, false) => (top.diff, top.diff),
        };
        evaluate([x, y, top.diff], diff, Gradient(self.0));
    }
}

/// f(x).
#[derive(Clone, Copy)]
pub struct Value<A>(pub A);

impl<A: Activation> Each<1, 1> for Value<A> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x]: [S::V; 1]) -> [S::V; 1] {
        [self.0.value(simd, x)]
    }
}

/// dE/dx of x, y and dE/dy. What the derivative does not look at is not loaded: the compiler sees to that.
#[derive(Clone, Copy)]
struct Gradient<A>(A);

impl<A: Activation> Each<3, 1> for Gradient<A> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x, y, top_diff]: [S::V; 3]) -> [S::V; 1] {
        [simd.mul(top_diff, self.0.derivative(simd, x, y))]
    }
}

/// f'(x) of one value.
#[cfg(test)]
pub fn derivative_of(f: impl Activation, x: f32, y: f32) -> f32 {
    f.derivative(crate::kernels::simd::Portable, [x; 4], [y; 4])[0]
}
