//! Nets as ONNX graphs, for ONNX Runtime and whatever else reads that format.
//!
//! A net in TEST becomes nodes layer by layer: a table says for each layer type what becomes of it. Sources become inputs,
//! losses are left out, blobs keep their names, weights are named as in [`snapshot::tensors`](crate::snapshot::tensors).
//! Where Caffe and ONNX count differently, Caffe's numbers are made of other nodes; what cannot be said is refused with its
//! layer. `scripts/onnx_check.py` compares the results.

mod batch;
mod choice;
mod file;
mod filters;
mod graph;
mod norm;
mod pointwise;
mod proto;
mod recurrent;
mod reduce;
mod resize;
mod scene;
mod shapes;
mod table;
mod windows;

pub use batch::TRIED;
pub use file::Onnx;

use std::collections::{HashMap, HashSet};

use choice::{Choice, is_inserted};
use graph::{Graph, Value, info};
use proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, ValueInfoProto};
use scene::Scene;
use table::Part;

use crate::{
    net::{BlobId, LayerView, Net, NetError, ParamId, Params},
    snapshot::tensors::named_params,
};

/// The version of the schema, and of the operators: what programs of 2020 and later read.
const IR_VERSION: i64 = 7;
const OPSET: i64 = 13;

/// Turns a net into a graph.
///
/// # Errors
/// All layers that ONNX cannot say, each with the reason.
pub fn export(net: &Net, params: &Params) -> Result<Onnx, Vec<NetError>> {
    let names = named_params(net, params).map_err(|e| vec![e])?;
    let names: HashMap<ParamId, String> = names.into_iter().map(|(name, id)| (id, name)).collect();
    let choice = Choice::of(net)?;
    let mut made = Made::default();
    let mut notes = choice.notes.clone();
    let mut wrong = Vec::new();
    for (layer, part) in &choice.layers {
        if layer.kind.name == "Filter" || layer.bottoms.iter().any(|b| made.varying.contains(b)) {
            made.varying.extend(layer.tops);
        }
        match part {
            Part::Input => made.inputs(net, layer, &choice.needed),
            Part::Nodes(convert) => {
                made.graph.enter(layer.config.name());
                let mut scene = Scene {
                    graph: &mut made.graph,
                    layer: *layer,
                    bottoms: layer.bottoms.iter().map(|b| made.values[b].clone()).collect(),
                    tops: layer.tops.iter().map(|&t| net.shape(t).clone()).collect(),
                    params,
                    names: &names,
                    notes: &mut notes,
                };
                match convert(&mut scene) {
                    Ok(values) => made.values.extend(layer.tops.iter().copied().zip(values)),
                    Err(error) => {
                        wrong.push(NetError::of(layer.config, error));
                        // So that the layers above are looked at, too.
                        let value =
                            |&top| (top, Value { name: String::new(), shape: net.shape(top).clone() });
                        made.values.extend(layer.tops.iter().map(value));
                    }
                }
            }
            Part::Sink | Part::Judge => {}
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    made.name_blobs(net, &choice);
    let graph = made.finish(net, &choice);
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
        producer_name: Some("cnnctl".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        metadata_props: vec![StringStringEntryProto {
            key: Some("net".into()),
            value: Some(net.name().into()),
        }],
        ..ModelProto::default()
    };
    Ok(Onnx { model, graph, weights: made.graph.weights, notes })
}

/// What has been made so far.
#[derive(Default)]
struct Made {
    graph: Graph,
    values: HashMap<BlobId, Value>,
    inputs: Vec<ValueInfoProto>,
    /// Values whose first axis is as long as a `Filter` makes it.
    varying: HashSet<BlobId>,
}

impl Made {
    /// A source's tops, as far as they are needed: inputs under the blobs' names.
    fn inputs(&mut self, net: &Net, layer: &LayerView<'_>, needed: &HashSet<BlobId>) {
        for &top in layer.tops.iter().filter(|top| needed.contains(top)) {
            let value = Value { name: self.graph.take(net.blob_name(top)), shape: net.shape(top).clone() };
            self.inputs.push(info(&value.name, &value.shape));
            self.values.insert(top, value);
        }
    }

    /// Names what nodes have made as the blobs that it is; the last version of a blob gets its plain name.
    fn name_blobs(&mut self, net: &Net, choice: &Choice<'_>) {
        let made: HashSet<&String> = self.graph.nodes.iter().flat_map(|node| &node.output).collect();
        let mut blobs: Vec<(BlobId, &str)> = Vec::new();
        for (layer, part) in choice.layers.iter().rev().filter(|(layer, _)| !is_inserted(layer)) {
            if let Part::Nodes(_) = part {
                blobs.extend(layer.tops.iter().map(|&top| (top, layer.config.name())));
            }
        }
        blobs.retain(|(blob, _)| made.contains(&self.values[blob].name));
        let mut names: HashMap<String, String> = HashMap::new();
        for (blob, layer) in blobs {
            let (value, name) = (self.values[&blob].name.clone(), net.blob_name(blob));
            if names.contains_key(&value) {
                continue;
            }
            let new = match self.graph.is_free(name) {
                true => self.graph.take(name),
                false => self.graph.take(&format!("{name}.{layer}")),
            };
            names.insert(value, new);
        }
        self.graph.rename(&names);
        for value in self.values.values_mut() {
            if let Some(new) = names.get(&value.name) {
                new.clone_into(&mut value.name);
            }
        }
    }

    /// A value as the graph tells it.
    fn info(&self, blob: BlobId, value: &Value) -> ValueInfoProto {
        let info = info(&value.name, &value.shape);
        if self.varying.contains(&blob) { graph::varying(info) } else { info }
    }

    /// The graph, with its outputs under the blobs' names.
    fn finish(&mut self, net: &Net, choice: &Choice<'_>) -> GraphProto {
        let mut outputs = Vec::new();
        for &blob in &choice.outputs {
            let (value, name) = (self.values[&blob].clone(), net.blob_name(blob));
            let made = self.graph.nodes.iter().any(|node| node.output.contains(&value.name));
            let known = outputs.iter().any(|o: &ValueInfoProto| o.name() == value.name);
            if made && !known {
                outputs.push(self.info(blob, &value));
                continue;
            }
            // An input, a weight, or what is an output already: under a name of its own.
            let name = self.graph.take(name);
            self.graph.node("Identity", &[&value], vec![name.clone()], vec![]);
            outputs.push(self.info(blob, &Value { name, shape: value.shape }));
        }
        let mut known: HashSet<String> =
            self.inputs.iter().chain(&outputs).map(|info| info.name().to_owned()).collect();
        known.extend(self.graph.weights.iter().map(|w| w.name.clone()));
        let mut value_info = Vec::new();
        for (layer, _) in &choice.layers {
            for &top in layer.tops {
                let Some(value) = self.values.get(&top) else { continue };
                if known.insert(value.name.clone()) {
                    value_info.push(self.info(top, value));
                }
            }
        }
        GraphProto {
            node: std::mem::take(&mut self.graph.nodes),
            name: Some(if net.name().is_empty() { "net".into() } else { net.name().to_owned() }),
            initializer: std::mem::take(&mut self.graph.constants),
            input: std::mem::take(&mut self.inputs),
            output: outputs,
            value_info,
            ..GraphProto::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::{proto::TensorProto, *};
    use crate::{
        config::{net_from_text, proto::Phase},
        net::Options,
    };

    fn net(text: &str) -> (Net, Params) {
        let file = net_from_text("net", text).unwrap();
        let mut params = Params::new();
        let net = Net::planned(&file.net, Options::new(Phase::Test, 1), &mut params).unwrap();
        (net, params)
    }

    fn exported(text: &str) -> (Onnx, Params) {
        let (net, params) = net(text);
        (export(&net, &params).unwrap_or_else(|e| panic!("{e:?}")), params)
    }

    fn refused(text: &str) -> Vec<String> {
        let (net, params) = net(text);
        export(&net, &params).unwrap_err().iter().map(NetError::to_string).collect()
    }

    /// Each node as `inputs -> Kind -> outputs`.
    fn nodes(onnx: &Onnx) -> Vec<String> {
        let node = |n: &proto::NodeProto| {
            format!("{} -> {} -> {}", n.input.join(" "), n.op_type(), n.output.join(" "))
        };
        onnx.graph.node.iter().map(node).collect()
    }

    const NET: &str = "name: 'small'
        layer { name: 'x' type: 'Input' top: 'x' top: 't' input_param { shape { dim: [2, 4, 4, 4] } shape { dim: 2 } } }
        layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'ip'
                inner_product_param { num_output: 30 weight_filler { type: 'xavier' } } }
        layer { name: 'relu' type: 'ReLU' bottom: 'ip' top: 'ip' }
        layer { name: 'drop' type: 'Dropout' bottom: 'ip' top: 'ip' }
        layer { name: 'prob' type: 'Softmax' bottom: 'ip' top: 'prob' }
        layer { name: 'accuracy' type: 'Accuracy' bottom: 'ip' bottom: 't' top: 'accuracy' }
        layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 't' top: 'loss' }";

    #[test]
    fn blobs_and_weights_keep_their_names() {
        let (onnx, _) = exported(NET);
        assert_eq!(
            nodes(&onnx),
            [
                "x -> Flatten -> ip.flatten",
                "ip.flatten ip.weight ip.bias -> Gemm -> ip.ip",
                "ip.ip -> Relu -> ip",
                "ip -> Softmax -> prob",
            ]
        );
        // The label is read by losses alone, and they are left out; what they judge comes out.
        assert_eq!(onnx.ends(), [vec!["x"], vec!["prob", "ip"]]);
        assert_eq!(onnx.notes.len(), 2, "{:?}", onnx.notes);
        assert_eq!(onnx.size(), (4, 2));
    }

    #[test]
    fn what_is_written_is_protobuf() {
        let (onnx, params) = exported(NET);
        let mut bytes = Vec::new();
        onnx.write(&params, None, &mut bytes).unwrap();
        let model = ModelProto::decode(&bytes[..]).unwrap();
        let graph = model.graph.unwrap();
        assert_eq!((model.ir_version, graph.name()), (Some(IR_VERSION), "small"));
        let weight = |graph: &GraphProto, name: &str| -> TensorProto {
            graph.initializer.iter().find(|t| t.name() == name).unwrap().clone()
        };
        let own = weight(&graph, "ip.weight");
        assert_eq!(own.dims, [30, 64]);
        let values: Vec<f32> = own.raw_data().as_chunks().0.iter().copied().map(f32::from_le_bytes).collect();
        assert_eq!(values, params.iter().next().unwrap().data[..]);

        let (mut bytes, mut beside) = (Vec::new(), Vec::new());
        onnx.write(&params, Some("net.onnx.data"), &mut bytes).unwrap();
        onnx.write_weights(&params, &mut beside).unwrap();
        let graph = ModelProto::decode(&bytes[..]).unwrap().graph.unwrap();
        let outside = weight(&graph, "ip.weight");
        assert!(outside.raw_data.is_none() && weight(&graph, "ip.bias").raw_data.is_some());
        let entry =
            |key: &str| outside.external_data.iter().find(|e| e.key() == key).unwrap().value().to_owned();
        assert_eq!(entry("location"), "net.onnx.data");
        let [offset, length] = ["offset", "length"].map(|key| entry(key).parse::<usize>().unwrap());
        assert_eq!(beside[offset..][..length], own.raw_data()[..]);
    }

    #[test]
    fn outputs_that_nothing_makes_have_nodes_of_their_own() {
        let (onnx, _) = exported(
            "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: [2, 4] } } }
             layer { name: 'd' type: 'Dropout' bottom: 'x' top: 'y' }
             layer { name: 'p' type: 'Power' bottom: 'x' top: 'z' }",
        );
        assert_eq!(nodes(&onnx), ["x -> Identity -> y", "x -> Identity -> z"]);
    }

    #[test]
    fn all_that_cannot_be_said_is_named() {
        let errors = refused(
            "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: [1, 1, 3, 3, 3, 3] } } }
             layer { name: 'p' type: 'Pooling' bottom: 'x' top: 'p' pooling_param { kernel_size: 2 } }
             layer { name: 'c' type: 'Convolution' bottom: 'p' top: 'c'
                     convolution_param { num_output: 2 kernel_size: 1 } }",
        );
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("layer `p`: has windows of 4 axes"), "{errors:?}");
        assert!(errors[1].contains("layer `c`: has 4 spatial axes"), "{errors:?}");
        let input = "layer { name: 'x' type: 'Input' top: 'x' top: 't'
                             input_param { shape { dim: [2, 4] } shape { dim: [2, 4] } } }";
        let loss = "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'x' bottom: 't' top: 'loss' }";
        let errors = refused(&format!("{input} {loss}"));
        assert!(errors[0].contains("nothing is left to export"), "{errors:?}");
        let scale = "layer { name: 'p' type: 'Power' bottom: 'loss' top: 'p' power_param { scale: 2 } }";
        let errors = refused(&format!("{input} {loss} {scale}"));
        assert!(errors[0].contains("layer `loss`: EuclideanLoss has no counterpart in ONNX"), "{errors:?}");
    }
}
