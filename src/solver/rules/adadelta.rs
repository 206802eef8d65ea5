//! `AdaDelta` (Zeiler 2012), with `momentum` as its decay and the learning rate as a factor.

use super::{Rule, Update, has_delta, is_share};
use crate::{config::proto::SolverParameter, kernels::update::with_two};

/// h = m * h + (1 - m) * g^2       s = g * sqrt((h2 + delta) / (h + delta))
/// h2 = m * h2 + (1 - m) * s^2     w = w - rate * s
pub const RULE: Rule = Rule {
    name: "AdaDelta",
    histories: 2,
    reads: &["momentum", "delta"],
    checks: &[|s| is_share("momentum", s.momentum()), has_delta],
    update,
};

fn update(solver: &SolverParameter, u: Update<'_>) {
    let (m, delta, rate) = (solver.momentum(), solver.delta(), u.rate);
    with_two(u.gradient, u.data, u.diff, (u.history, u.history2), move |g, h, h2| {
        *h = m * *h + (1.0 - m) * g * g;
        let step = g * ((*h2 + delta) / (*h + delta)).sqrt();
        *h2 = m * *h2 + (1.0 - m) * step * step;
        rate * step
    });
}
