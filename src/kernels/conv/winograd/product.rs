//! The products of the forward pass and of the input's gradient.

use std::ops::Range;

use super::{Points, Source, Winograd};
use crate::kernels::conv::Epilogue;
use crate::kernels::gemm::{panels, scratch};
use crate::kernels::parallel;
use crate::kernels::simd::{self, Grid, Map, MatMut, Outer, Run, Transposed};

/// The most rows of a tile of products on any instruction set.
const MAX_ROWS: usize = 14;
/// Tasks that keep many threads busy.
const TASKS: usize = 16;
/// Output channels that outweigh transforming the input for them alone.
const FEW_ROWS: usize = 64;

impl Winograd {
    /// Floats of the transformed weights.
    pub fn weights_len(&self) -> usize {
        self.groups * self.group_len()
    }

    fn group_len(&self) -> usize {
        let panels = self.rows.div_ceil(self.isa.tile_cols());
        self.square() * (self.channels * self.padded_rows() + panels * self.isa.lanes())
    }

    /// Distance between the points of a panel: a register more than it needs, so that points do not meet in the same lines
    /// of the cache.
    fn point_len(&self, width: usize) -> usize {
        self.channels * width + self.isa.lanes()
    }

    /// Transforms the weights: for each group and panel of output channels, for each point, for each input channel the
    /// panel's values. `turned` takes them as the input's gradient needs them.
    pub fn pack(&self, weights: &[f32], turned: bool, packed: &mut [f32]) {
        let (isa, c, area) = (self.isa, self.channels, self.taps * self.taps);
        let (lanes, group, panel) =
            (isa.lanes(), self.rows * c * area, self.square() * self.point_len(isa.tile_cols()));
        parallel::for_chunks_mut(packed, self.group_len(), |start, packed| {
            let weights = &weights[start / packed.len() * group..][..group];
            parallel::for_chunks_mut(packed, panel, |start, packed| {
                let first = start / panel * isa.tile_cols();
                let (width, point) = (self.panel_width(first), self.point_len(self.panel_width(first)));
                scratch::lend(c * area * lanes, |plain| {
                    for at in (0..width).step_by(lanes) {
                        let row = first + at;
                        let count = lanes.min(self.rows - row);
                        if turned {
                            for (channel, plain) in plain.chunks_exact_mut(area * lanes).enumerate() {
                                let from = &weights[(channel * self.rows + row) * area..];
                                simd::interleave(isa, from, area, count, lanes, plain);
                                reverse(plain, lanes);
                            }
                        } else {
                            simd::interleave(isa, &weights[row * c * area..], c * area, count, lanes, plain);
                        }
                        let from = Grid { first: 0, row: self.taps * lanes, col: lanes, tile: area * lanes };
                        let to = Grid { first: at, row: self.points * point, col: point, tile: width };
                        simd::transform(
                            isa,
                            self.points,
                            Map::Values(self.taps),
                            c,
                            (plain, from),
                            (packed, to),
                        );
                    }
                });
            });
        });
    }

    /// Overwrites `output`. Tasks are a few images, or a band of one, times a share of the output channels.
    pub fn run(&self, input: &[f32], packed: &[f32], epilogue: Epilogue<'_>, output: &mut [f32]) {
        let (area, down) = (self.area(), self.tiles_down());
        let (tiles, block) = (self.tiles(), self.tiles_together());
        let together = self.images_together(block / tiles);
        let band = down.div_ceil(tiles.div_ceil(block).min(down));
        let rows = self.rows_together(self.groups * self.images.div_ceil(together) * down.div_ceil(band));
        let task = |image: usize, row: usize, down: Range<usize>| Task {
            of: self,
            input,
            packed,
            epilogue,
            image,
            together: together > 1,
            group: row / self.rows,
            rows: row % self.rows..row % self.rows + rows,
            down,
        };
        let all = self.groups * self.rows;
        if together > 1 {
            return parallel::for_chunks_mut(output, together * all * area, |start, output| {
                let images = output.len() / (all * area);
                let matrix = MatMut::new(output, images, all * area, all * area);
                parallel::for_column_blocks(matrix, rows * area, &|first, block| {
                    task(start / (all * area), first / area, 0..down).run(block);
                });
            });
        }
        parallel::for_chunks_mut(output, rows * area, |start, output| {
            let (image, row) = (start / (all * area), start / area % all);
            let width = band * self.side() * self.output[1];
            parallel::for_column_blocks(MatMut::new(output, rows, area, area), width, &|first, block| {
                let first = first / width * band;
                task(image, row, first..(first + band).min(down)).run(block);
            });
        });
    }

    /// Channels whose products are summed before they are added to those of others: eight points need short sums.
    fn longest_sum(&self) -> Option<usize> {
        let longest = match (self.points, self.channels) {
            (6, _) => return None,
            (_, ..=64) => 16,
            _ => 32,
        };
        Some(self.channels.div_ceil(self.channels.div_ceil(longest)))
    }

    /// Tiles of a task: the values of their inputs at all points should fill at most half of the second-level cache, and
    /// there should be enough of them to outweigh reading the weights.
    fn tiles_together(&self) -> usize {
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

/// Reverses the order of the registers.
fn reverse(values: &mut [f32], lanes: usize) {
    let count = values.len() / lanes;
    for i in 0..count / 2 {
        let (low, high) = values.split_at_mut((count - 1 - i) * lanes);
        low[i * lanes..][..lanes].swap_with_slice(&mut high[..lanes]);
    }
}

/// Some tile rows of an image, or all of a few images, for some output channels of a group.
struct Task<'a> {
    of: &'a Winograd,
    input: &'a [f32],
    packed: &'a [f32],
    epilogue: Epilogue<'a>,
    image: usize,
    /// Whether there may be more images: a row of the outputs is then an image, and otherwise a channel.
    together: bool,
    group: usize,
    rows: Range<usize>,
    down: Range<usize>,
}

impl Task<'_> {
    /// Overwrites `c`.
    fn run(&self, mut c: MatMut<'_>) {
        let rows = self.rows.len();
        let images = if self.together { c.rows() } else { 1 };
        let tiles = images * self.down.len() * self.of.tiles_across();
        let near = self.of.rows_near(tiles).min(rows);
        let (from, to) = (Points::new(self.of, self.of.channels, tiles), Points::new(self.of, near, tiles));
        let source = Source::input(self.of, self.input, self.group);
        // The plane of the outputs is no larger than that of the inputs.
        let plane = source.plane_len(self.down.len());
        scratch::lend(plane + from.len() + to.len(), |values| {
            let (plane, values) = values.split_at_mut(plane);
            let (inputs, products) = values.split_at_mut(from.len());
            for image in 0..images {
                let tile = image * self.down.len() * self.of.tiles_across();
                source.transform(self.image + image, self.down.clone(), plane, tile, (&from, inputs));
            }
            for first in (0..rows).step_by(near) {
                let block = first..(first + near).min(rows);
                self.multiply(block.clone(), (&from, inputs), (&to, products));
                self.finish(block, images, plane, (&to, products), &mut c);
            }
        });
    }

    /// Makes the outputs of a block of channels from their products.
    fn finish(
        &self,
        block: Range<usize>,
        images: usize,
        plane: &mut [f32],
        (to, products): (&Points, &[f32]),
        c: &mut MatMut<'_>,
    ) {
        let (lanes, area) = (self.of.isa.lanes(), self.down_outputs() * self.of.output[1]);
        for image in 0..images {
            for first in block.clone().step_by(lanes) {
                let count = lanes.min(block.end - first);
                self.transform_output(image, first - block.start, plane, (to, products));
                let c = if self.together {
                    MatMut::new(&mut c.row(image)[first * area..], count, area, area)
                } else {
                    c.block(first..first + count, 0..area)
                };
                self.store(first, plane, c);
            }
        }
    }

    /// Output rows.
    fn down_outputs(&self) -> usize {
        let side = self.of.side();
        (self.down.end * side).min(self.of.output[0]) - self.down.start * side
    }

    /// At each point, the tiles' channels times the weights of a block of output channels.
    fn multiply(
        &self,
        block: Range<usize>,
        (from, inputs): (&Points, &[f32]),
        (to, products): (&Points, &mut [f32]),
    ) {
        let Winograd { isa, channels, .. } = *self.of;
        let group = self.of.group_len();
        let packed = &self.packed[self.group * group..][..group];
        let runs = &[Run { from: 0, len: channels }];
        let longest = self.of.longest_sum();
        let panel = self.of.square() * self.of.point_len(isa.tile_cols());
        for ((point, inputs), products) in
            inputs.chunks_exact(from.point()).enumerate().zip(products.chunks_exact_mut(to.point()))
        {
            let mut c = MatMut::new(products, to.tiles, to.channels, to.channels);
            for col in block.clone().step_by(isa.tile_cols()) {
                let first = self.rows.start + col;
                let width = self.of.panel_width(first);
                let at = first / isa.tile_cols() * panel + point * self.of.point_len(width);
                let b = &packed[at..][..channels * width];
                let cols = col - block.start..col - block.start + width;
                // What follows are the weights of the next point or panel: two tiles fetch all of it.
                let next = &packed[(at + self.of.point_len(width)).min(packed.len())..];
                for (index, tiles) in panels(to.tiles, isa.tile_rows()).enumerate() {
                    let next = match index {
                        0 | 1 => next.get(index * channels * isa.lanes()..).unwrap_or_default(),
                        _ => &[],
                    };
                    let mut offsets = [0; MAX_ROWS];
                    let offsets = &mut offsets[..tiles.len()];
                    offsets.iter_mut().zip(tiles.clone()).for_each(|(o, t)| *o = (t * from.channels) as u32);
                    let outer = Outer { data: inputs, offsets, runs, b, add: false, longest, next };
                    simd::outer(isa, &outer, c.block(tiles, cols.clone()));
                }
            }
        }
    }

    /// The outputs of a register of channels, a register a position, in whole tiles.
    fn transform_output(
        &self,
        image: usize,
        first: usize,
        plane: &mut [f32],
        (points, products): (&Points, &[f32]),
    ) {
        let (isa, side, across) = (self.of.isa, self.of.side(), self.of.tiles_across());
        let (lanes, pitch) = (isa.lanes(), side * across * isa.lanes());
        for down in 0..self.down.len() {
            let from = points.grid((image * self.down.len() + down) * across, first);
            let to = Grid { first: down * side * pitch, row: pitch, col: lanes, tile: side * lanes };
            simd::transform(isa, self.of.points, Map::Sums(side), across, (products, from), (plane, to));
        }
    }

    /// Writes them to their channels, a row each.
    fn store(&self, first: usize, plane: &[f32], mut c: MatMut<'_>) {
        let Winograd { isa, output: [_, width], .. } = *self.of;
        let (lanes, pitch) = (isa.lanes(), self.of.side() * self.of.tiles_across());
        let channel = self.group * self.of.rows + self.rows.start + first;
        let bias = self.epilogue.bias.map(|bias| &bias[channel..channel + c.rows()]);
        let how = Transposed { stride: lanes, add: false, bias, relu: self.epilogue.relu };
        // Without margins all rows follow each other.
        let line = if pitch == width { c.cols() } else { width };
        for (y, at) in (0..c.cols()).step_by(line).enumerate() {
            let rows = 0..c.rows();
            simd::transpose(isa, &plane[y * pitch * lanes..], how, c.block(rows, at..at + line));
        }
    }
}
