//! `cnnctl convert`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Done, Failure};
use crate::{
    data::{self, Location},
    report,
};

/// Turn data sets of other formats into databases
#[derive(Args, Debug)]
pub struct ConvertArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// The two files of MNIST and its like: images and labels, each plain or gzipped
    Idx {
        /// The images: idx3-ubyte or idx3-ubyte.gz
        images: PathBuf,
        /// The labels: idx1-ubyte or idx1-ubyte.gz
        labels: PathBuf,
        /// The folder to make; one that is there already is left alone
        db: PathBuf,
        /// The kind of database
        #[arg(long, default_value = "lmdb", value_parser = kinds())]
        backend: String,
    },
}

/// The kinds of databases that can be written.
fn kinds() -> clap::builder::PossibleValuesParser {
    data::WRITERS.iter().map(|(name, _)| *name).collect::<Vec<_>>().into()
}

impl ConvertArgs {
    pub(super) fn run(self) -> Done {
        let From::Idx { images, labels, db, backend } = self.from;
        let location = Location { path: images, labels: Some(labels), ..Location::default() };
        let fail = |e| Failure::data(&e);
        let source = data::open_source("idx", &location).map_err(fail)?;
        data::write_database(&*source, &backend, &db).map_err(fail)?;
        report::info(&format!("{} samples are now in {}", source.len(), db.display()));
        Ok(0)
    }
}
