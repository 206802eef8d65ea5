//! Values of parameters that stand in a net's own text: the `blobs` of a layer.

use super::NetError;
use crate::{
    config::proto::{BlobProto, LayerParameter},
    tensor::Shape,
};

/// Refuses another number of blobs than the layer has parameters.
pub fn check_count(config: &LayerParameter, parameters: usize) -> Result<(), NetError> {
    let blobs = config.blobs.len();
    if blobs == 0 || blobs == parameters {
        return Ok(());
    }
    let message = format!("has {parameters} parameters, but {blobs} `blobs`");
    Err(NetError::layer(config, format!("blobs[{}]", parameters.min(blobs - 1)), message))
}

/// What the text gives as parameter `index` of this shape, if anything.
///
/// # Errors
/// When its shape, or how many values it has, is another.
pub fn given<'c>(
    config: &'c LayerParameter,
    index: usize,
    shape: &Shape,
) -> Result<Option<&'c BlobProto>, NetError> {
    let Some(blob) = config.blobs.get(index) else { return Ok(None) };
    let refuse = |message| Err(NetError::layer(config, format!("blobs[{index}]"), message));
    let legacy = [blob.num, blob.channels, blob.height, blob.width];
    let (axes, fits) = if legacy.iter().any(Option::is_some) {
        let axes: Vec<i64> = legacy.iter().map(|axis| axis.unwrap_or(0).into()).collect();
        let fits = shape.legacy().is_some_and(|shape| same(&shape, &axes));
        (axes, fits)
    } else {
        let axes = blob.shape.as_ref().map_or(vec![], |shape| shape.dim.clone());
        let fits = same(shape, &axes);
        (axes, fits)
    };
    if !fits {
        let axes: Vec<String> = axes.iter().map(i64::to_string).collect();
        let found = if axes.is_empty() { "no shape".to_owned() } else { axes.join(" x ") };
        return refuse(format!("parameter {index} has the shape {shape}, but its `blobs` {found}"));
    }
    let values = if blob.double_data.is_empty() { blob.data.len() } else { blob.double_data.len() };
    if values != shape.count() {
        return refuse(format!(
            "parameter {index} of {shape} has {} values, but {values} in its `blobs`",
            shape.count()
        ));
    }
    Ok(Some(blob))
}

fn same(shape: &[usize], axes: &[i64]) -> bool {
    shape.len() == axes.len() && shape.iter().zip(axes).all(|(&a, &b)| usize::try_from(b) == Ok(a))
}

/// Copies the values of a blob that has as many.
pub fn copy(blob: &BlobProto, data: &mut [f32]) {
    if blob.double_data.is_empty() {
        data.copy_from_slice(&blob.data);
    } else {
        data.iter_mut().zip(&blob.double_data).for_each(|(to, &from)| *to = from as f32);
    }
}
