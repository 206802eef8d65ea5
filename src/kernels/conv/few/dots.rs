//! The weights' gradient where taps are few, too: positions run along the lanes of both factors.
//!
//! Turning the output's gradient round would cost as much as the products. Of many taps most loads would cross lines of the
//! cache for little.

use std::ops::Range;

use super::CHANNELS;
use crate::kernels::conv::ConvDims;
use crate::kernels::conv::lines::{Line, Lines};
use crate::kernels::scratch;
use crate::kernels::simd::{self, Isa, MatMut, Run};

/// The most taps, over all channels of a group: 3 x 3 of four.
const TAPS: usize = 36;
/// Runs handed to the micro-kernel at a time.
const RUNS: usize = 64;

/// The sizes.
pub struct Dots<'a> {
    dims: &'a ConvDims,
    isa: Isa,
}

impl<'a> Dots<'a> {
    /// `None` where other ways serve better: many channels or taps, or lines that leave lanes empty.
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let width = dims.axes.last().map_or(1, |axis| axis.output);
        let full = width * 4 >= width.next_multiple_of(isa.lanes()) * 3;
        if dims.group_in() > CHANNELS || dims.depth() > TAPS || !full {
            return None;
        }
        Some(Self { dims, isa })
    }

    /// Adds `outer` lines of outputs of an image, all groups, to the weights' sums, and to the channels' `own`.
    pub fn add_band(
        &self,
        input: &[f32],
        top: &[f32],
        (image, outer): (usize, Range<usize>),
        sums: &mut [f32],
        mut own: Option<&mut [f32]>,
    ) {
        let dims = self.dims;
        let lines = Lines::new(dims.axes.iter().map(Line::forward));
        let position = outer.start * (dims.out_area() / lines.outer_outputs());
        let lines = lines.band(outer);
        for group in 0..dims.group {
            let channel = image * dims.in_channels + group * dims.group_in();
            let input = &input[channel * dims.in_area()..][..dims.group_in() * dims.in_area()];
            let row = image * dims.out_channels + group * dims.group_out();
            let top = &top[row * dims.out_area() + position..];
            let len = dims.group_out() * dims.depth();
            let sums = &mut sums[group * len..][..len];
            let own = own.as_mut().map(|own| &mut own[group * dims.group_out()..][..dims.group_out()]);
            if let Some(start) = lines.in_place() {
                self.add(&lines, (&input[start..], dims.in_area()), top, sums, own);
                continue;
            }
            let plane = lines.plane_len();
            scratch::lend(dims.group_in() * plane, |planes| {
                lines.fill_planes(self.isa, input, planes);
                self.add(&lines, (planes, plane), top, sums, own);
            });
        }
    }

    /// Adds the outputs of `lines`, whose planes lie `pitch` apart.
    fn add(
        &self,
        lines: &Lines,
        (data, pitch): (&[f32], usize),
        top: &[f32],
        sums: &mut [f32],
        mut own: Option<&mut [f32]>,
    ) {
        let (m, k) = (self.dims.group_out(), self.dims.depth());
        let mut offsets = [0; TAPS];
        let offsets = &mut offsets[..k];
        lines.fill_tap_offsets(0, pitch, offsets);
        let mut at = 0;
        while at < lines.outputs() {
            let (mut runs, mut count) = ([Run::default(); RUNS], 0);
            let end = lines.for_runs(at..lines.outputs(), 0, RUNS, |_, from, len| {
                runs[count] = Run { from, len };
                count += 1;
            });
            let stride = self.dims.out_area();
            let factors = simd::Dots { data, offsets, runs: &runs[..count], top: &top[at..], stride };
            simd::dots(self.isa, &factors, MatMut::new(sums, m, k, k), own.as_deref_mut());
            at = end;
        }
    }
}
