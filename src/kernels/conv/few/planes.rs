//! Padded copies of lines of an image's channels.

use std::ops::Range;

use crate::kernels::conv::spaced::{copy_every, take_apart};
use crate::kernels::conv::{ConvAxis, ConvDims};
use crate::kernels::simd::{Isa, Job, MatMut, Simd};

/// What is kept of a channel for a band of lines of outputs. Positions of equal remainders by `step` lie together.
#[derive(Clone, Copy, Debug)]
pub struct Planes {
    axes: [ConvAxis; 2],
    step: [usize; 2],
    /// Lines of each pair of remainders, and their values.
    lines: usize,
    pitch: usize,
}

impl Planes {
    /// For `outputs` lines: taken apart by the strides, or as they stand.
    pub fn new(axes: [ConvAxis; 2], outputs: usize, apart: bool) -> Self {
        let step = if apart { axes.map(|axis| axis.stride) } else { [1, 1] };
        let kept = |i: usize, outputs: usize| {
            (outputs - 1) * axes[i].stride / step[i] + (axes[i].extent() - 1) / step[i] + 1
        };
        Self { axes, step, lines: kept(0, outputs), pitch: kept(1, axes[1].output) }
    }

    /// Distance between lines of a pair of remainders.
    pub fn pitch(&self) -> usize {
        self.pitch
    }

    /// Lines of a pair of remainders.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Values of a channel.
    pub fn channel_len(&self) -> usize {
        self.step[0] * self.step[1] * self.lines * self.pitch
    }

    /// Where tap `(y, x)` of a channel reads for the first output.
    pub fn tap(&self, channel: usize, y: usize, x: usize) -> usize {
        let [y, x] = [y * self.axes[0].dilation, x * self.axes[1].dilation];
        let [sy, sx] = self.step;
        let remainders = (channel * sy + y % sy) * sx + x % sx;
        (remainders * self.lines + y / sy) * self.pitch + x / sx
    }

    /// Where all taps read, channel by channel.
    pub fn fill_taps(&self, offsets: &mut [u32]) {
        let [rows, cols] = self.axes.map(|axis| axis.kernel);
        for (tap, offset) in offsets.iter_mut().enumerate().take(rows * cols) {
            *offset = self.tap(0, tap / cols, tap % cols) as u32;
        }
        for tap in rows * cols..offsets.len() {
            offsets[tap] = offsets[tap - rows * cols] + self.channel_len() as u32;
        }
    }

    /// Copies the channels of an image for the outputs from line `first` on.
    pub fn fill(&self, isa: Isa, image: &[f32], first: usize, planes: &mut [f32]) {
        if self.clears(first) {
            // At once: single margins are short.
            planes.fill(0.0);
        }
        isa.run(Fill { planes: self, image, first, to: planes });
    }

    /// Whether [`Planes::fill`] makes all 0 that lies outside of the image; else what no tap meets may be anything.
    pub fn clears(&self, first: usize) -> bool {
        let [outer, inner] = &self.axes;
        let beyond = first * outer.stride + self.lines * self.step[0] > outer.input;
        let across = self.step[1] == 1 && self.pitch > inner.input;
        outer.pad + inner.pad > 0 || beyond || across
    }

    /// Copies the lines `lines` of an image's channels from planes of the outputs from line `first` on; 0 where none are kept.
    pub fn give(&self, isa: Isa, planes: &[f32], first: usize, lines: Range<usize>, c: MatMut<'_>) {
        isa.run(Give { planes: self, from: planes, first, lines, c });
    }

    /// The column that is kept first of those of a remainder, and where in a line such columns are.
    fn inside(&self, remainder: usize) -> (usize, Range<usize>) {
        let (axis, step) = (&self.axes[1], self.step[1]);
        let start = axis.pad.saturating_sub(remainder).div_ceil(step).min(self.pitch);
        let end = (axis.input + axis.pad).saturating_sub(remainder).div_ceil(step).clamp(start, self.pitch);
        ((remainder + start * step).saturating_sub(axis.pad), start..end)
    }
}

/// Copies what lies inside the image.
struct Fill<'a> {
    planes: &'a Planes,
    image: &'a [f32],
    first: usize,
    to: &'a mut [f32],
}

impl Job for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Planes { axes: [outer, inner], step: [sy, sx], lines, pitch } = *self.planes;
        let channels = self.image.chunks_exact(outer.input * inner.input);
        for (image, channel) in channels.zip(self.to.chunks_exact_mut(self.planes.channel_len())) {
            for (i, planes) in channel.chunks_exact_mut(sx * lines * pitch).enumerate() {
                let positions = (0..lines)
                    .map(|line| (self.first * outer.stride + line * sy + i).wrapping_sub(outer.pad));
                let rows = positions
                    .map(|y| if y < outer.input { &image[y * inner.input..][..inner.input] } else { &[] });
                if sx == 2 {
                    let (even, odd) = planes.split_at_mut(lines * pitch);
                    // The image's first column is kept where its place is even or odd.
                    let [(start, first), (_, second)] = [0, 1].map(|remainder| self.planes.inside(remainder));
                    for ((row, even), odd) in
                        rows.zip(even.chunks_exact_mut(pitch)).zip(odd.chunks_exact_mut(pitch))
                    {
                        let [even, odd] = [&mut even[first.clone()], &mut odd[second.clone()]];
                        let [first, second] = if start == 0 { [even, odd] } else { [odd, even] };
                        take_apart(simd, row, first, second);
                    }
                    continue;
                }
                for (remainder, plane) in planes.chunks_exact_mut(lines * pitch).enumerate() {
                    let (start, inside) = self.planes.inside(remainder);
                    for (row, out) in rows.clone().zip(plane.chunks_exact_mut(pitch)) {
                        if !row.is_empty() && !inside.is_empty() {
                            copy_every(simd, sx, &row[start..], &mut out[inside.clone()]);
                        }
                    }
                }
            }
        }
    }
}

/// Copies what lies inside the image back.
struct Give<'a> {
    planes: &'a Planes,
    from: &'a [f32],
    first: usize,
    lines: Range<usize>,
    c: MatMut<'a>,
}

impl Job for Give<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Give { planes, from, first, lines: wanted, mut c } = self;
        let Planes { axes: [outer, inner], step: [sy, sx], lines, pitch } = *planes;
        for (i, channel) in from.chunks_exact(planes.channel_len()).enumerate() {
            let row = c.row(i);
            if pitch * sx < inner.pad + inner.input {
                row.fill(0.0)
            }
            for (y, to) in wanted.clone().zip(row.chunks_exact_mut(inner.input)) {
                let kept = (y + outer.pad).wrapping_sub(first * outer.stride);
                if kept / sy >= lines {
                    to.fill(0.0);
                    continue;
                }
                for remainder in 0..sx {
                    let (start, inside) = planes.inside(remainder);
                    if inside.is_empty() {
                        continue;
                    }
                    let plane = (kept % sy * sx + remainder) * lines + kept / sy;
                    let from = &channel[plane * pitch..][inside];
                    if sx == 1 {
                        to[start..][..from.len()].copy_from_slice(from);
                    } else {
                        to[start..].iter_mut().step_by(sx).zip(from).for_each(|(to, &v)| *to = v);
                    }
                }
            }
        }
    }
}

/// The two axes, of which a convolution of one has a first of one position; `None` where there are more, or that one is long: tasks
/// are whole lines.
pub fn two_axes(dims: &ConvDims) -> Option<[ConvAxis; 2]> {
    const LONG: usize = 4096;
    const ONE: ConvAxis = ConvAxis { input: 1, kernel: 1, stride: 1, pad: 0, dilation: 1, output: 1 };
    match dims.axes[..] {
        [outer, inner] => Some([outer, inner]),
        [inner] if inner.input.max(inner.output) <= LONG => Some([ONE, inner]),
        _ => None,
    }
}
