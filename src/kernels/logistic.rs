//! The logistic function s(x) = 1 / (1 + e^-x) and its cross entropy, each value by itself.

use super::{
    elementwise::evaluate,
    simd::{self, Each, Portable, Simd},
    sums::sum_of_each,
};

/// Targets from one number to another, which count for nothing.
#[derive(Clone, Copy, Debug)]
pub struct Ignored(f32, f32);

impl Ignored {
    /// No target.
    pub const NONE: Self = Self(f32::INFINITY, f32::NEG_INFINITY);

    /// Targets whose whole part is this.
    pub fn label(label: i32) -> Self {
        let label = label as f32;
        let (below, above) = ((label - 1.0).next_up(), (label + 1.0).next_down());
        Self(if label > 0.0 { label } else { below }, if label < 0.0 { label } else { above })
    }

    /// Whether this target is one of them.
    #[inline(always)]
    pub fn has(self, target: f32) -> bool {
        self.0 <= target && target <= self.1
    }

    /// 0 where the target is one of them, else `v`.
    #[inline(always)]
    fn cleared<S: Simd>(self, simd: S, target: S::V, v: S::V) -> S::V {
        let (zero, [first, last]) = (simd.splat(0.0), [self.0, self.1].map(|end| simd.splat(end)));
        simd.where_at_most(first, target, simd.where_at_most(target, last, zero, v), v)
    }
}

/// The sum of -t ln s(x) - (1 - t) ln(1 - s(x)) over scores x and targets t.
pub fn cross_entropy(scores: &[f32], targets: &[f32], ignored: Ignored) -> f64 {
    sum_of_each([scores, targets], Cost(ignored))
}

#[derive(Clone, Copy)]
struct Cost(Ignored);

impl Each<2, 1> for Cost {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x, t]: [S::V; 2]) -> [S::V; 1] {
        [self.0.cleared(simd, t, cost(simd, x, t))]
    }
}

/// In a form that does not overflow: max(x, 0) - x t + ln(1 + exp(-|x|)).
#[inline(always)]
fn cost<S: Simd>(simd: S, x: S::V, t: S::V) -> S::V {
    let linear = simd.fma(simd.mul(x, simd.splat(-1.0)), t, simd.max(x, simd.splat(0.0)));
    simd.add(linear, simd::softplus_below_0(simd, simd.with_sign_of(x, simd.splat(-0.0))))
}

/// diff = scale * (s(x) - t), the derivative.
pub fn cross_entropy_backward(
    scores: &[f32],
    targets: &[f32],
    ignored: Ignored,
    scale: f32,
    diff: &mut [f32],
) {
    evaluate([scores, targets], diff, Slope { ignored, scale });
}

#[derive(Clone, Copy)]
struct Slope {
    ignored: Ignored,
    scale: f32,
}

impl Each<2, 1> for Slope {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x, t]: [S::V; 2]) -> [S::V; 1] {
        let above = simd.fma(t, simd.splat(-1.0), simd::sigmoid(simd, x));
        [self.ignored.cleared(simd, t, simd.mul(simd.splat(self.scale), above))]
    }
}

/// [`cross_entropy`] of one value.
pub fn binary_cross_entropy(x: f32, target: f32) -> f32 {
    cost(Portable, [x; 4], [target; 4])[0]
}

/// s of one value.
pub fn sigmoid(x: f32) -> f32 {
    simd::sigmoid(Portable, [x; 4])[0]
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
                let near = |got: f64| {
                    assert!((got - want).abs() < 1e-6 * want.abs().max(1.0), "{x} {t}: {got}, not {want}")
                };
                near(f64::from(binary_cross_entropy(x, t as f32)));
                near(cross_entropy(&[x; 40], &[t as f32; 40], Ignored::NONE) / 40.0);
                let (mut diff, slope) = ([0.0; 3], 1.0 / (1.0 + (-x64).exp()) - t);
                cross_entropy_backward(&[x; 3], &[t as f32; 3], Ignored::NONE, 2.0, &mut diff);
                assert!(diff.iter().all(|&d| (f64::from(d) - 2.0 * slope).abs() < 1e-6), "{x} {t}: {diff:?}");
            }
        }
    }

    #[test]
    fn large_values_do_not_overflow() {
        assert_eq!((binary_cross_entropy(1e3, 0.0), binary_cross_entropy(-1e3, 1.0)), (1e3, 1e3));
        assert_eq!((binary_cross_entropy(1e3, 1.0), binary_cross_entropy(-1e3, 0.0)), (0.0, 0.0));
    }

    #[test]
    fn what_is_ignored_has_that_whole_part() {
        let targets = [-2.0f32, -1.99, -1.01, -1.0, -0.99, -0.0, 0.0, 0.99, 1.0, 1.5, 2.0, f32::NAN];
        for label in -2..=2 {
            let ignored = Ignored::label(label);
            for t in targets {
                assert_eq!(ignored.has(t), t.trunc() == label as f32, "{label} {t}");
                let mut diff = [1.0];
                cross_entropy_backward(&[0.5], &[t], ignored, 1.0, &mut diff);
                assert_eq!(ignored.has(t), diff == [0.0], "{label} {t}");
                assert_eq!(ignored.has(t), cross_entropy(&[0.5], &[t], ignored) == 0.0, "{label} {t}");
            }
        }
        assert!(targets.iter().all(|&t| !Ignored::NONE.has(t)));
    }
}
