//! Normalization: subtracts a mean and divides by a standard deviation, over channels of a batch or over rows.

use super::{
    channels::{Channels, sums_of},
    elementwise::vectorized,
    parallel::{CHUNK, for_parts_mut},
    simd::MatMut,
};

/// Values whose mean is taken before their squares are: few enough to stay in the first cache.
const BLOCK: usize = 4096;

/// Mean and variance, the latter with the number of values as its divisor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// The mean.
    pub mean: f32,
    /// The mean square of the distances from it.
    pub variance: f32,
}

impl Moments {
    /// 1 / sqrt(variance + eps).
    fn inverse(self, eps: f32) -> f32 {
        (1.0 / (f64::from(self.variance) + f64::from(eps)).sqrt()) as f32
    }
}

/// Moments of what has been seen so far: blocks are merged by Chan's formula, which does not cancel.
#[derive(Default)]
struct Running {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Running {
    /// Takes up some values, in one pass over memory.
    #[inline(always)]
    fn add(&mut self, values: &[f32]) {
        for block in values.chunks(BLOCK) {
            let n = block.len() as f64;
            let near = (sums_of([block, block], |v, _| [v, 0.0])[0] / n) as f32;
            let [sum, squares] = sums_of([block, block], |v, _| [v - near, (v - near) * (v - near)]);
            let delta = f64::from(near) + sum / n - self.mean;
            let count = self.count + n;
            self.squares += squares - sum * sum / n + delta * delta * self.count * n / count;
            self.mean += delta * n / count;
            self.count = count;
        }
    }

    fn moments(&self) -> Moments {
        let variance = if self.count > 0.0 { self.squares / self.count } else { 0.0 };
        Moments { mean: self.mean as f32, variance: variance.max(0.0) as f32 }
    }
}

/// Channels whose settings are made together, on the stack.
const STRETCH: usize = 64;

/// y = (x - mean) / sqrt(variance + eps), with the moments of each channel of x, which are kept.
pub fn batch_normalize(dims: Channels, eps: f32, x: &[f32], y: &mut [f32], moments: &mut [Moments]) {
    assert!(x.len() == y.len() && x.len() == dims.count());
    dims.for_groups(Some(y), moments, |first, y, moments| {
        let Some(mut y) = y else { return };
        for (i, moments) in moments.chunks_mut(STRETCH).enumerate() {
            find_moments(dims, first + i * STRETCH, x, moments);
            let y = &mut columns(dims, &mut y, i * STRETCH, moments.len());
            standardize(dims, first + i * STRETCH, eps, moments, x, y);
        }
    });
}

/// y = (x - mean) / sqrt(variance + eps), with the moments given.
pub fn normalize(dims: Channels, eps: f32, moments: &[Moments], x: &[f32], y: &mut [f32]) {
    assert!(x.len() == y.len() && x.len() == dims.count() && moments.len() == dims.channels);
    dims.for_groups(Some(y), &mut vec![(); dims.channels], |first, y, own| {
        let Some(mut y) = y else { return };
        for (i, moments) in moments[first..][..own.len()].chunks(STRETCH).enumerate() {
            let y = &mut columns(dims, &mut y, i * STRETCH, moments.len());
            standardize(dims, first + i * STRETCH, eps, moments, x, y);
        }
    });
}

/// dx, given dy of [`normalize`]: dy / sqrt(variance + eps).
pub fn normalize_backward(dims: Channels, eps: f32, moments: &[Moments], dy: &[f32], dx: &mut [f32]) {
    assert!(dy.len() == dx.len() && dx.len() == dims.count() && moments.len() == dims.channels);
    dims.for_groups(Some(dx), &mut vec![(); dims.channels], |first, dx, own| {
        let Some(mut dx) = dx else { return };
        for (i, moments) in moments[first..][..own.len()].chunks(STRETCH).enumerate() {
            let mut inverses = [0f32; STRETCH];
            inverses.iter_mut().zip(moments).for_each(|(inverse, m)| *inverse = m.inverse(eps));
            let dx = &mut columns(dims, &mut dx, i * STRETCH, moments.len());
            let inverses = &inverses[..moments.len()];
            dims.apply(first + i * STRETCH, dx, [dy, dy], inverses, |inverse, dy, _| dy * inverse);
        }
    });
}

/// dx, given y and dy of [`batch_normalize`]: (dy - mean dy - y * mean(dy * y)) / sqrt(variance + eps).
pub fn batch_normalize_backward(
    dims: Channels,
    eps: f32,
    moments: &[Moments],
    [y, dy]: [&[f32]; 2],
    dx: &mut [f32],
) {
    assert!(y.len() == dx.len() && dy.len() == dx.len() && dx.len() == dims.count());
    assert_eq!(moments.len(), dims.channels);
    let n = dims.per_channel() as f64;
    dims.for_groups(Some(dx), &mut vec![(); dims.channels], |first, dx, own| {
        let Some(mut dx) = dx else { return };
        for (i, moments) in moments[first..][..own.len()].chunks(STRETCH).enumerate() {
            let (first, len) = (first + i * STRETCH, moments.len());
            let mut means = [[0f32; 3]; STRETCH];
            dims.sums(
                first,
                [dy, y],
                &[(); STRETCH][..len],
                |(), dy, y| [dy, dy * y],
                |i, [dy, slope]| {
                    means[i] = [(dy / n) as f32, (slope / n) as f32, moments[i].inverse(eps)];
                },
            );
            let dx = &mut columns(dims, &mut dx, i * STRETCH, len);
            dims.apply(first, dx, [dy, y], &means[..len], |[mean, slope, inverse], dy, y| {
                (dy - mean - y * slope) * inverse
            });
        }
    });
}

/// The moments of each channel of x.
pub fn channel_moments(dims: Channels, x: &[f32], moments: &mut [Moments]) {
    assert!(x.len() == dims.count() && moments.len() == dims.channels);
    dims.for_groups(None, moments, |first, _, moments| {
        for (i, moments) in moments.chunks_mut(STRETCH).enumerate() {
            find_moments(dims, first + i * STRETCH, x, moments);
        }
    });
}

/// The means of dy and of dy * y of each channel, given y and dy.
pub fn slope_means(dims: Channels, [y, dy]: [&[f32]; 2]) -> Vec<[f64; 2]> {
    assert!(y.len() == dims.count() && dy.len() == dims.count());
    let n = dims.per_channel() as f64;
    let mut means = vec![[0.0; 2]; dims.channels];
    dims.for_groups(None, &mut means, |first, _, means| {
        let ones = vec![(); means.len()];
        dims.sums(first, [dy, y], &ones, |(), dy, y| [dy, dy * y], |i, sums| means[i] = sums.map(|s| s / n));
    });
    means
}

/// As [`batch_normalize_backward`], with the means of [`slope_means`] given: those of several batches, say.
pub fn batch_normalize_backward_given(
    dims: Channels,
    eps: f32,
    moments: &[Moments],
    means: &[[f64; 2]],
    [y, dy]: [&[f32]; 2],
    dx: &mut [f32],
) {
    assert!(y.len() == dx.len() && dy.len() == dx.len() && dx.len() == dims.count());
    let with = |(m, [mean, slope]): (&Moments, &[f64; 2])| [*mean as f32, *slope as f32, m.inverse(eps)];
    let settings: Vec<[f32; 3]> = moments.iter().zip(means).map(with).collect();
    dims.for_groups(Some(dx), &mut vec![(); dims.channels], |first, dx, own| {
        let Some(mut dx) = dx else { return };
        let dx = &mut columns(dims, &mut dx, 0, own.len());
        dims.apply(first, dx, [dy, y], &settings[first..][..own.len()], |[mean, slope, inverse], dy, y| {
            (dy - mean - y * slope) * inverse
        });
    });
}

/// The columns of `len` channels from the `at`-th on.
fn columns<'a>(dims: Channels, out: &'a mut MatMut<'_>, at: usize, len: usize) -> MatMut<'a> {
    out.block(0..dims.images, at * dims.inner..(at + len) * dims.inner)
}

/// y = (x - mean) / sqrt(variance + eps) for a stretch of channels from `first` on.
fn standardize(dims: Channels, first: usize, eps: f32, moments: &[Moments], x: &[f32], y: &mut MatMut<'_>) {
    let mut settings = [[0f32; 2]; STRETCH];
    settings.iter_mut().zip(moments).for_each(|(s, m)| *s = [m.mean, m.inverse(eps)]);
    let settings = &settings[..moments.len()];
    dims.apply(first, y, [x, x], settings, |[mean, inverse], x, _| (x - mean) * inverse);
}

/// The moments of a stretch of channels from `first` on.
fn find_moments(dims: Channels, first: usize, x: &[f32], moments: &mut [Moments]) {
    if dims.inner > 1 {
        vectorized(
            #[inline(always)]
            || {
                for (i, moments) in moments.iter_mut().enumerate() {
                    let mut running = Running::default();
                    (0..dims.images).for_each(|n| running.add(&x[dims.run(n, first + i)]));
                    *moments = running.moments();
                }
            },
        );
        return;
    }
    // Around 0 to find the means, then around those.
    let (n, len) = (dims.images.max(1) as f64, moments.len());
    let mut near = [0f32; STRETCH];
    for _ in 0..2 {
        let around = near;
        let f = |near: f32, x: f32, _| [x - near, (x - near) * (x - near)];
        dims.sums(first, [x, x], &around[..len], f, |i, [sum, squares]| {
            near[i] = (f64::from(around[i]) + sum / n) as f32;
            let variance = ((squares - sum * sum / n) / n).max(0.0) as f32;
            moments[i] = Moments { mean: near[i], variance };
        });
    }
}

/// Rows that are normalized each by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Values in a row.
    pub len: usize,
    /// Whether rows are divided by their standard deviation.
    pub divide: bool,
}

/// y = (x - mean) / (sqrt(variance) + eps), or x - mean, with the moments of each row, which are kept.
pub fn normalize_rows(rows: Rows, eps: f32, x: &[f32], y: &mut [f32], moments: &mut [Moments]) {
    let group = (CHUNK / rows.len.max(1)).max(1);
    assert!(x.len() == y.len() && x.len() == rows.len * moments.len());
    for_parts_mut(y, group * rows.len, moments, group, |i, y, moments| {
        let x = x[i * group * rows.len..].chunks_exact(rows.len);
        for ((x, y), moments) in x.zip(y.chunks_exact_mut(rows.len)).zip(moments) {
            vectorized(
                #[inline(always)]
                || {
                    let mut running = Running::default();
                    running.add(x);
                    *moments = running.moments();
                    let (mean, factor) = (moments.mean, rows.factor(*moments, eps));
                    y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - mean) * factor);
                },
            );
        }
    });
}

/// dx, given y and dy of [`normalize_rows`]: (dy - mean dy - y * mean(dy * y)) / (sqrt(variance) + eps), or
/// dy - mean dy. `y` may be empty if rows are not divided.
pub fn normalize_rows_backward(
    rows: Rows,
    eps: f32,
    moments: &[Moments],
    [y, dy]: [&[f32]; 2],
    dx: &mut [f32],
) {
    let group = (CHUNK / rows.len.max(1)).max(1);
    assert!(dy.len() == dx.len() && dx.len() == rows.len * moments.len());
    let y = if rows.divide { y } else { dy };
    for_parts_mut(dx, group * rows.len, &mut vec![(); moments.len()], group, |i, dx, _| {
        let from = i * group * rows.len;
        let (y, dy) = (y[from..].chunks_exact(rows.len), dy[from..].chunks_exact(rows.len));
        let rows_here = dx.chunks_exact_mut(rows.len).zip(y.zip(dy)).zip(&moments[i * group..]);
        for ((dx, (y, dy)), moments) in rows_here {
            vectorized(
                #[inline(always)]
                || {
                    let n = rows.len as f64;
                    let [sum, slope] = sums_of([dy, y], |dy, y| [dy, dy * y]);
                    let mean = (sum / n) as f32;
                    let slope = if rows.divide { (slope / n) as f32 } else { 0.0 };
                    let factor = rows.factor(*moments, eps);
                    let from = dy.iter().zip(y);
                    dx.iter_mut().zip(from).for_each(|(dx, (dy, y))| *dx = (dy - mean - y * slope) * factor);
                },
            );
        }
    });
}

impl Rows {
    fn factor(&self, moments: Moments, eps: f32) -> f32 {
        if self.divide { 1.0 / (moments.variance.sqrt() + eps) } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::channels::tests::SHAPES;

    fn assert_close(got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (&g, &w) in got.iter().zip(want) {
            assert!((f64::from(g) - w).abs() <= 5e-6 * w.abs().max(1.0), "{g} is not {w}");
        }
    }

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| 3.0 + ((i * 7919 + i / 7 + seed) % 41) as f32 / 8.0).collect()
    }

    /// Mean and variance of the values that `own` picks, and dx for y = (x - mean) * f(variance), plainly.
    fn plain(
        own: &[usize],
        x: &[f32],
        dy: &[f32],
        factor: impl Fn(f64) -> f64,
        divide: bool,
    ) -> (f64, f64, Vec<f64>, Vec<f64>) {
        let n = own.len() as f64;
        let at = |v: &[f32], i: usize| f64::from(v[i]);
        let mean = own.iter().map(|&i| at(x, i)).sum::<f64>() / n;
        let variance = own.iter().map(|&i| (at(x, i) - mean).powi(2)).sum::<f64>() / n;
        let factor = factor(variance);
        let y: Vec<f64> = own.iter().map(|&i| (at(x, i) - mean) * factor).collect();
        let mean_dy = own.iter().map(|&i| at(dy, i)).sum::<f64>() / n;
        let slope = own.iter().zip(&y).map(|(&i, y)| at(dy, i) * y).sum::<f64>() / n;
        let slope = if divide { slope } else { 0.0 };
        let dx = own.iter().zip(&y).map(|(&i, y)| (at(dy, i) - mean_dy - y * slope) * factor).collect();
        (mean, variance, y, dx)
    }

    #[test]
    fn channels_equal_the_plain_ones() {
        for (images, channels, inner) in SHAPES {
            let dims = Channels { images, channels, inner };
            let n = dims.count();
            let (x, dy) = (values(n, 0), values(n, 5));
            let (mut y, mut dx) = (vec![f32::NAN; n], vec![f32::NAN; n]);
            let mut moments = vec![Moments::default(); channels];
            batch_normalize(dims, 0.1, &x, &mut y, &mut moments);
            batch_normalize_backward(dims, 0.1, &moments, [&y, &dy], &mut dx);
            let (mut given, mut back) = (vec![f32::NAN; n], vec![f32::NAN; n]);
            normalize(dims, 0.1, &moments, &x, &mut given);
            normalize_backward(dims, 0.1, &moments, &dy, &mut back);
            assert_eq!(given, y);
            for (c, moments) in moments.iter().enumerate().filter(|_| n > 0) {
                let own: Vec<usize> = (0..images).flat_map(|n| dims.run(n, c)).collect();
                let pick = |v: &[f32]| own.iter().map(|&i| v[i]).collect::<Vec<_>>();
                let factor = |variance: f64| 1.0 / (variance + 0.1f64).sqrt();
                let (mean, variance, want_y, want_dx) = plain(&own, &x, &dy, factor, true);
                assert_close(&[moments.mean, moments.variance], &[mean, variance]);
                assert_close(&pick(&y), &want_y);
                assert_close(&pick(&dx), &want_dx);
                let want: Vec<f64> = pick(&dy).iter().map(|&d| f64::from(d) * factor(variance)).collect();
                assert_close(&pick(&back), &want);
            }
        }
    }

    #[test]
    fn rows_equal_the_plain_ones() {
        for (rows, len) in [(1, 1), (3, 7), (2, 5000), (40, 1000), (0, 4)] {
            for divide in [false, true] {
                let (x, dy) = (values(rows * len, 1), values(rows * len, 6));
                let (mut y, mut dx) = (vec![f32::NAN; rows * len], vec![f32::NAN; rows * len]);
                let mut moments = vec![Moments::default(); rows];
                let dims = Rows { len, divide };
                normalize_rows(dims, 0.2, &x, &mut y, &mut moments);
                normalize_rows_backward(dims, 0.2, &moments, [&y, &dy], &mut dx);
                for r in 0..rows {
                    let own: Vec<usize> = (r * len..(r + 1) * len).collect();
                    let factor = |v: f64| if divide { 1.0 / (v.sqrt() + f64::from(0.2f32)) } else { 1.0 };
                    let (_, _, want_y, want_dx) = plain(&own, &x, &dy, factor, divide);
                    assert_close(&y[r * len..][..len], &want_y);
                    assert_close(&dx[r * len..][..len], &want_dx);
                }
            }
        }
    }

    #[test]
    fn a_large_mean_does_not_drown_the_variance() {
        let x: Vec<f32> = (0..30_000).map(|i| 1e4 + if i % 2 == 0 { 0.5 } else { -0.5 }).collect();
        for (images, inner) in [(3, 10_000), (30_000, 1)] {
            let dims = Channels { images, channels: 1, inner };
            let mut moments = [Moments::default()];
            batch_normalize(dims, 0.0, &x, &mut vec![0.0; x.len()], &mut moments);
            assert!((moments[0].variance - 0.25).abs() < 1e-5, "{moments:?}");
        }
    }
}
