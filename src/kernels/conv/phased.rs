//! Convolutions of few channels that stride, as those of an image: one that moves by one of all phases together.
//!
//! Position `i` of the input, `i + pad = stride * q + r`, meets the taps `r`, `r + stride`, ... at the outputs `q`, `q - 1`, ... So
//! the positions of each remainder `r`, a phase, are a channel of a convolution that moves by one, and 11 x 11 taps by four of three
//! channels are 3 x 3 taps of 48, a sixth of them zeros. That convolution goes the way that serves it best. Phases are taken apart,
//! or woven into lines, for some images at a time.

use super::few::CHANNELS;
use super::few::planes::{Planes, two_axes};
use super::weave::weave;
use super::winograd::Winograd;
use super::{Axes, ConvAxis, ConvDims, Epilogue};
use crate::kernels::parallel;
use crate::kernels::simd::{Isa, Job, Simd};

/// The fewest channels of all phases; and for the forward pass, as few channels go fast as they stand.
const ROWS: usize = 12;
const FORWARD_ROWS: usize = 32;
/// With so few outputs at a time phases take longer than they save, but for the input's gradient.
const FEW_OUTPUTS: usize = 2048;
/// The fewest channels of the output.
const LEAST: usize = 8;
/// Values of the phases that are there at a time; and the most of one image.
const VALUES: usize = 1 << 21;
const MOST: usize = 1 << 24;

/// How the work is cut.
pub struct Phased<'a> {
    dims: &'a ConvDims,
    isa: Isa,
    axes: [ConvAxis; 2],
    planes: Planes,
    /// The convolution of as many images as are taken apart at a time.
    all: ConvDims,
}

impl<'a> Phased<'a> {
    /// The forward pass; `None` where other ways serve better, or this does not at all.
    pub fn forward(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let all = |all: &ConvDims| all.in_channels >= FORWARD_ROWS && Winograd::forward(isa, all).is_some();
        Self::new(isa, dims).filter(|this| this.has_many_outputs() && all(&this.all))
    }

    /// The input's gradient, likewise.
    pub fn backward_input(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        Self::new(isa, dims)
    }

    /// The weights' gradient, likewise.
    pub fn backward_weights(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        Self::new(isa, dims)
            .filter(|this| this.has_many_outputs() && Winograd::gradient(isa, &this.all).is_some())
    }

    fn has_many_outputs(&self) -> bool {
        self.all.batch * self.all.out_area() > FEW_OUTPUTS
    }

    fn new(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let axes = two_axes(dims)?;
        // Sizes that no memory holds are only looked at.
        let product = |sizes: [usize; 3]| sizes.into_iter().fold(1, usize::saturating_mul);
        let rows = product([dims.in_channels, axes[0].stride, axes[1].stride]);
        // Of two taps a phase other ways take less time.
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
        let of_phase = |axis: &ConvAxis| {
            let taps = axis.kernel.div_ceil(axis.stride);
            ConvAxis::new(axis.output.checked_add(taps - 1)?, taps, 1, 0, 1)
        };
        let axes_of_phases = axes.iter().map(of_phase).collect::<Option<Axes>>()?;
        let image = product([rows, axes_of_phases[0].input, axes_of_phases[1].input]);
        if image > MOST {
            return None;
        }
        // Equal numbers of images.
        let goes = dims.batch.div_ceil((VALUES / image).max(1)).max(1);
        let all = ConvDims {
            batch: dims.batch.div_ceil(goes).max(1),
            in_channels: rows,
            out_channels: dims.out_channels,
            group: 1,
            axes: axes_of_phases,
            place: None,
        };
        Some(Self { dims, isa, axes, planes: Planes::new(axes, axes[0].output, true), all })
    }

    /// The convolution of the last images, which may be fewer.
    fn last(&self) -> ConvDims {
        let rest = self.dims.batch % self.all.batch;
        ConvDims { batch: if rest == 0 { self.all.batch } else { rest }, ..self.all.clone() }
    }

    /// Floats of scratch: the phases' weights, their values, and what their convolution needs for this pass.
    pub fn scratch_len(&self, of_pass: impl Fn(&ConvDims) -> usize) -> usize {
        self.all.weight_len() + self.all.input_len() + of_pass(&self.all).max(of_pass(&self.last()))
    }

    /// The phases' convolutions, each with the first of its images.
    fn parts(&self) -> impl Iterator<Item = (ConvDims, usize)> {
        (0..self.dims.batch).step_by(self.all.batch).map(|first| {
            let batch = self.all.batch.min(self.dims.batch - first);
            (ConvDims { batch, ..self.all.clone() }, first)
        })
    }

    /// Overwrites `output` with input * weights and the epilogue.
    pub fn run(
        &self,
        input: &[f32],
        weights: &[f32],
        epilogue: Epilogue<'_>,
        output: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (of_phases, values, rest) = self.split(scratch);
        self.spread_weights(weights, of_phases);
        for (part, first) in self.parts() {
            let values = &mut values[..part.input_len()];
            self.take_apart(input, first, values);
            let output = &mut output[first * self.image_outputs()..][..part.output_len()];
            super::forward(&part, values, of_phases, epilogue, output, rest);
        }
    }

    /// Overwrites the input's gradient.
    pub fn run_back(&self, top_diff: &[f32], weights: &[f32], bottom_diff: &mut [f32], scratch: &mut [f32]) {
        let (of_phases, values, rest) = self.split(scratch);
        self.spread_weights(weights, of_phases);
        let (plane, channels) = (self.dims.in_area(), self.dims.in_channels);
        for (part, first) in self.parts() {
            let values = &mut values[..part.input_len()];
            let top_diff = &top_diff[first * self.image_outputs()..][..part.output_len()];
            super::backward_input(&part, top_diff, of_phases, values, rest);
            let (values, of_channel) = (&*values, self.planes.channel_len());
            let some = &mut bottom_diff[first * channels * plane..][..part.batch * channels * plane];
            parallel::for_chunks_mut(some, plane * parallel::planes_per_chunk(plane), |start, planes| {
                for (channel, plane) in (start / plane..).zip(planes.chunks_exact_mut(plane)) {
                    let phases = &values[channel * of_channel..][..of_channel];
                    self.isa.run(Channel { axes: &self.axes, sizes: self.sizes(), phases, plane });
                }
            });
        }
    }

    /// Adds the weights' gradient, and that of the bias.
    pub fn add_gradient(
        &self,
        input: &[f32],
        top_diff: &[f32],
        weight_diff: &mut [f32],
        mut bias_diff: Option<&mut [f32]>,
        scratch: &mut [f32],
    ) {
        let (of_phases, values, rest) = self.split(scratch);
        of_phases.fill(0.0);
        for (part, first) in self.parts() {
            let values = &mut values[..part.input_len()];
            self.take_apart(input, first, values);
            let top_diff = &top_diff[first * self.image_outputs()..][..part.output_len()];
            super::backward_weights(&part, values, top_diff, of_phases, bias_diff.as_deref_mut(), rest);
        }
        let of_phases = &*of_phases;
        let (kernel, row) = (self.dims.kernel_area(), self.dims.depth());
        parallel::for_chunks_mut(weight_diff, row, |start, diff| {
            let of_phases = &of_phases[start / row * self.all.depth()..][..self.all.depth()];
            for (i, diff) in diff.iter_mut().enumerate() {
                let (y, x) = (i % kernel / self.axes[1].kernel, i % self.axes[1].kernel);
                *diff += of_phases[self.place(i / kernel, y, x)];
            }
        });
    }

    /// The phases' weights, their values, and the rest.
    fn split<'s>(&self, scratch: &'s mut [f32]) -> (&'s mut [f32], &'s mut [f32], &'s mut [f32]) {
        let (weights, rest) = scratch.split_at_mut(self.all.weight_len());
        let (values, rest) = rest.split_at_mut(self.all.input_len());
        (weights, values, rest)
    }

    /// Values of an image's outputs.
    fn image_outputs(&self) -> usize {
        self.dims.out_channels * self.dims.out_area()
    }

    /// Height and width of a phase.
    fn sizes(&self) -> [usize; 2] {
        [self.all.axes[0].input, self.all.axes[1].input]
    }

    /// Where tap `(y, x)` of a channel is among the taps of an output's phases.
    fn place(&self, channel: usize, y: usize, x: usize) -> usize {
        let [down, across] = &self.axes;
        let phase = (channel * down.stride + y % down.stride) * across.stride + x % across.stride;
        let [rows, cols] = [self.all.axes[0].kernel, self.all.axes[1].kernel];
        (phase * rows + y / down.stride) * cols + x / across.stride
    }

    /// The phases' weights, 0 where there is no tap.
    fn spread_weights(&self, weights: &[f32], of_phases: &mut [f32]) {
        let (kernel, row) = (self.dims.kernel_area(), self.dims.depth());
        parallel::for_chunks_mut(of_phases, self.all.depth(), |start, of_phases| {
            of_phases.fill(0.0);
            let weights = &weights[start / self.all.depth() * row..][..row];
            for (i, &weight) in weights.iter().enumerate() {
                let (y, x) = (i % kernel / self.axes[1].kernel, i % self.axes[1].kernel);
                of_phases[self.place(i / kernel, y, x)] = weight;
            }
        });
    }

    /// The phases of images from `first` on, 0 beyond the image.
    fn take_apart(&self, input: &[f32], first: usize, values: &mut [f32]) {
        let (of_channel, area) = (self.planes.channel_len(), self.dims.in_area());
        let input = &input[first * self.dims.in_channels * area..];
        parallel::for_chunks_mut(values, of_channel, |start, values| {
            if !self.planes.clears(0) {
                // Values that no tap meets are multiplied, too.
                values.fill(0.0);
            }
            self.planes.fill(self.isa, &input[start / of_channel * area..][..area], 0, values);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv;
    use crate::kernels::conv::tests::{assert_close, values};
    use crate::kernels::reference;

    /// Batch, input and output channels; input, kernel, stride and pad of each axis.
    fn dims(([batch, in_channels, out_channels], axes): ([usize; 3], [[usize; 4]; 2])) -> ConvDims {
        let axes = axes.map(|[i, k, s, p]| ConvAxis::new(i, k, s, p, 1).expect("the kernel fits"));
        let axes = axes.into_iter().collect();
        ConvDims { batch, in_channels, out_channels, group: 1, axes, place: None }
    }

    #[test]
    fn all_passes_match_the_reference() {
        // Phases as long as the input and shorter, margins, several images at a time and fewer at last, lines of three and five.
        let cases = [
            ([1, 3, 17], [[67, 11, 4, 0], [67, 11, 4, 0]]),
            ([3, 3, 40], [[31, 7, 2, 3], [34, 7, 2, 3]]),
            ([1, 3, 16], [[227, 11, 4, 0], [100, 11, 4, 0]]),
            ([5, 3, 8], [[400, 5, 2, 1], [400, 5, 2, 2]]),
            ([2, 1, 9], [[31, 14, 5, 7], [26, 8, 3, 1]]),
            ([1, 2, 20], [[40, 7, 3, 2], [39, 15, 5, 0]]),
            ([9, 4, 33], [[41, 11, 4, 2], [38, 11, 4, 2]]),
        ];
        for d in cases.map(dims) {
            let phased = Phased::new(Isa::best(), &d).expect("few channels that stride");
            let (input, weights, bias) =
                (values(d.input_len(), 1), values(d.weight_len(), 2), values(d.out_channels, 3));
            let top = values(d.output_len(), 4);
            let scratch = |of_pass: fn(&ConvDims) -> usize| vec![f32::NAN; phased.scratch_len(of_pass)];

            let mut got = vec![f32::NAN; d.output_len()];
            let epilogue = Epilogue { bias: Some(&bias), relu: true, ..Epilogue::default() };
            phased.run(&input, &weights, epilogue, &mut got, &mut scratch(conv::forward_scratch_len));
            let mut want = reference::conv_forward(&d, &input, &weights);
            for (i, v) in want.iter_mut().enumerate() {
                *v = (*v + bias[i / d.out_area() % d.out_channels]).max(0.0);
            }
            assert_close(&got, &want, &format!("forward, {d:?}"));

            let mut got = vec![f32::NAN; d.input_len()];
            phased.run_back(&top, &weights, &mut got, &mut scratch(conv::backward_input_scratch_len));
            let want = reference::conv_backward_input(&d, &top, &weights);
            assert_close(&got, &want, &format!("input, {d:?}"));

            let (mut got, mut got_bias) = (vec![0.5; d.weight_len()], vec![0.5; d.out_channels]);
            let mut space = scratch(conv::backward_weights_scratch_len);
            phased.add_gradient(&input, &top, &mut got, Some(&mut got_bias), &mut space);
            let mut want = reference::conv_backward_weights(&d, &input, &top);
            want.iter_mut().for_each(|v| *v += 0.5);
            assert_close(&got, &want, &format!("weights, {d:?}"));
            let mut want = vec![0.5; d.out_channels];
            for (i, area) in top.chunks(d.out_area()).enumerate() {
                want[i % d.out_channels] += area.iter().sum::<f32>();
            }
            assert_close(&got_bias, &want, &format!("bias, {d:?}"));
        }
    }

    #[test]
    fn first_layers_go_so() {
        let isa = Isa::best();
        let caffenet = dims(([16, 3, 96], [[227, 11, 4, 0]; 2]));
        let resnet = dims(([8, 3, 64], [[224, 7, 2, 3]; 2]));
        let few = dims(([2, 3, 64], [[67, 11, 4, 0]; 2]));
        let serves = |d: &ConvDims| {
            [
                Phased::forward(isa, d).is_some(),
                Phased::backward_input(isa, d).is_some(),
                Phased::backward_weights(isa, d).is_some(),
            ]
        };
        assert_eq!(serves(&caffenet), [true; 3]);
        assert_eq!(serves(&resnet), [false, true, true], "few channels of phases go forward as they stand");
        assert_eq!(serves(&few), [false, true, false], "few outputs");
    }

    /// Such sizes are refused later, for want of memory.
    #[test]
    fn sizes_beyond_all_memory_have_no_phases() {
        for [input, kernel, stride, pad] in
            [[300, 1 << 18, 1 << 16, 1 << 31], [9, 1 << 31, 1 << 29, 1 << 31], [1 << 20, 7, 2, 3]]
        {
            let d = dims(([1, 3, 64], [[input, kernel, stride, pad]; 2]));
            assert!(Phased::new(Isa::best(), &d).is_none(), "{d:?}");
        }
    }
}
