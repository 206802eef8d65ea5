//! Local response normalization: y = x * s^-beta, where s = k + scale * the sum of squares over a neighbourhood.
//!
//! dx = dy * s^-beta - 2 scale beta x * the sum over the neighbourhood of r, where r = dy * x * s^(-beta - 1).
//! Backward computes s anew from x: that costs less than to write it and read it back. Sums are taken afresh for
//! each position, since a running window keeps the rounding errors of large values that have left it.

use super::{
    power,
    simd::{Each, Simd},
};

/// The largest side of a neighbourhood.
pub const MAX_SIZE: usize = 511;
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

/// beta = 3/4, for normal s > 0: two steps towards s^-1/4 from a guess by the bits, which need neither root nor
/// quotient: 14 operations, which err by 1.4e-7 at most.
#[derive(Clone, Copy)]
struct ThreeQuarters;

impl Power for ThreeQuarters {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, s: S::V) -> (S::V, S::V) {
        // Within 3.1% at first. With d = 1 - s r^4, s^-1/4 is r (1 - d)^-1/4, here to 6e-5 by a minimax polynomial; then the
        // powers of (1 - d) that the results need begin 1 + 3/4 d and 1 + d, and the rest is rounding.
        let one = simd.splat(1.0);
        let minus = simd.mul(s, simd.splat(-1.0));
        let r = simd.inverse_fourth_root_guess(s);
        let square = simd.mul(r, r);
        let d = simd.fma(simd.mul(minus, square), square, one);
        let r = simd.fma(simd.mul(r, d), simd.fma(d, simd.splat(0.156_076_05), simd.splat(0.251_352_3)), r);
        let square = simd.mul(r, r);
        let cube = simd.mul(square, r);
        let d = simd.fma(simd.mul(minus, r), cube, one);
        let fourth = simd.mul(square, square);
        (simd.fma(simd.mul(cube, d), simd.splat(0.75), cube), simd.fma(fourth, d, fourth))
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
struct Any(power::Power);

impl Any {
    fn new(beta: f32) -> Self {
        Self(power::Power::new(-beta))
    }
}

impl Power for Any {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, s: S::V) -> (S::V, S::V) {
        (self.0.of_lanes(simd, s), simd.div(simd.splat(1.0), s))
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

/// How neighbours are summed: what comes first in a row of registers.
trait Near: Copy + Send + Sync {
    fn sum<S: Simd>(self, simd: S, near: &[S::V]) -> S::V;
}

/// Registers, one at least.
#[derive(Clone, Copy)]
struct Plain;

impl Near for Plain {
    #[inline(always)]
    fn sum<S: Simd>(self, simd: S, near: &[S::V]) -> S::V {
        sum::<S, false>(simd, near)
    }
}

/// The squares of registers.
#[derive(Clone, Copy)]
struct Squares;

impl Near for Squares {
    #[inline(always)]
    fn sum<S: Simd>(self, simd: S, near: &[S::V]) -> S::V {
        sum::<S, true>(simd, near)
    }
}

/// y of neighbours and of x, which is the last.
#[derive(Clone, Copy)]
struct Value<P, G> {
    response: Response,
    power: P,
    near: G,
}

impl<P: Power, G: Near, const N: usize> Each<N, 1> for Value<P, G> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, values: [S::V; N]) -> [S::V; 1] {
        let (near, rest) = values.split_at(N - 1);
        let s = self.response.of(simd, self.near.sum(simd, near));
        [simd.mul(rest[0], self.power.of(simd, s).0)]
    }
}

/// dy * s^-beta and r, of what [`Value`] is made of and of dy, which is the last.
#[derive(Clone, Copy)]
struct Ratio<P, G> {
    response: Response,
    power: P,
    near: G,
}

impl<P: Power, G: Near, const N: usize> Each<N, 2> for Ratio<P, G> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, values: [S::V; N]) -> [S::V; 2] {
        let (near, rest) = values.split_at(N - 2);
        let s = self.response.of(simd, self.near.sum(simd, near));
        let (power, inverse) = self.power.of(simd, s);
        let direct = simd.mul(rest[1], power);
        [direct, simd.mul(simd.mul(direct, rest[0]), inverse)]
    }
}

/// dx of neighbours' r, of x, and of dy * s^-beta.
#[derive(Clone, Copy)]
struct Slope<G> {
    /// -2 scale beta.
    factor: f32,
    near: G,
}

impl<G> Slope<G> {
    fn of(response: Response, near: G) -> Self {
        Self { factor: -2.0 * response.scale * response.beta, near }
    }
}

impl<G: Near, const N: usize> Each<N, 1> for Slope<G> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, values: [S::V; N]) -> [S::V; 1] {
        let (near, rest) = values.split_at(N - 2);
        let sum = self.near.sum(simd, near);
        [simd.fma(simd.mul(simd.splat(self.factor), rest[0]), sum, rest[1])]
    }
}

impl Response {
    /// s of the sum of squares.
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, squares: S::V) -> S::V {
        simd.fma(simd.splat(self.scale), squares, simd.splat(self.k))
    }
}

/// The sum of registers, or of their squares; at least one.
#[inline(always)]
fn sum<S: Simd, const SQUARES: bool>(simd: S, near: &[S::V]) -> S::V {
    let mut sum = if SQUARES { simd.mul(near[0], near[0]) } else { near[0] };
    for &v in &near[1..] {
        sum = if SQUARES { simd.fma(v, v, sum) } else { simd.add(sum, v) };
    }
    sum
}

/// sums = the sum of rows, or of their squares, where these are many.
#[inline(always)]
fn sum_rows<'a, S: Simd, const SQUARES: bool>(
    simd: S,
    rows: impl Iterator<Item = &'a [f32]>,
    sums: &mut [f32],
) {
    sums.fill(0.0);
    for row in rows {
        let row = &row[..sums.len()];
        for (row, sums) in row.chunks(S::LANES).zip(sums.chunks_mut(S::LANES)) {
            let (v, sum) = (simd.read_first(row), simd.read_first(sums));
            simd.write_first(sums, if SQUARES { simd.fma(v, v, sum) } else { simd.add(sum, v) });
        }
    }
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
        for (channels, inner) in [(1, 1), (3, 5), (70, 7), (9, 1300), (130, 129), (0, 3), (3, 0)] {
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
        for (height, width) in
            [(1, 1), (4, 7), (8, 8), (16, 17), (13, 3), (16, 16), (3, 1100), (70, 50), (0, 3), (3, 0)]
        {
            for ((size, beta), planes) in [1, 3, 5, 9, 33]
                .into_iter()
                .zip(BETAS.into_iter().cycle())
                .zip([2, 37, 1].into_iter().cycle())
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
                assert!((f64::from(power) * f64::from(s).powf(0.75) - 1.0).abs() < 2e-7, "{s}");
                assert!((f64::from(inverse) * f64::from(s) - 1.0).abs() < 4e-7, "{s}");
                s *= 1.01;
            }
        }
    }

    /// With k = 0 the sum of squares is 0 around channels that are not there, which must not be divided by.
    #[test]
    fn channels_that_are_not_there_add_nothing() {
        let dims = Across { images: 1, channels: 5, inner: 3 };
        for (size, isa) in [3, 5].into_iter().flat_map(|size| Isa::all().map(move |isa| (size, isa))) {
            let response = Response { size, scale: 1.0, k: 0.0, beta: 0.75 };
            // Enough zeros at the ends for neighbourhoods outside, not for those inside.
            let zeros = size / 2;
            let x: Vec<f32> = (0..15).map(|i| f32::from(!(i / 3 < zeros || i / 3 + zeros >= 5))).collect();
            let mut dx = [f32::NAN; 15];
            across::across_backward_on(isa, dims, response, [&x, &[1.0; 15][..]], &mut dx);
            assert!(dx.iter().all(|dx| dx.is_finite()), "{} {size}: {dx:?}", isa.key());
        }
    }

    /// What is not a number, or infinite, stays in its neighbourhood: lines and planes side by side do not leak.
    #[test]
    fn no_number_stays_in_its_neighbourhood() {
        let dims = Within { planes: 3, height: 5, width: 8 };
        let response = Response { size: 3, scale: 0.2, k: 1.0, beta: 0.75 };
        for bad in [f32::NAN, f32::INFINITY] {
            for at in [0, 7, 39, 40, 47, 79, 80, 119] {
                let (mut x, dy) = (values(120, 1), values(120, 2));
                x[at] = bad;
                let far = |i: usize| {
                    let of = |i: usize| [i / 40 * 100 + i % 40 / 8, i % 8];
                    of(i)[0].abs_diff(of(at)[0]).max(of(i)[1].abs_diff(of(at)[1]))
                };
                for isa in Isa::all() {
                    let mut got = [0.0; 120];
                    within::within_on(isa, dims, response, &x, &mut got);
                    assert!((0..120).all(|i| far(i) <= 1 || got[i].is_finite()), "{at}");
                    within::within_backward_on(isa, dims, response, [&x, &dy], &mut got);
                    assert!((0..120).all(|i| far(i) <= 2 || got[i].is_finite()) && got[at].is_nan(), "{at}");
                }
            }
        }
    }

    #[test]
    fn the_power_is_exact_to_rounding() {
        Isa::all().for_each(|isa| isa.run(Exact));
    }
}
