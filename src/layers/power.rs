//! `Power`: y = (shift + scale * x)^power.

use super::{
    Kind, Layer, LayerError, Reads, Setup,
    activation::{Activation, Pointwise},
};
use crate::{
    config::proto::LayerParameter,
    kernels::{power, simd::Simd},
};

/// The row of `Power`.
pub const KIND: Kind = Kind {
    name: "Power",
    summary: "(shift + scale * x)^power",
    settings: &["power_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// A power of a line: t = shift + scale * x.
///
/// y = t^power       dE/dx = dE/dy * power * scale * y / t
///
/// A power or scale of 0 makes y the same everywhere; 0^0 is 1.
///
/// Shapes: bottom any, top the same. Params: none.
/// Differs from Caffe: where t is 0 the derivative is its limit, 0 for powers above 1, where Caffe divides by 0.
#[derive(Clone, Copy)]
struct Power {
    line: Line,
    power: power::Power,
    /// power * scale.
    slope: f32,
    /// The derivative where the line is 0.
    slope_at_0: f32,
}

#[derive(Clone, Copy)]
struct Line {
    scale: f32,
    shift: f32,
}

/// The power 0, or the scale 0.
#[derive(Clone, Copy)]
struct Constant(f32);

/// The power 2.
#[derive(Clone, Copy)]
struct Square(Line);

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.power_param.unwrap_or_default();
    let power = param.power();
    let line = Line { scale: param.scale(), shift: param.shift() };
    let slope = power * line.scale;
    Ok(match power {
        0.0 => Box::new(Pointwise(Constant(1.0))),
        _ if slope == 0.0 => Box::new(Pointwise(Constant(line.shift.powf(power)))),
        1.0 => Box::new(Pointwise(line)),
        2.0 => Box::new(Pointwise(Square(line))),
        _ => {
            let slope_at_0 = slope * 0f32.powf(power - 1.0);
            Box::new(Pointwise(Power { line, power: power::Power::new(power), slope, slope_at_0 }))
        }
    })
}

impl Activation for Power {
    fn reads(&self) -> Reads {
        Reads::BOTH
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        self.power.of_lanes(simd, self.line.value(simd, x))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, x: S::V, y: S::V) -> S::V {
        let t = self.line.value(simd, x);
        let slope = simd.mul(simd.splat(self.slope), simd.div(y, t));
        simd.where_equal(t, simd.splat(0.0), simd.splat(self.slope_at_0), slope)
    }
}

impl Activation for Line {
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        simd.fma(simd.splat(self.scale), x, simd.splat(self.shift))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, _: S::V, _: S::V) -> S::V {
        simd.splat(self.scale)
    }
}

impl Activation for Constant {
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, _: S::V) -> S::V {
        simd.splat(self.0)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, _: S::V, _: S::V) -> S::V {
        simd.splat(0.0)
    }
}

impl Activation for Square {
    fn reads(&self) -> Reads {
        Reads::BOTTOMS
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::V) -> S::V {
        let t = self.0.value(simd, x);
        simd.mul(t, t)
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, simd: S, x: S::V, _: S::V) -> S::V {
        simd.mul(simd.splat(2.0 * self.0.scale), self.0.value(simd, x))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::activation::derivative_of, Line, Power, power};
    use crate::layers::gradient_check::{Case, Values, forward};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Power'", &[(&[2, 3], Values::Any)]),
        Case::new("type: 'Power' power_param { power: 0 scale: 3 }", &[(&[3], Values::Any)]),
        Case::new("type: 'Power' power_param { power: 3 scale: 0 shift: 2 }", &[(&[3], Values::Any)]),
        Case::new("type: 'Power' power_param { power: 2 scale: 3 shift: -1 }", &[(&[7], Values::Any)]),
        Case::new("type: 'Power' power_param { power: 3 scale: 0.5 }", &[(&[7], Values::AwayFrom(&[0.0]))]),
        Case::new("type: 'Power' power_param { power: 0.5 scale: 0.3 shift: 1 }", &[(&[7], Values::Any)]),
        Case::new("type: 'Power' power_param { power: -0.75 scale: -0.3 shift: 1 }", &[(&[7], Values::Any)]),
    ];

    #[test]
    fn powers_of_lines() {
        let of = |settings: &str| {
            let x: (&[usize], &[f32]) = (&[3], &[0.0, 1.0, -2.0]);
            forward(&format!("type: 'Power' power_param {{ {settings} }}"), &[x]).remove(0)
        };
        assert_eq!(of(""), [0.0, 1.0, -2.0]);
        assert_eq!(of("power: 2 scale: 2 shift: 1"), [1.0, 9.0, 9.0]);
        assert_eq!(of("power: 3"), [0.0, 1.0, -8.0]);
        assert_eq!(of("power: 0 scale: 5"), [1.0, 1.0, 1.0]);
        assert_eq!(of("power: 0 scale: 0"), [1.0, 1.0, 1.0]);
        assert_eq!(of("power: 2 scale: 0 shift: 3"), [9.0, 9.0, 9.0]);
        assert_eq!(of("power: -1"), [f32::INFINITY, 1.0, -0.5]);
        let roots = of("power: 0.5 shift: 1");
        assert!(roots[..2] == [1.0, 2f32.sqrt()] && roots[2].is_nan());
    }

    #[test]
    fn the_cube_is_flat_at_0() {
        let line = Line { scale: 2.0, shift: 0.0 };
        let cube = Power { line, power: power::Power::new(3.0), slope: 6.0, slope_at_0: 0.0 };
        assert_eq!([derivative_of(cube, 0.0, 0.0), derivative_of(cube, 0.5, 1.0)], [0.0, 6.0]);
    }
}
