//! `Swish`: y = x / (1 + e^-(beta x)).

use super::{
    Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
};
use crate::{
    config::proto::LayerParameter,
    kernels::simd::{Simd, sigmoid},
};

/// The row of `Swish`.
pub const KIND: Kind = Kind {
    name: "Swish",
    summary: "x * sigmoid(beta * x)",
    settings: &["swish_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// x times the logistic function of beta x.
///
/// s = 1 / (1 + e^-(beta x))    y = x * s       dE/dx = dE/dy * (s + beta * y * (1 - s))
///
/// Shapes: bottom any, top the same. Params: none. Reference: Ramachandran et al. 2017. Differs from Caffe: no.
#[derive(Clone, Copy)]
struct Swish {
    beta: f32,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let beta = config.swish_param.unwrap_or_default().beta();
    Ok(Box::new(Pointwise(Swish { beta })))
}

impl Activation for Swish {
    fn reads(&self) -> Reads {
        Reads::BOTTOMS
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd.mul(x, sigmoid(simd, simd.mul(simd.splat(self.beta), x)))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, x: S::V, _: S::V) -> S::V {
        let inner = simd.mul(simd.splat(self.beta), x);
        let s = sigmoid(simd, inner);
        let rest = simd.fma(s, simd.splat(-1.0), simd.splat(1.0));
        simd.fma(simd.mul(inner, s), rest, s)
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Swish'", &[(&[2, 5], Values::Between(-3.0, 3.0))]),
        Case::new("type: 'Swish' swish_param { beta: -0.7 }", &[(&[7], Values::Any)]),
    ];

    #[test]
    fn beta_bends() {
        let x: (&[usize], &[f32]) = (&[2], &[1.0, -1.0]);
        let y = &forward("type: 'Swish'", &[x])[0];
        assert!((y[0] - 0.731_058_6).abs() < 1e-6 && (y[1] + 0.268_941_43).abs() < 1e-6);
        assert_eq!(forward("type: 'Swish' swish_param { beta: 0 }", &[x])[0], [0.5, -0.5]);
    }
}
