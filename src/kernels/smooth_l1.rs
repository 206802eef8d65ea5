//! The absolute difference of two blobs, round where it is small: a parabola that goes over into straight lines.

use super::{
    elementwise::evaluate,
    simd::{Each, Simd},
    sums::sum_of_each,
};

/// With d = inside * (a - b): outside * (sigma^2 d^2 / 2 if |d| < 1 / sigma^2, else |d| - 1 / (2 sigma^2)), of rows a, b, inside
/// and outside; the last two are 1 if they are left out.
#[derive(Clone, Copy)]
struct Cost {
    sigma2: f32,
}

/// Its derivative by a, times `factor`: factor * outside * inside * (sigma^2 d if |d| < 1 / sigma^2, else the sign of d).
#[derive(Clone, Copy)]
struct Slope {
    sigma2: f32,
    factor: f32,
}

/// inside * (a - b).
#[inline(always)]
fn difference<S: Simd, const N: usize>(simd: S, rows: [S::V; N]) -> S::V {
    let d = simd.fma(rows[1], simd.splat(-1.0), rows[0]);
    if N > 2 { simd.mul(d, rows[2]) } else { d }
}

impl<const N: usize> Each<N, 1> for Cost {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, rows: [S::V; N]) -> [S::V; 1] {
        let d = difference(simd, rows);
        let size = simd.max(simd.mul(d, simd.splat(-1.0)), d);
        // What the parabola takes of |d|; it is NaN where |d| is.
        let small = simd.min(simd.splat(1.0 / self.sigma2), size);
        let half = simd.mul(small, simd.splat(0.5 * self.sigma2));
        let cost = simd.fma(half, small, simd.fma(small, simd.splat(-1.0), size));
        [if N > 3 { simd.mul(cost, rows[3]) } else { cost }]
    }
}

impl<const N: usize> Each<N, 1> for Slope {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, rows: [S::V; N]) -> [S::V; 1] {
        let d = simd.mul(difference(simd, rows), simd.splat(self.sigma2));
        let slope = simd.max(simd.splat(-1.0), simd.min(simd.splat(1.0), d));
        let mut slope = simd.mul(slope, simd.splat(self.factor));
        if N > 2 {
            slope = simd.mul(slope, rows[2]);
        }
        if N > 3 {
            slope = simd.mul(slope, rows[3]);
        }
        [slope]
    }
}

/// The sum over all places.
pub fn sum<const N: usize>(sigma2: f32, rows: [&[f32]; N]) -> f64 {
    sum_of_each(rows, Cost { sigma2 })
}

/// `factor` times the derivative by the first row at each place; that by the second is the opposite.
pub fn slope<const N: usize>(sigma2: f32, factor: f32, rows: [&[f32]; N], out: &mut [f32]) {
    evaluate(rows, out, Slope { sigma2, factor });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const N: usize>(n: usize, sigma2: f32) {
        let row =
            |k: usize| (0..n).map(|i| ((i * (7 + 4 * k)) % 23) as f32 / 7.0 - 1.5).collect::<Vec<f32>>();
        let rows: [Vec<f32>; 4] = [0, 1, 2, 3].map(row);
        let given: [&[f32]; N] = std::array::from_fn(|k| &rows[k][..]);
        let at = |k: usize, i: usize| if k < N { f64::from(rows[k][i]) } else { 1.0 };
        let sigma = f64::from(sigma2);
        let (mut want, mut slopes) = (0.0, vec![0.0; n]);
        for (i, slope) in slopes.iter_mut().enumerate() {
            let d = at(2, i) * (at(0, i) - at(1, i));
            let near = d.abs() < 1.0 / sigma;
            want += at(3, i) * if near { 0.5 * sigma * d * d } else { d.abs() - 0.5 / sigma };
            *slope = 3.0 * at(3, i) * at(2, i) * if near { sigma * d } else { d.signum() };
        }
        let got = sum(sigma2, given);
        assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{got} is not {want}");
        let mut out = vec![f32::NAN; n];
        slope(sigma2, 3.0, given, &mut out);
        for (got, want) in out.iter().zip(&slopes) {
            assert!((f64::from(*got) - want).abs() <= 1e-5 * want.abs().max(1.0), "{got} is not {want}");
        }
    }

    #[test]
    fn costs_equal_the_plain_ones() {
        for n in [0, 1, 17, 1000, 40_003] {
            for sigma2 in [1.0, 9.0, 0.3] {
                check::<2>(n, sigma2);
                check::<3>(n, sigma2);
                check::<4>(n, sigma2);
            }
        }
    }

    #[test]
    fn no_number_stays_none() {
        let (a, b) = ([f32::NAN, 1.0], [0.0, f32::NAN]);
        assert!(sum(1.0, [&a[..1], &b[..1]]).is_nan() && sum(1.0, [&a[1..], &b[1..]]).is_nan());
        let mut out = [0.0; 2];
        slope(1.0, 1.0, [&a, &b], &mut out);
        assert!(out.iter().all(|v| v.is_nan()));
    }
}
