//! Which layers of a net become part of the graph, and what goes in and out.

use std::collections::HashSet;

use super::table::{Part, part};
use crate::{
    layers::Role,
    net::{BlobId, LayerView, Net, NetError},
};

/// The layers that become part of the graph.
pub struct Choice<'a> {
    /// In order, with what becomes of each.
    pub layers: Vec<(LayerView<'a>, Part)>,
    /// The blobs that come out.
    pub outputs: Vec<BlobId>,
    /// All blobs that these are made of.
    pub needed: HashSet<BlobId>,
    /// What the user must know.
    pub notes: Vec<String>,
}

impl<'a> Choice<'a> {
    /// Takes what leads to the net's results; what only judges them is left out.
    ///
    /// # Errors
    /// For layers without a counterpart, and where nothing is left.
    pub fn of(net: &'a Net) -> Result<Self, Vec<NetError>> {
        let (mut all, mut wrong): (Vec<(LayerView<'_>, Part)>, Vec<NetError>) = (vec![], vec![]);
        for layer in net.layers() {
            match part_of(&layer) {
                Some(part) => all.push((layer, part)),
                None => {
                    let message = format!("{} has no counterpart in ONNX", layer.kind.name);
                    wrong.push(NetError::layer(layer.config, "type", message));
                }
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let mut notes = Vec::new();
        let mut outputs: Vec<BlobId> = Vec::new();
        let read: HashSet<BlobId> = all.iter().flat_map(|(l, _)| l.bottoms).copied().collect();
        for (layer, part) in &all {
            let found: Vec<BlobId> = match part {
                Part::Input | Part::Sink => vec![],
                Part::Nodes(_) => layer.tops.iter().copied().filter(|top| !read.contains(top)).collect(),
                Part::Judge => {
                    let (name, kind) = (layer.config.name(), layer.kind.name);
                    let why = match kind {
                        "DetectionOutput" => "ONNX has none, and what it reads comes out",
                        _ => "a trained net does not need it",
                    };
                    notes.push(format!("layer `{name}` ({kind}) is left out: {why}"));
                    judged(&all, layer)
                }
            };
            for blob in found {
                if !outputs.contains(&blob) {
                    outputs.push(blob);
                }
            }
        }
        if outputs.is_empty() {
            let message = "nothing is left to export: no layer between inputs and losses makes anything";
            return Err(vec![NetError::Net(message.into())]);
        }
        // From the outputs down to all that they are made of.
        let mut needed: HashSet<BlobId> = outputs.iter().copied().collect();
        let mut layers: Vec<(LayerView<'_>, Part)> = Vec::new();
        for (layer, part) in all.into_iter().rev() {
            if layer.tops.iter().any(|top| needed.contains(top)) {
                if let Part::Judge = part {
                    let message =
                        format!("{} has no counterpart in ONNX, but another layer reads it", layer.kind.name);
                    return Err(vec![NetError::layer(layer.config, "type", message)]);
                }
                needed.extend(layer.bottoms);
                layers.push((layer, part));
            }
        }
        layers.reverse();
        for (layer, _) in layers.iter().filter(|(_, part)| matches!(part, Part::Input)) {
            notes.extend(transform_note(layer));
        }
        Ok(Self { layers, outputs, needed, notes })
    }
}

/// What becomes of a layer.
fn part_of(layer: &LayerView<'_>) -> Option<Part> {
    if layer.kind.name == "DummyData" {
        let param = layer.config.dummy_data_param.clone().unwrap_or_default();
        if param.data_filler.iter().any(|filler| filler.r#type() != "constant") {
            return Some(Part::Input);
        }
    }
    part(layer.kind.name)
}

/// Whether the net has put the layer in, because a blob has several readers.
pub fn is_inserted(layer: &LayerView<'_>) -> bool {
    layer.kind.name == "Split" && layer.config.name().ends_with("_split")
}

/// What a layer judges: its bottoms that are no labels, and come from no source.
fn judged(all: &[(LayerView<'_>, Part)], layer: &LayerView<'_>) -> Vec<BlobId> {
    let bottoms = layer.bottoms.iter().enumerate();
    let scores = bottoms.filter(|(i, _)| match layer.kind.role {
        Role::Measure if layer.kind.name == "Accuracy" => *i == 0,
        Role::Measure => true,
        _ => !layer.kind.no_gradient.contains(i),
    });
    let made = scores.map(|(_, &blob)| origin(all, blob));
    made.filter(|(_, part)| matches!(part, Some(Part::Nodes(_)))).map(|(blob, _)| blob).collect()
}

/// The blob that splits of the net have copied this one from, and what its maker becomes.
fn origin(all: &[(LayerView<'_>, Part)], blob: BlobId) -> (BlobId, Option<Part>) {
    match all.iter().find(|(layer, _)| layer.tops.contains(&blob)) {
        Some((layer, _)) if is_inserted(layer) => origin(all, layer.bottoms[0]),
        Some((_, part)) => (blob, Some(*part)),
        None => (blob, None),
    }
}

/// What a data layer does to its samples before they come to the net.
fn transform_note(layer: &LayerView<'_>) -> Option<String> {
    let transform = layer.config.transform_param.as_ref()?;
    let scale = (transform.scale() != 1.0).then(|| format!("times {}", transform.scale()));
    let mean = transform.mean_file.as_ref().map(|file| format!("less the mean of {file}"));
    let values = &transform.mean_value;
    let value = (!values.is_empty()).then(|| format!("less {values:?}"));
    let steps: Vec<String> = [mean, value, scale].into_iter().flatten().collect();
    let (name, top) = (layer.config.name(), layer.config.top.first()?);
    (!steps.is_empty()).then(|| {
        let steps = steps.join(", ");
        format!("layer `{name}`: what it does to its samples ({steps}) is not in the graph: feed `{top}` accordingly")
    })
}
