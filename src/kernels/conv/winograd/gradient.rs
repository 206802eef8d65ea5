//! The weights' gradient: at each point, the tiles' inputs times the tiles of the output's gradient, summed over tiles.

use std::ops::Range;

use super::{Points, Source, WORK, Winograd};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Columns, Epilogue, MatMut, Tiles};

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
        let input = Points::new(of, of.columns(of.channels), tiles);
        Self { rows, input, gradient: Points::new(of, of.rows, tiles) }
    }

    fn len(&self) -> usize {
        self.input.len() + self.gradient.len()
    }
}

impl Winograd {
    /// Tiles whose values at all points should stay in the second-level cache.
    fn unit(&self) -> Unit {
        const FLOATS: usize = 1 << 18;
        let channels = self.channels * self.inputs() + self.rows;
        let tiles = (FLOATS / (self.all_points() * channels)).clamp(FEWEST_TILES, 112);
        let rows = tiles.div_ceil(self.tiles_across());
        Unit::new(self, rows.min(self.images * self.tiles_down()))
    }

    /// Floats of the sums of a point: for each panel of output channels, for each input channel, the panel's values; and a
    /// register, so that points do not meet in the same lines of the cache.
    fn sums_len(&self) -> usize {
        self.summed(self.channels) * self.padded_rows() + self.isa.lanes()
    }

    /// Columns of the values at the points of so many channels of which sums are made: those that fill a register of several
    /// parts, too.
    pub(super) fn summed(&self, channels: usize) -> usize {
        if self.inputs() == 1 { channels } else { self.columns(channels) }
    }

    /// Channels of either side, those of the output in whole registers.
    fn block(&self) -> [usize; 2] {
        [self.summed(self.channels), self.padded_rows()]
    }

    /// Parts of the tiles that have sums of their own, where those are small: a part's values and sums then stay in the
    /// second-level cache. Otherwise 1.
    fn splits(&self) -> usize {
        let most = SUMS / (self.all_points() * self.sums_len());
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
        if self.in_blocks() { self.blocks_len() } else { self.splits() * self.all_points() * self.sums_len() }
    }

    /// Adds the weights' gradient to `diff`.
    pub fn add_gradient(&self, input: &[f32], top_diff: &[f32], diff: &mut [f32], scratch: &mut [f32]) {
        let scratch = &mut scratch[..self.gradient_scratch_len()];
        let group = self.rows * self.channels * self.kernel_area();
        for (group, diff) in diff.chunks_exact_mut(group).enumerate() {
            let sources = [Source::input(self, input, group), Source::gradient(self, top_diff, group)];
            if self.in_blocks() {
                self.sum_blocks(&sources, scratch, diff);
            } else {
                self.sum_apart(&sources, scratch);
                let row = self.channels * self.kernel_area();
                self.add_kernels(scratch, self.block(), MatMut::new(diff, self.rows, row, row));
            }
        }
    }

    /// The sums of each part of the tiles, and then those of all.
    fn sum_apart(&self, sources: &[Source<'_>; 2], sums: &mut [f32]) {
        let (unit, all, block) = (self.unit(), self.images * self.tiles_down(), self.block());
        let (point, len) = (self.sums_len(), self.all_points() * self.sums_len());
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
                    let (inputs, gradients) = values.split_at(unit.input.len());
                    let values = [(&unit.input, inputs), (&unit.gradient, gradients)];
                    let together = (WORK / (unit.input.tiles * point)).max(1);
                    parallel::for_chunks_mut(sums, together * point, |start, sums| {
                        self.sum_points(values, first > rows.start, block, (start / point, sums));
                    });
                }
            });
        });
        let (first, others) = sums.split_at_mut(len);
        parallel::for_chunks_mut(first, parallel::CHUNK / self.splits(), |start, sums| {
            for other in others.chunks_exact(len) {
                sums.iter_mut().zip(&other[start..]).for_each(|(sum, other)| *sum += other);
            }
        });
    }

    /// The values at the points of rows of tiles, which may be several images'.
    fn fill(&self, sources: &[Source<'_>; 2], rows: Range<usize>, values: &mut [f32]) -> Unit {
        let unit = Unit::new(self, rows.len());
        let (inputs, gradients) = values.split_at_mut(unit.input.len());
        sources[0].transform_rows(rows.clone(), unit.input.images(inputs));
        sources[1].transform_rows(rows, unit.gradient.images(gradients));
        unit
    }

    /// Sums tiles at some points, from number `first` on: for each panel of output channels, for each of `c` input channels, the
    /// panel's values. Values are those of the input and of the output's gradient, of which the block has `k` channels.
    pub(super) fn sum_points(
        &self,
        [(inputs, a), (gradients, b)]: [(&Points, &[f32]); 2],
        add: bool,
        [c, k]: [usize; 2],
        (first, sums): (usize, &mut [f32]),
    ) {
        for (at, sums) in (first..).zip(sums.chunks_exact_mut(c * k + self.isa.lanes())) {
            for panel in (0..k).step_by(self.isa.tile_cols()) {
                let width = self.isa.tile_cols().min(k - panel);
                let a = (inputs, &a[at * inputs.point()..]);
                let b = (gradients, &b[at * gradients.point() + panel..]);
                self.sum_tiles(a, b, add, MatMut::new(&mut sums[panel * c..], c, width, width));
            }
        }
    }

    /// `c (+)=` the tiles' values at a point, a row an input channel, a column an output channel.
    fn sum_tiles(
        &self,
        (inputs, a): (&Points, &[f32]),
        (gradients, b): (&Points, &[f32]),
        add: bool,
        c: MatMut<'_>,
    ) {
        let tiles = Tiles {
            k: inputs.tiles,
            a,
            a_stride: inputs.channels,
            a_row: 1,
            b: Columns::Rows(b, gradients.channels),
            alpha: 1.0,
            beta: if add { 1.0 } else { 0.0 },
            epilogue: Epilogue::default(),
        };
        simd::multiply_down(self.isa, &tiles, c);
    }
}
