//! The weights' gradient: work is cut into splits of the images' bands, by the shape alone; each has sums of its own, which
//! are added in order.

use super::dots::Dots;
use super::few_pairs;
use super::planes::two_axes;
use super::strips::Strips;
use crate::kernels::conv::ConvDims;
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::Isa;

/// Parts with sums of their own, and fewer of many weights, whose sums would cost memory.
const SPLITS: usize = 64;
const FEWER_SPLITS: usize = 32;
const MANY_WEIGHTS: usize = 1 << 14;
/// Outputs of a band: enough to outweigh its margins and the sums of lanes, few enough for some channels to stay in the
/// first-level cache.
const BAND: usize = 1024;

/// How a band is summed.
enum How<'a> {
    Dots(Dots<'a>),
    Strips(Strips<'a>),
}

/// How the work is cut.
pub struct Gradient<'a> {
    dims: &'a ConvDims,
    how: How<'a>,
    /// Lines of outputs, those in a band, and how many bands an image has.
    lines: usize,
    band: usize,
    bands: usize,
    splits: usize,
}

impl<'a> Gradient<'a> {
    /// `None` where other ways serve better.
    pub fn new(isa: Isa, dims: &'a ConvDims) -> Option<Self> {
        let dots = Dots::new(isa, dims).map(How::Dots);
        let how = dots.or_else(|| Strips::new(isa, dims).map(How::Strips))?;
        let lines = two_axes(dims)?[0].output;
        let band = lines.div_ceil(dims.out_area().div_ceil(BAND).clamp(1, lines.max(1))).max(1);
        let bands = lines.div_ceil(band);
        let most = if dims.weight_len() > MANY_WEIGHTS { FEWER_SPLITS } else { SPLITS };
        // Equal ones.
        let units = (dims.batch * bands).max(1);
        Some(Self { dims, how, lines, band, bands, splits: units.div_ceil(units.div_ceil(most)) })
    }

    /// Whether tiles at points would take longer.
    pub fn comes_first(&self) -> bool {
        few_pairs(self.dims) && matches!(self.how, How::Dots(_))
    }

    /// Floats of scratch: the splits' sums.
    pub fn scratch_len(&self) -> usize {
        self.splits * (self.dims.weight_len() + self.dims.out_channels)
    }

    /// Adds the gradient, and that of the bias, which is the sum of the same registers: large planes would otherwise be
    /// read from memory once more.
    pub fn run(
        &self,
        input: &[f32],
        top_diff: &[f32],
        weight_diff: &mut [f32],
        bias_diff: Option<&mut [f32]>,
        scratch: &mut [f32],
    ) {
        let (weights, bias) = (weight_diff.len(), bias_diff.is_some());
        let len = weights + self.dims.out_channels;
        let sums = &mut scratch[..self.scratch_len()];
        parallel::for_chunks_mut(sums, len, |start, sums| {
            sums.fill(0.0);
            let (sums, own) = sums.split_at_mut(weights);
            self.sum(input, top_diff, start / len, sums, bias.then_some(own));
        });
        let sums = &*sums;
        let add = |first: usize, diff: &mut [f32]| {
            parallel::for_chunks_mut(diff, parallel::CHUNK, |start, diff| {
                for sums in sums.chunks_exact(len) {
                    diff.iter_mut().zip(&sums[first + start..]).for_each(|(diff, sum)| *diff += sum);
                }
            });
        };
        add(0, weight_diff);
        if let Some(diff) = bias_diff {
            add(weights, diff);
        }
    }

    /// Adds the bands of a split to the weights' sums, and to the channels' `own`.
    fn sum(&self, input: &[f32], top: &[f32], split: usize, sums: &mut [f32], mut own: Option<&mut [f32]>) {
        let units = self.dims.batch * self.bands;
        let bands = (split * units / self.splits..(split + 1) * units / self.splits).map(|unit| {
            let start = unit % self.bands * self.band;
            (unit / self.bands, start..(start + self.band).min(self.lines))
        });
        match &self.how {
            How::Dots(dots) => {
                bands.for_each(|band| dots.add_band(input, top, band, sums, own.as_deref_mut()));
            }
            How::Strips(strips) => scratch::lend(strips.sums_len(), |turned| {
                turned.fill(0.0);
                bands.for_each(|band| strips.add_band(input, top, band, turned, own.as_deref_mut()));
                strips.add_sums(turned, sums);
            }),
        }
    }
}
