//! The file: the graph as protobuf, and the weights written from where they are.

use std::io::{self, Write};

use prost::Message as _;

use super::{
    graph::{Weight, dims},
    proto::{GraphProto, ModelProto, StringStringEntryProto, TensorProto, tensor_proto},
};
use crate::{
    net::Params,
    snapshot::wire::{field_len, packed, start_field},
};

/// Fields of `ModelProto`, `GraphProto` and `TensorProto`.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
const RAW_DATA: u32 = 9;

/// More than programs read of one protobuf file.
const LARGEST: usize = i32::MAX as usize;
/// Weights of fewer bytes stay in the graph.
const SMALL: usize = 1024;
/// What offsets in a file of weights are a multiple of, so that it can be mapped into memory.
const PAGE: usize = 4096;

/// A net as ONNX.
#[derive(Clone, Debug)]
pub struct Onnx {
    /// All but the graph.
    pub(super) model: ModelProto,
    /// The graph without its weights.
    pub(super) graph: GraphProto,
    /// The weights.
    pub(super) weights: Vec<Weight>,
    /// What the user must know.
    pub notes: Vec<String>,
}

impl Onnx {
    /// Whether the model is more than one protobuf file can hold: its weights then need a file of their own.
    pub fn is_large(&self) -> bool {
        let weights: usize = self.weights.iter().map(|w| w.shape.count().saturating_mul(4)).sum();
        weights.saturating_add(self.graph.encoded_len()).saturating_add(1 << 20) > LARGEST
    }

    /// How many nodes and weights there are.
    pub fn size(&self) -> (usize, usize) {
        (self.graph.node.len(), self.weights.len())
    }

    /// The names of what goes in, and of what comes out.
    pub fn ends(&self) -> [Vec<&str>; 2] {
        [&self.graph.input, &self.graph.output].map(|infos| infos.iter().map(|info| info.name()).collect())
    }

    /// Writes the model. With `external`, the name of a file beside it, all but small weights are left to
    /// [`Onnx::write_weights`].
    pub fn write(&self, params: &Params, external: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
        let places = external.map(|_| self.places());
        let heads: Vec<Vec<u8>> = (self.weights.iter().enumerate())
            .map(|(i, weight)| {
                let place = places.as_ref().and_then(|places| places[i]);
                head(weight, external.zip(place)).encode_to_vec()
            })
            .collect();
        let inside = |i: usize| places.as_ref().is_none_or(|places| places[i].is_none());
        let lengths: Vec<usize> = (self.weights.iter().zip(&heads).enumerate())
            .map(|(i, (weight, head))| {
                head.len() + if inside(i) { field_len(RAW_DATA, 4 * weight.shape.count()) } else { 0 }
            })
            .collect();
        let graph = self.graph.encode_to_vec();
        let weights: usize = lengths.iter().map(|&len| field_len(INITIALIZER, len)).sum();
        out.write_all(&self.model.encode_to_vec())?;
        start_field(GRAPH, graph.len() + weights, out)?;
        out.write_all(&graph)?;
        for (i, weight) in self.weights.iter().enumerate() {
            start_field(INITIALIZER, lengths[i], out)?;
            out.write_all(&heads[i])?;
            if inside(i) {
                start_field(RAW_DATA, 4 * weight.shape.count(), out)?;
                out.write_all(&packed(&params[weight.param].data))?;
            }
        }
        Ok(())
    }

    /// Writes the file of weights that goes with a model that was written with `external`.
    pub fn write_weights(&self, params: &Params, out: &mut dyn Write) -> io::Result<()> {
        let mut end = 0;
        for (weight, place) in self.weights.iter().zip(self.places()) {
            let Some(place) = place else { continue };
            out.write_all(&vec![0; place - end])?;
            out.write_all(&packed(&params[weight.param].data))?;
            end = place + 4 * weight.shape.count();
        }
        Ok(())
    }

    /// Where each weight begins in the file of weights; small ones are not there.
    fn places(&self) -> Vec<Option<usize>> {
        let mut end = 0usize;
        let place = |weight: &Weight| {
            let len = 4 * weight.shape.count();
            (len >= SMALL).then(|| {
                let start = end.next_multiple_of(PAGE);
                end = start + len;
                start
            })
        };
        self.weights.iter().map(place).collect()
    }
}

/// A weight without its values; with the file and the place in it where they are, if they are in another.
fn head(weight: &Weight, external: Option<(&str, usize)>) -> TensorProto {
    let entry =
        |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
    let mut tensor = TensorProto {
        dims: dims(&weight.shape),
        data_type: Some(tensor_proto::DataType::Float as i32),
        name: Some(weight.name.clone()),
        ..TensorProto::default()
    };
    if let Some((file, offset)) = external {
        tensor.external_data = vec![
            entry("location", file.to_owned()),
            entry("offset", offset.to_string()),
            entry("length", (4 * weight.shape.count()).to_string()),
        ];
        tensor.data_location = Some(tensor_proto::DataLocation::External as i32);
    }
    tensor
}
