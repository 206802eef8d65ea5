//! Local response normalization: y = x * s^-beta, where s = k + scale * the sum of squares over a neighbourhood.
//!
//! dx = dy * s^-beta - 2 scale beta x * the sum over the neighbourhood of r, where r = dy * x * s^(-beta - 1).
//! Backward computes s anew from x: that costs less than to write it and read it back. Sums are taken afresh for
//! each position, since a running window keeps the rounding errors of large values that have left it.

use super::{math, simd::Simd};

/// The largest side of a neighbourhood.
pub const MAX_SIZE: usize = 511;
/// Values in a tile's buffers, which live on the stack.
const TILE: usize = 1024;

/// The formula's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    /// Side of the neighbourhood, odd, up to [`MAX_SIZE`].
    pub size: usize,
    /// What the sum of squares is multiplied with.
    pub scale: f32,
    /// What is added.
    pub k: f32,
    /// The power.
    pub beta: f32,
}

/// s -> (s^-beta, 1 / s).
trait Power: Copy + Sync {
    fn of<S: Simd>(self, simd: S, s: S::V) -> (S::V, S::V);
}

/// beta = 3/4, for normal s > 0: Newton's method for s^-1/4, which needs neither root nor quotient.
#[derive(Clone, Copy)]
struct ThreeQuarters;

impl Power for ThreeQuarters {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, s: S::V) -> (S::V, S::V) {
        // Within 3.1% at first; each step squares the error and multiplies it by 5/2: 2e-3, 1e-5, then rounding.
        let mut r = simd.inverse_fourth_root_guess(s);
        for _ in 0..3 {
            let square = simd.mul(r, r);
            let near_one = simd.mul(simd.mul(s, square), square);
            r = simd.mul(r, simd.fma(simd.splat(-0.25), near_one, simd.splat(1.25)));
        }
        let square = simd.mul(r, r);
        (simd.mul(square, r), simd.mul(square, square))
    }
}

/// beta = 1/2.
#[derive(Clone, Copy)]
struct Half;

impl Power for Half {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, s: S::V) -> (S::V, S::V) {
        let one = simd.splat(1.0);
        (simd.div(one, simd.sqrt(s)), simd.div(one, s))
    }
}

/// Any beta.
#[derive(Clone, Copy)]
struct Any(math::Power);

impl Any {
    fn new(beta: f32) -> Self {
        Self(math::Power::new(-beta))
    }
}

impl Power for Any {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, s: S::V) -> (S::V, S::V) {
        let mut lanes = [1.0; 16];
        simd.write_first(&mut lanes[..S::LANES], s);
        // A loop whose length is known is unrolled before it could vectorize.
        for s in &mut lanes[..std::hint::black_box(S::LANES)] {
            *s = self.0.of(*s);
        }
        (simd.read(&lanes), simd.div(simd.splat(1.0), s))
    }
}

/// Runs the expression with `$power` bound to the power's fastest form.
macro_rules! with_power {
    ($response:expr, |$power:ident| $run:expr) => {
        match $response {
            Response { beta: 0.75, scale, k, .. } if scale >= 0.0 && k >= f32::MIN_POSITIVE => {
                let $power = ThreeQuarters;
                $run
            }
            Response { beta: 0.5, .. } => {
                let $power = Half;
                $run
            }
            Response { beta, .. } => {
                let $power = Any::new(beta);
                $run
            }
        }
    };
}

// Below the macro, which they use.
mod across;
mod beside;
mod within;

pub use across::{Across, across, across_backward};
pub use within::{Within, within, within_backward};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Isa, Job};

    /// The formula in `f64`; `near(i)` gives the neighbourhood of an element.
    fn plain(
        response: Response,
        near: impl Fn(usize) -> Vec<usize>,
        x: &[f32],
        dy: &[f32],
    ) -> (Vec<f64>, Vec<f64>) {
        let Response { scale, k, beta, .. } = response;
        let x: Vec<f64> = x.iter().map(|&v| v.into()).collect();
        let s: Vec<f64> = (0..x.len())
            .map(|i| f64::from(k) + f64::from(scale) * near(i).iter().map(|&j| x[j] * x[j]).sum::<f64>())
            .collect();
        let beta = f64::from(beta);
        let r: Vec<f64> = (0..x.len()).map(|i| f64::from(dy[i]) * x[i] * s[i].powf(-beta - 1.0)).collect();
        let dx = (0..x.len()).map(|i| {
            let sum: f64 = near(i).iter().map(|&j| r[j]).sum();
            f64::from(dy[i]) * s[i].powf(-beta) - 2.0 * f64::from(scale) * beta * x[i] * sum
        });
        ((0..x.len()).map(|i| x[i] * s[i].powf(-beta)).collect(), dx.collect())
    }

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed) % 41) as f32 / 8.0 - 2.5).collect()
    }

    fn assert_close(got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (&g, &w) in got.iter().zip(want) {
            assert!((f64::from(g) - w).abs() <= 2e-6 * w.abs().max(1.0), "{g} is not {w}");
        }
    }

    const BETAS: [f32; 4] = [0.75, 0.5, 1.0, 0.3];

    #[test]
    fn across_equals_the_plain_one() {
        for (channels, inner) in [(1, 1), (3, 5), (70, 7), (9, 1300), (130, 129)] {
            for (size, beta) in [(1, 0.75), (3, 0.5), (5, 0.75), (7, 1.0), (11, 0.3), (301, 0.75)] {
                let dims = Across { images: 2, channels, inner };
                let response = Response { size, scale: 0.3, k: 1.5, beta };
                let n = 2 * channels * inner;
                let (x, dy) = (values(n, 0), values(n, 5));
                let near = |i: usize| {
                    let (image, c, at) = (i / inner / channels, i / inner % channels, i % inner);
                    let window = c.saturating_sub(size / 2)..(c + size / 2 + 1).min(channels);
                    window.map(|c| (image * channels + c) * inner + at).collect()
                };
                let (y, dx) = plain(response, near, &x, &dy);
                let mut got = vec![f32::NAN; n];
                for isa in Isa::all() {
                    across::across_on(isa, dims, response, &x, &mut got);
                    assert_close(&got, &y);
                    across::across_backward_on(isa, dims, response, [&x, &dy], &mut got);
                    assert_close(&got, &dx);
                }
            }
        }
    }

    #[test]
    fn within_equals_the_plain_one() {
        for (height, width) in [(1, 1), (4, 7), (8, 8), (16, 17), (13, 3), (3, 1100)] {
            for ((size, beta), planes) in
                [1, 3, 5, 9, 33].into_iter().zip(BETAS.into_iter().cycle()).zip([2, 37].into_iter().cycle())
            {
                let dims = Within { planes, height, width };
                let response = Response { size, scale: 0.2, k: 1.0, beta };
                let n = planes * height * width;
                let (x, dy) = (values(n, 3), values(n, 8));
                let near = |i: usize| {
                    let (plane, row, column) = (i / width / height, i / width % height, i % width);
                    let rows = row.saturating_sub(size / 2)..(row + size / 2 + 1).min(height);
                    let columns = column.saturating_sub(size / 2)..(column + size / 2 + 1).min(width);
                    rows.flat_map(|r| columns.clone().map(move |c| (plane * height + r) * width + c))
                        .collect()
                };
                let (y, dx) = plain(response, near, &x, &dy);
                for isa in Isa::all() {
                    let mut got = vec![f32::NAN; n];
                    within::within_on(isa, dims, response, &x, &mut got);
                    assert_close(&got, &y);
                    within::within_backward_on(isa, dims, response, [&x, &dy], &mut got);
                    assert_close(&got, &dx);
                }
            }
        }
    }

    struct Exact;

    impl Job for Exact {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let mut s = 1e-30f32;
            while s < 1e30 {
                let (power, inverse) = ThreeQuarters.of(simd, simd.splat(s));
                let mut lanes = [[0.0; 16]; 2];
                simd.write_first(&mut lanes[0], power);
                simd.write_first(&mut lanes[1], inverse);
                let [power, inverse] = [lanes[0][S::LANES - 1], lanes[1][S::LANES - 1]];
                assert!((f64::from(power) * f64::from(s).powf(0.75) - 1.0).abs() < 1e-6, "{s}");
                assert!((f64::from(inverse) * f64::from(s) - 1.0).abs() < 1e-6, "{s}");
                s *= 1.01;
            }
        }
    }

    #[test]
    fn the_power_is_exact_to_rounding() {
        Isa::all().for_each(|isa| isa.run(Exact));
    }
}
