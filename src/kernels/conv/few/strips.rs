//! The weights' gradient of more taps: some neighbouring taps of two rows of the kernel at a time, broadcast from the
//! plane, times registers of channels of the output's gradient, which is turned round a few lines at a time; the next
//! are fetched meanwhile.
//!
//! Taps that lie side by side need one address for all, so nearly everything the processor does is multiply.

use std::ops::Range;

use super::CHANNELS;
use super::planes::{Planes, two_axes};
use crate::kernels::conv::{ConvAxis, ConvDims};
use crate::kernels::gemm::panels;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Epilogue, Isa, MatMut, Pieces, Run, STRIP, Transposed};

/// Outputs that are turned round at a time, but for long lines: they stay in the first-level cache.
const TURNED: usize = 256;
/// Runs of so many, at most.
const RUNS: usize = 64;

/// The sizes.
pub struct Strips<'a> {
    dims: &'a ConvDims,
    isa: Isa,
    axes: [ConvAxis; 2],
    /// Output channels of a group, rounded up to registers.
    channels: usize,
}

impl<'a> Strips<'a> {
    /// `None` where other ways serve better, or this does not at all.
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let axes = two_axes(dims)?;
        let near = axes[1].kernel > 1 && axes[1].dilation == 1;
        if dims.group_in() > CHANNELS || dims.out_channels == 0 || !near || dims.out_area() == 0 {
            return None;
        }
        Some(Self { dims, isa, axes, channels: dims.group_out().next_multiple_of(isa.lanes()) })
    }

    /// Values of the sums: for each group and panel of channels a row a tap.
    pub fn sums_len(&self) -> usize {
        self.dims.group * self.dims.depth() * self.channels
    }

    /// The panels of a group's channels.
    fn panels(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (wide, end) = (self.isa.tile_cols(), self.channels);
        (0..end).step_by(wide).map(move |start| start..end.min(start + wide))
    }

    /// Adds lines of outputs of an image, all groups, to the sums, and to the channels' `own`.
    pub fn add_band(
        &self,
        input: &[f32],
        top: &[f32],
        (image, lines): (usize, Range<usize>),
        sums: &mut [f32],
        mut own: Option<&mut [f32]>,
    ) {
        let (dims, width) = (self.dims, self.axes[1].output);
        let planes = Planes::new(self.axes, lines.len(), false);
        let (values, of_group) = (dims.group_in() * dims.in_area(), sums.len() / dims.group);
        let together = (TURNED / width).clamp(1, RUNS);
        let len = dims.group_in() * planes.channel_len();
        scratch::lend(len + self.isa.tile_cols() * together * width, |scratch| {
            let (data, turned) = scratch.split_at_mut(len);
            for group in 0..dims.group {
                planes.fill(
                    self.isa,
                    &input[(image * dims.group + group) * values..][..values],
                    lines.start,
                    data,
                );
                let sums = &mut sums[group * of_group..][..of_group];
                let row = image * dims.out_channels + group * dims.group_out();
                for first in lines.clone().step_by(together) {
                    let count = together.min(lines.end - first);
                    for panel in self.panels() {
                        let valid = panel.end.min(dims.group_out()) - panel.start;
                        let turned = &mut turned[..count * width * panel.len()];
                        let from = &top[(row + panel.start) * dims.out_area() + first * width..];
                        simd::interleave(self.isa, from, dims.out_area(), valid, panel.len(), turned);
                        if let Some(own) = &mut own {
                            let own = &mut own[group * dims.group_out() + panel.start..][..valid];
                            simd::add_groups(self.isa, turned, panel.len(), own);
                        }
                        let sums = &mut sums[panel.start * dims.depth()..panel.end * dims.depth()];
                        let next = self.next(top, row, (first, count), &panel);
                        self.add((&planes, data), (first - lines.start, count), turned, next, sums);
                    }
                }
            }
        });
    }

    /// What will be turned round after these lines of a panel of the channels from `row` on.
    fn next<'t>(
        &self,
        top: &'t [f32],
        row: usize,
        (first, count): (usize, usize),
        panel: &Range<usize>,
    ) -> Pieces<'t> {
        let [outer, inner] = &self.axes;
        let (row, line) = if panel.end < self.channels {
            (row + panel.end, first)
        } else if first + count < outer.output {
            (row, first + count)
        } else {
            (row + self.dims.group_out(), 0)
        };
        let (stride, len) = (self.dims.out_area(), count * inner.output);
        let data = top.get(row * stride + line * inner.output..).unwrap_or(&[]);
        Pieces { data, stride, count: panel.len().min(self.dims.group_out()), len }
    }

    /// Adds the products of `count` lines of outputs from `first` on with the channels of a panel.
    fn add(
        &self,
        (planes, data): (&Planes, &[f32]),
        (first, count): (usize, usize),
        turned: &[f32],
        next: Pieces<'_>,
        sums: &mut [f32],
    ) {
        let [outer, inner] = &self.axes;
        let width = sums.len() / self.dims.depth();
        let mut runs = [Run::default(); RUNS];
        for (i, run) in runs.iter_mut().enumerate().take(count) {
            *run = Run { from: (first + i) * outer.stride * planes.pitch(), len: inner.output };
        }
        // Rows of the kernel, one or two at a time, each cut into strips.
        let rows = self.dims.group_in() * outer.kernel;
        let mut rest = next;
        for strip in panels(inner.kernel, STRIP.min(self.isa.tile_rows())) {
            let pair = if 2 * strip.len() <= self.isa.tile_rows() { 2 } else { 1 };
            // Each call fetches its share of what is next.
            let share = next.count.div_ceil(rows.div_ceil(pair));
            for row in (0..rows).step_by(pair) {
                let mut starts = [0; 2];
                let starts = &mut starts[..pair.min(rows - row)];
                for (i, start) in starts.iter_mut().enumerate() {
                    *start = planes.tap((row + i) / outer.kernel, (row + i) % outer.kernel, strip.start);
                }
                let next = Pieces { count: share.min(rest.count), ..rest };
                rest.count -= next.count;
                rest.data = rest.data.get(next.count * rest.stride..).unwrap_or(&[]);
                let factors = simd::Strips {
                    data,
                    starts,
                    taps: strip.len(),
                    step: inner.stride,
                    runs: &runs[..count],
                    b: turned,
                    line: inner.kernel * width,
                    next,
                };
                let at = (row * inner.kernel + strip.start) * width;
                simd::strips(self.isa, &factors, width, &mut sums[at..]);
            }
        }
    }

    /// Adds the sums, turned round, to the weights' gradient.
    pub fn add_sums(&self, sums: &[f32], diff: &mut [f32]) {
        let (k, m) = (self.dims.depth(), self.dims.group_out());
        for (sums, diff) in sums.chunks_exact(k * self.channels).zip(diff.chunks_exact_mut(m * k)) {
            for panel in self.panels() {
                let rows = panel.end.min(m) - panel.start;
                let how = Transposed { stride: panel.len(), add: true, epilogue: Epilogue::default() };
                let diff = MatMut::new(&mut diff[panel.start * k..], rows, k, k);
                simd::transpose(self.isa, &sums[panel.start * k..], how, diff);
            }
        }
    }
}
