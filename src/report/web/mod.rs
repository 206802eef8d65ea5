//! Runs on a web page: served while they go on, or kept in a file of their own.
//!
//! The page is one HTML, one CSS and one JS file, which the program carries. It asks for JSON, over and over while runs go
//! on; answers carry a tag, so that what has not changed costs nothing. Runs are only read: nothing here writes.

mod answers;
mod guard;
mod page;
mod pictures;
mod serve;

pub use guard::{Guard, new_token};
pub use page::single_file;
pub use serve::{serve, until_signal};
