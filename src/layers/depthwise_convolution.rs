//! `DepthwiseConvolution`: a convolution in which each channel has filters of its own.

use super::{
    Arity, Kind, Layer, LayerError, Setup, convolution::Convolution,
    convolution_settings::ConvolutionSettings, filters::FilterLayer,
};
use crate::config::proto::LayerParameter;

/// The row of `DepthwiseConvolution`.
pub const KIND: Kind = Kind {
    name: "DepthwiseConvolution",
    summary: "`Convolution` with `group` = channels, as forks of Caffe spell it",
    settings: &["convolution_param"],
    bottoms: Arity::AtLeast(1),
    tops: Arity::LikeBottoms,
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// A [`Convolution`] with one group a channel. `group` may be left out, and `num_output` when it is the number of
/// channels. Caffe has no such layer; files of its forks that have run unchanged.
fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let settings = ConvolutionSettings::new(config.convolution_param.as_ref())?;
    Ok(Box::new(FilterLayer::new(settings, Convolution::depthwise())))
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward_with, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'DepthwiseConvolution' convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }",
            &[(&[2, 2, 5, 4], Values::Any)],
        ),
        Case::new(
            "type: 'DepthwiseConvolution' convolution_param { group: 3 kernel_size: 3 pad: 1 }",
            &[(&[1, 3, 4, 19], Values::Any)],
        ),
    ];

    #[test]
    fn it_is_a_convolution_with_as_many_groups_as_channels() {
        let run = |text: &str| {
            let x: Vec<f32> = (0..54).map(|i| (i * 7 % 11) as f32).collect();
            let w: Vec<f32> = (0..27).map(|i| (i * 5 % 7) as f32 - 3.0).collect();
            forward_with(text, 1, &[(&[2, 3, 3, 3], &x)], &[&w, &[1.0, 2.0, 3.0]])
        };
        let want =
            run("type: 'Convolution' convolution_param { num_output: 3 group: 3 kernel_size: 3 pad: 1 }");
        for spelling in ["DepthwiseConvolution", "ConvolutionDepthwise"] {
            let settings = "convolution_param { kernel_size: 3 pad: 1 }";
            assert_eq!(run(&format!("type: '{spelling}' {settings}")), want);
        }
    }

    /// A group for each of no channels would be none to divide by.
    #[test]
    fn no_channels_give_no_values() {
        let text = "type: 'DepthwiseConvolution' convolution_param { kernel_size: 1 }";
        assert!(forward_with(text, 1, &[(&[2, 0, 3, 3], &[])], &[&[], &[]])[0].is_empty());
    }

    #[test]
    fn bad_settings_are_refused() {
        let message = |settings: &str| {
            let settings = format!("convolution_param {{ kernel_size: 1 {settings} }}");
            refusal(&format!("type: 'DepthwiseConvolution' {settings}"), &[&[1, 4, 5, 5]])
        };
        assert_eq!(
            message("group: 2"),
            "group 2 of a depthwise convolution with 4 channels: leave it out, or give the number of channels"
        );
        assert_eq!(message("num_output: 6"), "num_output 6 cannot be divided into 4 groups");
    }
}
