//! Arrays whose first axis counts the samples: what idx and npy files hold, in common.

use std::path::{Path, PathBuf};

use super::{DataError, Pixels, Sample, Source, file::DataFile};
use crate::tensor::f32_of_half;

/// The bytes of a file, read where they are, or unpacked into memory.
pub(crate) enum Bytes {
    OnDisk(DataFile),
    InMemory(Vec<u8>),
}

impl Bytes {
    pub fn len(&self) -> u64 {
        match self {
            Self::OnDisk(file) => file.len(),
            Self::InMemory(bytes) => bytes.len() as u64,
        }
    }

    /// `len` bytes from `offset`; `path` is for messages.
    pub fn get(&self, path: &Path, offset: usize, len: usize) -> Result<Vec<u8>, DataError> {
        match self {
            Self::OnDisk(file) => file.read_vec(offset as u64, len),
            Self::InMemory(bytes) => offset
                .checked_add(len)
                .and_then(|end| bytes.get(offset..end))
                .map(<[u8]>::to_vec)
                .ok_or_else(|| DataError::file(path, "cut off")),
        }
    }
}

/// The type of a stored number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

impl Number {
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The number whose bits are `bits`; the casts cut these to the type's own.
    fn value(self, bits: u64) -> f32 {
        match self {
            Self::U8 => f32::from(bits as u8),
            Self::I8 => f32::from(bits as i8),
            Self::U16 => f32::from(bits as u16),
            Self::I16 => f32::from(bits as i16),
            Self::U32 => bits as u32 as f32,
            Self::I32 => bits as i32 as f32,
            Self::U64 => bits as f32,
            Self::I64 => bits as i64 as f32,
            Self::F16 => f32_of_half(bits as u16),
            Self::F32 => f32::from_bits(bits as u32),
            Self::F64 => f64::from_bits(bits) as f32,
        }
    }

    fn values(self, bytes: Vec<u8>, big_endian: bool) -> Pixels {
        if self == Self::U8 {
            return Pixels::U8(bytes);
        }
        let join = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
        let value = |bytes: &[u8]| {
            let bits = if big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) };
            self.value(bits)
        };
        Pixels::F32(bytes.chunks_exact(self.size()).map(value).collect())
    }
}

/// What a file's header says about its array.
pub(crate) struct Layout {
    pub number: Number,
    pub big_endian: bool,
    pub axes: Vec<usize>,
    /// Where the values start.
    pub start: usize,
    /// Whether the first axis runs fastest, as in Fortran, and not the last.
    pub fortran: bool,
}

impl Layout {
    /// The bytes of the values from `axes` on.
    fn size_of(&self, axes: &[usize]) -> Option<usize> {
        axes.iter().try_fold(self.number.size(), |n, &a| n.checked_mul(a))
    }

    /// Whether `bytes` are as long as the header says.
    fn check(&self, path: &Path, bytes: &Bytes) -> Result<usize, DataError> {
        let found = bytes.len().saturating_sub(self.start as u64);
        match self.size_of(&self.axes) {
            Some(needed) if needed as u64 == found => Ok(needed),
            needed => {
                let what = if needed.is_some_and(|n| (n as u64) < found) { "too long" } else { "cut off" };
                let axes = &self.axes;
                let problem = format!("{what}: its header says {axes:?} values, but {found} bytes follow");
                Err(DataError::file(path, problem))
            }
        }
    }

    /// All values, the last axis running fastest.
    pub fn values(&self, path: &Path, bytes: &Bytes) -> Result<Vec<f32>, DataError> {
        let len = self.check(path, bytes)?;
        let values = match self.number.values(bytes.get(path, self.start, len)?, self.big_endian) {
            Pixels::U8(values) => values.into_iter().map(f32::from).collect(),
            Pixels::F32(values) => values,
        };
        Ok(if self.fortran { from_fortran(&self.axes, &values) } else { values })
    }
}

/// The values of an array whose first axis runs fastest, in the order in which its last does.
fn from_fortran(axes: &[usize], values: &[f32]) -> Vec<f32> {
    let mut index = vec![0; axes.len()];
    let mut next = || {
        let at = axes.iter().zip(&index).rev().fold(0, |at, (side, i)| at * side + i);
        for (i, side) in index.iter_mut().zip(axes).rev() {
            *i += 1;
            if *i < *side {
                break;
            }
            *i = 0;
        }
        values[at]
    };
    (0..values.len()).map(|_| next()).collect()
}

/// An open array.
pub(crate) struct Array {
    path: PathBuf,
    bytes: Bytes,
    layout: Layout,
    /// Bytes of one sample.
    stride: usize,
}

impl Array {
    /// Checks that the file is as long as its header says.
    pub fn new(path: &Path, bytes: Bytes, layout: Layout) -> Result<Self, DataError> {
        let axes = &layout.axes;
        if axes.is_empty() {
            return Err(DataError::file(path, "a single value, not samples"));
        }
        layout.check(path, &bytes)?;
        let stride = layout.size_of(&axes[1..]).unwrap_or_default();
        Ok(Self { path: path.to_owned(), bytes, layout, stride })
    }

    fn len(&self) -> usize {
        self.layout.axes[0]
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let bytes = self.bytes.get(&self.path, self.layout.start + index * self.stride, self.stride)?;
        Ok(self.layout.number.values(bytes, self.layout.big_endian))
    }
}

/// Images in one array, labels in another.
pub(crate) struct Pair {
    images: Array,
    labels: Option<Array>,
    shape: [usize; 3],
}

impl Pair {
    /// Checks that the two fit together.
    pub fn source(images: Array, labels: Option<Array>) -> Result<Box<dyn Source>, DataError> {
        if let Some(labels) = &labels
            && labels.len() != images.len()
        {
            let problem = format!(
                "{} labels, but `{}` has {} images",
                labels.len(),
                images.path.display(),
                images.len()
            );
            return Err(DataError::file(&labels.path, problem));
        }
        let shape = match images.layout.axes[1..] {
            [] => [1, 1, 1],
            [w] => [1, 1, w],
            [h, w] => [1, h, w],
            [c, h, w] => [c, h, w],
            _ => return Err(DataError::file(&images.path, "an image may have at most three axes")),
        };
        if shape.contains(&0) {
            return Err(DataError::file(&images.path, "an image has no pixels"));
        }
        Ok(Box::new(Self { images, labels, shape }))
    }
}

impl Source for Pair {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let labels = match &self.labels {
            Some(labels) => match labels.read(index)? {
                Pixels::U8(values) => values.into_iter().map(f32::from).collect(),
                Pixels::F32(values) => values,
            },
            None => Vec::new(),
        };
        Ok(Sample { shape: self.shape, pixels: self.images.read(index)?, labels, key: index.to_string() })
    }

    fn name(&self) -> String {
        self.images.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_type_and_order() {
        let read = |number: Number, bytes: &[u8], big| number.values(bytes.to_vec(), big);
        for (number, value, bytes) in [
            (Number::I8, -2.0, &(-2i8).to_le_bytes()[..]),
            (Number::U16, 65_535.0, &u16::MAX.to_le_bytes()),
            (Number::I16, -300.0, &(-300i16).to_le_bytes()),
            (Number::U32, 70_000.0, &70_000u32.to_le_bytes()),
            (Number::I32, -70_000.0, &(-70_000i32).to_le_bytes()),
            (Number::U64, 9.0, &9u64.to_le_bytes()),
            (Number::I64, -9.0, &(-9i64).to_le_bytes()),
            (Number::F16, -1.5, &0xbe00u16.to_le_bytes()),
            (Number::F32, 0.1, &0.1f32.to_le_bytes()),
            (Number::F64, -1.5, &(-1.5f64).to_le_bytes()),
        ] {
            assert_eq!(read(number, bytes, false), Pixels::F32(vec![value]), "{number:?}");
            let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
            assert_eq!(read(number, &reversed, true), Pixels::F32(vec![value]), "{number:?}");
        }
        assert_eq!(read(Number::U8, &[255], false), Pixels::U8(vec![255]));
    }

    #[test]
    fn fortrans_order_is_turned_round() {
        let turned = from_fortran(&[2, 3], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(turned, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(from_fortran(&[], &[7.0]), [7.0]);
        assert!(from_fortran(&[0, 3], &[]).is_empty());
    }
}
