//! The parts of a sketch: its layers and its blobs.

use std::cell::RefCell;

use crate::{
    config::proto::LayerParameter,
    layers::{Kind, Layer, Outline},
    net::ParamId,
    tensor::Shape,
};

/// A layer at its place.
pub struct SketchLayer {
    /// Its place in the net's list.
    pub index: usize,
    /// Its settings.
    pub config: LayerParameter,
    /// Its type, if there is one of this name.
    pub kind: Option<&'static Kind>,
    /// The blobs that it reads, as far as they are known.
    pub bottoms: Vec<Option<usize>>,
    /// The blobs that it makes.
    pub tops: Vec<usize>,
    /// For each top, its weight in the net's loss.
    pub loss_weights: Vec<f32>,
    /// Its parameters, in order, if its shapes are known.
    pub params: Vec<ParamId>,
    /// Its shapes, if they are known.
    pub outline: Option<Outline>,
    /// The layer itself, if it reads data and the data is at hand.
    pub source: Option<RefCell<Box<dyn Layer>>>,
}

impl SketchLayer {
    /// Whether the layer has parameters, where that is known.
    pub fn has_parameters(&self) -> Option<bool> {
        const OFTEN: &[&str] =
            &["convolution_param", "inner_product_param", "embed_param", "recurrent_param"];
        match &self.outline {
            Some(outline) => Some(outline.params.iter().any(|p| p.learned)),
            None => {
                let kind = self.kind?;
                Some(kind.name != "Im2col" && kind.settings.iter().any(|s| OFTEN.contains(s)))
            }
        }
    }

    /// Whether the layer has parameters, statistics included; where shapes are not known, whether its type has as a rule.
    pub fn keeps_parameters(&self) -> bool {
        const TYPES: &[&str] = &["BN", "BatchNorm", "Bias", "Normalize", "PReLU", "Parameter", "Scale"];
        match &self.outline {
            Some(outline) => !outline.params.is_empty(),
            None => self.has_parameters() == Some(true) || self.kind.is_some_and(|k| TYPES.contains(&k.name)),
        }
    }
}

/// A layer that has parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Keeper {
    /// Its name.
    pub layer: String,
    /// Their shapes, and whether they are its own and not another layer's, where that is known.
    pub params: Option<Vec<(Shape, bool)>>,
}

/// A version of a blob.
pub struct SketchBlob {
    /// Its name.
    pub name: String,
    /// The layer that makes it, as a position in `Sketch::layers`; none if it comes from outside.
    pub maker: Option<usize>,
    /// Its shape, if it is known.
    pub shape: Option<Shape>,
    /// The layers that read it.
    pub readers: Vec<usize>,
}

impl SketchBlob {
    pub(super) fn new(name: &str, maker: Option<usize>) -> Self {
        Self { name: name.to_owned(), maker, shape: None, readers: Vec::new() }
    }
}
