//! Softmax over one axis of a blob seen as `outer x classes x inner`, its derivative, and cross entropy on top.
//!
//! Two layouts: classes side by side (`inner` is 1, a classifier) are done row by row; otherwise classes lie
//! `inner` apart (a label per pixel), and every loop runs along `inner`, so that it is contiguous.

use super::{
    elementwise::vectorized,
    math::exp,
    parallel::{CHUNK, for_chunks_mut, sum_chunks},
};

/// A blob around the axis of its classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftmaxDims {
    /// Product of the axes before.
    pub outer: usize,
    /// Length of the axis.
    pub classes: usize,
    /// Product of the axes after.
    pub inner: usize,
}

impl SoftmaxDims {
    /// How many distributions there are.
    pub fn positions(&self) -> usize {
        self.outer * self.inner
    }

    /// How many values there are.
    pub fn count(&self) -> usize {
        self.positions() * self.classes
    }

    /// How many values of scratch [`softmax`] and [`softmax_backward`] need.
    pub fn scratch(&self) -> usize {
        if self.inner == 1 { 0 } else { self.positions() }
    }

    /// Where the value of class 0 at a position stands; those of the other classes follow `inner` apart.
    #[inline(always)]
    pub fn start(&self, position: usize) -> usize {
        position / self.inner * self.classes * self.inner + position % self.inner
    }

    /// Whole rows of classes, about a chunk of them.
    pub(super) fn rows_chunk(&self) -> usize {
        self.classes * (CHUNK / self.classes.max(1)).max(1)
    }

    /// Whole runs along `inner`, about a chunk of them.
    fn runs_chunk(&self) -> usize {
        self.inner * (CHUNK / self.inner.max(1)).max(1)
    }
}

/// y = exp(x) / sum of exp(x) over the classes, shifted by the largest x so that nothing overflows.
pub fn softmax(dims: &SoftmaxDims, x: &[f32], y: &mut [f32], scratch: &mut [f32]) {
    assert!(x.len() == dims.count() && y.len() == x.len() && scratch.len() >= dims.scratch());
    if x.is_empty() {
        return;
    }
    if dims.inner == 1 {
        for_chunks_mut(y, dims.rows_chunk(), |start, y| {
            let rows = y.chunks_exact_mut(dims.classes).zip(x[start..].chunks_exact(dims.classes));
            rows.for_each(|(y, x)| vectorized(|| softmax_row(x, y)));
        });
        return;
    }
    let scratch = &mut scratch[..dims.positions()];
    fold_classes(dims, x, scratch, f32::NEG_INFINITY, f32::max);
    for_runs(dims, y, |_, start, position, y| {
        let (x, max) = (&x[start..][..y.len()], &scratch[position..][..y.len()]);
        vectorized(|| y.iter_mut().zip(x.iter().zip(max)).for_each(|(y, (x, max))| *y = exp(x - max)));
    });
    fold_classes(dims, y, scratch, 0.0, |sum, y| sum + y);
    for_runs(dims, y, |_, _, position, y| {
        let sum = &scratch[position..][..y.len()];
        vectorized(|| y.iter_mut().zip(sum).for_each(|(y, sum)| *y /= sum));
    });
}

#[inline(always)]
fn softmax_row(x: &[f32], y: &mut [f32]) {
    let max = lanes(x, x, f32::NEG_INFINITY, |max, x, _| max.max(x), f32::max);
    y.iter_mut().zip(x).for_each(|(y, x)| *y = exp(x - max));
    let scale = 1.0 / lanes(y, y, 0.0, |sum, y, _| sum + y, |a, b| a + b);
    y.iter_mut().for_each(|y| *y *= scale);
}

/// Folds two rows in sixteen lanes, then the lanes: vectorizes, and the order is fixed.
#[inline(always)]
fn lanes(
    x: &[f32],
    y: &[f32],
    start: f32,
    fold: impl Fn(f32, f32, f32) -> f32,
    merge: impl Fn(f32, f32) -> f32,
) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [start; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest = xs.remainder().iter().zip(ys.remainder());
    for (x, y) in xs.zip(ys) {
        for i in 0..LANES {
            lanes[i] = fold(lanes[i], x[i], y[i]);
        }
    }
    let first = lanes.into_iter().fold(start, &merge);
    rest.fold(first, |last, (&x, &y)| merge(last, fold(start, x, y)))
}

/// dE/dx = y * (dE/dy - sum of dE/dy * y over the classes).
pub fn softmax_backward(dims: &SoftmaxDims, y: &[f32], dy: &[f32], dx: &mut [f32], scratch: &mut [f32]) {
    assert!(y.len() == dims.count() && dy.len() == y.len() && dx.len() == y.len());
    assert!(scratch.len() >= dims.scratch());
    if y.is_empty() {
        return;
    }
    if dims.inner == 1 {
        for_chunks_mut(dx, dims.rows_chunk(), |start, dx| {
            let rows = y[start..].chunks_exact(dims.classes).zip(dy[start..].chunks_exact(dims.classes));
            dx.chunks_exact_mut(dims.classes).zip(rows).for_each(|(dx, (y, dy))| {
                vectorized(|| {
                    let dot = lanes(y, dy, 0.0, |sum, y, dy| sum + y * dy, |a, b| a + b);
                    dx.iter_mut().zip(y.iter().zip(dy)).for_each(|(dx, (y, dy))| *dx = y * (dy - dot));
                });
            });
        });
        return;
    }
    let scratch = &mut scratch[..dims.positions()];
    for_runs(dims, dx, |_, start, _, dx| {
        let (y, dy) = (&y[start..][..dx.len()], &dy[start..][..dx.len()]);
        vectorized(|| dx.iter_mut().zip(y.iter().zip(dy)).for_each(|(dx, (y, dy))| *dx = y * dy));
    });
    fold_classes(dims, dx, scratch, 0.0, |sum, term| sum + term);
    for_runs(dims, dx, |_, start, position, dx| {
        let (y, dot) = (&y[start..][..dx.len()], &scratch[position..][..dx.len()]);
        vectorized(|| dx.iter_mut().zip(y.iter().zip(dot)).for_each(|(dx, (y, dot))| *dx -= y * dot));
    });
}

/// Calls `f(class, start, position, run)` for the runs along `inner` that `values` is made of, where `start` is the
/// index of the run's first value and `position` that of its first distribution.
pub(super) fn for_runs(
    dims: &SoftmaxDims,
    values: &mut [f32],
    f: impl Fn(usize, usize, usize, &mut [f32]) + Sync,
) {
    for_chunks_mut(values, dims.runs_chunk(), |start, values| {
        for (i, run) in values.chunks_exact_mut(dims.inner).enumerate() {
            let row = start / dims.inner + i;
            f(row % dims.classes, row * dims.inner, row / dims.classes * dims.inner, run);
        }
    });
}

/// out = the values of all classes folded, per position; for runs along `inner`.
fn fold_classes(
    dims: &SoftmaxDims,
    x: &[f32],
    out: &mut [f32],
    start_value: f32,
    fold: impl Fn(f32, f32) -> f32 + Sync,
) {
    for_chunks_mut(out, (CHUNK / dims.classes).max(256), |start, mut out| {
        let mut position = start;
        while !out.is_empty() {
            let (run, rest) = out.split_at_mut(out.len().min(dims.inner - position % dims.inner));
            run.fill(start_value);
            for class in 0..dims.classes {
                let x = &x[dims.start(position) + class * dims.inner..][..run.len()];
                vectorized(|| run.iter_mut().zip(x).for_each(|(out, &x)| *out = fold(*out, x)));
            }
            position += run.len();
            out = rest;
        }
    });
}

/// What each position's distribution is held against.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// The true class of each position; of no meaning where the weight is 0, but in range.
    pub classes: &'a [u32],
    /// How much each position counts; 0 for the ignored.
    pub weights: &'a [f32],
    /// The share of probability spread evenly over all classes.
    pub smoothing: f32,
}

impl Targets<'_> {
    /// What the true class and every class, the true one included, are to get.
    fn shares(&self, classes: usize) -> (f32, f32) {
        (1.0 - self.smoothing, self.smoothing / classes as f32)
    }
}

/// The sum over positions of weight * -sum over classes of q * ln(max(p, least positive normal number)).
pub fn cross_entropy(dims: &SoftmaxDims, p: &[f32], targets: &Targets<'_>) -> f64 {
    let cost = |at: usize| -p[at].max(f32::MIN_POSITIVE).ln();
    let (own, each) = targets.shares(dims.classes);
    let chunk = if each == 0.0 { CHUNK } else { (CHUNK / dims.classes.max(1)).max(1) };
    sum_chunks(dims.positions(), chunk, |range| {
        let mut sum = 0.0;
        for position in range {
            let weight = targets.weights[position];
            if weight == 0.0 {
                continue;
            }
            let start = dims.start(position);
            let mut term = own * cost(start + targets.classes[position] as usize * dims.inner);
            if each != 0.0 {
                term += each * (0..dims.classes).map(|c| cost(start + c * dims.inner)).sum::<f32>();
            }
            sum += f64::from(weight) * f64::from(term);
        }
        sum
    })
}

/// dE/dx of [`cross_entropy`] of [`softmax`], times `scale`: scale * weight * (p - q).
pub fn cross_entropy_backward(
    dims: &SoftmaxDims,
    p: &[f32],
    targets: &Targets<'_>,
    scale: f32,
    dx: &mut [f32],
) {
    let (own, each) = targets.shares(dims.classes);
    if dims.inner == 1 {
        for_chunks_mut(dx, dims.rows_chunk(), |start, dx| {
            let rows = dx.chunks_exact_mut(dims.classes).zip(p[start..].chunks_exact(dims.classes));
            for (i, (dx, p)) in rows.enumerate() {
                let position = start / dims.classes + i;
                let factor = scale * targets.weights[position];
                vectorized(|| dx.iter_mut().zip(p).for_each(|(dx, p)| *dx = factor * (p - each)));
                dx[targets.classes[position] as usize] -= factor * own;
            }
        });
        return;
    }
    for_runs(dims, dx, |class, start, position, dx| {
        let class = class as u32;
        let p = &p[start..][..dx.len()];
        let (classes, weights) =
            (&targets.classes[position..][..dx.len()], &targets.weights[position..][..dx.len()]);
        vectorized(|| {
            for i in 0..dx.len() {
                let target = each + if classes[i] == class { own } else { 0.0 };
                dx[i] = scale * weights[i] * (p[i] - target);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: &[(usize, usize, usize)] =
        &[(1, 1, 1), (3, 1, 2), (2, 5, 1), (7, 33, 1), (2, 3, 5), (1, 2, 40_001), (3, 17, 257), (0, 4, 3)];

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 100.0 - 5.0).collect()
    }

    /// Softmax in `f64`, one position after the other.
    fn plain(dims: &SoftmaxDims, x: &[f32]) -> Vec<f64> {
        let mut y = vec![0.0; x.len()];
        for position in 0..dims.positions() {
            let at = |c: usize| dims.start(position) + c * dims.inner;
            let sum: f64 = (0..dims.classes).map(|c| f64::from(x[at(c)]).exp()).sum();
            (0..dims.classes).for_each(|c| y[at(c)] = f64::from(x[at(c)]).exp() / sum);
        }
        y
    }

    fn close(got: &[f32], want: &[f64]) {
        for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
            assert!((f64::from(g) - w).abs() < 1e-5, "[{i}]: {g}, not {w}");
        }
    }

    #[test]
    fn all_layouts_agree_with_the_plain_form() {
        for &(outer, classes, inner) in SHAPES {
            let dims = SoftmaxDims { outer, classes, inner };
            let n = dims.count();
            let (x, dy) = (values(n, 1), values(n, 2));
            let mut scratch = vec![f32::NAN; dims.scratch()];
            let (mut y, mut dx) = (vec![f32::NAN; n], vec![f32::NAN; n]);
            softmax(&dims, &x, &mut y, &mut scratch);
            let want = plain(&dims, &x);
            close(&y, &want);
            softmax_backward(&dims, &y, &dy, &mut dx, &mut scratch);
            let slope = (0..n).map(|i| {
                let position = i / (classes * inner) * inner + i % inner;
                let all = (0..classes).map(|c| dims.start(position) + c * inner);
                want[i] * (f64::from(dy[i]) - all.map(|j| want[j] * f64::from(dy[j])).sum::<f64>())
            });
            close(&dx, &slope.collect::<Vec<_>>());
        }
    }

    #[test]
    fn cross_entropy_agrees_with_the_plain_form() {
        for &(outer, classes, inner) in SHAPES {
            for smoothing in [0.0, 0.2] {
                let dims = SoftmaxDims { outer, classes, inner };
                let true_classes: Vec<u32> =
                    (0..dims.positions()).map(|i| (i * 31 % classes) as u32).collect();
                let weights: Vec<f32> = (0..dims.positions()).map(|i| (i % 3) as f32).collect();
                let targets = Targets { classes: &true_classes, weights: &weights, smoothing };
                let p64 = plain(&dims, &values(dims.count(), 3));
                let p: Vec<f32> = p64.iter().map(|&p| p as f32).collect();
                let q = |position: usize, class: usize| {
                    f64::from(smoothing) / classes as f64
                        + if true_classes[position] as usize == class {
                            1.0 - f64::from(smoothing)
                        } else {
                            0.0
                        }
                };
                let (mut loss, mut want) = (0.0, vec![0.0; dims.count()]);
                for (position, &weight) in weights.iter().enumerate() {
                    for class in 0..classes {
                        let at = dims.start(position) + class * inner;
                        let weight = f64::from(weight);
                        loss -= weight * q(position, class) * p64[at].ln();
                        want[at] = 0.5 * weight * (p64[at] - q(position, class));
                    }
                }
                let got = cross_entropy(&dims, &p, &targets);
                assert!((got - loss).abs() <= 1e-5 * loss.abs().max(1.0), "{got}, not {loss}");
                let mut dx = vec![f32::NAN; dims.count()];
                cross_entropy_backward(&dims, &p, &targets, 0.5, &mut dx);
                close(&dx, &want);
            }
        }
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let dims = SoftmaxDims { outer: 1, classes: 2, inner: 2 };
        let mut y = [0.0; 4];
        softmax(&dims, &[1e4, -1e4, 1e4, 1e4], &mut y, &mut [0.0; 2]);
        assert_eq!(y, [0.5, 0.0, 0.5, 1.0]);
    }
}
