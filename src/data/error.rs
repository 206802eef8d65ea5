//! What can be wrong with data: each error names the file, and the sample where there is one.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Why a sample, a set, or the settings of a data layer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file system says no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: Access,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not what it should be: damaged, cut off, or of another kind.
    #[error("`{}`: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// One sample cannot be used.
    #[error("sample `{key}` of `{}`: {problem}", path.display())]
    Sample {
        /// The set.
        path: PathBuf,
        /// The sample's key, line or number.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The set has no samples.
    #[error("`{}` holds no samples", path.display())]
    Empty {
        /// The set.
        path: PathBuf,
    },
    /// A field of the data layer makes no sense.
    #[error("{0}")]
    Setting(String),
    /// A reader broke an assumption of its own: a defect, kept from taking the program down.
    #[error("reading ahead failed unexpectedly: {0}")]
    Panicked(String),
}

/// What is done with a file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is opened to be read.
    Open,
    /// It is read.
    Read,
    /// It is made.
    Create,
    /// It is written.
    Write,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Create => "create",
            Self::Write => "write",
        })
    }
}

impl DataError {
    /// An [`DataError::Io`] for `map_err`.
    pub(crate) fn io<'a>(action: Access, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether it is of what was to be written, not of data.
    pub fn is_of_output(&self) -> bool {
        matches!(self, Self::Io { action: Access::Create | Access::Write, .. })
    }

    /// The message with the system's reason, for errors that carry only text.
    pub fn with_reason(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }

    /// The error with what is in the folder `from` named as in the folder `to`.
    pub(super) fn moved(mut self, from: &Path, to: &Path) -> Self {
        match &mut self {
            Self::Io { path, .. }
            | Self::File { path, .. }
            | Self::Sample { path, .. }
            | Self::Empty { path } => {
                if let Ok(rest) = path.strip_prefix(from) {
                    *path = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
                }
            }
            Self::Setting(_) | Self::Panicked(_) => {}
        }
        self
    }

    /// A [`DataError::File`].
    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), problem: problem.into() }
    }

    /// A [`DataError::Sample`].
    pub(crate) fn sample(path: &Path, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Sample { path: path.to_owned(), key: key.into(), problem: problem.into() }
    }
}
