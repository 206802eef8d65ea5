//! BatchNorm once needed learning rates of 0 in the text, or its running statistics were "learned" away; three
//! `param`s mark such a net, and now they are set to 0 whatever they say.

use super::Complaint;
use crate::config::proto::{LayerParameter, NetParameter, ParamSpec};

/// Mean, variance and the factor that both are scaled by.
const STATISTICS: usize = 3;

/// Whether a BatchNorm layer sets rates for its statistics.
pub(super) fn applies(net: &NetParameter) -> bool {
    net.layer.iter().any(|layer| is_old(layer) && !layer.param.iter().all(is_frozen))
}

/// Sets the rates to 0.
pub(super) fn apply(mut net: NetParameter, _: &mut Vec<Complaint>) -> NetParameter {
    for layer in net.layer.iter_mut().filter(|layer| is_old(layer)) {
        for param in &mut layer.param {
            param.lr_mult = Some(0.0);
            param.decay_mult = Some(0.0);
        }
    }
    net
}

fn is_old(layer: &LayerParameter) -> bool {
    layer.r#type() == "BatchNorm" && layer.param.len() == STATISTICS
}

fn is_frozen(param: &ParamSpec) -> bool {
    param.lr_mult == Some(0.0) && param.decay_mult == Some(0.0)
}

#[cfg(test)]
mod tests {
    use crate::config::upgrade::tests::{printed, upgraded};

    #[test]
    fn three_params_are_frozen_and_other_layers_left_alone() {
        let text = "layer { type: 'BatchNorm' param { name: 'm' lr_mult: 1 } param { } param { decay_mult: 2 } }
            layer { type: 'BatchNorm' param { lr_mult: 1 } } layer { type: 'Scale' param { } param { } param { } }";
        let expected = "layer { type: 'BatchNorm' param { name: 'm' lr_mult: 0 decay_mult: 0 }
              param { lr_mult: 0 decay_mult: 0 } param { lr_mult: 0 decay_mult: 0 } }
            layer { type: 'BatchNorm' param { lr_mult: 1 } } layer { type: 'Scale' param { } param { } param { } }";
        assert_eq!(upgraded(text, "BatchNorm"), (printed(expected), vec![]));
    }
}
