//! From a data layer's settings to its batches.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    Batches, DataError, Decode, Images, Location, Sample, Settings, Source, Tables, Transform, image_list,
    mixup::mixed, open_source, windows::Windows,
};
use crate::config::proto::{LayerParameter, Phase, TransformationParameter};

/// Opens what a data layer reads: its type says which of its parameters count.
///
/// `seed` should differ from layer to layer; all chance in the layer's samples comes from it.
pub fn open_layer(layer: &LayerParameter, phase: Phase, seed: u64) -> Result<Batches, DataError> {
    match layer.r#type() {
        "Data" => data(layer, phase, seed),
        "HDF5Data" => hdf5(layer, seed),
        "ImageData" => image_data(layer, phase, seed),
        "WindowData" => window_data(layer, phase, seed),
        other => Err(DataError::Setting(format!("`{other}` is not a layer that reads data"))),
    }
}

fn data(layer: &LayerParameter, phase: Phase, seed: u64) -> Result<Batches, DataError> {
    let param = layer.data_param.clone().unwrap_or_default();
    let transform_param = layer.transform_param.clone().unwrap_or_default();
    let transform = Transform::from_config(&transform_param, phase)?;
    let location = Location {
        path: required(param.source.as_deref(), "data_param: source")?.into(),
        labels: param.labels.as_ref().map(PathBuf::from),
        decode: transform.decode(),
        ..Default::default()
    };
    let source = open_source(&param.backend().as_str_name().to_lowercase(), &location)?;
    let source = part(source, param.begin() as usize, param.end() as usize)?;
    let images = Images::new(source, transform, layer.top.len() > 1)?;
    let settings = Settings {
        batch_size: required(param.batch_size, "data_param: batch_size")? as usize,
        depth: depth(layer),
        shuffle: param.shuffle(),
        rand_skip: param.rand_skip() as usize,
        seed,
        ..Default::default()
    };
    Batches::new(mixed(images, &transform_param, phase)?, settings)
}

fn image_data(layer: &LayerParameter, phase: Phase, seed: u64) -> Result<Batches, DataError> {
    let param = layer.image_data_param.clone().unwrap_or_default();
    let transform_param = layer.transform_param.clone().unwrap_or_default();
    let transform = Transform::from_config(&transform_param, phase)?;
    let location = Location {
        path: required(param.source.as_deref(), "image_data_param: source")?.into(),
        root_folder: param.root_folder().to_owned(),
        label_count: param.label_count() as usize,
        decode: if param.is_color() { Decode::Color } else { Decode::Gray },
        resize: image_list::size(param.new_height(), param.new_width())?,
        ..Default::default()
    };
    let source = open_source("image_list", &location)?;
    let images = Images::new(source, transform, layer.top.len() > 1)?;
    let settings = Settings {
        batch_size: param.batch_size() as usize,
        depth: depth(layer),
        shuffle: param.shuffle(),
        rand_skip: param.rand_skip() as usize,
        seed,
        ..Default::default()
    };
    Batches::new(mixed(images, &transform_param, phase)?, settings)
}

fn hdf5(layer: &LayerParameter, seed: u64) -> Result<Batches, DataError> {
    if layer.transform_param.is_some() {
        return Err(DataError::Setting(
            "HDF5Data takes no transform_param: its values are used as they are".into(),
        ));
    }
    let param = layer.hdf5_data_param.clone().unwrap_or_default();
    let list = required(param.source.as_deref(), "hdf5_data_param: source")?;
    let batch_size = required(param.batch_size, "hdf5_data_param: batch_size")? as usize;
    let open = if batch_size == 1 { Tables::open_any_shape } else { Tables::open };
    let tables = open(Path::new(list), &layer.top)?;
    let settings =
        Settings { batch_size, depth: depth(layer), shuffle: param.shuffle(), seed, ..Default::default() };
    Batches::new(Box::new(tables), settings)
}

fn window_data(layer: &LayerParameter, phase: Phase, seed: u64) -> Result<Batches, DataError> {
    let param = layer.window_data_param.clone().unwrap_or_default();
    let transform = Transform::from_config(&layer.transform_param.clone().unwrap_or_default(), phase)?;
    required(param.source.as_ref(), "window_data_param: source")?;
    let param_is_set = |t: &TransformationParameter| t.random_mixup() != 0.0 || t.label_classes() != 0;
    if layer.transform_param.as_ref().is_some_and(param_is_set) {
        return Err(DataError::Setting("WindowData takes no random_mixup and no label_classes".into()));
    }
    let batch_size = required(param.batch_size, "window_data_param: batch_size")? as usize;
    let windows = Windows::open(&param, transform)?;
    Batches::new(Box::new(windows), Settings { batch_size, depth: depth(layer), seed, ..Default::default() })
}

/// Batches to read ahead: as in Caffe, `data_param` says so for all data layers.
fn depth(layer: &LayerParameter) -> usize {
    layer.data_param.clone().unwrap_or_default().prefetch() as usize
}

fn required<T>(field: Option<T>, name: &str) -> Result<T, DataError> {
    field.ok_or_else(|| DataError::Setting(format!("{name} is missing")))
}

/// The samples from `begin` up to, not including, `end`; an `end` of 0 means all.
fn part(source: Box<dyn Source>, begin: usize, end: usize) -> Result<Box<dyn Source>, DataError> {
    let len = source.len();
    let end = if end == 0 { len } else { end };
    if begin == 0 && end == len {
        return Ok(source);
    }
    if begin >= end || end > len {
        let name = source.name();
        let problem =
            format!("data_param: begin {begin} and end {end} are no part of the {len} samples of `{name}`");
        return Err(DataError::Setting(problem));
    }
    Ok(Box::new(Part { source, range: begin..end }))
}

/// A range of another source.
struct Part {
    source: Box<dyn Source>,
    range: Range<usize>,
}

impl Source for Part {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        self.source.read(self.range.start + index)
    }

    fn name(&self) -> String {
        self.source.name()
    }
}
