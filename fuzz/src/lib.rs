//! What the fuzz targets share: bytes as a file, read to its end as a data set.

use std::{fs, path::PathBuf};

use cnnctl::data::{Location, open_source};

/// Samples read from one file: enough to reach all code, few enough to be quick.
const MOST: usize = 64;

/// Opens the bytes as a set of this kind and reads its samples.
pub fn read_set(kind: &str, bytes: &[u8]) {
    let path: PathBuf = std::env::temp_dir().join(format!("cnnctl-fuzz-{kind}-{}", std::process::id()));
    fs::write(&path, bytes).expect("a writable temporary folder");
    if let Ok(source) = open_source(kind, &Location { path, ..Location::default() }) {
        for index in 0..source.len().min(MOST) {
            if let Ok(sample) = source.read(index) {
                assert_eq!(sample.pixels.len(), sample.shape.iter().product::<usize>());
            }
        }
    }
}
