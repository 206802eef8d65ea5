//! Kernels as large as the input: one output a channel, so that all three passes are products of the whole batch with the weights,
//! as those of a fully connected layer are.

use super::{ConvDims, Epilogue};
use crate::kernels::gemm::{Gemm, Matrix, gemm_parallel};
use crate::kernels::parallel;
use crate::kernels::simd::Isa;

/// Whether this way serves `dims`.
pub fn serves(dims: &ConvDims) -> bool {
    let whole = dims.axes.iter().all(|axis| axis.pad == 0 && axis.dilation == 1 && axis.kernel == axis.input);
    whole && dims.group == 1
}

/// Whether it serves the input's gradient: that of one tap is the way of [`super::add_backward_input`], to the bit.
pub fn serves_input(dims: &ConvDims) -> bool {
    serves(dims) && dims.kernel_area() > 1
}

/// Rows of the batch, and of the weights.
fn rows<'a>(dims: &ConvDims, values: &'a [f32]) -> Matrix<'a> {
    Matrix::row_major(values, dims.depth())
}

/// output = input * weights, then the epilogue.
pub fn forward(
    isa: Isa,
    dims: &ConvDims,
    input: &[f32],
    weights: &[f32],
    epilogue: Epilogue<'_>,
    output: &mut [f32],
) {
    let weights = rows(dims, weights).transposed();
    let channels = dims.out_channels;
    gemm_parallel(&Gemm::new(dims.batch, channels, dims.depth(), rows(dims, input), weights), output);
    parallel::for_chunks_mut(output, channels.max(1), |_, image| epilogue.finish_column(isa, image));
}

/// Overwrites the input's gradient.
pub fn backward_input(dims: &ConvDims, top_diff: &[f32], weights: &[f32], bottom_diff: &mut [f32]) {
    let top_diff = Matrix::row_major(top_diff, dims.out_channels);
    let product = Gemm::new(dims.batch, dims.depth(), dims.out_channels, top_diff, rows(dims, weights));
    gemm_parallel(&product, bottom_diff);
}

/// Adds the weights' gradient.
pub fn backward_weights(dims: &ConvDims, input: &[f32], top_diff: &[f32], weight_diff: &mut [f32]) {
    let top_diff = Matrix::row_major(top_diff, dims.out_channels).transposed();
    let product = Gemm::new(dims.out_channels, dims.depth(), dims.batch, top_diff, rows(dims, input));
    gemm_parallel(&Gemm { beta: 1.0, ..product }, weight_diff);
}
