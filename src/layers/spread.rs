//! How `Scale` and `Bias` lay an array over some axes of a bottom, and repeat it over the others.

use super::{LayerError, axes};
use crate::{kernels::channels::Channels, tensor::Shape};

/// The array's shape, given by `axis` and `num_axes` or by a second bottom, and how it lies over the first.
pub fn spread(
    bottoms: &[Shape],
    (axis, num_axes): (i32, i32),
    message: &str,
) -> Result<(Shape, Channels), LayerError> {
    let bottom = &bottoms[0];
    let whole = |shape| Ok((shape, Channels { images: 1, channels: 1, inner: bottom.count() }));
    if let Some(array) = bottoms.get(1)
        && array.is_empty()
    {
        return whole(array.clone());
    }
    let from = axes::resolve(bottom, axis, &format!("{message}.axis"))?;
    let len = match (bottoms.get(1), num_axes) {
        (Some(array), _) => array.len(),
        (None, -1) => bottom.len() - from,
        (None, n) => usize::try_from(n).map_err(|_| {
            LayerError::setting(
                format!("{message}.num_axes"),
                format!("num_axes must be -1 or more, found {n}"),
            )
        })?,
    };
    if from + len > bottom.len() {
        return Err(LayerError::shape(format!(
            "an array of {len} axes does not fit the bottom ({bottom}) from axis {from} on"
        )));
    }
    let covered = Shape::from(&bottom[from..from + len]);
    if let Some(array) = bottoms.get(1)
        && *array != covered
    {
        return Err(LayerError::shape(format!(
            "the second bottom ({array}) does not fit the first ({bottom}), which has {covered} from axis {from} on"
        )));
    }
    if len == 0 { whole(covered) } else { Ok((covered, Channels::of(bottom, from, from + len))) }
}
