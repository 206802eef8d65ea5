//! `Softmax`: scores to probabilities along one axis.

use super::{Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup, labels::class_dims};
use crate::{
    config::proto::LayerParameter,
    kernels::softmax::{SoftmaxDims, softmax, softmax_backward},
    tensor::Shape,
};

/// The row of `Softmax`.
pub const KIND: Kind = Kind {
    name: "Softmax",
    summary: "exp(x) over its sum along an axis",
    settings: &["softmax_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Probabilities that grow with the scores and sum to 1 along `axis`.
///
/// y_c = exp(x_c) / sum_k exp(x_k)       dE/dx_c = y_c * (dE/dy_c - sum_k y_k dE/dy_k)
///
/// Shapes: bottom `N x C x ...`, top the same. Params: none.
/// Reference: Bridle 1990. Differs from Caffe: no.
struct Softmax {
    axis: i32,
    dims: SoftmaxDims,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let axis = config.softmax_param.unwrap_or_default().axis();
    Ok(Box::new(Softmax { axis, dims: SoftmaxDims::default() }))
}

impl Layer for Softmax {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        self.dims = class_dims(&bottoms[0], self.axis, "softmax_param.axis")?;
        Ok(Outline::of([bottoms[0].clone()]).reads(Reads::TOPS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        softmax(&self.dims, pass.bottoms[0].data, pass.tops[0].data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        softmax_backward(&self.dims, pass.tops[0].data, pass.tops[0].diff, diff);
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Softmax'", &[(&[3, 5], Values::Any)]),
        Case::new("type: 'Softmax'", &[(&[2, 3, 2, 2], Values::Any)]),
        Case::new("type: 'Softmax' softmax_param { axis: -1 }", &[(&[2, 2, 3], Values::Any)]),
    ];

    #[test]
    fn by_hand_on_any_axis() {
        let third = 3f32.ln();
        let x = [0.0, third, third, 0.0];
        let near = |got: &[f32], want: [f32; 4]| got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6);
        assert!(near(&forward("type: 'Softmax'", &[(&[2, 2], &x)])[0], [0.25, 0.75, 0.75, 0.25]));
        let first = "type: 'Softmax' softmax_param { axis: 0 }";
        assert!(near(&forward(first, &[(&[2, 2], &x)])[0], [0.25, 0.75, 0.75, 0.25]));
        assert!(near(&forward(first, &[(&[1, 4], &x)])[0], [1.0; 4]));
    }

    #[test]
    fn a_missing_axis_is_refused() {
        let text = refusal("type: 'Softmax' softmax_param { axis: 2 }", &[&[2, 3]]);
        assert_eq!(text, "there is no axis 2 in a bottom of 2 x 3");
    }
}
