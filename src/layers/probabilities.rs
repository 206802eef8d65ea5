//! The probabilities that a loss makes of its scores: its second top, or else kept for the backward pass.

use super::{BlobMut, Outline, Reads, TopDiff};
use crate::{
    config::proto::LayerParameter,
    kernels::softmax::{SoftmaxDims, softmax},
    tensor::{Buffer, Shape},
};

/// Softmax of a loss's scores.
#[derive(Debug, Default)]
pub struct Probabilities {
    are_top: bool,
    /// The values, unless they are a top.
    kept: Buffer,
}

impl Probabilities {
    /// A top if the layer has a second one.
    pub fn from_config(config: &LayerParameter) -> Self {
        Self { are_top: config.top.len() > 1, kept: Buffer::default() }
    }

    /// The outline of the loss: one value, and the probabilities if they are a top.
    pub fn outline(&mut self, scores: &Shape) -> Outline {
        if self.are_top {
            return Outline::of([Shape::default(), scores.clone()]).reads(Reads::TOPS);
        }
        self.kept.resize(scores.count());
        Outline::of([Shape::default()]).reads(Reads::NOTHING)
    }

    /// Makes them of the scores; gives the loss, which is still to be written, and them.
    pub fn make<'a>(
        &'a mut self,
        dims: &SoftmaxDims,
        scores: &[f32],
        tops: &'a mut [BlobMut<'_>],
    ) -> (&'a mut f32, &'a [f32]) {
        let (loss, rest) = tops.split_at_mut(1);
        let probabilities: &mut [f32] = match rest.first_mut() {
            Some(top) => top.data,
            None => &mut self.kept,
        };
        softmax(dims, scores, probabilities);
        (&mut loss[0].data[0], probabilities)
    }

    /// What the forward pass made.
    pub fn made<'a>(&'a self, tops: &[TopDiff<'a>]) -> &'a [f32] {
        tops.get(1).map_or(&self.kept[..], |top| top.data)
    }
}
