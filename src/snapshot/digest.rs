//! Checksums inside snapshots, over what they hold and not over their bytes, so that they are the same in both formats.
//!
//! What values hash to is given, and joined to what stands before them: whoever reads a file takes it on the way.

use crc32fast::Hasher;
use prost::Message as _;

use super::wire::packed;
use crate::config::proto::SolverState;

/// What values hash to.
pub fn of_values(values: &[f32]) -> Hasher {
    let mut hash = Hasher::new();
    hash.update(&packed(values));
    hash
}

fn add(hash: &mut Hasher, sides: &[usize], values: &Hasher) {
    sides.iter().for_each(|&side| hash.update(&(side as i64).to_le_bytes()));
    hash.combine(values);
}

/// The checksum of a solver state whose history has these shapes and values; `state` itself has none.
pub fn of_state<'a>(state: &SolverState, history: impl Iterator<Item = (&'a [usize], Hasher)>) -> u32 {
    // HDF5 holds numbers that are left out as 0.
    let head =
        SolverState { cnnctl_checksum: None, current_step: Some(state.current_step()), ..state.clone() };
    let mut hash = Hasher::new();
    hash.update(&head.encode_to_vec());
    history.for_each(|(sides, values)| add(&mut hash, sides, &values));
    hash.finalize()
}

/// The part of a blob in the checksum of a file of weights, which is the sum of these: blobs have no order in HDF5.
pub fn of_blob(layer: &str, number: usize, sides: &[usize], values: &Hasher) -> u32 {
    let mut hash = Hasher::new();
    hash.update(layer.as_bytes());
    hash.update(&(number as u64).to_le_bytes());
    add(&mut hash, sides, values);
    hash.finalize()
}
