//! Update rules: one file a rule, one row in [`RULES`].

mod adadelta;
mod adagrad;
mod adam;
mod nesterov;
mod rmsprop;
mod sgd;

use super::SolverError;
use crate::{config::proto::SolverParameter, kernels::update::Gradient};

/// All rules, sorted by the name in `type`.
pub const RULES: &[Rule] =
    &[adadelta::RULE, adagrad::RULE, adam::RULE, nesterov::RULE, rmsprop::RULE, sgd::RULE];

/// An update rule.
#[derive(Debug)]
pub struct Rule {
    /// The name in `type`.
    pub name: &'static str,
    /// How many arrays it keeps for each parameter.
    pub histories: usize,
    /// The fields of its own that it reads, beside the learning rate and the regularization.
    pub reads: &'static [&'static str],
    /// Refuses settings that it cannot work with.
    pub check: fn(&SolverParameter) -> Result<(), SolverError>,
    /// Updates one parameter.
    pub update: fn(&SolverParameter, Update<'_>),
}

/// One parameter at its update.
pub struct Update<'a> {
    /// The iteration, from 0.
    pub iter: i32,
    /// The learning rate times the parameter's `lr_mult`.
    pub rate: f32,
    /// How the diff becomes the gradient.
    pub gradient: Gradient,
    /// The parameter.
    pub data: &'a mut [f32],
    /// Its diff.
    pub diff: &'a mut [f32],
    /// The rule's first array of it.
    pub history: &'a mut [f32],
    /// The rule's second array; empty for rules with one.
    pub history2: &'a mut [f32],
}

/// The rule that `solver` names.
///
/// # Errors
/// For an unknown rule, and for settings that it cannot work with.
pub fn rule(solver: &SolverParameter) -> Result<&'static Rule, SolverError> {
    let name = solver.r#type();
    let Ok(row) = RULES.binary_search_by(|r| r.name.cmp(name)) else {
        let known = RULES.iter().map(|r| r.name).collect::<Vec<_>>().join(", ");
        return Err(SolverError::setting(
            "type",
            format!("unknown solver type `{name}`; there are: {known}"),
        ));
    };
    (RULES[row].check)(solver)?;
    Ok(&RULES[row])
}

/// For rules that have no use for momentum.
fn without_momentum(solver: &SolverParameter) -> Result<(), SolverError> {
    if solver.momentum() == 0.0 {
        return Ok(());
    }
    let message = format!("momentum cannot be used with {}, found {}", solver.r#type(), solver.momentum());
    Err(SolverError::setting("momentum", message))
}
