//! `AbsVal`: y = |x|.

use super::{
    Arity, Kind, Layer, LayerError, Reads, Role, Setup,
    activation::{Activation, Pointwise},
};
use crate::config::proto::LayerParameter;

/// The row of `AbsVal`.
pub const KIND: Kind = Kind {
    name: "AbsVal",
    summary: "the absolute value",
    settings: &[],
    bottoms: Arity::Exactly(1),
    tops: Arity::Exactly(1),
    role: Role::Transform,
    no_gradient: &[],
    build: from_config,
    #[cfg(test)]
    gradient: tests::GRADIENT,
};

/// Absolute value.
///
/// y = |x|       dE/dx = dE/dy * sign(x), 0 at 0
///
/// Shapes: bottom any, top the same. Params: none. Differs from Caffe: no.
struct AbsVal;

fn from_config(_: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(Pointwise(AbsVal)))
}

impl Activation for AbsVal {
    fn reads(&self) -> Reads {
        Reads::BOTTOMS
    }

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x.abs()
    }

    #[inline(always)]
    fn derivative(&self, x: f32, _: f32) -> f32 {
        if x == 0.0 { 0.0 } else { 1f32.copysign(x) }
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
        use super::{AbsVal, Activation as _};
        assert_eq!([-3.0, -0.0, 0.0, 2.0].map(|x| AbsVal.derivative(x, 0.0)), [-1.0, 0.0, 0.0, 1.0]);
    }
}
