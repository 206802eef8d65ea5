//! The input's gradient where the kernel strides: each phase a plain convolution, woven into the lines of the input.
//!
//! A task is an image and group, or a band of it, so that phases are woven while they are near; or several small
//! images. Rows are cut as those of `convolve.rs`. Lines that no tap meets (1 x 1) are only cleared.

use std::ops::Range;

use super::convolve::{Convolve, Weights, images_together, row_tasks};
use super::lines::Lines;
use super::phases::{self, Phase};
use super::{ConvDims, Onto};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{Epilogue, ImagesMut, Isa, Job, MatMut, Simd};

/// Positions of the input in a band.
const BAND: usize = 2048;

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
        let outputs = area / phases::count(self.dims);
        let together =
            if self.dims.group == 1 { images_together(self.dims.batch, outputs, usize::MAX) } else { 1 };
        let line = area / axis.input.max(1);
        let bands = area.div_ceil(BAND).min(axis.input.div_ceil(axis.stride)).max(1);
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
                for number in first..first + per_line {
                    let phase = Phase::new(dims, number);
                    let (k, lines) =
                        (dims.group_out() * phase.lines.taps(), phase.lines.band(phase.outer(&range)));
                    let weights = &packed[index % dims.group * m * k..][..m * k];
                    packed = &packed[dims.in_channels * k..];
                    let (of_phase, outputs) = (rows * lines.outputs(), lines.outputs());
                    let (values, others) = std::mem::take(&mut rest).split_at_mut(of_phase);
                    let c = ImagesMut::new(values, rows / m, m, outputs);
                    self.sums(&lines, index, weights, row_tasks, c);
                    rest = others;
                }
                let (phase, values, width) = (&phase, &*values, c.cols());
                let height = (parallel::CHUNK / width.max(1)).max(rows.div_ceil(row_tasks));
                parallel::for_row_blocks(c.block(0..rows, 0..width), height, &|row, c| {
                    let rows = [row, rows];
                    let (stride, x) = (last.stride, x.map(|x| (x, dims.in_area())));
                    self.isa.run(Weave { values, rows, lines, len, stride, phase, clear, add, x, c });
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

/// Phases that fill lines of the input together: one after the other, each a row a channel.
pub struct Weave<'a> {
    /// Their values.
    pub values: &'a [f32],
    /// The first row of `c`, and how many there are in all.
    pub rows: [usize; 2],
    /// Lines of a channel, and length of a line of the input.
    pub lines: usize,
    /// See `lines`.
    pub len: usize,
    /// Distance between values of one phase in a line of the input.
    pub stride: usize,
    /// The first phase, which knows the lines' places in `c`, and whether the other lines are to be zeros.
    pub phase: &'a Phase,
    /// See `phase`.
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
        let Weave { values, rows: [first, rows], lines, len, stride, phase, clear, add, x, mut c } = self;
        let len_of = |remainder: usize| (len - remainder).div_ceil(stride);
        for i in first..first + c.rows() {
            let row = c.row(i - first);
            if clear {
                row.fill(0.0);
            }
            for line in 0..lines {
                let to = &mut row[phase.line_start(line)..][..len];
                let mut phase = values;
                for remainder in 0..stride.min(len) {
                    let of_phase;
                    (of_phase, phase) = phase.split_at(rows * lines * len_of(remainder));
                    let from = &of_phase[(i * lines + line) * len_of(remainder)..][..len_of(remainder)];
                    if stride == 2 && remainder == 0 && len > 1 {
                        let odd = &phase[(i * lines + line) * len_of(1)..][..len_of(1)];
                        weave_two(simd, from, odd, add, to);
                        break;
                    }
                    let to = to[remainder..].iter_mut().step_by(stride).zip(from);
                    to.for_each(|(to, &v)| *to = if add { *to + v } else { v });
                }
            }
            if let Some((x, area)) = x {
                clear_rectified(simd, &x[i * area..][..row.len()], row);
            }
        }
    }
}

/// `to` = the values of `even` and `odd` in turns, or these are added to it; `even` may have one more.
#[inline(always)]
pub fn weave_two<S: Simd>(simd: S, even: &[f32], odd: &[f32], add: bool, to: &mut [f32]) {
    for (i, to) in to.chunks_mut(2 * S::LANES).enumerate() {
        let (even, odd) = (&even[i * S::LANES..], &odd[(i * S::LANES).min(odd.len())..]);
        let (low, high) = simd.zip(simd.read_first(even), simd.read_first(odd));
        let (to_low, to_high) = to.split_at_mut(to.len().min(S::LANES));
        for (to, v) in [(to_low, low), (to_high, high)] {
            simd.write_first(to, if add { simd.add(simd.read_first(to), v) } else { v });
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
