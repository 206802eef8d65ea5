//! The weights' gradient: for every tap and output channel, the input times the output's gradient, summed over
//! positions and images.
//!
//! Work is cut into splits of the batch times blocks of output channels, by the shape alone. Each task sums its images
//! in order into sums of its own (one row a tap, one column a channel), which are added to the gradient in order.

use std::ops::Range;

use super::ConvDims;
use super::convolve::images_together;
use super::lines::{Line, Lines};
use crate::kernels::gemm::{panels, scratch};
use crate::kernels::parallel;
use crate::kernels::simd::{self, Isa, MatMut, Outer, Run, Transposed};

/// Tasks that are enough for every thread of a large machine; more splits of the batch would only cost memory.
const TASKS: usize = 16;
/// Panels of channels in a task, which share its planes.
const PANELS: usize = 2;
/// Positions of a step: what they pack of the output's gradient stays in the first-level cache.
const POSITIONS: usize = 256;
/// Runs of a step.
const RUNS: usize = 64;
/// Taps whose offsets are worked out at a time.
const TAPS: usize = 256;
/// Outputs of a plane: enough to outweigh its margins, few enough to stay near.
const BAND: usize = 1024;

/// The share of a task: images, and output channels of a group from `channel` on.
struct Part {
    split: usize,
    group: usize,
    channel: usize,
}

/// Planes of some images, or of a band of one: each image's `image` apart, each channel's `channel` apart.
struct Planes<'a> {
    lines: &'a Lines,
    values: &'a [f32],
    images: usize,
    image: usize,
    channel: usize,
}

/// How the work is cut.
pub struct Cut<'a> {
    dims: &'a ConvDims,
    isa: Isa,
    lines: Lines,
    /// Output channels of a group, rounded up to registers.
    channels: usize,
    /// Parts of the batch with sums of their own.
    splits: usize,
    /// Outputs of the outermost axis in a band, and how many bands an image has.
    band: usize,
    bands: usize,
    /// Images taken together.
    together: usize,
}

impl<'a> Cut<'a> {
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Self {
        let lines = Lines::new(dims.axes.iter().map(Line::forward));
        let outer = lines.outer_outputs();
        let band = outer.div_ceil(lines.outputs().div_ceil(BAND).clamp(1, outer.max(1)));
        let bands = outer.div_ceil(band.max(1));
        let channels = dims.group_out().next_multiple_of(isa.lanes());
        let blocks = dims.group * channels.div_ceil(PANELS * isa.tile_cols()).max(1);
        let together = images_together(dims.batch, lines.outputs());
        let cut = Self { dims, isa, lines, channels, splits: 1, band, bands, together };
        Self { splits: (TASKS / blocks).max(1).min(cut.units()), ..cut }
    }

    /// Groups of images, or bands of one: what the splits share out.
    fn units(&self) -> usize {
        self.dims.batch.div_ceil(self.together) * self.bands
    }

    /// Floats of scratch: the splits' sums.
    pub fn scratch_len(&self) -> usize {
        self.splits * self.split_len()
    }

    fn split_len(&self) -> usize {
        self.dims.group * self.dims.depth() * self.channels
    }

    /// Adds the gradient.
    pub fn run(&self, input: &[f32], top_diff: &[f32], weight_diff: &mut [f32], scratch: &mut [f32]) {
        let (dims, k) = (self.dims, self.dims.depth());
        let sums = &mut scratch[..self.scratch_len()];
        if sums.is_empty() {
            return;
        }
        let block = k * PANELS * self.isa.tile_cols();
        parallel::for_chunks_mut(sums, k * self.channels, |start, sums| {
            let (split, group) = (start / self.split_len(), start / (k * self.channels) % dims.group);
            parallel::for_chunks_mut(sums, block, |start, sums| {
                let part = Part { split, group, channel: start / k };
                self.sum(input, top_diff, &part, sums);
            });
        });
        let (first, others) = sums.split_at_mut(self.split_len());
        parallel::for_chunks_mut(first, parallel::CHUNK, |start, first| {
            for other in others.chunks_exact(self.split_len()) {
                first.iter_mut().zip(&other[start..]).for_each(|(a, b)| *a += b);
            }
        });
        // Sums of a panel of channels: a row a tap.
        let panel = self.isa.tile_cols();
        parallel::for_chunks_mut(weight_diff, dims.group_out() * k, |start, diff| {
            let sums = &first[start / (dims.group_out() * k) * k * self.channels..][..k * self.channels];
            parallel::for_chunks_mut(diff, panel * k, |start, diff| {
                let channel = start / k;
                let width = panel.min(self.channels - channel);
                let rows = diff.len() / k;
                let how = Transposed { stride: width, add: true, bias: None, relu: false };
                simd::transpose(self.isa, &sums[channel * k..], how, MatMut::new(diff, rows, k, k));
            });
        });
    }

    /// Sums one part: for each panel of channels, a row a tap.
    fn sum(&self, input: &[f32], top: &[f32], part: &Part, sums: &mut [f32]) {
        let dims = self.dims;
        let Part { split, group, channel } = *part;
        let (in_image, out_image) = (dims.in_channels * dims.in_area(), dims.out_channels * dims.out_area());
        let units = self.units();
        let mut add = false;
        for unit in split * units / self.splits..(split + 1) * units / self.splits {
            let image = unit / self.bands * self.together;
            let images = self.together.min(dims.batch - image);
            let outer = unit % self.bands * self.band;
            let outer = outer..(outer + self.band).min(self.lines.outer_outputs());
            let lines = self.lines.band(outer.clone());
            let input = &input[image * in_image + group * dims.group_in() * dims.in_area()..];
            let position = outer.start * (dims.out_area() / self.lines.outer_outputs());
            let row = group * dims.group_out() + channel;
            let top = &top[image * out_image + row * dims.out_area() + position..];
            if let Some(start) = lines.in_place() {
                let values = &input[start..];
                let planes =
                    Planes { lines: &lines, values, images, image: in_image, channel: dims.in_area() };
                self.add_images(&planes, top, channel, add, sums);
            } else {
                let plane = lines.plane_len();
                let image = dims.group_in() * plane;
                scratch::lend(images * image, |values| {
                    for (input, planes) in input.chunks(in_image).zip(values.chunks_exact_mut(image)) {
                        lines.fill_planes(&input[..dims.group_in() * dims.in_area()], planes);
                    }
                    let planes = Planes { lines: &lines, values, images, image, channel: plane };
                    self.add_images(&planes, top, channel, add, sums);
                });
            }
            add = true;
        }
    }

    /// Adds some images, or a band of one.
    fn add_images(&self, planes: &Planes<'_>, top: &[f32], channel: usize, mut add: bool, sums: &mut [f32]) {
        let (k, isa) = (self.dims.depth(), self.isa);
        let block = sums.len() / k;
        let all = planes.images * planes.lines.outputs();
        scratch::lend(block * POSITIONS, |packed| {
            let mut at = 0;
            while at < all {
                let (mut runs, mut count) = ([Run::default(); RUNS], 0);
                let end =
                    planes.lines.for_runs(at..all.min(at + POSITIONS), planes.image, RUNS, |_, from, len| {
                        runs[count] = Run { from, len };
                        count += 1;
                    });
                let packed = &mut packed[..block * (end - at)];
                self.pack(planes, top, channel, at..end, packed);
                for first in (0..k).step_by(TAPS) {
                    let mut offsets = [0; TAPS];
                    let offsets = &mut offsets[..TAPS.min(k - first)];
                    planes.lines.fill_tap_offsets(first, planes.channel, offsets);
                    for panel in (0..block).step_by(isa.tile_cols()) {
                        let width = isa.tile_cols().min(block - panel);
                        let b = &packed[panel * (end - at)..][..width * (end - at)];
                        let sums = &mut sums[panel * k + first * width..][..offsets.len() * width];
                        let factors =
                            Outer { data: planes.values, offsets: &[], runs: &runs[..count], b, add };
                        tiles(isa, &factors, offsets, MatMut::new(sums, offsets.len(), width, width));
                    }
                }
                (at, add) = (end, true);
            }
        });
    }

    /// Packs the output's gradient at `positions`: for each panel of channels, for each position, one value a channel.
    fn pack(
        &self,
        planes: &Planes<'_>,
        top: &[f32],
        channel: usize,
        positions: Range<usize>,
        packed: &mut [f32],
    ) {
        let (isa, area, outputs) = (self.isa, self.dims.out_area(), planes.lines.outputs());
        let block = packed.len() / positions.len();
        for first in (0..block).step_by(isa.tile_cols()) {
            let width = isa.tile_cols().min(block - first);
            let valid = width.min(self.dims.group_out() - channel - first);
            let mut at = positions.start;
            while at < positions.end {
                let (image, position) = (at / outputs, at % outputs);
                let len = (outputs - position).min(positions.end - at);
                let from = &top[image * self.dims.out_channels * area + first * area + position..];
                let to =
                    &mut packed[first * positions.len() + (at - positions.start) * width..][..len * width];
                simd::interleave(isa, from, area, valid, width, to);
                at += len;
            }
        }
    }
}

/// All taps at `offsets`, a tile at a time.
fn tiles(isa: Isa, factors: &Outer<'_>, offsets: &[u32], mut c: MatMut<'_>) {
    let cols = 0..c.cols();
    for rows in panels(offsets.len(), isa.tile_rows()) {
        let rows: Range<usize> = rows;
        let factors = Outer { offsets: &offsets[rows.clone()], ..*factors };
        simd::outer(isa, &factors, c.block(rows, cols.clone()));
    }
}
