//! The snapshots that a run has left.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Serialize;

use super::{Run, entry::seconds};
use crate::snapshot;

/// A snapshot.
#[derive(Debug, Serialize)]
pub struct Snapshot {
    /// Its iteration; none for the weights of the best test.
    pub iter: Option<i32>,
    /// The file of weights.
    pub file: String,
    /// The length of that file in bytes.
    pub bytes: u64,
    /// When it was written, in seconds since 1970.
    pub time: Option<f64>,
    /// The file's whole path, which is nobody else's to know.
    #[serde(skip)]
    pub path: PathBuf,
}

impl Run {
    /// Its snapshots, newest first; the weights of the best test before them all.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let prefix = self.prefix();
        let best = ["caffemodel", "caffemodel.h5"].map(|ending| {
            let mut name = prefix.as_os_str().to_owned();
            name.push(format!("_best.{ending}"));
            (None, PathBuf::from(name))
        });
        let states = snapshot::states(&prefix.to_string_lossy());
        let numbered = states.into_iter().map(|(iter, state)| {
            let name = state.to_string_lossy().replace(".solverstate", ".caffemodel");
            (Some(iter), PathBuf::from(name))
        });
        best.into_iter().chain(numbered).filter_map(|(iter, path)| file(iter, path)).collect()
    }
}

fn file(iter: Option<i32>, path: PathBuf) -> Option<Snapshot> {
    let there = fs::metadata(&path).ok()?;
    let name = path.file_name().map(Path::new)?.display().to_string();
    let time = there.modified().ok().map(seconds as fn(SystemTime) -> f64);
    Some(Snapshot { iter, file: name, bytes: there.len(), time, path })
}
