//! `cnnctl man`.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory};

use super::{Cli, Done, Failure, failure::FAILED};
use crate::report;

/// Write the manual pages: cnnctl.1 and one for each command
///
/// For `man cnnctl` without further settings: cnnctl man ~/.local/share/man/man1
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Where to; made if it is not there
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl ManArgs {
    pub(super) fn run(self) -> Done {
        let fail = |e| Failure::new(FAILED, format!("cannot write to {}: {e}", self.directory.display()));
        fs::create_dir_all(&self.directory).map_err(fail)?;
        clap_mangen::generate_to(Cli::command(), &self.directory).map_err(fail)?;
        report::info(&format!("Manual pages are in {}", self.directory.display()));
        Ok(0)
    }
}
