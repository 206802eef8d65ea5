//! `ELU`: x, or alpha * (e^x - 1) below 0.

use super::{
    Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
};
use crate::{
    config::proto::LayerParameter,
    kernels::simd::{Simd, exp_m1_below_0},
};

/// The row of `ELU`.
pub const KIND: Kind = Kind {
    name: "ELU",
    summary: "x, or alpha * (e^x - 1) below 0",
    settings: &["elu_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Exponential linear unit.
///
/// y = x if x > 0, else alpha * (e^x - 1)       dE/dx = dE/dy * (1 if x > 0, else y + alpha)
///
/// Shapes: bottom any, top the same. Params: none. Reference: Clevert et al. 2016. Differs from Caffe: no.
#[derive(Clone, Copy)]
struct Elu {
    alpha: f32,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let alpha = config.elu_param.unwrap_or_default().alpha();
    Ok(Box::new(Pointwise(Elu { alpha })))
}

impl Activation for Elu {
    fn reads(&self) -> Reads {
        // Unless alpha is negative, y has the sign of x.
        if self.alpha >= 0.0 { Reads::TOPS } else { Reads::BOTH }
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        let zero = simd.splat(0.0);
        let below = simd.mul(simd.splat(self.alpha), exp_m1_below_0(simd, simd.min(zero, x)));
        simd.where_greater(x, zero, x, below)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, x: S::V, y: S::V) -> S::V {
        simd.where_greater(x, simd.splat(0.0), simd.splat(1.0), simd.add(y, simd.splat(self.alpha)))
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'ELU'", &[(&[2, 5], Values::AwayFrom(&[0.0]))]),
        Case::new("type: 'ELU' elu_param { alpha: 0.3 }", &[(&[7], Values::AwayFrom(&[0.0]))]),
        Case::new("type: 'ELU' elu_param { alpha: -0.5 }", &[(&[7], Values::AwayFrom(&[0.0]))]),
    ];

    #[test]
    fn negative_values_level_off() {
        let y = &forward("type: 'ELU' elu_param { alpha: 2 }", &[(&[4], &[3.0, 0.0, -1.0, -50.0])])[0];
        assert_eq!((y[0], y[1], y[3]), (3.0, 0.0, -2.0));
        assert!((y[2] - 2.0 * ((-1f32).exp() - 1.0)).abs() < 1e-6);
    }
}
