//! Weights as named tensors, in the files that Python reads: safetensors and npz.
//!
//! A tensor is named `LAYER.ROLE`, as PyTorch names what a module holds: `conv1.weight`, `conv1.bias`. Values and shapes are
//! Caffe's. What several layers share stands there once, under the name of the layer that owns it.

mod fit;
mod npz;
mod safetensors;

pub use fit::{Fit, Misfit};
pub use npz::write_npz;
pub use safetensors::{read_safetensors, write_safetensors};

use super::content::owns;
use crate::{
    net::{LayerView, Net, NetError, Params},
    tensor::Shape,
};

/// A tensor that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Its values, the last axis running fastest.
    pub values: Vec<f32>,
}

/// A tensor to be written.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a Shape,
    /// Its values.
    pub data: &'a [f32],
}

/// What the blobs of a layer are for, in Caffe's order, where the type alone tells. Sorted by type.
pub const ROLES: &[(&str, &[&str])] = &[
    ("BN", &["weight", "bias", "running_mean", "running_var"]),
    ("BatchNorm", &["mean_sum", "variance_sum", "factor"]),
    ("Bias", &["bias"]),
    ("Convolution", &["weight", "bias"]),
    ("ConvolutionDepthwise", &["weight", "bias"]),
    ("Deconvolution", &["weight", "bias"]),
    ("DepthwiseConvolution", &["weight", "bias"]),
    ("Embed", &["weight", "bias"]),
    ("InnerProduct", &["weight", "bias"]),
    ("LocallyConnected", &["weight", "bias"]),
    ("Normalize", &["weight"]),
    ("PReLU", &["weight"]),
    ("Parameter", &["weight"]),
    ("Scale", &["weight", "bias"]),
];

/// The roles of a layer's blobs; a blob without one has its number.
fn roles(layer: &LayerView<'_>) -> Vec<String> {
    let count = layer.params.len();
    let listed: &[&str] = match layer.kind.name {
        // The factor is the second bottom, so what the layer owns is the bias.
        "Scale" if layer.bottoms.len() > 1 => &["bias"],
        "LSTM" if count == 4 => &["weight_xc", "bias_c", "weight_xc_static", "weight_hc"],
        "LSTM" => &["weight_xc", "bias_c", "weight_hc"],
        "RNN" if count == 6 => {
            &["weight_xh", "bias_h", "weight_xh_static", "weight_hh", "weight_ho", "bias_o"]
        }
        "RNN" => &["weight_xh", "bias_h", "weight_hh", "weight_ho", "bias_o"],
        name => ROLES.iter().find(|(kind, _)| *kind == name).map_or(&[], |(_, roles)| roles),
    };
    (0..count).map(|i| listed.get(i).map_or_else(|| i.to_string(), |role| (*role).to_owned())).collect()
}

/// The names of the tensors of a layer's blobs, in Caffe's order.
pub fn tensor_names(layer: &LayerView<'_>) -> Vec<String> {
    roles(layer).iter().map(|role| format!("{}.{role}", layer.config.name())).collect()
}

/// The names of all tensors of a net, with their numbers in its store; each parameter once.
///
/// # Errors
/// When two layers with parameters have one name, so that their tensors would, too.
pub fn named_params(net: &Net, params: &Params) -> Result<Vec<(String, usize)>, NetError> {
    let mut named: Vec<(String, usize)> = Vec::new();
    let mut layers: Vec<&str> = Vec::new();
    let all: Vec<_> = net.layers().filter(|layer| !layer.params.is_empty()).collect();
    for layer in &all {
        let name = layer.config.name();
        if layers.contains(&name) {
            let message =
                "two layers have this name, so their tensors would, too; give them names of their own";
            return Err(NetError::layer(layer.config, "name", message));
        }
        layers.push(name);
        let owned = tensor_names(layer).into_iter().zip(layer.params).enumerate();
        named.extend(
            owned.filter(|(i, (_, id))| owns(layer, *i, &params[**id])).map(|(_, (name, &id))| (name, id)),
        );
    }
    Ok(named)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        config::{net_from_text, proto::Phase},
        net::Options,
    };

    /// A net in TEST whose parameters count up.
    pub fn net(text: &str) -> (Net, Params) {
        let file = net_from_text("net", text).unwrap();
        let mut params = Params::new();
        let net = Net::planned(&file.net, Options::new(Phase::Test, 1), &mut params).unwrap();
        let values = (0u16..).map(f32::from);
        params.iter_mut().flat_map(|p| p.data.iter_mut()).zip(values).for_each(|(v, n)| *v = n);
        (net, params)
    }

    pub const NET: &str = "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: [3, 2, 4] } } }
        layer { name: 'cont' type: 'Input' top: 'cont' input_param { shape { dim: [3, 2] } } }
        layer { name: 'bn' type: 'BatchNorm' bottom: 'x' top: 'bn' }
        layer { name: 'a/b' type: 'LSTM' bottom: 'bn' bottom: 'cont' top: 'h' recurrent_param { num_output: 2 } }
        layer { name: 'ip' type: 'InnerProduct' bottom: 'h' top: 'y' inner_product_param { num_output: 3 axis: 2 }
                param { name: 'w' } }
        layer { name: 'ip2' type: 'InnerProduct' bottom: 'h' top: 'z' inner_product_param { num_output: 3 axis: 2 }
                param { name: 'w' } }
        layer { name: 'by' type: 'Scale' bottom: 'y' bottom: 'z' top: 'by' scale_param { axis: 0 bias_term: true } }";

    #[test]
    fn the_table_is_sorted() {
        assert!(ROLES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn every_parameter_has_one_name() {
        let (net, params) = net(NET);
        let named = named_params(&net, &params).unwrap();
        let names: Vec<&str> = named.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(
            names,
            [
                "bn.mean_sum",
                "bn.variance_sum",
                "bn.factor",
                "a/b.weight_xc",
                "a/b.bias_c",
                "a/b.weight_hc",
                "ip.weight",
                "ip.bias",
                "ip2.bias",
                "by.bias"
            ]
        );
        assert_eq!(named.len(), params.len());
    }

    #[test]
    fn both_kinds_of_bn_have_their_names() {
        let bn = |name: &str, settings: &str| {
            format!(
                "layer {{ name: '{name}' type: 'BN' bottom: 'x' top: '{name}' bn_param {{ {settings} }} }}"
            )
        };
        let input = "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: [3, 2, 4] } } }";
        let text = format!("{input} {} {}", bn("pspnet", "frozen: true"), bn("segnet", "bn_mode: INFERENCE"));
        let (net, params) = net(&text);
        let named = named_params(&net, &params).unwrap();
        let names: Vec<&str> = named.iter().map(|(name, _)| &name[..]).collect();
        let pspnet = ["pspnet.weight", "pspnet.bias", "pspnet.running_mean", "pspnet.running_var"];
        assert_eq!(names, [&pspnet[..], &["segnet.weight", "segnet.bias"]].concat());
        assert!(params.iter().all(|param| param.shape == Shape::from([1, 2, 1, 1])));
    }

    #[test]
    fn layers_of_one_name_are_refused() {
        let (net, params) = net(&NET.replace("'ip2'", "'ip'"));
        let error = named_params(&net, &params).unwrap_err().to_string();
        assert!(error.contains("layer `ip`: two layers have this name"), "{error}");
    }
}
