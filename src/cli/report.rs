//! `cnnctl report`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{
    Done, Failure,
    failure::{CONFIG, DATA},
    output,
};
use crate::report::{runs::Runs, web};

/// Write the page of one or several runs to a single file, to keep or to send
///
/// It holds what `cnnctl dashboard` shows, as it is now, and needs neither a server nor other files.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Metrics files, or folders with runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The file to write
    #[arg(short, long, value_name = "FILE.html")]
    output: PathBuf,
}

impl ReportArgs {
    pub(super) fn run(self) -> Done {
        write(self.runs, &self.output)?;
        Ok(0)
    }
}

/// Writes the page of these runs.
pub(super) fn write(paths: Vec<PathBuf>, to: &Path) -> Result<(), Failure> {
    let mut runs = Runs::new(paths.clone()).map_err(|e| Failure::new(CONFIG, format!("cannot read {e}")))?;
    runs.refresh();
    // Folders are looked through for runs; what is named must be one.
    if let Some(run) = runs.iter().find(|run| run.is_empty() && paths.iter().any(|p| p == run.metrics())) {
        let message = "tells of no iteration: neither a metrics file of lines of JSON nor a run's journal";
        return Err(Failure::new(DATA, format!("{}: {message}", run.metrics().display())));
    }
    let title = match &runs.iter().map(|run| run.summary().name).collect::<Vec<_>>()[..] {
        [] => {
            return Err(Failure::new(
                CONFIG,
                "there are no runs to report on: metrics files have lines such as \
                                               {\"event\": \"train\", \"iter\": 0, \"loss\": 2.3}",
            ));
        }
        [name] => name.clone(),
        names => format!("{} runs", names.len()),
    };
    let page = web::single_file(&mut runs, &title);
    output::write(to, page.as_bytes())
}
