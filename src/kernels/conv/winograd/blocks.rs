//! The weights' gradient where the sums at all points are so many that they would take longer to write and read than to
//! compute: the values of all tiles, or of 32 MB of them, are there at a time, and each task makes the kernels of a
//! block of weights from them, whose sums are transformed back and added to the gradient.

use std::ops::Range;

use super::{Points, Source, WORK, Winograd};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Epilogue, Grid, Map, MatMut, Target, Transposed};

/// Tasks that keep many threads busy.
const TASKS: usize = 16;
/// Tiles of a unit: their values at a point, of a block, stay in the first-level cache.
const TILES: usize = 64;
/// Floats of the values of all tiles that are there at a time: they should stay in the third-level cache.
const TOGETHER: usize = 1 << 23;

/// How the work is cut.
struct Blocks {
    /// Channels of a block: of the input, and of the output's gradient.
    channels: [usize; 2],
    /// Rows of tiles, counted over all images, whose values at the points lie together, and how often there are so many.
    rows: usize,
    units: usize,
}

impl Blocks {
    /// Blocks whose sums stay in the second-level cache, smaller ones where there are few.
    fn new(of: &Winograd) -> Self {
        let all = [of.channels, of.rows];
        let count = |block: [usize; 2]| all[0].div_ceil(block[0]) * all[1].div_ceil(block[1]);
        let few = |channels: usize| (channels / of.inputs()).max(of.isa.lanes());
        let sizes = [[few(64), 64], [few(64), 32], [few(32), 32]];
        let channels = sizes.into_iter().find(|&block| count(block) >= TASKS).unwrap_or(sizes[2]);
        let down = of.images * of.tiles_down();
        let rows = (TILES / of.tiles_across()).clamp(1, down);
        let this = Self { channels, rows: down.div_ceil(down.div_ceil(rows)), units: 1 };
        let units = (TOGETHER / this.len(of).iter().sum::<usize>()).clamp(1, down.div_ceil(this.rows));
        Self { units, ..this }
    }

    /// The values at the points of some rows of tiles, of a block of either side's channels.
    fn points(&self, of: &Winograd, rows: usize) -> [Points; 2] {
        let [channels, outputs] = self.channels;
        [of.columns(channels), outputs].map(|columns| Points::new(of, columns, rows * of.tiles_across()))
    }

    /// Number of blocks of either side's channels.
    fn counts(&self, of: &Winograd) -> [usize; 2] {
        [of.channels.div_ceil(self.channels[0]), of.rows.div_ceil(self.channels[1])]
    }

    /// Floats of the values of either side.
    fn len(&self, of: &Winograd) -> [usize; 2] {
        let (points, counts) = (self.points(of, self.rows), self.counts(of));
        [0, 1].map(|side| self.units * counts[side] * points[side].len())
    }
}

impl Winograd {
    /// Floats of scratch that [`Winograd::sum_blocks`] needs.
    pub(super) fn blocks_len(&self) -> usize {
        Blocks::new(self).len(self).iter().sum()
    }

    /// Adds a group's gradient to `diff`.
    pub(super) fn sum_blocks(&self, sources: &[Source<'_>; 2], values: &mut [f32], diff: &mut [f32]) {
        let (blocks, all) = (Blocks::new(self), self.images * self.tiles_down());
        let (inputs, gradients) = values.split_at_mut(blocks.len(self)[0]);
        for first in (0..all).step_by(blocks.rows * blocks.units) {
            let rows = first..(first + blocks.rows * blocks.units).min(all);
            self.fill_blocks(&blocks, 0, &sources[0], rows.clone(), inputs);
            self.fill_blocks(&blocks, 1, &sources[1], rows.clone(), gradients);
            let (inputs, gradients) = (&*inputs, &*gradients);
            let [channels, outputs] = blocks.channels;
            let (area, row) = (self.kernel_area(), self.channels * self.kernel_area());
            parallel::for_chunks_mut(diff, outputs * row, |start, diff| {
                let k = start / row / outputs;
                let matrix = MatMut::new(diff, diff.len() / row, row, row);
                parallel::for_column_blocks(matrix, channels * area, &|first, diff| {
                    let c = first / area / channels;
                    self.sum_block(&blocks, rows.clone(), [(inputs, c), (gradients, k)], diff);
                });
            });
        }
    }

    /// The values of some rows of tiles: for each unit, for each block of channels.
    fn fill_blocks(
        &self,
        blocks: &Blocks,
        side: usize,
        source: &Source<'_>,
        rows: Range<usize>,
        values: &mut [f32],
    ) {
        let (len, count) = (blocks.points(self, blocks.rows)[side].len(), blocks.counts(self)[side]);
        let values = &mut values[..rows.len().div_ceil(blocks.rows) * count * len];
        parallel::for_chunks_mut(values, len, |start, values| {
            let (unit, block) = (start / len / count, start / len % count);
            let first = rows.start + unit * blocks.rows;
            let rows = first..(first + blocks.rows).min(rows.end);
            let channel = block * blocks.channels[side];
            let channels = channel..(channel + blocks.channels[side]).min(source.channels);
            let points = &blocks.points(self, rows.len())[side];
            source.part(channels).transform_rows(rows, points.images(values));
        });
    }

    /// Adds the kernels of a block to `diff`: the tiles of each unit are summed at each point.
    fn sum_block(&self, blocks: &Blocks, rows: Range<usize>, sides: [(&[f32], usize); 2], diff: MatMut<'_>) {
        let channels = diff.cols() / self.kernel_area();
        let block = [self.summed(channels), diff.rows().next_multiple_of(self.isa.lanes())];
        let point = block[0] * block[1] + self.isa.lanes();
        let (len, counts) = (blocks.points(self, blocks.rows), blocks.counts(self));
        scratch::lend(self.all_points() * point, |sums| {
            // Values of some points follow each other.
            let together = (WORK / (rows.len() * self.tiles_across() * point)).max(self.all_points() / 4);
            parallel::for_chunks_mut(sums, together * point, |start, sums| {
                for (unit, first) in rows.clone().step_by(blocks.rows).enumerate() {
                    let points = blocks.points(self, blocks.rows.min(rows.end - first));
                    let values = [0, 1].map(|side| {
                        let (values, index) = sides[side];
                        (&points[side], &values[(unit * counts[side] + index) * len[side].len()..])
                    });
                    self.sum_points(values, unit > 0, block, (start / point, &mut *sums));
                }
            });
            self.add_kernels(sums, block, diff);
        });
    }

    /// Adds to `diff` the kernels that the sums at the points make.
    pub(super) fn add_kernels(&self, sums: &[f32], [c, k]: [usize; 2], diff: MatMut<'_>) {
        let (isa, lanes, area) = (self.isa, self.isa.lanes(), self.kernel_area());
        let (kernel, padded, channels) = (self.parts.kernel, self.parts.padded(), diff.cols() / area);
        let (point, (lines, [taps, with_zeros])) = (c * k + lanes, self.parts.rows());
        parallel::for_row_blocks(diff, lanes, &|panel, mut diff| {
            let start = panel / isa.tile_cols() * isa.tile_cols();
            let width = isa.tile_cols().min(k - start);
            scratch::lend(lanes * padded[0] * padded[1] * lanes, |kernels| {
                for channel in (0..channels).step_by(lanes) {
                    let some = lanes.min(channels - channel);
                    for (index, part) in self.parts.all().enumerate() {
                        let row = channel * self.parts.count() + index * lanes;
                        let first = start * c + row * width + panel - start;
                        let from = Grid { first, row: self.points[1] * point, col: point, tile: width };
                        let to = Target::Squares(kernels, self.part_of_kernel(part));
                        let map = Map::Sums(self.parts.most_taps());
                        simd::transform(isa, self.points, map, some, (sums, from), to);
                    }
                    let how = Transposed { stride: lanes, add: true, epilogue: Epilogue::default() };
                    let (all, rows) = (channel * area, 0..diff.rows());
                    if padded == kernel {
                        simd::transpose(isa, kernels, how, diff.block(rows, all..all + some * area));
                        continue;
                    }
                    for (channel, y) in (0..some).flat_map(|i| (0..lines).map(move |y| (i, y))) {
                        let from = &kernels[(channel * padded[0] * padded[1] + y * with_zeros) * lanes..];
                        let first = all + channel * area + y * taps;
                        simd::transpose(isa, from, how, diff.block(rows.clone(), first..first + taps));
                    }
                }
            });
        });
    }
}
