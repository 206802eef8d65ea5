//! `Exp`: y = base^(shift + scale * x).

use super::{
    Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
};
use crate::{
    config::proto::LayerParameter,
    kernels::simd::{self, Simd},
};

/// The row of `Exp`.
pub const KIND: Kind = Kind {
    name: "Exp",
    summary: "base^(shift + scale * x)",
    settings: &["exp_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Power of a base.
///
/// y = base^(shift + scale * x)       dE/dx = dE/dy * y * ln(base) * scale
///
/// A base of -1, the default, stands for e.
///
/// Shapes: bottom any, top the same. Params: none. Differs from Caffe: no.
#[derive(Clone, Copy)]
struct Exp {
    /// y = `outer` * e^(`inner` * x).
    inner: f32,
    outer: f32,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.exp_param.unwrap_or_default();
    let log_base = log_base(param.base(), "exp_param.base")?;
    let inner = (log_base * f64::from(param.scale())) as f32;
    let outer = (log_base * f64::from(param.shift())).exp() as f32;
    Ok(Box::new(Pointwise(Exp { inner, outer })))
}

/// The natural logarithm of a base, where -1 stands for e.
pub(super) fn log_base(base: f32, field: &str) -> Result<f64, LayerError> {
    if base == -1.0 {
        return Ok(1.0);
    }
    if !(base > 0.0 && base.is_finite()) {
        let message = format!("base must be positive and finite, or -1 for e, found {base}");
        return Err(LayerError::setting(field, message));
    }
    Ok(f64::from(base).ln())
}

impl Activation for Exp {
    fn reads(&self) -> Reads {
        Reads::TOPS
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        let power = simd::exp(simd, simd.mul(simd.splat(self.inner), x));
        simd.mul(power, simd.splat(self.outer))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, _: S::V, y: S::V) -> S::V {
        simd.mul(y, simd.splat(self.inner))
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Exp'", &[(&[2, 5], Values::Any)]),
        Case::new("type: 'Exp' exp_param { base: 2 scale: 0.5 shift: -1 }", &[(&[7], Values::Any)]),
        Case::new("type: 'Exp' exp_param { shift: 0.5 }", &[(&[7], Values::Any)]),
    ];

    #[test]
    fn bases_scale_and_shift() {
        let x: (&[usize], &[f32]) = (&[2], &[0.0, 3.0]);
        let close = |text: &str, want: [f32; 2]| {
            let y = &forward(text, &[x])[0];
            assert!(y.iter().zip(want).all(|(y, want)| (y / want - 1.0).abs() < 1e-6), "{y:?}");
        };
        close("type: 'Exp'", [1.0, 20.085_537]);
        close("type: 'Exp' exp_param { base: 2 shift: 1 }", [2.0, 16.0]);
        close("type: 'Exp' exp_param { base: 10 scale: 2 shift: -1 }", [0.1, 1e5]);
        close("type: 'Exp' exp_param { base: 1 }", [1.0, 1.0]);
    }

    #[test]
    fn bad_bases_are_refused() {
        for base in ["0", "-2", "nan", "inf"] {
            let refused = refusal(&format!("type: 'Exp' exp_param {{ base: {base} }}"), &[&[1]]);
            assert!(refused.starts_with("base must be positive and finite, or -1 for e, found"), "{refused}");
        }
    }
}
