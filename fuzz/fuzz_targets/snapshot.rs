//! A file of weights, and a solver state.
#![no_main]

use std::{fs, path::PathBuf};

use cnnctl::snapshot::{Weights, load_state};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(weights) = Weights::decode(bytes.to_vec()) {
        for blob in weights.layers.iter().flat_map(|layer| layer.blobs.iter().flatten()) {
            assert_eq!(blob.values.len(), blob.shape.count());
        }
    }
    let path: PathBuf = std::env::temp_dir().join(format!("cnnctl-fuzz-state-{}", std::process::id()));
    fs::write(&path, bytes).expect("a writable temporary folder");
    if let Ok(state) = load_state(&path) {
        for blob in state.history {
            assert_eq!(blob.values.len(), blob.shape.count());
        }
    }
});
