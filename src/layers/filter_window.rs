//! The window of a layer of the convolution family over a bottom of known shape.

use super::LayerError;
use crate::{
    kernels::conv::{Axes, ConvAxis, ConvDims},
    tensor::Shape,
};

/// A filter's window over a bottom of known shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The channel axis.
    pub axis: usize,
    /// The product of the axes before it.
    pub samples: usize,
    /// Its length.
    pub channels: usize,
    /// The lengths of the axes after it.
    pub sides: Vec<usize>,
    /// The filter's sides.
    pub kernel: Vec<usize>,
    /// Its steps.
    pub stride: Vec<usize>,
    /// The rims of zeros around the bottom.
    pub pad: Vec<usize>,
    /// The distances of neighbours in the filter.
    pub dilation: Vec<usize>,
}

impl Window {
    /// The convolution of the bottom to so many channels.
    pub fn convolution(&self, group: usize, outputs: usize) -> Result<ConvDims, LayerError> {
        check_group(group, self.channels, outputs)?;
        countable(ConvDims {
            batch: self.samples,
            in_channels: self.channels,
            out_channels: outputs,
            group,
            axes: self.convolved()?,
            place: None,
        })
    }

    /// The convolution that is transposed onto the bottom: its input has so many channels.
    pub fn deconvolution(&self, group: usize, outputs: usize) -> Result<ConvDims, LayerError> {
        check_group(group, self.channels, outputs)?;
        countable(ConvDims {
            batch: self.samples,
            in_channels: outputs,
            out_channels: self.channels,
            group,
            axes: self.deconvolved()?,
            place: None,
        })
    }

    /// The spatial axes of a convolution of the bottom: floor((side + 2 pad - extent) / stride) + 1 outputs.
    pub fn convolved(&self) -> Result<Axes, LayerError> {
        self.axes(ConvAxis::new, |i| {
            let (kernel, dilation, padded) =
                (self.kernel[i], self.dilation[i], self.sides[i].saturating_add(2 * self.pad[i]));
            let spread = match dilation {
                1 => String::new(),
                _ => format!(" with dilation {dilation} spans {} and", dilation * (kernel - 1) + 1),
            };
            format!("kernel_size {kernel}{spread} exceeds the padded input {padded}")
        })
    }

    /// The spatial axes of the convolution that is transposed onto the bottom, which is as large as its output:
    /// its input has stride (side - 1) + extent - 2 pad values.
    pub(super) fn deconvolved(&self) -> Result<Axes, LayerError> {
        let some = |a: &ConvAxis| a.input > 0;
        self.axes(
            move |s, k, t, p, d| ConvAxis::transposed(s, k, t, p, d).filter(some),
            |i| format!("pad {} leaves nothing of the output of an input of {}", self.pad[i], self.sides[i]),
        )
    }

    fn axes(
        &self,
        axis: impl Fn(usize, usize, usize, usize, usize) -> Option<ConvAxis>,
        message: impl Fn(usize) -> String,
    ) -> Result<Axes, LayerError> {
        (0..self.sides.len())
            .map(|i| {
                axis(self.sides[i], self.kernel[i], self.stride[i], self.pad[i], self.dilation[i])
                    .ok_or_else(|| wrong("kernel_size", message(i)))
            })
            .collect()
    }

    /// The bottom's shape with other channels and sides.
    pub fn top(
        &self,
        bottom: &Shape,
        channels: usize,
        sides: impl Iterator<Item = usize>,
    ) -> Result<Shape, LayerError> {
        counted("the top", bottom[..self.axis].iter().copied().chain([channels]).chain(sides).collect())
    }

    /// The shape of filters: so many, each over so many channels.
    pub fn filters(&self, number: usize, channels: usize) -> Result<Shape, LayerError> {
        counted("the filters", [&[number, channels], &self.kernel[..]].concat())
    }
}

/// Refuses channels or outputs that cannot be cut into `group` parts.
fn check_group(group: usize, channels: usize, outputs: usize) -> Result<(), LayerError> {
    if !channels.is_multiple_of(group) {
        return Err(wrong("group", format!("{channels} channels cannot be divided into {group} groups")));
    }
    if !outputs.is_multiple_of(group) {
        return Err(wrong("group", format!("num_output {outputs} cannot be divided into {group} groups")));
    }
    Ok(())
}

/// Dims whose multiply-adds can be counted.
fn countable(dims: ConvDims) -> Result<ConvDims, LayerError> {
    if dims.multiply_adds() == usize::MAX || dims.input_len() == usize::MAX {
        return Err(LayerError::shape("a pass would take more multiply-adds than can be counted"));
    }
    Ok(dims)
}

/// A shape whose values can be counted.
fn counted(what: &str, sides: Vec<usize>) -> Result<Shape, LayerError> {
    let shape = Shape::new(sides);
    match shape.checked_count() {
        Some(_) => Ok(shape),
        None => Err(LayerError::shape(format!("{what} would be {shape}: too large"))),
    }
}

/// Refuses a field of `convolution_param`.
pub(super) fn wrong(field: &str, message: impl Into<String>) -> LayerError {
    LayerError::setting(format!("convolution_param.{field}"), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_must_divide() {
        assert_eq!(check_group(2, 4, 6), Ok(()));
        let message = |r: Result<(), LayerError>| r.unwrap_err().to_string();
        assert_eq!(message(check_group(3, 4, 6)), "4 channels cannot be divided into 3 groups");
        assert_eq!(message(check_group(2, 4, 5)), "num_output 5 cannot be divided into 2 groups");
    }
}
