//! `Adam` (Kingma and Ba 2015), with `momentum` as beta1, `momentum2` as beta2 and `delta` as epsilon.

use super::{Check, Rule, Update, has_delta, is_share};
use crate::{config::proto::SolverParameter, kernels::update::with_two};

/// m = b1 * m + (1 - b1) * g       v = b2 * v + (1 - b2) * g^2
/// w = w - rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + delta),   t = iter + 1
///
/// Like Caffe's, epsilon is added outside the bias correction.
pub const RULE: Rule =
    Rule { name: "Adam", histories: 2, reads: &["momentum", "momentum2", "delta"], checks: CHECKS, update };

/// At a share of 1 the correction would divide by 0.
pub(super) const CHECKS: &[Check] =
    &[|s| is_share("momentum", s.momentum()), |s| is_share("momentum2", s.momentum2()), has_delta];

fn update(solver: &SolverParameter, u: Update<'_>) {
    let (b1, b2, delta) = (solver.momentum(), solver.momentum2(), solver.delta());
    let t = u.iter + 1;
    let correction = (1.0 - f64::from(b2).powi(t)).sqrt() / (1.0 - f64::from(b1).powi(t));
    let rate = (f64::from(u.rate) * correction) as f32;
    with_two(u.gradient, u.data, u.diff, (u.history, u.history2), move |g, m, v| {
        *m = b1 * *m + (1.0 - b1) * g;
        *v = b2 * *v + (1.0 - b2) * g * g;
        rate * *m / (v.sqrt() + delta)
    });
}
