//! Convolutions to few channels, such as the last of nets that make images: each pass is another pass of the convolution from these few
//! channels to the many, whose taps are in reverse order.
//!
//! What that is fast at (`few`) this is, too: as few rows of weights as outputs would leave most of a tile empty.

use super::few::{CHANNELS, few_pairs};
use super::{ConvAxis, ConvDims, Epilogue};
use crate::kernels::parallel;
use crate::kernels::simd::Isa;

/// Where a group has fewer pairs of channels than `few_pairs`, so many inputs an output outweigh what the forward pass is fast at itself.
const MANY: usize = 16;

/// The convolution with inputs and outputs exchanged, for the backward passes; `None` where that would take longer, or there is none: it
/// moves by one, and no margin is wider than the taps reach.
pub fn of(dims: &ConvDims) -> Option<ConvDims> {
    let few = (1..=CHANNELS).contains(&dims.group_out()) && dims.group_in() > CHANNELS;
    let planes = dims.kernel_area() > 1 && dims.out_area() > 1 && dims.in_area() > 1;
    let turns = |axis: &ConvAxis| axis.stride == 1 && axis.pad < axis.extent();
    let serves = few && planes && dims.axes.len() <= 2;
    let turned = |axis: &ConvAxis| ConvAxis {
        input: axis.output,
        output: axis.input,
        pad: axis.extent() - 1 - axis.pad,
        ..*axis
    };
    (serves && dims.axes.iter().all(turns)).then(|| ConvDims {
        in_channels: dims.out_channels,
        out_channels: dims.in_channels,
        axes: dims.axes.iter().map(turned).collect(),
        place: None,
        ..*dims
    })
}

/// The same for the forward pass.
pub fn of_forward(dims: &ConvDims) -> Option<ConvDims> {
    of(dims).filter(|_| !few_pairs(dims) || dims.group_in() >= MANY * dims.group_out())
}

/// As [`super::forward`].
pub fn forward(
    (dims, exchanged): (&ConvDims, &ConvDims),
    input: &[f32],
    weights: &[f32],
    epilogue: Epilogue<'_>,
    output: &mut [f32],
    scratch: &mut [f32],
) {
    let (turned, scratch) = scratch.split_at_mut(dims.weight_len());
    turn(exchanged, weights, turned);
    super::backward_input(exchanged, input, turned, output, scratch);
    let isa = Isa::best();
    parallel::for_chunks_mut(output, dims.out_area(), |start, plane| {
        let row = start / dims.out_area() % dims.out_channels;
        epilogue.rows(row..row + 1).finish_row(isa, plane);
    });
}

/// As [`super::backward_input`].
pub fn backward_input(
    (dims, exchanged): (&ConvDims, &ConvDims),
    top_diff: &[f32],
    weights: &[f32],
    bottom_diff: &mut [f32],
    scratch: &mut [f32],
) {
    let (turned, scratch) = scratch.split_at_mut(dims.weight_len());
    turn(exchanged, weights, turned);
    super::forward(exchanged, top_diff, turned, Epilogue::default(), bottom_diff, scratch);
}

/// As [`super::backward_weights`].
pub fn backward_weights(
    (dims, exchanged): (&ConvDims, &ConvDims),
    input: &[f32],
    top_diff: &[f32],
    weight_diff: &mut [f32],
    bias_diff: Option<&mut [f32]>,
    scratch: &mut [f32],
) {
    let (turned, scratch) = scratch.split_at_mut(dims.weight_len());
    turned.fill(0.0);
    super::backward_weights(exchanged, top_diff, input, turned, None, scratch);
    for_pairs(dims, |to, from| {
        weight_diff[to].iter_mut().zip(turned[from].iter().rev()).for_each(|(diff, sum)| *diff += sum);
    });
    if let Some(bias_diff) = bias_diff {
        super::backward_bias(dims, top_diff, bias_diff);
    }
}

/// The weights of the exchanged convolution.
fn turn(exchanged: &ConvDims, weights: &[f32], turned: &mut [f32]) {
    for_pairs(exchanged, |to, from| {
        turned[to].iter_mut().zip(weights[from].iter().rev()).for_each(|(to, &from)| *to = from);
    });
}

/// Calls `f` with where the taps of a pair of channels lie among the weights of `dims`, and of the convolution that it is exchanged with.
fn for_pairs(dims: &ConvDims, mut f: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>)) {
    let (outputs, inputs, taps) = (dims.group_out(), dims.group_in(), dims.kernel_area());
    for pair in 0..dims.out_channels * inputs {
        let (group, row, channel) = (pair / (outputs * inputs), pair / inputs % outputs, pair % inputs);
        let other = (group * inputs + channel) * outputs + row;
        f(pair * taps..(pair + 1) * taps, other * taps..(other + 1) * taps);
    }
}
