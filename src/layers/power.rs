//! `Power`: y = (shift + scale * x)^power.

use super::{
    Arity, Kind, Layer, LayerError, Reads, Role, Setup,
    activation::{Activation, Pointwise},
};
use crate::{config::proto::LayerParameter, kernels::math};

/// The row of `Power`.
pub const KIND: Kind = Kind {
    name: "Power",
    summary: "(shift + scale * x)^power",
    settings: &["power_param"],
    bottoms: Arity::Exactly(1),
    tops: Arity::Exactly(1),
    role: Role::Transform,
    no_gradient: &[],
    build: from_config,
    #[cfg(test)]
    gradient: tests::GRADIENT,
};

/// A power of a line: t = shift + scale * x.
///
/// y = t^power       dE/dx = dE/dy * power * scale * y / t
///
/// A power or scale of 0 makes y the same everywhere; 0^0 is 1.
///
/// Shapes: bottom any, top the same. Params: none.
/// Differs from Caffe: where t is 0 the derivative is its limit, 0 for powers above 1, where Caffe divides by 0.
struct Power {
    line: Line,
    power: math::Power,
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
struct Constant(f32);

/// The power 2.
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
            Box::new(Pointwise(Power { line, power: math::Power::new(power), slope, slope_at_0 }))
        }
    })
}

impl Activation for Power {
    fn reads(&self) -> Reads {
        Reads::BOTH
    }

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        self.power.of(self.line.value(x))
    }

    #[inline(always)]
    fn derivative(&self, x: f32, y: f32) -> f32 {
        let t = self.line.value(x);
        if t == 0.0 { self.slope_at_0 } else { self.slope * (y / t) }
    }
}

impl Activation for Line {
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        self.scale * x + self.shift
    }

    #[inline(always)]
    fn derivative(&self, _: f32, _: f32) -> f32 {
        self.scale
    }
}

impl Activation for Constant {
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    #[inline(always)]
    fn value(&self, _: f32) -> f32 {
        self.0
    }

    #[inline(always)]
    fn derivative(&self, _: f32, _: f32) -> f32 {
        0.0
    }
}

impl Activation for Square {
    fn reads(&self) -> Reads {
        Reads::BOTTOMS
    }

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        let t = self.0.value(x);
        t * t
    }

    #[inline(always)]
    fn derivative(&self, x: f32, _: f32) -> f32 {
        2.0 * self.0.scale * self.0.value(x)
    }
}

#[cfg(test)]
mod tests {
    use super::{Activation as _, Line, Power, math};
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
        let cube = Power { line, power: math::Power::new(3.0), slope: 6.0, slope_at_0: 0.0 };
        assert_eq!([cube.derivative(0.0, 0.0), cube.derivative(0.5, 1.0)], [0.0, 6.0]);
    }
}
