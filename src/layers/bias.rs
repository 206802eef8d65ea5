//! `Bias`: y = x + bias, with an array laid over some axes.

use super::{
    Arity, Backward, Forward, Kind, Layer, LayerError, Outline, ParamOutline, Reads, Setup, spread::spread,
};
use crate::{
    config::proto::{BiasParameter, LayerParameter},
    kernels::{affine, channels::Channels, elementwise::copy},
    tensor::Shape,
};

/// The row of `Bias`.
pub const KIND: Kind = Kind {
    name: "Bias",
    summary: "adds a learned array or a second bottom, laid over some axes",
    settings: &["bias_param"],
    bottoms: Arity::Between(1, 2),
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Addition of an array that covers some axes and is repeated over the others.
///
/// y = x + b       dx = dy       db = sum dy
///
/// Shapes: bottom `a x b x c`, array of shape `b`, top as the bottom. Params: the array, unless it is the second bottom.
/// Reference: none. Differs from Caffe: no.
struct Bias {
    param: BiasParameter,
    dims: Channels,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.bias_param.clone().unwrap_or_default();
    Ok(Box::new(Bias { param, dims: Channels::default() }))
}

impl Layer for Bias {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let p = &self.param;
        let (shape, dims) = spread(bottoms, (p.axis(), p.num_axes()), "bias_param")?;
        self.dims = dims;
        let filler = p.filler.clone().unwrap_or_default();
        let params = if bottoms.len() == 1 { vec![ParamOutline::learned(shape, filler)] } else { vec![] };
        Ok(Outline::of([bottoms[0].clone()]).params(params).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let bias = pass.bottoms.get(1).map_or_else(|| pass.params[0], |bias| bias.data);
        affine::add(self.dims, bias, pass.bottoms[0].data, pass.tops[0].data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let dy = pass.tops[0].diff;
        let (first, second) = pass.bottom_diffs.split_at_mut(1);
        if let Some(dx) = &mut first[0] {
            copy(dy, dx);
        }
        if let Some(diff) = pass.param_diffs.first_mut().and_then(|diff| diff.as_deref_mut()) {
            affine::add_sums(self.dims, dy, diff);
        }
        if let Some(diff) = second.first_mut().and_then(|diff| diff.as_deref_mut()) {
            diff.fill(0.0);
            affine::add_sums(self.dims, dy, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, forward_with, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Bias'", &[(&[2, 3, 2], Values::Any)]),
        Case::new("type: 'Bias' bias_param { num_axes: 0 }", &[(&[2, 3], Values::Any)]),
        Case::new("type: 'Bias'", &[(&[2, 3, 2], Values::Any), (&[3, 2], Values::Any)]),
    ];

    const X: (&[usize], &[f32]) = (&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);

    #[test]
    fn arrays_by_hand() {
        assert_eq!(forward_with("type: 'Bias'", 1, &[X], &[&[10.0, 20.0]])[0], [11.0, 12.0, 23.0, 24.0]);
        assert_eq!(
            forward("type: 'Bias' bias_param { axis: -1 }", &[X, (&[2], &[0.0, 1.0])])[0],
            [1.0, 3.0, 3.0, 5.0]
        );
    }

    #[test]
    fn bad_shapes_are_refused() {
        assert!(refusal("type: 'Bias'", &[&[2, 3], &[2]]).contains("does not fit the first"));
    }
}
