//! What a file of weights holds, whatever its format: what is read of one, and what is written to one.

use crc32fast::Hasher;
use prost::Message as _;

use super::{Array, BlobValues, Format, digest};
use crate::{
    config::proto::NetParameter,
    net::{LayerView, Net, Param, Params},
    tensor::Shape,
};

/// The blobs of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerBlobs {
    /// The layer's name.
    pub name: String,
    /// Its blobs, in order; HDF5 leaves out those that another layer owns.
    pub blobs: Vec<Option<BlobValues>>,
}

impl LayerBlobs {
    /// The shapes of those that are there.
    pub fn shapes(&self) -> Vec<Shape> {
        self.blobs.iter().flatten().map(|blob| blob.shape.clone()).collect()
    }
}

/// What a file of weights holds.
pub(super) struct Content {
    /// The layers that have blobs.
    pub layers: Vec<LayerBlobs>,
    /// The net before filtering, as bytes.
    pub source_net: Option<Vec<u8>>,
    /// The checksum of both.
    pub checksum: Option<u32>,
}

impl Content {
    /// Whether it does not fit its checksum.
    pub fn changed(&self) -> bool {
        let blobs = self.layers.iter().flat_map(numbered);
        self.checksum.is_some_and(|sum| sum != checksum(blobs, self.source_net.as_deref()))
    }
}

/// A file of weights to be written.
#[derive(Clone, Copy)]
pub struct WeightsToSave<'a> {
    /// The net that is trained.
    pub net: &'a Net,
    /// Its parameters.
    pub params: &'a Params,
    /// The net before filtering by phase.
    pub source: &'a NetParameter,
    /// Whether diffs are saved too.
    pub diff: bool,
}

impl WeightsToSave<'_> {
    /// A layer's parameter `i` as an array of the layer's shape.
    pub(super) fn array<'b>(&'b self, layer: &LayerView<'b>, i: usize) -> Array<'b> {
        let (param, shape) = (&self.params[layer.params[i]], &layer.outline.params[i].shape);
        Array { shape, data: &param.data, diff: self.diff.then_some(&param.diff) }
    }

    /// The checksum of what the format holds: HDF5 leaves out shared blobs.
    pub(super) fn checksum(&self, format: Format, source_net: &[u8]) -> u32 {
        let layers: Vec<_> = self.net.layers().collect();
        let blobs = layers.iter().flat_map(|layer| {
            let params = layer.params.iter().map(|&id| &self.params[id]).enumerate();
            let held = params.filter(move |(i, p)| format == Format::BinaryProto || owns(layer, *i, p));
            held.map(|(i, p)| {
                let shape = &layer.outline.params[i].shape[..];
                (layer.config.name(), i, shape, digest::of_values(&p.data))
            })
        });
        checksum(blobs, Some(source_net))
    }

    /// The net before filtering, as bytes.
    pub fn source_bytes(&self) -> Vec<u8> {
        let mut net = self.source.clone();
        // These numbers only mean something beside its text.
        net.layer.iter_mut().for_each(|l| l.cnnctl_origin = None);
        net.encode_to_vec()
    }
}

/// Whether a layer's parameter `i` is its own, and not one that another layer shares with it.
pub(super) fn owns(layer: &LayerView<'_>, i: usize, param: &Param) -> bool {
    param.owner.0 == layer.config.name() && param.owner.1 == i
}

/// A blob's layer, its number in it, its shape and what its values hash to.
type Numbered<'a> = (&'a str, usize, &'a [usize], Hasher);

fn numbered(layer: &LayerBlobs) -> impl Iterator<Item = Numbered<'_>> {
    let blobs = layer.blobs.iter().enumerate();
    blobs.filter_map(|(i, blob)| {
        let BlobValues { shape, values, .. } = blob.as_ref()?;
        Some((&layer.name[..], i, &shape[..], values.hash().clone()))
    })
}

/// The checksum of these blobs and this net.
fn checksum<'a>(blobs: impl Iterator<Item = Numbered<'a>>, source_net: Option<&[u8]>) -> u32 {
    let start = source_net.map_or(0, crc32fast::hash);
    blobs.fold(start, |sum, (layer, i, shape, values)| {
        sum.wrapping_add(digest::of_blob(layer, i, shape, &values))
    })
}
