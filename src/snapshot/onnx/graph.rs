//! A graph under construction: nodes between values, constants, and weights that stay where they are.

use std::collections::{HashMap, HashSet};

use super::proto::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};
use crate::{net::ParamId, tensor::Shape};

/// A value: what a node makes, an input, a constant or a weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
}

/// A weight of the net as an initializer; its values are written from the store of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Its name.
    pub name: String,
    /// Its shape in the graph: as many values as the parameter has.
    pub shape: Shape,
    /// Its number in the store.
    pub param: ParamId,
}

/// A graph under construction.
#[derive(Default)]
pub struct Graph {
    /// The nodes, in order.
    pub nodes: Vec<NodeProto>,
    /// Constants other than weights.
    pub constants: Vec<TensorProto>,
    /// Weights.
    pub weights: Vec<Weight>,
    taken: HashSet<String>,
    scope: String,
}

impl Graph {
    /// What is made from now on belongs to this layer: names begin with its name.
    pub fn enter(&mut self, layer: &str) {
        layer.clone_into(&mut self.scope);
    }

    /// Takes `name`, or one like it if it is taken.
    pub fn take(&mut self, name: &str) -> String {
        let mut free = name.to_owned();
        let mut number = 2;
        while !self.taken.insert(free.clone()) {
            free = format!("{name}_{number}");
            number += 1;
        }
        free
    }

    /// Whether a name is still to be had.
    pub fn is_free(&self, name: &str) -> bool {
        !self.taken.contains(name)
    }

    fn fresh(&mut self, what: &str) -> String {
        let name = format!("{}.{what}", self.scope);
        self.take(&name)
    }

    /// A value that a node makes of others.
    pub fn op(
        &mut self,
        kind: &str,
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
        shape: impl Into<Shape>,
    ) -> Value {
        let name = self.fresh(&kind.to_lowercase());
        self.node(kind, inputs, vec![name.clone()], attributes);
        Value { name, shape: shape.into() }
    }

    /// Several values that one node makes of others.
    pub fn ops(
        &mut self,
        kind: &str,
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
        shapes: &[Shape],
    ) -> Vec<Value> {
        let values: Vec<Value> = shapes
            .iter()
            .map(|shape| Value { name: self.fresh(&kind.to_lowercase()), shape: shape.clone() })
            .collect();
        let outputs = values.iter().map(|v| v.name.clone()).collect();
        self.node(kind, inputs, outputs, attributes);
        values
    }

    /// A node with outputs of these names, which are taken already.
    pub fn node(
        &mut self,
        kind: &str,
        inputs: &[&Value],
        outputs: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|v| v.name.clone()).collect(),
            name: outputs.first().cloned(),
            output: outputs,
            op_type: Some(kind.to_owned()),
            attribute,
            ..NodeProto::default()
        });
    }

    /// A constant of float32.
    pub fn floats(&mut self, what: &str, shape: impl Into<Shape>, values: &[f32]) -> Value {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(what, shape.into(), DataType::Float, bytes)
    }

    /// A constant of one float32, without axes.
    pub fn scalar(&mut self, what: &str, value: f32) -> Value {
        self.floats(what, Shape::default(), &[value])
    }

    /// A constant list of int64.
    pub fn ints(&mut self, what: &str, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(what, Shape::from([values.len()]), DataType::Int64, bytes)
    }

    fn constant(&mut self, what: &str, shape: Shape, kind: DataType, bytes: Vec<u8>) -> Value {
        let name = self.fresh(what);
        self.constants.push(TensorProto {
            dims: dims(&shape),
            data_type: Some(kind as i32),
            name: Some(name.clone()),
            raw_data: Some(bytes),
            ..TensorProto::default()
        });
        Value { name, shape }
    }

    /// A weight under this name, in this shape; the same value again if it is there already.
    pub fn weight(&mut self, name: &str, param: ParamId, shape: Shape) -> Value {
        if let Some(known) = self.weights.iter().find(|w| w.param == param && w.shape == shape) {
            return Value { name: known.name.clone(), shape };
        }
        let name = self.take(name);
        self.weights.push(Weight { name: name.clone(), shape: shape.clone(), param });
        Value { name, shape }
    }

    /// The same values in another shape. The first axis, which counts samples, is not fixed where that can be helped.
    pub fn reshape(&mut self, x: &Value, to: impl Into<Shape>) -> Value {
        let to = to.into();
        if x.shape == to {
            return x.clone();
        }
        let mut target = dims(&to);
        if let Some(first) = target.first_mut()
            && to.count() > 0
        {
            // 0 copies the side, -1 is worked out from the others.
            *first = if x.shape.first() == to.first() { 0 } else { -1 };
        }
        let target = self.ints("shape", &target);
        self.op("Reshape", &[x, &target], vec![], to)
    }

    /// `scale` * x + `shift`, without what changes nothing.
    pub fn affine(&mut self, x: &Value, scale: f32, shift: f32) -> Value {
        let mut y = x.clone();
        if scale != 1.0 {
            let scale = self.scalar("scale", scale);
            y = self.op("Mul", &[&y, &scale], vec![], x.shape.clone());
        }
        if shift != 0.0 {
            let shift = self.scalar("shift", shift);
            y = self.op("Add", &[&y, &shift], vec![], x.shape.clone());
        }
        y
    }

    /// A node of one input and one output of one shape.
    pub fn map(&mut self, kind: &str, x: &Value) -> Value {
        self.op(kind, &[x], vec![], x.shape.clone())
    }

    /// A node of two inputs, of which the second is stretched to the first's shape.
    pub fn zip(&mut self, kind: &str, a: &Value, b: &Value) -> Value {
        self.op(kind, &[a, b], vec![], a.shape.clone())
    }

    /// The part of x from `start` up to `end` along `axis`, every `step`-th.
    pub fn part(&mut self, x: &Value, axis: usize, [start, end, step]: [i64; 3], len: usize) -> Value {
        let [start, end] = [("start", start), ("end", end)].map(|(what, at)| self.ints(what, &[at]));
        let (axes, step) = (self.ints("axes", &[axis as i64]), self.ints("step", &[step]));
        let mut shape = x.shape.to_vec();
        shape[axis] = len;
        self.op("Slice", &[x, &start, &end, &axes, &step], vec![], shape)
    }

    /// The mean over these axes, which stay with a length of 1.
    pub fn mean(&mut self, x: &Value, axes: &[usize]) -> Value {
        let mut shape = x.shape.to_vec();
        axes.iter().for_each(|&axis| shape[axis] = 1);
        self.op("ReduceMean", &[x], vec![ints("axes", axes), int("keepdims", 1)], shape)
    }

    /// x as numbers of another type.
    pub fn cast(&mut self, x: &Value, to: DataType) -> Value {
        self.op("Cast", &[x], vec![int("to", to as i64)], x.shape.clone())
    }

    /// The nodes that `make` adds, as a graph of their own between the values that it gives.
    pub fn body(&mut self, make: impl FnOnce(&mut Self) -> (Vec<Value>, Vec<Value>)) -> GraphProto {
        let outer = std::mem::take(&mut self.nodes);
        let (inputs, outputs) = make(self);
        let node = std::mem::replace(&mut self.nodes, outer);
        let info = |values: Vec<Value>| values.iter().map(|v| info(&v.name, &v.shape)).collect();
        GraphProto {
            node,
            name: Some(self.fresh("body")),
            input: info(inputs),
            output: info(outputs),
            ..GraphProto::default()
        }
    }

    /// A value that a node of `body` finds: an input of its.
    pub fn body_input(&mut self, what: &str, shape: impl Into<Shape>) -> Value {
        Value { name: self.fresh(what), shape: shape.into() }
    }

    /// Gives values other names.
    pub fn rename(&mut self, names: &HashMap<String, String>) {
        self.nodes.iter_mut().for_each(|node| rename(node, names));
    }
}

fn rename(node: &mut NodeProto, names: &HashMap<String, String>) {
    for name in node.input.iter_mut().chain(&mut node.output).chain(&mut node.name) {
        if let Some(new) = names.get(name) {
            new.clone_into(name);
        }
    }
    let bodies = node.attribute.iter_mut().filter_map(|a| a.g.as_mut());
    bodies.flat_map(|body| &mut body.node).for_each(|node| rename(node, names));
}

/// A shape as ONNX gives it.
pub fn dims(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&side| side as i64).collect()
}

/// A value of float32 with its name and shape.
pub fn info(name: &str, shape: &Shape) -> ValueInfoProto {
    let dim = dims(shape).into_iter().map(|side| Dimension { value: Some(dimension::Value::DimValue(side)) });
    let tensor = type_proto::Tensor {
        elem_type: Some(DataType::Float as i32),
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)) }),
        ..ValueInfoProto::default()
    }
}

/// The same, with a first axis whose length shows only when the graph runs.
pub fn varying(mut info: ValueInfoProto) -> ValueInfoProto {
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_mut().and_then(|t| t.value.as_mut())
    else {
        return info;
    };
    if let Some(first) = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut()) {
        first.value = Some(dimension::Value::DimParam("selected".into()));
    }
    info
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(kind as i32), ..AttributeProto::default() }
}

/// An attribute that is a whole number.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

/// An attribute that is a list of whole numbers.
pub fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto { ints: dims(values), ..attribute(name, AttributeType::Ints) }
}

/// An attribute that is a number.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::Float) }
}

/// An attribute that is a word.
pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.as_bytes().to_vec()), ..attribute(name, AttributeType::String) }
}

/// An attribute that is a graph.
pub fn graph(name: &str, value: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(value), ..attribute(name, AttributeType::Graph) }
}
