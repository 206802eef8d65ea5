//! What `cnnctl train` records of a run, beside its log.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    Failure,
    failure::{CONFIG, FAILED},
};
use crate::{
    files,
    report::{self, Records},
};

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
    /// When the run ends, early or not, write a page about it in one file; without --metrics, they are put beside it
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

impl RecordArgs {
    /// What they ask for.
    pub fn records(&self) -> Records {
        Records {
            metrics: self.metrics.iter().cloned().chain(self.own_lines()).collect(),
            timed: self.metrics_time,
            tensorboard: self.tensorboard.clone(),
            histograms: self.histograms,
        }
    }

    /// The first metrics file of JSON objects, to which the run's journal belongs.
    pub fn lines(&self) -> Option<PathBuf> {
        self.given_lines().cloned().or_else(|| self.own_lines())
    }

    fn given_lines(&self) -> Option<&PathBuf> {
        self.metrics.iter().find(|path| !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")))
    }

    /// The metrics that a report is made from, if no other file has them.
    fn own_lines(&self) -> Option<PathBuf> {
        self.report
            .as_ref()
            .filter(|_| self.given_lines().is_none())
            .map(|report| report.with_extension("jsonl"))
    }

    /// Refuses to write over one of the files that the run reads.
    pub fn spare<'a>(&self, read: impl IntoIterator<Item = &'a Path>) -> Result<(), Failure> {
        let read: Vec<PathBuf> = read.into_iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        let metrics = self.records().metrics;
        let written = metrics.iter().map(|path| ("--metrics", path));
        for (flag, path) in written.chain(self.report.iter().map(|path| ("--report", path))) {
            if fs::canonicalize(path).is_ok_and(|path| read.contains(&path)) {
                let message = format!("{flag} would write over {}, which this run reads", path.display());
                return Err(Failure::new(CONFIG, message));
            }
        }
        Ok(())
    }

    /// Makes the folders of metrics and of a report, so that a run does not fail for that, at its end least of all.
    pub fn make_room(&self) -> Result<(), Failure> {
        let folders = self.metrics.iter().chain(&self.report).filter_map(|file| file.parent());
        folders.filter(|folder| !folder.as_os_str().is_empty()).try_for_each(|folder| {
            let failed = |e| Failure::new(FAILED, format!("cannot make {}: {e}", folder.display()));
            files::make_folder(folder).map_err(failed)
        })
    }

    /// Writes the report, if one is wanted. That it cannot be written is only said: how the run has ended counts for more.
    pub fn write_report(&self) {
        if let (Some(path), Some(lines)) = (&self.report, self.lines())
            && let Err(failure) = super::report::write(vec![lines], path)
        {
            report::warn(failure.message.trim_start_matches("error: "));
        }
    }
}
