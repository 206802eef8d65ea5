//! `cnnctl parse-log`.

use std::path::PathBuf;

use clap::Args;

use super::{Done, Failure, failure::CONFIG};
use crate::{
    report::{
        self,
        history::{self, History, TableOptions},
    },
    snapshot,
};

/// Turn a log of training into the tables of Caffe's parse_log.py
///
/// Writes LOG.train and LOG.test into a folder: NumIters, Seconds, LearningRate, then a column for each output. Takes logs of
/// caffe and of cnnctl (--log-format caffe or json), with or without times. Where a run was taken up again at an earlier
/// iteration, what it said of that and later ones before is left out.
#[derive(Args, Debug)]
pub struct ParseLogArgs {
    /// The log
    #[arg(value_name = "LOG")]
    file: PathBuf,
    /// The folder for the tables
    #[arg(value_name = "OUTDIR", default_value = ".")]
    folder: PathBuf,
    /// What stands between the cells of a table
    #[arg(long, value_name = "CHARACTER", default_value_t = ',')]
    delimiter: char,
}

impl ParseLogArgs {
    pub(super) fn run(self) -> Done {
        let history = History::read(&self.file)?;
        for turn in &history.turns {
            report::info(&format!(
                "line {}: the run goes back from iteration {} to {}",
                turn.line, turn.from, turn.to
            ));
        }
        let Some(name) = self.file.file_name() else {
            return Err(Failure::new(CONFIG, format!("{}: no name for tables", self.file.display())));
        };
        let tables = history::tables(&history, &TableOptions { delimiter: self.delimiter });
        for (kind, table) in ["train", "test"].into_iter().zip(tables) {
            let mut table_name = name.to_owned();
            table_name.push(format!(".{kind}"));
            let path = self.folder.join(table_name);
            match table {
                Some(table) => {
                    snapshot::write_whole(&path, table.as_bytes())?;
                    let rows = table.lines().count() - 1;
                    report::info(&format!("Wrote {} ({rows} rows)", path.display()));
                }
                None => report::info(&format!("Not writing {}: no {kind} outputs", path.display())),
            }
        }
        Ok(0)
    }
}
