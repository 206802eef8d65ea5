//! Files of weights: `NetParameter`s whose layers carry blobs.

use std::{fs, path::Path};

use prost::Message as _;

use super::{BlobValues, SnapshotError, read_blob, write_blob};
use crate::{
    config::{
        self,
        proto::{NetParameter, SolverState},
    },
    net::{Net, NetError, Params},
};

/// The blobs of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerBlobs {
    /// The layer's name.
    pub name: String,
    /// Its blobs, in order.
    pub blobs: Vec<BlobValues>,
}

/// A file of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The layers that have blobs.
    pub layers: Vec<LayerBlobs>,
    /// The net before filtering by phase, which our own snapshots carry and Caffe's do not.
    pub source_net: Option<NetParameter>,
}

/// What became of the layers when weights were copied into a net.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Layers of the net that took their blobs from the file.
    pub loaded: Vec<String>,
    /// Layers of the file that the net does not have.
    pub ignored: Vec<String>,
    /// Layers of the net with parameters that the file does not have.
    pub missing: Vec<String>,
}

impl Copied {
    /// After a further file was laid over this one: what both leave without weights, what either does not use.
    pub fn then(mut self, next: Self) -> Self {
        self.missing.retain(|name| next.missing.contains(name));
        self.loaded.extend(next.loaded);
        self.ignored.extend(next.ignored);
        self
    }

    /// What does not match, in words, if anything.
    pub fn mismatch(&self) -> Option<String> {
        let list = |names: &[String]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        let missing = (!self.missing.is_empty()).then(|| format!("no weights for {}", list(&self.missing)));
        let ignored = (!self.ignored.is_empty())
            .then(|| format!("weights of layers that the net does not have: {}", list(&self.ignored)));
        let parts: Vec<String> = missing.into_iter().chain(ignored).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl Weights {
    /// Reads a file of weights; its content decides the format.
    ///
    /// # Errors
    /// When it cannot be read, or is not a whole file of weights.
    pub fn load(path: &Path) -> Result<Self, SnapshotError> {
        let bytes = fs::read(path).map_err(SnapshotError::io("read", path))?;
        Self::decode(&bytes).map_err(|message| SnapshotError::content(path, message))
    }

    /// Reads the file of weights that a solver state belongs to: one that has this CRC-32.
    ///
    /// # Errors
    /// As [`Weights::load`], and when the file is not the one that was written with the state.
    pub fn load_checked(path: &Path, checksum: u32) -> Result<Self, SnapshotError> {
        let bytes = fs::read(path).map_err(SnapshotError::io("read", path))?;
        if crc32fast::hash(&bytes) != checksum {
            let message = "is damaged, or not the file that was written with the solver state; start from its \
                           weights alone with --weights";
            return Err(SnapshotError::content(path, message));
        }
        Self::decode(&bytes).map_err(|message| SnapshotError::content(path, message))
    }

    /// Reads the bytes of a file of weights.
    ///
    /// # Errors
    /// Says what is wrong when they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let net = NetParameter::decode(bytes).map_err(|e| match SolverState::decode(bytes) {
            Ok(state) if state.iter.is_some() => {
                format!(
                    "is a solver state, not a file of weights; its weights are in {}",
                    state.learned_net()
                )
            }
            _ => {
                format!("not a file of weights, or a damaged one: it does not decode as a NetParameter ({e})")
            }
        })?;
        let source_net = match &net.cnnctl_source_net {
            Some(bytes) => Some(
                NetParameter::decode(&bytes[..]).map_err(|e| format!("its embedded net is damaged ({e})"))?,
            ),
            None => None,
        };
        let net = config::net_from_param(net).map_err(|e| e.to_string())?.net;
        let mut layers = Vec::new();
        for layer in net.layer.into_iter().filter(|l| !l.blobs.is_empty()) {
            let name = layer.name().to_owned();
            let blobs = layer.blobs.into_iter().map(read_blob).collect::<Result<_, _>>();
            layers.push(LayerBlobs { blobs: blobs.map_err(|e| format!("layer `{name}`: {e}"))?, name });
        }
        if layers.is_empty() && source_net.is_none() {
            return Err("holds no weights".into());
        }
        Ok(Self { layers, source_net })
    }

    /// Copies the blobs into the layers of the same name, as Caffe does.
    ///
    /// # Errors
    /// When a layer of that name has parameters of another number or shape.
    pub fn copy_into(&self, net: &Net, params: &mut Params) -> Result<Copied, NetError> {
        let mut copied = Copied::default();
        for layer in net.layers().filter(|l| !l.params.is_empty()) {
            let name = layer.config.name();
            let Some(saved) = self.layers.iter().find(|l| l.name == name) else {
                copied.missing.push(name.to_owned());
                continue;
            };
            if saved.blobs.len() != layer.params.len() {
                let message = format!(
                    "has {} parameters, but {} in the file of weights",
                    layer.params.len(),
                    saved.blobs.len()
                );
                return Err(NetError::layer(layer.config, "", message));
            }
            for (i, (blob, &id)) in saved.blobs.iter().zip(layer.params).enumerate() {
                if !blob.fits(&params[id].shape) {
                    let message = format!(
                        "cannot copy parameter {i}: its shape is {}, but {} in the file of weights; to learn this \
                         layer anew, give it another name",
                        params[id].shape, blob.shape
                    );
                    return Err(NetError::layer(layer.config, "", message));
                }
                params[id].data.copy_from_slice(&blob.values);
            }
            copied.loaded.push(name.to_owned());
        }
        let known = |name: &str| net.layers().any(|l| l.config.name() == name);
        copied.ignored = self.layers.iter().map(|l| &l.name).filter(|n| !known(n)).cloned().collect();
        Ok(copied)
    }
}

/// The bytes of a file of weights of `net`; with diffs when `diff` asks for them.
pub fn encode_weights(net: &Net, params: &Params, source: &NetParameter, diff: bool) -> Vec<u8> {
    let layer = net
        .layers()
        .map(|l| {
            let mut config = l.config.clone();
            config.cnnctl_origin = None;
            config.blobs = (l.params.iter())
                .map(|&id| {
                    write_blob(&params[id].shape, &params[id].data, diff.then_some(&params[id].diff[..]))
                })
                .collect();
            config
        })
        .collect();
    let file = NetParameter {
        name: Some(net.name().to_owned()),
        layer,
        cnnctl_source_net: Some(without_origins(source).encode_to_vec()),
        ..NetParameter::default()
    };
    file.encode_to_vec()
}

/// `net` without the numbers that only mean something beside its text.
pub(super) fn without_origins(net: &NetParameter) -> NetParameter {
    let mut net = net.clone();
    net.layer.iter_mut().for_each(|l| l.cnnctl_origin = None);
    net
}
