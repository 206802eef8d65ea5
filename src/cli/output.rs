//! What commands print and the files that they write.

use std::path::Path;

use super::{Failure, failure::FAILED};
use crate::{report, snapshot::write_whole};

/// Prints to stdout.
pub fn print(text: &str) -> Result<(), Failure> {
    report::print(text).map_err(|e| Failure::new(FAILED, e))
}

/// Writes a file, whole or not at all, and says so.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_whole(path, bytes)?;
    report::info(&format!("Wrote {}", path.display()));
    Ok(())
}
