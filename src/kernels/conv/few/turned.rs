//! The input's gradient of groups of few channels: as the forward pass, from the planes of the output's gradient.
//!
//! Positions of the input of equal remainders by the strides (a phase) meet the same taps, each at every output, so a phase is a
//! convolution that moves by one. All phases read the same planes, and are then woven into lines of the input.

use super::few_pairs;
use super::forward::{Outputs, TAPS};
use super::planes::{Planes, two_axes};
use crate::kernels::conv::weave::weave;
use crate::kernels::conv::{ConvAxis, ConvDims, Epilogue};
use crate::kernels::gemm::panels;
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{Isa, Job, MatMut, Simd};

/// Positions of the input in a band: enough to outweigh its margins.
const BAND: usize = 2048;

/// How the work is cut.
pub struct Turned<'a> {
    dims: &'a ConvDims,
    isa: Isa,
    axes: [ConvAxis; 2],
    /// Lines of the input in a band.
    band: usize,
}

/// Positions of an axis of equal remainder.
#[derive(Clone, Copy)]
struct Phase {
    /// The lowest tap that they meet, how many, and the distance to the next.
    tap: usize,
    taps: usize,
    step: usize,
    /// Where in the plane position 0 meets the lowest tap, and how far before that the next.
    from: usize,
    back: usize,
}

impl Phase {
    /// Tap number `index`, and where in the plane position 0 meets it.
    fn tap(&self, index: usize) -> (usize, usize) {
        (self.tap + index * self.step, self.from - index * self.back)
    }
}

/// Values of a plane before the first output, and behind those that are as many as the positions of a phase.
fn margins(axis: &ConvAxis) -> (usize, usize) {
    ((axis.extent() - 1).saturating_sub(axis.pad) / axis.stride, axis.pad.div_ceil(axis.stride))
}

/// The positions of `remainder`. Tap t meets output (position + pad - t * dilation) / stride.
fn phase(axis: &ConvAxis, remainder: usize) -> Phase {
    let tap = (remainder + axis.pad) % axis.stride;
    Phase {
        tap,
        taps: axis.kernel.saturating_sub(tap).div_ceil(axis.stride),
        step: axis.stride,
        from: margins(axis).0 + (remainder + axis.pad - tap) / axis.stride,
        back: axis.dilation,
    }
}

/// The remainders that positions have.
fn remainders(axis: &ConvAxis) -> usize {
    axis.stride.min(axis.input)
}

/// How many of `positions` have a remainder.
fn count(positions: usize, axis: &ConvAxis, remainder: usize) -> usize {
    positions.saturating_sub(remainder).div_ceil(axis.stride)
}

impl<'a> Turned<'a> {
    /// `None` where other ways serve better, or this does not at all.
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let axes = two_axes(dims)?;
        let near = axes.iter().all(|axis| axis.stride == 1 || axis.dilation == 1);
        let none = dims.in_channels == 0 || dims.in_area() == 0 || dims.out_area() == 0;
        let taps = dims.group_out() * dims.kernel_area();
        if none || !near || !few_pairs(dims) || dims.kernel_area() < 2 || taps > TAPS {
            return None;
        }
        let lines = axes[0].input;
        let band = lines.div_ceil(dims.in_area().div_ceil(BAND).min(lines)).next_multiple_of(axes[0].stride);
        Some(Self { dims, isa, axes, band })
    }

    /// Floats of scratch: the packed weights.
    pub fn scratch_len(&self) -> usize {
        self.dims.weight_len()
    }

    /// Overwrites the gradient.
    pub fn run(&self, top_diff: &[f32], weights: &[f32], bottom_diff: &mut [f32], scratch: &mut [f32]) {
        let dims = self.dims;
        let (m, area, len) = (dims.group_in(), dims.in_area(), dims.group_out() * dims.depth());
        let packed = &mut scratch[..self.scratch_len()];
        parallel::for_chunks_mut(packed, len, |start, packed| self.pack(&weights[start..][..len], packed));
        let (packed, width) = (&*packed, self.axes[1].input);
        let values = dims.group_out() * dims.out_area();
        parallel::for_chunks_mut(bottom_diff, m * area, |start, image| {
            let index = start / (m * area);
            let top_diff = &top_diff[index * values..][..values];
            let weights = &packed[index % dims.group * len..][..len];
            let c = MatMut::new(image, m, area, area);
            parallel::for_column_blocks(c, self.band * width, &|first, c| {
                self.band(top_diff, first / width, weights, c);
            });
        });
    }

    /// Packs a group's weights: for each phase, for each panel of rows, for each of the phase's taps one value a row.
    fn pack(&self, weights: &[f32], mut packed: &mut [f32]) {
        let (m, area) = (self.dims.group_in(), self.dims.kernel_area());
        let [outer, inner] = &self.axes;
        for (y, x) in self.phases() {
            let (down, along) = (phase(outer, y), phase(inner, x));
            for rows in panels(m, self.isa.tile_rows()) {
                for channel in weights.chunks_exact(m * area) {
                    for (i, j) in (0..down.taps).flat_map(|i| (0..along.taps).map(move |j| (i, j))) {
                        let tap = down.tap(i).0 * inner.kernel + along.tap(j).0;
                        let to = packed.split_off_mut(..rows.len()).expect("as many weights as taps");
                        for (to, row) in to.iter_mut().zip(rows.clone()) {
                            *to = channel[row * area + tap];
                        }
                    }
                }
            }
        }
    }

    /// The remainders of all phases; those of a line of the input follow one another.
    fn phases(&self) -> impl Iterator<Item = (usize, usize)> {
        let [down, along] = self.axes.each_ref().map(remainders);
        (0..down).flat_map(move |y| (0..along).map(move |x| (y, x)))
    }

    /// The lines of a group from `first` on, of which `c` holds as many as its columns.
    fn band(&self, top: &[f32], first: usize, mut weights: &[f32], mut c: MatMut<'_>) {
        let (dims, [outer, inner], m) = (self.dims, &self.axes, self.dims.group_in());
        let lines = c.cols() / inner.input;
        // The output's gradient with margins, read by all phases.
        let plane = self.axes.each_ref().map(|axis| {
            let (before, after) = margins(axis);
            let output = count(axis.input, axis, 0) + before + after;
            ConvAxis { input: axis.output, kernel: 1, stride: 1, pad: before, dilation: 1, output }
        });
        let (before, after) = margins(outer);
        let planes = Planes::new(plane, count(lines, outer, 0) + before + after, false);
        let len = dims.group_out() * planes.channel_len();
        let woven =
            if outer.stride * inner.stride > 1 { m * count(lines, outer, 0) * inner.input } else { 0 };
        let mut offsets = [0; TAPS];
        scratch::lend(len + self.isa.lanes() + woven, |data| {
            let (data, values) = data.split_at_mut(len + self.isa.lanes());
            planes.fill(self.isa, top, first / outer.stride, &mut data[..len]);
            // Lanes beyond the last position are read.
            data[len..].fill(0.0);
            let mut rest = &mut *values;
            for (y, x) in self.phases() {
                let (down, along) = (phase(outer, y), phase(inner, x));
                let taps = down.taps * along.taps;
                let offsets = &mut offsets[..dims.group_out() * taps];
                for (index, offset) in offsets.iter_mut().enumerate().take(taps) {
                    let (line, column) = (down.tap(index / along.taps).1, along.tap(index % along.taps).1);
                    *offset = (line * planes.pitch() + column) as u32;
                }
                for index in taps..offsets.len() {
                    offsets[index] = offsets[index - taps] + planes.channel_len() as u32;
                }
                let of_phase;
                (of_phase, weights) = weights.split_at(m * offsets.len());
                let (lines, width) = (count(lines, outer, y), count(inner.input, inner, x));
                let outputs = Outputs {
                    isa: self.isa,
                    data,
                    offsets,
                    weights: of_phase,
                    epilogue: Epilogue::default(),
                    size: (lines, width),
                    pitch: planes.pitch(),
                };
                if woven == 0 {
                    return outputs.run(c);
                }
                let (to, others) = std::mem::take(&mut rest).split_at_mut(m * lines * width);
                outputs.run(MatMut::new(to, m, lines * width, lines * width));
                rest = others;
                if x + 1 == remainders(inner) {
                    self.isa.run(Weave { values, lines, inner, outer: (y, outer.stride), c: &mut c });
                    rest = values;
                }
            }
        });
    }
}

/// Phases that fill lines of the input together: one after the other, each a row a channel.
struct Weave<'a, 'c> {
    values: &'a [f32],
    /// Lines of a phase.
    lines: usize,
    inner: &'a ConvAxis,
    /// The first of these lines in `c`, and the distance to the next.
    outer: (usize, usize),
    c: &'a mut MatMut<'c>,
}

impl Job for Weave<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Weave { values, lines, inner, outer: (first, step), c } = self;
        let (width, rows) = (inner.input, c.rows());
        for i in 0..rows {
            let to = c.row(i).chunks_exact_mut(width).skip(first).step_by(step);
            for (line, to) in to.enumerate() {
                let mut start = 0;
                let of_phase = |remainder: usize, start: usize| {
                    let len = count(width, inner, remainder);
                    &values[start + (i * lines + line) * len..][..len]
                };
                if inner.stride == 2 && width > 1 {
                    let odd = of_phase(1, rows * lines * count(width, inner, 0));
                    weave(simd, [of_phase(0, 0), odd], false, to);
                    continue;
                }
                for remainder in 0..remainders(inner) {
                    let from = of_phase(remainder, start);
                    to[remainder..].iter_mut().step_by(inner.stride).zip(from).for_each(|(to, &v)| *to = v);
                    start += rows * lines * from.len();
                }
            }
        }
    }
}
