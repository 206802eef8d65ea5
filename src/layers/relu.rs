//! `ReLU`: y = max(0, x) + slope * min(0, x).

use super::{
    Follow, Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
};
use crate::{config::proto::LayerParameter, kernels::simd::Simd};

/// The row of `ReLU`.
pub const KIND: Kind = Kind {
    name: "ReLU",
    summary: "max(0, x), leaky with `negative_slope`",
    settings: &["relu_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Rectified linear unit, leaky when `negative_slope` is not 0.
///
/// y = x if x > 0, else slope * x       dE/dx = dE/dy * (1 if x > 0, else slope)
///
/// Shapes: bottom `N x ...`, top the same. Params: none.
/// Reference: Maas et al. 2013. Differs from Caffe: no.
#[derive(Clone, Copy)]
struct Relu;

/// With a slope that is not 0.
#[derive(Clone, Copy)]
struct LeakyRelu {
    slope: f32,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let slope = config.relu_param.unwrap_or_default().negative_slope();
    Ok(if slope == 0.0 { Box::new(Pointwise(Relu)) } else { Box::new(Pointwise(LeakyRelu { slope })) })
}

impl Activation for Relu {
    fn reads(&self) -> Reads {
        Reads::TOPS
    }

    fn follows(&self) -> Option<Follow> {
        Some(Follow::Rectify)
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        // What is not a number stays one.
        let zero = simd.splat(0.0);
        simd.where_at_most(x, zero, zero, x)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, _: S::V, y: S::V) -> S::V {
        let zero = simd.splat(0.0);
        simd.where_greater(y, zero, simd.splat(1.0), zero)
    }
}

impl Activation for LeakyRelu {
    fn reads(&self) -> Reads {
        // Unless the slope is negative, y has the sign of x.
        if self.slope >= 0.0 { Reads::TOPS } else { Reads::BOTTOMS }
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd.where_greater(x, simd.splat(0.0), x, simd.mul(simd.splat(self.slope), x))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, x: S::V, _: S::V) -> S::V {
        simd.where_greater(x, simd.splat(0.0), simd.splat(1.0), simd.splat(self.slope))
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'ReLU'", &[(&[2, 3, 4], Values::AwayFrom(&[0.0]))]),
        Case::new("type: 'ReLU' relu_param { negative_slope: 0.1 }", &[(&[5], Values::AwayFrom(&[0.0]))]),
        Case::new("type: 'ReLU' relu_param { negative_slope: -0.5 }", &[(&[5], Values::AwayFrom(&[0.0]))]),
    ];

    #[test]
    fn negative_values_are_cut_or_scaled() {
        let x: (&[usize], &[f32]) = (&[4], &[-2.0, 0.0, 1.0, 3.0]);
        assert_eq!(forward("type: 'ReLU'", &[x])[0], [0.0, 0.0, 1.0, 3.0]);
        assert_eq!(
            forward("type: 'ReLU' relu_param { negative_slope: 0.5 }", &[x])[0],
            [-1.0, 0.0, 1.0, 3.0]
        );
    }
}
