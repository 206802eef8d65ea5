//! The weights' gradient: at each point, the tiles' inputs times the tiles of the output's gradient, summed over tiles.

use std::ops::Range;

use super::{Points, Source, Winograd};
use crate::kernels::gemm::panels;
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Grid, Map, MatMut, Tile, Transposed};

/// Floats that the sums of all parts may take.
const SUMS: usize = 1 << 22;
/// Parts that keep many threads busy, and that are too few to be worth it.
const TASKS: usize = 16;
const FEW: usize = 8;
/// Tiles of a part that are enough to outweigh reading and writing its sums.
const FEWEST_TILES: usize = 28;

/// Rows of tiles, counted over all images, whose values at the points lie together.
struct Unit {
    rows: usize,
    input: Points,
    gradient: Points,
}

impl Unit {
    fn new(of: &Winograd, rows: usize) -> Self {
        let tiles = rows * of.tiles_across();
        Self { rows, input: Points::new(of, of.channels, tiles), gradient: Points::new(of, of.rows, tiles) }
    }

    fn len(&self) -> usize {
        self.input.len() + self.gradient.len()
    }
}

impl Winograd {
    /// Tiles whose values at all points should stay in the second-level cache.
    fn unit(&self) -> Unit {
        const FLOATS: usize = 1 << 18;
        let tiles = (FLOATS / (self.square() * (self.channels + self.rows))).clamp(FEWEST_TILES, 112);
        let rows = tiles.div_ceil(self.tiles_across());
        Unit::new(self, rows.min(self.images * self.tiles_down()))
    }

    /// Floats of the sums of a point: for each panel of output channels, for each input channel, the panel's values; and a
    /// register, so that points do not meet in the same lines of the cache.
    fn sums_len(&self) -> usize {
        self.channels * self.padded_rows() + self.isa.lanes()
    }

    /// Parts of the tiles that have sums of their own, where those are small: a part's values and sums then stay in the
    /// second-level cache. Otherwise 1.
    fn splits(&self) -> usize {
        let most = SUMS / (self.square() * self.sums_len());
        if most < FEW {
            1
        } else {
            let rows = self.images * self.tiles_down();
            let few = FEW.min(rows * self.tiles_across() / FEWEST_TILES);
            most.min(TASKS).min(rows.div_ceil(self.unit().rows).max(few))
        }
    }

    /// Whether kernels are made block by block: sums are too many, or all tiles are one part.
    fn in_blocks(&self) -> bool {
        self.splits() == 1
    }

    /// Floats of scratch that [`Winograd::add_gradient`] needs.
    pub fn gradient_scratch_len(&self) -> usize {
        if self.in_blocks() { self.blocks_len() } else { self.splits() * self.square() * self.sums_len() }
    }

    /// Adds the weights' gradient to `diff`.
    pub fn add_gradient(&self, input: &[f32], top_diff: &[f32], diff: &mut [f32], scratch: &mut [f32]) {
        let scratch = &mut scratch[..self.gradient_scratch_len()];
        let group = self.rows * self.channels * self.taps * self.taps;
        for (group, diff) in diff.chunks_exact_mut(group).enumerate() {
            let sources = [Source::input(self, input, group), Source::gradient(self, top_diff, group)];
            if self.in_blocks() {
                self.sum_blocks(&sources, scratch, diff);
            } else {
                self.sum_apart(&sources, scratch);
                self.add_sums(&scratch[..self.square() * self.sums_len()], diff);
            }
        }
    }

    /// The sums of each part of the tiles, and then those of all.
    fn sum_apart(&self, sources: &[Source<'_>; 2], sums: &mut [f32]) {
        let (unit, all, len) =
            (self.unit(), self.images * self.tiles_down(), self.square() * self.sums_len());
        let share = all.div_ceil(self.splits());
        parallel::for_chunks_mut(sums, len, |start, sums| {
            let first = (start / len * share).min(all);
            let rows = first..(first + share).min(all);
            if rows.is_empty() {
                return sums.fill(0.0);
            }
            scratch::lend(unit.len(), |values| {
                for first in rows.clone().step_by(unit.rows) {
                    let part = first..(first + unit.rows).min(rows.end);
                    let unit = self.fill(sources, part, values);
                    for (point, sums) in sums.chunks_exact_mut(self.sums_len()).enumerate() {
                        let sums = &mut sums[..self.channels * self.padded_rows()];
                        let panel = self.channels * self.isa.tile_cols();
                        for (index, sums) in sums.chunks_mut(panel).enumerate() {
                            let panel = index * self.isa.tile_cols();
                            self.multiply(&unit, values, (point, panel), first > rows.start, sums);
                        }
                    }
                }
            });
        });
        let (first, others) = sums.split_at_mut(len);
        parallel::for_chunks_mut(first, parallel::CHUNK, |start, sums| {
            for other in others.chunks_exact(len) {
                sums.iter_mut().zip(&other[start..]).for_each(|(sum, other)| *sum += other);
            }
        });
    }

    /// The values at the points of rows of tiles, which may be several images'.
    fn fill(&self, sources: &[Source<'_>; 2], rows: Range<usize>, values: &mut [f32]) -> Unit {
        let unit = Unit::new(self, rows.len());
        let (inputs, gradients) = values.split_at_mut(unit.input.len());
        sources[0].transform_rows(rows.clone(), (&unit.input, inputs));
        sources[1].transform_rows(rows, (&unit.gradient, gradients));
        unit
    }

    /// One point, one panel of output channels: a row an input channel.
    fn multiply(
        &self,
        unit: &Unit,
        values: &[f32],
        (point, panel): (usize, usize),
        add: bool,
        sums: &mut [f32],
    ) {
        let width = sums.len() / self.channels;
        let (inputs, gradients) = values.split_at(unit.input.len());
        let inputs = (&unit.input, &inputs[point * unit.input.point()..]);
        let gradients = (&unit.gradient, &gradients[point * unit.gradient.point() + panel..]);
        self.sum_tiles(inputs, gradients, add, MatMut::new(sums, self.channels, width, width));
    }

    /// `c (+)=` the tiles' values at a point, a row an input channel, a column an output channel.
    pub(super) fn sum_tiles(
        &self,
        (inputs, a): (&Points, &[f32]),
        (gradients, b): (&Points, &[f32]),
        add: bool,
        mut c: MatMut<'_>,
    ) {
        let width = c.cols();
        for rows in panels(c.rows(), self.isa.tile_rows()) {
            let tile = Tile {
                k: inputs.tiles,
                a: &a[rows.start..],
                a_stride: inputs.channels,
                b,
                b_stride: gradients.channels,
                alpha: 1.0,
                beta: if add { 1.0 } else { 0.0 },
                bias: None,
                relu: false,
            };
            simd::multiply(self.isa, &tile, c.block(rows, 0..width));
        }
    }

    /// Adds the kernels that the sums at the points make.
    fn add_sums(&self, sums: &[f32], diff: &mut [f32]) {
        let (isa, c, area) = (self.isa, self.channels, self.taps * self.taps);
        let (lanes, point) = (isa.lanes(), self.sums_len());
        parallel::for_chunks_mut(diff, lanes * c * area, |start, diff| {
            let row = start / (c * area);
            let panel = row / isa.tile_cols() * isa.tile_cols();
            let width = self.panel_width(panel);
            scratch::lend(c * area * lanes, |kernels| {
                let first = panel * c + row - panel;
                let from = Grid { first, row: self.points * point, col: point, tile: width };
                let to = Grid { first: 0, row: self.taps * lanes, col: lanes, tile: area * lanes };
                simd::transform(isa, self.points, Map::Sums(self.taps), c, (sums, from), (kernels, to));
                let how = Transposed { stride: lanes, add: true, bias: None, relu: false };
                let rows = diff.len() / (c * area);
                simd::transpose(isa, kernels, how, MatMut::new(diff, rows, c * area, c * area));
            });
        });
    }
}
