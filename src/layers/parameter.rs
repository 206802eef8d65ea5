//! `Parameter`: a learned blob as a top.

use super::{Arity, Backward, Forward, Kind, Layer, LayerError, Outline, ParamOutline, Reads, Setup, axes};
use crate::{
    config::proto::{FillerParameter, LayerParameter},
    kernels::elementwise::{add_scaled, copy},
    tensor::Shape,
};

/// The row of `Parameter`.
pub const KIND: Kind = Kind {
    name: "Parameter",
    summary: "a learned blob as a top",
    settings: &["parameter_param"],
    bottoms: Arity::Exactly(0),
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// y = w       dE/dw = dE/dy
///
/// Shapes: no bottoms, top as `shape`. Params: w, as `shape`, 0 at first. Differs from Caffe: no.
struct Parameter {
    shape: Shape,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.parameter_param.clone().unwrap_or_default();
    let shape = axes::shape_of(&param.shape.unwrap_or_default(), "parameter_param.shape")?;
    Ok(Box::new(Parameter { shape }))
}

impl Layer for Parameter {
    fn outline(&mut self, _: &[Shape]) -> Result<Outline, LayerError> {
        let params = vec![ParamOutline::learned(self.shape.clone(), FillerParameter::default())];
        Ok(Outline::of([self.shape.clone()]).params(params).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        copy(pass.params[0], pass.tops[0].data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        if let Some(diff) = &mut pass.param_diffs[0] {
            add_scaled(1.0, pass.tops[0].diff, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, forward_with};

    pub const GRADIENT: &[Case] =
        &[Case::new("type: 'Parameter' parameter_param { shape { dim: 2 dim: 3 } }", &[])];

    #[test]
    fn the_top_is_the_parameter() {
        let text = "type: 'Parameter' parameter_param { shape { dim: 2 } }";
        assert_eq!(forward_with(text, 1, &[], &[&[3.0, 4.0]])[0], [3.0, 4.0]);
    }
}
