//! Configuration: Caffe's schema, the protobuf text format, upgrades of old files, and checks.

pub mod proto;
