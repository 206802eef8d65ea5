//! `cnnctl man`.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{Cli, Done, Failure, failure::FAILED};
use crate::{report, snapshot::write_whole};

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
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        write(command, &self.directory)?;
        report::info(&format!("Manual pages are in {}", self.directory.display()));
        Ok(0)
    }
}

/// Writes the pages of a command and of those below it, as `clap_mangen::generate_to` does, but each whole or not at all.
fn write(command: Command, directory: &Path) -> Result<(), Failure> {
    for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        write(below.clone(), directory)?;
    }
    let page = Man::new(command);
    let path = directory.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text)
        .map_err(|e| Failure::new(FAILED, format!("cannot make {}: {e}", path.display())))?;
    Ok(write_whole(&path, &text)?)
}
