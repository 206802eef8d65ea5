//! Cross entropy of the logistic function.

use super::math::softplus;

/// -t ln s(x) - (1 - t) ln(1 - s(x)) with s the sigmoid, in a form that does not overflow:
/// max(x, 0) - x t + ln(1 + exp(-|x|)). Its derivative is s(x) - t.
#[inline(always)]
pub fn binary_cross_entropy(x: f32, target: f32) -> f32 {
    x.max(0.0) - x * target + softplus(-x.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agree_with_the_plain_form() {
        for x in [-30.0f32, -2.5, -0.0, 0.3, 1.0, 20.0] {
            let x64 = f64::from(x);
            for t in [0.0, 0.25, 1.0] {
                let want = t * (-x64).exp().ln_1p() + (1.0 - t) * x64.exp().ln_1p();
                let got = f64::from(binary_cross_entropy(x, t as f32));
                assert!((got - want).abs() < 1e-6 * want.abs().max(1.0), "{x} {t}: {got}, not {want}");
            }
        }
    }

    #[test]
    fn large_values_do_not_overflow() {
        assert_eq!((binary_cross_entropy(1e3, 0.0), binary_cross_entropy(-1e3, 1.0)), (1e3, 1e3));
        assert_eq!((binary_cross_entropy(1e3, 1.0), binary_cross_entropy(-1e3, 0.0)), (0.0, 0.0));
    }
}
