//! What `cnnctl train` records of a run, beside its log.

use std::path::PathBuf;

use clap::Args;

use crate::report::Records;

/// Files about a run.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// Write what happens to a file: a table if its name ends in .csv, else a JSON object a line; may be given several
    /// times
    #[arg(long, value_name = "FILE")]
    metrics: Vec<PathBuf>,
    /// Add the time to each line of the metrics, in seconds since 1970; the files of equal runs then differ
    #[arg(long, requires = "metrics")]
    metrics_time: bool,
    /// Write event files for TensorBoard into a folder
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
    /// Add histograms of weights and gradients to them every N iterations
    #[arg(long, value_name = "N", requires = "tensorboard", value_parser = clap::value_parser!(i32).range(1..))]
    histograms: Option<i32>,
}

impl RecordArgs {
    /// What they ask for.
    pub fn records(&self) -> Records {
        Records {
            metrics: self.metrics.clone(),
            timed: self.metrics_time,
            tensorboard: self.tensorboard.clone(),
            histograms: self.histograms,
        }
    }
}
