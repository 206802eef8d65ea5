//! What is wrong with a solver file or odd about it, without its nets.

use std::path::Path;

use super::{
    SolverError,
    lr_policy::{self, POLICIES, Policy, Progress},
    rules::{self, RULES, Rule},
    settings,
};
use crate::config::{
    Diagnostic, Severity, SolverFile, did_you_mean, message_and_hint,
    proto::{SolverParameter, solver_parameter::SolverMode},
    surely_meant, text,
};

/// Fields that only some learning-rate policies read.
const OF_POLICIES: &[&str] = &[
    "div_factor",
    "final_div_factor",
    "gamma",
    "pct_start",
    "plateau_winsize",
    "power",
    "stageiter",
    "stagelr",
    "stepsize",
    "stepvalue",
];
/// Fields that only some update rules read.
const OF_RULES: &[&str] = &["delta", "momentum", "momentum2", "rms_decay"];
/// Fields that are read only beside another.
const OF_OTHERS: &[(&str, &str)] = &[
    ("larc_eta", "larc"),
    ("larc_policy", "larc"),
    ("local_gw_ratio", "local_lr_auto"),
    ("rampup_lr", "rampup_interval"),
    ("warmup_start_lr", "warmup_iter"),
];

/// All that is wrong with a solver file or odd about it, without its nets.
pub fn check(file: &SolverFile) -> Vec<Diagnostic> {
    let solver = &file.solver;
    let mut found = Found { file, list: Vec::new(), refused: text::nan_fields(solver) };
    let set = text::set_fields(solver);
    let policies: Vec<&str> = POLICIES.iter().map(|p| p.name).collect();
    let unsound = lr_policy::faults(solver);
    let is_sound = unsound.is_empty();
    found.settings(unsound, &policies);
    found.settings(rules::faults(solver), &RULES.iter().map(|r| r.name).collect::<Vec<_>>());
    found.settings(settings::faults(solver), &[]);
    if let Ok(named) = lr_policy::named(solver) {
        policy(&mut found, named, &set);
        if is_sound {
            course(&mut found, named);
        }
    }
    if let Ok(named) = rules::named(solver) {
        rule(&mut found, named, &set);
    }
    for (field, other) in OF_OTHERS.iter().filter(|(f, o)| set.contains(f) && !set.contains(o)) {
        found.warn(field, format!("`{field}` has no effect without {other}"), "");
    }
    ranges(&mut found, &set);
    tests(&mut found);
    snapshots(&mut found);
    if solver.solver_mode == Some(SolverMode::Gpu as i32) {
        found.note("solver_mode", "GPU is taken as CPU: cnnctl computes on CPUs only");
    }
    found.list
}

struct Found<'f> {
    file: &'f SolverFile,
    list: Vec<Diagnostic>,
    /// The fields that are errors: nothing more is said of them.
    refused: Vec<String>,
}

impl Found<'_> {
    fn warn(&mut self, field: &str, message: impl Into<String>, hint: impl Into<String>) {
        if self.refused.iter().any(|refused| refused == field) {
            return;
        }
        self.list
            .push(self.file.warning_at(field, message).hint(Some(hint.into()).filter(|h| !h.is_empty())));
    }

    fn note(&mut self, field: &str, message: impl Into<String>) {
        let note = self.file.warning_at(field, message);
        self.list.push(Diagnostic { severity: Severity::Note, ..note });
    }

    /// What building the solver would refuse; `known` are the names of which one is meant.
    fn settings(&mut self, faults: Vec<SolverError>, known: &[&str]) {
        for fault in faults {
            let SolverError::Setting { field, message } = fault else { continue };
            if self.refused.contains(&field) {
                continue;
            }
            let written = message.split('`').nth(1).unwrap_or("");
            let meant = did_you_mean(written, known.iter().copied());
            let fix = surely_meant(written, known.iter().copied()).map(|name| format!("\"{name}\""));
            let hint = meant.map(|name| format!("did you mean `{name}`?"));
            let (message, rest) = message_and_hint(&message);
            let hint = hint.or(rest.map(str::to_owned));
            self.list.push(self.file.error_at(&field, message).hint(hint).fix(fix));
            self.refused.push(field);
        }
    }
}

fn policy(found: &mut Found<'_>, policy: &Policy, set: &[&str]) {
    let name = policy.name;
    for field in OF_POLICIES.iter().filter(|f| set.contains(f) && !policy.reads.contains(f)) {
        let message = format!("`{field}` has no effect with lr_policy \"{name}\"");
        found.warn(field, message, format!("its rate is {}", policy.formula));
    }
    for field in OF_POLICIES.iter().filter(|f| !set.contains(f) && policy.reads.contains(f)) {
        let effect = match (*field, name) {
            ("gamma", "exp" | "step" | "multistep" | "plateau") => "is 0, so the rate drops to 0",
            ("gamma", "sigmoid") => "is 0, so the rate is half of base_lr all the time",
            ("gamma" | "power", _) => "is 0, so the rate stays as it is",
            ("stepvalue", _) => "is not given, so the rate stays as it is",
            _ => continue,
        };
        let message = format!("lr_policy \"{name}\" needs `{field}`, which {effect}");
        found.warn("lr_policy", message, format!("its rate is {}", policy.formula));
    }
    steps(found, policy);
}

/// Steps that lie beyond the end.
fn steps(found: &mut Found<'_>, policy: &Policy) {
    let solver = &found.file.solver;
    let end = solver.max_iter();
    let beyond = |value: i32| end > 0 && value >= end;
    if policy.name == "step" && beyond(solver.stepsize()) {
        let message = format!("stepsize {} is not reached in {end} iterations", solver.stepsize());
        found.warn("stepsize", message, "the rate stays as it is");
    }
    if policy.name == "multistep" {
        for (i, value) in solver.stepvalue.iter().enumerate().filter(|(_, v)| beyond(**v)) {
            let message = format!("stepvalue {value} is not reached in {end} iterations");
            found.warn(&format!("stepvalue[{i}]"), message, "");
        }
    }
}

/// Rates that fade to nothing long before the end, or grow.
fn course(found: &mut Found<'_>, policy: &Policy) {
    const NOTHING: f32 = 1e-7;
    const GROWTH: f32 = 10.0;
    let solver = &found.file.solver;
    let (base, end) = (solver.base_lr(), solver.max_iter());
    // The course of "plateau" depends on the losses.
    if end < 10 || base.is_nan() || base <= 0.0 || policy.name == "plateau" {
        return;
    }
    let rate = |iter: i32| policy.rate(solver, &mut Progress { iter, ..Progress::default() });
    let late = (f64::from(end) * 0.9) as i32;
    let faded = |iter: i32| rate(iter).abs() < NOTHING * base;
    let field = if solver.gamma.is_some() { "gamma" } else { "lr_policy" };
    let hint = format!("its rate is {}", policy.formula);
    if faded(late) && !faded(0) {
        let (mut alive, mut gone) = (0, late);
        while gone - alive > 1 {
            let middle = alive + (gone - alive) / 2;
            if faded(middle) { gone = middle } else { alive = middle }
        }
        let message = format!(
            "the learning rate is {:.1e} at iteration {gone} of {end}: nothing is learned after that",
            rate(gone)
        );
        found.warn(field, message, hint);
    } else if rate(late).is_nan() || rate(late).abs() > GROWTH * base.max(rate(0)) {
        let message = format!("the learning rate grows from {base} to {:.1e}", rate(late));
        found.warn(field, message, hint);
    }
}

fn rule(found: &mut Found<'_>, rule: &Rule, set: &[&str]) {
    let solver = &found.file.solver;
    // Caffe asks for a momentum of 0 beside the rules that read none.
    let idle = |field: &str| field == "momentum" && solver.momentum() == 0.0;
    for field in OF_RULES.iter().filter(|f| set.contains(f) && !rule.reads.contains(f) && !idle(f)) {
        let message = format!("`{field}` has no effect with solver type {}", rule.name);
        let hint = format!("it reads {}", rule.reads.join(", "));
        found.warn(field, message, hint);
    }
}

/// Numbers that make no sense.
fn ranges(found: &mut Found<'_>, set: &[&str]) {
    let s = &found.file.solver;
    let (rate, decay, clip) = (s.base_lr(), s.weight_decay(), s.clip_gradients());
    if rate == 0.0 && s.lr_policy() != "multifixed" {
        found.warn("base_lr", "base_lr is 0: nothing is learned", "");
    } else if rate.is_nan() || !(0.0..1e3).contains(&rate) {
        found.warn("base_lr", format!("base_lr {rate} is out of any useful range"), "0.01 is common");
    }
    if s.max_iter() == 0 && s.max_epoch.is_none() {
        let hint = "give it, or `train --epochs N`; Python that drives Caffe may count by itself";
        found.warn("max_iter", "max_iter is 0: there is nothing to do", hint);
    }
    for (field, value) in [("momentum", s.momentum()), ("momentum2", s.momentum2())] {
        if set.contains(&field) && (value.is_nan() || !(0.0..1.0).contains(&value)) {
            found.warn(field, format!("{field} should be at least 0 and below 1, found {value}"), "");
        }
    }
    if decay.is_nan() || decay < 0.0 {
        found.warn("weight_decay", format!("weight_decay {decay} makes weights grow"), "");
    }
    if decay == 0.0 && set.contains(&"regularization_type") {
        found.warn("regularization_type", "`regularization_type` has no effect without weight_decay", "");
    }
    if clip == 0.0 {
        found.warn("clip_gradients", "clip_gradients 0 makes every gradient 0", "negative turns it off");
    }
    let delta = s.delta();
    if set.contains(&"delta") && (delta.is_nan() || delta <= 0.0) {
        found.warn("delta", format!("delta {delta} does not keep divisors away from 0"), "");
    }
    for (field, value) in [("display", s.display()), ("device_id", s.device_id())] {
        if value < 0 {
            found.warn(field, format!("{field} should be 0 or more, found {value}"), "");
        }
    }
}

/// How often, how long and whether tests are run.
fn tests(found: &mut Found<'_>) {
    // So many are a way to say "never".
    const NEVER: i32 = 1_000_000;
    let s = &found.file.solver;
    let tested = s.test_epoch.is_some()
        || !s.test_net.is_empty()
        || !s.test_net_param.is_empty()
        || !s.test_iter.is_empty();
    if s.test_interval() > 0 && !tested {
        let hint = "test_iter says how many batches a test takes";
        found.warn(
            "test_interval",
            "`test_interval` has no effect without test_iter: nothing is tested",
            hint,
        );
    } else if tested && s.max_iter() > 0 && s.test_interval() > s.max_iter() && s.test_interval() < NEVER {
        let message =
            format!("test_interval {} is not reached in {} iterations", s.test_interval(), s.max_iter());
        found.warn("test_interval", message, "");
    }
}

/// Where and when snapshots are written.
fn snapshots(found: &mut Found<'_>) {
    let file = found.file;
    let s: &SolverParameter = &file.solver;
    if s.max_iter() > 0 && s.snapshot() > s.max_iter() {
        let message = format!("snapshot {} is not reached in {} iterations", s.snapshot(), s.max_iter());
        found.warn("snapshot", message, "one is written at the end");
    }
    let prefix = file.snapshot_prefix();
    let Some(folder) = prefix.parent().filter(|f| !f.as_os_str().is_empty()) else { return };
    let there = folder.ancestors().find(|f| f.exists()).unwrap_or(Path::new(""));
    if !there.as_os_str().is_empty() && !there.is_dir() {
        let message = format!("snapshots cannot be written: `{}` is no folder", there.display());
        found.list.push(file.error_at("snapshot_prefix", message));
    } else if there != folder {
        found.note("snapshot_prefix", format!("`{}` is not there yet: training makes it", folder.display()));
    }
}
