//! The binary files of CIFAR-10 and CIFAR-100: one or two label bytes, then 3 x 32 x 32 bytes, sample after sample.
//!
//! Colours stay in the files' order, red, green, blue, as in the databases that Caffe's own example makes of them.

use std::path::{Path, PathBuf};

use super::{DataError, Location, Pixels, Sample, Source, file::DataFile};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

/// Opens a file, or the training files in a folder.
pub(crate) fn open_10(location: &Location) -> Result<Box<dyn Source>, DataError> {
    open(&location.path, 1, (1..=5).map(|i| format!("data_batch_{i}.bin")))
}

/// As for CIFAR-10; the label is the fine one.
pub(crate) fn open_100(location: &Location) -> Result<Box<dyn Source>, DataError> {
    open(&location.path, 2, std::iter::once("train.bin".to_owned()))
}

fn open(
    path: &Path,
    labels: usize,
    names: impl Iterator<Item = String>,
) -> Result<Box<dyn Source>, DataError> {
    let paths: Vec<PathBuf> =
        if path.is_dir() { names.map(|name| path.join(name)).collect() } else { vec![path.to_owned()] };
    let record = labels + PIXELS;
    let mut files = Vec::new();
    let mut len = 0;
    for path in paths {
        let file = DataFile::open(&path)?;
        if !file.len().is_multiple_of(record as u64) {
            let problem =
                format!("cut off, or not of this kind: {} bytes are no multiple of {record}", file.len());
            return Err(file.bad(problem));
        }
        files.push((len, file));
        len += (files[files.len() - 1].1.len() / record as u64) as usize;
    }
    Ok(Box::new(Cifar { path: path.to_owned(), files, len, labels }))
}

struct Cifar {
    path: PathBuf,
    /// Each file, with the number of its first sample.
    files: Vec<(usize, DataFile)>,
    len: usize,
    /// Label bytes per sample; the last one counts.
    labels: usize,
}

impl Source for Cifar {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        // Of several files that start here all but the last are empty.
        let (first, file) = &self.files[self.files.partition_point(|(first, _)| *first <= index) - 1];
        let record = self.labels + PIXELS;
        let mut bytes = file.read_vec((index - first) as u64 * record as u64, record)?;
        let pixels = bytes.split_off(self.labels);
        let labels = vec![f32::from(bytes[self.labels - 1])];
        Ok(Sample { shape: SHAPE, pixels: Pixels::U8(pixels), labels, key: index.to_string() })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn records(labels: &[&[u8]]) -> Vec<u8> {
        labels.iter().flat_map(|l| [l, &vec![l[0]; PIXELS][..]].concat()).collect()
    }

    #[test]
    fn a_folder_joins_its_files() {
        let folder = tempfile::tempdir().unwrap();
        for i in 1..=5u8 {
            let labels: &[&[u8]] = if i == 2 { &[] } else { &[&[i], &[i + 10]] };
            fs::write(folder.path().join(format!("data_batch_{i}.bin")), records(labels)).unwrap();
        }
        let source = open_10(&Location { path: folder.path().to_owned(), ..Default::default() }).unwrap();
        let labels: Vec<_> = (0..source.len()).map(|i| source.read(i).unwrap().labels[0]).collect();
        assert_eq!(labels, [1.0, 11.0, 3.0, 13.0, 4.0, 14.0, 5.0, 15.0]);
        let sample = source.read(3).unwrap();
        assert_eq!((sample.shape, sample.pixels), (SHAPE, Pixels::U8(vec![13; PIXELS])));
    }

    #[test]
    fn cifar_100_takes_the_fine_label() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.bin");
        fs::write(&path, records(&[&[1, 2], &[3, 4]])).unwrap();
        let source = open_100(&Location { path: path.clone(), ..Default::default() }).unwrap();
        assert_eq!((source.len(), source.read(1).unwrap().labels), (2, vec![4.0]));
        let error = open_10(&Location { path, ..Default::default() }).err().unwrap().to_string();
        assert!(error.contains("train.bin`: cut off, or not of this kind"), "{error}");
    }
}
