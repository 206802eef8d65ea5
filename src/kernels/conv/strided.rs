//! The input's gradient where the kernel strides: each phase a plain convolution, woven into the lines of the input.
//!
//! A task is an image and group, or a band of it, so that phases are woven while they are near; or several small images.

use std::ops::Range;

use super::ConvDims;
use super::convolve::{Convolve, images_together};
use super::lines::Lines;
use super::phases::{self, Phase};
use crate::kernels::gemm::scratch;
use crate::kernels::parallel;
use crate::kernels::simd::{Isa, MatMut};

/// Positions of the input in a band.
const BAND: usize = 2048;

/// An input's gradient.
pub struct Strided<'a> {
    pub isa: Isa,
    pub dims: &'a ConvDims,
    pub top_diff: &'a [f32],
    /// The phases' weights, one after the other, as [`super::weights`] packs them.
    pub packed: &'a [f32],
}

impl Strided<'_> {
    /// Overwrites the gradient.
    pub fn run(&self, bottom_diff: &mut [f32]) {
        let (m, area) = (self.dims.group_in(), self.dims.in_area());
        let axis = self.dims.axes[0];
        let outputs = area / phases::count(self.dims);
        let together = if self.dims.group == 1 { images_together(self.dims.batch, outputs) } else { 1 };
        let line = area / axis.input.max(1);
        let bands = area.div_ceil(BAND).min(axis.input.div_ceil(axis.stride)).max(1);
        let band = axis.input.div_ceil(bands).next_multiple_of(axis.stride);
        parallel::for_chunks_mut(bottom_diff, together * m * area, |start, images| {
            let rows = images.len() / area;
            let c = MatMut::new(images, rows, area, area);
            parallel::for_column_blocks(c, band * line, &|first, c| {
                self.band(start / (m * area), first / line..(first + c.cols()) / line, c);
            });
        });
    }

    /// Overwrites the lines `range` of the outermost axis of one group of an image, or of several images.
    fn band(&self, index: usize, range: Range<usize>, mut c: MatMut<'_>) {
        let (dims, m, rows) = (self.dims, self.dims.group_in(), c.rows());
        let last = dims.axes[dims.axes.len() - 1];
        let len = if dims.axes.len() == 1 { c.cols() } else { last.input };
        let mut packed = self.packed;
        for first in (0..phases::count(dims)).step_by(phases::remainders(&last)) {
            let phase = Phase::new(dims, first);
            let lines = phase.lines.band(phase.outer(&range)).outputs() / len.div_ceil(last.stride);
            scratch::lend(rows * lines * len, |values| {
                let mut rest = &mut *values;
                for number in first..first + phases::remainders(&last) {
                    let phase = Phase::new(dims, number);
                    let (k, lines) =
                        (dims.group_out() * phase.lines.taps(), phase.lines.band(phase.outer(&range)));
                    let weights = &packed[index % dims.group * m * k..][..m * k];
                    packed = &packed[dims.in_channels * k..];
                    let (of_phase, outputs) = (rows * lines.outputs(), lines.outputs());
                    let (values, others) = std::mem::take(&mut rest).split_at_mut(of_phase);
                    self.sums(&lines, index, weights, MatMut::new(values, rows, outputs, outputs));
                    rest = others;
                }
                Woven { values, lines, len, stride: last.stride }.weave(&phase, &mut c);
            });
        }
    }

    /// Overwrites `c` with one phase, or a band of it.
    fn sums(&self, lines: &Lines, index: usize, weights: &[f32], c: MatMut<'_>) {
        let (m, channels) = (self.dims.group_in(), self.dims.group_out());
        let group = channels * self.dims.out_area();
        let sums = Convolve {
            isa: self.isa,
            lines,
            images: c.rows() / m,
            channels,
            input: &self.top_diff[index * group..],
            image_stride: group,
            weights,
            bias: None,
            relu: false,
        };
        sums.run(m, m, c);
    }
}

/// Phases that fill lines of the input together: one after the other, each a row a channel.
struct Woven<'a> {
    values: &'a [f32],
    /// Lines of a channel, and length of a line of the input.
    lines: usize,
    len: usize,
    /// Distance between values of one phase in a line of the input.
    stride: usize,
}

impl Woven<'_> {
    /// Writes all lines to their places, which the first phase knows.
    fn weave(&self, phase: &Phase, c: &mut MatMut<'_>) {
        let m = c.rows();
        let lens = |remainder: usize| (self.len - remainder).div_ceil(self.stride);
        for i in 0..m {
            let row = c.row(i);
            for line in 0..self.lines {
                let to = &mut row[phase.line_start(line)..][..self.len];
                let mut phase = self.values;
                for remainder in 0..self.stride.min(self.len) {
                    let len = lens(remainder);
                    let of_phase;
                    (of_phase, phase) = phase.split_at(m * self.lines * len);
                    let from = &of_phase[(i * self.lines + line) * len..][..len];
                    if self.stride == 2 && remainder == 0 && self.len > 1 {
                        let odd = &phase[(i * self.lines + line) * lens(1)..][..lens(1)];
                        weave_two(from, odd, to);
                        break;
                    }
                    to[remainder..].iter_mut().step_by(self.stride).zip(from).for_each(|(to, &v)| *to = v);
                }
            }
        }
    }
}

/// `to` = the values of `even` and `odd` in turns; `even` may have one more.
fn weave_two(even: &[f32], odd: &[f32], to: &mut [f32]) {
    let (pairs, rest) = to.as_chunks_mut::<2>();
    pairs.iter_mut().zip(even.iter().zip(odd)).for_each(|(pair, (&a, &b))| *pair = [a, b]);
    rest.iter_mut().zip(&even[odd.len()..]).for_each(|(to, &v)| *to = v);
}
