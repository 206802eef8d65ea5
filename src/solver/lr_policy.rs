//! Learning-rate policies: the rate at an iteration, by Caffe's names and formulas.

use super::SolverError;
use crate::config::proto::SolverParameter;

/// One policy: its rate as a function of the solver's settings, the iteration and the current step.
#[derive(Debug)]
pub struct Policy {
    /// The name in `lr_policy`.
    pub name: &'static str,
    /// The formula, for messages and documentation.
    pub formula: &'static str,
    /// The fields that it reads.
    pub reads: &'static [&'static str],
    rate: fn(&SolverParameter, f64, i32) -> f64,
}

/// All policies, sorted by name.
pub const POLICIES: &[Policy] = &[
    Policy {
        name: "exp",
        formula: "base_lr * gamma ^ iter",
        reads: &["gamma"],
        rate: |s, iter, _| f64::from(s.gamma()).powf(iter),
    },
    Policy { name: "fixed", formula: "base_lr", reads: &[], rate: |_, _, _| 1.0 },
    Policy {
        name: "inv",
        formula: "base_lr * (1 + gamma * iter) ^ -power",
        reads: &["gamma", "power"],
        rate: |s, iter, _| (1.0 + f64::from(s.gamma()) * iter).powf(-f64::from(s.power())),
    },
    Policy {
        name: "multistep",
        formula: "base_lr * gamma ^ (how many stepvalue are behind)",
        reads: &["gamma", "stepvalue"],
        rate: |s, _, step| f64::from(s.gamma()).powi(step),
    },
    Policy {
        name: "poly",
        formula: "base_lr * (1 - iter / max_iter) ^ power",
        reads: &["power", "max_iter"],
        rate: |s, iter, _| (1.0 - iter / f64::from(s.max_iter())).powf(f64::from(s.power())),
    },
    Policy {
        name: "sigmoid",
        formula: "base_lr / (1 + exp(-gamma * (iter - stepsize)))",
        reads: &["gamma", "stepsize"],
        rate: |s, iter, _| 1.0 / (1.0 + (-f64::from(s.gamma()) * (iter - f64::from(s.stepsize()))).exp()),
    },
    Policy {
        name: "step",
        formula: "base_lr * gamma ^ floor(iter / stepsize)",
        reads: &["gamma", "stepsize"],
        rate: |s, _, step| f64::from(s.gamma()).powi(step),
    },
];

/// The policy that `solver` names.
///
/// # Errors
/// For an unknown policy, and for settings that it cannot work with.
pub fn policy(solver: &SolverParameter) -> Result<&'static Policy, SolverError> {
    let name = solver.lr_policy();
    let Ok(row) = POLICIES.binary_search_by(|p| p.name.cmp(name)) else {
        let known = POLICIES.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
        let message = if name.is_empty() {
            format!("lr_policy is not set; there are: {known}")
        } else {
            format!("unknown learning rate policy `{name}`; there are: {known}")
        };
        return Err(SolverError::setting("lr_policy", message));
    };
    if name == "step" && solver.stepsize() <= 0 {
        let message = format!("lr_policy \"step\" needs a stepsize above 0, found {}", solver.stepsize());
        return Err(SolverError::setting("stepsize", message));
    }
    if let Some(i) = solver.stepvalue.windows(2).position(|w| w[0] > w[1]) {
        let (a, b) = (solver.stepvalue[i], solver.stepvalue[i + 1]);
        return Err(SolverError::setting(
            format!("stepvalue[{}]", i + 1),
            format!("stepvalue {b} follows {a}: they must ascend"),
        ));
    }
    Ok(&POLICIES[row])
}

impl Policy {
    /// The rate of iteration `iter`; moves `current_step`, which solver states keep, where the policy has steps.
    pub fn rate(&self, solver: &SolverParameter, iter: i32, current_step: &mut i32) -> f32 {
        match self.name {
            "step" => *current_step = iter / solver.stepsize(),
            "multistep" => {
                while solver.stepvalue.get(*current_step as usize).is_some_and(|&value| iter >= value) {
                    *current_step += 1;
                }
            }
            _ => {}
        }
        (f64::from(solver.base_lr()) * (self.rate)(solver, f64::from(iter), *current_step)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solver(policy: &str) -> SolverParameter {
        SolverParameter {
            lr_policy: Some(policy.into()),
            base_lr: Some(0.1),
            gamma: Some(0.5),
            power: Some(2.0),
            stepsize: Some(10),
            stepvalue: vec![5, 5, 20],
            max_iter: Some(100),
            ..SolverParameter::default()
        }
    }

    fn rates(name: &str, iters: &[i32]) -> Vec<f32> {
        let solver = solver(name);
        let mut step = 0;
        iters.iter().map(|&i| policy(&solver).unwrap().rate(&solver, i, &mut step)).collect()
    }

    #[test]
    fn rates_by_hand() {
        assert!(POLICIES.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(rates("fixed", &[0, 99]), [0.1, 0.1]);
        assert_eq!(rates("step", &[0, 9, 10, 25]), [0.1, 0.1, 0.05, 0.025]);
        assert_eq!(rates("exp", &[0, 2]), [0.1, 0.025]);
        assert_eq!(rates("inv", &[0, 2]), [0.1, 0.025]);
        assert_eq!(rates("multistep", &[4, 5, 19, 20]), [0.1, 0.025, 0.025, 0.0125]);
        assert_eq!(rates("poly", &[0, 50]), [0.1, 0.025]);
        assert_eq!(rates("sigmoid", &[10]), [0.05]);
    }

    #[test]
    fn bad_settings_are_refused() {
        let message = |s: SolverParameter| policy(&s).unwrap_err().to_string();
        assert!(message(solver("stp")).contains("unknown learning rate policy `stp`"));
        assert!(
            message(SolverParameter { stepsize: None, ..solver("step") })
                .contains("needs a stepsize above 0")
        );
        assert!(
            message(SolverParameter { stepvalue: vec![3, 2], ..solver("multistep") }).contains("must ascend")
        );
    }
}
