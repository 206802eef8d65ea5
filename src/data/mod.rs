//! Data sources, the transforms of their samples, and the batches that training reads.
//!
//! ```text
//! Source (LMDB, idx, image list, ...)  ->  Images: transform  -\
//! HDF5 tables, windows                 ----------------------->  Feed  ->  Batches: order, read ahead
//! ```
//!
//! Everything is a function of a position in an endless stream of samples: which sample stands there, how it is
//! cropped or flipped. So a resumed run, more threads or a shard of the stream see exactly the same samples.

mod array;
mod array_file;
mod augment;
mod bad;
mod batch_settings;
mod batches;
mod cifar;
mod contact_sheet;
mod convert;
mod crew;
mod csv;
mod database;
mod datum;
mod error;
mod feed;
mod file;
mod hdf5;
mod idx;
mod image;
mod image_filter;
mod image_list;
mod imageset;
pub mod leveldb;
pub mod lmdb;
mod location;
mod mean;
mod mixup;
mod npy;
mod npz;
mod open;
mod order;
mod random;
mod resize;
mod row_file;
mod source;
mod sources;
mod transform;
mod windows;
mod writer;

pub use array_file::{hdf5_bytes, npy_bytes};
pub use bad::{BadSamples, LabelRange};
pub use batch_settings::{OnBad, Settings, Shard};
pub use batches::Batches;
pub use contact_sheet::contact_sheet;
pub use convert::{Entry, numbered, write_database};
pub use datum::parse_datum;
pub use error::{Access, DataError};
pub use feed::{Feed, Images, Place};
pub use hdf5::Tables;
pub use image::{Decode, Image};
pub use image_filter::{Border, FILTERS, Matrix};
pub use imageset::{Encoding, Imageset};
pub use location::{Column, Location};
pub use mean::MeanImage;
pub use npy::read_npy;
pub use npz::{NamedArray, read_npz};
pub use open::open_layer;
pub use random::Draw;
pub use row_file::RowFile;
pub use source::{Pixels, Sample, Source};
pub use sources::{SOURCES, open_source};
pub use transform::Transform;
pub use writer::{DatabaseWriter, WRITERS, create_database, put_datum};
