//! `RMSProp` (Tieleman and Hinton 2012).

use super::{Rule, Update, has_delta, is_share, without_momentum};
use crate::{config::proto::SolverParameter, kernels::update::with_one};

/// h = rms_decay * h + (1 - rms_decay) * g^2       w = w - rate * g / (sqrt(h) + delta)
pub const RULE: Rule = Rule {
    name: "RMSProp",
    histories: 1,
    reads: &["rms_decay", "delta"],
    checks: &[without_momentum, |s| is_share("rms_decay", s.rms_decay()), has_delta],
    update,
};

fn update(solver: &SolverParameter, u: Update<'_>) {
    let (decay, delta, rate) = (solver.rms_decay(), solver.delta(), u.rate);
    with_one(u.gradient, u.data, u.diff, u.history, move |g, h| {
        *h = decay * *h + (1.0 - decay) * g * g;
        rate * g / (h.sqrt() + delta)
    });
}
