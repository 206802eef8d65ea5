//! Means of windows, weighted or not, the roots of sums of squares, and their gradients.

use super::{
    Axis, Pool, beside,
    lists::Lists,
    picks, same, square,
    sums::{Share, Sums},
};
use crate::kernels::{
    elementwise::vectorized,
    parallel::for_chunks_mut,
    simd::{Divisor, Divisors, Isa, Job, Simd, picks::Picks, plane_sums, squares::Squares},
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
    /// By row of a window, and by column.
    rows: Vec<f32>,
    columns: Vec<f32>,
    /// By output of a plane, and -1 over each.
    norms: Vec<f32>,
    minus_inverses: Vec<f32>,
    /// Whether all weights are 1.
    even: bool,
}

impl Weights {
    /// Weight 1 everywhere.
    pub fn even(pool: &Pool, norm: Norm) -> Self {
        let axes: Vec<_> = pool.axes.iter().map(|a| vec![1.0; a.kernel]).collect();
        Self { even: true, ..Self::of(pool, &axes, norm) }
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
        let (columns, outer) = axes.split_last().expect("a plane has an axis");
        let rows = outer.iter().fold(vec![1.0], |all, weights| product(&all, weights));
        let norms = norms.fold(vec![1.0], |all, norms| product(&all, &norms));
        let minus_inverses = norms.iter().map(|norm| -1.0 / norm).collect();
        Self { rows, columns: columns.clone(), norms, minus_inverses, even: false }
    }

    /// What sums are divided by.
    fn norms(&self) -> Divisors<'_> {
        Divisors { by: &self.norms, minus_inverse: &self.minus_inverses }
    }

    /// Whether all sums are divided by the same.
    fn has_one_norm(&self) -> bool {
        self.norms.iter().all(|norm| *norm == self.norms[0])
    }

    /// Lends `f` the lists of rows that sums, or, `back`, gradients go by, with the weights of rows.
    fn lists<R>(&self, pool: &Pool, back: bool, f: impl FnOnce(Lists<'_>) -> R) -> R {
        Lists::lend(pool, back, |tap| self.rows[tap], f)
    }
}

/// How sums are taken, and what all planes need for it.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// Of whole planes.
    Global(Divisor),
    /// Of small planes as one long row, by what counts of what taps meet.
    Same(&'a [f32], Divisor),
    /// Straight from the plane, windows of two by two or three by three that move by two.
    ByTwo(&'a Squares),
    /// Of small planes side by side.
    Beside,
    /// Along the rows and down.
    Rows(Lists<'a>),
}

impl Way<'_> {
    /// Lends `f` the best for sums, or, with `SQUARES`, for those of squares.
    fn lend<const SQUARES: bool, R>(
        isa: Isa,
        pool: &Pool,
        weights: &Weights,
        f: impl FnOnce(Way<'_>) -> R,
    ) -> R {
        let norm = Divisor::new(weights.norms[0]);
        match weights.even {
            true if pool.is_global() => f(Way::Global(norm)),
            true if !SQUARES && same::fits(pool) && weights.has_one_norm() => {
                same::lend_edges(pool, same::KEPT, |edges| f(Way::Same(edges, norm)))
            }
            true if !SQUARES && square::means_pay(isa, pool) && square::fills(isa, pool) => {
                f(Way::ByTwo(&square::ready(isa, pool)))
            }
            true if !SQUARES && beside::sums_pay(isa, pool) => f(Way::Beside),
            _ => weights.lists(pool, false, |lists| f(Way::Rows(lists))),
        }
    }
}

/// How gradients of sums are taken, and what all planes need for it.
#[derive(Clone, Copy)]
enum WayBack<'a> {
    /// Of whole planes.
    Global(Divisor),
    /// Of small planes as one long row, by what counts of what taps meet.
    Same(&'a [f32], Divisor),
    /// Straight to the plane, windows of two by two or three by three that move by two.
    ByTwo,
    /// Of small planes, registers that are picked.
    Picks(Picks<'a>),
    /// Along the rows and down.
    Rows(Lists<'a>),
}

impl WayBack<'_> {
    /// Lends `f` the best.
    fn lend<R>(isa: Isa, pool: &Pool, weights: &Weights, f: impl FnOnce(WayBack<'_>) -> R) -> R {
        let norm = Divisor::new(weights.norms[0]);
        match weights.even {
            true if pool.is_global() => f(WayBack::Global(norm)),
            true if same::fits(pool) && weights.has_one_norm() => {
                same::lend_edges(pool, same::KEPT, |edges| f(WayBack::Same(edges, norm)))
            }
            true if picks::pay(isa, pool) => picks::lend(isa, pool, |picks| f(WayBack::Picks(picks))),
            true if square::means_pay(isa, pool) && square::spreads(isa, pool) => f(WayBack::ByTwo),
            _ => weights.lists(pool, true, |lists| f(WayBack::Rows(lists))),
        }
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
    WayBack::lend(isa, pool, weights, |way| {
        for_chunks_mut(dx, planes * inputs, |start, dx| {
            let dy = &dy[start / inputs * outputs..];
            match way {
                WayBack::Global(norm) => isa.run(Fill { norm: norm.by, plane: inputs, dy, dx }),
                WayBack::Same(edges, norm) => same::means::<true>(isa, pool, norm, edges, dy, dx),
                WayBack::ByTwo => square::means_backward(isa, pool, weights.norms(), dy, dx),
                WayBack::Picks(picks) => picks::mean_backward(isa, pool, weights.norms(), picks, dy, dx),
                WayBack::Rows(lists) => {
                    let sums = Sums::back(pool, &weights.columns, lists);
                    sums.backward(isa, dy, dx, Share::Over(weights.norms()));
                }
            }
        });
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
    weights.lists(pool, true, |lists| {
        for_chunks_mut(dx, planes * inputs, |start, part| {
            let first = start / inputs * outputs;
            let sums = Sums::back(pool, &weights.columns, lists);
            sums.backward(isa, &dy[first..], part, Share::OverRoot(&y[first..]));
            let x = &x[start..][..part.len()];
            vectorized(
                #[inline(always)]
                || part.iter_mut().zip(x).for_each(|(d, x)| *d *= x),
            );
        });
    });
}

/// y = the sum of weight * x over each window, divided by its norm; or, of squares, its root.
fn forward<const SQUARES: bool>(isa: Isa, pool: &Pool, weights: &Weights, x: &[f32], y: &mut [f32]) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(x.len() == pool.planes * inputs && y.len() == pool.planes * outputs);
    Way::lend::<SQUARES, _>(isa, pool, weights, |way| {
        for_chunks_mut(y, planes * outputs, |start, y| {
            let x = &x[start / outputs * inputs..];
            match way {
                Way::Global(norm) => {
                    plane_sums::<SQUARES>(isa, &x[..y.len() * inputs], inputs, y);
                    y.iter_mut().for_each(|y| *y = if SQUARES { y.sqrt() } else { *y / norm.by });
                }
                Way::Same(edges, norm) => same::means::<false>(isa, pool, norm, edges, x, y),
                Way::ByTwo(how) => square::means(isa, pool, how, weights.norms(), x, y),
                Way::Beside => beside::mean(isa, pool, weights.norms(), x, y),
                Way::Rows(lists) => {
                    let sums = Sums::new(pool, &weights.columns, lists);
                    sums.forward::<SQUARES>(isa, x, y, weights.norms());
                }
            }
        });
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
