//! `AdaGrad` (Duchi et al. 2011).

use super::{Rule, Update, has_delta, without_momentum};
use crate::{config::proto::SolverParameter, kernels::update::with_one};

/// h = h + g^2       w = w - rate * g / (sqrt(h) + delta)
pub const RULE: Rule =
    Rule { name: "AdaGrad", histories: 1, reads: &["delta"], checks: &[without_momentum, has_delta], update };

fn update(solver: &SolverParameter, u: Update<'_>) {
    let (delta, rate) = (solver.delta(), u.rate);
    with_one(u.gradient, u.data, u.diff, u.history, move |g, h| {
        *h += g * g;
        rate * g / (h.sqrt() + delta)
    });
}
