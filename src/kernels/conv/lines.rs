//! How a convolution reads its input: for each axis, which positions its taps meet, and where the padded copy (the
//! plane) keeps them.
//!
//! The plane holds every position that a kernel may touch, padding included, so no tap needs a bounds check. Where
//! the kernel moves by `stride` along the last axis, the plane keeps the positions of equal remainder together: what
//! one tap reads for neighbouring outputs is then always contiguous, whatever the stride.

use std::ops::Range;

use super::ConvAxis;
use super::spaced::{clear, copy_every, take_apart};
use crate::kernels::simd::{Isa, Job, Simd, pad_rows};

/// The most spatial axes: blobs have at most 32 axes, two of which are images and channels.
pub const MAX_AXES: usize = 30;

/// One axis: output `o` meets input position `first + o * stride + t * tap_step` with tap `t < taps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Length of the input; positions outside are zero.
    pub input: usize,
    /// Length of the output.
    pub outputs: usize,
    /// Values of the kernel.
    pub taps: usize,
    /// The position that tap 0 meets at output 0.
    pub first: isize,
    /// Distance between taps.
    pub tap_step: usize,
    /// Distance between outputs.
    pub stride: usize,
}

impl Line {
    /// A convolution's axis.
    pub fn forward(axis: &ConvAxis) -> Self {
        Self {
            input: axis.input,
            outputs: axis.output,
            taps: axis.kernel,
            first: -(axis.pad as isize),
            tap_step: axis.dilation,
            stride: axis.stride,
        }
    }
}

/// A line, and what the plane keeps of it.
#[derive(Clone, Copy, Debug)]
struct Axis {
    line: Line,
    /// The positions that are touched lie this far apart: those between are not kept.
    grain: usize,
    /// Kept positions between outputs, and between taps.
    stride: usize,
    step: usize,
    /// Number of kept positions.
    kept: usize,
    /// Of the last axis: kept positions of equal remainder by `stride`, of which there are `stride` runs.
    run: usize,
}

impl Axis {
    fn new(line: Line) -> Self {
        let grain = if line.taps > 1 { gcd(line.stride, line.tap_step) } else { line.stride };
        let (stride, step) = (line.stride / grain, line.tap_step / grain);
        let empty = line.outputs == 0 || line.taps == 0;
        let kept = if empty { 0 } else { (line.outputs - 1) * stride + (line.taps - 1) * step + 1 };
        Self { line, grain, stride, step, kept, run: kept.div_ceil(stride) }
    }

    /// The input position kept at `i`; `None` in the padding.
    fn source(&self, i: usize) -> Option<usize> {
        let position = self.line.first + (i * self.grain) as isize;
        usize::try_from(position).ok().filter(|&p| p < self.line.input)
    }

    /// Which of the kept positions lie inside the image.
    fn kept_inside(&self) -> Range<usize> {
        let start = self.line.first.min(0).unsigned_abs().div_ceil(self.grain).min(self.kept);
        let end = (self.line.input as isize - self.line.first).max(0).unsigned_abs().div_ceil(self.grain);
        start..end.clamp(start, self.kept)
    }

    /// Values of a row of the last axis.
    fn row_len(&self) -> usize {
        self.run * self.stride
    }

    /// Which positions of `remainder`'s run lie inside the image, and where in a row the first is.
    fn inside(&self, remainder: usize) -> (Range<usize>, usize) {
        let step = self.line.stride;
        let first = self.line.first + (remainder * self.grain) as isize;
        let start = (-first).max(0).unsigned_abs().div_ceil(step).min(self.run);
        let end = (self.line.input as isize - first).max(0).unsigned_abs().div_ceil(step);
        let end = end.clamp(start, self.run);
        (start..end, if start == end { 0 } else { (first + (start * step) as isize).unsigned_abs() })
    }
}

/// The greatest common divisor.
pub fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The rows of a plane: the last axis but one, or a single row.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// Rows of outputs.
    pub outputs: usize,
    /// Rows of the kernel.
    pub taps: usize,
    /// Rows of the plane between those of outputs, and between those of the kernel.
    pub stride: usize,
    /// See `stride`.
    pub step: usize,
    /// Values of a row of the plane.
    pub len: usize,
}

/// All axes of a convolution, outermost first, and at least one.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    axes: [Axis; MAX_AXES],
    count: usize,
}

impl Lines {
    /// # Panics
    /// With more than 30 axes.
    pub fn new(lines: impl Iterator<Item = Line>) -> Self {
        let none = Line { input: 1, outputs: 1, taps: 1, first: 0, tap_step: 1, stride: 1 };
        let (mut axes, mut count) = ([Axis::new(none); MAX_AXES], 0);
        for line in lines {
            assert!(count < MAX_AXES, "a convolution has at most {MAX_AXES} axes");
            axes[count] = Axis::new(line);
            count += 1;
        }
        Self { axes, count: count.max(1) }
    }

    fn split(&self) -> (&[Axis], &Axis) {
        (&self.axes[..self.count - 1], &self.axes[self.count - 1])
    }

    fn axes(&self) -> &[Axis] {
        &self.axes[..self.count]
    }

    /// Outputs per channel.
    pub fn outputs(&self) -> usize {
        self.axes().iter().map(|a| a.line.outputs).product()
    }

    /// Input values per channel.
    pub fn inputs(&self) -> usize {
        self.axes().iter().map(|a| a.line.input).product()
    }

    /// Taps per channel.
    pub fn taps(&self) -> usize {
        self.axes().iter().map(|a| a.line.taps).product()
    }

    /// The last axis.
    pub fn last(&self) -> &Line {
        &self.axes[self.count - 1].line
    }

    /// The rows of the planes.
    pub fn rows(&self) -> Rows {
        let (outer, last) = self.split();
        let row = Rows { outputs: 1, taps: 1, stride: 1, step: 1, len: last.row_len() };
        outer.last().map_or(row, |axis| Rows {
            outputs: axis.line.outputs,
            taps: axis.line.taps,
            stride: axis.stride,
            step: axis.step,
            ..row
        })
    }

    /// Length of the outermost axis' output.
    pub fn outer_outputs(&self) -> usize {
        self.axes[0].line.outputs
    }

    /// The part of the convolution that computes these outputs of the outermost axis.
    pub fn band(&self, outputs: Range<usize>) -> Self {
        let mut band = *self;
        let mut line = band.axes[0].line;
        line.first += (outputs.start * line.stride) as isize;
        line.outputs = outputs.len();
        band.axes[0] = Axis::new(line);
        band
    }

    /// Whether the plane would be a plain copy of the image, up to a cut of the outermost axis; then the first value
    /// lies this far into the image, and planes `inputs()` apart.
    pub fn in_place(&self) -> Option<usize> {
        let outer = &self.axes[0];
        let inner = &self.axes()[1..];
        let first = usize::try_from(outer.line.first).ok()?;
        let plain = inner.iter().all(|a| a.line.stride == 1 && a.line.first == 0 && a.kept == a.line.input)
            && outer.line.stride == 1
            && first + outer.kept <= outer.line.input;
        plain.then(|| first * inner.iter().map(|a| a.line.input).product::<usize>())
    }

    /// Whether the planes are a matrix: one tap, so a row for each channel, and a column for each output.
    pub fn is_matrix(&self) -> bool {
        self.taps() == 1 && self.contiguous() == self.outputs()
    }

    /// The values of a plane, per channel.
    pub fn plane_len(&self) -> usize {
        let (outer, last) = self.split();
        outer.iter().map(|a| a.kept).product::<usize>() * last.row_len()
    }

    /// Copies the planes of as many of an image's channels as `planes` have room for.
    pub fn fill_planes(&self, isa: Isa, image: &[f32], planes: &mut [f32]) {
        if self.plane_len() > 0 {
            isa.run(FillPlanes { lines: self, image, planes });
        }
    }

    /// Where tap 0 of output `outer` (all axes but the last) and 0 of the last axis reads.
    pub fn output_offset(&self, mut outer: usize) -> usize {
        let (axes, last) = self.split();
        let (mut at, mut pitch) = (0, last.row_len());
        for axis in axes.iter().rev() {
            at += outer % axis.line.outputs * axis.stride * pitch;
            outer /= axis.line.outputs;
            pitch *= axis.kept;
        }
        at
    }

    /// Outputs that are contiguous in the plane: a line of the last axis, or everything where no line has margins.
    fn contiguous(&self) -> usize {
        let (outer, last) = self.split();
        let flat = last.stride == 1
            && last.kept == last.line.outputs
            && outer.iter().enumerate().all(|(i, a)| a.stride == 1 && (i == 0 || a.kept == a.line.outputs));
        if flat { self.outputs() } else { last.line.outputs }
    }

    /// Calls `f(first output, offset in the planes, length)` for the contiguous pieces of outputs `range`, at most
    /// `most`; returns the first output not covered. Outputs are counted over images, whose planes lie `pitch` apart.
    pub fn for_runs(
        &self,
        range: Range<usize>,
        pitch: usize,
        most: usize,
        mut f: impl FnMut(usize, usize, usize),
    ) -> usize {
        let (len, outputs) = (self.contiguous(), self.outputs());
        let (mut at, mut pieces) = (range.start, 0);
        while at < range.end && pieces < most {
            let (image, output) = (at / outputs, at % outputs);
            let (line, x) = (output / len, output % len);
            let piece = (len - x).min(range.end - at);
            f(at, image * pitch + self.output_offset(line) + x, piece);
            (at, pieces) = (at + piece, pieces + 1);
        }
        at
    }

    /// Offsets of taps `first..`, counted over channels, whose planes lie `pitch` apart.
    pub fn fill_tap_offsets(&self, first: usize, pitch: usize, offsets: &mut [u32]) {
        let (outer, last) = self.split();
        let (mut row, mut tap) = (first / last.line.taps, first % last.line.taps);
        let mut rest = offsets;
        while !rest.is_empty() {
            let (mut number, mut at, mut scale) = (row, 0, last.row_len());
            for axis in outer.iter().rev() {
                at += number % axis.line.taps * axis.step * scale;
                number /= axis.line.taps;
                scale *= axis.kept;
            }
            at += number * pitch;
            let (line, others) = rest.split_at_mut((last.line.taps - tap).min(rest.len()));
            let mut remainder = tap * last.step % last.stride;
            let mut position = tap * last.step / last.stride;
            for offset in line {
                *offset = (at + remainder * last.run + position) as u32;
                remainder += last.step;
                while remainder >= last.stride {
                    (remainder, position) = (remainder - last.stride, position + 1);
                }
            }
            (row, tap, rest) = (row + 1, 0, others);
        }
    }
}

struct FillPlanes<'a> {
    lines: &'a Lines,
    image: &'a [f32],
    planes: &'a mut [f32],
}

impl Job for FillPlanes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        /// Rows that are asked for ahead where some between are left out, which the processor does not foresee.
        const AHEAD: usize = 8;
        let FillPlanes { lines, image, planes } = self;
        let (outer, last) = lines.split();
        let ahead = outer.last().map_or(0, |axis| if axis.grain > 1 { AHEAD * axis.grain } else { 0 });
        let (row_len, input) = (last.row_len(), last.line.input);
        let images = image.chunks_exact(lines.inputs());
        for (image, plane) in images.zip(planes.chunks_exact_mut(lines.plane_len())) {
            if let [axis] = outer
                && ahead == 0
                && last.line.stride == 1
            {
                let (rows, (inside, first)) = (axis.kept_inside(), last.inside(0));
                let (before, rest) = plane.split_at_mut(rows.start * row_len);
                let (rows_inside, behind) = rest.split_at_mut(rows.len() * row_len);
                clear(simd, before);
                clear(simd, behind);
                let at = axis.source(rows.start).map_or(0, |line| line * input + first);
                let within = (inside.start, inside.len());
                pad_rows(simd, (&image[at..], input), within, rows_inside, row_len);
                continue;
            }
            // Two remainders are taken apart at once.
            let pair = last.stride == 2 && last.line.stride == 2;
            let together = if pair { 2 } else { 1 };
            for remainder in (0..last.stride).step_by(together) {
                let (inside, first) = last.inside(remainder);
                let (others, second) = if pair { last.inside(remainder + 1) } else { (0..0, 0) };
                for (row, plane) in plane.chunks_exact_mut(row_len).enumerate() {
                    let (out, other) =
                        plane[remainder * last.run..][..together * last.run].split_at_mut(last.run);
                    let Some(line) = outer_position(outer, row).filter(|_| !inside.is_empty() || pair) else {
                        clear(simd, out);
                        clear(simd, other);
                        continue;
                    };
                    let row = &image[line * input..][..input];
                    if ahead > 0 {
                        for at in (0..input).step_by(S::LANES) {
                            simd.prefetch(row.as_ptr().wrapping_add(ahead * input + at));
                        }
                    }
                    clear(simd, &mut out[..inside.start]);
                    clear(simd, &mut out[inside.end..]);
                    let out = &mut out[inside.clone()];
                    if !pair {
                        copy_every(simd, last.line.stride, &row[first..], out);
                        continue;
                    }
                    clear(simd, &mut other[..others.start]);
                    clear(simd, &mut other[others.end..]);
                    let other = &mut other[others.clone()];
                    if other.is_empty() || !out.is_empty() && first < second {
                        take_apart(simd, &row[first..], out, other);
                    } else {
                        take_apart(simd, &row[second..], other, out);
                    }
                }
            }
        }
    }
}

/// The input row kept as plane row `row`; `None` in the padding.
fn outer_position(outer: &[Axis], mut row: usize) -> Option<usize> {
    if let [axis] = outer {
        // Without divisions, which would take as long as a short row.
        return axis.source(row);
    }
    let (mut at, mut scale) = (0, 1);
    for axis in outer.iter().rev() {
        at += axis.source(row % axis.kept)? * scale;
        row /= axis.kept;
        scale *= axis.line.input;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_taps_read_contiguous_values() {
        // Positions -1..=5 of 0 1 2 3 4: stride 2 keeps -1 1 3 5 and 0 2 4.
        let line = Line::forward(&ConvAxis::new(5, 3, 2, 1, 1).unwrap());
        let lines = Lines::new([line].into_iter());
        let mut plane = vec![9.0; lines.plane_len()];
        for isa in Isa::all() {
            plane.fill(9.0);
            lines.fill_planes(isa, &[10.0, 11.0, 12.0, 13.0, 14.0], &mut plane);
            assert_eq!(plane, [0.0, 11.0, 13.0, 0.0, 10.0, 12.0, 14.0, 0.0]);
        }
        let mut taps = [0; 3];
        lines.fill_tap_offsets(0, 8, &mut taps);
        assert_eq!(taps, [0, 4, 1]);
    }

    #[test]
    fn one_tap_keeps_only_what_it_meets() {
        let line = Line::forward(&ConvAxis::new(9, 1, 4, 0, 1).unwrap());
        let lines = Lines::new([line, line].into_iter());
        assert_eq!((lines.plane_len(), lines.outputs()), (9, 9));
        let mut runs = Vec::new();
        lines.for_runs(2..9, 0, 9, |at, from, len| runs.push((at, from, len)));
        assert_eq!(runs, [(2, 2, 7)]);
    }
}
