//! Layers that work on each value by itself: the maths is two functions, the rest is here.

use super::{Backward, Forward, Layer, LayerError, Outline, Reads};
use crate::{
    kernels::elementwise::{map, map2, map3},
    tensor::Shape,
};

/// A function of one value, with its derivative.
pub trait Activation: Send + Sync {
    /// What `derivative` looks at; the other argument is 0.
    const READS: Reads;

    /// f(x).
    fn value(&self, x: f32) -> f32;

    /// f'(x), given x or y = f(x) or both, as `READS` says.
    fn derivative(&self, x: f32, y: f32) -> f32;
}

/// The layer of an activation: y = f(x), dE/dx = dE/dy * f'(x).
pub struct Pointwise<A>(pub A);

impl<A: Activation> Layer for Pointwise<A> {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        Ok(Outline::of([bottoms[0].clone()]).reads(A::READS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        map(pass.bottoms[0].data, pass.tops[0].data, |x| self.0.value(x));
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        let (x, top) = (pass.bottoms[0].data, &pass.tops[0]);
        match (A::READS.bottoms, A::READS.tops) {
            (true, true) => map3(top.diff, x, top.data, diff, |d, x, y| d * self.0.derivative(x, y)),
            (true, false) => map2(top.diff, x, diff, |d, x| d * self.0.derivative(x, 0.0)),
            (false, true) => map2(top.diff, top.data, diff, |d, y| d * self.0.derivative(0.0, y)),
            (false, false) => map(top.diff, diff, |d| d * self.0.derivative(0.0, 0.0)),
        }
    }
}
