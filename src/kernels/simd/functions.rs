//! Exponentials, logarithms and what is made of them, of a register: no branches, but selections and fused
//! multiply-adds, no tables but those that a register holds.
//!
//! An exponential takes 14 operations, of numbers below 0 13: two products take k ln(2) from x, a polynomial of degree
//! 6 makes e^r - 1, and 2^k comes from the last bits of a sum. Beside the 13 a sigmoid takes 4 more, one of them a
//! quotient, the hyperbolic tangent up to 8, ln(1 + e^x) one polynomial of degree 8 and no quotient. A logarithm takes
//! some 15 on AVX-512, which picks its polynomial, of degree 3, by the first four digits.
//!
//! Errors are in units in the last place, the largest of every 29th `f32`, of results that are normal numbers; results
//! below them may be 0. NaN stays.

use std::{f32::consts::LOG2_E, ops::Range};

use super::Simd;

/// Adding it rounds to a whole number, which, with the bias of exponents, then stands in the last bits.
pub const ROUND: f32 = 12_582_912.0 + 127.0;
/// ln 2 in two parts, the first so short that its product with an exponent is exact; both with the other sign.
const LN_2_HIGH: f32 = -355.0 / 512.0;
const LN_2_LOW: f32 = 2.121_944_4e-4;
/// Logarithms of the powers of two that [`Simd::power_of_two`] makes 0 and infinity.
const LN_OF_0: f32 = -88.029_69;
const LN_OF_INFINITY: f32 = 88.722_84;
/// (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2 by minimax coefficients, the highest power first.
const EXP_TAIL: [f32; 5] = [0.001_383_786_1, 0.008_367_087, 0.041_667_75, 0.166_665_39, 0.499_999_97];
/// (ln(1 + f) - f + f^2 / 2) / f^3 for 1 + f from sqrt(1/2) to sqrt(2), likewise.
const LN_TAIL: [f32; 8] = [
    -0.076_346_1,
    0.127_617_5,
    -0.131_602_23,
    0.142_017_38,
    -0.166_233_5,
    0.200_012_28,
    -0.250_008_23,
    0.333_333_3,
];
/// ln(1 + e) / e for e from 0 to 1, likewise.
const LN_1P: [f32; 9] = [
    0.005_365_446_7,
    -0.030_068_362,
    0.079_208_88,
    -0.137_541_89,
    0.191_538_48,
    -0.248_572_17,
    0.333_213_3,
    -0.499_996_48,
    1.0,
];

/// The polynomial with these coefficients, the highest power first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::V, factors: &[f32; N]) -> S::V {
    let mut sum = simd.splat(factors[0]);
    for &factor in &factors[1..] {
        sum = simd.fma(sum, x, simd.splat(factor));
    }
    sum
}

/// x = k ln(2) + r with |r| <= ln(2) / 2: k as [`Simd::power_of_two`] takes it, and e^r - 1.
#[inline(always)]
fn reduced<S: Simd>(simd: S, x: S::V) -> (S::V, S::V) {
    let (shifted, whole, r) = nearest_whole(simd, x);
    (shifted, exp_m1_near_0(simd, simd.fma(whole, simd.splat(LN_2_LOW), r)))
}

/// k as [`Simd::power_of_two`] takes it, k, and x less the product of k and the first part of ln 2.
#[inline(always)]
fn nearest_whole<S: Simd>(simd: S, x: S::V) -> (S::V, S::V, S::V) {
    let shifted = simd.fma(x, simd.splat(LOG2_E), simd.splat(ROUND));
    let whole = simd.add(shifted, simd.splat(-ROUND));
    (shifted, whole, simd.fma(whole, simd.splat(LN_2_HIGH), x))
}

/// e^r - 1 for |r| <= ln(2) / 2.
#[inline(always)]
fn exp_m1_near_0<S: Simd>(simd: S, r: S::V) -> S::V {
    simd.fma(simd.mul(r, r), polynomial(simd, r, &EXP_TAIL), r)
}

/// e^x for x <= 0, within 1.1 units.
#[inline(always)]
pub fn exp_below_0<S: Simd>(simd: S, x: S::V) -> S::V {
    // What is not a number is the second.
    let (k, m1) = reduced(simd, simd.max(simd.splat(LN_OF_0), x));
    let scale = simd.power_of_two(k);
    simd.fma(scale, m1, scale)
}

/// e^x, within 1.1 units, below the normal numbers, too.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::V) -> S::V {
    // Beyond these it is infinite or 0 anyway.
    let (k, m1) = reduced(simd, simd.min(simd.splat(89.0), simd.max(simd.splat(-104.0), x)));
    times_power_of_two(simd, k, m1)
}

/// 2^k (m1 + 1), where 2^k may be out of range.
#[inline(always)]
fn times_power_of_two<S: Simd>(simd: S, k: S::V, m1: S::V) -> S::V {
    simd.times_power_of_two(simd.add(m1, simd.splat(1.0)), k)
}

/// [`Simd::times_power_of_two`] without an instruction for it.
#[inline(always)]
pub fn in_two_steps<S: Simd>(simd: S, a: S::V, k: S::V) -> S::V {
    // k ends in the bits of whole numbers, so half of it is rounded.
    let half = simd.fma(simd.add(k, simd.splat(-ROUND)), simd.splat(0.5), simd.splat(ROUND));
    let other = simd.add(simd.fma(half, simd.splat(-1.0), simd.splat(ROUND)), k);
    simd.mul(simd.mul(simd.power_of_two(half), a), simd.power_of_two(other))
}

/// e^x - 1 for x <= 0, within 1 unit.
#[inline(always)]
pub fn exp_m1_below_0<S: Simd>(simd: S, x: S::V) -> S::V {
    let (k, m1) = reduced(simd, simd.max(simd.splat(LN_OF_0), x));
    let scale = simd.power_of_two(k);
    simd.fma(scale, m1, simd.add(scale, simd.splat(-1.0)))
}

/// ln(x), within 1 unit: -infinity at 0, NaN below.
#[inline(always)]
pub fn ln<S: Simd>(simd: S, x: S::V) -> S::V {
    simd.ln(x)
}

/// [`ln`] without instructions for it.
#[inline(always)]
pub fn ln_by_bits<S: Simd>(simd: S, x: S::V) -> S::V {
    let (zero, (k, f)) = (simd.splat(0.0), split(simd, x));
    let square = simd.mul(f, f);
    let tail = polynomial(simd, f, &LN_TAIL);
    let small = simd.fma(simd.mul(square, f), tail, simd.mul(k, simd.splat(-LN_2_LOW)));
    let y = simd.add(simd.fma(square, simd.splat(-0.5), small), f);
    let y = simd.fma(k, simd.splat(-LN_2_HIGH), y);
    // Infinity and what is not a number stay.
    let y = simd.where_greater(simd.splat(f32::INFINITY), x, y, x);
    let ends = simd.where_equal(x, zero, simd.splat(f32::NEG_INFINITY), simd.splat(f32::NAN));
    simd.where_at_most(x, zero, ends, y)
}

/// k and f with x = 2^k (1 + f), 1 + f from sqrt(1/2) to sqrt(2), for finite x > 0.
#[inline(always)]
fn split<S: Simd>(simd: S, x: S::V) -> (S::V, S::V) {
    const TO_NORMAL: f32 = 8_388_608.0;
    let least = simd.splat(f32::MIN_POSITIVE);
    let normal = simd.where_greater(least, x, simd.mul(x, simd.splat(TO_NORMAL)), x);
    let k_0 = simd.where_greater(least, x, simd.splat(-23.0), simd.splat(0.0));
    let (k, m) = simd.split_by_sqrt_half(normal);
    (simd.add(k, k_0), simd.add(m, simd.splat(-1.0)))
}

/// a - b.
#[inline(always)]
fn less<S: Simd>(simd: S, a: S::V, b: S::V) -> S::V {
    simd.fma(b, simd.splat(-1.0), a)
}

/// x^p for finite x > 0, as e^(p ln(x)) with the logarithm in two parts: fused products find what was rounded off. Within 1.3 units
/// for p up to 8, 3.3 up to 40; below the normal numbers, too.
#[inline(always)]
pub fn power<S: Simd>(simd: S, x: S::V, p: f32) -> S::V {
    let (p, (k, f)) = (simd.splat(p), split(simd, x));
    // The sum of k ln(2), f, -f^2 / 2 and the tail, the largest first, so that each sum leaves its error as a difference.
    let square = simd.mul(f, f);
    let (half, square_low) =
        (simd.mul(square, simd.splat(-0.5)), simd.fma(f, f, simd.mul(square, simd.splat(-1.0))));
    let first = simd.mul(k, simd.splat(-LN_2_HIGH));
    let second = simd.add(first, f);
    let third = simd.add(second, half);
    let errors =
        simd.add(less(simd, f, less(simd, second, first)), less(simd, half, less(simd, third, second)));
    let errors = simd.fma(square_low, simd.splat(-0.5), errors);
    let low = simd.fma(k, simd.splat(-LN_2_LOW), errors);
    let low = simd.fma(simd.mul(square, f), polynomial(simd, f, &LN_TAIL), low);
    let high = simd.add(third, low);
    let low = less(simd, low, less(simd, high, third));
    let y = simd.mul(p, high);
    let y_low = simd.fma(p, low, simd.fma(p, high, simd.mul(y, simd.splat(-1.0))));
    // Beyond these it is infinite or 0 anyway, and the rest may be anything.
    let y = simd.min(simd.splat(89.0), simd.max(simd.splat(-104.0), y));
    let (k, whole, r) = nearest_whole(simd, y);
    let rest =
        simd.fma(whole, simd.splat(LN_2_LOW), simd.min(simd.splat(0.01), simd.max(simd.splat(-0.01), y_low)));
    times_power_of_two(simd, k, exp_m1_near_0(simd, simd.add(r, rest)))
}

/// x^(quarters / 4) for finite x > 0 and quarters -3, -1, 1 or 3, by two steps from a guess of x^-1/4 by the bits; fused products
/// find what the others round off. Within 0.51 units.
#[inline(always)]
pub fn power_of_quarters<S: Simd>(simd: S, x: S::V, quarters: i32) -> S::V {
    const TO_NORMAL: f32 = 16_777_216.0;
    let (one, least) = (simd.splat(1.0), simd.splat(f32::MIN_POSITIVE));
    let normal = simd.where_greater(least, x, simd.mul(x, simd.splat(TO_NORMAL)), x);
    // r is within 6e-5 of x^-1/4, d = 1 - x r^4.
    let (minus, r) = (simd.mul(normal, simd.splat(-1.0)), simd.inverse_fourth_root_guess(normal));
    let square = simd.mul(r, r);
    let d = simd.fma(simd.mul(minus, square), square, one);
    let r = simd.fma(simd.mul(r, d), simd.fma(d, simd.splat(0.156_076_05), simd.splat(0.251_352_3)), r);
    let (square, square_low) = product(simd, r, r);
    let (root, root_low) = product(simd, normal, square);
    let low = simd.fma(simd.add(root, root), square_low, simd.mul(root_low, square));
    let d = less(simd, simd.fma(simd.mul(root, simd.splat(-1.0)), square, one), low);
    // The power of r and x that is next, and what follows of (1 - d) to the power of what is left.
    let ((high, low), [first, second]) = match quarters {
        -3 => (times(simd, (square, square_low), r), [0.75, 0.656_25]),
        -1 => ((r, simd.splat(0.0)), [0.25, 0.156_25]),
        1 => (times(simd, (root, simd.fma(normal, square_low, root_low)), r), [0.75, 0.656_25]),
        _ => (product(simd, normal, r), [0.25, 0.156_25]),
    };
    let rest = simd.mul(d, simd.fma(d, simd.splat(second), simd.splat(first)));
    let y = simd.add(high, simd.fma(high, rest, low));
    let back = (-6.0 * quarters as f32).exp2();
    simd.where_greater(least, x, simd.mul(y, simd.splat(back)), y)
}

/// x^p for p -1, 2, 3 or 4, within 0.51 units, below 1e-30, where what is rounded off is no normal number, within 1.
#[inline(always)]
pub fn whole_power<S: Simd>(simd: S, x: S::V, p: i32) -> S::V {
    let (square, square_low) = product(simd, x, x);
    let (high, low) = match p {
        -1 => return simd.div(simd.splat(1.0), x),
        2 => return square,
        3 => times(simd, (square, square_low), x),
        _ => {
            let (high, low) = product(simd, square, square);
            (high, simd.fma(simd.add(square, square), square_low, low))
        }
    };
    // Where it is infinite, what is left of it is not a number.
    simd.add(high, simd.min(simd.max(low, simd.splat(f32::MIN)), simd.splat(f32::MAX)))
}

/// a * b and what it rounds off.
#[inline(always)]
fn product<S: Simd>(simd: S, a: S::V, b: S::V) -> (S::V, S::V) {
    let high = simd.mul(a, b);
    (high, simd.fma(a, b, simd.mul(high, simd.splat(-1.0))))
}

/// The product of a number in two parts and b.
#[inline(always)]
fn times<S: Simd>(simd: S, (a, a_low): (S::V, S::V), b: S::V) -> (S::V, S::V) {
    let (high, low) = product(simd, a, b);
    (high, simd.fma(a_low, b, low))
}

/// x^-1/2 within 0.51 units: infinity at 0, NaN below.
#[inline(always)]
pub fn inverse_root<S: Simd>(simd: S, x: S::V) -> S::V {
    let one = simd.splat(1.0);
    let y = simd.div(one, simd.sqrt(x));
    let (root, low) = product(simd, x, y);
    let d = simd.fma(simd.mul(root, simd.splat(-1.0)), y, one);
    let d = simd.fma(simd.mul(low, simd.splat(-1.0)), y, d);
    // d = 1 - x y^2 is no number at 0 and infinity, where y is exact and may as well be doubled.
    simd.fma(simd.mul(y, simd.splat(0.5)), simd.min(d, one), y)
}

/// [`Simd::ends_of_power`] without an instruction for it.
#[inline(always)]
pub fn ends_of_power<S: Simd>(simd: S, x: S::V, y: S::V, at_0: f32, at_infinity: f32) -> S::V {
    let infinity = simd.splat(f32::INFINITY);
    let size = simd.with_sign_of(x, simd.splat(0.0));
    let y = simd.where_equal(size, infinity, simd.splat(at_infinity), y);
    let y = not_below_0(simd, x, y);
    let y = simd.where_equal(size, simd.splat(0.0), simd.splat(at_0), y);
    simd.where_at_most(size, infinity, y, x)
}

/// y, but NaN where x is finite and below 0: for a root -0 and -infinity are not.
#[inline(always)]
pub fn not_below_0<S: Simd>(simd: S, x: S::V, y: S::V) -> S::V {
    let y_below = simd.where_greater(simd.splat(-f32::MAX), x, y, simd.splat(f32::NAN));
    simd.where_greater(simd.splat(0.0), x, y_below, y)
}

/// ln(1 + e^x) for x <= 0, within 2.8 units.
#[inline(always)]
pub fn softplus_below_0<S: Simd>(simd: S, x: S::V) -> S::V {
    let e = exp_below_0(simd, x);
    simd.mul(e, polynomial(simd, e, &LN_1P))
}

/// ln(1 + e^x), within 2.8 units.
#[inline(always)]
pub fn softplus<S: Simd>(simd: S, x: S::V) -> S::V {
    let e = exp_below_0(simd, simd.with_sign_of(x, simd.splat(-0.0)));
    simd.fma(e, polynomial(simd, e, &LN_1P), simd.max(x, simd.splat(0.0)))
}

/// 1 / (1 + e^-x), within 2.5 units.
#[inline(always)]
pub fn sigmoid<S: Simd>(simd: S, x: S::V) -> S::V {
    let x = simd.max(simd.splat(-LN_OF_INFINITY), simd.min(simd.splat(-LN_OF_0), x));
    let one = simd.splat(1.0);
    let (k, m1) = reduced(simd, simd.mul(x, simd.splat(-1.0)));
    simd.div(one, simd.fma(simd.power_of_two(k), simd.add(m1, one), one))
}

/// The hyperbolic tangent, within 2.6 units.
#[inline(always)]
pub fn tanh<S: Simd>(simd: S, x: S::V) -> S::V {
    // Beyond 20 it is 1 or -1.
    let size = simd.min(simd.splat(20.0), simd.with_sign_of(x, simd.splat(0.0)));
    let (k, m1) = reduced(simd, simd.add(size, size));
    let scale = simd.power_of_two(k);
    let m1 = simd.fma(scale, m1, simd.add(scale, simd.splat(-1.0)));
    simd.with_sign_of(simd.div(m1, simd.add(m1, simd.splat(2.0))), x)
}

/// A number to divide by, as [`quotient`] needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divisor {
    /// The number.
    pub by: f32,
    /// -1 over it.
    pub minus_inverse: f32,
}

impl Divisor {
    /// Of a number.
    pub fn new(by: f32) -> Self {
        Self { by, minus_inverse: -1.0 / by }
    }
}

/// As many numbers to divide by, one for each value of a plane.
#[derive(Clone, Copy, Debug)]
pub struct Divisors<'a> {
    /// The numbers.
    pub by: &'a [f32],
    /// -1 over each.
    pub minus_inverse: &'a [f32],
}

impl Divisors<'_> {
    /// Those of some of the values.
    pub fn of(&self, values: Range<usize>) -> Self {
        Self { by: &self.by[values.clone()], minus_inverse: &self.minus_inverse[values] }
    }
}

/// a / b, given -1 / b, in a quarter of the time: the same bits where b is a whole number up to 1100 and the result a normal number.
#[inline(always)]
pub fn quotient<S: Simd>(simd: S, a: S::V, b: S::V, minus_inverse: S::V) -> S::V {
    if !S::FUSED {
        return simd.div(a, b);
    }
    // A guess with the other sign, and what it leaves, which is exact; infinity leaves nothing that counts.
    let guess = simd.mul(a, minus_inverse);
    let left = simd.max(simd.fma(guess, b, a), simd.splat(f32::MIN));
    simd.xor_bits(simd.fma(left, minus_inverse, guess), simd.splat(-0.0))
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use super::*;
    use crate::kernels::simd::{Isa, Job, Portable};

    /// Every so many numbers are tried.
    const STEP: usize = 9973;

    /// A function of registers beside the exact one.
    trait Named {
        const NAME: &'static str;
        /// The largest error, in units in the last place.
        const LIMIT: f64;
        fn of<S: Simd>(simd: S, x: S::V) -> S::V;
        fn exactly(x: f64) -> f64;
    }

    macro_rules! named {
        ($type:ident, $function:ident, $limit:literal, $exactly:expr) => {
            struct $type;

            impl Named for $type {
                const NAME: &'static str = stringify!($function);
                const LIMIT: f64 = $limit;
                #[inline(always)]
                fn of<S: Simd>(simd: S, x: S::V) -> S::V {
                    $function(simd, x)
                }
                fn exactly(x: f64) -> f64 {
                    let of: fn(f64) -> f64 = $exactly;
                    of(x)
                }
            }
        };
    }

    named!(Exp, exp, 1.1, f64::exp);
    named!(ExpM1, exp_m1_below_0, 1.0, f64::exp_m1);
    named!(Ln, ln, 1.0, f64::ln);
    named!(Softplus, softplus, 2.8, |x| if x > 40.0 { x } else { x.exp().ln_1p() });
    named!(Sigmoid, sigmoid, 2.5, |x| 1.0 / (1.0 + (-x).exp()));
    named!(Tanh, tanh, 2.6, f64::tanh);
    named!(ExpBelow0, exp_below_0, 1.1, f64::exp);
    named!(SoftplusBelow0, softplus_below_0, 2.8, |x| x.exp().ln_1p());

    /// Distance in units in the last place of the right value; results below the normal numbers may be 0.
    fn ulps(got: f32, want: f64) -> f64 {
        let rounded = want as f32;
        if got.is_nan() || rounded.is_nan() || rounded.is_infinite() || got.is_infinite() {
            let same = got == rounded || (got.is_nan() && want.is_nan());
            return if same { 0.0 } else { f64::INFINITY };
        }
        if got == 0.0 && rounded.abs() < f32::MIN_POSITIVE {
            return 0.0;
        }
        let unit = f64::from(f32::from_bits(rounded.abs().to_bits() + 1)) - f64::from(rounded.abs());
        (f64::from(got) - want).abs() / unit
    }

    /// The function of every `step`th `f32` from one of these bits to the other; gives the largest error and where.
    struct Sweep<F>(u32, u32, usize, PhantomData<F>);

    impl<F: Named> Job for Sweep<F> {
        type Output = (f64, f32);

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> (f64, f32) {
            let (mut worst, mut lanes, mut out) = ((0.0, 0.0), [0.0f32; 16], [0.0; 16]);
            for first in (self.0..self.1).step_by(self.2 * S::LANES) {
                for (i, lane) in lanes[..S::LANES].iter_mut().enumerate() {
                    *lane = f32::from_bits(first.saturating_add((i * self.2) as u32).min(self.1));
                }
                simd.write_first(&mut out[..S::LANES], F::of(simd, simd.read(&lanes)));
                for (&x, &got) in lanes[..S::LANES].iter().zip(&out) {
                    let error = ulps(got, F::exactly(f64::from(x)));
                    worst = if error > worst.0 { (error, x) } else { worst };
                }
            }
            worst
        }
    }

    /// All signs and sizes, or those below 0, and the ends.
    fn check<F: Named>(above: bool) {
        for isa in Isa::all() {
            for bits in [(1 << 31, u32::MAX), (0, if above { i32::MAX as u32 } else { 0 })] {
                for step in [STEP, 1 << 23] {
                    let (error, x) = isa.run(Sweep::<F>(bits.0, bits.1, step, PhantomData));
                    assert!(error <= F::LIMIT, "{} {}({x:e}): {error} units", isa.key(), F::NAME);
                }
            }
        }
    }

    #[test]
    fn errors_are_small() {
        check::<Exp>(true);
        check::<ExpM1>(false);
        check::<Ln>(true);
        check::<Softplus>(true);
        check::<Sigmoid>(true);
        check::<Tanh>(true);
        check::<ExpBelow0>(false);
        check::<SoftplusBelow0>(false);
    }

    #[test]
    fn ends_are_as_they_should_be() {
        let of = |f: fn(Portable, [f32; 4]) -> [f32; 4], x: f32| f(Portable, [x; 4])[0];
        let infinity = f32::INFINITY;
        assert_eq!([-infinity, -200.0, 200.0, infinity].map(|x| of(exp, x)), [0.0, 0.0, infinity, infinity]);
        assert_eq!([-infinity, -100.0, 100.0, infinity].map(|x| of(sigmoid, x)), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!([-infinity, -20.0, 20.0, infinity].map(|x| of(tanh, x)), [-1.0, -1.0, 1.0, 1.0]);
        assert_eq!(
            [-infinity, -200.0, 200.0, infinity].map(|x| of(softplus, x)),
            [0.0, 0.0, 200.0, infinity]
        );
        assert_eq!([-infinity, -50.0].map(|x| of(exp_m1_below_0, x)), [-1.0, -1.0]);
        assert_eq!([0.0, -0.0, infinity].map(|x| of(ln, x)), [-infinity, -infinity, infinity]);
        assert!(of(tanh, -0.0).is_sign_negative() && of(tanh, 0.0).is_sign_positive());
    }

    struct Quotients;

    impl Job for Quotients {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let lanes = |v: S::V| {
                let mut lanes = [0.0; 16];
                simd.write_first(&mut lanes, v);
                lanes.into_iter().take(S::LANES)
            };
            for number in 1..=64 {
                let (b, minus_inverse) = (number as f32, -1.0 / number as f32);
                let all = [f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-37, 3e38];
                for v in
                    all.into_iter().chain((0..999).map(|i| (1.0 + (i * 8191) as f32 * f32::EPSILON) * 7.0))
                {
                    let q = quotient(simd, simd.splat(v), simd.splat(b), simd.splat(minus_inverse));
                    assert!(lanes(q).all(|q| q.to_bits() == (v / b).to_bits()), "{v} / {b}");
                }
                let none = quotient(simd, simd.splat(f32::NAN), simd.splat(b), simd.splat(minus_inverse));
                assert!(lanes(none).all(|q| q.is_nan()));
            }
        }
    }

    #[test]
    fn quotients_have_the_bits_of_a_division() {
        Isa::all().for_each(|isa| isa.run(Quotients));
    }
}
