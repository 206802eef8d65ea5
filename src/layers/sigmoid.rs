//! `Sigmoid`: y = 1 / (1 + e^-x).

use super::{
    Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
};
use crate::{
    config::proto::LayerParameter,
    kernels::simd::{self, Simd},
};

/// The row of `Sigmoid`.
pub const KIND: Kind = Kind {
    name: "Sigmoid",
    summary: "1 / (1 + e^-x)",
    settings: &["sigmoid_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Logistic function.
///
/// y = 1 / (1 + e^-x)       dE/dx = dE/dy * y * (1 - y)
///
/// Shapes: bottom any, top the same. Params: none. Differs from Caffe: no.
#[derive(Clone, Copy)]
struct Sigmoid;

fn from_config(_: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(Pointwise(Sigmoid)))
}

impl Activation for Sigmoid {
    fn reads(&self) -> Reads {
        Reads::TOPS
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd::sigmoid(simd, x)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, _: S::V, y: S::V) -> S::V {
        simd.mul(y, simd.fma(y, simd.splat(-1.0), simd.splat(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward};

    pub const GRADIENT: &[Case] = &[Case::new("type: 'Sigmoid'", &[(&[2, 5], Values::Between(-4.0, 4.0))])];

    #[test]
    fn ends_are_0_and_1() {
        let y = &forward("type: 'Sigmoid'", &[(&[4], &[0.0, 100.0, -100.0, 1.0])])[0];
        assert_eq!((y[0], y[1]), (0.5, 1.0));
        assert!(y[2] >= 0.0 && y[2] < 1e-40 && (y[3] - 0.731_058_6).abs() < 1e-6);
    }
}
