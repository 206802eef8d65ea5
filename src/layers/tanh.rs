//! `TanH`: the hyperbolic tangent.

use super::{
    Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
};
use crate::{
    config::proto::LayerParameter,
    kernels::simd::{self, Simd},
};

/// The row of `TanH`.
pub const KIND: Kind = Kind {
    name: "TanH",
    summary: "hyperbolic tangent",
    settings: &["tanh_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Hyperbolic tangent.
///
/// y = tanh(x)       dE/dx = dE/dy * (1 - y^2)
///
/// Shapes: bottom any, top the same. Params: none. Differs from Caffe: no.
#[derive(Clone, Copy)]
pub(super) struct TanH;

fn from_config(_: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(Pointwise(TanH)))
}

impl Activation for TanH {
    fn reads(&self) -> Reads {
        Reads::TOPS
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd::tanh(simd, x)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, _: S::V, y: S::V) -> S::V {
        simd.fma(simd.mul(y, simd.splat(-1.0)), y, simd.splat(1.0))
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward};

    pub const GRADIENT: &[Case] = &[Case::new("type: 'TanH'", &[(&[2, 5], Values::Between(-3.0, 3.0))])];

    #[test]
    fn ends_are_minus_1_and_1() {
        let y = &forward("type: 'TanH'", &[(&[4], &[0.0, 50.0, -50.0, 0.5])])[0];
        assert_eq!(y[..3], [0.0, 1.0, -1.0]);
        assert!((y[3] - 0.462_117_16).abs() < 1e-6);
    }
}
