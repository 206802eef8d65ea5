//! `Threshold`: 1 above the threshold, else 0.

use super::{
    Kind, Layer, LayerError, Reads, Role, Setup,
    activation::{Activation, Pointwise},
};
use crate::{config::proto::LayerParameter, kernels::simd::Simd};

/// The row of `Threshold`.
pub const KIND: Kind = Kind {
    name: "Threshold",
    summary: "1 above a threshold, else 0",
    settings: &["threshold_param"],
    role: Role::Measure,
    ..Kind::usual(from_config)
};

/// y = 1 if x > threshold, else 0; no gradient.
///
/// Shapes: bottom any, top the same. Params: none. Differs from Caffe: no.
#[derive(Clone, Copy)]
struct Threshold {
    threshold: f32,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let threshold = config.threshold_param.unwrap_or_default().threshold();
    Ok(Box::new(Pointwise(Threshold { threshold })))
}

impl Activation for Threshold {
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd.where_greater(x, simd.splat(self.threshold), simd.splat(1.0), simd.splat(0.0))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, _: S::V, _: S::V) -> S::V {
        simd.splat(0.0)
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::forward;

    #[test]
    fn only_values_above_are_1() {
        let x: (&[usize], &[f32]) = (&[3], &[-1.0, 0.5, 0.6]);
        assert_eq!(forward("type: 'Threshold'", &[x])[0], [0.0, 1.0, 1.0]);
        assert_eq!(forward("type: 'Threshold' threshold_param { threshold: 0.5 }", &[x])[0], [0.0, 0.0, 1.0]);
    }
}
