//! cnnctl: trains, tests and resumes convolutional networks from Caffe's configuration files, on CPUs.
//!
//! Data flows one way, text -> [`config`] -> net -> solver -> snapshot; see `ARCHITECTURE.md`.

pub mod config;
