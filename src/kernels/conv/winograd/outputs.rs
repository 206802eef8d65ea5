//! How outputs are shared out to tasks, and made of their products.

use std::ops::Range;

use super::{Pass, Points, Winograd};
use crate::kernels::conv::Epilogue;
use crate::kernels::gemm::panels;
use crate::kernels::parallel;
use crate::kernels::simd::{self, Grid, Map, MatMut, Outer, Run, Transposed};

/// The most rows of a tile of products on any instruction set.
const MAX_ROWS: usize = 14;

/// The outputs of a task: those of some images, or of a band of one, times some output channels of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub images: usize,
    /// Rows of tiles.
    pub band: usize,
    /// Output channels: whole panels, or all of a group.
    pub rows: usize,
}

impl Cut {
    /// Bands of an image.
    pub fn bands(&self, of: &Winograd) -> usize {
        of.tiles_down().div_ceil(self.band)
    }

    /// The tiles of the largest task.
    pub fn tiles(&self, of: &Winograd) -> usize {
        self.images * self.band * of.tiles_across()
    }
}

/// A task's share.
pub(super) struct Part<'a> {
    pub of: &'a Winograd,
    pub epilogue: Epilogue<'a>,
    pub images: Range<usize>,
    /// Whether there may be more images: a row of the outputs is then an image, and otherwise a channel.
    pub together: bool,
    pub group: usize,
    pub rows: Range<usize>,
    /// Rows of tiles.
    pub down: Range<usize>,
}

/// What a block of output channels multiplies.
pub(super) struct Factors<'a> {
    /// Channels that are summed.
    pub channels: usize,
    pub inputs: (&'a Points, &'a [f32]),
    /// Panels of weights, the block's first.
    pub weights: &'a [f32],
    /// Whether to add to what the products hold.
    pub add: bool,
}

/// A tile of products, and what may be fetched while it is made.
pub(super) struct Turn<'a> {
    pub point: usize,
    /// Which of its point and panel.
    pub index: usize,
    /// The weights after its own.
    pub weights: &'a [f32],
}

impl Winograd {
    /// Calls `f` with each part of `output` and what it is.
    pub(super) fn share_out(
        &self,
        cut: Cut,
        epilogue: Epilogue<'_>,
        output: &mut [f32],
        f: &(impl Fn(&Part<'_>, MatMut<'_>) + Sync),
    ) {
        let (area, down, of) = (self.result().iter().product::<usize>(), self.tiles_down(), self);
        let (group, image) = (self.rows * area, self.groups * self.rows * area);
        let together = cut.images > 1;
        let part = |images: Range<usize>, group: usize, rows: Range<usize>, down: Range<usize>| Part {
            of,
            epilogue,
            images,
            together,
            group,
            rows,
            down,
        };
        if together {
            return parallel::for_chunks_mut(output, cut.images * image, |start, output| {
                let images = start / image..(start + output.len()) / image;
                let matrix = MatMut::new(output, images.len(), image, image);
                parallel::for_column_blocks(matrix, group, &|first, matrix| {
                    let group = first / group;
                    parallel::for_column_blocks(matrix, cut.rows * area, &|first, block| {
                        let rows = first / area..(first + block.cols()) / area;
                        f(&part(images.clone(), group, rows, 0..down), block);
                    });
                });
            });
        }
        parallel::for_chunks_mut(output, group, |start, output| {
            let (image, group) = (start / image, start % image / group);
            parallel::for_chunks_mut(output, cut.rows * area, |start, output| {
                let rows = start / area..(start + output.len()) / area;
                let width = if cut.band < down { cut.band * self.side() * self.output[1] } else { area };
                let matrix = MatMut::new(output, rows.len(), area, area);
                parallel::for_column_blocks(matrix, width, &|first, block| {
                    let first = first / width * cut.band;
                    let down = first..(first + cut.band).min(down);
                    f(&part(image..image + 1, group, rows.clone(), down), block);
                });
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
}

impl<'a> Part<'a> {
    pub fn tiles(&self) -> usize {
        self.images.len() * self.down.len() * self.of.tiles_across()
    }

    /// At each point, the tiles' channels times the weights of a block of output channels. `next` says what to fetch
    /// meanwhile.
    pub fn multiply(
        &self,
        rows: usize,
        factors: &Factors<'a>,
        (to, products): (&Points, &mut [f32]),
        next: impl Fn(Turn<'a>) -> &'a [f32],
    ) {
        let (isa, channels, (from, inputs)) = (self.of.isa, factors.channels, factors.inputs);
        let runs = &[Run { from: 0, len: channels }];
        let (cols, padded) = (isa.tile_cols(), rows.next_multiple_of(isa.lanes()));
        for ((point, inputs), products) in
            inputs.chunks_exact(from.point()).enumerate().zip(products.chunks_exact_mut(to.point()))
        {
            let mut c = MatMut::new(products, to.tiles, to.channels, to.channels);
            for (panel, col) in (0..padded).step_by(cols).enumerate() {
                let width = cols.min(padded - col);
                let at = panel * self.of.panel_len(channels) + point * self.of.point_len(channels, width);
                let (b, weights) = factors.weights[at..].split_at(channels * width);
                let weights = weights.get(isa.lanes()..).unwrap_or_default();
                for (index, tiles) in panels(to.tiles, isa.tile_rows()).enumerate() {
                    let mut offsets = [0; MAX_ROWS];
                    let offsets = &mut offsets[..tiles.len()];
                    offsets.iter_mut().zip(tiles.clone()).for_each(|(o, t)| *o = (t * from.channels) as u32);
                    let longest = self.of.longest_sum();
                    let next = next(Turn { point, index, weights });
                    let outer = Outer { data: inputs, offsets, runs, b, add: factors.add, longest, next };
                    simd::outer(isa, &outer, c.block(tiles, col..col + width));
                }
            }
        }
    }

    /// Makes the outputs of a block of channels from their products. `plane` has room for those of a register of channels.
    pub fn finish(
        &self,
        block: Range<usize>,
        plane: &mut [f32],
        (to, products): (&Points, &[f32]),
        c: &mut MatMut<'_>,
    ) {
        let (lanes, area) = (self.of.isa.lanes(), self.area());
        for image in 0..self.images.len() {
            for first in block.clone().step_by(lanes) {
                let count = lanes.min(block.end - first);
                let c = if self.together {
                    MatMut::new(&mut c.row(image)[first * area..], count, area, area)
                } else {
                    c.block(first..first + count, 0..area)
                };
                if self.of.pass == Pass::Spread {
                    self.spread(image, first - block.start, plane, (to, products), c);
                } else {
                    self.transform(image, first - block.start, plane, (to, products));
                    self.store(first, plane, c);
                }
            }
        }
    }

    /// Values of a channel of an image.
    fn area(&self) -> usize {
        let ([height, width], side) = (self.of.result(), self.of.side());
        if self.down == (0..self.of.tiles_down()) {
            return height * width;
        }
        ((self.down.end * side).min(height) - self.down.start * side) * width
    }

    /// The outputs of a register of channels, a register a position. Tiles may reach beyond a row's end, over what comes
    /// next, which is therefore written later: the last tile of a row goes before the others.
    fn transform(
        &self,
        image: usize,
        first: usize,
        plane: &mut [f32],
        (points, products): (&Points, &[f32]),
    ) {
        let (isa, side, across, width) =
            (self.of.isa, self.of.side(), self.of.tiles_across(), self.of.output[1]);
        let lanes = isa.lanes();
        for down in 0..self.down.len() {
            for tiles in [across - 1..across, 0..across - 1] {
                let tile = (image * self.down.len() + down) * across + tiles.start;
                let from = points.grid(tile, first);
                let first = (down * width + tiles.start) * side * lanes;
                let to = Grid { first, row: width * lanes, col: lanes, tile: side * lanes };
                simd::transform(
                    isa,
                    self.of.points,
                    Map::Sums(side),
                    tiles.len(),
                    (products, from),
                    (plane, to),
                );
            }
        }
    }

    /// Writes them to their channels, a row each.
    fn store(&self, first: usize, plane: &[f32], c: MatMut<'_>) {
        let Winograd { isa, .. } = *self.of;
        let channel = self.group * self.of.rows + self.rows.start + first;
        let bias = self.epilogue.bias.map(|bias| &bias[channel..channel + c.rows()]);
        let how = Transposed { stride: isa.lanes(), add: false, bias, relu: self.epilogue.relu };
        simd::transpose(isa, plane, how, c);
    }
}
