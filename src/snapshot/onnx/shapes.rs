//! Layers that only move values: joined, cut, repeated, in another shape, or picked by number.

use super::{
    graph::{Value, int, ints},
    proto::tensor_proto::DataType,
    scene::{Converted, Scene, one},
};
use crate::layers::{LayerError, PriorBoxSettings, permuted_order};

/// `Concat`.
pub fn concat(s: &mut Scene<'_>) -> Converted {
    if let [only] = &s.bottoms[..] {
        return one(only.clone());
    }
    let param = s.config().concat_param.unwrap_or_default();
    let axis = s.axis(axis_or_old(param.axis, param.concat_dim));
    let inputs: Vec<&Value> = s.bottoms.iter().collect();
    one(s.graph.op("Concat", &inputs, vec![int("axis", axis as i64)], s.tops[0].clone()))
}

/// The axis that is given by its field, or by the field of old files.
fn axis_or_old(axis: Option<i32>, old: Option<u32>) -> i32 {
    axis.or(old.and_then(|axis| i32::try_from(axis).ok())).unwrap_or(1)
}

/// `Slice`.
pub fn slice(s: &mut Scene<'_>) -> Converted {
    let x = s.x();
    if s.tops.len() == 1 {
        return one(x);
    }
    let param = s.config().slice_param.clone().unwrap_or_default();
    let axis = s.axis(axis_or_old(param.axis, param.slice_dim));
    let sides: Vec<i64> = s.tops.iter().map(|top| top[axis] as i64).collect();
    let sides = s.graph.ints("sides", &sides);
    Ok(s.graph.ops("Split", &[&x, &sides], vec![int("axis", axis as i64)], &s.tops))
}

/// `Split`: the same value for each reader.
pub fn split(s: &mut Scene<'_>) -> Converted {
    Ok(vec![s.x(); s.tops.len()])
}

/// `Flatten`.
pub fn flatten(s: &mut Scene<'_>) -> Converted {
    let (x, top) = (s.x(), s.tops[0].clone());
    // What the word means in ONNX: a matrix.
    let matrix = top.len() == 2 && x.shape.len() > 2 && x.shape.first() == top.first();
    if matrix {
        return one(s.graph.op("Flatten", &[&x], vec![int("axis", 1)], top));
    }
    one(s.graph.reshape(&x, top))
}

/// `Reshape`.
pub fn reshape(s: &mut Scene<'_>) -> Converted {
    let (x, top) = (s.x(), s.tops[0].clone());
    one(s.graph.reshape(&x, top))
}

/// `Crop`: the second bottom counts only by its shape, which is known.
pub fn crop(s: &mut Scene<'_>) -> Converted {
    let (x, top) = (s.x(), s.tops[0].clone());
    let param = s.config().crop_param.clone().unwrap_or_default();
    let from = s.axis(param.axis());
    let offset =
        |i: usize| param.offset.get(if param.offset.len() == 1 { 0 } else { i }).map_or(0, |&o| i64::from(o));
    let axes: Vec<usize> = (from..top.len()).collect();
    let starts: Vec<i64> = (0..axes.len()).map(offset).collect();
    let ends: Vec<i64> = starts.iter().zip(&axes).map(|(start, &axis)| start + top[axis] as i64).collect();
    let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
    let [starts, ends, axes] =
        [("starts", starts), ("ends", ends), ("axes", axes)].map(|(what, list)| s.graph.ints(what, &list));
    one(s.graph.op("Slice", &[&x, &starts, &ends, &axes], vec![], top))
}

/// `Tile`.
pub fn tile(s: &mut Scene<'_>) -> Converted {
    let (x, top) = (s.x(), s.tops[0].clone());
    let param = s.config().tile_param.unwrap_or_default();
    let mut repeats = vec![1; x.shape.len()];
    repeats[s.axis(param.axis())] = i64::from(param.tiles());
    let repeats = s.graph.ints("repeats", &repeats);
    one(s.graph.op("Tile", &[&x, &repeats], vec![], top))
}

/// `Permute`.
pub fn permute(s: &mut Scene<'_>) -> Converted {
    let (x, top) = (s.x(), s.tops[0].clone());
    let order = permuted_order(&s.config().permute_param.clone().unwrap_or_default(), x.shape.len())?;
    if order.is_sorted() {
        return one(x);
    }
    one(s.graph.op("Transpose", &[&x], vec![ints("perm", &order)], top))
}

/// `ShuffleChannel`: groups and their channels change places.
pub fn shuffle_channel(s: &mut Scene<'_>) -> Converted {
    let (x, top) = (s.x(), s.tops[0].clone());
    let group = s.config().shuffle_channel_param.unwrap_or_default().group() as usize;
    let (images, channels, inner) = (x.shape[0], x.shape[1], x.shape.count_of(2..));
    let groups = s.graph.reshape(&x, [images, group, channels / group, inner]);
    let turned = [images, channels / group, group, inner];
    let turned = s.graph.op("Transpose", &[&groups], vec![ints("perm", &[0, 2, 1, 3])], turned);
    one(s.graph.reshape(&turned, top))
}

/// `BatchReindex`.
pub fn batch_reindex(s: &mut Scene<'_>) -> Converted {
    let (x, index, top) = (s.x(), s.bottoms[1].clone(), s.tops[0].clone());
    let index = s.graph.cast(&index, DataType::Int64);
    one(s.graph.op("Gather", &[&x, &index], vec![int("axis", 0)], top))
}

/// `Filter`: how many samples come through shows only when it runs.
pub fn filter(s: &mut Scene<'_>) -> Converted {
    let Some((selector, bottoms)) = s.bottoms.clone().split_last().map(|(s, b)| (s.clone(), b.to_vec()))
    else {
        return Err(LayerError::shape("no bottoms"));
    };
    let selector = s.graph.reshape(&selector, [selector.shape.count()]);
    let selector = s.graph.cast(&selector, DataType::Bool);
    let keep = |x: &Value| s.graph.op("Compress", &[x, &selector], vec![int("axis", 0)], x.shape.clone());
    Ok(bottoms.iter().map(keep).collect())
}

/// `PriorBox`: a constant, as the shapes are known.
pub fn prior_box(s: &mut Scene<'_>) -> Converted {
    let top = s.tops[0].clone();
    let settings = PriorBoxSettings::of(&s.config().prior_box_param.clone().unwrap_or_default())?;
    let grid = settings.grid(&s.bottoms[0].shape, &s.bottoms[1].shape)?;
    let mut boxes = vec![0.0; top.count()];
    settings.fill(&grid, &mut boxes);
    one(s.graph.floats("boxes", top, &boxes))
}

/// `Embed`: rows of the weights by number.
pub fn embed(s: &mut Scene<'_>) -> Converted {
    let (x, top) = (s.x(), s.tops[0].clone());
    let (weights, index) = (s.weight(0), s.graph.cast(&x, DataType::Int64));
    let y = s.graph.op("Gather", &[&weights, &index], vec![int("axis", 0)], top);
    if !s.has_param(1) {
        return one(y);
    }
    let bias = s.weight(1);
    one(s.graph.zip("Add", &y, &bias))
}

/// `Parameter`: the weight itself.
pub fn parameter(s: &mut Scene<'_>) -> Converted {
    one(s.weight(0))
}

/// `DummyData` with constants; random numbers are an input instead.
pub fn dummy_data(s: &mut Scene<'_>) -> Converted {
    let param = s.config().dummy_data_param.clone().unwrap_or_default();
    let fill = |i: usize| match param.data_filler.len() {
        0 => 0.0,
        n => param.data_filler[i % n].value(),
    };
    let tops = s.tops.clone();
    let constant = |(i, top): (usize, &crate::tensor::Shape)| {
        let sides: Vec<i64> = top.iter().map(|&side| side as i64).collect();
        let (sides, value) = (s.graph.ints("shape", &sides), s.graph.scalar("value", fill(i)));
        s.graph.op("Expand", &[&value, &sides], vec![], top.clone())
    };
    Ok(tops.iter().enumerate().map(constant).collect())
}
