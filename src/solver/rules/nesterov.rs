//! `Nesterov`: momentum that looks ahead (Sutskever et al. 2013).

use super::{Rule, Update};
use crate::{config::proto::SolverParameter, kernels::update::with_one};

/// v' = momentum * v + rate * g       w = w - ((1 + momentum) * v' - momentum * v)
pub const RULE: Rule = Rule { name: "Nesterov", histories: 1, reads: &["momentum"], checks: &[], update };

fn update(solver: &SolverParameter, u: Update<'_>) {
    let (momentum, rate) = (solver.momentum(), u.rate);
    with_one(u.gradient, u.data, u.diff, u.history, move |g, v| {
        let old = *v;
        *v = momentum * old + rate * g;
        (1.0 + momentum) * *v - momentum * old
    });
}
