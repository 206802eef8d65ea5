//! The two formats of snapshots.

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

    /// What the names of files end with, after `.caffemodel` or `.solverstate`.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::BinaryProto => "",
            Self::Hdf5 => ".h5",
        }
    }
}
