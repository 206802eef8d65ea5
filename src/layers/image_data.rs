//! `ImageData`: images of a list of files.

use super::{Arity, Kind, Role, batches};

/// The row of `ImageData`; see [`crate::data`] for what is read and how.
///
/// Shapes: no bottoms; tops `N x C x H x W` and labels `N`. Params: none.
/// Height and width change from batch to batch where `batch_size` is 1 and samples differ.
/// Differs from Caffe: a resumed run goes on at the sample where the snapshot was taken.
pub const KIND: Kind = Kind {
    name: "ImageData",
    summary: "images of a list of files",
    settings: &["image_data_param", "transform_param"],
    bottoms: Arity::Exactly(0),
    tops: Arity::Between(1, 2),
    role: Role::Source,
    ..Kind::usual(batches::from_config)
};
