//! The products of the forward pass and of the input's gradient, where tiles are few and channels many: the tiles'
//! values are computed once for all, into scratch in the order in which they are read, and each task, a panel of output
//! channels times some tiles, transforms its own weights, some channels at a time. They are used while they are near,
//! and never written to memory, which would take longer.

use super::outputs::{Cut, Factors, Part};
use super::{Pass, Points, Source, Winograd};
use crate::kernels::conv::Epilogue;
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::MatMut;

/// Tasks that keep many threads busy.
const TASKS: usize = 16;

/// Channels of the input that are multiplied at a time: their weights, and the products of a task, stay in the second-level
/// cache.
const STRETCH: usize = 64;
/// Tiles of a task: many, to outweigh transforming the weights, but less where there are few tasks.
const TILES: usize = 128;

/// The fewest filters that pass.
const FEWEST: usize = 1024;

impl Winograd {
    /// Whether weights pass: there are so many that they would be written and read for fewer tiles than channels. What is
    /// small enough to be worked out by hand stays exact.
    pub(super) fn weights_pass(&self) -> bool {
        let filters = self.channels * self.rows;
        self.pass != Pass::Spread && filters >= FEWEST && (self.images * self.tiles()).pow(2) <= filters
    }

    /// Channels of a stretch: whole registers.
    fn stretch(&self) -> usize {
        let most = (STRETCH / self.inputs()).max(1);
        self.channels.div_ceil(self.channels.div_ceil(most)).next_multiple_of(self.isa.lanes())
    }

    /// The tiles of a task, which makes a panel of output channels.
    fn cut_channels(&self) -> Cut {
        let of_tiles = |most: usize| {
            let (down, tiles) = (self.tiles_down(), self.tiles());
            let images = self.images.div_ceil(self.images.div_ceil((most / tiles).max(1)));
            Cut { images, band: down.div_ceil(tiles.div_ceil(most).min(down)) }
        };
        let cut = of_tiles(TILES);
        let parts = self.images.div_ceil(cut.images) * cut.bands(self);
        let panels = self.rows.div_ceil(self.isa.tile_cols());
        if self.groups * parts * panels < TASKS { of_tiles(TILES / 2) } else { cut }
    }

    /// The values of the tiles of a task, for each stretch of channels.
    fn points(&self) -> Points {
        Points::new(self, self.columns(self.stretch()), self.cut_channels().tiles(self))
    }

    /// Floats of those of all tasks.
    pub(super) fn values_len(&self) -> usize {
        let cut = self.cut_channels();
        let parts = self.images.div_ceil(cut.images) * cut.bands(self);
        self.groups * parts * self.channels.div_ceil(self.stretch()) * self.points().len()
    }

    /// Overwrites `output`; `values` is for the tiles' values.
    pub(super) fn run_channels(
        &self,
        input: &[f32],
        weights: &[f32],
        epilogue: Epilogue<'_>,
        output: &mut [f32],
        values: &mut [f32],
    ) {
        let (cut, stretch, len) = (self.cut_channels(), self.stretch(), self.points().len());
        let (bands, stretches) = (cut.bands(self), self.channels.div_ceil(stretch));
        parallel::for_chunks_mut(values, len, |start, values| {
            let (index, first) = (start / len / stretches, start / len % stretches * stretch);
            let (group, part) =
                (index / bands % self.groups, index / bands / self.groups * bands + index % bands);
            let rows = cut.tile_rows(self, part);
            let points = Points::new(self, self.columns(stretch), rows.len() * self.tiles_across());
            let source = Source::input(self, input, group).part(first..(first + stretch).min(self.channels));
            source.transform_rows(rows, points.images(values));
        });
        let group = self.rows * self.channels * self.kernel_area();
        self.share_out(cut, epilogue, output, &|part, c| {
            let index = (part.images.start / cut.images * self.groups + part.group) * bands;
            let values = &values[(index + part.down.start / cut.band) * stretches * len..][..stretches * len];
            part.pass_channels(values, &weights[part.group * group..][..group], c);
        });
    }
}

impl Part<'_> {
    /// Overwrites `c`. `values` are those of its tiles, `weights` its group's.
    fn pass_channels(&self, values: &[f32], weights: &[f32], c: MatMut<'_>) {
        let (of, stretch) = (self.of, self.of.stretch());
        let from = Points::new(of, of.columns(stretch), self.tiles());
        self.for_panels(c, &|rows, c| {
            let to = Points::new(of, of.product_columns(rows.len()), self.tiles());
            let panel = of.panels_len(stretch * of.inputs(), rows.len());
            scratch::lend(self.plane_len() + to.len() + panel, |near| {
                let (plane, near) = near.split_at_mut(self.plane_len());
                let (products, near) = near.split_at_mut(to.len());
                for (first, inputs) in
                    (0..of.channels).step_by(stretch).zip(values.chunks_exact(of.points().len()))
                {
                    let (channels, inputs) =
                        (first..(first + stretch).min(of.channels), &inputs[..from.len()]);
                    for phase in 0..of.phases() {
                        let place = (rows.start, of.parts.pair(phase));
                        of.transform_panel(weights, place, channels.clone(), near);
                        let factors = Factors {
                            channels: channels.len(),
                            inputs: (&from, inputs),
                            weights: near,
                            add: first > 0,
                        };
                        self.multiply((rows.len(), phase), &factors, (&to, &mut *products), |point, _| {
                            // The inputs at the next point.
                            inputs.get((point + 1) * from.point()..).unwrap_or_default()
                        });
                    }
                }
                self.finish(rows, plane, (&to, products), c);
            });
        });
    }
}
