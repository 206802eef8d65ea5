//! Single lines, for the log or past it.

use super::screen;
use crate::config::{Diagnostic, folded};

/// A line of the log.
pub fn info(message: &str) {
    tracing::info!("{message}");
}

/// A warning.
pub fn warn(message: &str) {
    tracing::warn!("{message}");
}

/// Prints an error as the last word of a run.
pub fn complain(message: &str) {
    screen::write_lines(message);
}

/// Shows the warnings of a configuration file.
pub fn warn_all<'a>(warnings: impl IntoIterator<Item = &'a Diagnostic>) {
    let warnings: Vec<Diagnostic> = warnings.into_iter().cloned().collect();
    for warning in folded(&warnings) {
        complain(&warning.to_string());
    }
}
