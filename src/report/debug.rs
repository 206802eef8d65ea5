//! What `debug_info: true` shows: the mean size of every blob, gradient and step, in Caffe's words.

use super::{general, info};
use crate::{
    net::{LayerView, Net, Params},
    solver::{Solver, Stage},
};

/// Shows what has just been computed.
pub(super) fn show(solver: &Solver, stage: Stage) {
    let (net, params) = (solver.train_net(), solver.params());
    match stage {
        Stage::Forward(i) => forward(net, i, params),
        Stage::Backward(i) => net.layers().nth(i).iter().for_each(|layer| {
            let name = layer.config.name();
            for (&bottom, _) in layer.bottoms.iter().zip(&layer.need.bottoms).filter(|(_, wanted)| **wanted) {
                let (blob, size) = (net.blob_name(bottom), mean_size(net.diff_of(bottom).unwrap_or(&[])));
                info(&format!("    [Backward] Layer {name}, bottom blob {blob} diff: {size}"));
            }
            let learned = layer.params.iter().filter(|&&id| params[id].learned);
            for (i, (&id, _)) in
                learned.zip(&layer.need.params).enumerate().filter(|(_, (_, wanted))| **wanted)
            {
                info(&format!(
                    "    [Backward] Layer {name}, param blob {i} diff: {}",
                    mean_size(&params[id].diff)
                ));
            }
        }),
        Stage::Gradients => {
            let data = norms(params.iter().map(|p| &p.data[..]));
            let diff = norms(params.iter().map(|p| &p.diff[..]));
            info(&format!(
                "    [Backward] All net params (data, diff): L1 norm = ({}, {}); L2 norm = ({}, {})",
                general(data.0),
                general(diff.0),
                general(data.1),
                general(diff.1)
            ));
        }
        Stage::Update => net.layers().for_each(|layer| updates(params, &layer)),
    }
}

/// Shows what layer `i` of a net has just computed, and of which parameters.
pub(super) fn forward(net: &Net, i: usize, params: &Params) {
    let Some(layer) = net.layers().nth(i) else { return };
    let name = layer.config.name();
    for &top in layer.tops {
        let (blob, size) = (net.blob_name(top), mean_size(net.values(top)));
        info(&format!("    [Forward] Layer {name}, top blob {blob} data: {size}"));
    }
    for (i, &id) in layer.params.iter().enumerate() {
        let size = mean_size(&params[id].data);
        info(&format!("    [Forward] Layer {name}, param blob {} data: {size}", shown(params, &layer, i)));
    }
}

fn updates(params: &Params, layer: &LayerView<'_>) {
    let name = layer.config.name();
    for (i, &id) in layer.params.iter().enumerate() {
        let (param, shown) = (&params[id], shown(params, layer, i));
        let (data, diff) = (mean_size(&param.data), mean_size(&param.diff));
        if param.owner == (name.to_owned(), i) {
            info(&format!("    [Update] Layer {name}, param {shown} data: {data}; diff: {diff}"));
        } else {
            let owner = &param.owner.0;
            info(&format!(
                "    [Update] Layer {name}, param blob {shown} (owned by layer {owner}, param {shown}) diff: {diff}"
            ));
        }
    }
}

/// A parameter's name, or else its number in its layer.
fn shown(params: &Params, layer: &LayerView<'_>, i: usize) -> String {
    let name = &params[layer.params[i]].name;
    if name.is_empty() { i.to_string() } else { name.clone() }
}

/// The mean of |x|.
fn mean_size(x: &[f32]) -> String {
    let sum: f64 = x.iter().map(|&x| f64::from(x.abs())).sum();
    general(if x.is_empty() { 0.0 } else { sum / x.len() as f64 })
}

/// The L1 and the L2 norm of all values.
fn norms<'a>(arrays: impl Iterator<Item = &'a [f32]>) -> (f64, f64) {
    let (sum, squares) =
        arrays.flatten().map(|&x| f64::from(x)).fold((0.0, 0.0), |(s, q), x| (s + x.abs(), q + x * x));
    (sum, squares.sqrt())
}
