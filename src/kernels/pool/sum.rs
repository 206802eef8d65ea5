//! Weighted sums over windows: means, means weighted by distance, and Euclidean norms.

use super::{Axis, Pool, cells, edges, for_rows};
use crate::kernels::{elementwise::vectorized, parallel::for_chunks_mut};

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
    /// By row of the window.
    rows: Vec<f32>,
    /// By position in a row.
    taps: Vec<f32>,
    /// By row of outputs; the divisor is the product of both.
    row_norms: Vec<f32>,
    /// By output in a row.
    norms: Vec<f32>,
    even: bool,
}

impl Weights {
    /// Weight 1 everywhere.
    pub fn even(pool: &Pool, norm: Norm) -> Self {
        let axes: Vec<_> = pool.axes.iter().map(|a| vec![1.0; a.kernel]).collect();
        Self::of(pool, &axes, norm)
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
        let mut all = Self {
            rows: vec![1.0],
            taps: vec![1.0],
            row_norms: vec![1.0],
            norms: vec![1.0],
            even: axes.iter().flatten().all(|&w| w == 1.0),
        };
        for (weights, norms) in axes.iter().zip(norms) {
            all.rows = product(&all.rows, &all.taps);
            all.row_norms = product(&all.row_norms, &all.norms);
            (all.taps, all.norms) = (weights.clone(), norms);
        }
        all
    }
}

/// y = the weighted mean of each window.
pub fn weighted_mean(pool: &Pool, weights: &Weights, x: &[f32], y: &mut [f32]) {
    forward(pool, weights, x, y, &Sum { value: |x| x, finish: |sum, norm| sum / norm });
}

/// dx, given dy of [`weighted_mean`].
pub fn weighted_mean_backward(pool: &Pool, weights: &Weights, dy: &[f32], dx: &mut [f32]) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(dx.len() == pool.planes * inputs && dy.len() == pool.planes * outputs);
    for_chunks_mut(dx, planes * inputs, |start, dx| {
        let dy = &dy[start / inputs * outputs..];
        for (dx, dy) in dx.chunks_exact_mut(inputs).zip(dy.chunks_exact(outputs)) {
            if weights.even && pool.is_global() {
                dx.fill(dy[0] / (weights.row_norms[0] * weights.norms[0]));
                continue;
            }
            spread(
                pool,
                weights,
                dx,
                |o| {
                    let dy = &dy[o * weights.norms.len()..][..weights.norms.len()];
                    (dy, &weights.norms[..], 1.0 / weights.row_norms[o])
                },
                |d, norm| d / norm,
            );
        }
    });
}

/// y = the square root of the sum of squares over each window.
pub fn l2(pool: &Pool, weights: &Weights, x: &[f32], y: &mut [f32]) {
    forward(pool, weights, x, y, &Sum { value: |x| x * x, finish: |sum: f32, _| sum.sqrt() });
}

/// dx = x * the sum of dy / y, given y and dy of [`l2`]; 0 where y is 0.
pub fn l2_backward(pool: &Pool, weights: &Weights, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(x.len() == dx.len() && y.len() == dy.len());
    assert!(dx.len() == pool.planes * inputs && dy.len() == pool.planes * outputs);
    for_chunks_mut(dx, planes * inputs, |start, part| {
        let range = start / inputs * outputs..(start + part.len()) / inputs * outputs;
        let from = y[range.clone()].chunks_exact(outputs).zip(dy[range].chunks_exact(outputs));
        for (dx, (y, dy)) in part.chunks_exact_mut(inputs).zip(from) {
            let row = weights.norms.len();
            let sources = |o: usize| (&dy[o * row..][..row], &y[o * row..][..row], 1.0);
            spread(pool, weights, dx, sources, |d, y| if y > 0.0 { d / y } else { 0.0 });
        }
        let x = &x[start..][..part.len()];
        vectorized(
            #[inline(always)]
            || part.iter_mut().zip(x).for_each(|(d, x)| *d *= x),
        );
    });
}

/// What is summed, and what becomes of a sum, given its norm.
struct Sum<V, F> {
    value: V,
    finish: F,
}

/// y = finish(sum of weight * value(x), norm).
fn forward(
    pool: &Pool,
    weights: &Weights,
    x: &[f32],
    y: &mut [f32],
    sum: &Sum<impl Fn(f32) -> f32 + Sync, impl Fn(f32, f32) -> f32 + Sync>,
) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(x.len() == pool.planes * inputs && y.len() == pool.planes * outputs);
    for_chunks_mut(y, planes * outputs, |start, y| {
        let x = &x[start / outputs * inputs..];
        for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
            let (axis, _) = pool.split();
            if weights.even && pool.is_global() {
                y[0] = (sum.finish)(whole(x, &sum.value), weights.row_norms[0] * weights.norms[0]);
                continue;
            }
            match (axis.kernel, axis.stride) {
                (2, 1) => rows(pool, weights, x, y, sum, fixed::<2, 1>),
                (2, 2) => rows(pool, weights, x, y, sum, fixed::<2, 2>),
                (3, 1) => rows(pool, weights, x, y, sum, fixed::<3, 1>),
                (3, 2) => rows(pool, weights, x, y, sum, fixed::<3, 2>),
                _ => rows(pool, weights, x, y, sum, any),
            }
        }
    });
}

/// The sum over a whole plane, in lanes.
fn whole(x: &[f32], value: impl Fn(f32) -> f32) -> f32 {
    vectorized(
        #[inline(always)]
        || {
            let (blocks, rest) = x.as_chunks::<16>();
            let mut lanes = [0.0; 16];
            for block in blocks {
                lanes.iter_mut().zip(block).for_each(|(lane, &v)| *lane += value(v));
            }
            lanes.iter().sum::<f32>() + rest.iter().map(|&v| value(v)).sum::<f32>()
        },
    )
}

/// A row of windows over a row of the plane, which begins with the first value of the first window.
struct Row<'a, V> {
    x: &'a [f32],
    weight: f32,
    taps: &'a [f32],
    stride: usize,
    value: &'a V,
}

#[inline(always)]
fn rows<V: Fn(f32) -> f32>(
    pool: &Pool,
    weights: &Weights,
    x: &[f32],
    y: &mut [f32],
    sum: &Sum<V, impl Fn(f32, f32) -> f32>,
    interior: impl Fn(Row<'_, V>, &mut [f32]),
) {
    let (axis, outer) = pool.split();
    let inside = axis.interior();
    vectorized(
        #[inline(always)]
        || {
            for (o, y) in y.chunks_exact_mut(axis.output).enumerate() {
                y.fill(0.0);
                for_rows(outer, o, |row, place| {
                    let (x, weight) = (&x[row * axis.input..][..axis.input], weights.rows[place]);
                    for o in edges(axis, &inside) {
                        for i in axis.window(o) {
                            y[o] += weight * weights.taps[axis.tap(o, i)] * (sum.value)(x[i]);
                        }
                    }
                    if !inside.is_empty() {
                        let x = &x[axis.window(inside.start).start..axis.window(inside.end - 1).end];
                        let row =
                            Row { x, weight, taps: &weights.taps, stride: axis.stride, value: &sum.value };
                        interior(row, &mut y[inside.clone()]);
                    }
                });
                let norms = &weights.norms[..y.len()];
                for (y, norm) in y.iter_mut().zip(norms) {
                    *y = (sum.finish)(*y, weights.row_norms[o] * norm);
                }
            }
        },
    );
}

/// A kernel of `K` at stride `S`.
#[inline(always)]
fn fixed<const K: usize, const S: usize>(row: Row<'_, impl Fn(f32) -> f32>, y: &mut [f32]) {
    let n = y.len();
    let taps: [&[[f32; S]]; K] = std::array::from_fn(
        #[inline(always)]
        |k| cells(row.x, k, n),
    );
    let weights: [f32; K] = std::array::from_fn(
        #[inline(always)]
        |k| row.weight * row.taps[k],
    );
    for i in 0..n {
        let mut sum = y[i];
        for k in 0..K {
            sum += weights[k] * (row.value)(taps[k][i][k.min(S - 1)]);
        }
        y[i] = sum;
    }
}

/// Any kernel and stride.
#[inline(always)]
fn any(row: Row<'_, impl Fn(f32) -> f32>, y: &mut [f32]) {
    for (k, tap) in row.taps.iter().enumerate() {
        let weight = row.weight * tap;
        if row.stride == 1 {
            y.iter_mut().zip(&row.x[k..]).for_each(|(y, &v)| *y += weight * (row.value)(v));
        } else {
            let x = row.x[k..].iter().step_by(row.stride);
            y.iter_mut().zip(x).for_each(|(y, &v)| *y += weight * (row.value)(v));
        }
    }
}

/// dx = the sum of weight * factor * share(a, b) over the windows that hold it; `sources(o)` gives a and b of output
/// row `o`, and the factor.
#[inline(always)]
fn spread<'a>(
    pool: &Pool,
    weights: &Weights,
    dx: &mut [f32],
    sources: impl Fn(usize) -> (&'a [f32], &'a [f32], f32),
    share: impl Fn(f32, f32) -> f32,
) {
    let (axis, _) = pool.split();
    match (axis.kernel, axis.stride) {
        (2, 1) => spread_rows(pool, weights, dx, sources, &share, fixed_back::<2, 1, _>),
        (2, 2) => spread_rows(pool, weights, dx, sources, &share, fixed_back::<2, 2, _>),
        (3, 1) => spread_rows(pool, weights, dx, sources, &share, fixed_back::<3, 1, _>),
        (3, 2) => spread_rows(pool, weights, dx, sources, &share, fixed_back::<3, 2, _>),
        _ => spread_rows(pool, weights, dx, sources, &share, any_back),
    }
}

/// The outputs of a row of windows, to be spread over a row of the plane.
struct RowBack<'a, F> {
    a: &'a [f32],
    b: &'a [f32],
    weight: f32,
    taps: &'a [f32],
    stride: usize,
    share: &'a F,
}

#[inline(always)]
fn spread_rows<'a, F: Fn(f32, f32) -> f32>(
    pool: &Pool,
    weights: &Weights,
    dx: &mut [f32],
    sources: impl Fn(usize) -> (&'a [f32], &'a [f32], f32),
    share: &F,
    interior: impl Fn(RowBack<'_, F>, &mut [f32]),
) {
    let (axis, outer) = pool.split();
    let inside = axis.interior();
    vectorized(
        #[inline(always)]
        || {
            dx.fill(0.0);
            for o in 0..weights.row_norms.len() {
                let (a, b, factor) = sources(o);
                for_rows(outer, o, |row, place| {
                    let dx = &mut dx[row * axis.input..][..axis.input];
                    let weight = factor * weights.rows[place];
                    for o in edges(axis, &inside) {
                        for i in axis.window(o) {
                            dx[i] += weight * weights.taps[axis.tap(o, i)] * share(a[o], b[o]);
                        }
                    }
                    if !inside.is_empty() {
                        let (a, b) = (&a[inside.clone()], &b[inside.clone()]);
                        let dx = &mut dx[axis.window(inside.start).start..axis.window(inside.end - 1).end];
                        interior(
                            RowBack { a, b, weight, taps: &weights.taps, stride: axis.stride, share },
                            dx,
                        );
                    }
                });
            }
        },
    );
}

/// A kernel of `K` at stride `S`: each cell of `S` inputs gathers from the few windows that reach it.
#[inline(always)]
fn fixed_back<const K: usize, const S: usize, F: Fn(f32, f32) -> f32>(row: RowBack<'_, F>, dx: &mut [f32]) {
    let (n, reach) = (row.a.len(), K.div_ceil(S) - 1);
    let weights: [f32; K] = std::array::from_fn(
        #[inline(always)]
        |k| row.weight * row.taps[k],
    );
    // The first and last cells lack a window: they are served from the outputs.
    let full = reach..n.max(reach);
    for o in (0..reach.min(n)).chain(n.saturating_sub(reach).max(reach.min(n))..n) {
        for k in 0..K {
            if !full.contains(&(o + k / S)) {
                dx[S * o + k] += weights[k] * (row.share)(row.a[o], row.b[o]);
            }
        }
    }
    let m = full.len();
    let cells = &mut dx[(S * reach).min(S * (n - 1) + K)..].as_chunks_mut::<S>().0[..m];
    for q in 0..=reach {
        let skip = (reach - q).min(n - m);
        let (a, b) = (&row.a[skip..][..m], &row.b[skip..][..m]);
        for t in 0..m {
            let d = (row.share)(a[t], b[t]);
            for r in 0..S {
                if S * q + r < K {
                    cells[t][r] += weights[S * q + r] * d;
                }
            }
        }
    }
}

/// Any kernel and stride.
#[inline(always)]
fn any_back<F: Fn(f32, f32) -> f32>(row: RowBack<'_, F>, dx: &mut [f32]) {
    for (k, tap) in row.taps.iter().enumerate() {
        let weight = row.weight * tap;
        let from = row.a.iter().zip(row.b);
        if row.stride == 1 {
            dx[k..].iter_mut().zip(from).for_each(|(dx, (&a, &b))| *dx += weight * (row.share)(a, b));
        } else {
            let dx = dx[k..].iter_mut().step_by(row.stride);
            dx.zip(from).for_each(|(dx, (&a, &b))| *dx += weight * (row.share)(a, b));
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

    fn check_mean(pool: &Pool, weights: &Weights, plain: &[Vec<(usize, f32)>]) {
        let (inputs, outputs) = (pool.inputs(), pool.outputs());
        let x = values(pool.planes * inputs);
        let mut y = vec![f32::NAN; pool.planes * outputs];
        weighted_mean(pool, weights, &x, &mut y);
        let mean =
            |x: &[f32]| plain.iter().map(|w| w.iter().map(|&(i, w)| w * x[i]).sum()).collect::<Vec<f32>>();
        assert_close(&y, &x.chunks(inputs).flat_map(mean).collect::<Vec<_>>(), pool);

        let dy = values(y.len());
        let (mut dx, mut want) = (vec![f32::NAN; x.len()], vec![0.0; x.len()]);
        weighted_mean_backward(pool, weights, &dy, &mut dx);
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
            check_mean(&pool, &Weights::even(&pool, Norm::Padded), &plain(&pool, |_, _| 1.0, Norm::Padded));
            let sigma: Vec<f32> = (0..pool.axes.len()).map(|d| 0.7 + d as f32).collect();
            let weight = |d: usize, k: usize| {
                let from_centre = k as f32 - (pool.axes[d].kernel as f32 - 1.0) / 2.0;
                (-from_centre * from_centre / (2.0 * sigma[d] * sigma[d])).exp()
            };
            check_mean(&pool, &Weights::gaussian(&pool, &sigma), &plain(&pool, weight, Norm::Inside));
        }
    }

    #[test]
    fn norms_equal_the_plain_ones() {
        for pool in geometries() {
            let (inputs, outputs) = (pool.inputs(), pool.outputs());
            let weights = Weights::even(&pool, Norm::Inside);
            let x = values(pool.planes * inputs);
            let mut y = vec![f32::NAN; pool.planes * outputs];
            l2(&pool, &weights, &x, &mut y);
            let dy = values(y.len());
            let mut dx = vec![f32::NAN; x.len()];
            l2_backward(&pool, &weights, &x, &y, &dy, &mut dx);
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
