//! Convolution and its gradients, in any number of spatial axes, with groups, strides, padding and dilation.
//!
//! A deconvolution is the same three functions with input and output swapped: its forward is [`backward_input`], its
//! input gradient [`forward`], its weight gradient [`backward_weights`] with the two blobs exchanged.

mod columns;
mod dims;
#[cfg(test)]
mod tests;

pub use columns::{col2im, im2col};
pub use dims::{ConvAxis, ConvDims};

use super::gemm::{Gemm, Matrix, gemm, scratch};
use super::parallel;

/// What happens to each output value before it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added, one value per output channel.
    pub bias: Option<&'a [f32]>,
    /// Whether negative results become 0.
    pub relu: bool,
}

/// Floats of scratch that [`forward`] needs.
pub fn forward_scratch_len(_dims: &ConvDims) -> usize {
    0
}

/// Floats of scratch that [`backward_input`] needs.
pub fn backward_input_scratch_len(_dims: &ConvDims) -> usize {
    0
}

/// Floats of scratch that [`backward_weights`] needs.
pub fn backward_weights_scratch_len(dims: &ConvDims) -> usize {
    parts(dims) * dims.weight_len()
}

/// output = input * weights, then the epilogue.
///
/// # Panics
/// When a slice does not have the length that `dims` asks for.
pub fn forward(
    dims: &ConvDims,
    input: &[f32],
    weights: &[f32],
    epilogue: Epilogue<'_>,
    output: &mut [f32],
    scratch: &mut [f32],
) {
    check(dims, input, weights, output);
    assert!(scratch.len() >= forward_scratch_len(dims), "scratch length");
    assert!(epilogue.bias.is_none_or(|bias| bias.len() == dims.out_channels), "bias length");
    let (in_image, out_image) = image_lens(dims);
    let area = dims.out_area();
    let per_group = GroupLens::of(dims);
    parallel::for_chunks_mut(output, out_image, |start, output| {
        let image = &input[start / out_image * in_image..][..in_image];
        with_columns(dims, image, |columns| {
            for g in 0..dims.group {
                let weights = &weights[g * per_group.weights..][..per_group.weights];
                let columns = &columns[g * per_group.columns..][..per_group.columns];
                let (a, b) = (Matrix::row_major(weights, dims.depth()), Matrix::row_major(columns, area));
                let output = &mut output[g * per_group.output..][..per_group.output];
                gemm(&Gemm::new(dims.group_out(), area, dims.depth(), a, b), output);
            }
        });
        for (channel, line) in output.chunks_exact_mut(area).enumerate() {
            let bias = epilogue.bias.map_or(0.0, |bias| bias[channel]);
            line.iter_mut().for_each(|v| *v += bias);
            if epilogue.relu {
                line.iter_mut().filter(|v| **v < 0.0).for_each(|v| *v = 0.0);
            }
        }
    });
}

/// `bottom_diff` = the input's gradient; what it held is overwritten.
///
/// # Panics
/// When a slice does not have the length that `dims` asks for.
pub fn backward_input(
    dims: &ConvDims,
    top_diff: &[f32],
    weights: &[f32],
    bottom_diff: &mut [f32],
    scratch: &mut [f32],
) {
    check(dims, bottom_diff, weights, top_diff);
    assert!(scratch.len() >= backward_input_scratch_len(dims), "scratch length");
    let (in_image, out_image) = image_lens(dims);
    let area = dims.out_area();
    let per_group = GroupLens::of(dims);
    parallel::for_chunks_mut(bottom_diff, in_image, |start, bottom_diff| {
        let image = &top_diff[start / in_image * out_image..][..out_image];
        scratch::lend(dims.group * per_group.columns, |columns| {
            for g in 0..dims.group {
                let weights = &weights[g * per_group.weights..][..per_group.weights];
                let output = &image[g * per_group.output..][..per_group.output];
                let a = Matrix::row_major(weights, dims.depth()).transposed();
                let b = Matrix::row_major(output, area);
                let columns = &mut columns[g * per_group.columns..][..per_group.columns];
                gemm(&Gemm::new(dims.depth(), area, dims.group_out(), a, b), columns);
            }
            col2im(&dims.axes, dims.in_channels, columns, bottom_diff);
        });
    });
}

/// Adds the weights' gradient, summed over the batch, to `weight_diff`.
///
/// # Panics
/// When a slice does not have the length that `dims` asks for.
pub fn backward_weights(
    dims: &ConvDims,
    input: &[f32],
    top_diff: &[f32],
    weight_diff: &mut [f32],
    scratch: &mut [f32],
) {
    check(dims, input, weight_diff, top_diff);
    let sums = &mut scratch[..backward_weights_scratch_len(dims)];
    let (in_image, out_image) = image_lens(dims);
    let area = dims.out_area();
    let per_group = GroupLens::of(dims);
    let parts = parts(dims);
    parallel::for_chunks_mut(sums, dims.weight_len(), |start, sums| {
        let part = start / dims.weight_len();
        for image in part * dims.batch / parts..(part + 1) * dims.batch / parts {
            let beta = if image == part * dims.batch / parts { 0.0 } else { 1.0 };
            with_columns(dims, &input[image * in_image..][..in_image], |columns| {
                for g in 0..dims.group {
                    let output = &top_diff[image * out_image + g * per_group.output..][..per_group.output];
                    let columns = &columns[g * per_group.columns..][..per_group.columns];
                    let (a, b) =
                        (Matrix::row_major(output, area), Matrix::row_major(columns, area).transposed());
                    let sums = &mut sums[g * per_group.weights..][..per_group.weights];
                    let product = Gemm::new(dims.group_out(), dims.depth(), area, a, b);
                    gemm(&Gemm { beta, ..product }, sums);
                }
            });
        }
    });
    for sums in sums.chunks_exact(dims.weight_len().max(1)) {
        weight_diff.iter_mut().zip(sums).for_each(|(d, s)| *d += s);
    }
}

/// Adds the bias' gradient, the sum of `top_diff` over images and positions, to `bias_diff`, one value a channel.
///
/// # Panics
/// When a slice does not have the length that `dims` asks for.
pub fn backward_bias(dims: &ConvDims, top_diff: &[f32], bias_diff: &mut [f32]) {
    assert_eq!(top_diff.len(), dims.output_len(), "output length");
    assert_eq!(bias_diff.len(), dims.out_channels, "bias length");
    let area = dims.out_area();
    // A channel a chunk: each sum runs over the images in order, on one thread.
    parallel::for_chunks_mut(bias_diff, 1, |channel, sum| {
        for image in 0..dims.batch {
            let line = &top_diff[(image * dims.out_channels + channel) * area..][..area];
            sum[0] += line.iter().sum::<f32>();
        }
    });
}

/// Images are summed in this many parts, each in order, and the parts then in order.
fn parts(dims: &ConvDims) -> usize {
    dims.batch.min(8)
}

/// Lengths of one group's share of an image, of the weights and of the columns.
struct GroupLens {
    output: usize,
    weights: usize,
    columns: usize,
}

impl GroupLens {
    fn of(dims: &ConvDims) -> Self {
        Self {
            output: dims.group_out() * dims.out_area(),
            weights: dims.group_out() * dims.depth(),
            columns: dims.depth() * dims.out_area(),
        }
    }
}

/// Lengths of an input and an output image.
fn image_lens(dims: &ConvDims) -> (usize, usize) {
    (dims.in_channels * dims.in_area(), dims.out_channels * dims.out_area())
}

/// Calls `f` with the columns of one image; a pointwise convolution's are the image itself.
fn with_columns(dims: &ConvDims, image: &[f32], f: impl FnOnce(&[f32])) {
    if dims.is_pointwise() {
        return f(image);
    }
    scratch::lend(dims.in_channels * dims.kernel_area() * dims.out_area(), |columns| {
        im2col(&dims.axes, dims.in_channels, image, columns);
        f(columns);
    });
}

fn check(dims: &ConvDims, input: &[f32], weights: &[f32], output: &[f32]) {
    assert!(dims.group > 0, "a convolution has at least one group");
    assert!(dims.in_channels.is_multiple_of(dims.group), "group divides the input channels");
    assert!(dims.out_channels.is_multiple_of(dims.group), "group divides the output channels");
    assert_eq!(input.len(), dims.input_len(), "input length");
    assert_eq!(weights.len(), dims.weight_len(), "weights length");
    assert_eq!(output.len(), dims.output_len(), "output length");
}
