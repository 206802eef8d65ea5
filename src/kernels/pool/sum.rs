//! Weighted sums over windows: means, means weighted by distance, and Euclidean norms.

use super::{
    Axis, Pool, beside,
    fold::{Fold, Outputs, fold},
    long::sums,
    long_back::sums_backward,
    rows::scratch_len,
    spread::{Spread, spread},
};
use crate::kernels::{
    elementwise::vectorized,
    parallel::for_chunks_mut,
    scratch,
    simd::{
        Isa, Job, Simd, plane_sums,
        windows::{Taps, sum},
    },
};

/// What the sum over a window is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// The positions of the window that lie on the input or its padding, as Caffe's mean does.
    Padded,
    /// The weights of the positions that lie on the input.
    Inside,
}

/// The weight of each position of a window, a product over its axes, and what each sum is divided by.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// By position; none where all are 1.
    window: Vec<f32>,
    /// By output of a plane.
    norms: Vec<f32>,
}

impl Weights {
    /// Weight 1 everywhere.
    pub fn even(pool: &Pool, norm: Norm) -> Self {
        let axes: Vec<_> = pool.axes.iter().map(|a| vec![1.0; a.kernel]).collect();
        Self { window: vec![], ..Self::of(pool, &axes, norm) }
    }

    /// exp(-d^2 / (2 sigma^2)), where d is the distance from the window's centre and `sigma` is given for each axis.
    pub fn gaussian(pool: &Pool, sigma: &[f32]) -> Self {
        let axis = |a: &Axis, sigma: f32| {
            let distance = |k| (k as f32 - (a.kernel - 1) as f32 / 2.0) / sigma;
            (0..a.kernel).map(|k| (-distance(k).powi(2) / 2.0).exp()).collect()
        };
        let axes: Vec<_> = pool.axes.iter().zip(sigma).map(|(a, &sigma)| axis(a, sigma)).collect();
        Self::of(pool, &axes, Norm::Inside)
    }

    fn of(pool: &Pool, axes: &[Vec<f32>], norm: Norm) -> Self {
        let product = |a: &[f32], b: &[f32]| -> Vec<f32> {
            a.iter().flat_map(|a| b.iter().map(move |b| a * b)).collect()
        };
        let norms = pool.axes.iter().zip(axes).map(|(axis, weights)| -> Vec<f32> {
            let inside = |o: usize| axis.window(o).map(|i| weights[axis.tap(o, i)]).sum();
            let norm = |o| match norm {
                Norm::Padded => axis.padded_extent(o) as f32,
                Norm::Inside => inside(o),
            };
            (0..axis.output).map(norm).collect()
        });
        let mut all = Self { window: vec![1.0], norms: vec![1.0] };
        for (weights, norms) in axes.iter().zip(norms) {
            all.window = product(&all.window, weights);
            all.norms = product(&all.norms, &norms);
        }
        all
    }

    fn is_even(&self) -> bool {
        self.window.is_empty()
    }
}

/// y = the weighted mean of each window.
pub fn weighted_mean(pool: &Pool, weights: &Weights, x: &[f32], y: &mut [f32]) {
    forward::<false>(Isa::best(), pool, weights, x, y);
}

/// dx, given dy of [`weighted_mean`].
pub fn weighted_mean_backward(pool: &Pool, weights: &Weights, dy: &[f32], dx: &mut [f32]) {
    mean_backward(Isa::best(), pool, weights, dy, dx);
}

/// [`weighted_mean_backward`] by one instruction set.
fn mean_backward(isa: Isa, pool: &Pool, weights: &Weights, dy: &[f32], dx: &mut [f32]) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(dx.len() == pool.planes * inputs && dy.len() == pool.planes * outputs);
    for_chunks_mut(dx, planes * inputs, |start, dx| {
        let dy = &dy[start / inputs * outputs..];
        if weights.is_even() && pool.is_global() {
            isa.run(Fill { norm: weights.norms[0], plane: inputs, dy, dx });
        } else if !weights.is_even()
            || !(sums_backward(isa, pool, &weights.norms, dy, dx)
                || beside::mean_backward(isa, pool, &weights.norms, dy, dx))
        {
            scattered(isa, pool, weights, dx, [dy, &[]]);
        }
    });
}

/// y = the square root of the sum of squares over each window.
pub fn l2(pool: &Pool, weights: &Weights, x: &[f32], y: &mut [f32]) {
    forward::<true>(Isa::best(), pool, weights, x, y);
}

/// dx = x * the sum of dy / y, given y and dy of [`l2`]; 0 where y is 0.
pub fn l2_backward(pool: &Pool, weights: &Weights, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
    norm_backward(Isa::best(), pool, weights, [x, y, dy], dx);
}

/// [`l2_backward`] by one instruction set.
fn norm_backward(isa: Isa, pool: &Pool, weights: &Weights, [x, y, dy]: [&[f32]; 3], dx: &mut [f32]) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(x.len() == dx.len() && y.len() == dy.len());
    assert!(dx.len() == pool.planes * inputs && dy.len() == pool.planes * outputs);
    for_chunks_mut(dx, planes * inputs, |start, part| {
        let range = start / inputs * outputs..(start + part.len()) / inputs * outputs;
        scattered(isa, pool, weights, part, [&dy[range.clone()], &y[range]]);
        let x = &x[start..][..part.len()];
        vectorized(
            #[inline(always)]
            || part.iter_mut().zip(x).for_each(|(d, x)| *d *= x),
        );
    });
}

/// y = the sum of weight * x over each window, divided by its norm; or, of squares, its root.
fn forward<const SQUARES: bool>(isa: Isa, pool: &Pool, weights: &Weights, x: &[f32], y: &mut [f32]) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(x.len() == pool.planes * inputs && y.len() == pool.planes * outputs);
    for_chunks_mut(y, planes * outputs, |start, y| {
        let x = &x[start / outputs * inputs..];
        if weights.is_even() && pool.is_global() {
            plane_sums::<SQUARES>(isa, &x[..y.len() * inputs], inputs, y);
            let norm = weights.norms[0];
            y.iter_mut().for_each(|y| *y = if SQUARES { y.sqrt() } else { *y / norm });
        } else if !SQUARES && weights.is_even() && sums(isa, pool, x, y) {
            isa.run(Divide { norms: &weights.norms, y });
        } else if SQUARES || !weights.is_even() || !beside::mean(isa, pool, &weights.norms, x, y) {
            let planes = y.len() / outputs;
            fold(isa, pool, (x, planes), &mut Sums::<SQUARES> { weights, y });
        }
    });
}

/// Values ahead of the last written whose lines are asked for.
const AHEAD: usize = 128;

/// Each plane of `dx` = its `dy` over `norm`.
struct Fill<'a> {
    norm: f32,
    plane: usize,
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Job for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (dx, dy) in self.dx.chunks_exact_mut(self.plane).zip(self.dy) {
            let share = simd.splat(dy / self.norm);
            for at in (0..dx.len()).step_by(S::LANES) {
                let dx = &mut dx[at..];
                simd.prefetch_to_write(dx.as_ptr().wrapping_add(AHEAD));
                simd.write_first(dx, share);
            }
        }
    }
}

/// Each plane of `y` over its `norms`.
struct Divide<'a> {
    norms: &'a [f32],
    y: &'a mut [f32],
}

impl Job for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for y in self.y.chunks_exact_mut(self.norms.len()) {
            for at in (0..y.len()).step_by(S::LANES) {
                let norms = simd.read_first(&self.norms[at..]);
                let y = &mut y[at..];
                simd.write_first(y, simd.div(simd.read_first(y), norms));
            }
        }
    }
}

/// Sums over windows.
struct Sums<'a, const SQUARES: bool> {
    weights: &'a Weights,
    y: &'a mut [f32],
}

impl<const SQUARES: bool> Fold for Sums<'_, SQUARES> {
    const REPEATS: bool = false;

    #[inline(always)]
    fn fold<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        lines: &[f32],
        step: usize,
        taps: Taps<'_>,
        to: Outputs,
    ) {
        let Weights { window, norms } = self.weights;
        let outputs = norms.len();
        let sums = sum::<S, N, SQUARES>(simd, lines, step, taps, window);
        for (i, sum) in sums.into_iter().enumerate() {
            let y = if SQUARES {
                simd.sqrt(sum)
            } else {
                simd.div(sum, simd.read_first(&norms[(to.first + i * to.step) % outputs..]))
            };
            simd.write_first(&mut self.y[to.range(i)], y);
        }
    }
}

/// dx = the sum of weight * share over the windows that hold it: dy over the window's norm; or dy / y, given y.
fn scattered(isa: Isa, pool: &Pool, weights: &Weights, dx: &mut [f32], [dy, y]: [&[f32]; 2]) {
    scratch::lend(scratch_len(pool, isa.lanes()), |scratch| {
        isa.run(Share { pool, dx, scratch, shares: Shares { weights, dy, y } });
    });
}

struct Share<'a> {
    pool: &'a Pool,
    dx: &'a mut [f32],
    scratch: &'a mut [f32],
    shares: Shares<'a>,
}

impl Job for Share<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        spread(simd, self.pool, self.scratch, self.dx, &mut self.shares);
    }
}

/// Shares of each output.
struct Shares<'a> {
    weights: &'a Weights,
    dy: &'a [f32],
    /// Empty for means.
    y: &'a [f32],
}

impl Spread for Shares<'_> {
    #[inline(always)]
    fn line<S: Simd>(&mut self, simd: S, first: usize, row: usize, line: &mut [f32]) {
        let n = line.len();
        let norms = &self.weights.norms[row * n..];
        let dy = &self.dy[first..][..n];
        for j in (0..n).step_by(S::LANES) {
            let dy = simd.read_first(&dy[j..]);
            let share = if self.y.is_empty() {
                simd.div(dy, simd.read_first(&norms[j..]))
            } else {
                let (y, zero) = (simd.read_first(&self.y[first..][..n][j..]), simd.splat(0.0));
                simd.where_greater(y, zero, simd.div(dy, y), zero)
            };
            simd.write_first(&mut line[j..], share);
        }
    }

    #[inline(always)]
    fn prefetch<S: Simd>(&self, simd: S, at: usize) {
        simd.prefetch(self.dy.as_ptr().wrapping_add(at));
    }

    #[inline(always)]
    fn gather<S: Simd, const N: usize>(
        &self,
        simd: S,
        lines: &[f32],
        step: usize,
        taps: Taps<'_>,
    ) -> [S::V; N] {
        sum::<S, N, false>(simd, lines, step, taps, &self.weights.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::pool::tests::{assert_close, geometries, values, windows};

    /// The weights of each output's inputs, divided by its norm, plainly.
    fn plain(pool: &Pool, weight: impl Fn(usize, usize) -> f32, norm: Norm) -> Vec<Vec<(usize, f32)>> {
        let windows = windows(pool);
        let outputs: Vec<usize> = pool.axes.iter().map(|a| a.output).collect();
        (windows.iter().enumerate())
            .map(|(o, window)| {
                let mut o = o;
                let mut area = 1;
                for (a, n) in pool.axes.iter().zip(&outputs).rev() {
                    let start = (o % n * a.stride) as i64 - a.pad as i64;
                    area *= (start + a.kernel as i64).min((a.input + a.pad) as i64) - start;
                    o /= n;
                }
                let of =
                    |taps: &[usize]| taps.iter().enumerate().map(|(d, &k)| weight(d, k)).product::<f32>();
                let sum: f32 = window.iter().map(|(_, taps)| of(taps)).sum();
                let norm = if norm == Norm::Padded { area as f32 } else { sum };
                window.iter().map(|(i, taps)| (*i, of(taps) / norm)).collect()
            })
            .collect()
    }

    fn check_mean(isa: Isa, pool: &Pool, weights: &Weights, plain: &[Vec<(usize, f32)>]) {
        let (inputs, outputs) = (pool.inputs(), pool.outputs());
        let x = values(pool.planes * inputs);
        let mut y = vec![f32::NAN; pool.planes * outputs];
        forward::<false>(isa, pool, weights, &x, &mut y);
        let mean =
            |x: &[f32]| plain.iter().map(|w| w.iter().map(|&(i, w)| w * x[i]).sum()).collect::<Vec<f32>>();
        assert_close(&y, &x.chunks(inputs).flat_map(mean).collect::<Vec<_>>(), pool);

        let dy = values(y.len());
        let (mut dx, mut want) = (vec![f32::NAN; x.len()], vec![0.0; x.len()]);
        mean_backward(isa, pool, weights, &dy, &mut dx);
        for (want, dy) in want.chunks_mut(inputs).zip(dy.chunks(outputs)) {
            for (d, window) in dy.iter().zip(plain) {
                window.iter().for_each(|&(i, w)| want[i] += w * d);
            }
        }
        assert_close(&dx, &want, pool);
    }

    #[test]
    fn means_equal_the_plain_ones() {
        for pool in geometries() {
            let even = Weights::even(&pool, Norm::Padded);
            let ones = plain(&pool, |_, _| 1.0, Norm::Padded);
            Isa::all().for_each(|isa| check_mean(isa, &pool, &even, &ones));
            let sigma: Vec<f32> = (0..pool.axes.len()).map(|d| 0.7 + d as f32).collect();
            let weight = |d: usize, k: usize| {
                let from_centre = k as f32 - (pool.axes[d].kernel as f32 - 1.0) / 2.0;
                (-from_centre * from_centre / (2.0 * sigma[d] * sigma[d])).exp()
            };
            let (gaussian, bells) = (Weights::gaussian(&pool, &sigma), plain(&pool, weight, Norm::Inside));
            Isa::all().for_each(|isa| check_mean(isa, &pool, &gaussian, &bells));
        }
    }

    #[test]
    fn norms_equal_the_plain_ones() {
        for (pool, isa) in
            geometries().into_iter().flat_map(|pool| Isa::all().map(move |isa| (pool.clone(), isa)))
        {
            let (inputs, outputs) = (pool.inputs(), pool.outputs());
            let weights = Weights::even(&pool, Norm::Inside);
            let x = values(pool.planes * inputs);
            let mut y = vec![f32::NAN; pool.planes * outputs];
            forward::<true>(isa, &pool, &weights, &x, &mut y);
            let dy = values(y.len());
            let mut dx = vec![f32::NAN; x.len()];
            norm_backward(isa, &pool, &weights, [&x, &y, &dy], &mut dx);
            let windows = windows(&pool);
            let mut back = vec![0.0; x.len()];
            for (p, x) in x.chunks(inputs).enumerate() {
                for (o, window) in windows.iter().enumerate() {
                    let norm = window.iter().map(|&(i, _)| x[i] * x[i]).sum::<f32>().sqrt();
                    let at = p * outputs + o;
                    assert!((y[at] - norm).abs() < 1e-5 * norm.max(1.0), "{pool:?}");
                    if norm > 0.0 {
                        window.iter().for_each(|&(i, _)| back[p * inputs + i] += dy[at] * x[i] / norm);
                    }
                }
            }
            assert_close(&dx, &back, &pool);
        }
    }

    #[test]
    fn the_mean_of_nothing_but_zeros_has_no_slope() {
        let pool = Pool { planes: 1, axes: vec![Axis::fit(2, 2, 2, 0, true).unwrap()] };
        let mut dx = [f32::NAN; 2];
        l2_backward(&pool, &Weights::even(&pool, Norm::Inside), &[0.0; 2], &[0.0], &[1.0], &mut dx);
        assert_eq!(dx, [0.0; 2]);
    }
}
