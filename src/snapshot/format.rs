//! The two formats of snapshots.

use std::path::Path;

use crate::config::proto::{SolverParameter, solver_parameter::SnapshotFormat};

/// A format of snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Protobuf's binary format.
    #[default]
    BinaryProto,
    /// HDF5.
    Hdf5,
}

impl Format {
    /// The format that a solver asks for.
    pub fn of(solver: &SolverParameter) -> Self {
        match solver.snapshot_format() {
            SnapshotFormat::Binaryproto => Self::BinaryProto,
            SnapshotFormat::Hdf5 => Self::Hdf5,
        }
    }

    /// The format of a file that holds these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        if hdf5_pure::is_hdf5_bytes(bytes) { Self::Hdf5 } else { Self::BinaryProto }
    }

    /// The format of a file of this name, by its ending.
    pub fn of_path(path: &Path) -> Self {
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        match ending.as_ref().and_then(|ending| ending.to_str()) {
            Some("h5" | "hdf5") => Self::Hdf5,
            _ => Self::BinaryProto,
        }
    }

    /// What the names of files end with, after `.caffemodel` or `.solverstate`.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::BinaryProto => "",
            Self::Hdf5 => ".h5",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_tell_the_format() {
        for name in ["w.h5", "w.caffemodel.h5", "w.H5", "w.hdf5", "a/w.HDF5"] {
            assert_eq!(Format::of_path(Path::new(name)), Format::Hdf5, "{name}");
        }
        for name in ["w.caffemodel", "w", "h5", "w.h5/w", ""] {
            assert_eq!(Format::of_path(Path::new(name)), Format::BinaryProto, "{name}");
        }
    }
}
