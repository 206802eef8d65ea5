//! `Clip`: x, cut at `min` and `max`.

use super::{
    Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
};
use crate::{config::proto::LayerParameter, kernels::simd::Simd};

/// The row of `Clip`.
pub const KIND: Kind = Kind {
    name: "Clip",
    summary: "x cut at `min` and `max`",
    settings: &["clip_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Cuts values at both ends.
///
/// y = max(min(x, `max`), `min`)       dE/dx = dE/dy where `min` <= x <= `max`, else 0
///
/// So all is `min` where that is above `max`.
///
/// Shapes: bottom any, top the same. Params: none.
/// Differs from Caffe: without `clip_param`, or with an end that is NaN, it is refused.
#[derive(Clone, Copy)]
struct Clip {
    min: f32,
    max: f32,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param =
        config.clip_param.ok_or_else(|| LayerError::setting("clip_param", "min and max must be given"))?;
    let (min, max) = (param.min, param.max);
    for (name, end) in [("min", min), ("max", max)] {
        if end.is_nan() {
            return Err(LayerError::setting(format!("clip_param.{name}"), format!("{name} is NaN")));
        }
    }
    Ok(Box::new(Pointwise(Clip { min, max })))
}

impl Activation for Clip {
    fn reads(&self) -> Reads {
        Reads::BOTTOMS
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd.max(simd.splat(self.min), simd.min(simd.splat(self.max), x))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, x: S::V, _: S::V) -> S::V {
        let (one, zero) = (simd.splat(1.0), simd.splat(0.0));
        let up_to_max = simd.where_at_most(x, simd.splat(self.max), one, zero);
        simd.where_at_most(simd.splat(self.min), x, up_to_max, zero)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::activation::derivative_of, Clip};
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[Case::new(
        "type: 'Clip' clip_param { min: -0.5 max: 0.25 }",
        &[(&[2, 5], Values::AwayFrom(&[-0.5, 0.25]))],
    )];

    #[test]
    fn ends_are_cut_and_pass_gradients() {
        let text = "type: 'Clip' clip_param { min: -1 max: 2 }";
        assert_eq!(forward(text, &[(&[4], &[-3.0, -1.0, 0.5, 3.0])])[0], [-1.0, -1.0, 0.5, 2.0]);
        let clip = Clip { min: -1.0, max: 2.0 };
        assert_eq!([-1.1, -1.0, 2.0, 2.1].map(|x| derivative_of(clip, x, 0.0)), [0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn all_is_min_where_that_is_above_max() {
        let text = "type: 'Clip' clip_param { min: 1 max: -1 }";
        assert_eq!(forward(text, &[(&[4], &[-3.0, -1.0, 0.5, 3.0])])[0], [1.0; 4]);
        let clip = Clip { min: 1.0, max: -1.0 };
        assert_eq!([-1.0, 0.0, 1.0].map(|x| derivative_of(clip, x, 0.0)), [0.0; 3]);
        assert!(forward(text, &[(&[1], &[f32::NAN])])[0][0].is_nan());
    }

    #[test]
    fn bad_ends_are_refused() {
        assert_eq!(refusal("type: 'Clip'", &[&[1]]), "min and max must be given");
        let refused = refusal("type: 'Clip' clip_param { min: 2 max: nan }", &[&[1]]);
        assert_eq!(refused, "max is NaN");
    }
}
