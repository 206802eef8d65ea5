//! `Log`: logarithm of shift + scale * x.

use super::{
    Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
    exp::log_base,
};
use crate::{
    config::proto::LayerParameter,
    kernels::simd::{Simd, ln},
};

/// The row of `Log`.
pub const KIND: Kind = Kind {
    name: "Log",
    summary: "logarithm of (shift + scale * x)",
    settings: &["log_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Logarithm to a base.
///
/// y = ln(shift + scale * x) / ln(base)       dE/dx = dE/dy * scale / (ln(base) * (shift + scale * x))
///
/// A base of -1, the default, stands for e.
///
/// Shapes: bottom any, top the same. Params: none. Differs from Caffe: no.
#[derive(Clone, Copy)]
struct Log {
    scale: f32,
    shift: f32,
    /// 1 / ln(base), and scale / ln(base).
    per_log: f32,
    slope: f32,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.log_param.unwrap_or_default();
    let log_base = log_base(param.base(), "log_param.base")?;
    if log_base == 0.0 {
        return Err(LayerError::setting("log_param.base", "base 1 has no logarithms"));
    }
    let (scale, shift) = (param.scale(), param.shift());
    let (per_log, slope) = ((1.0 / log_base) as f32, (f64::from(scale) / log_base) as f32);
    Ok(Box::new(Pointwise(Log { scale, shift, per_log, slope })))
}

impl Log {
    /// scale * x + shift.
    #[inline(always)]
    fn line<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd.fma(simd.splat(self.scale), x, simd.splat(self.shift))
    }
}

impl Activation for Log {
    fn reads(&self) -> Reads {
        Reads::BOTTOMS
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd.mul(ln(simd, self.line(simd, x)), simd.splat(self.per_log))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, x: S::V, _: S::V) -> S::V {
        simd.div(simd.splat(self.slope), self.line(simd, x))
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Log'", &[(&[2, 5], Values::Between(0.5, 2.0))]),
        Case::new("type: 'Log' log_param { base: 2 scale: -0.5 shift: 3 }", &[(&[7], Values::Any)]),
    ];

    #[test]
    fn bases_scale_and_shift() {
        let close = |text: &str, x: f32, want: f32| {
            let y = forward(text, &[(&[1], &[x])])[0][0];
            assert!((y - want).abs() < 1e-6, "{y}");
        };
        close("type: 'Log'", 20.085_537, 3.0);
        close("type: 'Log' log_param { base: 10 }", 0.01, -2.0);
        close("type: 'Log' log_param { base: 2 scale: 3 shift: 2 }", 2.0, 3.0);
    }

    #[test]
    fn bad_bases_are_refused() {
        assert_eq!(refusal("type: 'Log' log_param { base: 1 }", &[&[1]]), "base 1 has no logarithms");
        assert!(refusal("type: 'Log' log_param { base: 0 }", &[&[1]]).contains("found 0"));
    }
}
