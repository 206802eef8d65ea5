//! Inserts `Split` layers, so that every blob has at most one reader and gradients add up in one place.
//!
//! Names are Caffe's: blob `b`, top `i` of layer `l`, read twice, becomes `b_l_i_split_0` and `b_l_i_split_1`.

use std::collections::HashMap;

use crate::{
    config::{self, proto::LayerParameter},
    net::NetError,
};

/// A version of a blob: the layer that makes it, and as which of its tops.
type Version = (usize, usize);

/// `layers` with the splits that they need. A loss weight on a top that others read moves to the split.
///
/// # Errors
/// When a bottom is made by no layer above.
pub fn insert_splits(layers: Vec<LayerParameter>) -> Result<Vec<LayerParameter>, NetError> {
    let (sources, readers) = connect(&layers)?;
    let names: Vec<String> = layers.iter().map(|l| l.name().to_owned()).collect();
    let mut given: HashMap<Version, usize> = HashMap::new();
    let mut out = Vec::with_capacity(layers.len());
    for (i, mut layer) in layers.into_iter().enumerate() {
        for (j, bottom) in layer.bottom.iter_mut().enumerate() {
            let version = sources[i][j];
            if readers[&version] > 1 {
                let next = given.entry(version).or_default();
                *bottom = format!("{}_{next}", split_name(bottom, &names[version.0], version.1));
                *next += 1;
            }
        }
        let mut splits = Vec::new();
        for j in 0..layer.top.len() {
            let count = readers.get(&(i, j)).copied().unwrap_or(0);
            if count > 1 {
                let weight = layer.loss_weight.get(j).copied().unwrap_or(0.0);
                if weight != 0.0 {
                    // The first part is the loss; readers get the rest.
                    given.insert((i, j), 1);
                    layer.loss_weight[j] = 0.0;
                }
                splits.push(split(&layer, j, count, weight));
            }
        }
        out.push(layer);
        out.extend(splits);
    }
    Ok(out)
}

/// How many read each version.
type Readers = HashMap<Version, usize>;

/// For each layer the versions that it reads, and for each version how many read it.
fn connect(layers: &[LayerParameter]) -> Result<(Vec<Vec<Version>>, Readers), NetError> {
    let mut latest: HashMap<&str, Version> = HashMap::new();
    let mut readers = Readers::new();
    let mut sources = Vec::with_capacity(layers.len());
    for (i, layer) in layers.iter().enumerate() {
        let mut read = Vec::with_capacity(layer.bottom.len());
        for (j, bottom) in layer.bottom.iter().enumerate() {
            let Some(&version) = latest.get(bottom.as_str()) else {
                let below = layers[i..].iter().find(|l| l.top.contains(bottom));
                return Err(unknown_bottom(layer, j, below.map(|l| l.name()), latest.keys().copied()));
            };
            *readers.entry(version).or_default() += 1;
            read.push(version);
        }
        sources.push(read);
        for (j, top) in layer.top.iter().enumerate() {
            let Some(version) = sources[i].get(j).filter(|_| layer.bottom[j] == *top) else { continue };
            if readers[version] > 1 {
                let other = sources[..i].iter().position(|read| read.contains(version));
                return Err(in_place_beside(layer, j, other.map(|other| layers[other].name())));
            }
        }
        for (j, top) in layer.top.iter().enumerate() {
            latest.insert(top, (i, j));
            if layer.loss_weight.get(j).is_some_and(|&w| w != 0.0) {
                *readers.entry((i, j)).or_default() += 1;
            }
        }
    }
    Ok((sources, readers))
}

/// Bottom `j`, which no layer above makes; `below` is a layer further down that does.
pub(in crate::net) fn unknown_bottom<'a>(
    layer: &LayerParameter,
    j: usize,
    below: Option<&str>,
    known: impl Iterator<Item = &'a str>,
) -> NetError {
    let bottom = &layer.bottom[j];
    let hint = match below {
        Some(below) if below == layer.name() => "; the layer makes it itself".into(),
        Some(below) => format!("; layer `{below}`, further down, makes it: layers must stand in order"),
        None => config::or_did_you_mean(bottom, known),
    };
    NetError::layer(
        layer,
        format!("bottom[{j}]"),
        format!("bottom `{bottom}` is not produced by any layer above{hint}"),
    )
}

/// An in-place layer whose blob is read by layer `other` above, too, by itself once more, or counts as a loss.
pub(in crate::net) fn in_place_beside(layer: &LayerParameter, j: usize, other: Option<&str>) -> NetError {
    let top = &layer.top[j];
    let why = match other {
        Some(other) => format!("layer `{other}` reads, too"),
        None if layer.bottom.iter().filter(|bottom| *bottom == top).count() > 1 => {
            "it reads twice".to_owned()
        }
        None => "counts as a loss".to_owned(),
    };
    let message = format!("works in place on `{top}`, which {why}; give its top another name");
    NetError::layer(layer, format!("top[{j}]"), message)
}

fn split_name(blob: &str, layer: &str, top: usize) -> String {
    format!("{blob}_{layer}_{top}_split")
}

fn split(layer: &LayerParameter, top: usize, count: usize, weight: f32) -> LayerParameter {
    let blob = &layer.top[top];
    let name = split_name(blob, layer.name(), top);
    let weights =
        if weight == 0.0 { vec![] } else { (0..count).map(|k| if k == 0 { weight } else { 0.0 }).collect() };
    LayerParameter {
        top: (0..count).map(|k| format!("{name}_{k}")).collect(),
        name: Some(name),
        r#type: Some("Split".into()),
        bottom: vec![blob.clone()],
        loss_weight: weights,
        cnnctl_origin: layer.cnnctl_origin,
        ..LayerParameter::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, bottom: &[&str], top: &[&str], loss: &[f32]) -> LayerParameter {
        LayerParameter {
            name: Some(name.into()),
            bottom: bottom.iter().map(|s| s.to_string()).collect(),
            top: top.iter().map(|s| s.to_string()).collect(),
            loss_weight: loss.to_vec(),
            ..LayerParameter::default()
        }
    }

    fn show(layers: &[LayerParameter]) -> Vec<String> {
        layers
            .iter()
            .map(|l| format!("{}: {} -> {}", l.name(), l.bottom.join(" "), l.top.join(" ")))
            .collect()
    }

    #[test]
    fn a_blob_with_one_reader_stays() {
        let net = vec![
            layer("a", &[], &["x"], &[]),
            layer("b", &["x"], &["x"], &[]),
            layer("c", &["x"], &["y"], &[]),
        ];
        assert_eq!(insert_splits(net.clone()).unwrap(), net);
    }

    #[test]
    fn each_version_of_a_blob_is_split_by_itself() {
        let net = vec![
            layer("a", &[], &["w", "x"], &[]),
            layer("b", &["x"], &["y"], &[]),
            layer("r", &["w"], &["w"], &[]),
            layer("s", &["x"], &["v"], &[]),
            layer("c", &["w", "w"], &["z"], &[]),
        ];
        assert_eq!(
            show(&insert_splits(net).unwrap()),
            [
                "a:  -> w x",
                "x_a_1_split: x -> x_a_1_split_0 x_a_1_split_1",
                "b: x_a_1_split_0 -> y",
                "r: w -> w",
                "w_r_0_split: w -> w_r_0_split_0 w_r_0_split_1",
                "s: x_a_1_split_1 -> v",
                "c: w_r_0_split_0 w_r_0_split_1 -> z",
            ]
        );
    }

    #[test]
    fn a_loss_that_is_read_moves_its_weight_to_the_split() {
        let net = vec![layer("a", &[], &["x"], &[3.0]), layer("b", &["x"], &["y"], &[])];
        let out = insert_splits(net).unwrap();
        assert_eq!(show(&out)[1], "x_a_0_split: x -> x_a_0_split_0 x_a_0_split_1");
        // A weight of 0 that is written, since a loss without one counts with 1.
        assert_eq!((out[0].loss_weight.len(), &out[1].loss_weight[..]), (1, &[3.0, 0.0][..]));
        assert_eq!(out[2].bottom, ["x_a_0_split_1"]);
    }

    #[test]
    fn an_unknown_bottom_is_named_with_a_hint() {
        let message = |net| insert_splits(net).unwrap_err().to_string();
        let typo = message(vec![layer("a", &[], &["data"], &[]), layer("b", &["dat"], &["y"], &[])]);
        assert!(typo.contains("layer `b`") && typo.contains("did you mean `data`?"), "{typo}");
        let order = message(vec![layer("b", &["x"], &["y"], &[]), layer("a", &[], &["x"], &[])]);
        assert!(order.contains("layer `a`, further down, makes it"), "{order}");
    }

    #[test]
    fn an_in_place_layer_is_the_only_reader_of_its_blob() {
        let message = |net| insert_splits(net).unwrap_err().to_string();
        let data = |loss: &[f32]| layer("a", &[], &["x"], loss);
        let in_place = |bottom: &[&str]| layer("f", bottom, &["x"], &[]);
        let other = message(vec![data(&[]), layer("s", &["x"], &["y"], &[]), in_place(&["x"])]);
        assert_eq!(
            other,
            "layer `f`: works in place on `x`, which layer `s` reads, too; give its top another name"
        );
        let twice = message(vec![data(&[]), in_place(&["x", "x"])]);
        assert!(twice.contains("on `x`, which it reads twice"), "{twice}");
        let loss = message(vec![data(&[1.0]), in_place(&["x"])]);
        assert!(loss.contains("on `x`, which counts as a loss"), "{loss}");
        // Whoever reads it later reads what the layer has made of it.
        let net = vec![data(&[]), in_place(&["x"]), layer("s", &["x"], &["y"], &[])];
        assert_eq!(insert_splits(net.clone()).unwrap(), net);
    }
}
