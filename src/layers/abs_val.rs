//! `AbsVal`: y = |x|.

use super::{
    Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
};
use crate::{config::proto::LayerParameter, kernels::simd::Simd};

/// The row of `AbsVal`.
pub const KIND: Kind = Kind {
    name: "AbsVal",
    summary: "the absolute value",
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Absolute value.
///
/// y = |x|       dE/dx = dE/dy * sign(x), 0 at 0
///
/// Shapes: bottom any, top the same. Params: none. Differs from Caffe: no.
#[derive(Clone, Copy)]
struct AbsVal;

fn from_config(_: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(Pointwise(AbsVal)))
}

impl Activation for AbsVal {
    fn reads(&self) -> Reads {
        Reads::BOTTOMS
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd.with_sign_of(x, simd.splat(0.0))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, x: S::V, _: S::V) -> S::V {
        let zero = simd.splat(0.0);
        simd.where_equal(x, zero, zero, simd.with_sign_of(simd.splat(1.0), x))
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward};

    pub const GRADIENT: &[Case] = &[Case::new("type: 'AbsVal'", &[(&[2, 5], Values::AwayFrom(&[0.0]))])];

    #[test]
    fn signs_go() {
        assert_eq!(forward("type: 'AbsVal'", &[(&[3], &[-2.0, 0.0, 1.5])])[0], [2.0, 0.0, 1.5]);
    }

    #[test]
    fn the_slope_at_0_is_0() {
        use super::{super::activation::derivative_of, AbsVal};
        assert_eq!([-3.0, -0.0, 0.0, 2.0].map(|x| derivative_of(AbsVal, x, 0.0)), [-1.0, 0.0, 0.0, 1.0]);
    }
}
