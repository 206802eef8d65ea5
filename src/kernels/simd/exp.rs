//! The exponential of a register.

use super::Simd;

/// Adding it rounds to a whole number, which, with the bias of exponents, then stands in the last bits.
const ROUND: f32 = 12_582_912.0 + 127.0;
/// ln 2 in two parts, the first so short that its product with an exponent is exact; both with the other sign.
const LN_2_HIGH: f32 = -355.0 / 512.0;
const LN_2_LOW: f32 = 2.121_944_4e-4;
/// What becomes 0: -127 ln 2.
const LEAST: f32 = -88.029_69;
/// (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2, the highest power first, as in `math`.
const TAIL: [f32; 5] = [0.001_381_459_9, 0.008_368_717, 0.041_668_39, 0.166_665_21, 0.499_999_94];

/// e^x for x <= 0, within 2 units in the last place; below the normal numbers, from -87.4 on, it may be 0. NaN stays.
#[inline(always)]
pub fn exp_below_0<S: Simd>(simd: S, x: S::V) -> S::V {
    // What is not a number is the second.
    let x = simd.max(simd.splat(LEAST), x);
    let shifted = simd.fma(x, simd.splat(std::f32::consts::LOG2_E), simd.splat(ROUND));
    let whole = simd.add(shifted, simd.splat(-ROUND));
    let r = simd.fma(whole, simd.splat(LN_2_HIGH), x);
    let r = simd.fma(whole, simd.splat(LN_2_LOW), r);
    let mut tail = simd.splat(TAIL[0]);
    for factor in &TAIL[1..] {
        tail = simd.fma(tail, r, simd.splat(*factor));
    }
    let scale = simd.power_of_two(shifted);
    simd.fma(scale, simd.fma(simd.mul(r, r), tail, r), scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Isa, Job};

    struct Exact;

    impl Job for Exact {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let of = |x: f32| {
                let mut lanes = [f32::NAN; 16];
                simd.write_first(&mut lanes[..S::LANES], exp_below_0(simd, simd.splat(x)));
                lanes[S::LANES - 1]
            };
            for i in 0..=300_000 {
                let x = i as f32 * -3e-4;
                let (got, want) = (f64::from(of(x)), f64::from(x).exp());
                let unit = f64::from(f32::EPSILON) * want.log2().floor().exp2();
                let error = (got - want).abs();
                assert!(
                    error <= 2.0 * unit || want < 1.1 * f64::from(f32::MIN_POSITIVE) && got <= want + unit,
                    "{x}: {got} {want}"
                );
            }
            assert_eq!([0.0, -0.0, -89.0, -1e9, f32::NEG_INFINITY].map(of), [1.0, 1.0, 0.0, 0.0, 0.0]);
            assert!(of(f32::NAN).is_nan());
        }
    }

    #[test]
    fn errors_are_small() {
        Isa::all().for_each(|isa| isa.run(Exact));
    }
}
