//! Which layers take part: phase, level and stages against the layers' `include` and `exclude` rules.

use crate::{
    config::proto::{LayerParameter, NetParameter, NetState, NetStateRule},
    net::NetError,
};

/// The layers of `net` that take part in `state`, in order.
///
/// # Errors
/// When a layer has both include and exclude rules.
pub fn filter(net: &NetParameter, state: &NetState) -> Result<Vec<LayerParameter>, NetError> {
    let mut layers = Vec::new();
    for layer in &net.layer {
        check_rules(layer)?;
        if takes_part(layer, state) {
            layers.push(layer.clone());
        }
    }
    Ok(layers)
}

/// Refuses both kinds of rules in one layer.
pub(in crate::net) fn check_rules(layer: &LayerParameter) -> Result<(), NetError> {
    if layer.include.is_empty() || layer.exclude.is_empty() {
        return Ok(());
    }
    Err(NetError::layer(layer, "exclude", "has both include and exclude rules; give one kind"))
}

/// Whether the layer's rules let it take part in `state`.
pub(in crate::net) fn takes_part(layer: &LayerParameter, state: &NetState) -> bool {
    let any = |rules: &[NetStateRule]| rules.iter().any(|rule| meets(state, rule));
    if layer.include.is_empty() { !any(&layer.exclude) } else { any(&layer.include) }
}

/// Whether `state` meets every condition of `rule`.
fn meets(state: &NetState, rule: &NetStateRule) -> bool {
    let has = |stage: &String| state.stage.contains(stage);
    rule.phase.is_none_or(|phase| phase == state.phase() as i32)
        && rule.min_level.is_none_or(|level| state.level() >= level)
        && rule.max_level.is_none_or(|level| state.level() <= level)
        && rule.stage.iter().all(has)
        && !rule.not_stage.iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::proto::Phase;

    fn rule(phase: Option<Phase>, stage: &[&str], not_stage: &[&str]) -> NetStateRule {
        NetStateRule {
            phase: phase.map(|p| p as i32),
            stage: stage.iter().map(|s| s.to_string()).collect(),
            not_stage: not_stage.iter().map(|s| s.to_string()).collect(),
            ..NetStateRule::default()
        }
    }

    fn kept(include: Vec<NetStateRule>, exclude: Vec<NetStateRule>, state: &NetState) -> bool {
        let layer = LayerParameter { include, exclude, ..LayerParameter::default() };
        filter(&NetParameter { layer: vec![layer], ..NetParameter::default() }, state).unwrap().len() == 1
    }

    #[test]
    fn rules_are_met_whole_and_one_is_enough() {
        let train = NetState {
            phase: Some(Phase::Train as i32),
            level: Some(2),
            stage: vec!["a".into(), "b".into()],
        };
        assert!(kept(vec![], vec![], &train));
        assert!(kept(vec![rule(Some(Phase::Train), &[], &[])], vec![], &train));
        assert!(!kept(vec![rule(Some(Phase::Test), &[], &[])], vec![], &train));
        assert!(kept(
            vec![rule(Some(Phase::Test), &[], &[]), rule(None, &["a", "b"], &["c"])],
            vec![],
            &train
        ));
        assert!(!kept(vec![rule(None, &["a", "c"], &[])], vec![], &train));
        assert!(!kept(vec![rule(None, &[], &["a"])], vec![], &train));
        assert!(!kept(vec![], vec![rule(Some(Phase::Train), &[], &[])], &train));
        let level = |min, max| NetStateRule { min_level: min, max_level: max, ..NetStateRule::default() };
        assert!(kept(vec![level(Some(2), Some(2))], vec![], &train));
        assert!(!kept(vec![level(Some(3), None)], vec![], &train));
        assert!(!kept(vec![level(None, Some(1))], vec![], &train));
    }

    #[test]
    fn both_kinds_of_rules_are_refused() {
        let layer = LayerParameter {
            name: Some("x".into()),
            include: vec![NetStateRule::default()],
            exclude: vec![NetStateRule::default()],
            ..LayerParameter::default()
        };
        let net = NetParameter { layer: vec![layer], ..NetParameter::default() };
        assert!(
            filter(&net, &NetState::default()).unwrap_err().to_string().contains("both include and exclude")
        );
    }
}
