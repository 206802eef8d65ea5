//! Which gradients are needed: those on a way from a loss to a parameter that learns.

use super::wire::Wiring;
use crate::layers::Role;

/// What one layer's backward pass must do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Need {
    /// Whether it runs at all.
    pub backward: bool,
    /// For each bottom, whether its diff is wanted.
    pub bottoms: Vec<bool>,
    /// For each parameter, whether its diff is wanted.
    pub params: Vec<bool>,
}

/// What asks for gradients beside the losses and the learning rates.
#[derive(Clone, Copy, Default)]
pub struct Wish<'a> {
    /// Caffe's `force_backward`: every bottom that can get a gradient gets one, and every parameter.
    pub force: bool,
    /// Names of blobs whose diffs are given from outside, and so count as losses.
    pub given: &'a [String],
}

/// The needs of each layer. `learns[layer][param]` says whether the layer gives a parameter a learning rate other than 0.
///
/// Like Caffe, a gradient goes to a bottom that depends on a learning parameter (or where `propagate_down` asks),
/// and only in layers on the way to a loss.
pub fn needs(net: &Wiring, learns: &[Vec<bool>], wish: Wish<'_>) -> Vec<Need> {
    let mut flows = vec![false; net.blobs.len()];
    let mut needs: Vec<Need> = Vec::with_capacity(net.layers.len());
    for (layer, learns) in net.layers.iter().zip(learns) {
        let can = |j: usize| layer.kind.takes_gradient(j, layer.bottoms.len());
        let asked = |j: usize, flow: bool| layer.config.propagate_down.get(j).copied().unwrap_or(flow);
        let bottoms: Vec<bool> = (layer.bottoms.iter().enumerate())
            .map(|(j, &b)| can(j) && (wish.force || asked(j, flows[b])))
            .collect();
        let mut params: Vec<bool> = learns.iter().map(|&l| l || wish.force).collect();
        let backward =
            layer.kind.role != Role::Measure && (bottoms.contains(&true) || params.contains(&true));
        if backward && layer.kind.takes_all {
            params.fill(true);
        }
        layer.tops.iter().for_each(|&t| flows[t] = backward);
        needs.push(Need { backward, bottoms, params });
    }

    let mut under_loss = vec![false; net.blobs.len()];
    for (layer, need) in net.layers.iter().zip(&mut needs).rev() {
        let contributes = wish.force
            || layer.loss_weights.iter().any(|&w| w != 0.0)
            || layer.tops.iter().any(|&t| under_loss[t] || wish.given.contains(&net.blobs[t]));
        if !(contributes && need.backward) {
            *need = Need {
                backward: false,
                bottoms: vec![false; need.bottoms.len()],
                params: vec![false; need.params.len()],
            };
        }
        layer.bottoms.iter().zip(&need.bottoms).for_each(|(&b, &wanted)| under_loss[b] |= wanted);
    }
    needs
}
