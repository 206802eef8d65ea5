//! Checksums inside snapshots, over what they hold and not over their bytes, so that they are the same in both formats.

use std::io::{self, Write};

use prost::Message as _;

use super::wire::write_values;
use crate::config::proto::{BlobShape, SolverState};

/// Takes bytes in.
#[derive(Default)]
struct Hashing(crc32fast::Hasher);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Hashing {
    fn values(&mut self, sides: impl Iterator<Item = i64>, values: &[f32]) {
        sides.for_each(|side| self.0.update(&side.to_le_bytes()));
        // It takes all bytes.
        let _ = write_values(values, self);
    }
}

/// The checksum of a solver state with this history.
pub fn of_state<'a>(state: &SolverState, history: impl Iterator<Item = (Vec<i64>, &'a [f32])>) -> u32 {
    // HDF5 holds numbers that are left out as 0.
    let head = SolverState {
        history: Vec::new(),
        cnnctl_checksum: None,
        current_step: Some(state.current_step()),
        ..state.clone()
    };
    let mut hashing = Hashing::default();
    hashing.0.update(&head.encode_to_vec());
    history.for_each(|(sides, values)| hashing.values(sides.into_iter(), values));
    hashing.0.finalize()
}

/// The checksum of a solver state that has been read.
pub fn of_read_state(state: &mut SolverState) -> u32 {
    let history = std::mem::take(&mut state.history);
    let sides = |shape: &Option<_>| shape.as_ref().map_or_else(Vec::new, |s: &BlobShape| s.dim.clone());
    let sum = of_state(state, history.iter().map(|blob| (sides(&blob.shape), &blob.data[..])));
    state.history = history;
    sum
}

/// The part of a blob in the checksum of a file of weights, which is the sum of these: blobs have no order in HDF5.
pub fn of_blob(layer: &str, number: usize, sides: &[usize], values: &[f32]) -> u32 {
    let mut hashing = Hashing::default();
    hashing.0.update(layer.as_bytes());
    hashing.0.update(&(number as u64).to_le_bytes());
    hashing.values(sides.iter().map(|&side| side as i64), values);
    hashing.0.finalize()
}
