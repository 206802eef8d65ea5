//! `cnnctl completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Done, output};

/// Print a script that completes commands and options in a shell
///
/// For bash: cnnctl completions bash > ~/.local/share/bash-completion/completions/cnnctl
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Whose script
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self) -> Done {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "cnnctl", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(0)
    }
}
