//! Kernels whose rows are registers long and that move far, as those of upsampling: lines of outputs one by one.
//!
//! Were positions along the lanes, lines would be taken apart into as many phases as the stride has places, each of few taps.

use super::task;
use crate::kernels::conv::{ConvDims, Epilogue};
use crate::kernels::parallel;
use crate::kernels::simd::{self, Isa, Wide};

/// The least length of a kernel's rows, and their least stride: registers are half full at least.
const KERNEL: usize = 16;
const STRIDE: usize = 8;

/// The sizes, where this way serves kernels of single channels.
pub fn wide(dims: &ConvDims) -> Option<Wide> {
    let [y, x] = dims.axes.as_slice() else { return None };
    let serves = x.kernel >= KERNEL
        && x.stride >= STRIDE
        && [y, x].iter().all(|axis| axis.dilation == 1 && axis.pad < axis.kernel);
    serves.then_some(Wide {
        input: [y.input, x.input],
        output: [y.output, x.output],
        kernel: [y.kernel, x.kernel],
        stride: [y.stride, x.stride],
        pad: [y.pad, x.pad],
    })
}

/// output = input * weights, then the epilogue.
pub fn forward(
    isa: Isa,
    dims: &ConvDims,
    wide: &Wide,
    (input, weights): (&[f32], &[f32]),
    epilogue: Epilogue<'_>,
    output: &mut [f32],
) {
    let ([height, width], [in_area, taps]) = (wide.output, [dims.in_area(), dims.kernel_area()]);
    let lines = task(dims.batch * dims.out_channels * height, width * taps);
    parallel::for_chunks_mut(output, lines * width, |start, output| {
        for (line, output) in (start / width..).zip(output.chunks_exact_mut(width)) {
            let (plane, y) = (line / height, line % height);
            let (channel, plane) = (plane % dims.out_channels, plane / dims.group_out());
            let factors = (&input[plane * in_area..][..in_area], &weights[channel * taps..][..taps]);
            simd::wide_filter(isa, wide, factors, (&epilogue, channel), y, output);
        }
    });
}

/// The input's gradient.
pub fn backward_input(
    isa: Isa,
    dims: &ConvDims,
    wide: &Wide,
    (top, weights): (&[f32], &[f32]),
    bottom: &mut [f32],
) {
    let ([height, width], outs) = (wide.input, dims.group_out());
    let [tops, taps] = [outs * dims.out_area(), outs * dims.kernel_area()];
    let lines = task(dims.batch * dims.in_channels * height, width * outs);
    parallel::for_chunks_mut(bottom, lines * width, |start, bottom| {
        for (line, bottom) in (start / width..).zip(bottom.chunks_exact_mut(width)) {
            let (plane, y) = (line / height, line % height);
            let weights = &weights[plane % dims.group * taps..][..taps];
            simd::wide_spread(isa, wide, (&top[plane * tops..][..tops], weights), y, bottom);
        }
    });
}

/// Adds the weights' gradient: each filter sums its images in order.
pub fn backward_weights(
    isa: Isa,
    dims: &ConvDims,
    wide: &Wide,
    (input, top): (&[f32], &[f32]),
    diff: &mut [f32],
) {
    let [in_area, area] = [dims.in_area(), dims.out_area()];
    parallel::for_chunks_mut(diff, dims.kernel_area(), |start, diff| {
        let channel = start / diff.len();
        for plane in (channel..dims.batch * dims.out_channels).step_by(dims.out_channels) {
            let input = &input[plane / dims.group_out() * in_area..][..in_area];
            simd::wide_correlate(isa, wide, input, &top[plane * area..][..area], diff);
        }
    });
}
