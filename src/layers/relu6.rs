//! `ReLU6`: min(max(0, x) + slope * min(0, x), 6).

use super::{
    Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
};
use crate::{config::proto::LayerParameter, kernels::simd::Simd};

/// The row of `ReLU6`.
pub const KIND: Kind = Kind {
    name: "ReLU6",
    summary: "`ReLU`, cut at 6, as forks for MobileNet have it",
    settings: &["relu6_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Where the top is cut.
pub const CUT: f32 = 6.0;

/// Rectified linear unit that is cut at 6, leaky when `negative_slope` is not 0.
///
/// v = x if x > 0, else slope * x       y = min(v, 6)       dE/dx = dE/dy * (0 if v >= 6, else 1 if x > 0, else slope)
///
/// Shapes: bottom any, top the same. Params: none. Reference: Krizhevsky 2010; Sandler et al. 2018 (MobileNet v2).
/// Differs from MobileNet-YOLO's fork: dE/dx is 0 also where a slope below 0 makes v 6 or more.
#[derive(Clone, Copy)]
struct Relu6 {
    slope: f32,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let slope = config.relu6_param.unwrap_or_default().negative_slope();
    Ok(Box::new(Pointwise(Relu6 { slope })))
}

impl Relu6 {
    /// x, or the slope times x below 0.
    #[inline(always)]
    fn bent<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd.where_greater(x, simd.splat(0.0), x, simd.mul(simd.splat(self.slope), x))
    }
}

impl Activation for Relu6 {
    fn reads(&self) -> Reads {
        // Unless the slope is negative, y has the sign of x, and is cut where v is.
        if self.slope >= 0.0 { Reads::TOPS } else { Reads::BOTTOMS }
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd.min(simd.splat(CUT), self.bent(simd, x))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, x: S::V, _: S::V) -> S::V {
        let zero = simd.splat(0.0);
        let slope = simd.where_greater(x, zero, simd.splat(1.0), simd.splat(self.slope));
        simd.where_greater(simd.splat(CUT), self.bent(simd, x), slope, zero)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::activation::derivative_of, Relu6};
    use crate::layers::gradient_check::{Case, Values, forward};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'ReLU6'", &[(&[2, 3, 4], Values::AwayFrom(&[0.0]))]),
        Case::new("type: 'ReLU6'", &[(&[4], Values::Given(&[5.0, 5.9, 6.1, 9.0]))]),
        Case::new("type: 'ReLU6' relu6_param { negative_slope: 0.1 }", &[(&[5], Values::AwayFrom(&[0.0]))]),
        Case::new(
            "type: 'ReLU6' relu6_param { negative_slope: -2 }",
            &[(&[4], Values::Given(&[-3.5, -2.5, 1.0, 7.0]))],
        ),
    ];

    #[test]
    fn values_are_cut_at_both_ends() {
        let x: (&[usize], &[f32]) = (&[6], &[-2.0, 0.0, 1.5, 6.0, 7.0, f32::NAN]);
        let y = &forward("type: 'ReLU6'", &[x])[0];
        assert_eq!(y[..5], [0.0, 0.0, 1.5, 6.0, 6.0]);
        assert!(y[5].is_nan());
        let y = &forward("type: 'ReLU6' relu6_param { negative_slope: 0.5 }", &[x])[0];
        assert_eq!(y[..5], [-1.0, 0.0, 1.5, 6.0, 6.0]);
    }

    #[test]
    fn ends_pass_no_gradients() {
        let relu6 = Relu6 { slope: 0.0 };
        assert_eq!([0.0, 0.5, 6.0].map(|y| derivative_of(relu6, y, y)), [0.0, 1.0, 0.0]);
    }
}
