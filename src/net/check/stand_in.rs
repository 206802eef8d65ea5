//! `Input` layers in the place of data that is not needed.

use super::{Finding, Sketch, View, sizes};
use crate::{
    config::proto::{BlobShape, InputParameter, LayerParameter, NetParameter, NetState},
    layers::Role,
};

/// The net with `Input` layers in the place of those that read data, so that it can be looked at without; with batches
/// of another size, if one is given.
///
/// # Errors
/// When a shape can be told neither by the data, nor by the layer's settings, nor by `view`.
pub fn without_data(
    net: &NetParameter,
    state: &NetState,
    view: &View,
    batch: Option<usize>,
) -> Result<NetParameter, Box<Finding>> {
    let mut found = Vec::new();
    let sketch = Sketch::new(net, state, view, &mut found);
    let mut net = net.clone();
    for layer in sketch.layers.iter().filter(|l| l.kind.is_some_and(|k| k.role == Role::Source)) {
        let reads = sizes::batch_size(&layer.config).is_some() || sizes::is_named(&layer.config, view);
        if !reads && (batch.is_none() || layer.config.r#type() != "Input") {
            continue;
        }
        let mut shapes = Vec::with_capacity(layer.tops.len());
        let mut whole = None;
        for &top in &layer.tops {
            let Some(shape) = &sketch.blobs[top].shape else {
                let why = found.iter().find(|f| f.layer == Some(layer.index)).map(|f| f.message.clone());
                let message =
                    why.unwrap_or_else(|| format!("the shape of `{}` is not known", sketch.blobs[top].name));
                let unknown = layer.tops.iter().map(|&t| &sketch.blobs[t]).filter(|b| b.shape.is_none());
                let hint = sizes::ask(&unknown.map(|b| &b.name[..]).collect::<Vec<_>>());
                return Err(Box::new(Finding::error(layer.index, "", message).hint(hint)));
            };
            let mut dim: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
            // What is as long as the first top's batch is a batch, too.
            if let (Some(batch), Some(first)) = (batch, dim.first_mut())
                && *whole.get_or_insert(*first) == *first
            {
                *first = batch as i64;
            }
            shapes.push(BlobShape { dim });
        }
        let config = &net.layer[layer.index];
        net.layer[layer.index] = LayerParameter {
            name: config.name.clone(),
            r#type: Some("Input".into()),
            top: config.top.clone(),
            include: config.include.clone(),
            exclude: config.exclude.clone(),
            input_param: Some(InputParameter { shape: shapes }),
            // It does nothing here, but tells what the data would go through.
            transform_param: config.transform_param.clone(),
            cnnctl_origin: config.cnnctl_origin,
            ..LayerParameter::default()
        };
    }
    Ok(net)
}
