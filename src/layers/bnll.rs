//! `BNLL`: y = log(1 + e^x).

use super::{
    Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
};
use crate::{
    config::proto::LayerParameter,
    kernels::simd::{Simd, sigmoid, softplus},
};

/// The row of `BNLL`.
pub const KIND: Kind = Kind {
    name: "BNLL",
    summary: "log(1 + e^x)",
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Binomial normal log likelihood, also known as softplus.
///
/// y = log(1 + e^x)       dE/dx = dE/dy / (1 + e^-x)
///
/// Shapes: bottom any, top the same. Params: none. Differs from Caffe: no.
#[derive(Clone, Copy)]
struct Bnll;

fn from_config(_: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(Pointwise(Bnll)))
}

impl Activation for Bnll {
    fn reads(&self) -> Reads {
        Reads::BOTTOMS
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        softplus(simd, x)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, x: S::V, _: S::V) -> S::V {
        sigmoid(simd, x)
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward};

    pub const GRADIENT: &[Case] = &[Case::new("type: 'BNLL'", &[(&[2, 5], Values::Between(-5.0, 5.0))])];

    #[test]
    fn large_values_neither_overflow_nor_vanish() {
        let y = &forward("type: 'BNLL'", &[(&[4], &[0.0, 100.0, -80.0, -20.0])])[0];
        assert!((y[0] - 2f32.ln()).abs() < 1e-7);
        assert_eq!(y[1], 100.0);
        assert!(y[2] > 0.0 && (y[3] / (-20f32).exp() - 1.0).abs() < 1e-6);
    }
}
