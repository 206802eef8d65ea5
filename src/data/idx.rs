//! idx files, the format of MNIST: images in one file, labels in another, each plain or gzipped.
//!
//! Two zero bytes, a type, the number of axes, the axes as big-endian u32, then the values, big-endian. A plain file is read sample
//! by sample; a gzipped one has no random access and is unpacked into memory.

use std::{
    fs::File,
    io::{BufReader, Read as _},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use super::{
    Access, DataError, Location, Source,
    array::{Array, Bytes, Layout, Number, Pair},
    file::DataFile,
};

pub(crate) fn open(location: &Location) -> Result<Box<dyn Source>, DataError> {
    let images = array(&location.path)?;
    let labels = location.labels.as_deref().map(array).transpose()?;
    Pair::source(images, labels)
}

fn array(path: &Path) -> Result<Array, DataError> {
    let file = DataFile::open(path)?;
    let magic = file.read_vec(0, file.len().min(2) as usize)?;
    let bytes = if magic == [0x1f, 0x8b] { Bytes::InMemory(unpack(path)?) } else { Bytes::OnDisk(file) };
    let layout = layout(path, &bytes)?;
    Array::new(path, bytes, layout)
}

fn layout(path: &Path, bytes: &Bytes) -> Result<Layout, DataError> {
    let bad = |problem: &str| DataError::file(path, problem);
    if bytes.len() < 4 {
        return Err(bad("not an idx file: it is shorter than a header"));
    }
    let head = bytes.get(path, 0, 4)?;
    let (0, 0, Some(number), rank @ 1..) = (head[0], head[1], number(head[2]), head[3]) else {
        return Err(bad("not an idx file: it does not start with two zeros, a type and a number of axes"));
    };
    let axes = bytes.get(path, 4, usize::from(rank) * 4)?;
    let axes: Vec<_> = axes.as_chunks::<4>().0.iter().map(|&a| u32::from_be_bytes(a) as usize).collect();
    Ok(Layout { number, big_endian: true, start: 4 + axes.len() * 4, axes, fortran: false })
}

fn number(code: u8) -> Option<Number> {
    Some(match code {
        0x08 => Number::U8,
        0x09 => Number::I8,
        0x0b => Number::I16,
        0x0c => Number::I32,
        0x0d => Number::F32,
        0x0e => Number::F64,
        _ => return None,
    })
}

fn unpack(path: &Path) -> Result<Vec<u8>, DataError> {
    let file = File::open(path).map_err(DataError::io(Access::Open, path))?;
    let mut bytes = Vec::new();
    MultiGzDecoder::new(BufReader::new(file))
        .read_to_end(&mut bytes)
        .map_err(|e| DataError::file(path, format!("damaged gzip file: {e}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, path::PathBuf};

    use super::{super::Pixels, *};

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
