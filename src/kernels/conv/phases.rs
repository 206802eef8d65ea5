//! The input's gradient as plain convolutions of the output's gradient.
//!
//! Input position y gets a product from each tap t and output o with y + pad = o * stride + t * dilation. Positions
//! of equal remainder by the stride (a phase) meet the same taps, each at every output: so every phase is a
//! convolution of stride 1 over a share of the taps, and no multiplication meets a zero that the stride put in.

use std::ops::Range;

use super::lines::{Line, Lines, MAX_AXES, gcd};
use super::{ConvAxis, ConvDims};

/// One axis of a phase.
#[derive(Clone, Copy, Debug)]
struct PhaseAxis {
    /// Its convolution over the output's gradient.
    line: Line,
    /// Kernel value of the line's tap 0; the others follow downwards, `tap_down` apart.
    tap_first: usize,
    tap_down: usize,
    /// Length of the whole kernel.
    kernel: usize,
    /// First position of the input, and the distance to the next.
    remainder: usize,
    stride: usize,
    /// Length of the input.
    input: usize,
}

impl PhaseAxis {
    fn new(axis: &ConvAxis, remainder: usize) -> Self {
        let ConvAxis { input, kernel, stride, pad, dilation, output } = *axis;
        let common = gcd(stride, dilation);
        let tap_down = stride / common;
        // Tap t meets output (remainder + pad - t * dilation) / stride, where that is whole.
        let ahead = |tap: usize| (remainder + pad) as isize - (tap * dilation) as isize;
        let lowest = (0..tap_down.min(kernel)).find(|&tap| ahead(tap).rem_euclid(stride as isize) == 0);
        let taps = lowest.map_or(0, |tap| (kernel - tap).div_ceil(tap_down));
        let tap_first = lowest.map_or(0, |tap| tap + (taps - 1) * tap_down);
        let line = Line {
            input: output,
            outputs: input.saturating_sub(remainder).div_ceil(stride),
            taps,
            first: ahead(tap_first).div_euclid(stride as isize),
            tap_step: dilation / common,
            stride: 1,
        };
        Self { line, tap_first, tap_down, kernel, remainder, stride, input }
    }
}

/// One phase of all axes.
pub struct Phase {
    axes: [PhaseAxis; MAX_AXES],
    count: usize,
    /// Its convolution.
    pub lines: Lines,
}

/// Number of phases of a convolution: one where nothing strides. A stride beyond the input has no more phases than that.
///
/// Those that differ only in the last axis follow one another: together they fill lines of the input.
pub fn count(dims: &ConvDims) -> usize {
    dims.axes.iter().map(remainders).product()
}

/// Remainders by the stride that positions of the input have.
pub fn remainders(axis: &ConvAxis) -> usize {
    axis.stride.min(axis.input.max(1))
}

/// The most phases that are computed together.
pub const MOST_ALIKE: usize = 8;

/// How many phases from this remainder of the last axis on are alike: their taps meet the same outputs, and lie side by side in the
/// kernel, one a phase.
pub fn alike(axis: &ConvAxis, remainder: usize) -> usize {
    let of = |remainder| PhaseAxis::new(axis, remainder).line;
    let end = remainders(axis).min(remainder + MOST_ALIKE);
    (remainder..end).take_while(|&other| of(other) == of(remainder)).count()
}

/// All phases: those that are alike by the first of them and how many there are.
pub fn sets(dims: &ConvDims) -> impl Iterator<Item = (Phase, usize)> {
    let last = dims.axes.last();
    let per_line = last.map_or(1, remainders);
    let mut next = 0;
    std::iter::from_fn(move || {
        let first = (next < count(dims)).then_some(next)?;
        let alike = last.map_or(1, |axis| alike(axis, first % per_line));
        next += alike;
        Some((Phase::new(dims, first), alike))
    })
}

impl Phase {
    /// Phase number `index`.
    pub fn new(dims: &ConvDims, mut index: usize) -> Self {
        let none = ConvAxis { input: 1, kernel: 1, stride: 1, pad: 0, dilation: 1, output: 1 };
        let (mut axes, count) = ([PhaseAxis::new(&none, 0); MAX_AXES], dims.axes.len());
        for (place, axis) in axes[..count].iter_mut().zip(&dims.axes).rev() {
            *place = PhaseAxis::new(axis, index % remainders(axis));
            index /= remainders(axis);
        }
        Self { axes, count, lines: Lines::new(axes[..count].iter().map(|a| a.line)) }
    }

    /// Whether the phase is the whole input.
    pub fn is_everything(&self) -> bool {
        self.axes[..self.count].iter().all(|a| a.stride == 1)
    }

    /// The place in the kernel of the phase's tap `tap`.
    pub fn kernel_tap(&self, mut tap: usize) -> usize {
        let (mut at, mut scale) = (0, 1);
        for axis in self.axes[..self.count].iter().rev() {
            at += (axis.tap_first - tap % axis.line.taps * axis.tap_down) * scale;
            tap /= axis.line.taps;
            scale *= axis.kernel;
        }
        at
    }

    /// This phase's outputs along the outermost axis among positions `range` of the input.
    pub fn outer(&self, range: &Range<usize>) -> Range<usize> {
        let axis = &self.axes[0];
        let before = |at: usize| at.saturating_sub(axis.remainder).div_ceil(axis.stride);
        before(range.start)..before(range.end)
    }

    /// Where the input's line that holds this phase's line of outputs `row` starts.
    pub fn line_start(&self, mut row: usize) -> usize {
        let Some((last, outer)) = self.axes[..self.count].split_last() else { return 0 };
        if let [axis] = outer {
            // Without divisions, which would take as long as a short line.
            return (axis.remainder + row * axis.stride) * last.input;
        }
        let (mut at, mut scale) = (0, last.input);
        for axis in outer.iter().rev() {
            at += (axis.remainder + row % axis.line.outputs * axis.stride) * scale;
            row /= axis.line.outputs;
            scale *= axis.input;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_of_two_shares_three_taps() {
        let axis = ConvAxis::new(5, 3, 2, 1, 1).unwrap();
        let dims = ConvDims {
            batch: 1,
            in_channels: 1,
            out_channels: 1,
            group: 1,
            axes: vec![axis].into(),
            place: None,
        };
        let taps = |phase: &Phase| (0..phase.lines.taps()).map(|t| phase.kernel_tap(t)).collect::<Vec<_>>();
        let phases: Vec<_> = (0..count(&dims)).map(|index| Phase::new(&dims, index)).collect();
        // Even positions y + 1 are odd: tap 1. Odd ones: taps 2 and 0.
        assert_eq!((taps(&phases[0]), phases[0].lines.outputs()), (vec![1], 3));
        assert_eq!((taps(&phases[1]), phases[1].lines.outputs()), (vec![2, 0], 2));
    }

    #[test]
    fn phases_that_are_alike_have_their_taps_side_by_side() {
        for (kernel, stride, pad, dilation) in (1..=9)
            .flat_map(|k| (1..=9).flat_map(move |s| [(k, s, 0, 1), (k, s, k / 2, 1), (k, s, k / 3, 2)]))
        {
            let axis = ConvAxis::new(40, kernel, stride, pad, dilation).unwrap();
            let dims = ConvDims {
                batch: 1,
                in_channels: 1,
                out_channels: 1,
                group: 1,
                axes: vec![axis; 2].into(),
                place: None,
            };
            let mut number = 0;
            for (first, alike) in sets(&dims) {
                for i in 0..alike {
                    let phase = Phase::new(&dims, number + i);
                    let taps = phase.lines.taps();
                    assert_eq!((phase.lines.outputs(), taps), (first.lines.outputs(), first.lines.taps()));
                    let places =
                        |phase: &Phase, from| (0..taps).map(|t| from + phase.kernel_tap(t)).collect();
                    let (found, expected): (Vec<_>, Vec<_>) = (places(&phase, 0), places(&first, i));
                    assert_eq!(found, expected, "{axis:?}");
                }
                number += alike;
            }
            assert_eq!(number, count(&dims));
        }
        let axis = |kernel, stride, pad| ConvAxis::new(80, kernel, stride, pad, 1).unwrap();
        assert_eq!(alike(&axis(2, 2, 0), 0), 2);
        assert_eq!([0, 4].map(|remainder| alike(&axis(16, 8, 4), remainder)), [4, 4]);
        assert_eq!([0, 3].map(|remainder| alike(&axis(11, 4, 0), remainder)), [3, 1]);
        assert_eq!(alike(&axis(4, 2, 1), 0), 1);
    }
}
