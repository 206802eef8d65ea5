//! Learning-rate policies: the rate at an iteration, by the names and formulas of Caffe and its forks.

use std::f64::consts::PI;

use super::{Check, SolverError, warm_up};
use crate::config::proto::SolverParameter;

/// What a policy looks at, and what it keeps from iteration to iteration; solver states hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The iteration, from 0.
    pub iter: i32,
    /// How many steps of the rate are behind.
    pub current_step: i32,
    /// The loss as it is shown: the mean over `average_loss` iterations.
    pub loss: f32,
    /// The lowest loss so far, where a policy asks.
    pub least_loss: f32,
    /// The iteration of the lowest loss, or of the last step if that was later.
    pub last_event: i32,
}

impl Default for Progress {
    fn default() -> Self {
        Self { iter: 0, current_step: 0, loss: f32::MAX, least_loss: f32::MAX, last_event: 0 }
    }
}

/// One policy.
#[derive(Debug)]
pub struct Policy {
    /// The name in `lr_policy`.
    pub name: &'static str,
    /// The formula, for messages and documentation.
    pub formula: &'static str,
    /// The fields that it reads beside `base_lr` and `min_lr`.
    pub reads: &'static [&'static str],
    /// Each refuses a setting that it cannot work with.
    checks: &'static [Check],
    /// The rate; moves what is kept where the policy has steps.
    rate: fn(&SolverParameter, &mut Progress) -> f64,
}

/// All policies, sorted by name.
pub const POLICIES: &[Policy] = &[
    Policy {
        name: "cosine",
        formula: "min_lr + (base_lr - min_lr) * (1 + cos(pi * iter / max_iter)) / 2",
        reads: &["max_iter"],
        checks: &[needs_end],
        rate: |s, p| least(s) + (base(s) - least(s)) * (1.0 + (PI * done(s, p)).cos()) / 2.0,
    },
    Policy {
        name: "exp",
        formula: "base_lr * gamma ^ iter",
        reads: &["gamma"],
        checks: &[],
        rate: |s, p| base(s) * f64::from(s.gamma()).powf(f64::from(p.iter)),
    },
    Policy { name: "fixed", formula: "base_lr", reads: &[], checks: &[], rate: |s, _| base(s) },
    Policy {
        name: "inv",
        formula: "base_lr * (1 + gamma * iter) ^ -power",
        reads: &["gamma", "power"],
        checks: &[],
        rate: |s, p| base(s) * (1.0 + f64::from(s.gamma()) * f64::from(p.iter)).powf(-f64::from(s.power())),
    },
    Policy {
        name: "multifixed",
        formula: "stagelr of the first stage whose stageiter is not below iter, else of the last",
        reads: &["stagelr", "stageiter"],
        checks: &[has_stages],
        rate: |s, p| {
            let stage = s.stageiter.iter().position(|&last| p.iter <= last);
            f64::from(s.stagelr[stage.unwrap_or(s.stagelr.len() - 1)])
        },
    },
    Policy {
        name: "multistep",
        formula: "base_lr * gamma ^ (how many stepvalue are behind)",
        reads: &["gamma", "stepvalue"],
        checks: &[has_steps_in_order],
        rate: |s, p| {
            while s.stepvalue.get(p.current_step as usize).is_some_and(|&value| p.iter >= value) {
                p.current_step += 1;
            }
            stepped(s, p)
        },
    },
    Policy {
        name: "onecycle",
        formula: "from base_lr / div_factor up to base_lr at iteration pct_start * max_iter - 1, then down to \
                  base_lr / div_factor / final_div_factor at the last; both ways half a cosine",
        reads: &["max_iter", "pct_start", "div_factor", "final_div_factor"],
        checks: &[
            needs_max_iter,
            has_peak,
            |s| is_divisor("div_factor", s.div_factor()),
            |s| is_divisor("final_div_factor", s.final_div_factor()),
        ],
        rate: one_cycle,
    },
    Policy {
        name: "plateau",
        formula: "base_lr * gamma ^ (how many times plateau_winsize iterations went by without a lower loss)",
        reads: &["gamma", "plateau_winsize"],
        checks: &[has_windows],
        rate: plateau,
    },
    Policy {
        name: "poly",
        formula: "min_lr + (base_lr - min_lr) * (1 - iter / max_iter) ^ power",
        reads: &["power", "max_iter"],
        checks: &[],
        rate: |s, p| least(s) + (base(s) - least(s)) * (1.0 - done(s, p)).powf(f64::from(s.power())),
    },
    Policy {
        name: "sigmoid",
        formula: "base_lr / (1 + exp(-gamma * (iter - stepsize)))",
        reads: &["gamma", "stepsize"],
        checks: &[has_step_size],
        rate: |s, p| {
            let past = f64::from(p.iter) - f64::from(s.stepsize());
            base(s) / (1.0 + (-f64::from(s.gamma()) * past).exp())
        },
    },
    Policy {
        name: "step",
        formula: "base_lr * gamma ^ floor(iter / stepsize)",
        reads: &["gamma", "stepsize"],
        checks: &[has_step_size],
        rate: |s, p| {
            p.current_step = p.iter / s.stepsize();
            stepped(s, p)
        },
    },
];

/// The policy that `solver` names.
///
/// # Errors
/// For an unknown policy.
pub fn named(solver: &SolverParameter) -> Result<&'static Policy, SolverError> {
    let name = solver.lr_policy();
    if let Ok(row) = POLICIES.binary_search_by(|p| p.name.cmp(name)) {
        return Ok(&POLICIES[row]);
    }
    let known = POLICIES.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
    let message = if name.is_empty() {
        format!("lr_policy is not set; there are: {known}")
    } else {
        format!("unknown learning rate policy `{name}`; there are: {known}")
    };
    refuse("lr_policy", message)
}

/// That it is unknown, and the settings that it or any other cannot work with.
pub fn faults(s: &SolverParameter) -> Vec<SolverError> {
    let mut found = Vec::new();
    let policy = named(s).map_err(|unknown| found.push(unknown));
    let fault = |field: &str, message: String| SolverError::setting(field, message);
    let (base, least) = (s.base_lr(), s.min_lr());
    for (field, rate) in [("base_lr", base), ("min_lr", least)] {
        if !rate.is_finite() {
            found.push(fault(field, format!("{field} must be a finite number, found {rate}")));
        }
    }
    if least < 0.0 {
        found.push(fault("min_lr", format!("min_lr must be at least 0, found {least}")));
    }
    found.extend(warm_up::faults(s));
    let Ok(policy) = policy else { return found };
    if base.is_finite() && least.is_finite() && least > base.max(0.0) && policy.name != "multifixed" {
        found.push(fault("min_lr", format!("min_lr {least} is above base_lr {base}")));
    }
    // Caffe's "sigmod decay" falls with a gamma below 0 alone; releases up to 1.0 and the forks take it, later ones do not.
    if s.gamma() < 0.0 && policy.reads.contains(&"gamma") && policy.name != "sigmoid" {
        let (name, gamma) = (policy.name, s.gamma());
        let message = format!("lr_policy \"{name}\" needs a gamma of at least 0, found {gamma}");
        found.push(fault("gamma", message));
    }
    found.extend(policy.checks.iter().filter_map(|check| check(s).err()));
    found
}

impl Policy {
    /// The rate of an iteration, warm-up and `min_lr` included.
    pub fn rate(&self, solver: &SolverParameter, progress: &mut Progress) -> f32 {
        let rate = warm_up::rate(solver, progress.iter).unwrap_or_else(|| (self.rate)(solver, progress));
        // Without a min_lr nothing is cut off: Caffe takes negative rates.
        let least = if solver.min_lr() > 0.0 { least(solver) } else { f64::NEG_INFINITY };
        rate.max(least) as f32
    }
}

fn refuse<T>(field: impl Into<String>, message: impl Into<String>) -> Result<T, SolverError> {
    Err(SolverError::setting(field, message))
}

fn base(s: &SolverParameter) -> f64 {
    f64::from(s.base_lr())
}

fn least(s: &SolverParameter) -> f64 {
    f64::from(s.min_lr())
}

/// The share of the iterations that are done.
fn done(s: &SolverParameter, p: &Progress) -> f64 {
    f64::from(p.iter) / f64::from(s.max_iter())
}

fn has_step_size(s: &SolverParameter) -> Result<(), SolverError> {
    match s.stepsize() {
        1.. => Ok(()),
        found => {
            let message = format!("lr_policy \"{}\" needs a stepsize above 0, found {found}", s.lr_policy());
            refuse("stepsize", message)
        }
    }
}

fn stepped(s: &SolverParameter, p: &Progress) -> f64 {
    base(s) * f64::from(s.gamma()).powi(p.current_step)
}

fn plateau(s: &SolverParameter, p: &mut Progress) -> f64 {
    if p.loss < p.least_loss {
        (p.least_loss, p.last_event) = (p.loss, p.iter);
    }
    let window = s.plateau_winsize.get(p.current_step as usize);
    if window.is_some_and(|window| p.iter >= p.last_event.saturating_add(*window)) {
        p.current_step += 1;
        p.last_event = p.iter;
    }
    stepped(s, p)
}

fn one_cycle(s: &SolverParameter, p: &mut Progress) -> f64 {
    let (iter, last) = (f64::from(p.iter), f64::from(s.max_iter()) - 1.0);
    let top = f64::from(s.pct_start()) * f64::from(s.max_iter()) - 1.0;
    let start = base(s) / f64::from(s.div_factor());
    let end = start / f64::from(s.final_div_factor());
    let between = |from: f64, to: f64, way: f64| to + (from - to) / 2.0 * (1.0 + (PI * way).cos());
    if iter < top {
        between(start, base(s), iter / top)
    } else if top < last {
        between(base(s), end, ((iter - top) / (last - top)).min(1.0))
    } else {
        base(s)
    }
}

/// `max_epoch` becomes a `max_iter` as soon as the net is there.
fn needs_max_iter(s: &SolverParameter) -> Result<(), SolverError> {
    match s.max_iter() {
        _ if s.max_epoch.is_some() => Ok(()),
        1.. => Ok(()),
        found => {
            let message = format!("lr_policy \"{}\" needs a max_iter above 0, found {found}", s.lr_policy());
            refuse("max_iter", message)
        }
    }
}

/// Caffe refuses "cosine", and so does cnnctl unless the file says the rate that it ends at: no file that is meant for Caffe
/// does.
fn needs_end(s: &SolverParameter) -> Result<(), SolverError> {
    if s.min_lr.is_none() {
        let message = "lr_policy \"cosine\" needs min_lr, the rate that it ends at; min_lr: 0 is common";
        return refuse("lr_policy", message);
    }
    needs_max_iter(s)
}

fn has_steps_in_order(s: &SolverParameter) -> Result<(), SolverError> {
    let Some(i) = s.stepvalue.windows(2).position(|w| w[0] > w[1]) else { return Ok(()) };
    let (a, b) = (s.stepvalue[i], s.stepvalue[i + 1]);
    refuse(format!("stepvalue[{}]", i + 1), format!("stepvalue {b} follows {a}: they must ascend"))
}

fn has_stages(s: &SolverParameter) -> Result<(), SolverError> {
    let (rates, ends) = (s.stagelr.len(), s.stageiter.len());
    if rates == 0 || rates != ends {
        let message =
            format!("lr_policy \"multifixed\" needs as many stageiter as stagelr, found {ends} and {rates}");
        return refuse(if ends > 0 { "stageiter[0]" } else { "lr_policy" }, message);
    }
    Ok(())
}

fn has_windows(s: &SolverParameter) -> Result<(), SolverError> {
    if s.plateau_winsize.is_empty() {
        return refuse(
            "lr_policy",
            "lr_policy \"plateau\" needs a plateau_winsize for each fall of the rate",
        );
    }
    let Some(i) = s.plateau_winsize.iter().position(|&w| w < 1) else { return Ok(()) };
    let message = format!("plateau_winsize must be at least 1, found {}", s.plateau_winsize[i]);
    refuse(format!("plateau_winsize[{i}]"), message)
}

fn has_peak(s: &SolverParameter) -> Result<(), SolverError> {
    if !(0.0..=1.0).contains(&s.pct_start()) {
        return refuse("pct_start", format!("pct_start must be from 0 to 1, found {}", s.pct_start()));
    }
    Ok(())
}

fn is_divisor(field: &'static str, found: f32) -> Result<(), SolverError> {
    if !(found > 0.0 && found.is_finite()) {
        return refuse(field, format!("{field} must be above 0, found {found}"));
    }
    Ok(())
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
            min_lr: Some(0.0),
            stagelr: vec![1.0, 0.5],
            stageiter: vec![3, 8],
            plateau_winsize: vec![3, 2],
            ..SolverParameter::default()
        }
    }

    fn rates_of(solver: &SolverParameter, iters: &[i32]) -> Vec<f32> {
        let mut progress = Progress::default();
        let policy = named(solver).unwrap();
        let rate = |&iter: &i32| {
            progress.iter = iter;
            policy.rate(solver, &mut progress)
        };
        iters.iter().map(rate).collect()
    }

    fn rates(name: &str, iters: &[i32]) -> Vec<f32> {
        rates_of(&solver(name), iters)
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
        let falling = SolverParameter { gamma: Some(-0.5), ..solver("sigmoid") };
        let rates_falling = rates_of(&falling, &[0, 10, 20]);
        assert!(rates_falling[0] > 0.099 && rates_falling[1] == 0.05 && rates_falling[2] < 0.001);
        assert_eq!(rates("cosine", &[0, 50]), [0.1, 0.05]);
        assert_eq!(rates("multifixed", &[0, 3, 4, 8, 9]), [1.0, 1.0, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn min_lr_is_where_poly_and_cosine_end_and_a_floor_elsewhere() {
        let with = |name: &str| SolverParameter { min_lr: Some(0.02), ..solver(name) };
        for (name, iters, expected) in [
            ("poly", [0, 50, 100], [0.1, 0.04, 0.02]),
            ("cosine", [0, 50, 100], [0.1, 0.06, 0.02]),
            ("step", [10, 25, 30], [0.05, 0.025, 0.02]),
        ] {
            let found = rates_of(&with(name), &iters);
            assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-7), "{name}: {found:?}");
        }
    }

    /// The numbers of PyTorch's `OneCycleLR(max_lr=0.1, total_steps=10)`: up to step 2, down to step 9.
    #[test]
    fn one_cycle_goes_up_and_down_by_half_cosines() {
        let solver = SolverParameter { max_iter: Some(10), ..solver("onecycle") };
        let rates = rates_of(&solver, &[0, 1, 2, 5, 9, 10]);
        let half_down = 0.1 * (1.0 + (PI * 3.0 / 7.0).cos()) / 2.0;
        for (rate, expected) in rates.iter().zip([0.004, 0.052, 0.1, half_down, 4e-7, 4e-7]) {
            assert!((f64::from(*rate) - expected).abs() < 1e-6, "{rates:?}");
        }
        let at_once = SolverParameter { pct_start: Some(0.0), ..solver.clone() };
        assert!(rates_of(&at_once, &[0])[0] < 0.1);
        let only_up = SolverParameter { pct_start: Some(1.0), ..solver };
        assert_eq!(rates_of(&only_up, &[9]), [0.1]);
    }

    #[test]
    fn plateau_steps_when_the_loss_no_longer_falls() {
        let solver = solver("plateau");
        let policy = named(&solver).unwrap();
        let mut progress = Progress::default();
        let losses = [5.0, 4.0, 4.0, 4.5, 4.0, 3.0, 9.0, 9.0, 9.0, 9.0];
        let rates: Vec<f32> = (0..)
            .zip(losses)
            .map(|(iter, loss)| {
                (progress.iter, progress.loss) = (iter, loss);
                policy.rate(&solver, &mut progress)
            })
            .collect();
        // Lowest at 1, so a fall at 4; lowest again at 5, so a fall at 7; there is no third window.
        assert_eq!(rates, [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025]);
        assert_eq!((progress.least_loss, progress.last_event, progress.current_step), (3.0, 7, 2));
    }

    /// What Caffe takes: a rate that climbs, and no iterations at all, for the sake of the first test.
    #[test]
    fn odd_settings_of_caffe_are_taken() {
        let climbing = SolverParameter { base_lr: Some(-0.1), min_lr: None, ..solver("fixed") };
        assert_eq!(rates_of(&climbing, &[0]), [-0.1]);
        let none = SolverParameter { max_iter: Some(0), ..solver("poly") };
        assert!(faults(&none).is_empty());
    }

    #[test]
    fn bad_settings_are_refused() {
        let message = |s: SolverParameter| faults(&s)[0].to_string();
        let unset = SolverParameter { lr_policy: None, ..solver("") };
        assert!(message(unset).contains("lr_policy is not set"));
        for (settings, expected) in [
            (solver("stp"), "unknown learning rate policy `stp`"),
            (SolverParameter { stepsize: None, ..solver("step") }, "needs a stepsize above 0"),
            (SolverParameter { stepsize: None, ..solver("sigmoid") }, "needs a stepsize above 0"),
            (SolverParameter { gamma: Some(-0.5), ..solver("inv") }, "needs a gamma of at least 0"),
            (SolverParameter { stepvalue: vec![3, 2], ..solver("multistep") }, "must ascend"),
            (SolverParameter { max_iter: None, ..solver("onecycle") }, "needs a max_iter above 0"),
            (SolverParameter { min_lr: None, ..solver("cosine") }, "needs min_lr, the rate that it ends at"),
            (SolverParameter { stageiter: vec![1], ..solver("multifixed") }, "found 1 and 2"),
            (SolverParameter { plateau_winsize: vec![], ..solver("plateau") }, "needs a plateau_winsize"),
            (SolverParameter { plateau_winsize: vec![2, 0], ..solver("plateau") }, "at least 1, found 0"),
            (SolverParameter { pct_start: Some(1.5), ..solver("onecycle") }, "from 0 to 1, found 1.5"),
            (SolverParameter { div_factor: Some(0.0), ..solver("onecycle") }, "div_factor must be above 0"),
            (SolverParameter { min_lr: Some(0.2), ..solver("fixed") }, "min_lr 0.2 is above base_lr 0.1"),
            (SolverParameter { min_lr: Some(-0.1), ..solver("fixed") }, "at least 0"),
            (SolverParameter { base_lr: Some(f32::NAN), ..solver("fixed") }, "finite number, found NaN"),
        ] {
            let found = message(settings);
            assert!(found.contains(expected), "{found}");
        }
    }
}
