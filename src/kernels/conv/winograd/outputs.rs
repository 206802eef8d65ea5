//! How outputs are shared out to tasks, and made of their products.

use std::ops::Range;

use super::parts::MOST;
use super::{Pass, Points, WORK, Winograd};
use crate::kernels::conv::Epilogue;
use crate::kernels::parallel;
use crate::kernels::simd::{self, MOST_ROWS, Map, MatMut, Outer, Run, Target, Transposed};

/// The most tiles of the micro-kernel, one below the other, that a call computes.
const TOGETHER: usize = 16;

/// The tiles of a task: those of some images, or of a band of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub images: usize,
    /// Rows of tiles: all where there may be more images.
    pub band: usize,
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

    /// The rows of tiles, counted over all images, of task number `index`.
    pub fn tile_rows(&self, of: &Winograd, index: usize) -> Range<usize> {
        let (down, bands) = (of.tiles_down(), self.bands(of));
        let image = index / bands * self.images;
        let start = image * down + index % bands * self.band;
        start..(start + self.images * self.band).min((image + self.images).min(of.images) * down)
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
    /// Rows of tiles.
    pub down: Range<usize>,
}

/// What a panel of output channels multiplies.
pub(super) struct Factors<'a> {
    /// Channels that are summed.
    pub channels: usize,
    pub inputs: (&'a Points, &'a [f32]),
    /// Panels of weights, its own first.
    pub weights: &'a [f32],
    /// Whether to add to what the products hold.
    pub add: bool,
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
        let (area, down, of) = (self.result.iter().product::<usize>(), self.tiles_down(), self);
        let (group, all) = (self.rows * area, self.groups * self.rows * area);
        let [first, image] = if self.pass == Pass::Forward { self.place } else { [0, all] };
        let together = cut.images > 1;
        let part = |images: Range<usize>, group: usize, down: Range<usize>| Part {
            of,
            epilogue,
            images,
            together,
            group,
            down,
        };
        if together {
            return parallel::for_chunks_mut(output, cut.images * image, |start, output| {
                let images = start / image..(start + output.len()) / image;
                let mut matrix = MatMut::new(output, images.len(), image, image);
                let matrix = matrix.block(0..images.len(), first..first + all);
                parallel::for_column_blocks(matrix, group, &|first, matrix| {
                    f(&part(images.clone(), first / group, 0..down), matrix);
                });
            });
        }
        let of_band = |band: usize| self.line(band * cut.band) * self.result[1];
        parallel::for_chunks_mut(output, image, |start, output| {
            let image = start / image;
            parallel::for_chunks_mut(&mut output[first..first + all], group, |start, output| {
                let (group, matrix) = (start / group, MatMut::new(output, self.rows, area, area));
                parallel::for_column_parts(matrix, 0..cut.bands(self), &of_band, &|band, block| {
                    let down = band * cut.band..((band + 1) * cut.band).min(down);
                    f(&part(image..image + 1, group, down), block);
                });
            });
        });
    }

    /// Channels whose products are summed before they are added to those of others: eight points need short sums.
    fn longest_sum(&self) -> Option<usize> {
        let channels = self.channels * self.inputs();
        if !self.points.contains(&8) {
            return None;
        }
        let longest = if channels <= 64 { 16 } else { 32 };
        Some(channels.div_ceil(channels.div_ceil(longest)))
    }

    /// Where the values of so many channels lie, part after part: together, but for those of the last register, if that is not
    /// full.
    fn runs(&self, channels: usize) -> ([Run; 1 + MOST * MOST], usize) {
        let (inputs, rest) = (self.inputs(), channels % self.isa.lanes());
        let mut runs = [Run::default(); 1 + MOST * MOST];
        if inputs == 1 || rest == 0 {
            runs[0].len = channels * inputs;
            return (runs, 1);
        }
        let full = (channels - rest) * inputs;
        runs[0].len = full;
        for (part, run) in runs[1..=inputs].iter_mut().enumerate() {
            *run = Run { from: full + part * self.isa.lanes(), len: rest };
        }
        (runs, 1 + inputs)
    }

    /// Columns of the products of `rows` output channels: those of each phase after the others.
    pub(super) fn product_columns(&self, rows: usize) -> usize {
        rows.next_multiple_of(self.isa.lanes()) * self.phases()
    }
}

impl<'a> Part<'a> {
    pub fn tiles(&self) -> usize {
        self.images.len() * self.down.len() * self.of.tiles_across()
    }

    /// At each point, the tiles' channels times the weights of a panel of output channels, for a phase. `next` says, of a point
    /// and the weights after its own, what to fetch meanwhile.
    pub fn multiply(
        &self,
        (rows, phase): (usize, usize),
        factors: &Factors<'a>,
        (to, products): (&Points, &mut [f32]),
        next: impl Fn(usize, &'a [f32]) -> &'a [f32] + Sync,
    ) {
        let (isa, (from, inputs)) = (self.of.isa, factors.inputs);
        let (runs, count) = self.of.runs(factors.channels);
        let (runs, channels) = (&runs[..count], factors.channels * self.of.inputs());
        let (cols, padded) = (isa.tile_cols(), rows.next_multiple_of(isa.lanes()));
        let together = (WORK / (to.tiles * channels * padded)).max(1);
        parallel::for_chunks_mut(products, together * to.point(), |start, products| {
            for (point, products) in (start / to.point()..).zip(products.chunks_exact_mut(to.point())) {
                let inputs = &inputs[point * from.point()..][..from.point()];
                let mut c = MatMut::new(products, to.tiles, to.channels, to.channels);
                let width = cols.min(padded);
                let columns = phase * width..(phase + 1) * width;
                let at = point * self.of.point_len(channels, width);
                let (b, weights) = factors.weights[at..].split_at(channels * width);
                let weights = weights.get(isa.lanes()..).unwrap_or_default();
                // What the kernel fetches goes on from call to call.
                let (depth, mut next) = (channels * isa.lanes(), next(point, weights));
                for first in (0..to.tiles).step_by(TOGETHER * isa.tile_rows()) {
                    let tiles = first..to.tiles.min(first + TOGETHER * isa.tile_rows());
                    let mut offsets = [0; TOGETHER * MOST_ROWS];
                    let offsets = &mut offsets[..tiles.len()];
                    offsets.iter_mut().zip(tiles.clone()).for_each(|(o, t)| *o = (t * from.channels) as u32);
                    let longest = self.of.longest_sum();
                    let outer = Outer { data: inputs, offsets, runs, b, add: factors.add, longest, next };
                    simd::outer(isa, &outer, c.block(tiles, columns.clone()));
                    next = &next[(TOGETHER * depth).min(next.len())..];
                }
            }
        });
    }

    /// Calls `f` with each panel of output channels, of the group, and its columns or rows of `c`.
    pub fn for_panels(&self, c: MatMut<'_>, f: &(impl Fn(Range<usize>, MatMut<'_>) + Sync)) {
        let (panel, area) = (self.of.isa.tile_cols(), self.area());
        if self.together {
            let of_panel = |first, c: MatMut<'_>| f(first / area..(first + c.cols()) / area, c);
            return parallel::for_column_blocks(c, panel * area, &of_panel);
        }
        parallel::for_row_blocks(c, panel, &|first, c| f(first..first + c.rows(), c));
    }

    /// Makes the outputs of a panel of channels from their products. `plane` has room for [`Part::plane_len`] values.
    pub fn finish(
        &self,
        panel: Range<usize>,
        plane: &mut [f32],
        (to, products): (&Points, &[f32]),
        mut c: MatMut<'_>,
    ) {
        let (lanes, area) = (self.of.isa.lanes(), self.area());
        let columns = panel.len().next_multiple_of(lanes);
        for image in 0..self.images.len() {
            for first in (0..panel.len()).step_by(lanes) {
                let count = lanes.min(panel.len() - first);
                let c = if self.together {
                    MatMut::new(&mut c.row(image)[first * area..], count, area, area)
                } else {
                    c.block(first..first + count, 0..area)
                };
                if self.of.pass == Pass::Spread {
                    self.spread(image, first, plane, (to, products), c);
                } else {
                    for phase in 0..self.of.phases() {
                        self.transform(image, (phase * columns + first, phase), plane, (to, products));
                    }
                    self.store(panel.start + first, plane, c);
                }
            }
        }
    }

    /// Floats of what tiles make of a register of channels; they may reach beyond the last output.
    pub fn plane_len(&self) -> usize {
        let of = self.of;
        let [height, width] = of.block_sides();
        let ends = self.down.len() * height * self.pitch() + of.blocks_across() * width;
        if of.pass == Pass::Spread { of.spread_len() } else { ends * of.isa.lanes() }
    }

    /// The rows of tiles, counted over all images.
    pub fn tile_rows(&self) -> Range<usize> {
        let down = self.of.tiles_down();
        self.images.start * down + self.down.start..(self.images.end - 1) * down + self.down.end
    }

    /// Values of a channel of an image.
    fn area(&self) -> usize {
        let [height, width] = self.of.result;
        if self.down == (0..self.of.tiles_down()) {
            return height * width;
        }
        (self.of.line(self.down.end) - self.of.line(self.down.start)) * width
    }

    /// Registers between lines of outputs: tiles of one block that reach beyond a row's end would meet in what comes next.
    fn pitch(&self) -> usize {
        let of = self.of;
        if of.apart() != [1; 2] { of.blocks_across() * of.block_sides()[1] } else { of.output[1] }
    }

    /// The outputs of a phase of a register of channels, the first of which is column `column` of the products, a register a
    /// position. Tiles may reach beyond a row's end, over what comes next, which is therefore written later: the last tile of a
    /// row goes before the others.
    fn transform(
        &self,
        image: usize,
        (column, phase): (usize, usize),
        plane: &mut [f32],
        (points, products): (&Points, &[f32]),
    ) {
        let (of, blocks) = (self.of, self.of.blocks_across());
        let (lanes, pitch, [line, col]) = (of.isa.lanes(), self.pitch(), of.parts.pair(phase));
        let (phase, [height, width]) = ((line * pitch + col) * lanes, of.block_sides());
        for down in 0..self.down.len() {
            of.for_starts(|start, number| {
                for tiles in [blocks - 1..blocks, 0..blocks - 1] {
                    let tile = (image * self.down.len() + down) * of.tiles_across() + number + tiles.start;
                    let from = points.grid(tile, column);
                    let place = (down * height * pitch + tiles.start * width) * lanes + phase;
                    let to = Target::Squares(plane, of.grid(start, pitch * lanes, of.apart()).after(place));
                    let map = Map::Sums(of.side());
                    simd::transform(of.isa, of.points, map, tiles.len(), (products, from), to);
                }
            });
        }
    }

    /// Writes them to their channels, a row each.
    fn store(&self, first: usize, plane: &[f32], c: MatMut<'_>) {
        let channel = self.group * self.of.rows + first;
        let [top, left] = self.of.crop;
        let before = if self.down.start == 0 { top * self.pitch() } else { 0 } + left;
        let lines = &plane[before * self.of.isa.lanes()..];
        self.store_lines(lines, self.pitch(), self.epilogue.rows(channel..channel + c.rows()), c);
    }

    /// Writes lines of a register a position, `pitch` apart, to their channels, a row each.
    pub fn store_lines(&self, lines: &[f32], pitch: usize, epilogue: Epilogue<'_>, mut c: MatMut<'_>) {
        let (isa, width) = (self.of.isa, self.of.result[1]);
        let how = Transposed { stride: isa.lanes(), add: false, epilogue };
        if pitch == width {
            return simd::transpose(isa, lines, how, c);
        }
        let height = c.cols() / width;
        for (y, line) in lines.chunks(pitch * isa.lanes()).enumerate().take(height) {
            simd::transpose(isa, line, how, c.block(0..c.rows(), y * width..(y + 1) * width));
        }
    }
}
