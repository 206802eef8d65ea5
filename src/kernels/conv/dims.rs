//! The sizes of a convolution, in any number of spatial axes.

/// One spatial axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvAxis {
    /// Length of the input.
    pub input: usize,
    /// Length of the kernel.
    pub kernel: usize,
    /// Step of the kernel.
    pub stride: usize,
    /// Zeros on either side of the input.
    pub pad: usize,
    /// Distance between the kernel's values.
    pub dilation: usize,
    /// Length of the output: floor((input + 2 pad - (dilation * (kernel - 1) + 1)) / stride) + 1.
    pub output: usize,
}

impl ConvAxis {
    /// An axis whose output follows from the rest; `None` when a setting is 0, or the kernel exceeds the padded input.
    pub fn new(input: usize, kernel: usize, stride: usize, pad: usize, dilation: usize) -> Option<Self> {
        if kernel == 0 || stride == 0 || dilation == 0 {
            return None;
        }
        let extent = dilation.checked_mul(kernel - 1)?.checked_add(1)?;
        let room = pad.checked_mul(2)?.checked_add(input)?.checked_sub(extent)?;
        // A stride beyond all that it could pass over makes one output like one that just does, and asks for no room in scratch.
        let stride = stride.min(room.saturating_add(1));
        Some(Self { input, kernel, stride, pad, dilation, output: room / stride + 1 })
    }

    /// The axis of the convolution that a deconvolution of `output` values transposes: its `output` is what the
    /// deconvolution reads, its `input`, stride * (output - 1) + extent - 2 pad values, what it writes.
    pub fn transposed(
        output: usize,
        kernel: usize,
        stride: usize,
        pad: usize,
        dilation: usize,
    ) -> Option<Self> {
        if output == 0 || kernel == 0 || stride == 0 || dilation == 0 {
            return None;
        }
        let extent = dilation.checked_mul(kernel - 1)?.checked_add(1)?;
        let full = stride.checked_mul(output - 1)?.checked_add(extent)?;
        let input = full.checked_sub(pad.checked_mul(2)?)?;
        let stride = if output == 1 { 1 } else { stride };
        Some(Self { input, kernel, stride, pad, dilation, output })
    }

    /// How many positions the taps span.
    pub(super) fn extent(&self) -> usize {
        self.dilation * (self.kernel - 1) + 1
    }
}

/// Spatial axes: up to three need no memory of their own, so that kernels can make convolutions of convolutions.
pub type Axes = smallvec::SmallVec<[ConvAxis; 3]>;

/// A convolution of a batch: input `batch x in_channels x ...`, output `batch x out_channels x ...`, weights
/// `out_channels x (in_channels / group) x kernel...`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConvDims {
    /// Number of images.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Groups of channels that do not see each other; divides both numbers of channels.
    pub group: usize,
    /// Spatial axes, outermost first.
    pub axes: Axes,
    /// Where the outputs lie, if the blob of the output has more channels than theirs.
    pub place: Option<Place>,
}

/// Some channels of each image of a larger blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first of them.
    pub first: usize,
    /// How many channels an image of that blob has.
    pub of: usize,
}

/// Products stop at the largest number, so that a caller can see that sizes are too large.
impl ConvDims {
    /// Input values per channel.
    pub fn in_area(&self) -> usize {
        self.area(|a| a.input)
    }

    /// Output values per channel.
    pub fn out_area(&self) -> usize {
        self.area(|a| a.output)
    }

    /// Values of a kernel per channel.
    pub fn kernel_area(&self) -> usize {
        self.area(|a| a.kernel)
    }

    fn area(&self, side: impl Fn(&ConvAxis) -> usize) -> usize {
        self.axes.iter().map(side).fold(1, usize::saturating_mul)
    }

    /// Values of the whole input.
    pub fn input_len(&self) -> usize {
        self.in_area().saturating_mul(self.batch).saturating_mul(self.in_channels)
    }

    /// Values of the whole output, and of what lies between its images.
    pub fn output_len(&self) -> usize {
        self.out_area().saturating_mul(self.batch).saturating_mul(self.out_place().of)
    }

    /// Where the outputs lie in their blob.
    pub(super) fn out_place(&self) -> Place {
        self.place.unwrap_or(Place { first: 0, of: self.out_channels })
    }

    /// Values of the output's blob before the first output, and from image to image.
    pub(super) fn out_start_and_image(&self) -> [usize; 2] {
        let Place { first, of } = self.out_place();
        [first, of].map(|channels| channels * self.out_area())
    }

    /// Values of the weights.
    pub fn weight_len(&self) -> usize {
        self.depth().saturating_mul(self.out_channels)
    }

    /// Products that make one output value: input channels of a group times kernel values.
    pub fn depth(&self) -> usize {
        self.kernel_area().saturating_mul(self.in_channels / self.group)
    }

    /// Multiply-adds of one pass, counting those that meet padding.
    pub fn multiply_adds(&self) -> usize {
        let outputs = self.out_area().saturating_mul(self.batch).saturating_mul(self.out_channels);
        outputs.saturating_mul(self.depth())
    }

    /// Input channels of a group.
    pub(super) fn group_in(&self) -> usize {
        self.in_channels / self.group
    }

    /// Output channels of a group.
    pub(super) fn group_out(&self) -> usize {
        self.out_channels / self.group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_follows_the_floor_rule() {
        let output = |i, k, s, p, d| ConvAxis::new(i, k, s, p, d).map(|a| a.output);
        assert_eq!(output(227, 11, 4, 0, 1), Some(55));
        assert_eq!(output(5, 3, 2, 1, 1), Some(3));
        assert_eq!(output(5, 3, 1, 0, 2), Some(1));
        assert_eq!(output(2, 3, 1, 0, 1), None);
        assert_eq!(output(5, 3, 0, 0, 1), None);
        assert_eq!(output(5, usize::MAX, 1, 0, 2), None);
        // A stride that moves nothing asks for no room.
        assert_eq!(ConvAxis::new(8, 3, 1 << 30, 0, 1), ConvAxis::new(8, 3, 6, 0, 1));
    }

    #[test]
    fn transposed_axes_write_what_they_would_read() {
        let axis = ConvAxis::transposed(8, 4, 2, 1, 1).unwrap();
        assert_eq!(axis.input, 16);
        assert_eq!(Some(axis), ConvAxis::new(16, 4, 2, 1, 1));
        assert_eq!(ConvAxis::transposed(1, 1, 1, 3, 1), None);
    }
}
