//! The products of the forward pass and of the input's gradient, where tiles are many: their values stay in a cache, and
//! all weights, transformed once, pass by.

use super::outputs::{Cut, Factors, Part};
use super::{Points, Source, Winograd};
use crate::kernels::conv::Epilogue;
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::MatMut;

/// Tasks that keep many threads busy.
const TASKS: usize = 16;
/// Output channels that outweigh transforming the input for them alone.
const FEW_ROWS: usize = 64;

impl Winograd {
    /// Floats of the transformed weights.
    pub(super) fn weights_len(&self) -> usize {
        self.groups * self.group_len()
    }

    fn group_len(&self) -> usize {
        self.panels_len(self.channels, self.rows)
    }

    /// Overwrites `output`; `packed` is for the transformed weights.
    pub(super) fn run_tiles(
        &self,
        input: &[f32],
        weights: &[f32],
        epilogue: Epilogue<'_>,
        output: &mut [f32],
        packed: &mut [f32],
    ) {
        self.pack(weights, packed);
        self.share_out(self.cut_tiles(), epilogue, output, &|part, c| {
            let group = &packed[part.group * self.group_len()..][..self.group_len()];
            part.pass_weights(input, group, c);
        });
    }

    /// Transforms the weights of each group.
    fn pack(&self, weights: &[f32], packed: &mut [f32]) {
        let (group, panel) =
            (self.rows * self.channels * self.taps * self.taps, self.panel_len(self.channels));
        parallel::for_chunks_mut(packed, self.group_len(), |start, packed| {
            let weights = &weights[start / packed.len() * group..][..group];
            parallel::for_chunks_mut(packed, panel, |start, packed| {
                let first = start / panel * self.isa.tile_cols();
                self.transform_panel(weights, first, 0..self.channels, packed);
            });
        });
    }

    /// Tasks are a few images, or a band of one, times a share of the output channels.
    fn cut_tiles(&self) -> Cut {
        let (down, tiles, block) = (self.tiles_down(), self.tiles(), self.tiles_together());
        let images = self.images_together(block / tiles);
        let band = down.div_ceil(tiles.div_ceil(block).min(down));
        let rows = self.rows_together(self.groups * self.images.div_ceil(images) * down.div_ceil(band));
        Cut { images, band, rows }
    }

    /// Tiles of a task: the values of their inputs at all points should fill at most half of the second-level cache, and
    /// there should be enough of them to outweigh reading the weights.
    pub(super) fn tiles_together(&self) -> usize {
        const FLOATS: usize = 300_000;
        (FLOATS / (self.square() * self.channels)).clamp(28, 56)
    }

    /// Output channels whose products are there at a time: they should fill a small part of it, as weights pass, too.
    fn rows_near(&self, tiles: usize) -> usize {
        const FLOATS: usize = 80_000;
        let panel = self.isa.tile_cols();
        (FLOATS / (self.square() * tiles) / panel).max(1) * panel
    }

    /// Images of a task, at most `most`: fewer where that makes more tasks and the weights, which each task reads whole, are
    /// few.
    fn images_together(&self, most: usize) -> usize {
        const FLOATS: usize = 1 << 18;
        let few = if self.group_len() <= FLOATS { self.images.div_ceil(TASKS) } else { self.images };
        most.min(few).max(1)
    }

    /// Output channels of a task: a group's, or an equal share where there are few tasks otherwise.
    fn rows_together(&self, tasks: usize) -> usize {
        let mut parts = 1;
        while tasks * parts < TASKS
            && self.rows / (2 * parts) >= FEW_ROWS
            && self.rows.is_multiple_of(2 * parts * self.isa.tile_cols())
        {
            parts *= 2;
        }
        self.rows / parts
    }
}

impl Part<'_> {
    /// Overwrites `c`, some output channels at a time. `packed` are the group's weights.
    fn pass_weights(&self, input: &[f32], packed: &[f32], mut c: MatMut<'_>) {
        let (of, rows, tiles) = (self.of, self.rows.len(), self.tiles());
        let (isa, channels, near) = (of.isa, of.channels, of.rows_near(tiles).min(rows));
        let (from, to) = (Points::new(of, channels, tiles), Points::new(of, near, tiles));
        let source = Source::factor(of, input, self.group);
        let plane = source.plane_len(self.down.len()).max(of.spread_len());
        scratch::lend(plane + from.len() + to.len(), |values| {
            let (plane, values) = values.split_at_mut(plane);
            let (inputs, products) = values.split_at_mut(from.len());
            source.transform_images(self.images.clone(), self.down.clone(), plane, (&from, inputs));
            for first in (0..rows).step_by(near) {
                let block = first..(first + near).min(rows);
                let at = (self.rows.start + first) / isa.tile_cols() * of.panel_len(channels);
                let weights = &packed[at..];
                let factors = Factors { channels, inputs: (&from, inputs), weights, add: false };
                // What follows are the weights of the next point or panel: two tiles fetch all of it.
                self.multiply(block.len(), &factors, (&to, products), |turn| match turn.index {
                    0 | 1 => turn.weights.get(turn.index * channels * isa.lanes()..).unwrap_or_default(),
                    _ => &[],
                });
                self.finish(block, plane, (&to, products), &mut c);
            }
        });
    }
}
