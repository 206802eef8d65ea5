//! The mean of a set's images: made of them, read from a file, fitted to what it is subtracted from.

use std::{fs, path::Path};

use prost::Message as _;

use super::{Access, DataError, Pixels, Sample, npy, source::times};
use crate::config::proto::{BlobProto, TransformationParameter};

/// A mean in the making. Sums have 53 bits, so that a large set loses nothing; Caffe's have 24.
#[derive(Debug, Default)]
pub struct MeanImage {
    shape: Option<[usize; 3]>,
    sums: Vec<f64>,
    count: u64,
}

impl MeanImage {
    /// Adds an image of the set `name`.
    ///
    /// # Errors
    /// When its shape is not the first one's.
    pub fn add(&mut self, sample: &Sample, name: &str) -> Result<(), DataError> {
        let first = *self.shape.get_or_insert(sample.shape);
        if sample.shape != first {
            let problem =
                format!("its shape is {}, but the first sample's is {}", times(sample.shape), times(first));
            return Err(DataError::sample(Path::new(name), &sample.key, problem));
        }
        self.sums.resize(sample.pixels.len(), 0.0);
        match &sample.pixels {
            Pixels::U8(values) => self.sums.iter_mut().zip(values).for_each(|(sum, &v)| *sum += f64::from(v)),
            Pixels::F32(values) => {
                self.sums.iter_mut().zip(values).for_each(|(sum, &v)| *sum += f64::from(v))
            }
        }
        self.count += 1;
        Ok(())
    }

    /// How many images were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean image, in the form that Caffe's tool writes.
    pub fn blob(&self) -> BlobProto {
        let [channels, height, width] = self.shape.unwrap_or_default().map(|side| Some(side as i32));
        let data = self.sums.iter().map(|sum| (sum / self.count as f64) as f32).collect();
        BlobProto { num: Some(1), channels, height, width, data, ..BlobProto::default() }
    }

    /// The mean value of each channel.
    pub fn channels(&self) -> Vec<f64> {
        let [channels, h, w] = self.shape.unwrap_or_default();
        let pixels = (h * w).max(1);
        let mean = |plane: &[f64]| plane.iter().sum::<f64>() / (pixels as f64 * self.count as f64);
        self.sums.chunks_exact(pixels).take(channels).map(mean).collect()
    }
}

/// What a transform subtracts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mean {
    /// Nothing.
    Zero,
    /// A value for all channels, or one for each.
    Channels(Vec<f32>),
    /// A value for each place of an image.
    Image {
        /// Channels, height, width.
        shape: [usize; 3],
        /// Planes one after another.
        values: Vec<f32>,
    },
}

impl Mean {
    /// What `mean_file` or `mean_value` says.
    pub fn from_config(param: &TransformationParameter) -> Result<Self, DataError> {
        match (&param.mean_file, &param.mean_value[..]) {
            (Some(_), [_, ..]) => {
                let problem = "transform_param: mean_file and mean_value exclude each other";
                Err(DataError::Setting(problem.into()))
            }
            (Some(path), []) => read(Path::new(path)),
            (None, []) => Ok(Self::Zero),
            (None, values) => Ok(Self::Channels(values.to_vec())),
        }
    }

    /// Whether it fits images of this shape; a mean image must be as large.
    pub fn check_image(&self, shape: [usize; 3]) -> Result<(), String> {
        let [c, ..] = shape;
        match self {
            Self::Image { shape: own, .. } if *own != shape => {
                Err(format!("its shape is {}, the mean file's is {}", times(shape), times(*own)))
            }
            Self::Channels(values) if values.len() != 1 && values.len() != c => {
                Err(format!("it has {c} channels, but mean_value has {} values", values.len()))
            }
            _ => Ok(()),
        }
    }

    /// Whether it fits windows of this shape: a mean image may be larger, its centre counts.
    pub fn check_window(&self, [c, h, w]: [usize; 3]) -> Result<(), String> {
        match self {
            Self::Image { shape, .. } if shape[0] != c || shape[1] < h || shape[2] < w => Err(format!(
                "the mean file's shape {} does not cover a window of {c} x {h} x {w}",
                times(*shape)
            )),
            Self::Channels(values) if values.len() != 1 && values.len() != c => {
                Err(format!("mean_value has {} values, a window {c} channels", values.len()))
            }
            _ => Ok(()),
        }
    }

    /// Its value at a place in a square window of this side.
    pub fn in_window(&self, side: usize, channel: usize, y: usize, x: usize) -> f32 {
        match self {
            Self::Image { shape: [_, h, w], values } => {
                let (top, left) = ((h - side) / 2, (w - side) / 2);
                values[(channel * h + top + y) * w + left + x]
            }
            _ => self.of_channel(channel),
        }
    }

    /// Its value in a channel, if that is the same everywhere.
    pub fn of_channel(&self, channel: usize) -> f32 {
        match self {
            Self::Channels(values) => values[channel.min(values.len() - 1)],
            _ => 0.0,
        }
    }

    /// Takes each channel's mean in place of an image.
    pub fn flatten(&mut self) {
        if let Self::Image { shape: [c, h, w], values } = self {
            let planes = values.chunks_exact((*h * *w).max(1)).take(*c);
            let mean = |plane: &[f32]| plane.iter().map(|&v| f64::from(v)).sum::<f64>() / plane.len() as f64;
            *self = Self::Channels(planes.map(|plane| mean(plane) as f32).collect());
        }
    }
}

/// Reads a mean image as `compute_image_mean` writes it, or as the array of NumPy that Caffe's Python tools take.
fn read(path: &Path) -> Result<Mean, DataError> {
    let bytes = fs::read(path).map_err(DataError::io(Access::Open, path))?;
    let (axes, values) = if bytes.starts_with(b"\x93NUMPY") {
        let (axes, values) = npy::read_npy(path)?;
        (axes.into_iter().map(|axis| axis as i64).collect(), values)
    } else {
        let blob = BlobProto::decode(&bytes[..])
            .map_err(|e| DataError::file(path, format!("not a mean file (BlobProto): {e}")))?;
        blob_values(blob)
    };
    let (lead, chw) = axes.split_at(axes.len().saturating_sub(3));
    let shape = chw.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<Vec<_>>>();
    let (true, Some(&[c, h, w])) = (lead.iter().all(|&d| d == 1), shape.as_deref()) else {
        return Err(DataError::file(path, format!("the mean must be one image, its shape is {axes:?}")));
    };
    let count = c.checked_mul(h).and_then(|n| n.checked_mul(w));
    if count != Some(values.len()) {
        let problem = format!("the mean's shape is {}, but it has {} values", times([c, h, w]), values.len());
        return Err(DataError::file(path, problem));
    }
    Ok(Mean::Image { shape: [c, h, w], values })
}

fn blob_values(blob: BlobProto) -> (Vec<i64>, Vec<f32>) {
    let axes = match &blob.shape {
        Some(shape) => shape.dim.clone(),
        None => [blob.num(), blob.channels(), blob.height(), blob.width()].map(i64::from).to_vec(),
    };
    let doubles = || blob.double_data.iter().map(|&v| v as f32).collect();
    (axes, if blob.data.is_empty() { doubles() } else { blob.data })
}

#[cfg(test)]
mod tests {
    use super::{super::npy_bytes, *};

    fn sample(shape: [usize; 3], pixels: Pixels) -> Sample {
        Sample { shape, pixels, labels: vec![], key: "k".into() }
    }

    #[test]
    fn bytes_and_numbers_are_averaged() {
        let mut mean = MeanImage::default();
        mean.add(&sample([2, 1, 2], Pixels::U8(vec![255, 0, 7, 8])), "set").unwrap();
        mean.add(&sample([2, 1, 2], Pixels::F32(vec![0.0, 0.5, 8.0, 8.0])), "set").unwrap();
        let blob = mean.blob();
        assert_eq!((blob.num(), blob.channels(), blob.height(), blob.width()), (1, 2, 1, 2));
        assert_eq!(blob.data, [127.5, 0.25, 7.5, 8.0]);
        assert_eq!(mean.channels(), [63.875, 7.75]);
        assert_eq!(mean.count(), 2);
    }

    #[test]
    fn another_shape_is_named() {
        let mut mean = MeanImage::default();
        mean.add(&sample([1, 1, 2], Pixels::U8(vec![1, 2])), "set").unwrap();
        let error = mean.add(&sample([1, 2, 1], Pixels::U8(vec![1, 2])), "set").unwrap_err().to_string();
        assert_eq!(error, "sample `k` of `set`: its shape is 1 x 2 x 1, but the first sample's is 1 x 1 x 2");
    }

    #[test]
    fn both_forms_of_a_mean_file_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mean");
        let values = vec![1.0, 3.0, 10.0, 20.0];
        let mut mean = MeanImage::default();
        mean.add(&sample([2, 1, 2], Pixels::F32(values.clone())), "set").unwrap();
        let expected = Mean::Image { shape: [2, 1, 2], values: values.clone() };
        for bytes in [mean.blob().encode_to_vec(), npy_bytes(&[2, 1, 2], &values).unwrap()] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path).unwrap(), expected);
        }
    }

    #[test]
    fn a_damaged_mean_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mean");
        for (bytes, expected) in [
            (&b"\xff\xff"[..], "not a mean file"),
            (
                &BlobProto {
                    channels: Some(2),
                    height: Some(1),
                    width: Some(1),
                    num: Some(1),
                    ..Default::default()
                }
                .encode_to_vec()[..],
                "2 x 1 x 1, but it has 0 values",
            ),
            (&BlobProto { num: Some(2), ..Default::default() }.encode_to_vec()[..], "must be one image"),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("mean`"), "{error}");
        }
    }
}
