//! The input's gradient of few channels where the kernel strides: all phases together are one convolution of the output's gradient.
//!
//! Position `i` of the input, `i + pad = stride * q + r`, meets the taps `r`, `r + stride`, ... at the outputs `q`, `q - 1`, ... So
//! all positions of remainder `r` are outputs of a convolution that moves by one, and those of all remainders and channels, which
//! are few, fill the rows of a tile together: 11 x 11 taps by four of three channels are 3 x 3 taps of 48, a sixth of them zeros.
//! That convolution goes the way that serves it best; its outputs, of some images at a time, are then woven into lines.

use super::CHANNELS;
use super::planes::two_axes;
use crate::kernels::conv::weave::weave;
use crate::kernels::conv::{self, Axes, ConvAxis, ConvDims, Epilogue};
use crate::kernels::parallel;
use crate::kernels::simd::{Isa, Job, Simd};

/// Rows of a tile that are filled at least.
const ROWS: usize = 12;
/// The fewest channels of the output.
const LEAST: usize = 8;
/// Values of the phases that are there at a time; and the most of one image.
const VALUES: usize = 1 << 20;
const MOST: usize = 1 << 24;

/// How the work is cut.
pub struct Phased<'a> {
    dims: &'a ConvDims,
    isa: Isa,
    axes: [ConvAxis; 2],
    /// The convolution of as many images as are made at a time.
    all: ConvDims,
}

impl<'a> Phased<'a> {
    /// `None` where other ways serve better, or this does not at all.
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let axes = two_axes(dims)?;
        // Sizes that no memory holds are only looked at.
        let product = |sizes: [usize; 3]| sizes.into_iter().fold(1, usize::saturating_mul);
        let rows = product([dims.in_channels, axes[0].stride, axes[1].stride]);
        // Of two taps a phase products with all taps take less time.
        let strides =
            axes.iter().all(|axis| axis.stride > 1 && axis.dilation == 1 && axis.kernel > 2 * axis.stride);
        let [height, width] = axes.map(|axis| axis.kernel.div_ceil(axis.stride).saturating_mul(axis.stride));
        let serves = strides
            && dims.group == 1
            && (1..=CHANNELS).contains(&dims.in_channels)
            && rows >= ROWS
            && dims.out_channels >= LEAST
            && product([height, width, 2]) <= dims.kernel_area().saturating_mul(3)
            && dims.in_area() > 0
            && dims.out_area() > 0;
        if !serves {
            return None;
        }
        let turned = |axis: &ConvAxis| {
            let taps = axis.kernel.div_ceil(axis.stride);
            ConvAxis::new(axis.output, taps, 1, taps - 1, 1)
        };
        let axes_of_phases = axes.iter().map(turned).collect::<Option<Axes>>()?;
        let image = product([rows, axes_of_phases[0].output, axes_of_phases[1].output]);
        if image > MOST {
            return None;
        }
        let all = ConvDims {
            batch: (VALUES / image).clamp(1, dims.batch.max(1)),
            in_channels: dims.out_channels,
            out_channels: rows,
            group: 1,
            axes: axes_of_phases,
            place: None,
        };
        Some(Self { dims, isa, axes, all })
    }

    /// The convolution of the last images, which may be fewer.
    fn last(&self) -> ConvDims {
        let rest = self.dims.batch % self.all.batch;
        ConvDims { batch: if rest == 0 { self.all.batch } else { rest }, ..self.all.clone() }
    }

    /// Floats of scratch: the phases' weights, their values, and what their convolution needs.
    pub fn scratch_len(&self) -> usize {
        let inner = conv::forward_scratch_len(&self.all).max(conv::forward_scratch_len(&self.last()));
        self.all.weight_len() + self.all.output_len() + inner
    }

    /// Overwrites the gradient.
    pub fn run(&self, top_diff: &[f32], weights: &[f32], bottom_diff: &mut [f32], scratch: &mut [f32]) {
        let (all, last) = (&self.all, self.last());
        let (turned, rest) = scratch.split_at_mut(all.weight_len());
        let (values, rest) = rest.split_at_mut(all.output_len());
        self.turn(weights, turned);
        let (plane, len) = (self.dims.in_area(), all.batch * self.dims.in_channels * self.dims.in_area());
        for (index, some) in bottom_diff.chunks_mut(len).enumerate() {
            let dims = if some.len() == len { all } else { &last };
            let values = &mut values[..dims.output_len()];
            let top_diff = &top_diff[index * all.input_len()..][..dims.input_len()];
            conv::forward(dims, top_diff, turned, Epilogue::default(), values, rest);
            let (values, of_channel) = (&*values, all.output_len() / all.batch / self.dims.in_channels);
            parallel::for_chunks_mut(some, plane * parallel::planes_per_chunk(plane), |start, planes| {
                for (channel, plane) in (start / plane..).zip(planes.chunks_exact_mut(plane)) {
                    let phases = &values[channel * of_channel..][..of_channel];
                    self.isa.run(Channel { axes: &self.axes, sizes: self.sizes(), phases, plane });
                }
            });
        }
    }

    /// Height and width of a phase.
    fn sizes(&self) -> [usize; 2] {
        [self.all.axes[0].output, self.all.axes[1].output]
    }

    /// The phases' weights: a row for each channel of the input and remainders, taps that are none 0, turned round.
    fn turn(&self, weights: &[f32], turned: &mut [f32]) {
        let ([y, x], [taps_y, taps_x]) = (&self.axes, [self.all.axes[0].kernel, self.all.axes[1].kernel]);
        let (area, row) = (self.dims.kernel_area(), self.all.depth());
        parallel::for_chunks_mut(turned, row, |start, turned| {
            let index = start / row;
            let (channel, down, right) =
                (index / (y.stride * x.stride), index / x.stride % y.stride, index % x.stride);
            let tap = |i: usize, taps: usize, axis: &ConvAxis, remainder: usize| {
                Some(remainder + axis.stride * (taps - 1 - i)).filter(|&tap| tap < axis.kernel)
            };
            for (i, value) in turned.iter_mut().enumerate() {
                let (output, i) = (i / (taps_y * taps_x), i % (taps_y * taps_x));
                let place = tap(i / taps_x, taps_y, y, down).zip(tap(i % taps_x, taps_x, x, right));
                let first = (output * self.dims.in_channels + channel) * area;
                *value = place.map_or(0.0, |(y, right)| weights[first + y * x.kernel + right]);
            }
        });
    }
}

/// A channel of the input's gradient, woven from its phases.
struct Channel<'a> {
    axes: &'a [ConvAxis; 2],
    sizes: [usize; 2],
    phases: &'a [f32],
    plane: &'a mut [f32],
}

impl Job for Channel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Channel { axes: [y, x], sizes: [height, width], phases, plane } = self;
        for (i, to) in plane.chunks_exact_mut(x.input).enumerate() {
            let (down, remainder) = ((i + y.pad) / y.stride, (i + y.pad) % y.stride);
            if down >= height {
                to.fill(0.0);
                continue;
            }
            // What lies behind the last value of a phase is 0, as no tap meets it.
            let line = |j: usize| {
                let (right, phase) = ((j + x.pad) / x.stride, (j + x.pad) % x.stride);
                let first = ((remainder * x.stride + phase) * height + down) * width;
                phases[first..first + width].get(right..).unwrap_or_default()
            };
            match x.stride {
                2 => weave(simd, [line(0), line(1)], false, to),
                4 => weave(simd, [line(0), line(1), line(2), line(3)], false, to),
                stride => {
                    for j in 0..stride.min(to.len()) {
                        let mut values = line(j).iter().copied();
                        to[j..].iter_mut().step_by(stride).for_each(|to| *to = values.next().unwrap_or(0.0));
                    }
                }
            }
        }
    }
}
