//! The weights at the points: for each panel of output channels, for each point, for each input channel the panel's values.

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
        self.square() * self.point_len(channels, self.isa.tile_cols())
    }

    /// Floats of the panels of so many output channels.
    pub(super) fn panels_len(&self, channels: usize, rows: usize) -> usize {
        let (lanes, panels) = (self.isa.lanes(), rows.div_ceil(self.isa.tile_cols()));
        self.square() * (channels * rows.next_multiple_of(lanes) + panels * lanes)
    }

    /// Transforms a group's weights to the panel of output channels that starts at `first`, for some input channels. They
    /// are taken some channels at a time, so that they stay in the first-level cache in between.
    pub(super) fn transform_panel(
        &self,
        weights: &[f32],
        first: usize,
        channels: Range<usize>,
        panel: &mut [f32],
    ) {
        let (isa, lanes, area) = (self.isa, self.isa.lanes(), self.taps * self.taps);
        let width = self.panel_width(first);
        let map = match self.pass {
            Pass::Turned => Map::Turned(self.taps),
            Pass::Forward | Pass::Spread => Map::Values(self.taps),
        };
        let point = self.point_len(channels.len(), width);
        let points = ImagesMut::spaced(panel, self.square(), point, [channels.len(), width]);
        parallel::for_row_blocks(points, CHANNELS, &|start, mut points| {
            scratch::lend(lanes * area * lanes, |plain| {
                let rows = points.rows();
                for (at, row) in (0..width)
                    .step_by(lanes)
                    .flat_map(|at| (0..rows).step_by(lanes).map(move |row| (at, row)))
                {
                    let some = lanes.min(rows - row);
                    let plain = &mut plain[..some * area * lanes];
                    self.interleave(weights, first + at, channels.start + start + row, plain);
                    let from = Grid { first: 0, row: self.taps * lanes, col: lanes, tile: area * lanes };
                    let to = Target::Points(points.again(), [row, at]);
                    simd::transform(isa, self.points, map, some, (plain, from), to);
                }
            });
        });
    }

    /// The kernels of some input channels from `channel` on: for each tap a register of output channels.
    fn interleave(&self, weights: &[f32], row: usize, channel: usize, plain: &mut [f32]) {
        let (isa, lanes, area) = (self.isa, self.isa.lanes(), self.taps * self.taps);
        let count = lanes.min(self.rows - row);
        if self.pass != Pass::Forward {
            for (channel, plain) in (channel..).zip(plain.chunks_exact_mut(area * lanes)) {
                let from = &weights[(channel * self.rows + row) * area..];
                simd::interleave(isa, from, area, count, lanes, plain);
            }
        } else {
            let from = &weights[(row * self.channels + channel) * area..];
            simd::interleave(isa, from, self.channels * area, count, lanes, plain);
        }
    }
}
