//! Files <-> weights and solver state, in Caffe's formats.
//!
//! `<prefix>_iter_N.caffemodel` holds a `NetParameter` with blobs, `<prefix>_iter_N.solverstate` a `SolverState`.
//! Both carry what exact resuming needs in fields of our own, which Caffe skips. A file is written beside its final
//! name, synced and renamed, so a half file never stands under a final name.

mod atomic;
mod blob;
mod error;
mod find;
mod matching;
mod state;
mod weights;

pub use atomic::write_whole;
pub use blob::{BlobValues, read_blob, write_blob};
pub use error::SnapshotError;
pub use find::{newest_whole, prune, states, sweep};
pub use matching::{Fate, Match};
pub use state::{load_state, locate_weights, save_state};
pub use weights::{Copied, LayerBlobs, Weights, encode_weights};

/// `<prefix>_iter_N.<extension>`.
pub fn file_name(prefix: &str, iter: i32, extension: &str) -> String {
    format!("{prefix}_iter_{iter}.{extension}")
}
