//! `BlobProto` <-> shape and values.

use std::ops;

use crc32fast::Hasher;

use super::digest;
use crate::{
    config::proto::BlobProto,
    tensor::{Buffer, Shape},
};

/// Values that were read, and the CRC-32 of their bytes, which was taken while they were at hand.
#[derive(Clone, Debug)]
pub struct Values {
    values: Buffer,
    hash: Hasher,
}

impl Values {
    /// Values with what their bytes hash to.
    pub(super) fn hashed(values: Buffer, hash: Hasher) -> Self {
        Self { values, hash }
    }

    /// What their bytes hash to.
    pub(super) fn hash(&self) -> &Hasher {
        &self.hash
    }

    /// The values alone.
    pub fn into_buffer(self) -> Buffer {
        self.values
    }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self { values: Buffer::of(&values), hash: digest::of_values(&values) }
    }
}

impl Default for Values {
    fn default() -> Self {
        Self { values: Buffer::default(), hash: Hasher::new() }
    }
}

impl ops::Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

/// A saved blob.
#[derive(Clone, Debug, PartialEq)]
pub struct BlobValues {
    /// Its shape.
    pub shape: Shape,
    /// Whether the shape was given as Caffe's old four numbers: then leading ones mean nothing.
    pub legacy: bool,
    /// Its values.
    pub values: Values,
}

impl BlobValues {
    /// Whether it fits a parameter of this shape.
    pub fn fits(&self, shape: &Shape) -> bool {
        if self.legacy {
            shape.legacy().is_some_and(|s| s[..] == self.shape[..])
        } else {
            self.shape == *shape
        }
    }
}

/// Reads a saved blob; its values may have been lifted out of it to `arrays`.
///
/// # Errors
/// Says what is wrong when its shape and its number of values do not agree.
pub(super) fn read_blob(blob: BlobProto, arrays: &mut [Values]) -> Result<BlobValues, String> {
    let legacy =
        blob.num.is_some() || blob.channels.is_some() || blob.height.is_some() || blob.width.is_some();
    let axes: Vec<i64> = match &blob.shape {
        _ if legacy => [blob.num(), blob.channels(), blob.height(), blob.width()].map(i64::from).to_vec(),
        Some(shape) => shape.dim.clone(),
        None => Vec::new(),
    };
    let axes: Option<Vec<usize>> = axes.iter().map(|&a| usize::try_from(a).ok()).collect();
    let lifted = blob.cnnctl_array.and_then(|i| arrays.get_mut(i as usize));
    let values = match lifted {
        _ if !blob.double_data.is_empty() => {
            blob.double_data.iter().map(|&v| v as f32).collect::<Vec<_>>().into()
        }
        Some(lifted) => std::mem::take(lifted),
        None => Values::from(blob.data),
    };
    let count = axes.as_ref().and_then(|a| a.iter().try_fold(1usize, |n, &a| n.checked_mul(a)));
    match (axes, count) {
        (Some(axes), Some(count)) if count == values.len() => {
            Ok(BlobValues { shape: axes.into(), legacy, values })
        }
        (Some(axes), Some(_)) => {
            Err(format!("a blob of shape {} has {} values", Shape::from(axes), values.len()))
        }
        _ => Err("a blob has an axis that is negative or too long".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::proto::BlobShape;

    fn blob(dim: Vec<i64>, values: usize) -> BlobProto {
        BlobProto { shape: Some(BlobShape { dim }), data: vec![0.0; values], ..BlobProto::default() }
    }

    #[test]
    fn blobs_have_shapes() {
        let blob = blob(vec![2, 3], 6);
        let back = read_blob(blob, &mut []).unwrap();
        assert!(back.fits(&[2, 3].into()) && !back.fits(&[3, 2].into()));
    }

    #[test]
    fn old_blobs_have_four_numbers_and_maybe_doubles() {
        let blob = BlobProto {
            num: Some(1),
            channels: Some(1),
            height: Some(1),
            width: Some(3),
            double_data: vec![1.0, 2.0, 3.0],
            cnnctl_array: Some(0),
            ..BlobProto::default()
        };
        let back = read_blob(blob, &mut [vec![7.0].into()]).unwrap();
        assert!(back.fits(&[3].into()) && back.fits(&[1, 1, 1, 3].into()) && !back.fits(&[3, 1].into()));
        assert_eq!(back.values[..], [1.0, 2.0, 3.0]);
    }

    #[test]
    fn values_may_stand_apart() {
        let mut arrays = [vec![1.0].into(), vec![2.0, 3.0].into()];
        let mut blob = blob(vec![2], 0);
        blob.cnnctl_array = Some(1);
        assert_eq!(read_blob(blob.clone(), &mut arrays).unwrap().values[..], [2.0, 3.0]);
        blob.cnnctl_array = Some(2);
        assert_eq!(read_blob(blob, &mut arrays).unwrap_err(), "a blob of shape 2 has 0 values");
    }

    #[test]
    fn shapes_that_lie_are_refused() {
        let mut blob = blob(vec![2], 3);
        let read = |blob: &BlobProto| read_blob(blob.clone(), &mut []).unwrap_err();
        assert_eq!(read(&blob), "a blob of shape 2 has 3 values");
        blob.shape = Some(BlobShape { dim: vec![i64::MAX, i64::MAX] });
        assert!(read(&blob).contains("too long"));
        blob.shape = Some(BlobShape { dim: vec![-3] });
        assert!(read(&blob).contains("negative"));
    }
}
