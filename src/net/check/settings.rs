//! Settings of layers: those of another type, those that are out of range, and what they say of shapes.

use super::{Finding, Sketch, SketchLayer, View};
use crate::{
    config::{
        Severity, did_you_mean,
        proto::{FillerParameter, LayerParameter, data_parameter::Db},
        text,
    },
    layers::{LAYERS, Role, filler},
    tensor::Shape,
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
                    found.iter_mut().filter(known).for_each(|f| f.fix = did_you_mean(other, names.clone()));
                    continue;
                }
            };
            for field in text::set_fields(filler).into_iter().filter(|f| !reads.contains(f)) {
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
    let (message, hint) = message.split_once("; ").unwrap_or((&message, ""));
    debug_assert!(message.contains(name));
    Some(Finding::error(index, format!("{path}.type"), message).hint(hint))
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

/// Whether the layer has parameters, where that is known.
pub(super) fn has_parameters(layer: &SketchLayer) -> Option<bool> {
    const OFTEN: &[&str] = &["convolution_param", "inner_product_param", "embed_param", "recurrent_param"];
    match &layer.outline {
        Some(outline) => Some(outline.params.iter().any(|p| p.learned)),
        None => {
            let kind = layer.kind?;
            Some(kind.name != "Im2col" && kind.settings.iter().any(|s| OFTEN.contains(s)))
        }
    }
}

/// Whether layers of this type have parameters, statistics included, as a rule.
pub(super) fn often_has_parameters(layer: &SketchLayer) -> bool {
    const TYPES: &[&str] = &["BatchNorm", "Bias", "PReLU", "Parameter", "Scale"];
    has_parameters(layer) == Some(true) || layer.kind.is_some_and(|k| TYPES.contains(&k.name))
}

/// Whether some filler of the layer draws random numbers.
pub(super) fn starts_at_random(layer: &SketchLayer) -> bool {
    let random = |f: &FillerParameter| !matches!(f.r#type(), "constant" | "bilinear");
    filler::fillers(&layer.config).iter().any(|(_, filler)| random(filler))
}

/// Settings beyond all reason, which would only overflow further down.
pub(super) fn too_large(config: &LayerParameter) -> Option<(String, String)> {
    const MOST_OUTPUTS: u32 = 1 << 24;
    const LONGEST: u32 = 1 << 16;
    let convolution = config.convolution_param.iter().flat_map(|p| {
        let lists = [
            ("kernel_size", &p.kernel_size),
            ("pad", &p.pad),
            ("stride", &p.stride),
            ("dilation", &p.dilation),
        ];
        let many = lists.into_iter().flat_map(|(name, list)| list.iter().map(move |&v| (name, v, LONGEST)));
        let sides = [
            ("kernel_h", p.kernel_h),
            ("kernel_w", p.kernel_w),
            ("pad_h", p.pad_h),
            ("pad_w", p.pad_w),
            ("stride_h", p.stride_h),
            ("stride_w", p.stride_w),
        ];
        let sides = sides.into_iter().filter_map(|(name, v)| Some((name, v?, LONGEST)));
        let all = many.chain(sides).chain([("num_output", p.num_output(), MOST_OUTPUTS)]);
        all.map(|(name, v, most)| (format!("convolution_param.{name}"), name, v, most)).collect::<Vec<_>>()
    });
    let pooling = config.pooling_param.iter().flat_map(|p| {
        [("kernel_size", p.kernel_size()), ("pad", p.pad()), ("stride", p.stride())]
            .map(|(name, v)| (format!("pooling_param.{name}"), name, v, LONGEST))
    });
    let outputs = [
        ("inner_product_param", config.inner_product_param.as_ref().map(|p| p.num_output())),
        ("embed_param", config.embed_param.as_ref().map(|p| p.num_output())),
        ("recurrent_param", config.recurrent_param.as_ref().map(|p| p.num_output())),
    ];
    let outputs = outputs
        .into_iter()
        .filter_map(|(settings, v)| Some((format!("{settings}.num_output"), "num_output", v?, MOST_OUTPUTS)));
    let (field, name, value, most) =
        convolution.chain(pooling).chain(outputs).find(|(.., v, most)| v > most)?;
    Some((field, format!("{name} {value} is beyond reason: at most {most}")))
}

/// Outputs and filters over these bottoms that would overflow in counting.
pub(super) fn too_much(config: &LayerParameter, bottoms: &[Shape]) -> Option<(String, String)> {
    const MOST: f64 = 1e15;
    let values: f64 = bottoms.iter().map(count).sum();
    let (settings, factor) = if let Some(p) = &config.convolution_param {
        let side = p.kernel_size.iter().chain(&p.kernel_h).chain(&p.kernel_w).copied().max().unwrap_or(1);
        ("convolution_param", f64::from(p.num_output()) * f64::from(side).powi(2))
    } else if let Some(p) = &config.inner_product_param {
        ("inner_product_param", f64::from(p.num_output()))
    } else if let Some(p) = &config.recurrent_param {
        ("recurrent_param", f64::from(p.num_output()).powi(2))
    } else if let Some(p) = &config.tile_param {
        ("tile_param", f64::from(p.tiles()))
    } else {
        ("", 1.0)
    };
    let large = values > i32::MAX as f64 || values.max(1.0) * factor > MOST;
    large.then(|| {
        let (field, what) = match settings {
            "convolution_param" => (".kernel_size", "kernel_size and num_output are beyond reason"),
            "tile_param" => (".tiles", "tiles is beyond reason"),
            "" => ("", "is beyond reason"),
            _ => (".num_output", "num_output is beyond reason"),
        };
        (format!("{settings}{field}"), format!("{what} for the {values:.0} values that come in"))
    })
}

/// How many values, without overflow; an axis of 0 does not excuse the others.
pub(super) fn count(shape: &Shape) -> f64 {
    shape.iter().map(|&n| n.max(1) as f64).product()
}

/// The shape of a data layer's top, as far as its settings tell.
pub(super) fn data_shape(config: &LayerParameter, top: usize) -> Option<Shape> {
    if top > 0 {
        return Some([batch_size(config)? as usize].into());
    }
    let transform = config.transform_param.clone().unwrap_or_default();
    let crop = (transform.crop_size() > 0).then(|| transform.crop_size() as usize);
    let colors = match &transform.mean_value[..] {
        _ if transform.force_gray() => 1,
        values if values.len() > 1 => values.len(),
        _ => 3,
    };
    let [channels, height, width] = match config.r#type() {
        "Data" => {
            let param = config.data_param.as_ref()?;
            let (channels, side) = match param.backend() {
                Db::Cifar10 | Db::Cifar100 => (3, Some(32)),
                Db::Idx => (1, None),
                _ => (colors, None),
            };
            let side = crop.or(side)?;
            [channels, side, side]
        }
        "ImageData" => {
            let param = config.image_data_param.as_ref()?;
            let given = |side: u32| (side > 0).then_some(side as usize);
            let height = crop.or(given(param.new_height()))?;
            let width = crop.or(given(param.new_width()))?;
            [if param.is_color() { 3 } else { 1 }, height, width]
        }
        "WindowData" => [3, crop?, crop?],
        _ => return None,
    };
    Some([batch_size(config)? as usize, channels, height, width].into())
}

/// How many samples a data layer gives at a time.
pub(super) fn batch_size(config: &LayerParameter) -> Option<u32> {
    match config.r#type() {
        "Data" => config.data_param.as_ref()?.batch_size,
        "ImageData" => Some(config.image_data_param.as_ref()?.batch_size()),
        "HDF5Data" => config.hdf5_data_param.as_ref()?.batch_size,
        "WindowData" => config.window_data_param.as_ref()?.batch_size,
        _ => None,
    }
}
