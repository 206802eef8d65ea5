//! Files <-> weights and solver state, in Caffe's formats; weights also as named [`tensors`], nets as [`onnx`].
//!
//! `<prefix>_iter_N.caffemodel` holds a `NetParameter` with blobs, `<prefix>_iter_N.solverstate` a `SolverState`; with
//! `.h5` after it, the same stands in HDF5. All carry what exact resuming needs in fields or datasets of our own, which
//! Caffe skips; what rounding keeps back of the gradients of several ranks stands in a third file. A file is written
//! beside its final name, synced and renamed, so a half file never stands under a final name.
//!
//! Values are neither decoded nor copied one by one: they are read from the file into the buffers that become a net's
//! parameters, written from there, and their checksum is taken a piece at a time while it is in the cache.

mod atomic;
mod blob;
mod content;
mod digest;
mod error;
mod find;
mod format;
mod hdf5;
mod lift;
mod matching;
pub mod onnx;
mod residuals;
mod state;
pub mod tensors;
mod weights;
pub mod wire;

pub use atomic::{Written, write_whole, write_whole_with};
pub use blob::{BlobValues, Values};
pub use content::{LayerBlobs, WeightsToSave};
pub use error::{Access, SnapshotError};
pub use find::{is_being_written, is_locked, lock_path, newest_whole, prune, states, sweep};
pub use format::Format;
pub use matching::{Fate, Match};
pub use residuals::{load_residuals, residuals_beside, save_residuals};
pub use state::{State, VERSION, decode_state, load_state, locate_weights, save_state};
pub use weights::{Copied, Weights};
pub use wire::Array;

/// `<prefix>_iter_N.<kind>`, with `.h5` behind it where that is the format.
pub fn file_name(prefix: &str, iter: i32, kind: &str, format: Format) -> String {
    format!("{prefix}_iter_{iter}.{kind}{}", format.suffix())
}

/// `<prefix>_best.caffemodel` likewise: the weights of the best test.
pub fn best_name(prefix: &str, format: Format) -> String {
    format!("{prefix}_best.caffemodel{}", format.suffix())
}
