//! One graph for any number of samples.
//!
//! A converter need not know which sides count samples: the net is turned into a graph for two numbers of samples, and where
//! the two graphs differ in more than the shapes that they tell, one graph will not do.

use super::{
    file::Onnx,
    proto::{
        ValueInfoProto,
        tensor_shape_proto::{
            Dimension,
            dimension::Value::{DimParam, DimValue},
        },
        type_proto,
    },
};

/// The numbers of samples that [`Onnx::for_any_batch`] wants its two graphs for.
pub const TRIED: [usize; 2] = [2, 3];

impl Onnx {
    /// This graph, which is for the first number of [`TRIED`], for any number of samples, given that for the second.
    ///
    /// # Errors
    /// Says what depends on the number of samples.
    pub fn for_any_batch(mut self, other: &Self) -> Result<Self, String> {
        let constants = &self.graph.initializer;
        let differs = (differs(&self.graph.node, &other.graph.node).map(|node| node.name()))
            .or_else(|| differs(constants, &other.graph.initializer).map(|constant| constant.name()))
            .or_else(|| differs(&self.weights, &other.weights).map(|weight| &weight.name[..]));
        if let Some(name) = differs {
            return Err(format!("`{name}` depends on how many samples there are"));
        }
        if self.size() != other.size() || self.graph.initializer.len() != other.graph.initializer.len() {
            return Err("the graph depends on how many samples there are".into());
        }
        let graph = &mut self.graph;
        let own = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        let others = other.graph.input.iter().chain(&other.graph.output).chain(&other.graph.value_info);
        own.zip(others).for_each(|(a, b)| loosen(a, b));
        Ok(self)
    }
}

/// The first that is not the same in both.
fn differs<'a, T: PartialEq>(a: &'a [T], b: &[T]) -> Option<&'a T> {
    a.iter().zip(b).find(|(a, b)| a != b).map(|(a, _)| a)
}

/// Leaves sides open in which the two differ.
fn loosen(a: &mut ValueInfoProto, b: &ValueInfoProto) {
    let Some(type_proto::Value::TensorType(a)) = a.r#type.as_mut().and_then(|t| t.value.as_mut()) else {
        return;
    };
    let Some(type_proto::Value::TensorType(b)) = b.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return;
    };
    let (Some(a), Some(b)) = (&mut a.shape, &b.shape) else { return };
    for (a, b) in a.dim.iter_mut().zip(&b.dim) {
        if let (Some(DimValue(one)), Some(DimValue(other))) = (&a.value, &b.value)
            && one != other
        {
            // So many for each sample.
            let each = other - one;
            let name = if each == 1 { "N".to_owned() } else { format!("{each}N") };
            *a = Dimension { value: Some(DimParam(name)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{net_from_text, proto::Phase},
        net::{Net, Options, Params},
        snapshot::onnx::export,
    };

    fn any(text: &str) -> Result<Onnx, String> {
        let [two, three] = TRIED.map(|n| {
            let file = net_from_text("net", text.replace("BATCH", &n.to_string())).unwrap();
            let mut params = Params::new();
            let net = Net::planned(&file.net, Options::new(Phase::Test, 1), &mut params).unwrap();
            export(&net, &params).unwrap()
        });
        two.for_any_batch(&three)
    }

    fn sides(info: &ValueInfoProto) -> Vec<String> {
        let Some(type_proto::Value::TensorType(tensor)) = &info.r#type.as_ref().unwrap().value else {
            panic!()
        };
        let side = |d: &Dimension| match d.value.as_ref().unwrap() {
            DimValue(n) => n.to_string(),
            DimParam(name) => name.clone(),
        };
        tensor.shape.as_ref().unwrap().dim.iter().map(side).collect()
    }

    const INPUT: &str =
        "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: [BATCH, 3, 4] } } }";

    #[test]
    fn sides_that_count_samples_are_left_open() {
        let ip = "layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'ip'
                          inner_product_param { num_output: 5 axis: 2 } }";
        let flat = "layer { name: 'flat' type: 'Flatten' bottom: 'ip' top: 'flat' flatten_param { axis: 0 end_axis: 1 } }";
        let onnx = any(&format!("{INPUT} {ip} {flat}")).unwrap();
        assert_eq!(sides(&onnx.graph.input[0]), ["N", "3", "4"]);
        assert_eq!(sides(&onnx.graph.output[0]), ["3N", "5"]);
    }

    #[test]
    fn what_depends_on_the_batch_is_named() {
        let bias = "layer { name: 'b' type: 'Bias' bottom: 'x' top: 'b' bias_param { axis: 0 } }";
        assert!(any(&format!("{INPUT} {bias}")).unwrap_err().contains("`b.bias` depends on"));
        let dummy =
            "layer { name: 'd' type: 'DummyData' top: 'd' dummy_data_param { shape { dim: [BATCH, 3, 4] } } }
                     layer { name: 's' type: 'Eltwise' bottom: 'x' bottom: 'd' top: 's' }";
        assert!(any(&format!("{INPUT} {dummy}")).unwrap_err().contains("`d.shape` depends on"));
    }
}
