//! The answers to the page's questions, as bytes.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

use super::pictures::{self, Filters};
use crate::report::runs::{Detail, Run, Runs, Snapshot, Summary};

/// A curve has so many points at most, and so many if nobody asks.
const MOST_POINTS: usize = 20_000;
const POINTS: usize = 1000;

/// What the page shows: runs, read when it asks.
pub struct Answers {
    runs: Mutex<Runs>,
    title: String,
    /// Of each run.
    filters: Mutex<HashMap<String, Seen>>,
}

/// A file at a time, and the filters in it.
type Seen = (Version, Option<Arc<Filters>>);
/// A file and when it was written.
type Version = (PathBuf, Option<u64>);

/// What is wrong with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such thing.
    NotFound,
    /// It is there, but cannot be shown.
    NotShown,
}

/// Bytes and their media type.
pub type Answer = Result<(&'static str, Vec<u8>), Refusal>;

/// The list of runs.
#[derive(Serialize)]
struct List<'a> {
    title: &'a str,
    runs: Vec<Summary>,
}

/// All that is known of a run but for its curves.
#[derive(Serialize)]
pub struct Known {
    #[serde(flatten)]
    detail: Detail,
    filters: Option<About>,
}

/// What the picture of the filters shows.
#[derive(Serialize)]
struct About {
    layer: String,
    shape: [usize; 4],
    snapshot: String,
}

impl Known {
    /// With what is known of the filters.
    pub fn new(detail: Detail, filters: Option<&Filters>) -> Self {
        let snapshot = newest(&detail.snapshots).map_or_else(String::new, |s| s.file.clone());
        let about = |f: &Filters| About { layer: f.layer.clone(), shape: f.shape, snapshot };
        Self { filters: filters.map(about), detail }
    }
}

/// The snapshot whose weights are shown: the newest, or those of the best test if there is no other.
pub fn newest(snapshots: &[Snapshot]) -> Option<&Snapshot> {
    snapshots.iter().find(|s| s.iter.is_some()).or(snapshots.first())
}

impl Answers {
    /// About these runs.
    pub fn new(runs: Runs, title: String) -> Self {
        Self { runs: Mutex::new(runs), title, filters: Mutex::default() }
    }

    /// All runs, a line each.
    pub fn list(&self) -> Answer {
        let runs = self.with(|runs| Some(runs.iter().map(Run::summary).collect()))?;
        json(&List { title: &self.title, runs })
    }

    /// All that is known of a run but for its curves.
    pub fn detail(&self, id: &str) -> Answer {
        let detail = self.with(|runs| runs.get(id).map(Run::detail))?;
        let filters = self.filters_of(id, &detail.snapshots);
        json(&Known::new(detail, filters.as_deref()))
    }

    /// The curves of a run.
    pub fn series(&self, id: &str, range: &RangeInclusive<i32>, points: Option<usize>) -> Answer {
        let points = points.unwrap_or(POINTS).clamp(3, MOST_POINTS);
        json(&self.with(|runs| runs.get(id).map(|run| run.series(range, points)))?)
    }

    /// The net of a run as a graph.
    pub fn graph(&self, id: &str) -> Answer {
        let start = self.with(|runs| runs.get(id).map(|run| run.start().cloned()))?;
        let svg = start.as_ref().and_then(pictures::graph).ok_or(Refusal::NotShown)?;
        Ok(("image/svg+xml", svg.into_bytes()))
    }

    /// The filters of a run that look at its input.
    pub fn filters(&self, id: &str) -> Answer {
        let snapshots = self.with(|runs| runs.get(id).map(Run::snapshots))?;
        let filters = self.filters_of(id, &snapshots).ok_or(Refusal::NotShown)?;
        Ok(("image/png", filters.png.clone()))
    }

    /// The filters in the newest snapshot, which is read once.
    fn filters_of(&self, id: &str, snapshots: &[Snapshot]) -> Option<Arc<Filters>> {
        let newest = newest(snapshots)?;
        let version = (newest.path.clone(), newest.time.map(f64::to_bits));
        let known = || self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, filters)) = known().get(id).filter(|(known, _)| *known == version) {
            return filters.clone();
        }
        // Large weights take their time: others are answered meanwhile.
        let filters = pictures::filters(&newest.path).map(Arc::new);
        known().insert(id.to_owned(), (version, filters.clone()));
        filters
    }

    /// What the runs tell, up to date.
    fn with<T>(&self, tell: impl FnOnce(&Runs) -> Option<T>) -> Result<T, Refusal> {
        // Whoever panicked has only read.
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.refresh();
        tell(&runs).ok_or(Refusal::NotFound)
    }
}

fn json(value: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(value).map_err(|_| Refusal::NotShown)?;
    Ok(("application/json", bytes))
}
