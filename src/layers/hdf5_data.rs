//! `HDF5Data`: arrays of HDF5 files, one top a data set.

use super::{Arity, Kind, Role, batches};

/// The row of `HDF5Data`; see [`crate::data`] for what is read and how.
///
/// Shapes: no bottoms; each top as the data set of its name, N rows of it. Params: none.
/// Shapes change from file to file where `batch_size` is 1 and rows differ.
/// Differs from Caffe: that; a resumed run goes on at the sample where the snapshot was taken.
pub const KIND: Kind = Kind {
    name: "HDF5Data",
    summary: "arrays of HDF5 files, one top a data set",
    settings: &["hdf5_data_param"],
    bottoms: Arity::Exactly(0),
    tops: Arity::AtLeast(1),
    role: Role::Source,
    ..Kind::usual(batches::from_config)
};
