//! What people see: log lines, progress bars, tables and metrics files.
//!
//! This module alone prints. Data goes to stdout, the rest to stderr.

mod appender;
mod bad_samples;
mod check;
mod columns;
mod csv;
mod debug;
pub mod draw;
mod evaluation;
pub mod history;
mod lines;
mod log;
mod log_format;
mod metrics;
mod metrics_line;
mod number;
mod outcome;
pub mod picture;
pub mod plot;
mod pretty;
mod progress;
pub mod runs;
mod screen;
mod summary;
mod table;
pub mod tensorboard;
pub mod web;

pub use bad_samples::BadSampleNotes;
pub use check::{Tally, diagnostics_json, diagnostics_text, match_table};
pub use evaluation::{evaluation_csv, evaluation_json, evaluation_text, predictions_csv};
pub use lines::{complain, info, warn, warn_all};
pub use log::{batch, copied, epochs, means, resumed};
pub use log_format::{LogFormat, LogOptions, start_log};
pub use metrics::test_json;
use number::grouped;
pub use number::{general, short};
pub use runs::Journal;
pub use summary::{summary_csv, summary_json, summary_table};
pub use table::{Align, Table};

use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use crate::{
    net::Net,
    solver::{Event, Observer, Solver},
};

/// What is recorded of a run, beside its log.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Metrics files: a table where the name ends in `.csv`, else a JSON object a line.
    pub metrics: Vec<PathBuf>,
    /// Whether each line of them tells the time.
    pub timed: bool,
    /// The folder of TensorBoard's event files.
    pub tensorboard: Option<PathBuf>,
    /// Iterations between histograms of weights and gradients in them.
    pub histograms: Option<i32>,
}

/// Follows a run: the log, the progress bar, and what else is recorded.
pub struct Reporter {
    metrics: Vec<metrics::Metrics>,
    board: Option<tensorboard::Board>,
    progress: progress::Progress,
    outcome: outcome::Outcome,
    bad: BadSampleNotes,
}

impl Reporter {
    /// Follows a run that starts where the solver stands.
    ///
    /// # Errors
    /// Says why when a file cannot be written.
    pub fn new(records: &Records, solver: &Solver) -> Result<Self, String> {
        let metrics = records.metrics.iter();
        let metrics = metrics.map(|path| metrics::Metrics::open(path, records.timed, solver));
        let board = records.tensorboard.as_ref();
        let board = board.map(|folder| tensorboard::Board::open(folder, records.histograms, solver));
        Ok(Self {
            metrics: metrics.collect::<Result<_, _>>()?,
            board: board.transpose()?,
            progress: progress::Progress::default(),
            outcome: outcome::Outcome::new(solver),
            bad: BadSampleNotes::default(),
        })
    }
}

impl Observer for Reporter {
    fn see(&mut self, solver: &Solver, event: &Event<'_>) {
        self.outcome.event(solver, event);
        self.progress.event(solver, event, &self.outcome);
        let pretty = log_format::format() == LogFormat::Pretty;
        if !(pretty && pretty::event(solver, event, &self.outcome)) {
            log::event(solver, event);
        }
        self.metrics.iter_mut().for_each(|metrics| metrics.event(solver, event));
        self.board.iter_mut().for_each(|board| board.event(solver, event));
        if matches!(event, Event::Train { shown: true, .. } | Event::Test { .. }) {
            self.bad.tell(solver.nets());
        }
        if matches!(event, Event::End(_)) {
            self.bad.sum_up(solver.nets());
            self.outcome.sum_up(solver);
        }
    }

    fn wants_gradients(&self, iter: i32) -> bool {
        self.board.as_ref().is_some_and(|board| board.has_histograms(iter))
    }
}

/// How long the layers of all nets have waited for data.
fn waited_for_data(solver: &Solver) -> Duration {
    solver.nets().map(Net::waited_for_data).sum()
}

/// Writes data to stdout. A reader that has seen enough, as in `cnnctl layers | head`, is no error.
///
/// # Errors
/// Says why when stdout cannot be written, for example because a disk is full.
pub fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(format!("cannot write to stdout: {e}")),
        _ => Ok(()),
    }
}

/// Prints a chart to stdout, as wide as the terminal, in colours where there are some.
///
/// # Errors
/// Says why when stdout cannot be written.
pub fn print_chart(chart: &plot::Chart) -> Result<(), String> {
    let term = console::Term::stdout();
    let width = if term.is_term() { usize::from(term.size().1) } else { 80 };
    print(&plot::text(chart, width, console::colors_enabled()))
}
