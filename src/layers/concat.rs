//! `Concat`: the bottoms one after the other along an axis.

use super::{Arity, Backward, Clearing, Forward, Kind, Layer, LayerError, Outline, Reads, Setup, axes};
use crate::{
    config::proto::{ConcatParameter, LayerParameter},
    kernels::rows::{Band, put_band, take_band, take_band_rectified},
    tensor::Shape,
};

/// The row of `Concat`.
pub const KIND: Kind = Kind {
    name: "Concat",
    summary: "joins the bottoms along an axis",
    settings: &["concat_param"],
    bottoms: Arity::AtLeast(1),
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The bottoms one after the other along `axis`; gradients are cut the same way.
///
/// Shapes: bottoms alike but for `axis`; the top is as long there as they are together. Params: none.
/// Differs from Caffe: no.
struct Concat {
    param: ConcatParameter,
    axis: usize,
    /// Of each bottom, its columns in the top, whose rows begin at the axis.
    bands: Vec<Band>,
    /// The bottoms whose gradient is 0 where they are not above 0.
    cleared: Vec<usize>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(Concat {
        param: config.concat_param.unwrap_or_default(),
        axis: 0,
        bands: Vec::new(),
        cleared: Vec::new(),
    }))
}

impl Layer for Concat {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let first = &bottoms[0];
        let axis = axes::resolve_either(
            first,
            (self.param.axis, "concat_param.axis"),
            (self.param.concat_dim, "concat_param.concat_dim"),
        )?;
        for (i, other) in bottoms.iter().enumerate() {
            let fits =
                other.len() == first.len() && (0..first.len()).all(|a| a == axis || other[a] == first[a]);
            if !fits {
                let message =
                    format!("bottom {i} is {other}, bottom 0 is {first}: only axis {axis} may differ");
                return Err(LayerError::shape(message));
            }
        }
        self.axis = axis;
        let mut sides = first.to_vec();
        sides[axis] = bottoms.iter().map(|b| b[axis]).sum();
        let top = Shape::from(sides);
        let mut start = 0;
        self.bands.clear();
        for bottom in bottoms {
            let len = bottom.count_of(axis..);
            self.bands.push(Band { row: top.count_of(axis..), start, len });
            start += len;
        }
        let reads = if self.cleared.is_empty() { Reads::NOTHING } else { Reads::BOTTOMS };
        let outline = Outline::of([top]).reads(reads);
        Ok(if bottoms.len() == 1 { outline.alias() } else { outline })
    }

    fn clear(&mut self, k: usize) -> Clearing {
        // The one bottom's diff is the top's: nothing is written.
        if self.bands.len() < 2 {
            return Clearing::Nothing;
        }
        self.cleared.push(k);
        Clearing::Written
    }

    fn joins(&self) -> Option<usize> {
        (self.bands.len() > 1).then_some(self.axis)
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        for (bottom, &band) in pass.bottoms.iter().zip(&self.bands) {
            put_band(bottom.data, band, pass.tops[0].data);
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        for (k, (diff, &band)) in pass.bottom_diffs.iter_mut().zip(&self.bands).enumerate() {
            let Some(diff) = diff else { continue };
            if self.cleared.contains(&k) {
                take_band_rectified(pass.tops[0].diff, band, pass.bottoms[k].data, diff);
            } else {
                take_band(pass.tops[0].diff, band, diff);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Concat'", &[(&[2, 1, 3], Values::Any), (&[2, 2, 3], Values::Any)]),
        Case::new(
            "type: 'Concat' concat_param { axis: -1 }",
            &[(&[3, 1], Values::Any), (&[3, 2], Values::Any)],
        ),
        Case::new("type: 'Concat' concat_param { axis: 0 }", &[(&[2], Values::Any), (&[1], Values::Any)]),
        Case::new("type: 'Concat'", &[(&[2, 3], Values::Any)]),
    ];

    const A: (&[usize], &[f32]) = (&[2, 1], &[1.0, 2.0]);
    const B: (&[usize], &[f32]) = (&[2, 2], &[3.0, 4.0, 5.0, 6.0]);

    #[test]
    fn rows_are_joined() {
        assert_eq!(forward("type: 'Concat'", &[A, B])[0], [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
        let along_0 = forward("type: 'Concat' concat_param { concat_dim: 0 }", &[B, B])[0].clone();
        assert_eq!(along_0, [3.0, 4.0, 5.0, 6.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(forward("type: 'Concat'", &[(&[1, 0], &[]), (&[1, 1], &[7.0])])[0], [7.0]);
    }

    #[test]
    fn bad_input_is_refused() {
        let both = refusal("type: 'Concat' concat_param { axis: 1 concat_dim: 1 }", &[&[1, 1]]);
        assert_eq!(both, "both concat_dim and axis are given: keep axis");
        assert!(
            refusal("type: 'Concat' concat_param { axis: 2 }", &[&[1, 1]]).contains("axis 2 is out of range")
        );
        let shapes = refusal("type: 'Concat'", &[&[2, 1, 3], &[2, 1, 4]]);
        assert_eq!(shapes, "bottom 1 is 2 x 1 x 4, bottom 0 is 2 x 1 x 3: only axis 1 may differ");
        assert!(refusal("type: 'Concat'", &[&[2, 1], &[2, 1, 4]]).contains("may differ"));
    }
}
