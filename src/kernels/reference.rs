//! Plain twins of the fast kernels: the definition, one loop per index, summed in `f64`. For tests.

use super::conv::ConvDims;
use super::gemm::Gemm;

/// C = alpha * A B + beta * C.
pub fn gemm(product: &Gemm<'_>, c: &mut [f32]) {
    let Gemm { m, n, k, a, b, alpha, beta, c_stride } = *product;
    for i in 0..m {
        for j in 0..n {
            let at = |p: usize| {
                let (x, y) = (i * a.row_stride + p * a.col_stride, p * b.row_stride + j * b.col_stride);
                f64::from(a.data[x]) * f64::from(b.data[y])
            };
            let sum: f64 = (0..k).map(at).sum();
            let old = if beta == 0.0 { 0.0 } else { f64::from(beta) * f64::from(c[i * c_stride + j]) };
            c[i * c_stride + j] = (f64::from(alpha) * sum + old) as f32;
        }
    }
}

/// Calls `f(input index, weight index, output index)` for every multiplication of a convolution.
fn for_products(dims: &ConvDims, mut f: impl FnMut(usize, usize, usize)) {
    let (in_area, out_area, taps) = (dims.in_area(), dims.out_area(), dims.kernel_area());
    let (ins, outs) = (dims.in_channels / dims.group, dims.out_channels / dims.group);
    let met = |tap| (0..out_area).filter_map(move |pixel| Some((tap, source(dims, tap, pixel)?, pixel)));
    let met: Vec<_> = (0..taps).flat_map(met).collect();
    for image in 0..dims.batch {
        for out in 0..dims.out_channels {
            for c in 0..ins {
                let channel = image * dims.in_channels + out / outs * ins + c;
                for &(tap, at, pixel) in &met {
                    f(
                        channel * in_area + at,
                        (out * ins + c) * taps + tap,
                        (image * dims.out_channels + out) * out_area + pixel,
                    );
                }
            }
        }
    }
}

/// The input position that kernel position `tap` meets at output position `pixel`; `None` in the padding.
fn source(dims: &ConvDims, mut tap: usize, mut pixel: usize) -> Option<usize> {
    let (mut at, mut scale) = (0, 1);
    for axis in dims.axes.iter().rev() {
        let (t, p) = (tap % axis.kernel, pixel % axis.output);
        (tap, pixel) = (tap / axis.kernel, pixel / axis.output);
        let x = (p * axis.stride + t * axis.dilation).checked_sub(axis.pad).filter(|&x| x < axis.input)?;
        at += x * scale;
        scale *= axis.input;
    }
    Some(at)
}

fn rounded(sums: Vec<f64>) -> Vec<f32> {
    sums.into_iter().map(|v| v as f32).collect()
}

/// The output of a convolution without bias.
pub fn conv_forward(dims: &ConvDims, input: &[f32], weights: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0; dims.output_len()];
    for_products(dims, |i, w, o| sums[o] += f64::from(input[i]) * f64::from(weights[w]));
    rounded(sums)
}

/// The input's gradient.
pub fn conv_backward_input(dims: &ConvDims, top_diff: &[f32], weights: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0; dims.input_len()];
    for_products(dims, |i, w, o| sums[i] += f64::from(top_diff[o]) * f64::from(weights[w]));
    rounded(sums)
}

/// The weights' gradient, summed over the batch.
pub fn conv_backward_weights(dims: &ConvDims, input: &[f32], top_diff: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0; dims.weight_len()];
    for_products(dims, |i, w, o| sums[w] += f64::from(input[i]) * f64::from(top_diff[o]));
    rounded(sums)
}
