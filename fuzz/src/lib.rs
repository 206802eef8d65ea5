//! What the fuzz targets share.

use std::{fs, path::PathBuf};

use cnnctl::{
    config::proto::NetParameter,
    data::{Location, open_source},
    net::check::{View, check, states},
};

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

/// Looks at a net in all its states.
pub fn look_at(net: &NetParameter) {
    // Data that a net names is not for a fuzzer to open.
    let reads = |kind: &str| matches!(kind, "Data" | "HDF5Data" | "ImageData" | "InfogainLoss" | "WindowData");
    if !net.layer.iter().any(|layer| reads(layer.r#type())) {
        check(net, &states(net, 0, &[]), &View::default());
    }
}
