//! The products of the forward pass and of the input's gradient, where tiles are many: their values stay in a cache,
//! and all weights, transformed once, pass by.
//!
//! A task transforms its tiles; a panel of output channels at a time then multiplies them by the weights, which are
//! fetched one panel ahead, and transforms back. Panels are tasks, too. Scratch is 36 / 9 (3 x 3) or 64 / 25 (5 x 5)
//! times the weights.

use super::outputs::{Cut, Factors, Part};
use super::{Points, Source, Winograd};
use crate::kernels::conv::Epilogue;
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::MatMut;

/// Tasks that keep many threads busy.
const TASKS: usize = 64;
/// Tiles that are worth reading the weights for.
const FEWEST_TILES: usize = 14;

impl Winograd {
    /// Floats of the transformed weights.
    pub(super) fn weights_len(&self) -> usize {
        self.groups * self.group_len()
    }

    fn group_len(&self) -> usize {
        self.phases() * self.phase_len()
    }

    fn phase_len(&self) -> usize {
        self.panels_len(self.channels * self.inputs(), self.rows)
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
        let group = self.rows * self.channels * self.kernel_area();
        let panel = self.panel_len(self.channels * self.inputs());
        parallel::for_chunks_mut(packed, self.phase_len(), |start, packed| {
            let (index, phase) = (start / self.group_len(), start / self.phase_len() % self.phases());
            let weights = &weights[index * group..][..group];
            parallel::for_chunks_mut(packed, panel, |start, packed| {
                let first = (start / panel * self.isa.tile_cols(), self.parts.pair(phase));
                self.transform_panel(weights, first, 0..self.channels, packed);
            });
        });
    }

    /// The tiles of a task.
    fn cut_tiles(&self) -> Cut {
        let (down, tiles, block) = (self.tiles_down(), self.tiles(), self.tiles_together());
        let band = down.div_ceil(tiles.div_ceil(block).min(down));
        Cut { images: self.images_together(block / tiles), band }
    }

    /// Tiles of a task: the values of their inputs at all points should fill at most half of the second-level cache, and
    /// there should be enough of them to outweigh reading the weights.
    pub(super) fn tiles_together(&self) -> usize {
        const FLOATS: usize = 300_000;
        (FLOATS / (self.all_points() * self.channels * self.inputs())).clamp(28, 56)
    }

    /// Images of a task, at most `most`: fewer where that makes more tasks and the weights, which each task reads whole, are
    /// few.
    fn images_together(&self, most: usize) -> usize {
        const FLOATS: usize = 1 << 18;
        let few = self.images.div_ceil(TASKS).max(FEWEST_TILES.div_ceil(self.tiles()));
        most.min(if self.group_len() <= FLOATS { few } else { self.images }).max(1)
    }
}

impl Part<'_> {
    /// Overwrites `c`. `packed` are the group's weights.
    fn pass_weights(&self, input: &[f32], packed: &[f32], c: MatMut<'_>) {
        let (of, channels, tiles) = (self.of, self.of.channels, self.tiles());
        let from = Points::new(of, of.columns(channels), tiles);
        scratch::lend(from.len(), |inputs| {
            Source::factor(of, input, self.group).transform_rows(self.tile_rows(), from.images(inputs));
            let inputs = (&from, &*inputs);
            self.for_panels(c, &|rows, c| {
                let (to, depth) =
                    (Points::new(of, of.product_columns(rows.len()), tiles), channels * of.inputs());
                scratch::lend(self.plane_len() + to.len(), |near| {
                    let (plane, products) = near.split_at_mut(self.plane_len());
                    for (phase, packed) in packed.chunks_exact(of.phase_len()).enumerate() {
                        let weights = &packed[rows.start / of.isa.tile_cols() * of.panel_len(depth)..];
                        let factors = Factors { channels, inputs, weights, add: false };
                        // Those of the next point or panel: two tiles fetch all of it.
                        self.multiply((rows.len(), phase), &factors, (&to, &mut *products), |_, weights| {
                            &weights[..weights.len().min(2 * depth * of.isa.lanes())]
                        });
                    }
                    self.finish(rows, plane, (&to, products), c);
                });
            });
        });
    }
}
