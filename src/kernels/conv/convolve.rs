//! One image and group: C (`m` rows, one column per output) = packed weights times the image's taps.
//!
//! The matrix of taps (`im2col`) is never stored: a panel of a few outputs and a block of taps is gathered from the
//! plane into the first-level cache, used for all rows of weights, and forgotten.

use std::ops::Range;

use super::lines::Lines;
use crate::kernels::gemm::{DEPTH, panels, scratch};
use crate::kernels::simd::{self, Isa, MatMut, Piece, Tile};

/// The most lanes of a panel on any instruction set, and so the most pieces it may consist of.
const MAX_LANES: usize = 32;
/// Outputs of a task: enough to outweigh the margins of its planes, few enough for planes and C to stay near.
const BAND: usize = 1024;

/// What `run` computes.
pub struct Convolve<'a> {
    pub isa: Isa,
    pub lines: &'a Lines,
    pub channels: usize,
    /// The group's channels.
    pub image: &'a [f32],
    /// As [`super::weights`] packs them.
    pub weights: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub relu: bool,
}

impl Convolve<'_> {
    /// Overwrites `c`, cut into bands of the outermost axis for all threads.
    pub fn run_in_bands(&self, c: MatMut<'_>) {
        let (outer, all) = (self.lines.outer_outputs(), self.lines.outputs());
        if all == 0 {
            return;
        }
        let count = all.div_ceil(BAND).min(outer);
        self.bands(0..outer, outer.div_ceil(count), c);
    }

    /// Halves `range`, on boundaries of bands, until one is left.
    fn bands(&self, range: Range<usize>, band: usize, c: MatMut<'_>) {
        let count = range.len().div_ceil(band);
        if count == 1 {
            let lines = self.lines.band(range);
            return Convolve { lines: &lines, ..*self }.run(c);
        }
        let at = count / 2 * band;
        let line = c.cols() / range.len();
        let (left, right) = c.split_cols(at * line);
        let middle = range.start + at;
        rayon::join(
            || self.bands(range.start..middle, band, left),
            || self.bands(middle..range.end, band, right),
        );
    }

    /// Overwrites `c`, whose columns are the outputs of `lines`.
    pub fn run(&self, mut c: MatMut<'_>) {
        let k = self.channels * self.lines.taps();
        if k == 0 || c.rows() == 0 {
            return self.without_taps(&mut c);
        }
        let panel_len = DEPTH.min(k) * self.isa.tile_cols();
        if self.lines.is_identity() {
            let image = &self.image[self.lines.identity_start()..];
            scratch::lend(panel_len, |panel| self.blocks(image, self.lines.inputs(), panel, c));
        } else {
            let plane = self.lines.plane_len();
            scratch::lend(panel_len + self.channels * plane, |scratch| {
                let (panel, planes) = scratch.split_at_mut(panel_len);
                self.lines.fill_planes(self.image, planes);
                self.blocks(planes, plane, panel, c);
            });
        }
    }

    /// An empty sum: only the epilogue.
    fn without_taps(&self, c: &mut MatMut<'_>) {
        for i in 0..c.rows() {
            let bias = self.bias.map_or(0.0, |bias| bias[i]);
            c.row(i).fill(if self.relu && bias < 0.0 { 0.0 } else { bias });
        }
    }

    /// Sums the blocks of taps, in order. Planes lie `pitch` apart.
    fn blocks(&self, planes: &[f32], pitch: usize, panel: &mut [f32], mut c: MatMut<'_>) {
        let (m, n, all) = (c.rows(), c.cols(), self.channels * self.lines.taps());
        let mut offsets = [0; DEPTH];
        for depth in (0..all).step_by(DEPTH) {
            let k = DEPTH.min(all - depth);
            let offsets = &mut offsets[..k];
            self.lines.fill_tap_offsets(depth, pitch, offsets);
            let last = depth + k == all;
            let weights = &self.weights[depth * m..(depth + k) * m];
            for j in (0..n).step_by(self.isa.tile_cols()) {
                let cols = j..n.min(j + self.isa.tile_cols());
                let width = cols.len().next_multiple_of(self.isa.lanes());
                self.gather(planes, offsets, cols.clone(), panel);
                for rows in panels(m, self.isa.tile_rows()) {
                    let tile = Tile {
                        k,
                        a: &weights[rows.start * k..rows.end * k],
                        b: panel,
                        b_stride: width,
                        alpha: 1.0,
                        beta: if depth == 0 { 0.0 } else { 1.0 },
                        bias: self.bias.filter(|_| last).map(|bias| &bias[rows.clone()]),
                        relu: self.relu && last,
                    };
                    simd::multiply(self.isa, &tile, c.block(rows, cols.clone()));
                }
            }
        }
    }

    /// Packs the taps at `offsets` of the outputs `cols`.
    fn gather(&self, planes: &[f32], offsets: &[u32], cols: Range<usize>, panel: &mut [f32]) {
        let lanes = self.isa.lanes();
        let (mut pieces, mut count) = ([Piece::default(); MAX_LANES], 0);
        self.lines.for_runs(cols.clone(), |at, from, len| {
            for i in (0..len).step_by(lanes) {
                pieces[count] = Piece { lane: at - cols.start + i, from: from + i, len: lanes.min(len - i) };
                count += 1;
            }
        });
        let width = cols.len().next_multiple_of(lanes);
        simd::gather(self.isa, planes, offsets, &pieces[..count], width, panel);
    }
}
