//! Gives every version of a blob a number, and checks how many bottoms and tops each layer has.

use std::collections::HashMap;

use crate::{
    config::{self, proto::LayerParameter},
    layers::{self, Arity, Kind, LAYERS, Role},
    net::NetError,
};

/// The name of a loss that its layer leaves unnamed.
pub(in crate::net) const AUTOMATIC: &str = "(automatic)";

/// A layer between its blobs.
pub struct Wired {
    /// Its settings.
    pub config: LayerParameter,
    /// Its type.
    pub kind: &'static Kind,
    /// The blobs that it reads, by number.
    pub bottoms: Vec<usize>,
    /// The blobs that it makes, by number. A top with its bottom's name is a new version: a blob of its own.
    pub tops: Vec<usize>,
    /// For each top, its weight in the net's loss.
    pub loss_weights: Vec<f32>,
}

/// The wired layers, and the blobs' names by number.
pub struct Wiring {
    /// In order.
    pub layers: Vec<Wired>,
    /// In order of making; versions of a blob share the name.
    pub blobs: Vec<String>,
}

/// Wires layers that [`super::split::insert_splits`] has gone over.
///
/// # Errors
/// For unknown types, wrong numbers of bottoms or tops, and blobs that two layers make.
pub fn wire(layers: Vec<LayerParameter>) -> Result<Wiring, NetError> {
    let mut wiring = Wiring { layers: Vec::with_capacity(layers.len()), blobs: Vec::new() };
    let mut latest: HashMap<String, usize> = HashMap::new();
    for mut config in layers {
        let kind = kind_of(&config)?;
        name_loss(&mut config, kind);
        check_arity(&config, kind)?;
        let mut bottoms = Vec::with_capacity(config.bottom.len());
        for (j, bottom) in config.bottom.iter().enumerate() {
            let message = || format!("bottom `{bottom}` is not produced by any layer above");
            let id = latest
                .get(bottom)
                .ok_or_else(|| NetError::layer(&config, format!("bottom[{j}]"), message()))?;
            bottoms.push(*id);
        }
        let mut tops = Vec::with_capacity(config.top.len());
        for (j, top) in config.top.iter().enumerate() {
            let in_place = config.bottom.get(j) == Some(top);
            if !in_place && latest.contains_key(top) && top != AUTOMATIC {
                return Err(made_already(&config, j));
            }
            tops.push(wiring.blobs.len());
            latest.insert(top.clone(), wiring.blobs.len());
            wiring.blobs.push(top.clone());
        }
        let loss_weights = loss_weights(&config, kind)?;
        wiring.layers.push(Wired { config, kind, bottoms, tops, loss_weights });
    }
    Ok(wiring)
}

/// Gives a loss a top that its settings leave out.
pub(in crate::net) fn name_loss(config: &mut LayerParameter, kind: &Kind) {
    if kind.role == Role::Loss && config.top.len() < kind.tops.least() {
        config.top.push(AUTOMATIC.into());
    }
}

/// A top that an earlier layer makes, too.
pub(in crate::net) fn made_already(config: &LayerParameter, j: usize) -> NetError {
    let message = format!(
        "top `{}` is made by a layer above already; only an in-place layer, with it as bottom {j}, may make it anew",
        config.top[j]
    );
    NetError::layer(config, format!("top[{j}]"), message)
}

/// The type of a layer.
pub(in crate::net) fn kind_of(config: &LayerParameter) -> Result<&'static Kind, NetError> {
    let name = config.r#type();
    if let Some(kind) = layers::kind(name) {
        return Ok(kind);
    }
    let message = if name.is_empty() {
        "has no type".into()
    } else if name == "Python" {
        "type `Python` runs code inside Caffe's own process, which cnnctl does not have; build the layer from the \
         types of `cnnctl layers`, or compute the blob outside and feed it by an Input layer"
            .into()
    } else if let Some((fork, instead)) = config::fork_layer(name) {
        let forks = if fork.contains(" and ") { "the forks" } else { "the fork" };
        format!("type `{name}` is a layer of {forks} {fork} of Caffe that is not supported; {instead}")
    } else {
        let hint = config::or_did_you_mean(name, LAYERS.iter().map(|k| k.name));
        format!("unknown layer type `{name}`{hint}")
    };
    Err(NetError::layer(config, "type", message))
}

/// Refuses wrong numbers of bottoms and tops.
pub(in crate::net) fn check_arity(config: &LayerParameter, kind: &Kind) -> Result<(), NetError> {
    let (bottoms, tops) = (config.bottom.len(), config.top.len());
    let wrong = |what: &str, arity: Arity, found: usize| {
        let (field, found) =
            (format!("{what}[0]"), if found == 0 { "none".into() } else { found.to_string() });
        NetError::layer(config, field, format!("{} takes {arity} {what} blobs, found {found}", kind.name))
    };
    if !kind.bottoms.allows(bottoms, bottoms) {
        return Err(wrong("bottom", kind.bottoms, bottoms));
    }
    if !kind.tops.allows(tops, bottoms) {
        return Err(wrong("top", kind.tops, tops));
    }
    let specs = config.propagate_down.len();
    if specs != 0 && specs != bottoms {
        let message =
            format!("propagate_down is given {specs} times for {bottoms} bottoms; give none or one a bottom");
        return Err(NetError::layer(config, "propagate_down[0]", message));
    }
    Ok(())
}

/// For each top, its weight in the loss.
pub(in crate::net) fn loss_weights(config: &LayerParameter, kind: &Kind) -> Result<Vec<f32>, NetError> {
    let tops = config.top.len();
    match config.loss_weight.len() {
        0 => Ok((0..tops).map(|j| if j == 0 && kind.role == Role::Loss { 1.0 } else { 0.0 }).collect()),
        n if n == tops => Ok(config.loss_weight.clone()),
        n => {
            let message = format!("loss_weight is given {n} times for {tops} tops; give none or one a top");
            Err(NetError::layer(config, "loss_weight[0]", message))
        }
    }
}
