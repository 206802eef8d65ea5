//! `SGD`: gradient descent with momentum.

use super::{Rule, Update};
use crate::{config::proto::SolverParameter, kernels::update::with_one, solver::warm_up::momentum_factor};

/// v = momentum * v + rate * g       w = w - v
pub const RULE: Rule = Rule { name: "SGD", histories: 1, reads: &["momentum"], checks: &[], update };

fn update(solver: &SolverParameter, u: Update<'_>) {
    let (momentum, rate) = (solver.momentum() * momentum_factor(solver, u.iter), u.rate);
    with_one(u.gradient, u.data, u.diff, u.history, move |g, v| {
        *v = momentum * *v + rate * g;
        *v
    });
}
