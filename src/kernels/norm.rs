//! Normalization of rows: subtracts the mean and divides by the standard deviation; and moments, as all normalization
//! takes them.

use super::{
    channels::{Sums, sums_of},
    elementwise::{at_least, vectorized},
    parallel::{CHUNK, for_parts_mut},
    simd::Simd,
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
    pub(super) fn inverse(self, eps: f32) -> f32 {
        (1.0 / (f64::from(self.variance) + f64::from(eps)).sqrt()) as f32
    }
}

/// The sum of v.
#[derive(Clone, Copy)]
pub struct Plain;

impl Sums<0, 1, 1> for Plain {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, _: [S::V; 0], [v]: [S::V; 1], [sum]: [S::V; 1]) -> [S::V; 1] {
        [simd.add(sum, v)]
    }
}

/// The sums of the distances of v from a value, and of their squares; the setting is the value with the other sign.
#[derive(Clone, Copy)]
pub struct Distance;

impl Sums<1, 1, 2> for Distance {
    #[inline(always)]
    fn add<S: Simd>(
        self,
        simd: S,
        [minus]: [S::V; 1],
        [v]: [S::V; 1],
        [sum, squares]: [S::V; 2],
    ) -> [S::V; 2] {
        let distance = simd.add(v, minus);
        [simd.add(sum, distance), simd.fma(distance, distance, squares)]
    }
}

/// The sums of a, and of a * b.
#[derive(Clone, Copy)]
pub struct Products;

impl Sums<0, 2, 2> for Products {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, _: [S::V; 0], [a, b]: [S::V; 2], [sum, products]: [S::V; 2]) -> [S::V; 2] {
        [simd.add(sum, a), simd.fma(a, b, products)]
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
            let [sum] = sums_of([block], [], Plain);
            let near = (sum / n) as f32;
            let [sum, squares] = sums_of([block], [-near], Distance);
            let delta = f64::from(near) + sum / n - self.mean;
            let count = self.count + n;
            self.squares += squares - sum * sum / n + delta * delta * self.count * n / count;
            self.mean += delta * n / count;
            self.count = count;
        }
    }

    fn moments(&self) -> Moments {
        let variance = if self.count > 0.0 { self.squares / self.count } else { 0.0 };
        Moments { mean: self.mean as f32, variance: at_least(variance as f32, 0.0) }
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
                    let [sum, slope] = sums_of([dy, y], [], Products);
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
pub(super) mod tests {
    use super::*;

    pub fn assert_close(got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (&g, &w) in got.iter().zip(want) {
            assert!((f64::from(g) - w).abs() <= 5e-6 * w.abs().max(1.0), "{g} is not {w}");
        }
    }

    pub fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| 3.0 + ((i * 7919 + i / 7 + seed) % 41) as f32 / 8.0).collect()
    }

    /// Mean and variance of the values that `own` picks, and dx for y = (x - mean) * f(variance), plainly.
    pub fn plain(
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
}
