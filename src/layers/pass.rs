//! What a layer is lent for one pass.

use crate::{config::proto::Phase, kernels::random::Draw, tensor::Shape};

/// A blob to read.
#[derive(Clone, Copy, Debug)]
pub struct Blob<'a> {
    /// Its shape.
    pub shape: &'a Shape,
    /// Its values; in a backward pass empty when the layer's outline does not read them.
    pub data: &'a [f32],
}

/// The shape of what fills up lists.
static SCALAR: Shape = Shape::scalar();

impl Default for Blob<'_> {
    fn default() -> Self {
        Self { shape: &SCALAR, data: &[] }
    }
}

/// A blob to write. Its old values are of no meaning.
#[derive(Debug)]
pub struct BlobMut<'a> {
    /// Its shape.
    pub shape: &'a Shape,
    /// Its values.
    pub data: &'a mut [f32],
}

impl Default for BlobMut<'_> {
    fn default() -> Self {
        Self { shape: &SCALAR, data: &mut [] }
    }
}

/// What came back to a top.
#[derive(Clone, Copy, Debug)]
pub struct TopDiff<'a> {
    /// The top's shape.
    pub shape: &'a Shape,
    /// The top's values; empty when the layer's outline does not read them.
    pub data: &'a [f32],
    /// dE/dtop; zeros where nothing above gives a gradient. For a loss: its weight.
    pub diff: &'a [f32],
}

impl Default for TopDiff<'_> {
    fn default() -> Self {
        Self { shape: &SCALAR, data: &[], diff: &[] }
    }
}

/// A forward pass.
#[derive(Debug)]
pub struct Forward<'a> {
    /// Whether the net trains or tests.
    pub phase: Phase,
    /// Random numbers of this layer in this pass.
    pub draw: Draw,
    /// The learned parameters, in order.
    pub params: &'a [&'a [f32]],
    /// The running statistics, in order.
    pub state: &'a mut [&'a mut [f32]],
    /// What to read.
    pub bottoms: &'a [Blob<'a>],
    /// What to write.
    pub tops: &'a mut [BlobMut<'a>],
    /// Scratch of the outlined size; its contents are of no meaning.
    pub workspace: &'a mut [f32],
}

/// A backward pass.
#[derive(Debug)]
pub struct Backward<'a> {
    /// The learned parameters, in order.
    pub params: &'a [&'a [f32]],
    /// dE/dparam of the learned parameters, to be added to; `None` where nobody asks.
    pub param_diffs: &'a mut [Option<&'a mut [f32]>],
    /// The running statistics, in order, as the forward pass left them.
    pub state: &'a [&'a [f32]],
    /// The bottoms of the forward pass.
    pub bottoms: &'a [Blob<'a>],
    /// What came back.
    pub tops: &'a [TopDiff<'a>],
    /// dE/dbottom, to be overwritten; `None` where nobody asks.
    pub bottom_diffs: &'a mut [Option<&'a mut [f32]>],
    /// Scratch of the outlined size; its contents are of no meaning.
    pub workspace: &'a mut [f32],
}
