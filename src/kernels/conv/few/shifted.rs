//! Copies of an image's lines, one for each column of the kernel and as wide as the outputs: what a tap meets lies together for all
//! positions of a band, and mostly begins where a line of the cache does.

use crate::kernels::conv::ConvAxis;
use crate::kernels::conv::spaced::{clear, copy_every};
use crate::kernels::simd::{Isa, Job, MOST_LANES, Simd};

/// What is kept of a channel for a band of lines of outputs. Lines of equal remainders by the stride lie together.
#[derive(Clone, Copy, Debug)]
pub struct Shifted {
    axes: [ConvAxis; 2],
    /// Remainders that taps may have.
    remainders: usize,
    /// Lines of each, and the values that are set aside for them.
    lines: usize,
    len: usize,
}

impl Shifted {
    /// For so many lines of outputs, at least one.
    pub fn new(axes: [ConvAxis; 2], outputs: usize) -> Self {
        let [outer, inner] = &axes;
        let lines = outputs + (outer.extent() - 1) / outer.stride;
        let len = lines.saturating_mul(inner.output).saturating_add(MOST_LANES - 1) / MOST_LANES * MOST_LANES;
        Self { axes, remainders: outer.stride.min(outer.extent()), lines, len }
    }

    /// Values of a channel; the largest number where they cannot be counted.
    pub fn channel_len(&self) -> usize {
        self.axes[1].kernel.saturating_mul(self.remainders).saturating_mul(self.len)
    }

    /// Where all taps read for the first output, channel by channel.
    pub fn fill_taps(&self, offsets: &mut [u32]) {
        let [outer, inner] = &self.axes;
        for (i, offset) in offsets.iter_mut().enumerate() {
            let (channel, y, x) =
                (i / (outer.kernel * inner.kernel), i / inner.kernel % outer.kernel, i % inner.kernel);
            let y = y * outer.dilation;
            let copy = x * self.remainders + y % outer.stride;
            *offset =
                (channel * self.channel_len() + copy * self.len + y / outer.stride * inner.output) as u32;
        }
    }

    /// Copies the channels of an image for the outputs from line `first` on.
    pub fn fill(&self, isa: Isa, image: &[f32], first: usize, to: &mut [f32]) {
        isa.run(Fill { shifted: self, image, first, to });
    }
}

struct Fill<'a> {
    shifted: &'a Shifted,
    image: &'a [f32],
    first: usize,
    to: &'a mut [f32],
}

impl Job for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Shifted { axes: [outer, inner], remainders, lines, len } = *self.shifted;
        let channels = self.image.chunks_exact(outer.input * inner.input);
        for (image, channel) in channels.zip(self.to.chunks_exact_mut(self.shifted.channel_len())) {
            for (i, copy) in channel.chunks_exact_mut(len).enumerate() {
                let (x, remainder) = (i / remainders * inner.dilation, i % remainders);
                // The outputs whose tap lies inside a line of the image, and where the first does.
                let start = inner.pad.saturating_sub(x).div_ceil(inner.stride).min(inner.output);
                let end = (inner.input + inner.pad)
                    .saturating_sub(x)
                    .div_ceil(inner.stride)
                    .clamp(start, inner.output);
                let from = (start * inner.stride + x).saturating_sub(inner.pad);
                for (line, to) in copy.chunks_exact_mut(inner.output).take(lines).enumerate() {
                    let y = ((self.first + line) * outer.stride + remainder).wrapping_sub(outer.pad);
                    if y >= outer.input || start == end {
                        clear(simd, to);
                        continue;
                    }
                    let row = &image[y * inner.input..][..inner.input];
                    clear(simd, &mut to[..start]);
                    copy_every(simd, inner.stride, &row[from..], &mut to[start..end]);
                    clear(simd, &mut to[end..]);
                }
            }
        }
    }
}
