//! What is made of the values that the taps of windows meet: the largest, and which that is, or their mean.

use super::{Divisor, Divisors, Simd, quotient};

/// What is made of the values that the taps of windows meet. Must be `#[inline(always)]`.
pub trait Fold {
    /// Whether a tap beyond the plane meets 0.
    const ZEROS: bool;
    /// Panics unless it can be done for so many outputs, in planes of so many.
    fn check(&self, outputs: usize, plane: usize);
    /// A register of outputs, given what the taps of each row of their windows meet.
    ///
    /// # Safety
    /// The outputs are some of those that were checked.
    unsafe fn of<S: Simd, const SIZE: usize, const PAD: usize>(
        &mut self,
        simd: S,
        met: [[S::V; 3]; 3],
        at: &At<S::V>,
    ) -> S::V;
}

/// A register of outputs.
#[derive(Clone, Copy, Debug)]
pub struct At<V> {
    /// The number of the first in its plane.
    pub of_plane: usize,
    /// And of all.
    pub of_all: usize,
    /// How many lanes are outputs.
    pub count: usize,
    /// Whether all taps lie on the plane.
    pub whole: bool,
    /// By how much the numbers of taps of the first column, if any of these lies beyond the plane, and of the first row are larger.
    pub beyond: [Option<V>; 2],
}

/// The largest of each window and, with `TAKE`, for each output the number of the first tap that meets it.
#[derive(Debug)]
pub struct Largest<'a, const TAKE: bool>(pub &'a mut [u8]);

impl<const TAKE: bool> Fold for Largest<'_, TAKE> {
    const ZEROS: bool = false;

    fn check(&self, outputs: usize, _: usize) {
        assert!(!TAKE || self.0.len() == outputs, "a tap for each");
    }

    #[allow(
        clippy::needless_range_loop,
        reason = "counts known when compiled, so that registers are not put in memory"
    )]
    #[inline(always)]
    unsafe fn of<S: Simd, const SIZE: usize, const PAD: usize>(
        &mut self,
        simd: S,
        met: [[S::V; 3]; 3],
        at: &At<S::V>,
    ) -> S::V {
        let (mut best, mut tap) = (met[0][0], simd.splat(0.0));
        for t in 0..SIZE {
            for k in 0..SIZE {
                let (v, first) = (met[t][k], (t, k) == (0, 0));
                if TAKE {
                    let mut number = simd.splat((t * SIZE + k) as f32);
                    for beyond in [(k, at.beyond[0]), (t, at.beyond[1])] {
                        if let (0, Some(more)) = beyond {
                            number = simd.add(number, more);
                        }
                    }
                    tap = if first { number } else { simd.where_greater(v, best, number, tap) };
                }
                if !first {
                    best = simd.max(v, best);
                }
            }
        }
        if TAKE {
            // SAFETY: the caller's promise.
            unsafe { simd.store_bytes_first(self.0.as_mut_ptr().add(at.of_all), at.count, tap) };
        }
        best
    }
}

/// The sum of each window, row by row, over a number, which is that of its taps where all lie on the plane.
#[derive(Clone, Copy, Debug)]
pub struct Mean<'a>(pub Divisors<'a>);

impl Fold for Mean<'_> {
    const ZEROS: bool = true;

    fn check(&self, _: usize, plane: usize) {
        let Divisors { by, minus_inverse } = self.0;
        assert!(plane <= by.len() && plane <= minus_inverse.len(), "a number for each value of a plane");
    }

    #[allow(
        clippy::needless_range_loop,
        reason = "counts known when compiled, so that registers are not put in memory"
    )]
    #[inline(always)]
    unsafe fn of<S: Simd, const SIZE: usize, const PAD: usize>(
        &mut self,
        simd: S,
        met: [[S::V; 3]; 3],
        at: &At<S::V>,
    ) -> S::V {
        let mut sum = met[0][0];
        for t in 0..SIZE {
            for k in 0..SIZE {
                if (t, k) != (0, 0) {
                    sum = simd.add(sum, met[t][k]);
                }
            }
        }
        if at.whole {
            let all = Divisor::new((SIZE * SIZE) as f32);
            return quotient(simd, sum, simd.splat(all.by), simd.splat(all.minus_inverse));
        }
        // SAFETY: the caller's promise.
        let [by, minus_inverse] = [self.0.by, self.0.minus_inverse]
            .map(|of| unsafe { simd.load_first(of.as_ptr().add(at.of_plane), at.count) });
        quotient(simd, sum, by, minus_inverse)
    }
}
