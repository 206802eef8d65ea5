//! What can be wrong with a snapshot.

use std::{fmt, io, path::PathBuf};

/// What can be wrong with a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file that cannot be read, written or removed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was to be done with it.
        action: Access,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file whose content is not what it should be.
    #[error("{}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is read.
    Read,
    /// It is written.
    Write,
    /// It is removed.
    Remove,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Remove => "remove",
        })
    }
}

impl SnapshotError {
    /// A file whose content is not what it should be.
    pub fn content(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Content { path: path.into(), message: message.into() }
    }

    pub(super) fn io(action: Access, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// What is said of a file of weights where a solver state is wanted.
pub const NOT_A_STATE: &str = "is a file of weights, not a solver state; start from weights with --weights, or \
                                      resume from the .solverstate beside it";
