//! idx files, the format of MNIST: images in one file, labels in another, each plain or gzipped.
//!
//! Two zero bytes, a type, the number of axes, the axes as big-endian u32, then the values, big-endian. The first axis
//! counts the samples. A plain file is read sample by sample; a gzipped one has no random access and is unpacked into
//! memory.

use std::{
    fs::File,
    io::{BufReader, Read as _},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;

use super::{DataError, Location, Pixels, Sample, Source, file::DataFile};

pub(crate) fn open(location: &Location) -> Result<Box<dyn Source>, DataError> {
    let images = Array::open(&location.path)?;
    let labels = location.labels.as_deref().map(Array::open).transpose()?;
    if let Some(labels) = &labels
        && labels.count != images.count
    {
        let problem =
            format!("{} labels, but `{}` has {} images", labels.count, images.path.display(), images.count);
        return Err(DataError::file(&labels.path, problem));
    }
    let shape = match images.axes[..] {
        [] => [1, 1, 1],
        [w] => [1, 1, w],
        [h, w] => [1, h, w],
        [c, h, w] => [c, h, w],
        _ => return Err(DataError::file(&images.path, "an image may have at most three axes")),
    };
    if shape.contains(&0) {
        return Err(DataError::file(&images.path, "an image has no pixels"));
    }
    Ok(Box::new(Idx { images, labels, shape }))
}

struct Idx {
    images: Array,
    labels: Option<Array>,
    shape: [usize; 3],
}

impl Source for Idx {
    fn len(&self) -> usize {
        self.images.count
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

/// An open idx file.
struct Array {
    path: PathBuf,
    bytes: Bytes,
    kind: Kind,
    /// The first axis.
    count: usize,
    /// The other axes.
    axes: Vec<usize>,
    /// Where the values start.
    start: usize,
}

enum Bytes {
    OnDisk(DataFile),
    InMemory(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    I16,
    I32,
    F32,
    F64,
}

impl Kind {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0x08 => Self::U8,
            0x09 => Self::I8,
            0x0b => Self::I16,
            0x0c => Self::I32,
            0x0d => Self::F32,
            0x0e => Self::F64,
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn values(self, bytes: Vec<u8>) -> Pixels {
        fn each<const N: usize>(bytes: &[u8], value: fn([u8; N]) -> f32) -> Pixels {
            Pixels::F32(bytes.as_chunks::<N>().0.iter().map(|b| value(*b)).collect())
        }
        match self {
            Self::U8 => Pixels::U8(bytes),
            Self::I8 => each(&bytes, |b: [u8; 1]| f32::from(i8::from_be_bytes(b))),
            Self::I16 => each(&bytes, |b: [u8; 2]| f32::from(i16::from_be_bytes(b))),
            Self::I32 => each(&bytes, |b: [u8; 4]| i32::from_be_bytes(b) as f32),
            Self::F32 => each(&bytes, |b: [u8; 4]| f32::from_be_bytes(b)),
            Self::F64 => each(&bytes, |b: [u8; 8]| f64::from_be_bytes(b) as f32),
        }
    }
}

impl Array {
    fn open(path: &Path) -> Result<Self, DataError> {
        let file = DataFile::open(path)?;
        let mut magic = [0; 4];
        if file.len() >= 4 {
            file.read(0, &mut magic)?;
        }
        let bytes = if magic.starts_with(&[0x1f, 0x8b]) {
            Bytes::InMemory(unpack(path)?)
        } else {
            Bytes::OnDisk(file)
        };
        Self::parse(path, bytes)
    }

    fn parse(path: &Path, bytes: Bytes) -> Result<Self, DataError> {
        let bad = |problem: &str| DataError::file(path, problem);
        let head = bytes.get(path, 0, 4).map_err(|_| bad("not an idx file: it is shorter than a header"))?;
        let (0, 0, Some(kind), rank @ 1..) = (head[0], head[1], Kind::from_code(head[2]), head[3]) else {
            return Err(bad(
                "not an idx file: it does not start with two zeros, a type and a number of axes",
            ));
        };
        let axes = bytes.get(path, 4, usize::from(rank) * 4)?;
        let axes: Vec<usize> =
            axes.as_chunks::<4>().0.iter().map(|&axis| u32::from_be_bytes(axis) as usize).collect();
        let start = 4 + axes.len() * 4;
        let needed = axes.iter().try_fold(kind.size(), |n, &axis| n.checked_mul(axis));
        let found = bytes.len() - start as u64;
        if needed.is_none_or(|n| n as u64 != found) {
            let what = if needed.is_none_or(|n| n as u64 > found) { "cut off" } else { "too long" };
            return Err(bad(&format!("{what}: its header says {axes:?} values, but {found} bytes follow")));
        }
        Ok(Self { path: path.to_owned(), bytes, kind, count: axes[0], axes: axes[1..].to_vec(), start })
    }

    fn read(&self, index: usize) -> Result<Pixels, DataError> {
        let size = self.axes.iter().product::<usize>() * self.kind.size();
        let bytes = self.bytes.get(&self.path, self.start + index * size, size)?;
        Ok(self.kind.values(bytes))
    }
}

impl Bytes {
    fn len(&self) -> u64 {
        match self {
            Self::OnDisk(file) => file.len(),
            Self::InMemory(bytes) => bytes.len() as u64,
        }
    }

    fn get(&self, path: &Path, from: usize, len: usize) -> Result<Vec<u8>, DataError> {
        match self {
            Self::OnDisk(file) => file.read_vec(from as u64, len),
            Self::InMemory(bytes) => bytes
                .get(from..from + len)
                .map(<[u8]>::to_vec)
                .ok_or_else(|| DataError::file(path, "cut off inside its header")),
        }
    }
}

fn unpack(path: &Path) -> Result<Vec<u8>, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let mut bytes = Vec::new();
    MultiGzDecoder::new(BufReader::new(file))
        .read_to_end(&mut bytes)
        .map_err(|e| DataError::file(path, format!("damaged gzip file: {e}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn location(path: PathBuf, labels: Option<PathBuf>) -> Location {
        Location { path, labels, ..Default::default() }
    }

    const IMAGES: &[u8] = &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];
    const LABELS: &[u8] = &[0, 0, 8, 1, 0, 0, 0, 2, 7, 9];

    #[test]
    fn reads_plain_and_gzipped_files() {
        let folder = tempfile::tempdir().unwrap();
        let images = write(folder.path(), "images", IMAGES);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(LABELS).unwrap();
        let labels = write(folder.path(), "labels.gz", &gz.finish().unwrap());
        let source = open(&location(images, Some(labels))).unwrap();
        assert_eq!(source.len(), 2);
        let sample = source.read(1).unwrap();
        assert_eq!(
            (sample.shape, sample.pixels, sample.labels),
            ([1, 1, 3], Pixels::U8(vec![4, 5, 6]), vec![9.0])
        );
    }

    #[test]
    fn numbers_are_big_endian() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![0, 0, 0x0d, 1, 0, 0, 0, 2];
        bytes.extend([1.5f32, -2.0].iter().flat_map(|v| v.to_be_bytes()));
        let source = open(&location(write(folder.path(), "f", &bytes), None)).unwrap();
        assert_eq!(source.read(1).unwrap().pixels, Pixels::F32(vec![-2.0]));
        assert_eq!(Kind::I16.values(vec![0xff, 0xfe]), Pixels::F32(vec![-2.0]));
    }

    #[test]
    fn bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes, expected) in [
            ("short", &b"\0"[..], "shorter than a header"),
            ("other", b"\x89PNG....", "not an idx file"),
            ("cut", &IMAGES[..20], "cut off"),
            ("axes", &IMAGES[..9], "cut off"),
            ("long", &[IMAGES, b"x"].concat(), "too long"),
            ("gz", b"\x1f\x8b\x08\0\0", "damaged gzip"),
        ] {
            let path = write(folder.path(), name, bytes);
            let error = open(&location(path, None)).err().unwrap().to_string();
            assert!(error.contains(expected) && error.contains(&format!("{name}`")), "{error}");
        }
        let images = write(folder.path(), "images", IMAGES);
        let labels = write(folder.path(), "labels", &[0, 0, 8, 1, 0, 0, 0, 1, 7]);
        let error = open(&location(images, Some(labels))).err().unwrap().to_string();
        assert!(error.contains("1 labels"), "{error}");
    }

    #[test]
    fn the_default_set_is_whole() {
        let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/digits");
        let labels = digits.join("digits-labels-idx1-ubyte.gz");
        let source = open(&location(digits.join("digits-images-idx3-ubyte.gz"), Some(labels))).unwrap();
        assert_eq!(source.len(), 1797);
        let mut counts = [0; 10];
        for i in 0..source.len() {
            let sample = source.read(i).unwrap();
            assert_eq!(sample.shape, [1, 8, 8]);
            let Pixels::U8(pixels) = sample.pixels else { panic!("bytes") };
            assert!(pixels.iter().all(|&p| p <= 16));
            counts[sample.labels[0] as usize] += 1;
        }
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }
}
