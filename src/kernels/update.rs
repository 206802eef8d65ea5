//! Update rules over slices: each one pass over weights, gradients and history.
//!
//! `g` is the gradient after scaling and regularization (see [`Gradient`]); `w`, `d` and the histories are the
//! parameter, its diff and the rule's memory. Afterwards `d` is 0, ready for the next sum, or, if asked, the step
//! that was subtracted from `w`, which Caffe saves as `snapshot_diff`.

use rayon::prelude::*;

use super::{elementwise::vectorized, parallel::CHUNK};

/// How the raw sum of gradients becomes the one that the rule sees: g = scale * d + decay * w, or with the sign of
/// w for L1.
#[derive(Clone, Copy, Debug)]
pub struct Gradient {
    /// Clipping and the mean over `iter_size`.
    pub scale: f32,
    /// Weight decay.
    pub decay: f32,
    /// The share of w that is subtracted beside the rule's step: decay that the rule does not see.
    pub shrink: f32,
    /// Whether decay pulls by the sign of w.
    pub l1: bool,
    /// Whether the diff shall hold the step afterwards.
    pub keep_step: bool,
}

impl Gradient {
    #[inline(always)]
    fn of(self, d: f32, w: f32) -> f32 {
        d * self.scale + self.decay * self.pull(w)
    }

    #[inline(always)]
    fn pull(self, w: f32) -> f32 {
        if self.l1 { sign(w) } else { w }
    }
}

#[inline(always)]
fn sign(w: f32) -> f32 {
    f32::from(u8::from(w > 0.0)) - f32::from(u8::from(w < 0.0))
}

/// A rule with one history: `step(g, &mut h)` gives what to subtract.
pub fn with_one(
    gradient: Gradient,
    w: &mut [f32],
    d: &mut [f32],
    h: &mut [f32],
    step: impl Fn(f32, &mut f32) -> f32 + Sync,
) {
    assert!(w.len() == d.len() && h.len() == w.len());
    let chunk = |((w, d), h): ((&mut [f32], &mut [f32]), &mut [f32])| {
        vectorized(|| {
            for ((w, d), h) in w.iter_mut().zip(d).zip(h) {
                let step = step(gradient.of(*d, *w), h) + gradient.shrink * gradient.pull(*w);
                *w -= step;
                *d = if gradient.keep_step { step } else { 0.0 };
            }
        });
    };
    w.par_chunks_mut(CHUNK).zip(d.par_chunks_mut(CHUNK)).zip(h.par_chunks_mut(CHUNK)).for_each(chunk);
}

/// A rule with two histories.
pub fn with_two(
    gradient: Gradient,
    w: &mut [f32],
    d: &mut [f32],
    h: (&mut [f32], &mut [f32]),
    step: impl Fn(f32, &mut f32, &mut f32) -> f32 + Sync,
) {
    assert!(w.len() == d.len() && h.0.len() == w.len() && h.1.len() == w.len());
    let weights = w.par_chunks_mut(CHUNK).zip(d.par_chunks_mut(CHUNK));
    let histories = h.0.par_chunks_mut(CHUNK).zip(h.1.par_chunks_mut(CHUNK));
    weights.zip(histories).for_each(|((w, d), (h0, h1))| {
        vectorized(|| {
            for ((w, d), (h0, h1)) in w.iter_mut().zip(d).zip(h0.iter_mut().zip(h1)) {
                let step = step(gradient.of(*d, *w), h0, h1) + gradient.shrink * gradient.pull(*w);
                *w -= step;
                *d = if gradient.keep_step { step } else { 0.0 };
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_scaled_then_decayed() {
        let gradient = Gradient { scale: 0.5, decay: 0.1, shrink: 0.0, l1: false, keep_step: true };
        let (mut w, mut d, mut h) = (vec![1.0, -2.0], vec![4.0, 0.0], vec![0.0, 1.0]);
        with_one(gradient, &mut w, &mut d, &mut h, |g, h| {
            *h += g;
            *h
        });
        assert_eq!(h, [2.1, 0.8]);
        assert_eq!((w, d), (vec![1.0 - 2.1, -2.0 - 0.8], vec![2.1, 0.8]));
    }

    #[test]
    fn l1_pulls_by_sign_and_diffs_are_cleared() {
        let gradient = Gradient { scale: 1.0, decay: 0.5, shrink: 0.0, l1: true, keep_step: false };
        let (mut w, mut d, mut h) = (vec![3.0, -3.0, 0.0], vec![0.0; 3], (vec![0.0; 3], vec![0.0; 3]));
        with_two(gradient, &mut w, &mut d, (&mut h.0, &mut h.1), |g, _, _| g);
        assert_eq!(w, [2.5, -2.5, 0.0]);
        assert_eq!(d, [0.0; 3]);
    }
}
