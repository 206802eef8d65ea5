//! What losses are fed with.

use super::{Finding, Sketch, SketchLayer, View};
use crate::layers::Role;

/// Losses fed by what they do themselves, or by what has lost what they need.
pub fn inputs(sketch: &Sketch, _: &View, found: &mut Vec<Finding>) {
    for layer in &sketch.layers {
        let Some(kind) = layer.kind.filter(|k| matches!(k.role, Role::Loss | Role::Measure)) else {
            continue;
        };
        if let Some(blob) = layer.bottoms.first().copied().flatten()
            && layer.bottoms.get(1).copied().flatten() == Some(blob)
        {
            let message = format!("compares `{}` with itself", sketch.blobs[blob].name);
            found.push(Finding::warning(layer.index, "bottom[1]", message));
            continue;
        }
        let Some(maker) = maker(sketch, layer) else { continue };
        let from = maker.config.r#type();
        let feed = format!("`{}`, a {from} layer", maker.config.name());
        let finding = match (kind.name, from) {
            ("SoftmaxWithLoss" | "InfogainLoss", "Softmax") => Some((
                format!("computes the softmax of {feed}: that is softmax twice"),
                scores(sketch, maker),
            )),
            ("SigmoidCrossEntropyLoss", "Sigmoid") => Some((
                format!("computes the sigmoid of {feed}: that is sigmoid twice"),
                scores(sketch, maker),
            )),
            ("SoftmaxWithLoss" | "InfogainLoss" | "SigmoidCrossEntropyLoss" | "HingeLoss", "ReLU") => Some((
                format!("is fed by {feed}: scores below 0 are lost, and so are their gradients"),
                scores(sketch, maker),
            )),
            ("MultinomialLogisticLoss", "InnerProduct" | "Convolution" | "ReLU") => {
                Some((format!("takes probabilities, but is fed by {feed}"), "use SoftmaxWithLoss".to_owned()))
            }
            (
                "SoftmaxWithLoss" | "InfogainLoss" | "HingeLoss" | "MultinomialLogisticLoss" | "Accuracy",
                _,
            ) if is_label(sketch, layer, maker) => Some((
                format!("takes scores first and labels second, but its first bottom is from {feed}"),
                "swap the bottoms".to_owned(),
            )),
            _ => None,
        };
        if let Some((message, hint)) = finding {
            found.push(Finding::warning(layer.index, "bottom[0]", message).hint(hint));
        }
    }
}

/// The layer that makes the first bottom, past layers that hand values through.
fn maker<'s>(sketch: &'s Sketch, layer: &SketchLayer) -> Option<&'s SketchLayer> {
    let mut maker = sketch.maker(layer, 0)?;
    for _ in 0..sketch.layers.len() {
        if !matches!(maker.config.r#type(), "Flatten" | "Reshape" | "Split" | "Dropout") {
            break;
        }
        maker = sketch.maker(maker, 0)?;
    }
    Some(maker)
}

/// Whether the first bottom looks like labels: a second top of a layer that reads data.
fn is_label(sketch: &Sketch, layer: &SketchLayer, maker: &SketchLayer) -> bool {
    maker.kind.is_some_and(|k| k.role == Role::Source)
        && maker.tops.len() > 1
        && layer.bottoms[0].is_some_and(|b| maker.tops[1..].contains(&b))
        && sketch.maker(layer, 1).is_some_and(|m| m.kind.is_some_and(|k| k.role == Role::Transform))
}

fn scores(sketch: &Sketch, maker: &SketchLayer) -> String {
    match sketch.bottom(maker, 0) {
        Some(blob) => {
            let unlike = maker.config.top.first() != Some(&blob.name);
            if unlike {
                format!("feed it `{}`", blob.name)
            } else {
                format!("remove `{}`", maker.config.name())
            }
        }
        None => format!("remove `{}`", maker.config.name()),
    }
}
