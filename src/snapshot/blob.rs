//! `BlobProto` <-> shape and values.

use crate::{config::proto::BlobProto, tensor::Shape};

/// The values of a saved blob.
#[derive(Clone, Debug, PartialEq)]
pub struct BlobValues {
    /// Its shape.
    pub shape: Shape,
    /// Whether the shape was given as Caffe's old four numbers: then leading ones mean nothing.
    pub legacy: bool,
    /// Its values.
    pub values: Vec<f32>,
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

/// Reads a saved blob.
///
/// # Errors
/// Says what is wrong when its shape and its number of values do not agree.
pub fn read_blob(blob: BlobProto) -> Result<BlobValues, String> {
    let legacy =
        blob.num.is_some() || blob.channels.is_some() || blob.height.is_some() || blob.width.is_some();
    let axes: Vec<i64> = match &blob.shape {
        _ if legacy => [blob.num(), blob.channels(), blob.height(), blob.width()].map(i64::from).to_vec(),
        Some(shape) => shape.dim.clone(),
        None => Vec::new(),
    };
    let axes: Option<Vec<usize>> = axes.iter().map(|&a| usize::try_from(a).ok()).collect();
    let values = if blob.double_data.is_empty() {
        blob.data
    } else {
        blob.double_data.iter().map(|&v| v as f32).collect()
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
        let back = read_blob(blob).unwrap();
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
            ..BlobProto::default()
        };
        let back = read_blob(blob).unwrap();
        assert!(back.fits(&[3].into()) && back.fits(&[1, 1, 1, 3].into()) && !back.fits(&[3, 1].into()));
        assert_eq!(back.values, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn shapes_that_lie_are_refused() {
        let mut blob = blob(vec![2], 3);
        assert_eq!(read_blob(blob.clone()).unwrap_err(), "a blob of shape 2 has 3 values");
        blob.shape = Some(BlobShape { dim: vec![i64::MAX, i64::MAX] });
        assert!(read_blob(blob.clone()).unwrap_err().contains("too long"));
        blob.shape = Some(BlobShape { dim: vec![-3] });
        assert!(read_blob(blob).unwrap_err().contains("negative"));
    }
}
