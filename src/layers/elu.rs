//! `ELU`: x, or alpha * (e^x - 1) below 0.

use super::{
    Arity, Kind, Layer, LayerError, Reads, Role, Setup,
    activation::{Activation, Pointwise},
};
use crate::{config::proto::LayerParameter, kernels::math};

/// The row of `ELU`.
pub const KIND: Kind = Kind {
    name: "ELU",
    summary: "x, or alpha * (e^x - 1) below 0",
    settings: &["elu_param"],
    bottoms: Arity::Exactly(1),
    tops: Arity::Exactly(1),
    role: Role::Transform,
    no_gradient: &[],
    build: from_config,
    #[cfg(test)]
    gradient: tests::GRADIENT,
};

/// Exponential linear unit.
///
/// y = x if x > 0, else alpha * (e^x - 1)       dE/dx = dE/dy * (1 if x > 0, else y + alpha)
///
/// Shapes: bottom any, top the same. Params: none. Reference: Clevert et al. 2016. Differs from Caffe: no.
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
    fn value(&self, x: f32) -> f32 {
        let below = self.alpha * math::exp_m1_below_0(if x > 0.0 { 0.0 } else { x });
        if x > 0.0 { x } else { below }
    }

    #[inline(always)]
    fn derivative(&self, x: f32, y: f32) -> f32 {
        if x > 0.0 { 1.0 } else { y + self.alpha }
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
