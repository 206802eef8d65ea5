//! Convolutions whose every input channel is a group of its own: one filter at a time, straight from the plane.
//!
//! As matrices these have a single row or few, so packing would cost more than the arithmetic. Three taps by three that
//! move by one or two (`nine`) are read from the image itself, others from the plane.

use super::lines::{Line, Lines};
use super::phases::{Phase, phases};
use super::{ConvDims, Epilogue};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Filter, Filters, Isa, MOST_LANES, Nine, Pairs, Run};

/// The most products of one output.
const TAPS: usize = 256;
/// Runs handed to the micro-kernel at a time.
const RUNS: usize = 64;

/// Whether this way serves `dims`.
pub fn serves(dims: &ConvDims) -> bool {
    dims.group > 1
        && dims.group_in() == 1
        && dims.group_out() <= 2
        && dims.kernel_area() * dims.group_out() <= TAPS
        && dims.out_area() > 0
}

/// The planes of three taps by three, where those kernels serve.
fn nine(dims: &ConvDims) -> Option<Nine> {
    let [y, x] = dims.axes.as_slice() else { return None };
    let nine = Nine {
        input: [y.input, x.input],
        output: [y.output, x.output],
        pad: [y.pad, x.pad],
        stride: y.stride,
    };
    let taps = [y, x].iter().all(|a| a.kernel == 3 && a.dilation == 1 && a.stride == nine.stride);
    let moves = match nine.stride {
        1 => nine.pad.iter().all(|&pad| pad <= 2),
        2 => nine.pad == [1, 1],
        _ => false,
    };
    (taps && moves && dims.group_out() == 1).then_some(nine)
}

/// Calls `f` with a row of `width` zeros. Registers around its ends are masked, but lie in memory all the same: processors take some
/// hundred cycles for lanes in pages that are not there.
fn with_zeros<R>(width: usize, f: impl FnOnce(&[f32]) -> R) -> R {
    scratch::lend(width + 2 * MOST_LANES, |zeros| {
        zeros.fill(0.0);
        f(&zeros[MOST_LANES..][..width])
    })
}

/// Channels of a task: enough to outweigh its start, and the same for any number of threads.
fn task(channels: usize, area: usize) -> usize {
    parallel::CHUNK.div_ceil(area.max(1)).min(channels.div_ceil(16)).max(1)
}

/// Calls `f(planes, plane length)` with the planes of `channels` channels of `image`.
fn with_planes<R>(
    isa: Isa,
    lines: &Lines,
    channels: usize,
    image: &[f32],
    f: impl FnOnce(&[f32], usize) -> R,
) -> R {
    if let Some(start) = lines.in_place() {
        return f(&image[start..], lines.inputs());
    }
    let plane = lines.plane_len();
    scratch::lend(channels * plane, |planes| {
        lines.fill_planes(isa, image, planes);
        f(planes, plane)
    })
}

/// Calls `f(outputs, runs)` for all outputs, a few runs at a time.
fn for_steps(lines: &Lines, mut f: impl FnMut(std::ops::Range<usize>, &[Run])) {
    let mut at = 0;
    while at < lines.outputs() {
        let (mut runs, mut count) = ([Run::default(); RUNS], 0);
        let end = lines.for_runs(at..lines.outputs(), 0, RUNS, |_, from, len| {
            runs[count] = Run { from, len };
            count += 1;
        });
        f(at..end, &runs[..count]);
        at = end;
    }
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
    let lines = Lines::new(dims.axes.iter().map(Line::forward));
    let (taps, area, in_area, outs) = (dims.kernel_area(), dims.out_area(), dims.in_area(), dims.group_out());
    let mut offsets = [0; TAPS];
    let offsets = &mut offsets[..taps];
    lines.fill_tap_offsets(0, 0, offsets);
    let offsets = &*offsets;
    let task = task(dims.batch * dims.in_channels, area * outs);
    if let Some(nine) = nine(dims) {
        return parallel::for_chunks_mut(output, task * area, |start, output| {
            let (first, count) = (start / area, output.len() / area);
            let filters = Filters { weights, first, turned: false, epilogue };
            let input = &input[first * in_area..][..count * in_area];
            with_zeros(nine.input[1], |zeros| {
                simd::nine_filter(isa, &nine, (input, zeros), &filters, output)
            });
        });
    }
    parallel::for_chunks_mut(output, task * outs * area, |start, output| {
        for (i, output) in output.chunks_exact_mut(outs * area).enumerate() {
            let channel = start / (outs * area) + i;
            with_planes(isa, &lines, 1, &input[channel * in_area..][..in_area], |data, _| {
                for (o, output) in output.chunks_exact_mut(area).enumerate() {
                    let out = channel % dims.group * outs + o;
                    let weights = &weights[out * taps..][..taps];
                    for_steps(&lines, |at, runs| {
                        let filter = Filter { data, offsets, runs };
                        simd::filter(isa, &filter, weights, (&epilogue, out), &mut output[at]);
                    });
                }
            });
        }
    });
}

/// The input's gradient: for each phase, a filter over the group's output channels.
pub fn backward_input(isa: Isa, dims: &ConvDims, top_diff: &[f32], weights: &[f32], bottom_diff: &mut [f32]) {
    let (area, out_area, outs) = (dims.in_area(), dims.out_area(), dims.group_out());
    let task = task(dims.batch * dims.in_channels, area);
    if let Some(nine) = nine(dims) {
        return parallel::for_chunks_mut(bottom_diff, task * area, |start, bottom| {
            let (first, count) = (start / area, bottom.len() / area);
            let top = &top_diff[first * out_area..][..count * out_area];
            with_zeros(nine.output[1], |zeros| {
                nine_backward(isa, &nine, (top, zeros), (weights, first), bottom)
            });
        });
    }
    parallel::for_chunks_mut(bottom_diff, task * area, |start, bottom_diff| {
        for phase in phases(dims) {
            let outputs = phase.lines.outputs();
            scratch::lend(outputs, |values| {
                for (i, bottom) in bottom_diff.chunks_exact_mut(area).enumerate() {
                    let channel = start / area + i;
                    let top = &top_diff[channel * outs * out_area..][..outs * out_area];
                    let weights = &weights[channel % dims.group * outs * dims.kernel_area()..];
                    if phase.is_everything() {
                        filter_phase(isa, &phase, outs, top, weights, bottom);
                    } else {
                        filter_phase(isa, &phase, outs, top, weights, values);
                        phase.scatter(values, bottom);
                    }
                }
            });
        }
    });
}

/// The gradient of the inputs from plane `first` on.
fn nine_backward(
    isa: Isa,
    nine: &Nine,
    (top, zeros): (&[f32], &[f32]),
    (weights, first): (&[f32], usize),
    bottom: &mut [f32],
) {
    let filters = Filters { weights, first, turned: nine.stride == 1, epilogue: Epilogue::default() };
    if nine.stride == 2 {
        return simd::nine_spread(isa, nine, (top, zeros), &filters, bottom);
    }
    let pad = nine.pad.map(|pad| 2 - pad);
    let turned = Nine { input: nine.output, output: nine.input, pad, stride: 1 };
    simd::nine_filter(isa, &turned, (top, zeros), &filters, bottom);
}

/// One phase of one input channel's gradient.
fn filter_phase(isa: Isa, phase: &Phase, outs: usize, top: &[f32], weights: &[f32], out: &mut [f32]) {
    let lines = &phase.lines;
    let (taps, kernel) = (lines.taps(), phase.kernel_area());
    if taps == 0 {
        return out.fill(0.0);
    }
    with_planes(isa, lines, outs, top, |data, pitch| {
        let (mut offsets, mut values) = ([0; TAPS], [0.0; TAPS]);
        let (offsets, values) = (&mut offsets[..outs * taps], &mut values[..outs * taps]);
        lines.fill_tap_offsets(0, pitch, offsets);
        for (k, value) in values.iter_mut().enumerate() {
            *value = weights[k / taps * kernel + phase.kernel_tap(k % taps)];
        }
        for_steps(lines, |at, runs| {
            let none = Epilogue::default();
            simd::filter(isa, &Filter { data, offsets, runs }, values, (&none, 0), &mut out[at]);
        });
    });
}

/// Adds the weights' gradient: each channel sums its images in order.
pub fn backward_weights(isa: Isa, dims: &ConvDims, input: &[f32], top_diff: &[f32], weight_diff: &mut [f32]) {
    let lines = Lines::new(dims.axes.iter().map(Line::forward));
    let (taps, area, in_area, outs) = (dims.kernel_area(), dims.out_area(), dims.in_area(), dims.group_out());
    if let Some(nine) = nine(dims) {
        let channels = task(dims.in_channels, area * dims.batch);
        return parallel::for_chunks_mut(weight_diff, channels * taps, |start, diff| {
            with_zeros(nine.input[1], |zeros| {
                let pairs = Pairs { input, top: top_diff, channels: dims.in_channels, zeros };
                simd::nine_correlate(isa, &nine, &pairs, start / taps, diff);
            });
        });
    }
    let mut offsets = [0; TAPS];
    let offsets = &mut offsets[..taps];
    lines.fill_tap_offsets(0, 0, offsets);
    let offsets = &*offsets;
    parallel::for_chunks_mut(weight_diff, outs * taps, |start, diff| {
        let channel = start / (outs * taps);
        for image in 0..dims.batch {
            let input = &input[(image * dims.in_channels + channel) * in_area..][..in_area];
            with_planes(isa, &lines, 1, input, |data, _| {
                for (o, diff) in diff.chunks_exact_mut(taps).enumerate() {
                    let top = &top_diff[(image * dims.out_channels + channel * outs + o) * area..][..area];
                    for_steps(&lines, |at, runs| {
                        simd::correlate(isa, &Filter { data, offsets, runs }, &top[at], diff);
                    });
                }
            });
        }
    });
}
