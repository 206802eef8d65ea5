//! `WindowData`: windows of images, foreground and background mixed.

use super::{Arity, Kind, Role, batches};

/// The row of `WindowData`; see [`crate::data`] for what is read and how.
///
/// Shapes: no bottoms; tops `N x 3 x crop_size x crop_size` and classes `N`, 0 for background. Params: none.
/// Reference: Girshick et al. 2014. Differs from Caffe: other random numbers; a resumed run goes on at the sample where
/// the snapshot was taken; images are always read from their files (`cache_images` changes nothing).
pub const KIND: Kind = Kind {
    name: "WindowData",
    summary: "windows of images, foreground and background mixed",
    settings: &["window_data_param", "transform_param"],
    bottoms: Arity::Exactly(0),
    tops: Arity::Exactly(2),
    role: Role::Source,
    ..Kind::usual(batches::from_config)
};
