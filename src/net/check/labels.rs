//! Labels against the number of classes, where the data is at hand.

use super::{Finding, Sketch, SketchLayer, View};
use crate::{
    kernels::random::Draw,
    layers::{BlobMut, Forward},
};

/// Batches and samples that are looked at, at most: a whole pass over a small set, a sample of a large one.
const MOST_BATCHES: usize = 100;
const MOST_VALUES: usize = 1 << 24;

/// Labels beyond the classes of the layer that reads them.
pub fn labels(sketch: &Sketch, _: &View, found: &mut Vec<Finding>) {
    let mut ranges: Vec<(usize, Option<(f32, f32)>)> = Vec::new();
    for layer in &sketch.layers {
        let (axis, ignored) = match layer.config.r#type() {
            "SoftmaxWithLoss" => {
                let ignored = layer.config.loss_param.as_ref().and_then(|p| p.ignore_label);
                (layer.config.softmax_param.unwrap_or_default().axis(), ignored)
            }
            "Accuracy" => {
                let param = layer.config.accuracy_param.unwrap_or_default();
                (param.axis(), param.ignore_label)
            }
            "HingeLoss" | "MultinomialLogisticLoss" => (1, None),
            _ => continue,
        };
        let (Some(scores), Some(label)) = (sketch.bottom(layer, 0), layer.bottoms.get(1).copied().flatten())
        else {
            continue;
        };
        let classes = scores.shape.as_ref().and_then(|s| s.axis(axis).map(|axis| s[axis]));
        let (Some(classes), Some(source)) = (classes, sketch.maker(layer, 1)) else { continue };
        let range = match ranges.iter().find(|(known, _)| *known == label) {
            Some((_, range)) => *range,
            None => {
                let range = range(sketch, source, label);
                ranges.push((label, range));
                range
            }
        };
        let Some((least, most)) = range else { continue };
        let bad = [least, most]
            .into_iter()
            .find(|&l| (l < 0.0 || l >= classes as f32) && Some(l as i32) != ignored);
        let Some(bad) = bad else { continue };
        let message =
            format!("the data has the label {bad}, but `{}` has {classes} classes, from 0", scores.name);
        let (index, field) = outputs(sketch, layer).unwrap_or((layer.index, "bottom[0]".into()));
        found.push(Finding::error(index, field, message));
    }
}

/// The layer and the field that say how many classes there are.
fn outputs(sketch: &Sketch, layer: &SketchLayer) -> Option<(usize, String)> {
    let mut maker = sketch.maker(layer, 0)?;
    for _ in 0..sketch.layers.len() {
        let settings = maker.kind?.settings.first().copied().unwrap_or("");
        if matches!(settings, "inner_product_param" | "convolution_param") {
            return Some((maker.index, format!("{settings}.num_output")));
        }
        maker = sketch.maker(maker, 0)?;
    }
    None
}

/// Least and largest value of a blob that a data layer fills.
fn range(sketch: &Sketch, source: &SketchLayer, label: usize) -> Option<(f32, f32)> {
    let mut layer = source.source.as_ref()?.borrow_mut();
    let shapes = &source.outline.as_ref()?.tops;
    let top = source.tops.iter().position(|&t| t == label)?;
    let samples = layer.samples()?;
    let batch = shapes[top].first().copied().unwrap_or(1).max(1);
    let values: usize = shapes.iter().map(|s| s.count()).sum();
    let batches = samples.div_ceil(batch).min(MOST_BATCHES).min(MOST_VALUES / values.max(1)).max(1);
    let mut data: Vec<Vec<f32>> = shapes.iter().map(|s| vec![0.0; s.count()]).collect();
    let mut range: Option<(f32, f32)> = None;
    for _ in 0..batches {
        let mut tops: Vec<BlobMut<'_>> =
            shapes.iter().zip(&mut data).map(|(shape, data)| BlobMut { shape, data }).collect();
        let mut pass = Forward {
            phase: sketch.state.phase(),
            draw: Draw::new(0, "", 0),
            params: &[],
            state: &mut [],
            bottoms: &[],
            tops: &mut tops,
            workspace: &mut [],
        };
        // Samples that cannot be read are for a run to complain of.
        layer.forward(&mut pass).ok()?;
        let labels = &data[top];
        let least = labels.iter().copied().fold(f32::INFINITY, f32::min);
        let most = labels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        range = Some(range.map_or((least, most), |(l, m)| (l.min(least), m.max(most))));
    }
    range
}
