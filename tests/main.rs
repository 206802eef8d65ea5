//! All tests of the whole program and of the library from outside. They are one program because each would link all of the
//! library anew; `allocations.rs` and `golden.rs` are their own: one has an allocator, the other a folder to work in.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

mod common;

mod aliases;
mod architecture;
mod check;
mod cli;
mod config;
mod curves;
mod dashboard;
mod data;
mod data_damage;
mod docs;
mod draw;
mod early;
mod epochs;
mod export;
mod fed;
mod fused;
mod guides;
mod hostile;
mod jobs;
mod lmdb;
mod log;
mod looking;
mod metrics;
mod models;
mod mpi;
mod mutations;
mod random_nets;
mod snapshot_damage;
mod snapshots;
mod summary;
mod text_format;
mod threads;
mod tidy;
mod tools;
mod upgrades;
