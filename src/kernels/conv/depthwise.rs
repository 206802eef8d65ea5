//! Convolutions whose every input channel is a group of its own: one filter at a time, straight from the plane.
//!
//! As matrices these have a single row or few, so packing would cost more than the arithmetic. Three taps by three that
//! move by one or two (`nine`) are read from the image itself, others from the plane.

mod wide;

use super::lines::{Line, Lines};
use super::phases::{self, Phase};
use super::weave::{Phases, Weave};
use super::{ConvDims, Epilogue};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Block, Filter, Filters, Isa, MOST_LANES, MatMut, Nine, PASS, Pairs, Pass};

/// The most products of one output.
const TAPS: usize = 256;
/// Blocks of rows handed to the micro-kernel at a time.
const BLOCKS: usize = 64;

/// Whether this way serves `dims`.
pub fn serves(dims: &ConvDims) -> bool {
    let few = dims.group_out() <= 2 && dims.kernel_area() * dims.group_out() <= TAPS;
    dims.group > 1 && dims.group_in() == 1 && dims.out_area() > 0 && (few || wide::wide(dims).is_some())
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

/// Calls `f` with the planes, one after the other, of the first `channels` channels of `images`, which more may follow. Whole
/// registers of rows are readable.
fn with_planes<R>(
    isa: Isa,
    lines: &Lines,
    channels: usize,
    images: &[f32],
    f: impl FnOnce(&[f32]) -> R,
) -> R {
    let alone = channels == 1 && lines.inputs() + MOST_LANES <= images.len();
    if let Some(start) = lines.in_place().filter(|_| alone) {
        return f(&images[start..]);
    }
    let plane = lines.plane_len();
    scratch::lend(channels * plane + MOST_LANES, |planes| {
        let (values, beyond) = planes.split_at_mut(channels * plane);
        lines.fill_planes(isa, images, values);
        beyond.fill(0.0);
        f(planes)
    })
}

/// How a convolution's taps meet its planes, whose rows are each read once for several rows of outputs.
///
/// Rows of outputs that share rows of the plane lie as far apart as the dilation over what it has in common with the
/// stride, and taps that do as the stride over the same. Where there are fewer than four such rows each tap goes alone.
/// Weights are read where they lie, turned round or not.
struct Taps<'a> {
    lines: &'a Lines,
    columns: [u32; TAPS],
    /// Number of columns.
    width: usize,
    passes: [Pass; TAPS],
    /// Number of passes.
    count: usize,
    /// As those of [`Filter`].
    steps: [isize; 2],
    pitch: usize,
    /// Distance between rows of outputs that share rows of the plane.
    apart: usize,
}

impl<'a> Taps<'a> {
    /// Of `channels` planes; `weight(tap)` is the number of a tap's weight, taps being counted over all planes.
    fn new(lines: &'a Lines, channels: usize, weight: impl Fn(usize) -> usize) -> Self {
        let (rows, width) = (lines.rows(), lines.last().taps);
        let mut columns = [0; TAPS];
        lines.fill_tap_offsets(0, 0, &mut columns[..width]);
        // Output row y + step meets with tap t what y meets with tap t + stride.
        let shared = rows.taps > rows.stride && rows.outputs >= 4 * rows.step;
        let (apart, down) = if shared { (rows.step, rows.stride) } else { (1, rows.taps) };
        let distance = |from: usize, to: usize| weight(to) as isize - weight(from) as isize;
        let mut all = Self {
            lines,
            columns,
            width,
            passes: [Pass::default(); TAPS],
            count: 0,
            steps: [
                if shared { distance(0, down * width) } else { 0 },
                if width > 1 { distance(0, 1) } else { 0 },
            ],
            pitch: apart * rows.stride * rows.len,
            apart,
        };
        for kernel in 0..channels * lines.taps() / (rows.taps * width) {
            for first in 0..down.min(rows.taps) {
                let mut left = (rows.taps - first).div_ceil(down);
                let mut row = kernel * rows.taps + first;
                while left > 0 {
                    let (tap, taps) = (row * width, left.div_ceil(left.div_ceil(PASS)));
                    let mut from = [0];
                    lines.fill_tap_offsets(tap, lines.plane_len(), &mut from);
                    all.passes[all.count] = Pass { from: from[0] as usize, weight: weight(tap), taps };
                    (all.count, row, left) = (all.count + 1, row + taps * down, left - taps);
                }
            }
        }
        all
    }

    /// Calls `f` with filters of all outputs, a few rows at a time.
    fn for_steps(&self, data: &[f32], mut f: impl FnMut(&Filter<'_>)) {
        let (rows, width) = (self.lines.rows().outputs, self.lines.last().outputs);
        let classes = self.apart.min(rows);
        let total = self.lines.outputs() / (rows * width) * classes;
        let (mut blocks, mut count) = ([Block::default(); BLOCKS], 0);
        for number in 0..total {
            let first = number % classes;
            let line = number / classes * rows + first;
            let (from, to) = (self.lines.output_offset(line), line * width);
            blocks[count] = Block { from, to, rows: (rows - first).div_ceil(self.apart) };
            count += 1;
            if count == BLOCKS || number + 1 == total {
                f(&Filter {
                    data,
                    columns: &self.columns[..self.width],
                    passes: &self.passes[..self.count],
                    steps: self.steps,
                    blocks: &blocks[..count],
                    width,
                    pitches: [self.pitch, self.apart * width],
                });
                count = 0;
            }
        }
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
    if let Some(wide) = wide::wide(dims) {
        return wide::forward(isa, dims, &wide, (input, weights), epilogue, output);
    }
    let lines = Lines::new(dims.axes.iter().map(Line::forward));
    let (taps, area, in_area, outs) = (dims.kernel_area(), dims.out_area(), dims.in_area(), dims.group_out());
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
    let all = Taps::new(&lines, 1, |tap| tap);
    parallel::for_chunks_mut(output, task * outs * area, |start, output| {
        for (i, output) in output.chunks_exact_mut(outs * area).enumerate() {
            let channel = start / (outs * area) + i;
            with_planes(isa, &lines, 1, &input[channel * in_area..], |data| {
                for (o, output) in output.chunks_exact_mut(area).enumerate() {
                    let out = channel % dims.group * outs + o;
                    let weights = &weights[out * taps..][..taps];
                    all.for_steps(data, |filter| {
                        simd::filter(isa, filter, weights, (&epilogue, out), output)
                    });
                }
            });
        }
    });
}

/// The input's gradient: for each phase, a filter over the group's output channels; phases are woven into lines.
pub fn backward_input(isa: Isa, dims: &ConvDims, top_diff: &[f32], weights: &[f32], bottom_diff: &mut [f32]) {
    if let Some(wide) = wide::wide(dims) {
        return wide::backward_input(isa, dims, &wide, (top_diff, weights), bottom_diff);
    }
    let (area, out_area) = (dims.in_area(), dims.out_area());
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
    let per_line = dims.axes.last().map_or(1, phases::remainders);
    parallel::for_chunks_mut(bottom_diff, task * area, |start, bottom_diff| {
        let (first, count) = (start / area, bottom_diff.len() / area);
        for number in (0..phases::count(dims)).step_by(per_line) {
            let phase = Phase::new(dims, number);
            if phase.is_everything() {
                filter_phase(isa, dims, &phase, (top_diff, weights), first, bottom_diff);
                continue;
            }
            let last = dims.axes[dims.axes.len() - 1];
            let (stride, len) = (last.stride, last.input);
            let lines = phase.lines.outputs() / len.div_ceil(stride);
            scratch::lend(count * lines * len, |values| {
                let mut rest = &mut *values;
                for number in number..number + per_line {
                    let phase = Phase::new(dims, number);
                    let out;
                    (out, rest) = rest.split_at_mut(count * phase.lines.outputs());
                    filter_phase(isa, dims, &phase, (top_diff, weights), first, out);
                }
                let c = MatMut::new(bottom_diff, count, area, area);
                let phases = Phases { values, rows: count, lines, len, stride, alike: None };
                isa.run(Weave { phases, first: &phase, row: 0, clear: false, add: false, x: None, c });
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

/// One phase of the gradient of channels from `first` on.
fn filter_phase(
    isa: Isa,
    dims: &ConvDims,
    phase: &Phase,
    (top, weights): (&[f32], &[f32]),
    first: usize,
    out: &mut [f32],
) {
    let (lines, outs, kernel) = (&phase.lines, dims.group_out(), dims.kernel_area());
    let taps = lines.taps();
    if taps == 0 {
        return out.fill(0.0);
    }
    let all = Taps::new(lines, outs, |tap| tap / taps * kernel + phase.kernel_tap(tap % taps));
    for (channel, out) in (first..).zip(out.chunks_exact_mut(lines.outputs())) {
        let weights = &weights[channel % dims.group * outs * kernel..][..outs * kernel];
        with_planes(isa, lines, outs, &top[channel * outs * dims.out_area()..], |data| {
            let none = Epilogue::default();
            all.for_steps(data, |filter| simd::filter(isa, filter, weights, (&none, 0), out));
        });
    }
}

/// Adds the weights' gradient: each channel sums its images in order.
pub fn backward_weights(isa: Isa, dims: &ConvDims, input: &[f32], top_diff: &[f32], weight_diff: &mut [f32]) {
    if let Some(wide) = wide::wide(dims) {
        return wide::backward_weights(isa, dims, &wide, (input, top_diff), weight_diff);
    }
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
    let (all, lanes) = (Taps::new(&lines, 1, |tap| tap), isa.lanes());
    parallel::for_chunks_mut(weight_diff, outs * taps, |start, diff| {
        let channel = start / (outs * taps);
        scratch::lend(diff.len() * lanes, |sums| {
            sums.fill(0.0);
            for image in 0..dims.batch {
                let plane = image * dims.in_channels + channel;
                with_planes(isa, &lines, 1, &input[plane * in_area..], |data| {
                    for (o, sums) in sums.chunks_exact_mut(taps * lanes).enumerate() {
                        let top = &top_diff[(plane * outs + o) * area..][..area];
                        all.for_steps(data, |filter| simd::correlate(isa, filter, top, sums));
                    }
                });
            }
            for (diff, sums) in diff.iter_mut().zip(sums.chunks_exact(lanes)) {
                *diff += sums.iter().sum::<f32>();
            }
        });
    });
}
