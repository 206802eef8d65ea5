//! `AdamW`: Adam whose weight decay stands beside the gradient, not in it (Loshchilov and Hutter 2019).

use super::{Rule, Update, adam};
use crate::{
    config::proto::SolverParameter,
    kernels::update::{Gradient, with_two},
};

/// m = b1 * m + (1 - b1) * g       v = b2 * v + (1 - b2) * g^2
/// w = w - rate * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + delta) + weight_decay * w),   t = iter + 1
///
/// As in the paper, and unlike [`adam`], epsilon is added to the corrected root.
pub const RULE: Rule = Rule {
    name: "AdamW",
    histories: 2,
    reads: &["momentum", "momentum2", "delta"],
    checks: adam::CHECKS,
    update,
};

fn update(solver: &SolverParameter, u: Update<'_>) {
    let (b1, b2, delta, rate) = (solver.momentum(), solver.momentum2(), solver.delta(), u.rate);
    let t = u.iter.saturating_add(1);
    let first = (1.0 / (1.0 - f64::from(b1).powi(t))) as f32;
    let second = (1.0 / (1.0 - f64::from(b2).powi(t)).sqrt()) as f32;
    let gradient = Gradient { decay: 0.0, shrink: rate * u.gradient.decay, ..u.gradient };
    with_two(gradient, u.data, u.diff, (u.history, u.history2), move |g, m, v| {
        *m = b1 * *m + (1.0 - b1) * g;
        *v = b2 * *v + (1.0 - b2) * g * g;
        rate * (*m * first) / (v.sqrt() * second + delta)
    });
}

#[cfg(test)]
mod tests {
    use super::super::tests::after;
    use crate::config::proto::SolverParameter;

    /// The first step of Adam is `rate * sign(g)`, whatever g; the decay comes on top.
    #[test]
    fn decay_stands_beside_the_gradient() {
        let solver = SolverParameter {
            r#type: Some("AdamW".into()),
            momentum: Some(0.9),
            weight_decay: Some(0.5),
            ..SolverParameter::default()
        };
        let weights = after(&solver, 0.1, &[2.0], &[&[100.0]]);
        assert!((weights[0] - (2.0 - 0.1 - 0.1 * 0.5 * 2.0)).abs() < 1e-6, "{weights:?}");
        // Second step by hand: m = 0.9 * 10 + 0.1 * -50 = 4, v = 0.999 * 10 + 0.001 * 2500 = 12.49.
        let weights = after(&solver, 0.1, &[2.0], &[&[100.0], &[-50.0]]);
        let (m, v) = (4.0 / 0.19f64, 12.49 / (1.0 - 0.999f64.powi(2)));
        let expected = 1.8 - 0.1 * (m / v.sqrt() + 0.5 * 1.8);
        assert!((f64::from(weights[0]) - expected).abs() < 1e-5, "{weights:?} {expected}");
    }

    #[test]
    fn a_gradient_of_zero_still_decays() {
        let solver = SolverParameter {
            r#type: Some("AdamW".into()),
            weight_decay: Some(0.5),
            ..SolverParameter::default()
        };
        assert_eq!(after(&solver, 0.1, &[2.0, -4.0], &[&[0.0, 0.0]]), [1.9, -3.8]);
    }
}
