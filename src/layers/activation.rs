//! Layers that work on each value by itself: the maths is two functions, the rest is here.

use super::{Backward, Follow, Forward, Layer, LayerError, Outline, Reads};
use crate::{
    kernels::{
        parallel::{CHUNK, for_chunks_mut},
        simd::{Isa, Job, Simd},
    },
    tensor::Shape,
};

/// A function of one value, with its derivative. Both should be `#[inline(always)]`: they are bodies of loops.
pub trait Activation: Send + Sync {
    /// What `derivative` looks at, the less the better: a layer that does not look at x can work in place.
    fn reads(&self) -> Reads;

    /// What the layer before could do as well.
    fn follows(&self) -> Option<Follow> {
        None
    }

    /// f(x).
    fn value(&self, x: f32) -> f32;

    /// f'(x), given x and y = f(x); where `reads` names one of them, the other argument is that one too.
    fn derivative(&self, x: f32, y: f32) -> f32;
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
        let x = pass.bottoms[0].data;
        for_chunks_mut(pass.tops[0].data, CHUNK, |start, y| {
            let x = &x[start..][..y.len()];
            Isa::best().run(Values { f: &self.0, x, y });
        });
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
        for_chunks_mut(diff, CHUNK, |start, diff| {
            let [x, y, top_diff] = [x, y, top.diff].map(|values| &values[start..][..diff.len()]);
            Isa::best().run(Derivatives { f: &self.0, x, y, top_diff, diff });
        });
    }
}

/// The loop of the forward pass.
struct Values<'a, A> {
    f: &'a A,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl<A: Activation> Job for Values<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = self.f.value(x);
        }
    }
}

/// The loop of the backward pass. What the derivative does not look at is not loaded: the compiler sees to that.
struct Derivatives<'a, A> {
    f: &'a A,
    x: &'a [f32],
    y: &'a [f32],
    top_diff: &'a [f32],
    diff: &'a mut [f32],
}

impl<A: Activation> Job for Derivatives<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (tops, data) = (self.top_diff.iter(), self.x.iter().zip(self.y));
        for (diff, (&d, (&x, &y))) in self.diff.iter_mut().zip(tops.zip(data)) {
            *diff = d * self.f.derivative(x, y);
        }
    }
}
