//! Axes and shapes that settings name, checked.

use super::LayerError;
use crate::{config::proto::BlobShape, tensor::Shape};

/// The axis that `field` names in a bottom of this shape; negative ones count from the back.
///
/// # Errors
/// When there is no such axis.
pub fn resolve(shape: &Shape, axis: i32, field: &str) -> Result<usize, LayerError> {
    shape.axis(axis).ok_or_else(|| {
        let (name, axes) = (name(field), shape.len());
        LayerError::setting(
            field,
            format!("{name} {axis} is out of range for a bottom of {axes} axes: {shape}"),
        )
    })
}

/// The axis of a layer that names it by `axis` or, in old files, by a second field that cannot be negative.
///
/// # Errors
/// When there is no such axis, or both fields are given.
pub fn resolve_either(
    shape: &Shape,
    (axis, field): (Option<i32>, &str),
    (old, old_field): (Option<u32>, &str),
) -> Result<usize, LayerError> {
    match (axis, old) {
        (Some(_), Some(_)) => {
            let message = format!("both {} and {1} are given: keep {1}", name(old_field), name(field));
            Err(LayerError::setting(field, message))
        }
        (None, Some(old)) => resolve(shape, i32::try_from(old).unwrap_or(i32::MAX), old_field),
        (axis, None) => resolve(shape, axis.unwrap_or(1), field),
    }
}

/// The last part of a field's path.
fn name(field: &str) -> &str {
    field.rsplit('.').next().unwrap_or(field)
}

/// The shape that `field` gives.
///
/// # Errors
/// When a side is negative, or the values are too many to count.
pub fn shape_of(shape: &BlobShape, field: &str) -> Result<Shape, LayerError> {
    let mut sides = Vec::with_capacity(shape.dim.len());
    for &dim in &shape.dim {
        let side = usize::try_from(dim);
        sides.push(side.map_err(|_| LayerError::setting(field, format!("dim {dim} is negative")))?);
    }
    counted(sides)
        .ok_or_else(|| LayerError::setting(field, format!("the sides {:?} are too large", shape.dim)))
}

/// These sides as a shape; `None` when its values are too many to count.
pub fn counted(sides: Vec<usize>) -> Option<Shape> {
    let shape = Shape::from(sides);
    shape.checked_count().map(|_| shape)
}

/// Makes what a layer keeps from one pass to the next `len` long. Zeros that nobody has written take no memory: a net that
/// is only looked at stays small, whatever its shapes.
pub fn make_room<T: Copy + Default>(kept: &mut Vec<T>, len: usize) {
    if kept.capacity() < len {
        *kept = vec![T::default(); len];
    } else {
        kept.resize(len, T::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_count_from_both_ends() {
        let shape = Shape::from([2, 3, 4]);
        assert_eq!(resolve(&shape, -1, "x_param.axis"), Ok(2));
        let e = resolve(&shape, 3, "x_param.axis").unwrap_err().to_string();
        assert_eq!(e, "axis 3 is out of range for a bottom of 3 axes: 2 x 3 x 4");
    }

    #[test]
    fn shapes_are_counted_without_overflow() {
        let of = |dim: &[i64]| shape_of(&BlobShape { dim: dim.to_vec() }, "shape");
        assert_eq!(of(&[2, 0]), Ok(Shape::from([2, 0])));
        assert_eq!(of(&[2, -1]).unwrap_err().to_string(), "dim -1 is negative");
        assert!(of(&[i64::MAX, 2]).unwrap_err().to_string().contains("too large"));
        assert!(of(&[i64::MAX, 0]).is_err());
    }

    #[test]
    fn what_is_kept_is_as_long_as_asked_and_grows_no_capacity_for_less() {
        let mut kept: Vec<u32> = vec![];
        for len in [0, 3, 1, 3] {
            make_room(&mut kept, len);
            assert_eq!(kept, vec![0u32; len]);
        }
        let place = kept.as_ptr();
        make_room(&mut kept, 2);
        assert_eq!((kept.as_ptr(), kept.len()), (place, 2));
    }
}
