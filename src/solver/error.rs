//! What can end a run early.

use std::path::PathBuf;

use crate::{config::ConfigError, net::NetError, snapshot::SnapshotError};

/// What can end a run early.
#[derive(Debug, thiserror::Error)]
pub enum SolverError {
    /// A setting of the solver file.
    #[error("{message}")]
    Setting {
        /// The field: `base_lr`, `stepvalue[2]`.
        field: String,
        /// What is wrong.
        message: String,
    },
    /// A file of the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A net; `net` is the file that it came from, or nothing for one inside the solver file.
    #[error("{error}")]
    Net {
        /// Where the net came from.
        path: Option<PathBuf>,
        /// What is wrong.
        #[source]
        error: NetError,
    },
    /// A snapshot or a file of weights.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl SolverError {
    /// A wrong setting.
    pub fn setting(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Setting { field: field.into(), message: message.into() }
    }
}
