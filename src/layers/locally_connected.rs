//! `LocallyConnected`: a convolution without shared weights.

use super::{
    Arity, Kind, Layer, LayerError, Setup,
    convolution_settings::ConvolutionSettings,
    filter_window::Window,
    filters::{FilterLayer, Filters, Fitted, ParamDiffs},
};
use crate::{
    config::proto::LayerParameter,
    kernels::{
        conv::{ConvDims, Epilogue},
        local,
    },
    tensor::Shape,
};

/// The row of `LocallyConnected`.
pub const KIND: Kind = Kind {
    name: "LocallyConnected",
    summary: "a convolution whose filters differ from position to position",
    settings: &["convolution_param"],
    bottoms: Arity::AtLeast(1),
    tops: Arity::LikeBottoms,
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Sees the windows that a convolution sees, but each output has weights and a bias of its own.
///
/// y[o, p] = b[p, o] + sum over c, k of w[p, o, c, k] * x[c, stride p + dilation k - pad]
/// dE/dx is the transposed sum, dE/dw[p, o, c, k] += dE/dy[o, p] * x[c, ...], dE/db[p, o] += dE/dy[o, p]
///
/// For 200 x 200 pixels, fields of 10 x 10 and 400,000 hidden units (`num_output: 1000 kernel_size: 10 stride: 10`)
/// it has 40e6 weights, where a fully connected layer would have 16e9.
///
/// Shapes: bottoms and tops as of `Convolution`, with its settings.
/// Params: weights `units x C / group x kernel...`, where the units are the output positions times `num_output`, the
/// channel varying fastest; bias `units`. A row belongs to one unit, so fillers see the right fan-in.
/// Reference: LeCun 1989 (local connections); Taigman et al. 2014. Caffe has no such layer.
#[derive(Default)]
struct LocallyConnected {
    dims: ConvDims,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let settings = ConvolutionSettings::new(config.convolution_param.as_ref())?;
    settings.num_output()?;
    Ok(Box::new(FilterLayer::new(settings, LocallyConnected::default())))
}

impl Filters for LocallyConnected {
    fn fit(
        &mut self,
        settings: &ConvolutionSettings,
        window: &Window,
        bottom: &Shape,
    ) -> Result<Fitted, LayerError> {
        let (group, outputs) = (settings.group(), settings.num_output()?);
        self.dims = window.convolution(group, outputs)?;
        let units = local::units(&self.dims);
        Ok(Fitted {
            top: window.top(bottom, outputs, self.dims.axes.iter().map(|a| a.output))?,
            weights: window.filters(units, window.channels / group)?,
            biases: units,
            scratch: local::scratch_len(&self.dims),
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
        local::forward(&self.dims, x, weights, epilogue.bias, y, scratch);
    }

    fn backward_params(&self, x: &[f32], dy: &[f32], [dw, db]: ParamDiffs<'_>, scratch: &mut [f32]) {
        if let Some(dw) = dw {
            local::backward_weights(&self.dims, x, dy, dw, scratch);
        }
        if let Some(db) = db {
            local::backward_bias(&self.dims, dy, db);
        }
    }

    fn backward_input(&self, dy: &[f32], weights: &[f32], dx: &mut [f32], scratch: &mut [f32]) {
        local::backward_input(&self.dims, dy, weights, dx, scratch);
    }

    fn multiply_adds(&self) -> usize {
        self.dims.multiply_adds()
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        config::proto::Phase,
        layers::{
            Setup,
            gradient_check::{Case, Values, config, forward_with, refusal},
            kind,
        },
    };

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'LocallyConnected' convolution_param { num_output: 3 kernel_size: 3 stride: 2 pad: 1 }",
            &[(&[2, 2, 4, 5], Values::Any)],
        ),
        Case::new(
            "type: 'LocallyConnected' convolution_param { num_output: 4 group: 2 kernel_size: 2 bias_term: false }",
            &[(&[1, 2, 2, 3, 2], Values::Any), (&[1, 2, 2, 3, 2], Values::Any)],
        )
        .tops(2),
    ];

    #[test]
    fn each_position_has_its_own_filter() {
        let text = "type: 'LocallyConnected' convolution_param { num_output: 2 kernel_size: 2 }";
        let x: (&[usize], &[f32]) = (&[2, 1, 3], &[1.0, 2.0, 3.0, -1.0, 0.0, 1.0]);
        // Position 0: filters (1, 0) and (0, 1); position 1: (1, 1) and (2, -1).
        let w: &[f32] = &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, -1.0];
        let y = forward_with(text, 1, &[x], &[w, &[0.0, 10.0, 20.0, 30.0]]);
        assert_eq!(y[0], [1.0, 25.0, 12.0, 31.0, -1.0, 21.0, 10.0, 29.0]);
    }

    /// 200 x 200 pixels to 400,000 hidden units over fields of 10 x 10.
    #[test]
    fn forty_million_weights_of_local_fields() {
        let config = config(
            "type: 'LocallyConnected' convolution_param { num_output: 1000 kernel_size: 10 stride: 10 }",
        );
        let setup = Setup { phase: Phase::Train, seed: 1, backward: true };
        let mut layer = (kind("LocallyConnected").unwrap().build)(&config, &setup).unwrap();
        let outline = layer.outline(&[[1, 1, 200, 200].into()]).unwrap();
        assert_eq!(outline.tops[0].count(), 400_000);
        assert_eq!(outline.params[0].shape.count(), 40_000_000);
        assert_eq!(layer.multiply_adds(), 40_000_000);
    }

    #[test]
    fn bad_settings_are_refused() {
        let message = |settings: &str| {
            refusal(&format!("type: 'LocallyConnected' convolution_param {{ {settings} }}"), &[&[1, 4, 5, 5]])
        };
        assert_eq!(message("kernel_size: 3"), "num_output is missing");
        assert_eq!(message("num_output: 3 kernel_size: 6"), "kernel_size 6 exceeds the padded input 5");
        assert_eq!(
            message("num_output: 2 kernel_size: 3 group: 3"),
            "4 channels cannot be divided into 3 groups"
        );
    }
}
