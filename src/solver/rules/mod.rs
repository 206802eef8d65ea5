//! Update rules: one file a rule, one row in [`RULES`].

mod adadelta;
mod adagrad;
mod adam;
mod adamw;
mod nesterov;
mod rmsprop;
mod sgd;

use super::{Check, SolverError};
use crate::{config::proto::SolverParameter, kernels::update::Gradient};

/// All rules, sorted by the name in `type`.
pub const RULES: &[Rule] =
    &[adadelta::RULE, adagrad::RULE, adam::RULE, adamw::RULE, nesterov::RULE, rmsprop::RULE, sgd::RULE];

/// An update rule.
#[derive(Debug)]
pub struct Rule {
    /// The name in `type`.
    pub name: &'static str,
    /// How many arrays it keeps for each parameter.
    pub histories: usize,
    /// The fields that it reads beside `base_lr` and `weight_decay`.
    pub reads: &'static [&'static str],
    /// Each refuses a setting that it cannot work with.
    pub checks: &'static [Check],
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
/// For an unknown rule.
pub fn named(solver: &SolverParameter) -> Result<&'static Rule, SolverError> {
    let name = solver.r#type();
    match RULES.binary_search_by(|r| r.name.cmp(name)) {
        Ok(row) => Ok(&RULES[row]),
        Err(_) => {
            let known = RULES.iter().map(|r| r.name).collect::<Vec<_>>().join(", ");
            Err(SolverError::setting("type", format!("unknown solver type `{name}`; there are: {known}")))
        }
    }
}

/// That it is unknown, or the settings that it cannot work with.
pub fn faults(solver: &SolverParameter) -> Vec<SolverError> {
    match named(solver) {
        Ok(rule) => rule.checks.iter().filter_map(|check| check(solver).err()).collect(),
        Err(unknown) => vec![unknown],
    }
}

/// For rules that have no use for momentum.
fn without_momentum(solver: &SolverParameter) -> Result<(), SolverError> {
    if solver.momentum() == 0.0 {
        return Ok(());
    }
    let message = format!("momentum cannot be used with {}, found {}", solver.r#type(), solver.momentum());
    Err(SolverError::setting("momentum", message))
}

/// For shares of the past that are kept: at 1 nothing new would come in.
fn is_share(field: &'static str, found: f32) -> Result<(), SolverError> {
    if (0.0..1.0).contains(&found) {
        return Ok(());
    }
    Err(SolverError::setting(field, format!("{field} must be at least 0 and below 1, found {found}")))
}

/// For rules that divide by something plus `delta`.
fn has_delta(solver: &SolverParameter) -> Result<(), SolverError> {
    if solver.delta() >= 0.0 {
        return Ok(());
    }
    Err(SolverError::setting("delta", format!("delta must be at least 0, found {}", solver.delta())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `weights` after one update for each of `gradients`.
    pub(super) fn after(
        solver: &SolverParameter,
        rate: f32,
        weights: &[f32],
        gradients: &[&[f32]],
    ) -> Vec<f32> {
        let rule = named(solver).unwrap();
        let mut data = weights.to_vec();
        let (mut history, mut history2) = (vec![0.0; data.len()], vec![0.0; data.len()]);
        for (iter, gradient) in (0..).zip(gradients) {
            let mut diff = gradient.to_vec();
            let update = Update {
                iter,
                rate,
                gradient: Gradient {
                    scale: 1.0,
                    decay: solver.weight_decay(),
                    shrink: 0.0,
                    l1: false,
                    keep_step: true,
                },
                data: &mut data,
                diff: &mut diff,
                history: &mut history,
                history2: &mut history2,
            };
            (rule.update)(solver, update);
        }
        data
    }

    fn solver(name: &str) -> SolverParameter {
        SolverParameter { r#type: Some(name.into()), ..SolverParameter::default() }
    }

    #[test]
    fn rules_are_found_by_name() {
        assert!(RULES.is_sorted_by(|a, b| a.name < b.name));
        for row in RULES {
            assert_eq!(named(&solver(row.name)).unwrap().name, row.name);
        }
        assert!(named(&solver("Adm")).unwrap_err().to_string().contains("unknown solver type `Adm`"));
    }

    #[test]
    fn settings_that_a_rule_cannot_work_with_are_refused() {
        let with = |name: &str, momentum: f32| SolverParameter { momentum: Some(momentum), ..solver(name) };
        for (settings, field, expected) in [
            (with("AdaGrad", 0.9), "momentum", "cannot be used with AdaGrad, found 0.9"),
            (with("RMSProp", 0.9), "momentum", "cannot be used with RMSProp"),
            (with("AdaDelta", 1.0), "momentum", "below 1, found 1"),
            (with("Adam", 1.0), "momentum", "below 1, found 1"),
            (with("AdamW", -0.5), "momentum", "at least 0"),
            (SolverParameter { momentum2: Some(1.0), ..with("Adam", 0.9) }, "momentum2", "below 1"),
            (SolverParameter { rms_decay: Some(1.0), ..solver("RMSProp") }, "rms_decay", "below 1"),
            (SolverParameter { delta: Some(-1.0), ..solver("AdaGrad") }, "delta", "at least 0, found -1"),
            (SolverParameter { delta: Some(f32::NAN), ..solver("Adam") }, "delta", "found NaN"),
        ] {
            match &faults(&settings)[..] {
                [SolverError::Setting { field: at, message }] => {
                    assert_eq!(at, field);
                    assert!(message.contains(expected), "{message}");
                }
                other => panic!("{field}: {other:?}"),
            }
        }
    }

    /// The second step, from a first one of the same gradient, by each rule's formula.
    #[test]
    fn two_steps_by_hand() {
        let delta = SolverParameter { delta: Some(1.0), ..SolverParameter::default() };
        let named = |name: &str| SolverParameter { r#type: Some(name.into()), ..delta.clone() };
        let with_momentum = |name: &str| SolverParameter { momentum: Some(0.5), ..named(name) };
        let halves = SolverParameter { momentum2: Some(0.5), ..with_momentum("Adam") };
        let rms = SolverParameter { rms_decay: Some(0.5), ..named("RMSProp") };
        // g = 2, rate = 1.
        let root = |x: f32| x.sqrt();
        for (settings, steps) in [
            (with_momentum("SGD"), [2.0, 3.0]),
            (with_momentum("Nesterov"), [1.5 * 2.0, 1.5 * 3.0 - 0.5 * 2.0]),
            (named("AdaGrad"), [2.0 / 3.0, 2.0 / (root(8.0) + 1.0)]),
            (rms, [2.0 / (root(2.0) + 1.0), 2.0 / (root(3.0) + 1.0)]),
            // h = 2, s = 2 sqrt(1 / 3), h2 = s^2 / 2 = 2 / 3; then h = 3, s = 2 sqrt((5 / 3) / 4).
            (with_momentum("AdaDelta"), [2.0 * root(1.0 / 3.0), 2.0 * root(5.0 / 12.0)]),
            // m = 1, v = 2, sqrt(1 / 2) / (1 / 2); then m = 3 / 2, v = 3, sqrt(3 / 4) / (3 / 4).
            (halves, [root(2.0) / (root(2.0) + 1.0), 1.5 / root(0.75) / (root(3.0) + 1.0)]),
        ] {
            let gradients: [&[f32]; 2] = [&[2.0], &[2.0]];
            let expected = -steps[0] - steps[1];
            let found = after(&settings, 1.0, &[0.0], &gradients)[0];
            assert!((found - expected).abs() < 1e-6, "{}: {found}, expected {expected}", settings.r#type());
        }
    }
}
