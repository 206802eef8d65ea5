//! A net as the graph that TensorBoard draws.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::proto::{
    Attribute, DataType, GraphDef, Node, TensorShape, attribute, graph_def, tensor_shape::Dim,
};
use crate::{
    config::{proto::LayerParameter, text},
    net::{BlobId, LayerView, Net, Params},
};

/// The graph of a net: a node for each layer, with its settings, shapes and parameters. Slashes in names make groups.
pub fn of(net: &Net, params: &Params) -> GraphDef {
    let mut taken = HashSet::new();
    let mut makers: HashMap<BlobId, String> = HashMap::new();
    let mut node = Vec::new();
    for layer in net.layers() {
        let name = unlike(layer.config.name(), &mut taken);
        for (i, &top) in layer.tops.iter().enumerate() {
            makers.insert(top, if i == 0 { name.clone() } else { format!("{name}:{i}") });
        }
        let input = layer.bottoms.iter().filter_map(|bottom| makers.get(bottom).cloned()).collect();
        node.push(Node {
            name,
            op: layer.kind.name.to_owned(),
            input,
            attr: attributes(net, params, &layer),
        });
    }
    GraphDef { node, versions: Some(graph_def::Versions { producer: 22 }) }
}

/// A name that no other node has, and that leaves no group without one.
fn unlike(name: &str, taken: &mut HashSet<String>) -> String {
    let name = name.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    // A caret or a colon would say something about an arrow.
    let name = name.replace(['^', ':'], "_");
    let name = if name.is_empty() { "layer".to_owned() } else { name };
    let names = std::iter::once(name.clone()).chain((1..).map(|i| format!("{name}_{i}")));
    let mut free = names.filter(|name| taken.insert(name.clone()));
    free.next().unwrap_or(name)
}

fn attributes(net: &Net, params: &Params, layer: &LayerView<'_>) -> BTreeMap<String, Attribute> {
    let of = |value| Attribute { value: Some(value) };
    let shapes = layer.tops.iter().map(|&top| shape(net.shape(top))).collect();
    let mut found = BTreeMap::from([
        ("T".to_owned(), of(attribute::Value::Type(DataType::Float as i32))),
        ("_output_shapes".to_owned(), of(attribute::Value::List(attribute::List { shape: shapes }))),
    ]);
    let settings = settings(layer.config);
    if !settings.is_empty() {
        found.insert("settings".to_owned(), of(attribute::Value::S(settings.into_bytes())));
    }
    let learned = layer.params.iter().filter(|&&id| params[id].learned);
    let values: usize = learned.map(|&id| params[id].shape.count()).sum();
    if values > 0 {
        found.insert("parameters".to_owned(), of(attribute::Value::I(values as i64)));
    }
    for (i, &id) in layer.params.iter().enumerate() {
        let sides = attribute::Value::Shape(shape(&params[id].shape));
        found.insert(format!("parameter {i}"), of(sides));
    }
    found
}

/// What a layer's own settings say, without its name and its place in the net.
fn settings(config: &LayerParameter) -> String {
    let config = LayerParameter {
        name: None,
        r#type: None,
        bottom: Vec::new(),
        top: Vec::new(),
        include: Vec::new(),
        exclude: Vec::new(),
        ..config.clone()
    };
    text::print(&config).trim_end().to_owned()
}

fn shape(sides: &[usize]) -> TensorShape {
    TensorShape { dim: sides.iter().map(|&size| Dim { size: size as i64 }).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unlike_and_groups_have_names() {
        let mut taken = HashSet::new();
        let names = ["a/b", "a//b/", "/", "a/b", "x:1"].map(|name| unlike(name, &mut taken));
        assert_eq!(names, ["a/b", "a/b_1", "layer", "a/b_2", "x_1"]);
    }
}
