//! How the layers hang together: cycles, names, blobs that nobody reads, layers that nothing teaches.

use std::collections::{HashMap, HashSet};

use super::{Finding, Sketch, SketchLayer, View};
use crate::{
    config::{
        Severity,
        proto::{FillerParameter, Phase},
    },
    layers::{Role, filler},
    net::{NetError, plan::wire},
};

/// Bottoms from further down that depend on the layer itself, and names that stand for two layers.
pub fn cycles_and_names(sketch: &Sketch, _: &View, found: &mut Vec<Finding>) {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (place, layer) in sketch.layers.iter().enumerate() {
        layer.config.top.iter().for_each(|top| {
            makers.entry(top).or_insert(place);
        });
    }
    for (place, layer) in sketch.layers.iter().enumerate() {
        for (j, bottom) in layer.config.bottom.iter().enumerate().filter(|(j, _)| layer.bottoms[*j].is_none())
        {
            let Some(&maker) = makers.get(&bottom[..]).filter(|&&maker| maker > place) else { continue };
            let Some(way) = way(sketch, &makers, maker, place) else { continue };
            let field = format!("bottom[{j}]");
            let known = found.iter_mut().find(|f| f.layer == Some(layer.index) && f.field == field);
            if let Some(known) = known {
                known.message = format!("bottom `{bottom}` closes a cycle: {way}");
                known.hint = Some("data can only flow down".into());
            }
        }
    }
    let mut seen: HashMap<&str, &SketchLayer> = HashMap::new();
    for layer in sketch.layers.iter().filter(|layer| layer.keeps_parameters()) {
        let name = layer.config.name();
        match seen.insert(name, layer) {
            Some(other) if other.outline.is_none() || layer.outline.is_none() => {
                let message = "another layer above has this name";
                let hint = "weights are saved and loaded by the layer's name";
                found.push(Finding::warning(layer.index, "name", message).hint(hint));
            }
            Some(other) if other.params != layer.params => {
                let severity = if sketch.is_training() { Severity::Error } else { Severity::Warning };
                let twin = Finding::of(layer.index, NetError::twin(&layer.config));
                found.push(Finding { severity, ..twin });
            }
            None if name.is_empty() => {
                let message = "has parameters but no name";
                let hint = "weights are saved and loaded by the layer's name";
                found.push(Finding::warning(layer.index, "", message).hint(hint));
            }
            _ => {}
        }
    }
}

/// The way from layer `from` up to layer `to`, by the bottoms' names.
fn way(sketch: &Sketch, makers: &HashMap<&str, usize>, from: usize, to: usize) -> Option<String> {
    let mut before: HashMap<usize, usize> = HashMap::new();
    let mut open = vec![from];
    while let Some(here) = open.pop() {
        for &next in sketch.layers[here].config.bottom.iter().filter_map(|b| makers.get(&b[..])) {
            if before.contains_key(&next) || next == from {
                continue;
            }
            before.insert(next, here);
            if next == to {
                let mut steps = vec![to];
                while let Some(&step) = before.get(&steps[steps.len() - 1]) {
                    steps.push(step);
                }
                return Some(ring(sketch, &steps));
            }
            open.push(next);
        }
    }
    None
}

/// `a` -> `b` -> `a`, cut short in its middle.
fn ring(sketch: &Sketch, steps: &[usize]) -> String {
    const LONGEST: usize = 6;
    let name = |step: &usize| format!("`{}`", sketch.layers[*step].config.name());
    let mut names: Vec<String> = steps.iter().chain(&steps[..1]).map(name).collect();
    if names.len() > LONGEST {
        names.splice(LONGEST / 2..names.len() - LONGEST / 2, ["...".to_owned()]);
    }
    names.join(" -> ")
}

/// Blobs that no layer reads, though they do not look like results; in a net that is deployed each may be one.
pub fn unread_tops(sketch: &Sketch, _: &View, found: &mut Vec<Finding>) {
    const RESULTS: &[&str] = &["ArgMax", "InnerProduct", "Sigmoid", "Softmax", "SoftmaxWithLoss"];
    if sketch.deployed {
        return;
    }
    let training = has_loss(sketch);
    let last = sketch.layers.len().saturating_sub(1);
    for (place, layer) in sketch.layers.iter().enumerate() {
        let Some(kind) = layer.kind else { continue };
        if found.iter().any(|f| f.layer == Some(layer.index) && f.severity == Severity::Error) {
            continue;
        }
        let for_tests = |l: &SketchLayer| {
            !l.config.include.is_empty()
                && l.config.include.iter().all(|r| r.phase == Some(Phase::Test as i32))
        };
        let suspect = match kind.role {
            Role::Transform if training => !for_tests(layer),
            Role::Transform => place != last && !RESULTS.contains(&kind.name),
            Role::Source => training,
            Role::Loss | Role::Measure => false,
        };
        for (j, &top) in layer.tops.iter().enumerate().filter(|_| suspect) {
            let blob = &sketch.blobs[top];
            let weight = layer.loss_weights.get(j).copied().unwrap_or(0.0);
            if blob.readers.is_empty() && weight == 0.0 && blob.name != wire::AUTOMATIC {
                let message = format!("no layer reads the top `{}`", blob.name);
                let hint = "it counts as a result of the net; a Silence layer would take it quietly";
                found.push(
                    Finding::warning(layer.index, format!("top[{j}]"), message).hint(hint).everywhere(),
                );
            }
        }
    }
}

fn has_loss(sketch: &Sketch) -> bool {
    sketch.layers.iter().any(|l| l.loss_weights.iter().any(|&w| w != 0.0))
}

/// A net in training without a loss, and layers that no loss depends on or that are frozen.
pub fn learning(sketch: &Sketch, view: &View, found: &mut Vec<Finding>) {
    let learners: Vec<&SketchLayer> =
        sketch.layers.iter().filter(|l| l.has_parameters() == Some(true)).collect();
    if !sketch.is_training() || learners.is_empty() {
        return;
    }
    if !has_loss(sketch) {
        if sketch.layers.iter().all(|l| l.kind.is_some()) && !sketch.part {
            let message = "no layer of the net in training makes a loss: nothing is learned";
            let hint = "add a loss layer, or give a top a loss_weight";
            found.push(Finding::new(Severity::Warning, None, "", message).hint(hint));
        }
        return;
    }
    let taught = taught(sketch);
    let frozen = |l: &SketchLayer| {
        let rates = l.config.param.iter().map(|p| p.lr_mult());
        !l.config.param.is_empty() && rates.clone().all(|r| r == 0.0) && covers_all(l)
    };
    if learners.iter().all(|l| frozen(l)) {
        let message = "every layer is frozen by lr_mult 0: nothing is learned";
        found.push(Finding::new(Severity::Warning, None, "", message));
    }
    for layer in learners {
        if !taught.contains(&layer.index) {
            let message = "no loss depends on it, so it is never learned";
            found.push(Finding::warning(layer.index, "", message));
        } else if view.random_start && frozen(layer) && starts_at_random(layer) {
            let message = "is frozen by lr_mult 0 at random values";
            let hint = "load weights for it, or let it learn";
            found.push(Finding::warning(layer.index, "param[0].lr_mult", message).hint(hint));
        }
    }
}

/// Whether some filler of the layer draws random numbers.
fn starts_at_random(layer: &SketchLayer) -> bool {
    let random = |f: &FillerParameter| !matches!(f.r#type(), "constant" | "bilinear");
    filler::fillers(&layer.config).iter().any(|(_, filler)| random(filler))
}

/// Whether each parameter of the layer has a `param` block.
fn covers_all(layer: &SketchLayer) -> bool {
    layer
        .outline
        .as_ref()
        .is_none_or(|o| o.params.iter().enumerate().all(|(i, p)| !p.learned || i < layer.config.param.len()))
}

/// The layers, by index, on which some loss depends.
fn taught(sketch: &Sketch) -> HashSet<usize> {
    let mut reached: HashSet<usize> = HashSet::new();
    let mut wanted = vec![false; sketch.blobs.len()];
    for layer in sketch.layers.iter().rev() {
        let loss = layer.loss_weights.iter().any(|&w| w != 0.0);
        if !loss && !layer.tops.iter().any(|&t| wanted[t]) {
            continue;
        }
        reached.insert(layer.index);
        let count = layer.bottoms.len();
        for (j, blob) in layer.bottoms.iter().enumerate() {
            let flows = layer.kind.is_none_or(|k| k.takes_gradient(j, count))
                && layer.config.propagate_down.get(j).copied().unwrap_or(true);
            if let Some(blob) = blob.filter(|_| flows) {
                wanted[blob] = true;
            }
        }
    }
    reached
}
