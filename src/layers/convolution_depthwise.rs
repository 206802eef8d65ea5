//! `ConvolutionDepthwise`: the other spelling of [`DepthwiseConvolution`](super::depthwise_convolution).

use super::{Kind, depthwise_convolution};

/// The row of `ConvolutionDepthwise`.
pub const KIND: Kind = Kind { name: "ConvolutionDepthwise", ..depthwise_convolution::KIND };
