//! The input's gradient where the kernel strides: each phase a plain convolution, woven into the lines of the input.
//!
//! Phases of a line that are alike (all, where the kernel is as wide as its stride) are one convolution, whose rows are the phases of
//! each channel: their taps are gathered once. A task is an image and group, or a band of it, so that phases are woven while they
//! are near; or several small images. Rows are cut as those of `convolve.rs`. Lines that no tap meets (1 x 1) are only cleared.

use std::ops::Range;

use super::convolve::{Convolve, Weights, images_together, row_tasks};
use super::lines::Lines;
use super::phases::{self, Phase};
use super::weave::{Phases, Weave};
use super::{ConvDims, Onto};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{Epilogue, ImagesMut, Isa, MatMut};

/// Positions of the input in a band, and at least those of a phase in it.
const BAND: usize = 2048;
const LEAST: usize = 128;

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
        let bands = area.div_ceil(BAND.max(LEAST * phases)).min(axis.input.div_ceil(axis.stride)).max(1);
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
