//! `Slice`: cuts the bottom along an axis.

use super::{Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup, axes};
use crate::{
    config::proto::{LayerParameter, SliceParameter},
    kernels::rows::{Band, put_band, take_band},
    tensor::Shape,
};

/// The row of `Slice`.
pub const KIND: Kind = Kind {
    name: "Slice",
    summary: "cuts the bottom along an axis",
    settings: &["slice_param"],
    tops: Arity::AtLeast(1),
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Pieces of the bottom along `axis`, cut at each `slice_point`, or evenly; gradients are joined the same way.
///
/// Shapes: tops as the bottom, but shorter along `axis`. Params: none. Differs from Caffe: no.
struct Slice {
    param: SliceParameter,
    tops: usize,
    /// Of each top, its columns in the bottom, whose rows begin at the axis.
    bands: Vec<Band>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.slice_param.clone().unwrap_or_default();
    let (points, tops) = (&param.slice_point, config.top.len());
    let refused = |message| Err(LayerError::setting("slice_param.slice_point", message));
    if !points.is_empty() && points.len() + 1 != tops {
        return refused(format!(
            "{tops} tops need {} of slice_point or none, found {}",
            tops - 1,
            points.len()
        ));
    }
    if points.first() == Some(&0) || !points.is_sorted_by(|a, b| a < b) {
        return refused(format!("slice_point must grow from above 0, found {points:?}"));
    }
    Ok(Box::new(Slice { param, tops, bands: Vec::new() }))
}

impl Slice {
    /// How long each top is along an axis of `side`.
    fn sides(&self, side: usize) -> Result<Vec<usize>, LayerError> {
        let refused = |message| Err(LayerError::setting("slice_param.slice_point", message));
        let points: Vec<usize> = self.param.slice_point.iter().map(|&p| p as usize).collect();
        match points.last() {
            None if !side.is_multiple_of(self.tops) => {
                refused(format!("an axis of {side} cannot be cut evenly into {} tops", self.tops))
            }
            None => Ok(vec![side / self.tops; self.tops]),
            Some(&last) if last > side => refused(format!("slice_point {last} exceeds the axis of {side}")),
            Some(_) => {
                let (from, to) = ([0].iter().chain(&points), points.iter().chain([&side]));
                Ok(from.zip(to).map(|(from, to)| to - from).collect())
            }
        }
    }
}

impl Layer for Slice {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        let axis = axes::resolve_either(
            bottom,
            (self.param.axis, "slice_param.axis"),
            (self.param.slice_dim, "slice_param.slice_dim"),
        )?;
        let (row, inner) = (bottom.count_of(axis..), bottom.count_of(axis + 1..));
        let mut start = 0;
        let mut tops = Vec::with_capacity(self.tops);
        self.bands.clear();
        for side in self.sides(bottom[axis])? {
            let mut top = bottom.to_vec();
            top[axis] = side;
            tops.push(Shape::from(top));
            self.bands.push(Band { row, start, len: side * inner });
            start += side * inner;
        }
        let outline = Outline::of(tops).reads(Reads::NOTHING);
        Ok(if self.tops == 1 { outline.alias() } else { outline })
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        for (top, &band) in pass.tops.iter_mut().zip(&self.bands) {
            take_band(pass.bottoms[0].data, band, top.data);
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        for (top, &band) in pass.tops.iter().zip(&self.bands) {
            put_band(top.diff, band, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward_with, refusal, refusal_of};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Slice'", &[(&[2, 4, 3], Values::Any)]).tops(2),
        Case::new("type: 'Slice' slice_param { slice_point: 1 slice_point: 3 }", &[(&[2, 4], Values::Any)])
            .tops(3),
        Case::new("type: 'Slice'", &[(&[2, 3], Values::Any)]),
    ];

    const X: (&[usize], &[f32]) = (&[2, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);

    #[test]
    fn rows_are_cut() {
        let of = |settings: &str, tops| {
            forward_with(&format!("type: 'Slice' slice_param {{ {settings} }}"), tops, &[X], &[])
        };
        assert_eq!(of("", 2), [[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]);
        assert_eq!(of("slice_dim: 0", 2), [X.1[..4].to_vec(), X.1[4..].to_vec()]);
        assert_eq!(of("slice_point: 3", 2), [vec![1.0, 2.0, 3.0, 5.0, 6.0, 7.0], vec![4.0, 8.0]]);
        assert_eq!(of("slice_point: 4", 2), [X.1.to_vec(), vec![]]);
    }

    #[test]
    fn bad_points_are_refused() {
        let of = |settings: &str| {
            refusal_of(&format!("type: 'Slice' slice_param {{ {settings} }}"), 3, &[&[2, 4]])
        };
        assert_eq!(of(""), "an axis of 4 cannot be cut evenly into 3 tops");
        assert_eq!(of("slice_point: 1"), "3 tops need 2 of slice_point or none, found 1");
        assert_eq!(of("slice_point: 2 slice_point: 2"), "slice_point must grow from above 0, found [2, 2]");
        assert_eq!(of("slice_point: 0 slice_point: 2"), "slice_point must grow from above 0, found [0, 2]");
        assert_eq!(of("slice_point: 1 slice_point: 5"), "slice_point 5 exceeds the axis of 4");
        assert!(
            refusal("type: 'Slice' slice_param { axis: 0 slice_dim: 1 }", &[&[2, 4]]).contains("keep axis")
        );
    }
}
