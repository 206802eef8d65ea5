//! Settings of layers: those of another type, those that are missing, and those that are out of range.

use super::{Finding, Sketch, View, sizes::batch_size};
use crate::{
    config::{
        Severity, message_and_hint,
        proto::{FillerParameter, LayerParameter},
        surely_meant, text,
    },
    layers::{LAYERS, Role, filler},
};

/// Settings that the layer's type does not read.
pub fn stray(sketch: &Sketch, _: &View, found: &mut Vec<Finding>) {
    for layer in &sketch.layers {
        let Some(kind) = layer.kind else { continue };
        let config = LayerParameter { blobs: Vec::new(), ..layer.config.clone() };
        for field in text::set_fields(&config).into_iter().filter(|f| f.ends_with("_param")) {
            // Data layers of all types take `prefetch` from there.
            let prefetch = field == "data_param" && kind.role == Role::Source;
            if kind.settings.contains(&field) || prefetch {
                continue;
            }
            let message = format!("`{field}` has no effect in a layer of type {}", kind.name);
            let owners: Vec<&str> =
                LAYERS.iter().filter(|k| k.settings.contains(&field)).map(|k| k.name).collect();
            let mut finding = Finding::warning(layer.index, field, message);
            finding.hint = match (kind.settings, &owners[..]) {
                ([], []) => None,
                ([own, ..], [] | [_, _, _, _, _, ..]) => Some(format!("its settings are in `{own}`")),
                (_, owners) => Some(format!("it is for {}", owners.join(", "))),
            };
            found.push(finding);
        }
    }
}

/// Settings of fillers that the filler's type does not read.
pub fn fillers(sketch: &Sketch, _: &View, found: &mut Vec<Finding>) {
    for layer in &sketch.layers {
        for (path, filler) in filler::fillers(&layer.config) {
            let reads: &[&str] = match filler.r#type() {
                "constant" => &["type", "value"],
                "uniform" => &["type", "min", "max"],
                "gaussian" => &["type", "mean", "std", "sparse"],
                "xavier" | "msra" => &["type", "variance_norm"],
                "positive_unitball" | "bilinear" => &["type"],
                other => {
                    if layer.outline.is_none() {
                        found.extend(unknown(layer.index, &path, filler, other));
                    }
                    let field = format!("{path}.type");
                    let names = filler::FILLERS.iter().map(|(name, _)| *name);
                    let known = |f: &&mut Finding| f.layer == Some(layer.index) && f.field == field;
                    found.iter_mut().filter(known).for_each(|f| f.fix = surely_meant(other, names.clone()));
                    continue;
                }
            };
            // Where shapes are known, the net has found it.
            let unfit = filler::check_sparse(filler).err();
            if let Some(error) = unfit.as_ref().filter(|_| layer.outline.is_none()) {
                let message = error.to_string();
                let (message, hint) = message_and_hint(&message);
                let finding = Finding::error(layer.index, format!("{path}.sparse"), message);
                found.push(Finding { hint: hint.map(str::to_owned), ..finding });
            }
            let told = |f: &&str| reads.contains(f) || (*f == "sparse" && unfit.is_some());
            for field in text::set_fields(filler).into_iter().filter(|f| !told(f)) {
                let message = format!("`{field}` has no effect on the filler `{}`", filler.r#type());
                found.push(Finding::warning(layer.index, format!("{path}.{field}"), message));
            }
        }
    }
}

/// A filler of no known type; where shapes are known, the net has found it.
fn unknown(index: usize, path: &str, filler: &FillerParameter, name: &str) -> Option<Finding> {
    let error = filler::check_type(filler).err()?;
    let message = error.to_string();
    let (message, hint) = message_and_hint(&message);
    debug_assert!(message.contains(name));
    Some(Finding::error(index, format!("{path}.type"), message).hint(hint.unwrap_or_default()))
}

/// What a data layer cannot do without, also where its data is not at hand.
pub fn data(sketch: &Sketch, _: &View, found: &mut Vec<Finding>) {
    for layer in &sketch.layers {
        let config = &layer.config;
        let (settings, source) = match config.r#type() {
            "Data" => ("data_param", config.data_param.as_ref().map(|p| p.source())),
            "HDF5Data" => ("hdf5_data_param", config.hdf5_data_param.as_ref().map(|p| p.source())),
            "ImageData" => ("image_data_param", config.image_data_param.as_ref().map(|p| p.source())),
            "WindowData" => ("window_data_param", config.window_data_param.as_ref().map(|p| p.source())),
            _ => continue,
        };
        if found.iter().any(|f| f.layer == Some(layer.index) && f.severity == Severity::Error) {
            continue;
        }
        if source.unwrap_or("").is_empty() {
            found.push(Finding::error(layer.index, format!("{settings}.source"), "source is missing"));
        }
        match batch_size(config) {
            None => {
                let field = format!("{settings}.batch_size");
                found.push(Finding::error(layer.index, field, "batch_size is missing"));
            }
            Some(0) => {
                let field = format!("{settings}.batch_size");
                found.push(Finding::error(layer.index, field, "batch_size must be at least 1, found 0"));
            }
            Some(batch) => {
                let samples = layer.source.as_ref().and_then(|s| s.borrow().samples());
                if let Some(samples) = samples.filter(|&n| n < batch as usize) {
                    let field = format!("{settings}.batch_size");
                    let message = format!("a batch of {batch} is larger than the set of {samples} samples");
                    let hint = "samples come several times in a batch";
                    found.push(Finding::warning(layer.index, field, message).hint(hint));
                }
            }
        }
    }
}

/// Factors that are below 0 or no numbers.
pub fn ranges(sketch: &Sketch, _: &View, found: &mut Vec<Finding>) {
    for layer in &sketch.layers {
        for (i, param) in layer.config.param.iter().enumerate() {
            for (name, value) in [("lr_mult", param.lr_mult()), ("decay_mult", param.decay_mult())] {
                if value.is_nan() || value < 0.0 {
                    let message = format!("{name} should be 0 or more, found {value}");
                    found.push(Finding::warning(layer.index, format!("param[{i}].{name}"), message));
                }
            }
        }
        if let Some(transform) = &layer.config.transform_param
            && transform.scale() == 0.0
        {
            let message = "scale 0 makes every value 0";
            found.push(Finding::warning(layer.index, "transform_param.scale", message));
        }
        if let Some(param) = &layer.config.dropout_param
            && param.dropout_ratio() == 0.0
        {
            let message = "dropout_ratio 0 drops nothing";
            found.push(Finding::warning(layer.index, "dropout_param.dropout_ratio", message));
        }
    }
}

/// What Caffe takes, but hardly anybody means.
pub fn unlikely(sketch: &Sketch, _: &View, found: &mut Vec<Finding>) {
    for layer in &sketch.layers {
        if let Some(param) = &layer.config.clip_param
            && param.min > param.max
        {
            let message = format!("min {} is above max {}: every value becomes {0}", param.min, param.max);
            found.push(Finding::warning(layer.index, "clip_param.min", message));
        }
        if let Some(param) = &layer.config.pooling_param
            && let Some(size) = param.kernel_size
            && let Some(name) = match (param.kernel_h, param.kernel_w) {
                (Some(_), None) => Some("kernel_h"),
                (None, Some(_)) => Some("kernel_w"),
                _ => None,
            }
        {
            let message = format!("{name} means nothing beside kernel_size, which counts: {size} x {size}");
            found.push(Finding::warning(layer.index, format!("pooling_param.{name}"), message));
        }
        let double = (1..layer.params.len()).find(|&i| layer.params[..i].contains(&layer.params[i]));
        if let Some(i) = double
            && layer.outline.as_ref().is_some_and(|o| o.params.iter().all(|p| p.learned))
        {
            let message = format!("parameter {i} of the layer is also one before it: they have one name");
            found.push(Finding::warning(layer.index, format!("param[{i}].name"), message));
        }
    }
}
