//! The weights at the points: for each panel of output channels, for each point, for each input channel the panel's values.

use std::ops::Range;

use super::{Pass, Winograd};
use crate::kernels::scratch;
use crate::kernels::simd::{self, Grid, Map};

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
        let point = self.point_len(channels.len(), width);
        let map = match self.pass {
            Pass::Turned => Map::Turned(self.taps),
            Pass::Forward | Pass::Spread => Map::Values(self.taps),
        };
        scratch::lend(lanes * area * lanes, |plain| {
            for (at, channel) in (0..width)
                .step_by(lanes)
                .flat_map(|at| channels.clone().step_by(lanes).map(move |channel| (at, channel)))
            {
                let (row, some) = (first + at, lanes.min(channels.end - channel));
                let plain = &mut plain[..some * area * lanes];
                self.interleave(weights, row, channel, plain);
                let from = Grid { first: 0, row: self.taps * lanes, col: lanes, tile: area * lanes };
                let place = (channel - channels.start) * width + at;
                let to = Grid { first: place, row: self.points * point, col: point, tile: width };
                simd::transform(isa, self.points, map, some, (plain, from), (panel, to));
            }
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
