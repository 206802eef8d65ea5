//! Runs on disk: what training leaves beside its metrics, and what others can read of it while it goes on.
//!
//! A run is a metrics file (`NAME.jsonl`), its journal beside it (`NAME.run`, see [`entry`]), and the snapshots at the
//! prefix that the journal names. Metrics without a journal, as of an older version, are a run, too, of which less is known.

pub mod curves;
pub mod entry;
mod evaluation;
mod find;
mod follow;
mod journal;
mod record;
mod snapshots;
mod state;
pub mod thin;
mod view;

pub use evaluation::Evaluation;
pub use find::Runs;
pub use journal::Journal;
pub(in crate::report) use journal::log;
pub use snapshots::Snapshot;
pub use state::State;
pub use view::{Detail, Series, Summary};

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::snapshot;
use curves::Curves;
use follow::Follow;
use record::Record;
use state::Signs;

/// A run and how far its files have been read.
pub struct Run {
    /// Its name among all: the metrics file's path from the folder of runs.
    id: String,
    metrics: Follow,
    journal: Follow,
    curves: Curves,
    record: Record,
}

impl Run {
    /// The run of a metrics file, of which nothing is read yet.
    fn new(id: String, metrics: PathBuf) -> Self {
        let journal = Follow::new(entry::journal_path(&metrics));
        let metrics = Follow::new(metrics);
        Self { id, metrics, journal, curves: Curves::default(), record: Record::default() }
    }

    /// Its name among all: the metrics file's path from the folder of runs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its metrics file.
    pub fn metrics(&self) -> &Path {
        self.metrics.path()
    }

    /// Whether its files tell of no start and of no iteration, as far as they have been read.
    pub fn is_empty(&self) -> bool {
        self.record.start.is_none() && self.curves.iter().next().is_none()
    }

    /// What was known when its last process began, if it has a journal.
    pub fn start(&self) -> Option<&entry::Start> {
        self.record.start.as_ref()
    }

    /// Reads what has come since the last call. A file that is not there yet, or no more, gives nothing.
    fn refresh(&mut self) {
        for (file, sink) in [
            (&mut self.metrics, &mut self.curves as &mut dyn follow::Sink),
            (&mut self.journal, &mut self.record),
        ] {
            match file.read(sink) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::debug!("{}: {error}", file.path().display());
                }
                _ => {}
            }
        }
    }

    /// When it last wrote something.
    fn modified(&self) -> Option<SystemTime> {
        self.metrics.modified().max(self.journal.modified())
    }

    /// How it stands, and why it has ended.
    pub fn state(&self) -> (State, &str) {
        match (&self.record.start, &self.record.end) {
            (None, _) => (state::state_of_metrics(self.signs()), ""),
            (Some(_), Some((how, why))) => (state::ended(*how), why),
            (Some(_), None) => (state::without_end(self.signs()), ""),
        }
    }

    /// What tells whether a process still trains.
    fn signs(&self) -> Signs {
        let silent = self.modified().and_then(|then| SystemTime::now().duration_since(then).ok());
        Signs {
            locked: snapshot::is_locked(&self.prefix().to_string_lossy()),
            here: self.record.start.as_ref().is_none_or(|start| start.host == host()),
            silent: silent.unwrap_or_default().as_secs_f64(),
        }
    }

    /// What the names of its snapshots begin with. If nothing is there any more, they may have moved with the run.
    fn prefix(&self) -> PathBuf {
        let beside = |name: &std::ffi::OsStr| self.metrics.path().with_file_name(name);
        match &self.record.start {
            Some(start) if start.prefix.parent().is_some_and(Path::is_dir) => start.prefix.clone(),
            Some(start) => beside(start.prefix.file_name().unwrap_or_default()),
            None => beside(self.metrics.path().file_stem().unwrap_or_default()),
        }
    }
}

/// This host's name; empty if it has none.
pub fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_end().to_owned()
}
