//! `Data`: samples of a data set: LMDB, LevelDB, idx, CIFAR, npy.

use super::{Arity, Kind, Role, batches};

/// The row of `Data`; see [`crate::data`] for what is read and how.
///
/// Shapes: no bottoms; tops `N x C x H x W` and, if there are two, labels `N`. Params: none.
/// Height and width change from batch to batch where `batch_size` is 1 and samples differ.
/// Differs from Caffe: a resumed run goes on at the sample where the snapshot was taken.
pub const KIND: Kind = Kind {
    name: "Data",
    summary: "samples of a data set: LMDB, LevelDB, idx, CIFAR, npy",
    settings: &["data_param", "transform_param"],
    bottoms: Arity::Exactly(0),
    tops: Arity::Between(1, 2),
    role: Role::Source,
    ..Kind::usual(batches::from_config)
};
