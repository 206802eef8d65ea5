//! Update rules over slices: each one pass over weights, gradients and history.
//!
//! `g` is the gradient after scaling and regularization (see [`Gradient`]); `w`, `d` and the histories are the
//! parameter, its diff and the rule's memory. Afterwards `d` is 0, ready for the next sum, or, if asked, the step
//! that was subtracted from `w`, which Caffe saves as `snapshot_diff`.

use std::ops::Range;

use super::{
    elementwise::{ByValue, vectorized},
    gemm::{Cut, Gemm, gemm_blocks, streams, with_sums},
    parallel::{chunk_of, for_all_chunks_mut},
    simd::{Isa, MatMut},
};

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
    step: impl Fn(f32, &mut f32) -> f32 + ByValue,
) {
    assert!(w.len() == d.len() && h.len() == w.len());
    let chunk = chunk_of(w.len());
    for_all_chunks_mut([w, d, h], chunk, |_, [w, d, h]| {
        vectorized(move || {
            for ((w, d), h) in w.iter_mut().zip(d).zip(h) {
                let step = step(gradient.of(*d, *w), h) + gradient.shrink * gradient.pull(*w);
                *w -= step;
                *d = if gradient.keep_step { step } else { 0.0 };
            }
        });
    });
}

/// A rule with two histories.
pub fn with_two(
    gradient: Gradient,
    w: &mut [f32],
    d: &mut [f32],
    h: (&mut [f32], &mut [f32]),
    step: impl Fn(f32, &mut f32, &mut f32) -> f32 + ByValue,
) {
    assert!(w.len() == d.len() && h.0.len() == w.len() && h.1.len() == w.len());
    let chunk = chunk_of(w.len());
    for_all_chunks_mut([w, d, h.0, h.1], chunk, |_, [w, d, h0, h1]| {
        vectorized(move || {
            for ((w, d), (h0, h1)) in w.iter_mut().zip(d).zip(h0.iter_mut().zip(h1)) {
                let step = step(gradient.of(*d, *w), h0, h1) + gradient.shrink * gradient.pull(*w);
                *w -= step;
                *d = if gradient.keep_step { step } else { 0.0 };
            }
        });
    });
}

/// Updates the weights `w` by a gradient that is a product and never stored as a whole: `update(w, d, h0, h1)` is given
/// pieces of everything as soon as their gradient `d` is known. The second of the histories `h` may be empty.
///
/// So gradients stay in the second-level cache, and 4 instead of 8 passes over the weights' size go to memory: weights
/// and history are read and written, but the gradient is not written, read, cleared, and read to be added to.
///
/// `back`, if wanted, becomes what `gemm_parallel` makes of the product's left factor, transposed, times the weights as
/// they were, with the same bits: both read the weights while they are near, so it costs no reading at all.
///
/// # Panics
/// When a slice has not the product's length, or `back` is wanted of shapes that are not streamed (`gemm::streams`).
pub fn by_product(
    product: &Gemm<'_>,
    w: &mut [f32],
    h: [&mut [f32]; 2],
    back: Option<&mut [f32]>,
    update: impl Fn(&mut [f32], &mut [f32], &mut [f32], &mut [f32]) + Sync,
) {
    let [h0, h1] = h;
    let (rows, cols) = (product.m, product.n);
    assert!(w.len() == rows * cols && h0.len() == w.len() && (h1.is_empty() || h1.len() == w.len()));
    let matrix = |values| MatMut::new(values, rows, cols, cols);
    let learn = |d: &mut [f32], of: &mut Learning<'_>, rows: Range<usize>| {
        // Whole rows follow each other everywhere, and are one piece.
        let width = if of.w.cols() == cols { d.len() } else { of.w.cols() };
        for (row, d) in rows.zip(d.chunks_exact_mut(width.max(1))) {
            let h1 = of.h1.as_mut().map_or(&mut [][..], |h1| h1.values_from(row, width));
            update(of.w.values_from(row, width), d, of.h0.values_from(row, width), h1);
        }
    };
    let all = Learning { w: matrix(w), h0: matrix(h0), h1: (!h1.is_empty()).then(|| matrix(h1)) };
    let Some(back) = back else {
        return gemm_blocks(product, all, learn);
    };
    assert!(streams(product.k, cols, rows), "gemm_parallel sums {} x {cols} in another order", product.k);
    let dx = MatMut::new(back, product.k, cols, cols);
    with_sums(Isa::best(), product.a.transposed(), rows, dx, |left, sums| {
        gemm_blocks(product, (all, sums), |d, (of, sums), rows| {
            left.add(rows.clone(), of.w.shared().block(rows.clone(), 0..of.w.cols()), sums);
            learn(d, of, rows);
        });
    });
}

/// What a rule changes.
struct Learning<'a> {
    w: MatMut<'a>,
    h0: MatMut<'a>,
    h1: Option<MatMut<'a>>,
}

impl Cut for Learning<'_> {
    fn shape(&self) -> (usize, usize) {
        self.w.shape()
    }
    fn split_rows(self, at: usize) -> (Self, Self) {
        self.halves(|of| of.split_rows(at))
    }
    fn split_cols(self, at: usize) -> (Self, Self) {
        self.halves(|of| of.split_cols(at))
    }
}

impl<'a> Learning<'a> {
    fn halves(self, cut: impl Fn(MatMut<'a>) -> (MatMut<'a>, MatMut<'a>)) -> (Self, Self) {
        let ((w, more_w), (h0, more_h0), (h1, more_h1)) =
            (cut(self.w), cut(self.h0), self.h1.map(cut).unzip());
        (Self { w, h0, h1 }, Self { w: more_w, h0: more_h0, h1: more_h1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::gemm::{Matrix, gemm_parallel};

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

    #[test]
    fn pieces_of_a_product_update_as_the_whole() {
        for threads in [2, 64] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(pieces_beside_the_whole);
        }
    }

    /// Gradients of several tasks, in blocks that end within a row, by both numbers of histories, with and without what
    /// goes back.
    fn pieces_beside_the_whole() {
        let gradient = Gradient { scale: 0.5, decay: 0.1, shrink: 0.0, l1: false, keep_step: false };
        let first = move |g: f32, h: &mut f32| {
            *h = 0.9 * *h + g;
            *h
        };
        let second = move |g: f32, h: &mut f32, h2: &mut f32| {
            *h2 += g * g;
            first(g, h) * *h2
        };
        let sizes = [
            (1, 1, 1),
            (3, 0, 2),
            (0, 3, 2),
            (300, 2100, 3),
            (70, 700, 17),
            (90, 40, 0),
            (1037, 600, 16),
            (700, 3001, 5),
        ];
        for (m, n, k) in sizes {
            let of = |len: usize, step: f32| (0..len).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
            let (a, b, w, h) = (of(m * k, 0.7), of(k * n, 0.3), of(m * n, 0.1), of(m * n, 0.2));
            let product = Gemm::new(m, n, k, Matrix::row_major(&a, k), Matrix::row_major(&b, n));
            let backwards = Gemm::new(k, n, m, product.a.transposed(), Matrix::row_major(&w, n));
            let (mut d, mut back) = (vec![0.0; m * n], vec![0.0; k * n]);
            gemm_parallel(&Gemm { beta: 1.0, ..product }, &mut d);
            gemm_parallel(&backwards, &mut back);

            for wanted in [false, streams(k, n, m)] {
                let mut got = vec![f32::NAN; k * n];
                let (mut whole, mut pieces) = ((w.clone(), h.clone()), (w.clone(), h.clone()));
                with_one(gradient, &mut whole.0, &mut d.clone(), &mut whole.1, first);
                let also = wanted.then_some(&mut got[..]);
                by_product(&product, &mut pieces.0, [&mut pieces.1, &mut []], also, |w, d, h, _| {
                    with_one(gradient, w, d, h, first);
                });
                assert_eq!(whole, pieces, "{m} x {n} x {k}");
                assert!(!wanted || got == back, "{m} x {n} x {k}");

                let (mut whole, mut pieces) =
                    ([w.clone(), h.clone(), h.clone()], [w.clone(), h.clone(), h.clone()]);
                let [w, h, h2] = &mut whole;
                with_two(gradient, w, &mut d.clone(), (h, h2), second);
                let [w, h, h2] = &mut pieces;
                let also = wanted.then_some(&mut got[..]);
                by_product(&product, w, [h, h2], also, |w, d, h, h2| {
                    with_two(gradient, w, d, (h, h2), second)
                });
                assert_eq!(whole, pieces, "{m} x {n} x {k}");
                assert!(!wanted || got == back, "{m} x {n} x {k}");
            }
        }
    }
}
