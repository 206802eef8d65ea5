//! The weights' gradient where a group has few input channels: straight from the planes and the output's gradient.
//!
//! With few taps in all, turning the output's gradient round costs as much as the products. Here positions run along the
//! lanes of both factors; of many taps most loads would cross lines of the cache for little. Work is cut into splits of the images' bands, by the shape alone; each has sums of its own,
//! which are added in order.

use super::ConvDims;
use super::lines::{Line, Lines};
use crate::kernels::gemm::scratch;
use crate::kernels::parallel;
use crate::kernels::simd::{self, Dots, Isa, MatMut, Run};

/// The most input channels of a group.
const CHANNELS: usize = 4;
/// The most taps, over all channels of a group.
const TAPS: usize = 32;
/// Parts with sums of their own.
const SPLITS: usize = 32;
/// Outputs of a band: enough to outweigh the sums of lanes, few enough for some channels to stay in the first-level cache.
const BAND: usize = 1024;
/// Runs handed to the micro-kernel at a time.
const RUNS: usize = 64;

/// How the work is cut.
pub struct Few<'a> {
    dims: &'a ConvDims,
    isa: Isa,
    lines: Lines,
    /// Outputs of the outermost axis in a band, and how many bands an image has.
    band: usize,
    bands: usize,
}

impl<'a> Few<'a> {
    /// `None` where other ways serve better: many channels, or lines that leave lanes empty.
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let width = dims.axes.last().map_or(1, |axis| axis.output);
        let full = width * 4 >= width.next_multiple_of(isa.lanes()) * 3;
        if dims.group_in() > CHANNELS || dims.depth() > TAPS || !full {
            return None;
        }
        let lines = Lines::new(dims.axes.iter().map(Line::forward));
        let outer = lines.outer_outputs();
        let band = outer.div_ceil(lines.outputs().div_ceil(BAND).clamp(1, outer.max(1))).max(1);
        Some(Self { dims, isa, lines, band, bands: outer.div_ceil(band) })
    }

    fn splits(&self) -> usize {
        SPLITS.min(self.dims.batch * self.bands)
    }

    /// Floats of scratch: the splits' sums.
    pub fn scratch_len(&self) -> usize {
        self.splits() * self.dims.weight_len()
    }

    /// Adds the gradient.
    pub fn run(&self, input: &[f32], top_diff: &[f32], weight_diff: &mut [f32], scratch: &mut [f32]) {
        let len = weight_diff.len();
        let sums = &mut scratch[..self.scratch_len()];
        parallel::for_chunks_mut(sums, len, |start, sums| {
            sums.fill(0.0);
            let (split, units) = (start / len, self.dims.batch * self.bands);
            for unit in split * units / self.splits()..(split + 1) * units / self.splits() {
                self.add_band(input, top_diff, unit, sums);
            }
        });
        let sums = &*sums;
        parallel::for_chunks_mut(weight_diff, parallel::CHUNK, |start, diff| {
            for sums in sums.chunks_exact(len) {
                diff.iter_mut().zip(&sums[start..]).for_each(|(diff, sum)| *diff += sum);
            }
        });
    }

    /// Adds a band of an image, all groups.
    fn add_band(&self, input: &[f32], top: &[f32], unit: usize, sums: &mut [f32]) {
        let dims = self.dims;
        let (image, outer) = (unit / self.bands, unit % self.bands * self.band);
        let lines = self.lines.band(outer..(outer + self.band).min(self.lines.outer_outputs()));
        let position = outer * (dims.out_area() / self.lines.outer_outputs());
        for group in 0..dims.group {
            let channel = image * dims.in_channels + group * dims.group_in();
            let input = &input[channel * dims.in_area()..][..dims.group_in() * dims.in_area()];
            let row = image * dims.out_channels + group * dims.group_out();
            let top = &top[row * dims.out_area() + position..];
            let len = dims.group_out() * dims.depth();
            let sums = &mut sums[group * len..][..len];
            if let Some(start) = lines.in_place() {
                self.add(&lines, (&input[start..], dims.in_area()), top, sums);
                continue;
            }
            let plane = lines.plane_len();
            scratch::lend(dims.group_in() * plane, |planes| {
                lines.fill_planes(self.isa, input, planes);
                self.add(&lines, (planes, plane), top, sums);
            });
        }
    }

    /// Adds the outputs of `lines`, whose planes lie `pitch` apart.
    fn add(&self, lines: &Lines, (data, pitch): (&[f32], usize), top: &[f32], sums: &mut [f32]) {
        let (m, k) = (self.dims.group_out(), self.dims.depth());
        let mut offsets = [0; TAPS];
        let offsets = &mut offsets[..k];
        lines.fill_tap_offsets(0, pitch, offsets);
        let mut at = 0;
        while at < lines.outputs() {
            let (mut runs, mut count) = ([Run::default(); RUNS], 0);
            let end = lines.for_runs(at..lines.outputs(), 0, RUNS, |_, from, len| {
                runs[count] = Run { from, len };
                count += 1;
            });
            let stride = self.dims.out_area();
            let factors = Dots { data, offsets, runs: &runs[..count], top: &top[at..], stride };
            simd::dots(self.isa, &factors, MatMut::new(sums, m, k, k));
            at = end;
        }
    }
}
