//! What a converter is given: a layer between its blobs, and the graph to add to.

use std::collections::HashMap;

use super::graph::{Graph, Value};
use crate::{
    config::proto::LayerParameter,
    layers::LayerError,
    net::{LayerView, Param, ParamId, Params},
    tensor::Shape,
};

/// A layer that is to become nodes.
pub struct Scene<'a> {
    /// Where the nodes go.
    pub graph: &'a mut Graph,
    /// The layer.
    pub layer: LayerView<'a>,
    /// What it reads.
    pub bottoms: Vec<Value>,
    /// The shapes of what it makes.
    pub tops: Vec<Shape>,
    /// The parameters of the net, and the names of their tensors.
    pub params: &'a Params,
    /// By number.
    pub names: &'a HashMap<ParamId, String>,
    /// What the user must know.
    pub notes: &'a mut Vec<String>,
}

/// What a layer's tops become, or why ONNX cannot say it.
pub type Converted = Result<Vec<Value>, LayerError>;

/// Turns a layer into nodes.
pub type Convert = fn(&mut Scene<'_>) -> Converted;

impl<'a> Scene<'a> {
    /// The layer's settings.
    pub fn config(&self) -> &'a LayerParameter {
        self.layer.config
    }

    /// The first bottom.
    pub fn x(&self) -> Value {
        self.bottoms[0].clone()
    }

    /// A parameter.
    pub fn param(&self, i: usize) -> &'a Param {
        &self.params[self.layer.params[i]]
    }

    /// Whether the layer has such a parameter.
    pub fn has_param(&self, i: usize) -> bool {
        i < self.layer.params.len()
    }

    /// A parameter in Caffe's shape.
    pub fn weight(&mut self, i: usize) -> Value {
        let shape = self.layer.outline.params[i].shape.clone();
        self.weight_as(i, shape)
    }

    /// A parameter in another shape.
    pub fn weight_as(&mut self, i: usize, shape: impl Into<Shape>) -> Value {
        let id = self.layer.params[i];
        let name = self.names.get(&id).map_or("weight", |name| name);
        self.graph.weight(name, id, shape.into())
    }

    /// The axis that a setting names in the first bottom; the net has checked that it is there.
    pub fn axis(&self, axis: i32) -> usize {
        self.bottoms[0].shape.axis(axis).unwrap_or(0)
    }
}

/// The one top of most layers.
pub fn one(value: Value) -> Converted {
    Ok(vec![value])
}
