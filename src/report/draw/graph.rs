//! From a net to boxes and the arrows between them.

use std::collections::HashMap;

use super::style::{self, Family};
use crate::{
    net::check::{Sketch, SketchLayer},
    tensor::Shape,
};

/// A layer, with those that only change its values in place.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub kind: String,
    pub family: Family,
    /// Sizes of windows and the like.
    pub detail: String,
    /// Shapes of its tops, without the batch.
    pub output: String,
    /// Types of layers that are drawn as strips below it.
    pub strips: Vec<(String, Family)>,
    /// Names of blobs from a source that are not worth a line across the picture: labels.
    pub chips: Vec<String>,
}

/// Boxes and arrows.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub nodes: Vec<Node>,
    /// From and to, each once, in order.
    pub edges: Vec<(usize, usize)>,
    /// Layers, those on strips included.
    pub layers: usize,
    /// Values that are learned.
    pub parameters: u64,
}

impl Graph {
    pub fn of(sketch: &Sketch) -> Self {
        let mut graph = Self { layers: sketch.layers.len(), ..Self::default() };
        let mut box_of: Vec<usize> = Vec::with_capacity(sketch.layers.len());
        let mut shared: HashMap<&str, ()> = HashMap::new();
        for layer in &sketch.layers {
            for (i, param) in layer.outline.iter().flat_map(|o| o.params.iter().enumerate()) {
                let name = layer.config.param.get(i).map_or("", |p| p.name());
                if param.learned && (name.is_empty() || shared.insert(name, ()).is_none()) {
                    graph.parameters += param.shape.count() as u64;
                }
            }
            let family = style::family(layer.config.r#type());
            if let Some(host) = host(sketch, layer, family) {
                graph.nodes[box_of[host]].strips.push((layer.config.r#type().to_owned(), family));
                box_of.push(box_of[host]);
                continue;
            }
            let mut node = Node {
                name: layer.config.name().to_owned(),
                kind: layer.config.r#type().to_owned(),
                family,
                detail: detail(layer),
                output: output(sketch, layer),
                strips: Vec::new(),
                chips: Vec::new(),
            };
            let number = graph.nodes.len();
            for &bottom in &layer.bottoms {
                let blob = bottom.map(|b| &sketch.blobs[b]);
                let Some((blob, maker)) = blob.and_then(|b| Some((b, b.maker?))) else { continue };
                let from = &sketch.layers[maker];
                let side = style::family(from.config.r#type()) == Family::Data
                    && from.tops.first().is_some_and(|&t| sketch.blobs[t].name != blob.name);
                if side {
                    node.chips.push(blob.name.clone());
                } else if !graph.edges.contains(&(box_of[maker], number)) {
                    graph.edges.push((box_of[maker], number));
                }
            }
            box_of.push(number);
            graph.nodes.push(node);
        }
        graph
    }
}

/// The layer on whose box this one is drawn as a strip: it only changes values, and its bottom has no other use.
fn host(sketch: &Sketch, layer: &SketchLayer, family: Family) -> Option<usize> {
    if !matches!(family, Family::Activation | Family::Normalization) || layer.tops.len() != 1 {
        return None;
    }
    let &[Some(bottom)] = &layer.bottoms[..] else { return None };
    let blob = &sketch.blobs[bottom];
    let maker = blob.maker?;
    let from = &sketch.layers[maker];
    let source = style::family(from.config.r#type()) == Family::Data;
    let in_place = layer.config.top == layer.config.bottom;
    let small = matches!(layer.config.r#type(), "LRN" | "Softmax");
    (!source && from.tops.len() == 1 && blob.readers.len() == 1 && (in_place || !small)).then_some(maker)
}

/// `7 x 7, stride 2, pad 3`.
fn detail(layer: &SketchLayer) -> String {
    let config = &layer.config;
    let mut parts: Vec<String> = Vec::new();
    let mut sized = |kernel: [Option<u32>; 2], stride: [Option<u32>; 2], pad: [Option<u32>; 2]| {
        let pair = |[h, w]: [Option<u32>; 2], default: u32| (h.unwrap_or(default), w.unwrap_or(default));
        if let [Some(h), Some(w)] = kernel {
            parts.push(format!("{h} \u{d7} {w}"));
        }
        for (name, (h, w), usual) in [("stride", pair(stride, 1), 1), ("pad", pair(pad, 0), 0)] {
            if (h, w) != (usual, usual) {
                parts.push(if h == w { format!("{name} {h}") } else { format!("{name} {h} \u{d7} {w}") });
            }
        }
    };
    let both = |list: &[u32], h: Option<u32>, w: Option<u32>| {
        let first = list.first().copied();
        [h.or(first), w.or(list.get(1).copied()).or(first)]
    };
    if let Some(p) = &config.convolution_param {
        let kernel = both(&p.kernel_size, p.kernel_h, p.kernel_w);
        sized(kernel, both(&p.stride, p.stride_h, p.stride_w), both(&p.pad, p.pad_h, p.pad_w));
        parts.extend(p.dilation.first().filter(|&&d| d > 1).map(|d| format!("dilation {d}")));
        parts.extend(Some(p.group()).filter(|&g| g > 1).map(|g| format!("{g} groups")));
    } else if let Some(p) = &config.pooling_param {
        let list = |all: Option<u32>| all.into_iter().collect::<Vec<u32>>();
        let [kernel_h, kernel_w] = p.kernel_sides();
        let kernel = both(&list(p.kernel_size), kernel_h, kernel_w);
        let stride = both(&list(p.stride), p.stride_h, p.stride_w);
        sized(kernel, stride, both(&list(p.pad), p.pad_h, p.pad_w));
        let method = p.pool().as_str_name().to_lowercase();
        parts.insert(0, if p.global_pooling() { format!("{method}, global") } else { method });
    } else if let Some(p) = &config.lrn_param {
        parts.push(format!("over {}", p.local_size()));
    } else if let Some(p) = config.eltwise_param.as_ref().filter(|_| config.r#type() == "Eltwise") {
        parts.push(p.operation().as_str_name().to_lowercase());
    }
    parts.join(", ")
}

/// The shapes of the tops, without the batch.
fn output(sketch: &Sketch, layer: &SketchLayer) -> String {
    let shapes: Vec<String> =
        layer.tops.iter().take(2).filter_map(|&t| sketch.blobs[t].shape.as_ref().map(sides)).collect();
    let mut unlike: Vec<String> = Vec::new();
    shapes.into_iter().for_each(|s| unlike.extend(Some(s).filter(|s| !unlike.contains(s))));
    unlike.retain(|s| !s.is_empty());
    unlike.join(" and ")
}

fn sides(shape: &Shape) -> String {
    let axes = if shape.len() > 1 { &shape[1..] } else { &[][..] };
    axes.iter().map(usize::to_string).collect::<Vec<_>>().join(" \u{d7} ")
}
