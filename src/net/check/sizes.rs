//! What the settings of layers say of sizes: shapes of data that is not at hand, and numbers beyond all reason.

use super::View;
use crate::{
    config::proto::{LayerParameter, data_parameter::Db},
    tensor::Shape,
};

/// Settings beyond all reason, which would only overflow further down.
pub fn too_large(config: &LayerParameter) -> Option<(String, String)> {
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
pub fn too_much(config: &LayerParameter, bottoms: &[Shape]) -> Option<(String, String)> {
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
pub fn count(shape: &Shape) -> f64 {
    shape.iter().map(|&n| n.max(1) as f64).product()
}

/// How to tell the shapes of these blobs.
pub fn ask(blobs: &[&str]) -> String {
    let options = blobs.iter().enumerate().map(|(i, blob)| {
        let axes = if i == 0 { "N,C,H,W" } else { "N,..." };
        format!("--shape {blob}={axes}")
    });
    let options: Vec<String> = options.collect();
    match &options[..] {
        [one] => format!("`{one}` tells the shape"),
        all => format!("`{}` tell the shapes", all.join(" ")),
    }
}

/// The shape of a data layer's top, as far as its settings tell.
pub fn data_shape(config: &LayerParameter, top: usize) -> Option<Shape> {
    // A top of HDF5Data is a data set of any shape; the others' second top is a label for each sample.
    if top > 0 && config.r#type() != "HDF5Data" {
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

/// Whether `view` names the shape of a top of this layer.
pub fn is_named(config: &LayerParameter, view: &View) -> bool {
    config.top.iter().any(|top| view.shapes.contains_key(top))
}

/// The shape of a source's top: what `view` says, else `told`, with as many samples as `view` gives another top of a
/// layer whose tops are a batch.
pub fn named(config: &LayerParameter, top: usize, view: &View, told: Option<Shape>) -> Option<Shape> {
    if let Some(shape) = config.top.get(top).and_then(|name| view.shapes.get(name)) {
        return Some(shape.clone());
    }
    let is_batch = batch_size(config).is_some() || config.r#type() == "MemoryData";
    let other = config.top.iter().find_map(|top| view.shapes.get(top)).filter(|_| is_batch);
    let mut axes = told?.to_vec();
    if let (Some(first), Some(&samples)) = (axes.first_mut(), other.and_then(|shape| shape.first())) {
        *first = samples;
    }
    Some(Shape::new(axes))
}

/// How many samples a data layer gives at a time.
pub fn batch_size(config: &LayerParameter) -> Option<u32> {
    match config.r#type() {
        "Data" => config.data_param.as_ref()?.batch_size,
        "ImageData" => Some(config.image_data_param.as_ref()?.batch_size()),
        "HDF5Data" => config.hdf5_data_param.as_ref()?.batch_size,
        "WindowData" => config.window_data_param.as_ref()?.batch_size,
        _ => None,
    }
}
