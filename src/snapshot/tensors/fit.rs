//! Which tensors of a file a net's parameters take.

use std::{collections::HashMap, fmt};

use super::{Tensor, tensor_names};
use crate::{
    config,
    net::{Net, Params},
    snapshot::content::owns,
    tensor::Shape,
};

/// A parameter that finds no tensor, or one of another shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    /// The layer.
    pub layer: String,
    /// The tensor's name.
    pub name: String,
    /// The parameter's shape.
    pub want: Shape,
    /// The tensor's shape, if there is one of the name.
    pub found: Option<Shape>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, name, want, found, hint } = self;
        match found {
            None => write!(f, "layer `{layer}`: no tensor `{name}`, whose shape would be {want}")?,
            Some(found) => write!(f, "layer `{layer}`: tensor `{name}` has shape {found}, expected {want}")?,
        }
        hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// How the tensors of a file fit a net.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fit {
    /// Parameters by number, with the values that they take.
    found: Vec<(usize, Vec<f32>)>,
    /// What does not fit.
    pub misfits: Vec<Misfit>,
    /// Tensors that no parameter takes.
    pub unused: Vec<String>,
}

impl Fit {
    /// Looks for each parameter under the name of [`tensor_names`], or its number behind the layer's name: `ip1.0`,
    /// `ip1/0`, or `param/ip1/0` as `cnnctl run` writes it. A shared one may also stand under the other layers that use it;
    /// its owner's values count.
    pub fn of(net: &Net, params: &Params, tensors: Vec<Tensor>) -> Self {
        let mut by_name: HashMap<String, Tensor> = tensors.into_iter().map(|t| (t.name.clone(), t)).collect();
        let mut fit = Self::default();
        for layer in net.layers() {
            let own = layer.config.name();
            for (i, (name, &id)) in tensor_names(&layer).into_iter().zip(layer.params).enumerate() {
                let others = [format!("{own}.{i}"), format!("{own}/{i}"), format!("param/{own}/{i}")];
                let tensor = std::iter::once(&name).chain(&others).find_map(|name| by_name.remove(name));
                if !owns(&layer, i, &params[id]) {
                    continue;
                }
                let want = &params[id].shape;
                match tensor {
                    Some(tensor) if tensor.shape == *want => fit.found.push((id, tensor.values)),
                    tensor => fit.misfits.push(Misfit {
                        layer: own.to_owned(),
                        hint: tensor.as_ref().and_then(|t| order_hint(&t.shape, want)).map(str::to_owned),
                        name: tensor.as_ref().map_or(name, |t| t.name.clone()),
                        want: want.clone(),
                        found: tensor.map(|t| t.shape),
                    }),
                }
            }
        }
        fit.unused = by_name.into_keys().collect();
        fit.unused.sort();
        for misfit in fit.misfits.iter_mut().filter(|m| m.found.is_none()) {
            let similar = config::did_you_mean(&misfit.name, fit.unused.iter().map(String::as_str));
            misfit.hint = similar.map(|name| format!("did you mean `{name}`?"));
        }
        fit
    }

    /// How many parameters take a tensor.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Gives the parameters that fit their values.
    pub fn copy_into(&self, params: &mut Params) {
        for (id, values) in &self.found {
            params[*id].data.copy_from_slice(values);
        }
    }
}

/// For a tensor whose axes stand in the order of another library: how to turn them.
fn order_hint(found: &Shape, want: &Shape) -> Option<&'static str> {
    match (&found[..], &want[..]) {
        (&[a, b], &[c, d]) if (b, a) == (c, d) => Some("transpose it: Caffe keeps outputs x inputs"),
        (&[h, w, i, o], want) if *want == [o, i, h, w] => {
            Some("transpose it with (3, 2, 0, 1): Caffe keeps outputs x inputs x height x width")
        }
        (found, want) if squeezed(found) == squeezed(want) => {
            Some("reshape it: the values are as many, but axes of 1 differ")
        }
        _ => None,
    }
}

fn squeezed(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|&side| side != 1).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            named_params,
            tests::{NET, net},
        },
        *,
    };

    fn tensors(net: &Net, params: &Params) -> Vec<Tensor> {
        let tensor = |(name, id): (String, usize)| {
            let param = &params[id];
            let values = param.data.iter().map(|v| v + 100.0).collect();
            Tensor { name, shape: param.shape.clone(), values }
        };
        named_params(net, params).unwrap().into_iter().map(tensor).collect()
    }

    #[test]
    fn all_parameters_find_theirs() {
        let (net, mut params) = net(NET);
        let fit = Fit::of(&net, &params, tensors(&net, &params));
        assert!(fit.misfits.is_empty() && fit.unused.is_empty());
        assert_eq!(fit.len(), params.len());
        let before = params.clone();
        fit.copy_into(&mut params);
        for (after, before) in params.iter().zip(before.iter()) {
            assert!(after.data.iter().zip(before.data.iter()).all(|(a, b)| *a == b + 100.0));
        }
    }

    #[test]
    fn numbers_will_do_for_names() {
        let (net, params) = net(NET);
        let mut tensors = tensors(&net, &params);
        for (from, to) in
            [("bn.mean_sum", "bn.0"), ("bn.variance_sum", "bn/1"), ("a/b.weight_hc", "param/a/b/2")]
        {
            tensors.iter_mut().find(|t| t.name == from).unwrap().name = to.into();
        }
        // What is shared may stand under both its names.
        tensors.push(Tensor { name: "ip2.weight".into(), shape: [3, 2].into(), values: vec![0.0; 6] });
        let fit = Fit::of(&net, &params, tensors);
        assert!(fit.misfits.is_empty() && fit.unused.is_empty(), "{fit:?}");
    }

    #[test]
    fn what_does_not_fit_is_told_with_a_hint() {
        let (net, params) = net(NET);
        let mut tensors = tensors(&net, &params);
        for tensor in &mut tensors {
            match &tensor.name[..] {
                "ip.weight" => tensor.shape = [2, 3].into(),
                "bn.factor" => tensor.shape = Shape::default(),
                "bn.mean_sum" => tensor.shape = [5].into(),
                "a/b.bias_c" => tensor.name = "a/b.bias".into(),
                _ => {}
            }
        }
        let fit = Fit::of(&net, &params, tensors);
        let lines: Vec<String> = fit.misfits.iter().map(Misfit::to_string).collect();
        assert_eq!(
            lines,
            [
                "layer `bn`: tensor `bn.mean_sum` has shape 5, expected 2",
                "layer `bn`: tensor `bn.factor` has shape scalar, expected 1; reshape it: the values are as many, but axes of 1 differ",
                "layer `a/b`: no tensor `a/b.bias_c`, whose shape would be 8; did you mean `a/b.bias`?",
                "layer `ip`: tensor `ip.weight` has shape 2 x 3, expected 3 x 2; transpose it: Caffe keeps outputs x inputs",
            ]
        );
        assert_eq!(fit.unused, ["a/b.bias"]);
        let order = |found: &[usize], want: &[usize]| order_hint(&found.into(), &want.into());
        assert!(order(&[5, 5, 3, 20], &[20, 3, 5, 5]).unwrap().contains("(3, 2, 0, 1)"));
        assert_eq!(order(&[2, 2], &[4]), None);
    }
}
