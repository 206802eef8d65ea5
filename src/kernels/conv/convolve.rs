//! A few images and one group: C (one row a channel, one column an output) = packed weights times the images' taps.
//!
//! The matrix of taps (`im2col`) is never stored: a block of outputs and taps is gathered from the planes into the
//! second-level cache, used for all rows of weights, and forgotten.

use std::ops::Range;

use super::lines::Lines;
use crate::kernels::gemm::{DEPTH, panels, scratch};
use crate::kernels::simd::{self, Isa, MatMut, Piece, Tile};

/// The most lanes of a panel on any instruction set, and so the most pieces it may consist of.
const MAX_LANES: usize = 32;
/// The most rows of a tile on any instruction set.
const MAX_ROWS: usize = 14;
/// Outputs of a task: enough to outweigh the margins of its planes, few enough for planes and C to stay near.
const BAND: usize = 1024;
/// Images of fewer outputs are small: too many of their registers would be left part empty.
const SMALL: usize = 128;
/// Small images are taken together up to this many outputs.
const TOGETHER: usize = 256;

/// Values of a block of taps and outputs, which stays in the second-level cache.
const BLOCK: usize = 1 << 17;

/// How many images of `outputs` values a channel one task takes, of `batch`.
pub fn images_together(batch: usize, outputs: usize) -> usize {
    if outputs >= SMALL { 1 } else { TOGETHER.div_ceil(outputs.max(1)).min(batch / 4).max(1) }
}

/// What `run` computes.
#[derive(Clone, Copy)]
pub struct Convolve<'a> {
    pub isa: Isa,
    pub lines: &'a Lines,
    /// Number of images, and what a group has of each.
    pub images: usize,
    pub channels: usize,
    /// The first image's group; the next follows `image_stride` later.
    pub input: &'a [f32],
    pub image_stride: usize,
    /// As [`super::weights`] packs them.
    pub weights: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub relu: bool,
}

/// The images' planes, `image` apart, each channel's `channel` apart.
struct Planes<'a> {
    values: &'a [f32],
    image: usize,
    channel: usize,
}

/// Where results go: the rows of each image, `image_rows` after those of the last.
struct Results<'a> {
    c: MatMut<'a>,
    rows: usize,
    image_rows: usize,
}

impl Convolve<'_> {
    /// Overwrites `c`, cut into bands of the outermost axis for all threads, with the `rows` rows of one image.
    pub fn run_in_bands(&self, rows: usize, c: MatMut<'_>) {
        let (outer, all) = (self.lines.outer_outputs(), self.lines.outputs());
        if all == 0 {
            return;
        }
        let count = all.div_ceil(BAND).min(outer);
        self.bands(0..outer, outer.div_ceil(count), rows, c);
    }

    /// Halves `range`, on boundaries of bands, until one is left.
    fn bands(&self, range: Range<usize>, band: usize, rows: usize, c: MatMut<'_>) {
        let count = range.len().div_ceil(band);
        if count == 1 {
            let lines = self.lines.band(range);
            return Convolve { lines: &lines, ..*self }.run(rows, 0, c);
        }
        let at = count / 2 * band;
        let line = c.cols() / range.len();
        let (left, right) = c.split_cols(at * line);
        let middle = range.start + at;
        rayon::join(
            || self.bands(range.start..middle, band, rows, left),
            || self.bands(middle..range.end, band, rows, right),
        );
    }

    /// Overwrites `rows` rows of `c` for each image, `image_rows` apart, whose columns are the outputs of `lines`.
    pub fn run(&self, rows: usize, image_rows: usize, c: MatMut<'_>) {
        let k = self.channels * self.lines.taps();
        let mut results = Results { c, rows, image_rows };
        if k == 0 || rows == 0 {
            return self.without_taps(&mut results);
        }
        let n = self.images * self.lines.outputs();
        let panel_len = DEPTH.min(k) * self.block_cols(k, rows).min(n.next_multiple_of(self.isa.lanes()));
        if let Some(start) = self.lines.in_place() {
            let (image, channel) = (self.image_stride, self.lines.inputs());
            let planes = Planes { values: &self.input[start..], image, channel };
            scratch::lend(panel_len, |panel| self.blocks(&planes, panel, &mut results));
        } else {
            let channel = self.lines.plane_len();
            let image = self.channels * channel;
            scratch::lend(panel_len + self.images * image, |scratch| {
                let (panel, values) = scratch.split_at_mut(panel_len);
                let inputs =
                    self.input.chunks(self.image_stride).map(|i| &i[..self.channels * self.lines.inputs()]);
                for (input, planes) in inputs.zip(values.chunks_exact_mut(image.max(1))) {
                    self.lines.fill_planes(input, planes);
                }
                self.blocks(&Planes { values, image, channel }, panel, &mut results);
            });
        }
    }

    /// An empty sum: only the epilogue.
    fn without_taps(&self, results: &mut Results<'_>) {
        for image in 0..self.images {
            for i in 0..results.rows {
                let bias = self.bias.map_or(0.0, |bias| bias[i]);
                let row = results.c.row(image * results.image_rows + i);
                row.fill(if self.relu && bias < 0.0 { 0.0 } else { bias });
            }
        }
    }

    /// Columns of a block: as many as its taps leave room for; one panel where it is used only once.
    fn block_cols(&self, k: usize, rows: usize) -> usize {
        let panel = self.isa.tile_cols();
        if rows <= self.isa.tile_rows() && !self.lines.is_matrix() {
            return panel;
        }
        (BLOCK / DEPTH.min(k).max(1) / panel * panel).max(panel)
    }

    /// Sums the blocks of taps, in order.
    fn blocks(&self, planes: &Planes<'_>, block: &mut [f32], results: &mut Results<'_>) {
        let (m, n, all) =
            (results.rows, self.images * self.lines.outputs(), self.channels * self.lines.taps());
        let wide = self.block_cols(all, m);
        let mut offsets = [0; DEPTH];
        for depth in (0..all).step_by(DEPTH) {
            let k = DEPTH.min(all - depth);
            let offsets = &mut offsets[..k];
            self.lines.fill_tap_offsets(depth, planes.channel, offsets);
            let last = depth + k == all;
            let weights = &self.weights[depth * m..(depth + k) * m];
            for j in (0..n).step_by(wide) {
                let cols = j..n.min(j + wide);
                self.pack(planes, offsets, cols.clone(), block);
                for rows in panels(m, self.isa.tile_rows()) {
                    let tile = Tile {
                        k,
                        a: &weights[rows.start * k..rows.end * k],
                        a_stride: rows.len(),
                        b: block,
                        b_stride: 0,
                        alpha: 1.0,
                        beta: if depth == 0 { 0.0 } else { 1.0 },
                        bias: self.bias.filter(|_| last).map(|bias| &bias[rows.clone()]),
                        relu: self.relu && last,
                    };
                    // Along the rows of C, which then stream through the cache.
                    for cols in self.panels(&cols) {
                        let b = &block[(cols.start - j) * k..];
                        let b_stride = cols.len().next_multiple_of(self.isa.lanes());
                        self.multiply(&Tile { b, b_stride, ..tile }, rows.clone(), cols, results);
                    }
                }
            }
        }
    }

    /// The tiles' columns of a block.
    fn panels(&self, cols: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (wide, end) = (self.isa.tile_cols(), cols.end);
        cols.clone().step_by(wide).map(move |start| start..end.min(start + wide))
    }

    /// Packs the taps at `offsets` of the outputs `cols`, panel by panel.
    fn pack(&self, planes: &Planes<'_>, offsets: &[u32], cols: Range<usize>, block: &mut [f32]) {
        let k = offsets.len();
        if self.images == 1 && self.lines.is_matrix() {
            let data = &planes.values[offsets[0] as usize + cols.start..];
            return simd::copy_panels(self.isa, data, planes.channel, k, cols.len(), block);
        }
        for panel in self.panels(&cols) {
            self.gather(planes, offsets, panel.clone(), &mut block[(panel.start - cols.start) * k..]);
        }
    }

    /// Computes a tile of C, whose columns are counted over images.
    fn multiply(&self, tile: &Tile<'_>, rows: Range<usize>, cols: Range<usize>, results: &mut Results<'_>) {
        let outputs = self.lines.outputs();
        let (first, last) = (cols.start / outputs, (cols.end - 1) / outputs);
        let place =
            |image: usize| image * results.image_rows + rows.start..image * results.image_rows + rows.end;
        if first == last {
            let c = results.c.block(place(first), cols.start - first * outputs..cols.end - first * outputs);
            return simd::multiply(self.isa, tile, c);
        }
        // Columns of several images: the tile is computed beside C, and its columns then go their ways.
        let mut beside = [0.0; MAX_ROWS * MAX_LANES];
        let plain = Tile { beta: 0.0, bias: None, relu: false, ..*tile };
        simd::multiply(self.isa, &plain, MatMut::new(&mut beside, rows.len(), cols.len(), MAX_LANES));
        for image in first..=last {
            let of_image = cols.start.max(image * outputs)..cols.end.min((image + 1) * outputs);
            for (i, row) in place(image).enumerate() {
                let c =
                    &mut results.c.row(row)[of_image.start - image * outputs..of_image.end - image * outputs];
                let sums = &beside[i * MAX_LANES..][of_image.start - cols.start..];
                let bias = tile.bias.map_or(0.0, |bias| bias[i]);
                for (c, &sum) in c.iter_mut().zip(sums) {
                    let value = sum + bias + if tile.beta == 0.0 { 0.0 } else { *c };
                    *c = if tile.relu && value < 0.0 { 0.0 } else { value };
                }
            }
        }
    }

    /// Packs the taps at `offsets` of the outputs `cols`.
    fn gather(&self, planes: &Planes<'_>, offsets: &[u32], cols: Range<usize>, panel: &mut [f32]) {
        let lanes = self.isa.lanes();
        let (mut pieces, mut count) = ([Piece::default(); MAX_LANES], 0);
        self.lines.for_runs(cols.clone(), planes.image, MAX_LANES, |at, from, len| {
            for i in (0..len).step_by(lanes) {
                pieces[count] = Piece { lane: at - cols.start + i, from: from + i, len: lanes.min(len - i) };
                count += 1;
            }
        });
        let width = cols.len().next_multiple_of(lanes);
        simd::gather(self.isa, planes.values, offsets, &pieces[..count], width, panel);
    }
}
