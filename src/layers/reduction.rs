//! `Reduction`: one number from all axes behind one.

use super::{Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup, axes};
use crate::{
    config::proto::{LayerParameter, reduction_parameter::ReductionOp},
    kernels::{
        elementwise::{apply, map},
        parallel::{CHUNK, for_chunks_mut},
        sums::sum,
    },
    tensor::Shape,
};

/// The row of `Reduction`.
pub const KIND: Kind = Kind {
    name: "Reduction",
    summary: "sum, mean, or sum of absolute values or squares",
    settings: &["reduction_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Sums over the axes from `axis` on, times `coeff`.
///
/// SUM: y = coeff * sum of x          dE/dx = coeff * dE/dy
/// MEAN: y = coeff * mean of x        dE/dx = coeff / n * dE/dy
/// ASUM: y = coeff * sum of |x|       dE/dx = coeff * dE/dy * sign(x)
/// SUMSQ: y = coeff * sum of x^2      dE/dx = coeff * dE/dy * 2x
///
/// Shapes: bottom any, top its axes before `axis`. Params: none.
/// Differs from Caffe: the mean of nothing is 0, not NaN.
struct Reduction {
    operation: ReductionOp,
    axis: i32,
    coeff: f32,
    /// How many values make one, and the factor of their sum.
    row: usize,
    factor: f32,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.reduction_param.unwrap_or_default();
    let (operation, axis, coeff) = (param.operation(), param.axis(), param.coeff());
    Ok(Box::new(Reduction { operation, axis, coeff, row: 0, factor: coeff }))
}

impl Layer for Reduction {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        // A single number has no axes, but may be summed like one of one axis.
        let axis = match (bottom.len(), self.axis) {
            (0, 0 | -1) => 0,
            _ => axes::resolve(bottom, self.axis, "reduction_param.axis")?,
        };
        self.row = bottom.count_of(axis..);
        let mean = self.operation == ReductionOp::Mean;
        self.factor = if mean { self.coeff / self.row.max(1) as f32 } else { self.coeff };
        let reads = match self.operation {
            ReductionOp::Sum | ReductionOp::Mean => Reads::NOTHING,
            ReductionOp::Asum | ReductionOp::Sumsq => Reads::BOTTOMS,
        };
        Ok(Outline::of([Shape::from(&bottom[..axis])]).reads(reads))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (x, row) = (pass.bottoms[0].data, self.row);
        for_chunks_mut(pass.tops[0].data, (CHUNK / row.max(1)).max(1), |first, tops| {
            for (i, top) in tops.iter_mut().enumerate() {
                let x = &x[(first + i) * row..][..row];
                let sum = match self.operation {
                    ReductionOp::Sum | ReductionOp::Mean => sum(x, |x| x),
                    ReductionOp::Asum => sum(x, f32::abs),
                    ReductionOp::Sumsq => sum(x, |x| x * x),
                };
                *top = (f64::from(self.factor) * sum) as f32;
            }
        });
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        let (x, top_diff, row) = (pass.bottoms[0].data, pass.tops[0].diff, self.row.max(1));
        for_chunks_mut(diff, (CHUNK / row).max(1) * row, |start, diff| {
            for (i, diff) in diff.chunks_exact_mut(row).enumerate() {
                let from = start + i * row;
                let slope = self.factor * top_diff[from / row];
                let sign = |x: f32| if x == 0.0 { 0.0 } else { 1f32.copysign(x) };
                match self.operation {
                    ReductionOp::Sum | ReductionOp::Mean => apply(diff, move |_| slope),
                    ReductionOp::Asum => map(&x[from..][..row], diff, move |x| slope * sign(x)),
                    ReductionOp::Sumsq => map(&x[from..][..row], diff, move |x| 2.0 * slope * x),
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal, top_shapes};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Reduction'", &[(&[2, 3], Values::Any)]),
        Case::new(
            "type: 'Reduction' reduction_param { operation: MEAN axis: 1 coeff: 3 }",
            &[(&[2, 3, 2], Values::Any)],
        ),
        Case::new(
            "type: 'Reduction' reduction_param { operation: ASUM axis: -1 }",
            &[(&[2, 3], Values::AwayFrom(&[0.0]))],
        ),
        Case::new(
            "type: 'Reduction' reduction_param { operation: SUMSQ axis: 1 coeff: 0.5 }",
            &[(&[2, 3], Values::Any)],
        ),
    ];

    #[test]
    fn rows_become_numbers() {
        let of = |settings: &str| {
            let x: (&[usize], &[f32]) = (&[2, 3], &[1.0, -2.0, 4.0, 0.0, 3.0, -3.0]);
            forward(&format!("type: 'Reduction' reduction_param {{ {settings} }}"), &[x]).remove(0)
        };
        assert_eq!(of(""), [3.0]);
        assert_eq!(of("axis: 1 coeff: 2"), [6.0, 0.0]);
        assert_eq!(of("operation: MEAN axis: 1"), [1.0, 0.0]);
        assert_eq!(of("operation: ASUM axis: -1"), [7.0, 6.0]);
        assert_eq!(of("operation: SUMSQ axis: 1 coeff: 0.5"), [10.5, 9.0]);
        assert_eq!(
            forward("type: 'Reduction' reduction_param { operation: MEAN }", &[(&[0], &[])])[0],
            [0.0]
        );
    }

    #[test]
    fn axes_behind_go() {
        let shape = |axis| {
            top_shapes(&format!("type: 'Reduction' reduction_param {{ axis: {axis} }}"), 1, &[&[2, 3, 4]])
        };
        assert_eq!((&shape(0)[0][..], &shape(-1)[0][..]), (&[][..], &[2, 3][..]));
        assert!(
            refusal("type: 'Reduction' reduction_param { axis: 2 }", &[&[2, 3]])
                .contains("axis 2 is out of range")
        );
    }
}
