//! The journal of a run: the file `NAME.run` beside its metrics, a JSON object a line.
//!
//! Metrics have the same bytes whenever and wherever a run is made; what differs stands here: when, where, from which
//! files, how fast, what the log said, and how it ended. A run that goes on after a stop adds to its journal.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Entry {
    /// A process begins to train.
    Start(Box<Start>),
    /// How far training has come, about once a second.
    At {
        /// Seconds since 1970.
        time: f64,
        /// Iterations done.
        iter: i32,
    },
    /// Lines of the log.
    Log {
        /// The lines.
        text: String,
    },
    /// The process has ended, and not by a kill.
    End {
        /// Seconds since 1970.
        time: f64,
        /// Iterations done.
        iter: i32,
        /// How.
        how: How,
        /// Why, if not because all was done.
        #[serde(default)]
        why: String,
    },
    /// What a later version writes.
    #[serde(other)]
    Unknown,
}

/// How a process that trained has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// At `max_iter`, or where patience was at its end.
    Done,
    /// Before, with a snapshot to go on from.
    Stopped,
    /// With an error.
    Failed,
}

/// What is known when training begins. What an older version has not written is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {
    /// Seconds since 1970.
    pub time: f64,
    /// Iterations done.
    pub iter: i32,
    /// The program's version.
    pub version: String,
    /// The process.
    pub process: u32,
    /// The host that it runs on.
    pub host: String,
    /// The command line.
    pub command: Vec<String>,
    /// The name of the metrics file, which is beside the journal.
    pub metrics: String,
    /// What the names of snapshots begin with, from the root.
    pub prefix: PathBuf,
    /// Iterations to do in all.
    pub max_iter: i32,
    /// The seed of all random numbers.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// Values that are learned.
    pub parameters: u64,
    /// Samples of the training set; 0 if there is none, or not just one.
    pub samples: u64,
    /// Samples of it that an iteration reads.
    pub samples_per_iteration: u64,
    /// The solver file.
    pub solver_file: PathBuf,
    /// The settings, as prototxt, without the nets.
    pub solver: String,
    /// The net before filtering, as prototxt.
    pub net: String,
    /// Shapes of the blobs that the train net's data comes in.
    pub shapes: Vec<(String, Vec<usize>)>,
}

/// The journal of the run that writes these metrics.
pub fn journal_path(metrics: &Path) -> PathBuf {
    if metrics.extension().is_some_and(|e| e == "run") {
        // A metrics file of this name must not be its own journal.
        let mut name = metrics.as_os_str().to_owned();
        name.push(".run");
        return name.into();
    }
    metrics.with_extension("run")
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> f64 {
    // Milliseconds are enough, and short.
    (time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3).round() / 1e3
}
