//! The input's gradient where the kernel strides: each phase a plain convolution, woven into the lines of the input.
//!
//! Phases of a line that are alike (all, where the kernel is as wide as its stride) are one convolution, whose rows are the phases of
//! each channel: their taps are gathered once. A task is an image and group, or a band of it, so that phases are woven while they
//! are near; or several small images. Rows are cut as those of `convolve.rs`. Lines that no tap meets (1 x 1) are only cleared.

use std::ops::Range;

use super::convolve::{Convolve, Weights, images_together, row_tasks};
use super::lines::Lines;
use super::phases::{self, Phase};
use super::{ConvAxis, ConvDims, Onto};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{Epilogue, ImagesMut, Isa, Job, MatMut, Simd};

/// Positions of the input in a band, and of a phase.
const BAND: usize = 2048;
const OF_PHASE: usize = 128;

/// An input's gradient.
pub struct Strided<'a> {
    pub isa: Isa,
    pub dims: &'a ConvDims,
    pub top_diff: &'a [f32],
    /// The phases' weights, one after the other, as [`super::weights`] packs them.
    pub packed: &'a [f32],
    pub onto: Onto<'a>,
}

impl Strided<'_> {
    /// Overwrites the gradient, or adds to it.
    pub fn run(&self, bottom_diff: &mut [f32]) {
        let (m, area) = (self.dims.group_in(), self.dims.in_area());
        let axis = self.dims.axes[0];
        let phases = phases::count(self.dims);
        let outputs = area / phases;
        let together =
            if self.dims.group == 1 { images_together(self.dims.batch, outputs, usize::MAX) } else { 1 };
        let line = area / axis.input.max(1);
        let bands = area.div_ceil(BAND.max(OF_PHASE * phases)).min(axis.input.div_ceil(axis.stride)).max(1);
        let band = axis.input.div_ceil(bands).next_multiple_of(axis.stride);
        let row_tasks = row_tasks(self.dims.group * self.dims.batch.div_ceil(together) * bands);
        parallel::for_chunks_mut(bottom_diff, together * m * area, |start, images| {
            let rows = images.len() / area;
            let c = MatMut::new(images, rows, area, area);
            parallel::for_column_blocks(c, band * line, &|first, c| {
                let x = self.onto.part(start + first, (rows - 1) * area + c.cols());
                self.band(start / (m * area), first / line..(first + c.cols()) / line, row_tasks, x, c);
            });
        });
    }

    /// The lines `range` of the outermost axis of one group of an image, or of several images, and what lies beside its first row and
    /// from there on.
    fn band(
        &self,
        index: usize,
        range: Range<usize>,
        row_tasks: usize,
        x: Option<&[f32]>,
        mut c: MatMut<'_>,
    ) {
        let (dims, m, rows) = (self.dims, self.dims.group_in(), c.rows());
        let last = dims.axes[dims.axes.len() - 1];
        let len = if dims.axes.len() == 1 { c.cols() } else { last.input };
        let mut packed = self.packed;
        let per_line = phases::remainders(&last);
        let untouched =
            |first: usize| (first..first + per_line).all(|i| Phase::new(dims, i).lines.taps() == 0);
        let lines = || (0..phases::count(dims)).step_by(per_line);
        let add = self.onto != Onto::Nothing;
        let mut clear = !add && lines().any(untouched);
        for first in lines().filter(|&first| !untouched(first)) {
            let phase = Phase::new(dims, first);
            let lines = phase.lines.band(phase.outer(&range)).outputs() / len.div_ceil(last.stride);
            scratch::lend(rows * lines * len, |values| {
                let mut rest = &mut *values;
                let mut next = first;
                while next < first + per_line {
                    let (phase, alike) = (Phase::new(dims, next), phases::alike(&last, next - first));
                    let (k, lines) =
                        (dims.group_out() * phase.lines.taps(), phase.lines.band(phase.outer(&range)));
                    let weights = &packed[index % dims.group * alike * m * k..][..alike * m * k];
                    packed = &packed[alike * dims.in_channels * k..];
                    let (of_phases, outputs) = (alike * rows * lines.outputs(), lines.outputs());
                    let (values, others) = std::mem::take(&mut rest).split_at_mut(of_phases);
                    let c = ImagesMut::new(values, rows / m, alike * m, outputs);
                    self.sums(&lines, index, weights, row_tasks, c);
                    (rest, next) = (others, next + alike);
                }
                let (phase, values, width) = (&phase, &*values, c.cols());
                let height = (parallel::CHUNK / width.max(1)).max(rows.div_ceil(row_tasks));
                parallel::for_row_blocks(c.block(0..rows, 0..width), height, &|row, c| {
                    let phases = Phases { values, rows, lines, len, stride: last.stride, alike: Some(&last) };
                    let x = x.map(|x| (x, dims.in_area()));
                    self.isa.run(Weave { phases, first: phase, row, clear, add, x, c });
                });
            });
            clear = false;
        }
        if clear {
            (0..rows).for_each(|i| c.row(i).fill(0.0));
        }
    }

    /// Overwrites `c` with one phase, or a band of it.
    fn sums(&self, lines: &Lines, index: usize, weights: &[f32], row_tasks: usize, c: ImagesMut<'_>) {
        let channels = self.dims.group_out();
        let group = channels * self.dims.out_area();
        let sums = Convolve {
            isa: self.isa,
            lines,
            channels,
            input: &self.top_diff[index * group..],
            image_stride: group,
            weights: Weights::Packed(weights),
            epilogue: Epilogue::default(),
            onto: Onto::Nothing,
            row_tasks,
        };
        sums.run(c);
    }
}

/// Values of the phases that fill lines of the input together: one phase after the other, each a row a channel; or those that are
/// alike together, channel by channel.
#[derive(Clone, Copy)]
pub struct Phases<'a> {
    pub values: &'a [f32],
    /// Rows of a phase.
    pub rows: usize,
    /// Lines of a row, and length of a line of the input.
    pub lines: usize,
    /// See `lines`.
    pub len: usize,
    /// Distance between values of one phase in a line of the input.
    pub stride: usize,
    /// The last axis, which tells what is alike, if that stands together.
    pub alike: Option<&'a ConvAxis>,
}

/// Where the values of a phase lie: the first, the distance between rows, and the length of a line.
#[derive(Clone, Copy, Default)]
struct Place {
    first: usize,
    row: usize,
    len: usize,
}

impl<'a> Phases<'a> {
    /// The places of all that have values.
    fn places(self) -> impl Iterator<Item = Place> + use<'a> {
        let (mut first, mut next, mut alike, mut left) = (0, 0, 0, 0);
        (0..self.stride.min(self.len)).map(move |remainder| {
            let len = (self.len - remainder).div_ceil(self.stride);
            let of_row = self.lines * len;
            first += of_row;
            if left == 0 {
                alike = self.alike.map_or(1, |axis| phases::alike(axis, remainder));
                (first, next, left) = (next, next + self.rows * alike * of_row, alike);
            }
            left -= 1;
            Place { first, row: alike * of_row, len }
        })
    }

    /// A line of one of them.
    fn line(&self, place: &Place, row: usize, line: usize) -> &'a [f32] {
        &self.values[place.first + row * place.row + line * place.len..][..place.len]
    }
}

/// Weaves phases into lines of the input.
pub struct Weave<'a> {
    pub phases: Phases<'a>,
    /// The first of them, which knows the lines' places in `c`.
    pub first: &'a Phase,
    /// Their row that is the first of `c`.
    pub row: usize,
    /// Whether the other lines are to be zeros.
    pub clear: bool,
    /// Whether values are added to those of `c`, and what lies beside all rows, so far apart: sums are 0 where that is not above 0.
    pub add: bool,
    /// See `add`.
    pub x: Option<(&'a [f32], usize)>,
    /// The rows of the input.
    pub c: MatMut<'a>,
}

impl Job for Weave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        /// The most phases that are woven by registers.
        const MOST: usize = 8;
        let Weave { phases, first, row: first_row, clear, add, x, mut c } = self;
        let Phases { lines, len, stride, .. } = phases;
        let mut places = [Place::default(); MOST];
        places.iter_mut().zip(phases.places()).for_each(|(kept, place)| *kept = place);
        for i in 0..c.rows() {
            let (row, number) = (c.row(i), first_row + i);
            if clear {
                row.fill(0.0);
            }
            for line in 0..lines {
                let to = &mut row[first.line_start(line)..][..len];
                let [a, b, c, d, e, f, g, h] = &places;
                let of = |place: &Place| phases.line(place, number, line);
                match stride {
                    2 if len >= 2 => weave(simd, [of(a), of(b)], add, to),
                    4 if len >= 4 => weave(simd, [of(a), of(b), of(c), of(d)], add, to),
                    8 if len >= 8 => {
                        weave(simd, [of(a), of(b), of(c), of(d), of(e), of(f), of(g), of(h)], add, to);
                    }
                    _ => {
                        for (remainder, place) in phases.places().enumerate() {
                            let to = to[remainder..].iter_mut().step_by(stride).zip(of(&place));
                            to.for_each(|(to, &v)| *to = if add { *to + v } else { v });
                        }
                    }
                }
            }
            if let Some((x, area)) = x {
                clear_rectified(simd, &x[number * area..][..row.len()], row);
            }
        }
    }
}

/// `to` = the values of `phases`, a power of two of them, in turns, or these are added to it; the first may have one more than the last.
#[inline(always)]
pub fn weave<S: Simd, const N: usize>(simd: S, phases: [&[f32]; N], add: bool, to: &mut [f32]) {
    for (i, to) in to.chunks_mut(N * S::LANES).enumerate() {
        let mut values = [simd.splat(0.0); N];
        for (value, phase) in values.iter_mut().zip(&phases) {
            *value = simd.read_first(&phase[(i * S::LANES).min(phase.len())..]);
        }
        let mut woven = 1;
        while woven < N {
            let from = values;
            for pair in 0..N / 2 {
                (values[2 * pair], values[2 * pair + 1]) = simd.zip(from[pair], from[pair + N / 2]);
            }
            woven *= 2;
        }
        let mut rest = to;
        for value in values {
            let part;
            (part, rest) = rest.split_at_mut(rest.len().min(S::LANES));
            simd.write_first(part, if add { simd.add(simd.read_first(part), value) } else { value });
        }
    }
}

/// Makes the values of `row` 0 where those of `x` are not above 0.
#[inline(always)]
fn clear_rectified<S: Simd>(simd: S, x: &[f32], row: &mut [f32]) {
    let zero = simd.splat(0.0);
    for (x, row) in x.chunks(S::LANES).zip(row.chunks_mut(S::LANES)) {
        let kept = simd.where_greater(simd.read_first(x), zero, simd.read_first(row), zero);
        simd.write_first(row, kept);
    }
}
