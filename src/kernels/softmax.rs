//! Softmax over one axis of a blob seen as `outer x classes x inner`, its derivative, and cross entropy on top.
//!
//! Two layouts: classes side by side (`inner` is 1, a classifier) are done row by row (`softmax/rows.rs`); otherwise
//! classes lie `inner` apart (a label per pixel), and some registers of positions go through all classes together
//! (`softmax/columns.rs`). Either way what is read for the largest is near when it is read again, and so is what is
//! written; so it moves what a copy moves.

mod columns;
mod rows;
mod short;

use super::{
    elementwise::{FAR, evaluate_own},
    parallel::{CHUNK, for_chunks_mut, for_column_blocks, sum_chunks},
    scratch,
    simd::{Each, Isa, MatMut, Portable, Simd, ln},
};

/// Positions that blocks of columns are made of: lines of the cache enough to be read from end to end.
const COLUMNS: usize = 256;

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

    /// Where the value of class 0 at a position stands; those of the other classes follow `inner` apart.
    #[inline(always)]
    pub fn start(&self, position: usize) -> usize {
        position / self.inner * self.classes * self.inner + position % self.inner
    }

    /// Whole rows of classes, about a chunk of them.
    pub(super) fn rows_chunk(&self) -> usize {
        self.classes * (CHUNK / self.classes.max(1)).max(1)
    }

    /// Calls `f(start, block)` for blocks of positions of `values`: a matrix with a row for each class, and the index of its first
    /// value.
    fn for_columns(&self, values: &mut [f32], f: impl Fn(usize, MatMut<'_>) + Sync) {
        let image = self.classes * self.inner;
        let width = (CHUNK / self.classes.max(1)).next_multiple_of(COLUMNS);
        for_chunks_mut(values, image * (CHUNK / image.max(1)).max(1), |start, values| {
            for (i, values) in values.chunks_exact_mut(image).enumerate() {
                let matrix = MatMut::new(values, self.classes, self.inner, self.inner);
                for_column_blocks(matrix, width, &|column, block| f(start + i * image + column, block));
            }
        });
    }

    /// Whole runs along `inner`, about a chunk of them.
    fn runs_chunk(&self) -> usize {
        self.inner * (CHUNK / self.inner.max(1)).max(1)
    }
}

/// y = exp(x) / sum of exp(x) over the classes, shifted by the largest x so that nothing overflows.
pub fn softmax(dims: &SoftmaxDims, x: &[f32], y: &mut [f32]) {
    softmax_on(Isa::best(), dims, x, y);
}

/// [`softmax`] by one instruction set.
fn softmax_on(isa: Isa, dims: &SoftmaxDims, x: &[f32], y: &mut [f32]) {
    assert!(x.len() == dims.count() && y.len() == x.len());
    if x.is_empty() {
        return;
    }
    let far = y.len() >= FAR;
    if dims.inner == 1 {
        for_chunks_mut(y, dims.rows_chunk(), |start, y| {
            isa.run(rows::Shares { classes: dims.classes, x: &x[start..][..y.len()], y, far });
        });
    } else {
        dims.for_columns(y, |start, y| {
            scratch::lend(dims.classes * columns::MOST, |near| {
                isa.run(columns::Shares { x: &x[start..], y, near, far });
            });
        });
    }
}

/// dE/dx = y * (dE/dy - sum of dE/dy * y over the classes).
pub fn softmax_backward(dims: &SoftmaxDims, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    softmax_backward_on(Isa::best(), dims, [y, dy], dx);
}

/// [`softmax_backward`] by one instruction set.
fn softmax_backward_on(isa: Isa, dims: &SoftmaxDims, [y, dy]: [&[f32]; 2], dx: &mut [f32]) {
    assert!(y.len() == dims.count() && dy.len() == y.len() && dx.len() == y.len());
    if y.is_empty() {
        return;
    }
    let far = dx.len() >= FAR;
    if dims.inner == 1 {
        for_chunks_mut(dx, dims.rows_chunk(), |start, dx| {
            isa.run(rows::Slopes { classes: dims.classes, y: &y[start..], dy: &dy[start..], dx, far });
        });
    } else {
        dims.for_columns(dx, |start, dx| {
            scratch::lend(2 * dims.classes * columns::MOST, |near| {
                isa.run(columns::Slopes { y: &y[start..], dy: &dy[start..], dx, near, far });
            });
        });
    }
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

/// Positions whose costs are found together.
const TOGETHER: usize = 256;

/// -ln(p), of at least the least positive normal number; not a number where p is none.
#[derive(Clone, Copy)]
struct Cost;

impl Each<1, 1> for Cost {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [p]: [S::V; 1]) -> [S::V; 1] {
        let p = simd.max(simd.splat(f32::MIN_POSITIVE), p);
        [simd.mul(ln(simd, p), simd.splat(-1.0))]
    }
}

/// The sum over positions of weight * -sum over classes of q * ln(max(p, least positive normal number)).
pub fn cross_entropy(dims: &SoftmaxDims, p: &[f32], targets: &Targets<'_>) -> f64 {
    let (own, each) = targets.shares(dims.classes);
    let chunk = if each == 0.0 { CHUNK } else { (CHUNK / dims.classes.max(1)).max(1) };
    sum_chunks(dims.positions(), chunk, |range| {
        let (mut sum, mut at, mut costs) = (0.0, range.start, [0.0; TOGETHER]);
        while at < range.end {
            // Positions whose values follow each other, or, class by class, do so in steps.
            let run = if dims.inner == 1 { TOGETHER } else { dims.inner - at % dims.inner };
            let costs = &mut costs[..run.min(TOGETHER).min(range.end - at)];
            let (start, step) = (dims.start(at), if dims.inner == 1 { dims.classes } else { 1 });
            let (classes, weights) = (&targets.classes[at..][..costs.len()], &targets.weights[at..]);
            for (i, (cost, &class)) in costs.iter_mut().zip(classes).enumerate() {
                *cost = p[start + i * step + class as usize * dims.inner];
            }
            evaluate_own(costs, Cost);
            for (i, (of_own, &weight)) in costs.iter().zip(weights).enumerate() {
                if weight == 0.0 {
                    continue;
                }
                let mut term = own * of_own;
                if each != 0.0 {
                    let all = p[start + i * step..].iter().step_by(dims.inner).take(dims.classes);
                    term += each * all.map(|&p| Cost.of(Portable, [[p; 4]])[0][0]).sum::<f32>();
                }
                sum += f64::from(weight) * f64::from(term);
            }
            at += costs.len();
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
    cross_entropy_backward_on(Isa::best(), dims, p, (targets, scale), dx);
}

/// [`cross_entropy_backward`] by one instruction set.
fn cross_entropy_backward_on(
    isa: Isa,
    dims: &SoftmaxDims,
    p: &[f32],
    (targets, scale): (&Targets<'_>, f32),
    dx: &mut [f32],
) {
    assert!(p.len() == dims.count() && dx.len() == p.len());
    if dx.is_empty() {
        return;
    }
    let (own, each) = targets.shares(dims.classes);
    let wanted = |first: usize| Wanted {
        own,
        each,
        scale,
        labels: &targets.classes[first..],
        weights: &targets.weights[first..],
    };
    if dims.inner == 1 {
        for_chunks_mut(dx, dims.rows_chunk(), |start, dx| {
            let (classes, wanted) = (dims.classes, wanted(start / dims.classes));
            isa.run(rows::Misses { classes, wanted, p: &p[start..], dx });
        });
        return;
    }
    dims.for_columns(dx, |start, dx| {
        let first = start / (dims.classes * dims.inner) * dims.inner + start % dims.inner;
        isa.run(columns::Misses { wanted: wanted(first), p: &p[start..], dx });
    });
}

/// What the shares of some positions and more are held against: scale * weight * (p - q), where q is `each`, and `own` more for the
/// label.
struct Wanted<'a> {
    own: f32,
    each: f32,
    scale: f32,
    labels: &'a [u32],
    weights: &'a [f32],
}

#[cfg(test)]
mod tests {
    use super::{super::elementwise::evaluate_own_on, *};

    const SHAPES: &[(usize, usize, usize)] = &[
        (1, 1, 1),
        (3, 1, 2),
        (2, 5, 1),
        (7, 33, 1),
        (2, 3, 5),
        (1, 2, 40_001),
        (3, 17, 257),
        (5, 100, 1),
        (1100, 2, 1),
        (70, 3, 1),
        (113, 5, 1),
        (41, 10, 1),
        (64, 16, 1),
        (141, 21, 1),
        (17, 32, 1),
        (0, 4, 3),
        (0, 4, 1),
        // Written past the caches.
        (FAR / 100 + 1, 100, 1),
        (65, 4, FAR / 256),
        (129, 5, FAR / 640 - 7),
    ];

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
            let want = plain(&dims, &x);
            let slope = (0..n).map(|i| {
                let position = i / (classes * inner) * inner + i % inner;
                let all = (0..classes).map(|c| dims.start(position) + c * inner);
                want[i] * (f64::from(dy[i]) - all.map(|j| want[j] * f64::from(dy[j])).sum::<f64>())
            });
            let slope: Vec<f64> = slope.collect();
            for isa in Isa::all() {
                let (mut y, mut dx) = (vec![f32::NAN; n], vec![f32::NAN; n]);
                softmax_on(isa, &dims, &x, &mut y);
                close(&y, &want);
                softmax_backward_on(isa, &dims, [&y, &dy], &mut dx);
                close(&dx, &slope);
            }
        }
    }

    /// What is not a number makes its distribution such, and no other; as does an infinite score.
    #[test]
    fn no_number_spreads_over_its_position_alone() {
        for (classes, inner) in [(1, 1), (3, 1), (20, 1), (40, 1), (3, 5), (2, 300)] {
            let dims = SoftmaxDims { outer: 2, classes, inner };
            for bad in [f32::NAN, f32::INFINITY] {
                let mut x = values(dims.count(), 1);
                x[classes * inner - 1] = bad;
                let hit = |i: usize| i < classes * inner && i % inner == inner - 1;
                for isa in Isa::all() {
                    let mut y = vec![0.0f32; x.len()];
                    softmax_on(isa, &dims, &x, &mut y);
                    assert!(y.iter().enumerate().all(|(i, y)| y.is_nan() == hit(i)), "{dims:?} {bad}");
                }
            }
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
                for isa in Isa::all() {
                    let mut dx = vec![f32::NAN; dims.count()];
                    cross_entropy_backward_on(isa, &dims, &p, (&targets, 0.5), &mut dx);
                    close(&dx, &want);
                }
            }
        }
    }

    #[test]
    fn no_number_makes_a_loss_that_is_none() {
        for (classes, inner) in [(2, 1), (40, 1), (3, 300)] {
            let dims = SoftmaxDims { outer: 2, classes, inner };
            let mut p = vec![0.25; dims.count()];
            p[0] = f32::NAN;
            let (labels, weights) = (vec![0; dims.positions()], vec![1.0; dims.positions()]);
            for smoothing in [0.0, 0.2] {
                let targets = Targets { classes: &labels, weights: &weights, smoothing };
                assert!(cross_entropy(&dims, &p, &targets).is_nan(), "{dims:?} {smoothing}");
            }
        }
        // What the costs of a whole register, and of its end, are made by.
        for isa in Isa::all() {
            let mut costs = vec![f32::NAN; 2 * isa.lanes() + 1];
            costs[1] = 0.0;
            evaluate_own_on(isa, &mut costs, Cost);
            assert!(
                costs.iter().enumerate().all(|(i, cost)| cost.is_nan() == (i != 1)),
                "{isa:?}: {costs:?}"
            );
            assert!((costs[1] - 87.3365).abs() < 1e-3, "{}", costs[1]);
        }
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let dims = SoftmaxDims { outer: 1, classes: 2, inner: 2 };
        let mut y = [0.0; 4];
        softmax(&dims, &[1e4, -1e4, 1e4, 1e4], &mut y);
        assert_eq!(y, [0.5, 0.0, 0.5, 1.0]);
    }
}
