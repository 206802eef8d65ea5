//! What a set of samples looks like to its readers.

use super::DataError;

/// A set of samples, read in any order and by any number of threads.
pub trait Source: Send + Sync {
    /// How many samples.
    fn len(&self) -> usize;

    /// True without samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads one sample; `index` is less than [`len`](Self::len).
    fn read(&self, index: usize) -> Result<Sample, DataError>;

    /// The file or folder, for messages.
    fn name(&self) -> String;
}

/// One image with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// `channels x height x width` values; colours in the order blue, green, red.
    pub pixels: Pixels,
    /// None, one, or several.
    pub labels: Vec<f32>,
    /// What messages call it: a database key, a path, a number.
    pub key: String,
}

/// The values of an image, as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// Bytes.
    U8(Vec<u8>),
    /// Numbers.
    F32(Vec<f32>),
}

impl Pixels {
    /// How many values.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// True without values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// `3 x 6 x 7`.
pub(crate) fn times(shape: [usize; 3]) -> String {
    let [c, h, w] = shape;
    format!("{c} x {h} x {w}")
}
