//! Floats of scratch that the passes of a convolution need, each in its way.

use super::gradient::Cut;
use super::{ConvDims, Way, exchanged, has_few_outputs, placed};
use crate::kernels::simd::Isa;

/// Floats of scratch that [`super::forward`] needs: the packed weights, or the input's tiles.
pub fn forward_scratch_len(dims: &ConvDims) -> usize {
    if let Some(exchanged) = exchanged::of_forward(dims) {
        return dims.weight_len() + backward_input_scratch_len(&exchanged);
    }
    match Way::forward(Isa::best(), dims) {
        Way::Whole | Way::Depthwise => 0,
        Way::Phased(phased) => phased.scratch_len(forward_scratch_len),
        Way::Fast(fast) => fast.scratch_len(),
        Way::Few(few) => few.scratch_len(),
        Way::Plain if has_few_outputs(dims) => 0,
        Way::Plain => dims.weight_len(),
    }
}

/// Floats of scratch that [`super::backward_input`] needs: the packed weights, or the tiles of the output's gradient.
pub fn backward_input_scratch_len(dims: &ConvDims) -> usize {
    if let Some(exchanged) = exchanged::of(dims) {
        return dims.weight_len() + forward_scratch_len(&exchanged);
    }
    match Way::backward_input(Isa::best(), dims) {
        Way::Whole | Way::Depthwise => 0,
        Way::Phased(phased) => phased.scratch_len(backward_input_scratch_len),
        Way::Fast(fast) => fast.scratch_len(),
        Way::Few(few) => few.scratch_len(),
        Way::Plain => dims.weight_len(),
    }
}

/// Floats of scratch that [`super::backward_weights`] needs: sums of parts of the batch.
pub fn backward_weights_scratch_len(dims: &ConvDims) -> usize {
    if let Some(exchanged) = exchanged::of(dims) {
        return dims.weight_len() + backward_weights_scratch_len(&exchanged);
    }
    match Way::backward_weights(Isa::best(), dims) {
        Way::Whole | Way::Depthwise => 0,
        Way::Phased(phased) => phased.scratch_len(backward_weights_scratch_len),
        Way::Fast(fast) => fast.gradient_scratch_len(),
        Way::Few(few) => few.scratch_len(),
        Way::Plain => Cut::new(Isa::best(), dims).scratch_len(),
    }
}

/// Floats of scratch that serve all three passes.
pub fn scratch_len(dims: &ConvDims) -> usize {
    if let Some(one) = placed::one_image(dims) {
        return scratch_len(&one);
    }
    let backward = backward_input_scratch_len(dims).max(backward_weights_scratch_len(dims));
    forward_scratch_len(dims).max(backward)
}
