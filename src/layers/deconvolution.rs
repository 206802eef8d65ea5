//! `Deconvolution`: the transpose of a convolution, as in learned upsampling.

use super::{
    Arity, Kind, Layer, LayerError, Setup,
    convolution_settings::ConvolutionSettings,
    filter_window::Window,
    filters::{FilterLayer, Filters, Fitted, ParamDiffs},
};
use crate::{
    config::proto::LayerParameter,
    kernels::{
        conv::{self, ConvAxis, ConvDims, Epilogue},
        parallel::for_chunks_mut,
    },
    tensor::Shape,
};

/// The row of `Deconvolution`.
pub const KIND: Kind = Kind {
    name: "Deconvolution",
    summary: "the transpose of a convolution: spreads each input over the filter's window",
    settings: &["convolution_param"],
    bottoms: Arity::AtLeast(1),
    tops: Arity::LikeBottoms,
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The transpose of a convolution: its forward is a convolution's gradient, its gradient a convolution.
///
/// y[o, stride p + dilation k - pad] = b[o] + sum over c, k of w[c, o, k] * x[c, p], over all p that land there
/// dE/dx[c, p] = sum over o, k of w[c, o, k] * dE/dy[o, stride p + ...], dE/dw[c, o, k] += sum over p of x * dE/dy
///
/// Shapes: bottoms `N... x C x S...`, channels at `axis`, any number of spatial axes; tops `N... x num_output x S'...`
/// with S' = stride (S - 1) + dilation (kernel - 1) + 1 - 2 pad.
/// Params: weights `C x num_output / group x kernel...`; bias `num_output`.
/// Reference: Zeiler et al. 2010. Differs from Caffe: a dilation of 0 is refused.
#[derive(Default)]
struct Deconvolution {
    /// Of the convolution that is transposed: its input is the top.
    dims: ConvDims,
    /// With the top as output: what the bias belongs to.
    top: ConvDims,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let settings = ConvolutionSettings::new(config.convolution_param.as_ref())?;
    settings.num_output()?;
    Ok(Box::new(FilterLayer::new(settings, Deconvolution::default())))
}

impl Filters for Deconvolution {
    fn fit(
        &mut self,
        settings: &ConvolutionSettings,
        window: &Window,
        bottom: &Shape,
    ) -> Result<Fitted, LayerError> {
        let (group, outputs) = (settings.group(), settings.num_output()?);
        self.dims = window.deconvolution(group, outputs)?;
        let swapped = |a: &ConvAxis| ConvAxis { input: a.output, output: a.input, ..*a };
        self.top = ConvDims {
            in_channels: self.dims.out_channels,
            out_channels: self.dims.in_channels,
            axes: self.dims.axes.iter().map(swapped).collect(),
            ..self.dims
        };
        Ok(Fitted {
            top: window.top(bottom, outputs, self.dims.axes.iter().map(|a| a.input))?,
            weights: window.filters(window.channels, outputs / group)?,
            biases: outputs,
            scratch: conv::scratch_len(&self.dims),
        })
    }

    fn forward(
        &self,
        x: &[f32],
        weights: &[f32],
        epilogue: Epilogue<'_>,
        y: &mut [f32],
        scratch: &mut [f32],
    ) {
        conv::backward_input(&self.dims, x, weights, y, scratch);
        if let Some(bias) = epilogue.bias {
            for_chunks_mut(y, self.dims.in_area(), |start, area| {
                let bias = bias[start / area.len() % bias.len()];
                area.iter_mut().for_each(|v| *v += bias);
            });
        }
    }

    fn backward_params(&self, x: &[f32], dy: &[f32], [dw, db]: ParamDiffs<'_>, scratch: &mut [f32]) {
        if let Some(dw) = dw {
            conv::backward_weights(&self.dims, dy, x, dw, None, scratch);
        }
        if let Some(db) = db {
            conv::backward_bias(&self.top, dy, db);
        }
    }

    fn backward_input(&self, dy: &[f32], weights: &[f32], dx: &mut [f32], scratch: &mut [f32]) {
        conv::forward(&self.dims, dy, weights, Epilogue::default(), dx, scratch);
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
            "type: 'Deconvolution' convolution_param { num_output: 3 kernel_size: 3 stride: 2 pad: 1 }",
            &[(&[2, 2, 3, 2], Values::Any)],
        ),
        Case::new(
            "type: 'Deconvolution' convolution_param {
                 num_output: 4 group: 2 kernel_h: 3 kernel_w: 2 dilation: 2 dilation: 1 bias_term: false }",
            &[(&[1, 2, 2, 3], Values::Any), (&[1, 2, 2, 3], Values::Any)],
        )
        .tops(2),
        Case::new(
            "type: 'Deconvolution' convolution_param { num_output: 2 kernel_size: [2, 1, 3] stride: [1, 2, 2] }",
            &[(&[1, 2, 2, 2, 2], Values::Any)],
        ),
    ];

    #[test]
    fn each_input_spreads_its_filter() {
        let text =
            "type: 'Deconvolution' convolution_param { num_output: 2 kernel_size: 3 stride: 2 pad: 1 }";
        let filters: &[f32] = &[1.0, 2.0, 3.0, 0.0, 1.0, 0.0];
        let y = forward_with(text, 1, &[(&[1, 1, 2], &[1.0, 10.0])], &[filters, &[0.0, 0.5]]);
        // The full rows are 1 2 13 20 30 and 0 1 0 10 0; the rim of one value on either side is cut.
        assert_eq!(y[0], [2.0, 13.0, 20.0, 1.5, 0.5, 10.5]);
    }

    #[test]
    fn bad_settings_are_refused() {
        let message = |settings: &str| {
            refusal(&format!("type: 'Deconvolution' convolution_param {{ {settings} }}"), &[&[1, 4, 1, 1]])
        };
        assert_eq!(message("kernel_size: 3"), "num_output is missing");
        assert_eq!(
            message("num_output: 3 kernel_size: 3 group: 2"),
            "num_output 3 cannot be divided into 2 groups"
        );
        assert_eq!(
            message("num_output: 3 kernel_size: 3 pad: 2"),
            "pad 2 leaves nothing of the output of an input of 1"
        );
    }
}
