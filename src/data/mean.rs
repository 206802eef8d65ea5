//! The mean of a set's images, as `mean_file` of `transform_param` takes it.

use std::path::Path;

use super::{DataError, Pixels, Sample, transform::times};
use crate::config::proto::BlobProto;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
