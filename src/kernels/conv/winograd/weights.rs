//! The weights at the points: for each panel of output channels, for each point, for each input channel, and part of its kernel,
//! the panel's values.

use std::ops::Range;

use super::{CHANNELS, Pass, Winograd};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Grid, ImagesMut, Map, Target};

impl Winograd {
    /// Distance between the points of a panel `width` wide: a register more than it needs, so that points do not meet in
    /// the same lines of the cache.
    pub(super) fn point_len(&self, channels: usize, width: usize) -> usize {
        channels * width + self.isa.lanes()
    }

    /// Floats of a whole panel.
    pub(super) fn panel_len(&self, channels: usize) -> usize {
        self.all_points() * self.point_len(channels, self.isa.tile_cols())
    }

    /// Floats of the panels of so many output channels.
    pub(super) fn panels_len(&self, channels: usize, rows: usize) -> usize {
        let (lanes, panels) = (self.isa.lanes(), rows.div_ceil(self.isa.tile_cols()));
        self.all_points() * (channels * rows.next_multiple_of(lanes) + panels * lanes)
    }

    /// Transforms a group's weights for a phase to the panel of output channels that starts at `first`, for some input channels.
    /// They are taken some channels at a time, so that they stay in the first-level cache in between.
    pub(super) fn transform_panel(
        &self,
        weights: &[f32],
        (first, phase): (usize, [usize; 2]),
        channels: Range<usize>,
        panel: &mut [f32],
    ) {
        let (isa, lanes, inputs) = (self.isa, self.isa.lanes(), self.inputs());
        let (width, [height, length]) = (self.panel_width(first), self.parts.padded());
        let (area, taps) = (height * length, self.parts.most_taps());
        let map = match self.pass {
            Pass::Turned => Map::Turned(taps),
            Pass::Forward | Pass::Spread => Map::Values(taps),
        };
        let rows = channels.len() * inputs;
        let points = ImagesMut::spaced(panel, self.all_points(), self.point_len(rows, width), [rows, width]);
        let block = (CHANNELS / inputs).next_multiple_of(lanes) * inputs;
        parallel::for_row_blocks(points, block, &|start, mut points| {
            scratch::lend(lanes * area * lanes, |plain| {
                let count = points.rows() / inputs;
                for (at, channel) in (0..width)
                    .step_by(lanes)
                    .flat_map(|at| (0..count).step_by(lanes).map(move |channel| (at, channel)))
                {
                    let some = lanes.min(count - channel);
                    let plain = &mut plain[..some * area * lanes];
                    self.interleave(weights, first + at, channels.start + start / inputs + channel, plain);
                    for input in 0..inputs {
                        let from = self.part_of_kernel(self.part(phase, input));
                        let to = Target::Points(points.again(), [channel * inputs + input * some, at]);
                        simd::transform(isa, self.points, map, some, (plain, from), to);
                    }
                }
            });
        });
    }

    /// The part of the kernel that meets part `input` of a tile's input.
    fn part(&self, phase: [usize; 2], input: usize) -> [usize; 2] {
        let part = self.parts.pair(input);
        match self.pass {
            Pass::Turned if self.has_phases() => phase,
            Pass::Turned => [0, 1].map(|axis| self.parts.counts()[axis] - 1 - part[axis]),
            Pass::Forward | Pass::Spread => part,
        }
    }

    /// Where a part lies among the taps of padded kernels, a register a tap, of channel after channel.
    pub(super) fn part_of_kernel(&self, part: [usize; 2]) -> Grid {
        let (lanes, stride) = (self.isa.lanes(), self.parts.stride);
        let ([height, length], [y, x]) = (self.parts.padded(), self.parts.first(part));
        let (row, col) = (stride * length * lanes, stride * lanes);
        Grid { first: (y * length + x) * lanes, row, col, tile: height * length * lanes }
    }

    /// The padded kernels of some input channels from `channel` on: for each tap a register of output channels.
    fn interleave(&self, weights: &[f32], row: usize, channel: usize, plain: &mut [f32]) {
        let (isa, lanes, area) = (self.isa, self.isa.lanes(), self.kernel_area());
        let (kernel, padded, count) = (self.parts.kernel, self.parts.padded(), lanes.min(self.rows - row));
        let forward = self.pass == Pass::Forward;
        let stride = if forward { self.channels * area } else { area };
        if forward && padded == kernel {
            let from = &weights[(row * self.channels + channel) * area..];
            return simd::interleave(isa, from, stride, count, lanes, plain);
        }
        let (rows, [taps, with_zeros]) = self.parts.rows();
        for (channel, plain) in (channel..).zip(plain.chunks_exact_mut(padded[0] * padded[1] * lanes)) {
            let at = if forward { row * self.channels + channel } else { channel * self.rows + row };
            let from = &weights[at * area..];
            for (y, line) in plain.chunks_exact_mut(with_zeros * lanes).enumerate() {
                let (line, zeros) = line.split_at_mut(if y < rows { taps * lanes } else { 0 });
                simd::interleave(isa, from.get(y * taps..).unwrap_or_default(), stride, count, lanes, line);
                zeros.fill(0.0);
            }
        }
    }
}
