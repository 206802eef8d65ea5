//! `cnnctl upgrade`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use prost::{Message, Name};

use super::{Done, Failure, failure::CONFIG, output};
use crate::{
    config::{self, FileMap, text},
    report,
    snapshot::write_whole,
};

/// Bring files of old versions of Caffe into today's form, as its tools upgrade_net_proto_text,
/// upgrade_net_proto_binary and upgrade_solver_proto_text do
///
/// A text becomes a text, without its comments; a binary file stays binary and keeps its weights.
#[derive(Args, Debug)]
pub struct UpgradeArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A net, or a file of weights
    Net(Files),
    /// A solver
    Solver(Files),
}

/// Where from and where to.
#[derive(Args, Debug)]
pub struct Files {
    /// The old file
    input: PathBuf,
    /// The new file; without it a text goes to stdout
    output: Option<PathBuf>,
}

impl UpgradeArgs {
    pub(super) fn run(self) -> Done {
        match self.what {
            What::Net(files) => files.net(),
            What::Solver(files) => files.solver(),
        }
    }
}

impl Files {
    pub(super) fn net(&self) -> Done {
        let file = config::load_net(&self.input)?;
        report::warn_all(&file.warnings);
        self.write(&file.net, &file.file, &file.upgrades)
    }

    pub(super) fn solver(&self) -> Done {
        let file = config::load_solver(&self.input)?;
        report::warn_all(&file.warnings);
        self.write(&file.solver, &file.file, &file.upgrades)
    }

    fn write<M: Message + Name>(&self, message: &M, file: &FileMap, upgrades: &[&str]) -> Done {
        let name = self.input.display();
        match upgrades {
            [] => report::info(&format!("File already in latest proto format: {name}")),
            old => report::info(&format!("Upgraded {name}: {}", old.join(", "))),
        }
        let bytes = if file.is_text() { text::print(message).into_bytes() } else { message.encode_to_vec() };
        match &self.output {
            Some(path) => {
                write_whole(path, &bytes)?;
                report::info(&format!("Wrote the upgraded file to {}", path.display()));
            }
            None if file.is_text() => {
                output::print(&String::from_utf8_lossy(&bytes))?;
            }
            None => {
                let message = format!("{name} is binary: name the file to write");
                return Err(Failure::new(CONFIG, message));
            }
        }
        Ok(0)
    }
}
