//! `Reshape`: the same values in another shape.

use super::{Backward, Kind, Layer, LayerError, Outline, Reads, Setup, axes::counted};
use crate::{
    config::proto::{LayerParameter, ReshapeParameter},
    kernels::elementwise::copy,
    tensor::Shape,
};

/// The row of `Reshape`.
pub const KIND: Kind = Kind {
    name: "Reshape",
    summary: "the same values in another shape",
    settings: &["reshape_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The same values, with `num_axes` axes from `axis` on replaced by those of `shape`.
///
/// In `shape`, 0 takes the bottom's side at that place, and one -1 is worked out from the rest. A negative `axis`
/// counts from after the last: -1 appends.
///
/// Shapes: bottom any, top as many values. Params: none. Differs from Caffe: no.
struct Reshape {
    param: ReshapeParameter,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.reshape_param.clone().unwrap_or_default();
    let dims = param.shape.as_ref().map_or(&[][..], |s| &s.dim);
    if let Some(dim) = dims.iter().find(|&&d| d < -1) {
        return Err(LayerError::setting("reshape_param.shape", format!("dim {dim} is less than -1")));
    }
    if dims.iter().filter(|&&d| d == -1).count() > 1 {
        return Err(LayerError::setting("reshape_param.shape", "dim -1 is given more than once"));
    }
    if param.num_axes() < -1 {
        let message = format!("num_axes must be -1 or more, found {}", param.num_axes());
        return Err(LayerError::setting("reshape_param.num_axes", message));
    }
    Ok(Box::new(Reshape { param }))
}

impl Reshape {
    /// The axes of the bottom that are replaced: the first, and the one after the last.
    fn replaced(&self, bottom: &Shape) -> Result<(usize, usize), LayerError> {
        let (axis, axes) = (self.param.axis(), bottom.len());
        let start = if axis < 0 { axes as i64 + 1 + i64::from(axis) } else { i64::from(axis) };
        let start = usize::try_from(start).ok().filter(|&s| s <= axes).ok_or_else(|| {
            let message = format!("axis {axis} is out of range for a bottom of {axes} axes: {bottom}");
            LayerError::setting("reshape_param.axis", message)
        })?;
        let end = usize::try_from(self.param.num_axes()).map_or(axes, |n| start + n);
        if end > axes {
            let message = format!("num_axes {} from axis {start} exceeds the bottom {bottom}", end - start);
            return Err(LayerError::setting("reshape_param.num_axes", message));
        }
        Ok((start, end))
    }

    fn top(&self, bottom: &Shape) -> Result<Shape, LayerError> {
        let refused = |message: String| LayerError::setting("reshape_param.shape", message);
        let (start, end) = self.replaced(bottom)?;
        let mut sides = bottom[..start].to_vec();
        let mut open = None;
        for (i, &dim) in self.param.shape.iter().flat_map(|s| &s.dim).enumerate() {
            let copied = bottom.get(start + i).copied();
            let side = match dim {
                0 => copied
                    .ok_or_else(|| refused(format!("dim {i} is 0, but bottom {bottom} has no axis there")))?,
                -1 => {
                    open = Some(sides.len());
                    1
                }
                dim => usize::try_from(dim).map_err(|_| refused(format!("dim {dim} is too large")))?,
            };
            sides.push(side);
        }
        sides.extend_from_slice(&bottom[end..]);
        let total = bottom.count();
        let Some(count) = counted(sides.clone()).map(|s| s.count()) else {
            let top = Shape::from(sides);
            return Err(refused(format!(
                "bottom {bottom} has {total} values, top {top} would have more than a blob can hold"
            )));
        };
        if let Some(open) = open {
            if count == 0 || !total.is_multiple_of(count) {
                return Err(refused(format!(
                    "dim -1 cannot be found: {total} values of {bottom} over {count}"
                )));
            }
            sides[open] = total / count;
        } else if count != total {
            let top = Shape::from(sides);
            return Err(refused(format!("bottom {bottom} has {total} values, top {top} would have {count}")));
        }
        Ok(sides.into())
    }
}

impl Layer for Reshape {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        Ok(Outline::of([self.top(&bottoms[0])?]).reads(Reads::NOTHING).alias())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        if let Some(diff) = &mut pass.bottom_diffs[0] {
            copy(pass.tops[0].diff, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, refusal, top_shapes};

    pub const GRADIENT: &[Case] = &[Case::new(
        "type: 'Reshape' reshape_param { shape { dim: 3 dim: -1 } }",
        &[(&[2, 3, 2], Values::Any)],
    )];

    fn text(settings: &str) -> String {
        format!("type: 'Reshape' reshape_param {{ {settings} }}")
    }

    #[test]
    fn shapes_follow_the_rules() {
        let shape = |settings: &str| top_shapes(&text(settings), 1, &[&[2, 3, 4]]).remove(0);
        assert_eq!(shape("shape { dim: 0 dim: -1 }")[..], [2, 12]);
        assert_eq!(shape("shape { dim: 24 }")[..], [24]);
        assert_eq!(shape("axis: -2 shape { dim: 2 dim: -1 }")[..], [2, 3, 2, 2]);
        assert_eq!(shape("axis: -1 shape { dim: 1 }")[..], [2, 3, 4, 1]);
        assert_eq!(shape("axis: 1 num_axes: 0 shape { dim: 1 }")[..], [2, 1, 3, 4]);
        assert_eq!(shape("axis: 1 num_axes: 1 shape { dim: 3 dim: -1 }")[..], [2, 3, 1, 4]);
        assert!(top_shapes("type: 'Reshape'", 1, &[&[1, 1]]).remove(0).is_empty());
        assert_eq!(top_shapes(&text("shape { dim: 0 dim: 3 }"), 1, &[&[0, 3]]).remove(0)[..], [0, 3]);
    }

    #[test]
    fn bad_shapes_are_refused() {
        let of = |settings: &str| refusal(&text(settings), &[&[2, 3, 4]]);
        assert_eq!(of("shape { dim: 5 dim: -1 }"), "dim -1 cannot be found: 24 values of 2 x 3 x 4 over 5");
        assert_eq!(of("shape { dim: 5 }"), "bottom 2 x 3 x 4 has 24 values, top 5 would have 5");
        assert_eq!(of("shape { dim: -1 dim: -1 }"), "dim -1 is given more than once");
        assert_eq!(of("shape { dim: -2 }"), "dim -2 is less than -1");
        assert_eq!(of("axis: 4"), "axis 4 is out of range for a bottom of 3 axes: 2 x 3 x 4");
        assert_eq!(of("axis: 2 num_axes: 2"), "num_axes 2 from axis 2 exceeds the bottom 2 x 3 x 4");
        assert!(of("axis: 2 num_axes: 0 shape { dim: 1 dim: 0 }").contains("dim 1 is 0"));
        assert!(
            of("shape { dim: 9223372036854775807 dim: 4 }").contains("would have more than a blob can hold")
        );
    }
}
