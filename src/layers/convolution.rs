//! `Convolution`: learned filters slide over the input.

use super::{
    Arity, Kind, Layer, LayerError, Place, Setup,
    convolution_settings::ConvolutionSettings,
    filter_window::Window,
    filters::{FilterLayer, Filters, Fitted, ParamDiffs},
};
use crate::{
    config::proto::LayerParameter,
    kernels::conv::{self, ConvDims, Epilogue},
    tensor::Shape,
};

/// The row of `Convolution`.
pub const KIND: Kind = Kind {
    name: "Convolution",
    summary: "filters slide over any number of spatial axes, in groups, strided, padded, dilated",
    settings: &["convolution_param"],
    bottoms: Arity::AtLeast(1),
    tops: Arity::LikeBottoms,
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Cross-correlation with learned filters, one for each output channel; the same for every bottom.
///
/// y[o, p] = b[o] + sum over c, k of w[o, c, k] * x[c, stride p + dilation k - pad]
/// dE/dx is the transposed sum, dE/dw[o, c, k] += sum over p of dE/dy[o, p] * x[c, ...], dE/db[o] += sum of dE/dy[o, p]
///
/// Shapes: bottoms `N... x C x S...`, channels at `axis`, any number of spatial axes; tops `N... x num_output x S'...`
/// with S' = floor((S + 2 pad - (dilation (kernel - 1) + 1)) / stride) + 1.
/// Params: weights `num_output x C / group x kernel...`; bias `num_output`.
/// Differs from Caffe: a dilation of 0 is refused; `engine` and `force_nd_im2col` change nothing.
#[derive(Default)]
pub(super) struct Convolution {
    /// One group a channel, whatever `group` says.
    depthwise: bool,
    /// Where tops lie, if in a larger blob.
    place: Option<Place>,
    dims: ConvDims,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let settings = ConvolutionSettings::new(config.convolution_param.as_ref())?;
    settings.num_output()?;
    Ok(Box::new(FilterLayer::new(settings, Convolution::default())))
}

impl Convolution {
    /// With one group a channel.
    pub(super) fn depthwise() -> Self {
        Self { depthwise: true, ..Self::default() }
    }
}

impl Filters for Convolution {
    fn fit(
        &mut self,
        settings: &ConvolutionSettings,
        window: &Window,
        bottom: &Shape,
    ) -> Result<Fitted, LayerError> {
        let (group, outputs) = match self.depthwise {
            true => settings.depthwise(window.channels)?,
            false => (settings.group(), settings.num_output()?),
        };
        self.dims = ConvDims { place: self.place, ..window.convolution(group, outputs)? };
        Ok(Fitted {
            top: window.top(bottom, outputs, self.dims.axes.iter().map(|a| a.output))?,
            weights: window.filters(outputs, window.channels / group)?,
            biases: outputs,
            scratch: conv::scratch_len(&self.dims),
        })
    }

    fn finishes(&self) -> bool {
        true
    }

    fn forward(
        &self,
        x: &[f32],
        weights: &[f32],
        epilogue: Epilogue<'_>,
        y: &mut [f32],
        scratch: &mut [f32],
    ) {
        conv::forward(&self.dims, x, weights, epilogue, y, scratch);
    }

    fn backward_params(&self, x: &[f32], dy: &[f32], [dw, db]: ParamDiffs<'_>, scratch: &mut [f32]) {
        match (dw, db) {
            (Some(dw), db) => conv::backward_weights(&self.dims, x, dy, dw, db, scratch),
            (None, Some(db)) => conv::backward_bias(&self.dims, dy, db),
            (None, None) => {}
        }
    }

    fn backward_input(&self, dy: &[f32], weights: &[f32], dx: &mut [f32], scratch: &mut [f32]) {
        conv::backward_input(&self.dims, dy, weights, dx, scratch);
    }

    fn can_add(&self) -> bool {
        conv::adds_backward_input(&self.dims)
    }

    fn add_input(&self, x: Option<&[f32]>, dy: &[f32], w: &[f32], dx: &mut [f32], scratch: &mut [f32]) {
        conv::add_backward_input(&self.dims, dy, w, x, dx, scratch);
    }

    fn lies_within(&self) -> bool {
        conv::lies_within(&self.dims)
    }

    fn lie_within(&mut self, place: Place) {
        self.place = Some(place);
    }

    fn multiply_adds(&self) -> usize {
        self.dims.multiply_adds()
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward_with, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'Convolution' convolution_param { num_output: 3 kernel_size: 3 stride: 2 pad: 1 }",
            &[(&[2, 2, 5, 6], Values::Any)],
        ),
        Case::new(
            "type: 'Convolution' convolution_param {
                 num_output: 4 group: 2 kernel_h: 3 kernel_w: 2 dilation: 2 dilation: 1 bias_term: false }",
            &[(&[1, 2, 6, 5], Values::Any)],
        ),
        Case::new(
            "type: 'Convolution' convolution_param { num_output: 2 kernel_size: 2 axis: 2 }",
            &[(&[2, 2, 3, 5], Values::Any), (&[2, 2, 3, 5], Values::Any)],
        )
        .tops(2),
        Case::new(
            "type: 'Convolution' convolution_param { num_output: 2 kernel_size: [2, 1, 3] pad: [1, 0, 1] }",
            &[(&[1, 2, 3, 2, 3], Values::Any)],
        ),
        Case::new("type: 'Convolution' convolution_param { num_output: 2 }", &[(&[3, 4], Values::Any)]),
    ];

    /// A binary image and filter whose result is worked out in many courses.
    #[test]
    fn a_filter_by_hand() {
        let image: Vec<f32> = "1110001110001110011001100".bytes().map(|b| f32::from(b - b'0')).collect();
        let filter: &[f32] = &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0];
        let text = "type: 'Convolution' convolution_param { num_output: 1 kernel_size: 3 }";
        let y = forward_with(text, 1, &[(&[1, 1, 5, 5], &image)], &[filter, &[0.5]]);
        assert_eq!(y[0], [4.5, 3.5, 4.5, 2.5, 4.5, 3.5, 2.5, 3.5, 4.5]);
    }

    #[test]
    fn groups_see_their_own_channels_and_each_bottom_gets_its_top() {
        let text = "type: 'Convolution' convolution_param { num_output: 2 kernel_size: 1 group: 2 bias_term: false }";
        let bottoms: [(&[usize], &[f32]); 2] =
            [(&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]), (&[1, 2, 2], &[5.0, 6.0, 7.0, 8.0])];
        let tops = forward_with(text, 2, &bottoms, &[&[10.0, -1.0]]);
        assert_eq!(tops, [[10.0, 20.0, -3.0, -4.0], [50.0, 60.0, -7.0, -8.0]]);
    }

    #[test]
    fn an_empty_batch_is_no_trouble() {
        let text = "type: 'Convolution' convolution_param { num_output: 2 kernel_size: 3 }";
        assert!(forward_with(text, 1, &[(&[0, 1, 3, 3], &[])], &[])[0].is_empty());
    }

    #[test]
    fn bad_settings_are_refused() {
        let message = |settings: &str| {
            refusal(&format!("type: 'Convolution' convolution_param {{ {settings} }}"), &[&[1, 4, 5, 5]])
        };
        assert_eq!(message("kernel_size: 3"), "num_output is missing");
        assert_eq!(message("num_output: 3 kernel_size: 7"), "kernel_size 7 exceeds the padded input 5");
        assert_eq!(
            message("num_output: 3 kernel_size: 3 group: 3"),
            "4 channels cannot be divided into 3 groups"
        );
    }
}
