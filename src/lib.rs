//! cnnctl: trains, tests and resumes convolutional networks from Caffe's configuration files, on CPUs.
//!
//! Data flows one way, text -> [`config`] -> [`net`] -> [`solver`] -> [`snapshot`]; see `ARCHITECTURE.md`.

pub mod cli;
pub mod comm;
pub mod config;
pub mod data;
pub mod files;
pub mod kernels;
pub mod layers;
pub mod measures;
pub mod net;
pub mod report;
pub mod snapshot;
pub mod solver;
pub mod tensor;
