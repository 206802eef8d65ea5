//! Exponentials and logarithms of one value, written so that loops over them vectorize: no tables, no calls, no
//! branches but selections.
//!
//! Only sums and products that round alike everywhere (no fused ones), so each instruction set gives the same
//! bits. Errors are below 2.5 units in the last place unless stated, over all of `f32` with denormals and infinities.

use std::f32::consts::LOG2_E;

/// ln 2 in two parts, the first so short that its product with an exponent is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Adding 1.5 * 2^23 rounds to a whole number, which then stands in the last bits.
const ROUND: f32 = 12_582_912.0;

/// The polynomial with these coefficients, lowest power first, written out: a loop over them would be unrolled too
/// late for the loop around it to become vectors.
macro_rules! polynomial {
    ($x:expr; $last:expr) => { $last };
    ($x:expr; $first:expr, $($rest:expr),+) => { polynomial!($x; $($rest),+) * $x + $first };
}

/// (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2, by minimax coefficients.
#[inline(always)]
fn exp_tail(r: f32) -> f32 {
    polynomial!(r; 0.499_999_94, 0.166_665_21, 0.041_668_39, 0.008_368_717, 0.001_381_459_9)
}

/// (ln(1 + f) - f + f^2 / 2) / f^3 for 1 + f from sqrt(1/2) to sqrt(2), by minimax coefficients.
#[inline(always)]
fn ln_tail(f: f32) -> f32 {
    polynomial!(
        f;
        0.333_333_3, -0.250_008_23, 0.200_012_28, -0.166_233_5,
        0.142_017_38, -0.131_602_23, 0.127_617_5, -0.076_346_1
    )
}

/// 2^k for k from -126 to 127.
#[inline(always)]
fn power_of_2(k: i32) -> f32 {
    f32::from_bits((k.wrapping_add(127) as u32) << 23)
}

/// x = k ln(2) + r with |r| <= ln(2) / 2; gives k and e^r - 1.
#[inline(always)]
fn reduced(x: f32) -> (i32, f32) {
    let shifted = x * LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = x - whole * LN_2_HIGH - whole * LN_2_LOW;
    let k = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    (k, r + r * r * exp_tail(r))
}

/// e^x.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these the result is infinite or 0 anyway; written so that NaN stays.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let (k, m1) = reduced(x);
    // In two steps, since 2^k itself may be out of range.
    let half = k >> 1;
    (1.0 + m1) * power_of_2(half) * power_of_2(k.wrapping_sub(half))
}

/// e^x - 1 for x <= 0.
#[inline(always)]
pub fn exp_m1_below_0(x: f32) -> f32 {
    let x = if x < -40.0 { -40.0 } else { x };
    let (k, m1) = reduced(x);
    let scale = power_of_2(k);
    scale * m1 + (scale - 1.0)
}

/// ln(x) of a normal number.
#[inline(always)]
fn ln_normal(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let k = (x.to_bits().wrapping_sub(SQRT_HALF) as i32) >> 23;
    let f = f32::from_bits(x.to_bits().wrapping_sub((k as u32) << 23)) - 1.0;
    let (k, square) = (k as f32, f * f);
    let small = square * f * ln_tail(f) + k * LN_2_LOW;
    (small - 0.5 * square) + f + k * LN_2_HIGH
}

/// The natural logarithm: -infinity at 0, NaN below.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    const TO_NORMAL: f32 = 8_388_608.0;
    let denormal = x < f32::MIN_POSITIVE;
    let y = ln_normal(if denormal { x * TO_NORMAL } else { x });
    let y = if denormal { y - 23.0 * std::f32::consts::LN_2 } else { y };
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x >= 0.0 { y } else { f32::NAN }
}

/// ln(1 + e^x).
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let e = exp(-x.abs());
    let u = 1.0 + e;
    // What u lost of e by rounding comes back through the derivative of ln at u.
    let tail = ln_normal(u) + (e - (u - 1.0)) / u;
    (if x > 0.0 { x } else { 0.0 }) + tail
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// The hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let m1 = exp_m1_below_0(-2.0 * x.abs());
    (-m1 / (2.0 + m1)).copysign(x)
}

/// x^p for a fixed p, with the special values of [`f32::powf`]; error below one unit in the last place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Power {
    p: f64,
    at_0: f32,
    at_infinity: f32,
    /// What results of negative x are multiplied with: -1 for odd p, 1 for even p, else NaN.
    sign: f32,
    /// Likewise at -0 and -infinity, where p need not be whole.
    sign_at_ends: f32,
}

impl Power {
    /// The power p.
    pub fn new(p: f32) -> Self {
        let sign = (-1f32).powf(p);
        Self {
            p: f64::from(p),
            at_0: 0f32.powf(p),
            at_infinity: f32::INFINITY.powf(p),
            sign,
            sign_at_ends: if sign == -1.0 { -1.0 } else { 1.0 },
        }
    }

    /// x^p, as 2^(p log2(x)) in `f64`.
    #[inline(always)]
    pub fn of(&self, x: f32) -> f32 {
        let magnitude = x.abs();
        let (zero, infinite) = (magnitude == 0.0, magnitude == f32::INFINITY);
        let y = exp2_f64(self.p * log2_f64(f64::from(magnitude))) as f32;
        let y = if zero { self.at_0 } else { y };
        let y = if infinite { self.at_infinity } else { y };
        let sign = if zero | infinite { self.sign_at_ends } else { self.sign };
        let y = if x.is_sign_negative() { y * sign } else { y };
        if x.is_nan() { x } else { y }
    }
}

/// log2 of a positive normal number, to about 1e-12.
#[inline(always)]
fn log2_f64(x: f64) -> f64 {
    const FRACTION: u64 = (1 << 52) - 1;
    const TWO_52: f64 = 4_503_599_627_370_496.0;
    // The biased exponent, put into the last bits of 2^52, is a number by itself.
    let exponent = f64::from_bits((x.to_bits() >> 52) | TWO_52.to_bits()) - (TWO_52 + 1023.0);
    let m = f64::from_bits((x.to_bits() & FRACTION) | 1f64.to_bits());
    let upper = m > std::f64::consts::SQRT_2;
    let (m, exponent) = (if upper { 0.5 * m } else { m }, if upper { exponent + 1.0 } else { exponent });
    // ln(m) = 2 artanh(s) = 2 (s + s^3 / 3 + s^5 / 5 + ...), |s| <= 0.172.
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = polynomial!(s2; 1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1.0 / 13.0);
    exponent + 2.0 * std::f64::consts::LOG2_E * s * series
}

/// 2^x, to about 1e-11; x beyond 200 or -200 may count as that.
#[inline(always)]
fn exp2_f64(x: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let x = if x > 200.0 { 200.0 } else { x };
    let x = if x < -200.0 { -200.0 } else { x };
    let shifted = x + ROUND;
    let r = (x - (shifted - ROUND)) * std::f64::consts::LN_2;
    let k = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    let scale = f64::from_bits(k.wrapping_add(1023) << 52);
    // The exponential series: r^n / n!.
    let series = polynomial!(
        r;
        1.0, 1.0, 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0,
        1.0 / 5_040.0, 1.0 / 40_320.0, 1.0 / 362_880.0, 1.0 / 3_628_800.0
    );
    series * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units in the last place of the right value, which are not smaller than denormals.
    fn ulps(got: f32, want: f64) -> f64 {
        let rounded = want as f32;
        if got.is_nan() || rounded.is_nan() || rounded.is_infinite() || got.is_infinite() {
            let same = got == rounded || (got.is_nan() && want.is_nan());
            return if same { 0.0 } else { f64::INFINITY };
        }
        let unit = f64::from(f32::from_bits(rounded.abs().to_bits() + 1)) - f64::from(rounded.abs());
        (f64::from(got) - want).abs() / unit
    }

    /// Numbers of every size and sign, and those where functions turn.
    fn all_sizes() -> impl Iterator<Item = f32> {
        let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE, 1.0, -1.0]
            .into_iter()
            .chain([
                88.72283,
                88.722_84,
                -87.33655,
                -103.97,
                -103.98,
                -104.1,
                1e-45,
                -1e-45,
                f32::MAX,
                f32::MIN,
            ]);
        let spread = (0..=u32::MAX).step_by(20_011).map(f32::from_bits);
        let near = (-400_000..400_000).map(|i| i as f32 * 2.5e-4);
        special.chain(spread).chain(near)
    }

    fn check(name: &str, inputs: impl Iterator<Item = f32>, got: fn(f32) -> f32, want: fn(f64) -> f64) {
        for x in inputs {
            let (got, want) = (got(x), want(f64::from(x)));
            let error = ulps(got, want);
            assert!(error < 2.5, "{name}({x:e}) is {got} instead of {want}: {error} units");
        }
    }

    #[test]
    fn errors_are_small() {
        check("exp", all_sizes(), exp, f64::exp);
        check("ln", all_sizes(), ln, f64::ln);
        check("softplus", all_sizes(), softplus, |x| if x > 40.0 { x } else { x.exp().ln_1p() });
        check("sigmoid", all_sizes(), sigmoid, |x| 1.0 / (1.0 + (-x).exp()));
        check("tanh", all_sizes(), tanh, f64::tanh);
        check("exp_m1", all_sizes().map(|x| -x.abs()), exp_m1_below_0, f64::exp_m1);
    }

    #[test]
    fn signs_of_zero_stay() {
        assert!(tanh(-0.0).is_sign_negative() && tanh(0.0).is_sign_positive());
    }

    #[test]
    fn powers_agree_with_std() {
        for p in [-3.0, -2.0, -1.0, -0.75, -0.5, 0.001, 0.5, 1.0 / 3.0, 1.5, 2.0, 3.0, 4.0, 7.5, 40.0, 41.0] {
            let power = Power::new(p);
            for x in all_sizes().step_by(3) {
                let error = ulps(power.of(x), f64::from(x).powf(f64::from(p)));
                assert!(error < 1.0, "{x:e}^{p} is {} instead of {}: {error}", power.of(x), x.powf(p));
            }
        }
    }
}
