//! LMDB databases: read by plain file reads, written in one pass in key order.
//!
//! Written for this one use, in safe code, rather than bound to the C library: that maps the file, so that a
//! cut-off database or a lost file server kills the process (SIGBUS), damaged pages crash it, and a reader wants to write a lock
//! file. Training data does not change while it is read; so no map, lock or transaction is needed. The
//! tests in `tests/lmdb.rs` hold both directions against the C library.

mod page;
mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;
