//! The weights' gradient where taps are few, too: positions run along the lanes of both factors.
//!
//! Turning the output's gradient round would cost as much as the products. To read a register that crosses lines of the cache takes as
//! long as four that do not, and each meets few others here: so the image is copied once a column of the kernel, and lines of
//! gradients that begin anywhere are copied, too.

use std::ops::Range;

use super::CHANNELS;
use super::planes::two_axes;
use super::shifted::Shifted;
use crate::kernels::conv::{ConvAxis, ConvDims};
use crate::kernels::scratch;
use crate::kernels::simd::{self, Isa, MatMut, Run};

/// The most taps, over all channels of a group: 5 x 5 of three. Of more, several of a row of the kernel are read together (`strips.rs`).
const TAPS: usize = 80;
/// The most values that are copied for a line of outputs: they should stay in the second-level cache.
const VALUES: usize = 1 << 17;
/// Channels that are copied at a time: as many as the micro-kernel's.
const ROWS: usize = 4;

/// The sizes.
pub struct Dots<'a> {
    dims: &'a ConvDims,
    isa: Isa,
    axes: [ConvAxis; 2],
}

impl<'a> Dots<'a> {
    /// `None` where other ways serve better: many channels or taps, few positions, or long lines.
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let axes = two_axes(dims)?;
        if dims.group_in() > CHANNELS || dims.depth() > TAPS || dims.out_area() < isa.lanes() {
            return None;
        }
        if dims.group_in().saturating_mul(Shifted::new(axes, 1).channel_len()) > VALUES {
            return None;
        }
        Some(Self { dims, isa, axes })
    }

    /// Adds lines of outputs of an image, all groups, to the weights' sums, and to the channels' `own`.
    pub fn add_band(
        &self,
        input: &[f32],
        top: &[f32],
        (image, lines): (usize, Range<usize>),
        sums: &mut [f32],
        mut own: Option<&mut [f32]>,
    ) {
        let (dims, width) = (self.dims, self.axes[1].output);
        let (m, k, area) = (dims.group_out(), dims.depth(), dims.out_area());
        let shifted = Shifted::new(self.axes, lines.len());
        let (first, len) = (lines.start * width, lines.len() * width);
        let mut offsets = [0; TAPS];
        let offsets = &mut offsets[..k];
        shifted.fill_taps(offsets);
        let (data, pitch) = (dims.group_in() * shifted.channel_len(), len.next_multiple_of(self.isa.lanes()));
        let aligned = area.is_multiple_of(self.isa.lanes()) && first.is_multiple_of(self.isa.lanes());
        scratch::lend(data + ROWS * pitch, |scratch| {
            let (data, copy) = scratch.split_at_mut(data);
            for group in 0..dims.group {
                let values = dims.group_in() * dims.in_area();
                let input = &input[(image * dims.group + group) * values..][..values];
                shifted.fill(self.isa, input, lines.start, data);
                let row = image * dims.out_channels + group * m;
                let top = &top[row * area + first..];
                let sums = &mut sums[group * m * k..][..m * k];
                let mut own = own.as_mut().map(|own| &mut own[group * m..][..m]);
                let runs = &[Run { from: 0, len }];
                if aligned {
                    let factors = simd::Dots { data, offsets, runs, top, stride: area, next: (&[], 0) };
                    simd::dots(self.isa, &factors, MatMut::new(sums, m, k, k), own);
                    continue;
                }
                for row in (0..m).step_by(ROWS) {
                    let count = ROWS.min(m - row);
                    for (i, copy) in copy.chunks_exact_mut(pitch).enumerate().take(count) {
                        copy[..len].copy_from_slice(&top[(row + i) * area..][..len]);
                    }
                    let next = (top.get((row + count) * area..).unwrap_or(&[]), area);
                    let factors = simd::Dots { data, offsets, runs, top: copy, stride: pitch, next };
                    let own = own.as_mut().map(|own| &mut own[row..row + count]);
                    simd::dots(self.isa, &factors, MatMut::new(&mut sums[row * k..], count, k, k), own);
                }
            }
        });
    }
}
