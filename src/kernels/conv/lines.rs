//! How a convolution reads its input: for each axis, which positions its taps meet, and where the padded copy (the
//! plane) keeps them.
//!
//! The plane holds every position that a kernel may touch, padding included, so no tap needs a bounds check. Where
//! the kernel moves by `stride` along the last axis, the plane keeps the positions of equal remainder together: what
//! one tap reads for neighbouring outputs is then always contiguous, whatever the stride.

use std::ops::Range;

use super::ConvAxis;

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

/// An axis that is not there.
const NONE: Line = Line { input: 1, outputs: 1, taps: 1, first: 0, tap_step: 1, stride: 1 };

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

    /// The positions that are touched lie this far apart: those between are not kept.
    fn grain(&self) -> usize {
        if self.taps > 1 { gcd(self.stride, self.tap_step) } else { self.stride }
    }

    /// Kept positions between outputs.
    fn kept_stride(&self) -> usize {
        self.stride / self.grain()
    }

    /// Kept positions between taps.
    fn kept_step(&self) -> usize {
        self.tap_step / self.grain()
    }

    /// Number of kept positions.
    fn kept(&self) -> usize {
        if self.outputs == 0 || self.taps == 0 {
            return 0;
        }
        (self.outputs - 1) * self.kept_stride() + (self.taps - 1) * self.kept_step() + 1
    }

    /// The input position kept at `i`; `None` in the padding.
    fn source(&self, i: usize) -> Option<usize> {
        let position = self.first + (i * self.grain()) as isize;
        usize::try_from(position).ok().filter(|&p| p < self.input)
    }

    /// Length of the last axis' runs of equal remainder, of which there are `kept_stride()`.
    fn run(&self) -> usize {
        self.kept().div_ceil(self.kept_stride())
    }

    /// Whether the axis is kept as it is.
    fn is_identity(&self) -> bool {
        self.first == 0 && self.taps == 1 && self.stride == 1 && self.input == self.outputs
    }
}

/// The greatest common divisor.
pub fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// All axes of a convolution, outermost first, and at least one.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    axes: [Line; MAX_AXES],
    count: usize,
}

impl Lines {
    /// # Panics
    /// With more than 30 axes.
    pub fn new(lines: impl Iterator<Item = Line>) -> Self {
        let (mut axes, mut count) = ([NONE; MAX_AXES], 0);
        for line in lines {
            assert!(count < MAX_AXES, "a convolution has at most {MAX_AXES} axes");
            axes[count] = line;
            count += 1;
        }
        Self { axes, count: count.max(1) }
    }

    fn split(&self) -> (&[Line], &Line) {
        (&self.axes[..self.count - 1], &self.axes[self.count - 1])
    }

    fn axes(&self) -> &[Line] {
        &self.axes[..self.count]
    }

    /// Outputs per channel.
    pub fn outputs(&self) -> usize {
        self.axes().iter().map(|l| l.outputs).product()
    }

    /// Input values per channel.
    pub fn inputs(&self) -> usize {
        self.axes().iter().map(|l| l.input).product()
    }

    /// Taps per channel.
    pub fn taps(&self) -> usize {
        self.axes().iter().map(|l| l.taps).product()
    }

    /// Length of the outermost axis' output.
    pub fn outer_outputs(&self) -> usize {
        self.axes[0].outputs
    }

    /// The part of the convolution that computes these outputs of the outermost axis.
    pub fn band(&self, outputs: Range<usize>) -> Self {
        let mut band = *self;
        band.axes[0].first += (outputs.start * self.axes[0].stride) as isize;
        band.axes[0].outputs = outputs.len();
        band
    }

    /// Whether the plane would be a plain copy of the image, up to a cut of the outermost axis.
    pub fn is_identity(&self) -> bool {
        let outer = &self.axes[0];
        self.axes()[1..].iter().all(Line::is_identity)
            && outer.taps == 1
            && outer.stride == 1
            && outer.first >= 0
            && outer.first as usize + outer.outputs <= outer.input
    }

    /// The values of a plane, per channel.
    pub fn plane_len(&self) -> usize {
        let (outer, last) = self.split();
        outer.iter().map(Line::kept).product::<usize>() * last.run() * last.kept_stride()
    }

    /// Where the first output's tap 0 lies in an image that needs no plane.
    pub fn identity_start(&self) -> usize {
        self.axes[0].first.max(0) as usize * self.axes()[1..].iter().map(|l| l.input).product::<usize>()
    }

    /// Copies the planes of `channels` channels.
    pub fn fill_planes(&self, image: &[f32], planes: &mut [f32]) {
        let (outer, last) = self.split();
        let rows: usize = outer.iter().map(Line::kept).product();
        let in_rows: usize = outer.iter().map(|l| l.input).product();
        let row_len = last.run() * last.kept_stride();
        let area = in_rows * last.input;
        if rows * row_len == 0 {
            return;
        }
        for (image, plane) in image.chunks_exact(area).zip(planes.chunks_exact_mut(rows * row_len)) {
            for (row, out) in plane.chunks_exact_mut(row_len).enumerate() {
                match outer_position(outer, row) {
                    Some(from) => fill_row(last, &image[from * last.input..][..last.input], out),
                    None => out.fill(0.0),
                }
            }
        }
    }

    /// Where tap 0 of output `outer` (all axes but the last) and 0 of the last axis reads.
    fn output_offset(&self, mut outer: usize) -> usize {
        let (axes, last) = self.split();
        let (mut at, mut pitch) = (0, last.run() * last.kept_stride());
        for axis in axes.iter().rev() {
            at += outer % axis.outputs * axis.kept_stride() * pitch;
            outer /= axis.outputs;
            pitch *= axis.kept();
        }
        at
    }

    /// Outputs that are contiguous in the plane: a line of the last axis, or everything where no line has margins.
    fn contiguous(&self) -> usize {
        let (outer, last) = self.split();
        let flat = last.kept_stride() == 1
            && last.kept() == last.outputs
            && outer
                .iter()
                .enumerate()
                .all(|(i, l)| l.kept_stride() == 1 && (i == 0 || l.kept() == l.outputs));
        if flat { self.outputs() } else { last.outputs }
    }

    /// Calls `f(first output, offset in the plane, length)` for the contiguous pieces of outputs `range`.
    pub fn for_runs(&self, range: Range<usize>, f: impl FnMut(usize, usize, usize)) {
        self.for_runs_up_to(range, usize::MAX, f);
    }

    /// The same for at most `most` pieces; returns the first output not covered.
    pub fn for_runs_up_to(
        &self,
        range: Range<usize>,
        most: usize,
        mut f: impl FnMut(usize, usize, usize),
    ) -> usize {
        let len = self.contiguous();
        let (mut at, mut pieces) = (range.start, 0);
        while at < range.end && pieces < most {
            pieces += 1;
            let (line, x) = (at / len, at % len);
            let piece = (len - x).min(range.end - at);
            f(at, self.output_offset(line) + x, piece);
            at += piece;
        }
        at
    }

    /// Offsets of taps `first..`, counted over channels whose planes lie `pitch` apart.
    pub fn fill_tap_offsets(&self, first: usize, pitch: usize, offsets: &mut [u32]) {
        let (outer, last) = self.split();
        let (mut done, mut row, mut tap) = (0, first / last.taps, first % last.taps);
        while done < offsets.len() {
            let (mut rest, mut at, mut scale) = (row, 0, last.run() * last.kept_stride());
            for axis in outer.iter().rev() {
                at += rest % axis.taps * axis.kept_step() * scale;
                rest /= axis.taps;
                scale *= axis.kept();
            }
            at += rest * pitch;
            for t in tap..last.taps.min(tap + offsets.len() - done) {
                let i = t * last.kept_step();
                offsets[done] = (at + i % last.kept_stride() * last.run() + i / last.kept_stride()) as u32;
                done += 1;
            }
            (row, tap) = (row + 1, 0);
        }
    }
}

/// The input row kept as plane row `row`; `None` in the padding.
fn outer_position(outer: &[Line], mut row: usize) -> Option<usize> {
    let (mut at, mut scale) = (0, 1);
    for axis in outer.iter().rev() {
        at += axis.source(row % axis.kept())? * scale;
        row /= axis.kept();
        scale *= axis.input;
    }
    Some(at)
}

/// Copies a line of the last axis, positions of equal remainder together.
fn fill_row(line: &Line, row: &[f32], out: &mut [f32]) {
    let (run, stride) = (line.run(), line.kept_stride());
    for (phase, out) in out.chunks_exact_mut(run).enumerate() {
        let step = line.stride;
        let first = line.first + (phase * line.grain()) as isize;
        // The first position inside the image, and the first after it.
        let start = (-first).max(0).unsigned_abs().div_ceil(step).min(run);
        let end = (row.len() as isize - first).max(0).unsigned_abs().div_ceil(step).clamp(start, run);
        debug_assert!(phase < stride);
        out[..start].fill(0.0);
        out[end..].fill(0.0);
        if start == end {
            continue;
        }
        let from = (first + (start * step) as isize).unsigned_abs();
        let inside = &mut out[start..end];
        if step == 1 {
            inside.copy_from_slice(&row[from..from + inside.len()]);
        } else {
            inside.iter_mut().zip(row[from..].iter().step_by(step)).for_each(|(o, &v)| *o = v);
        }
    }
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
        lines.fill_planes(&[10.0, 11.0, 12.0, 13.0, 14.0], &mut plane);
        assert_eq!(plane, [0.0, 11.0, 13.0, 0.0, 10.0, 12.0, 14.0, 0.0]);
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
        lines.for_runs(2..9, |at, from, len| runs.push((at, from, len)));
        assert_eq!(runs, [(2, 2, 7)]);
    }
}
