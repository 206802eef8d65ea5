//! The states in which a net that comes without a solver is looked at.

use super::Finding;
use crate::{
    config::proto::{LayerParameter, NetParameter, NetState, Phase},
    layers::{self, Role},
    net::plan::filter,
};

/// More sets of stages than this are not tried.
const MOST_STAGES: usize = 8;

/// The states that a net is made for, as its rules tell: training and testing, or testing alone for a net that is
/// deployed; with the stages that it sets itself and those given, or else those that its layers ask for, each set of them
/// by itself. A `level` of 0 leaves the net's own.
pub fn states(net: &NetParameter, level: i32, stages: &[String]) -> Vec<NetState> {
    let own = net.state.iter().flat_map(|state| &state.stage);
    let level = if level == 0 { net.state.as_ref().map_or(0, |state| state.level()) } else { level };
    let mut sets: Vec<Vec<String>> = vec![own.chain(stages).cloned().collect()];
    if guesses_stages(net, stages) {
        for rule in net.layer.iter().flat_map(|l| &l.include).filter(|r| !r.stage.is_empty()) {
            if !sets.contains(&rule.stage) && sets.len() <= MOST_STAGES {
                sets.push(rule.stage.clone());
            }
        }
    }
    let phases: &[Phase] = if trains(net) { &[Phase::Train, Phase::Test] } else { &[Phase::Test] };
    let of = |phase: Phase, stage: &Vec<String>| NetState {
        phase: Some(phase as i32),
        level: Some(level),
        stage: stage.clone(),
    };
    let all: Vec<NetState> = phases.iter().flat_map(|&p| sets.iter().map(move |s| of(p, s))).collect();
    let fed = |state: &&NetState| net.layer.iter().any(|l| is_source(l) && filter::takes_part(l, state));
    let some: Vec<NetState> = all.iter().filter(fed).cloned().collect();
    if some.is_empty() { all } else { some }
}

/// Whether stages are set by nobody, so that [`states`] takes those that layers ask for.
pub fn guesses_stages(net: &NetParameter, stages: &[String]) -> bool {
    stages.is_empty() && net.state.as_ref().is_none_or(|state| state.stage.is_empty())
}

/// Whether a net is made for training: it knows of the phase, or has a loss. Data that it reads may be that of a test.
pub(super) fn trains(net: &NetParameter) -> bool {
    let any = |phase: Phase| {
        let rules = net.layer.iter().flat_map(|l| l.include.iter().chain(&l.exclude));
        rules.into_iter().any(|r| r.phase == Some(phase as i32))
    };
    let reads = |l: &LayerParameter| is_source(l) && !["Input", "DummyData"].contains(&l.r#type());
    let loss = |l: &LayerParameter| layers::kind(l.r#type()).is_some_and(|k| k.role == Role::Loss);
    any(Phase::Train)
        || (any(Phase::Test) && net.layer.iter().any(reads))
        || net.layer.iter().any(|l| loss(l) || l.loss_weight.iter().any(|&w| w != 0.0))
}

/// Whether a layer brings blobs in from outside.
pub(super) fn is_source(layer: &LayerParameter) -> bool {
    layers::kind(layer.r#type()).is_some_and(|k| k.role == Role::Source)
        || (layer.bottom.is_empty() && !layer.top.is_empty())
}

/// A state, for people.
pub(super) fn name(state: &NetState) -> String {
    let phase = state.phase().as_str_name();
    let mut stages: Vec<&str> = Vec::new();
    for stage in &state.stage {
        if !stages.contains(&&stage[..]) {
            stages.push(stage);
        }
    }
    match &stages[..] {
        [] => format!("phase {phase}"),
        stages => format!("phase {phase} with stage {}", stages.join(", ")),
    }
}

/// Layers whose rules no state meets, and stages that no state sets; for states that are all there will be. That a solver
/// never tests is nothing to say of each layer for tests.
pub fn never_met(net: &NetParameter, states: &[NetState]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let missing = [Phase::Train, Phase::Test].into_iter().filter(|&p| states.iter().all(|s| s.phase() != p));
    let others: Vec<NetState> = missing
        .flat_map(|p| states.iter().map(move |s| NetState { phase: Some(p as i32), ..s.clone() }))
        .collect();
    let takes_part =
        |layer: &LayerParameter| states.iter().chain(&others).any(|s| filter::takes_part(layer, s));
    let set = |stage: &String| states.iter().any(|s| s.stage.contains(stage));
    for (i, layer) in net.layer.iter().enumerate() {
        let rules = |name: &str| format!("{name}[");
        let lists = [("include", &layer.include), ("exclude", &layer.exclude)];
        let before = findings.len();
        for (list, rule, number) in
            lists.iter().flat_map(|(name, list)| list.iter().enumerate().map(move |(n, r)| (*name, r, n)))
        {
            let path = format!("{}{number}]", rules(list));
            for (s, stage) in rule.stage.iter().enumerate().filter(|(_, stage)| !set(stage)) {
                let message = format!("no state sets the stage `{stage}`, so this rule is never met");
                let hint = "train_state and test_state of the solver set stages";
                findings.push(Finding::warning(i, format!("{path}.stage[{s}]"), message).hint(hint));
            }
            if let (Some(least), Some(most)) = (rule.min_level, rule.max_level)
                && least > most
            {
                let message = format!("min_level {least} is above max_level {most}: the rule is never met");
                findings.push(Finding::warning(i, format!("{path}.min_level"), message));
            }
        }
        if findings.len() == before && !takes_part(layer) {
            let names: Vec<String> = states.iter().map(name).collect();
            let message = format!("the layer takes part in no state (there are: {})", names.join("; "));
            let field = if layer.include.is_empty() { "exclude" } else { "include" };
            findings.push(Finding::warning(i, field, message));
        }
    }
    findings
}
