//! What `cnnctl evaluate --save` has found, if it was put where a run's snapshots are.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::Snapshot;

/// A matrix of more classes is too large to look at.
const CLASSES: usize = 100;
/// A longer file is none of ours.
const LONGEST: u64 = 1 << 26;

/// How a run does on a test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The file.
    #[serde(default)]
    pub file: String,
    /// Samples of the set.
    pub samples: u64,
    /// The share that is classified rightly.
    pub accuracy: f64,
    /// Names of the classes.
    pub names: Vec<String>,
    /// For each class, how many of its samples were taken for each; empty if there are too many classes.
    pub confusion: Vec<Vec<u64>>,
}

/// The evaluation of the newest snapshot that has one, `PREFIX_iter_N.evaluate.json`; else of the run,
/// `PREFIX.evaluate.json`, or of all that is in the snapshots' folder, `evaluate.json`.
pub fn find(prefix: &Path, snapshots: &[Snapshot]) -> Option<Evaluation> {
    let ending = |stem: &str| prefix.with_file_name(format!("{stem}.evaluate.json"));
    let of_snapshot = snapshots.iter().filter_map(|s| Some(ending(s.file.split_once(".caffemodel")?.0)));
    let stem = prefix.file_name().unwrap_or_default().to_string_lossy();
    let others = [ending(&stem), prefix.with_file_name("evaluate.json")];
    of_snapshot.chain(others).find_map(|path| read(&path))
}

fn read(path: &Path) -> Option<Evaluation> {
    let there = fs::metadata(path).ok().filter(|there| there.is_file() && there.len() <= LONGEST);
    let bytes = there.and_then(|_| fs::read(path).ok())?;
    let mut found: Evaluation = serde_json::from_slice(&bytes).ok()?;
    let classes = found.names.len();
    let square = found.confusion.len() == classes && found.confusion.iter().all(|row| row.len() == classes);
    if !square || classes > CLASSES {
        found.confusion.clear();
    }
    found.file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_snapshot_that_has_one_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("a");
        let snapshot = |iter: i32| {
            let file = format!("a_iter_{iter}.caffemodel.h5");
            Snapshot { iter: Some(iter), path: folder.path().join(&file), file, bytes: 1, time: None }
        };
        let snapshots = [snapshot(20), snapshot(10)];
        let text = r#"{"samples":3,"accuracy":0.5,"names":["x","y"],"confusion":[[1,0],[1,1]],"more":1}"#;
        assert_eq!(find(&prefix, &snapshots), None);
        for (name, confusion) in [
            ("evaluate.json", "[[1,0],[1,1]]"),
            ("a.evaluate.json", "[]"),
            ("a_iter_10.evaluate.json", "[[1],[2]]"),
        ] {
            fs::write(folder.path().join(name), text.replace("[[1,0],[1,1]]", confusion)).unwrap();
            assert_eq!(find(&prefix, &snapshots).unwrap().file, name);
        }
        assert!(find(&prefix, &snapshots).unwrap().confusion.is_empty(), "it is no square");
        fs::write(folder.path().join("a_iter_20.evaluate.json"), "{\"samples\":").unwrap();
        assert_eq!(find(&prefix, &snapshots).unwrap().file, "a_iter_10.evaluate.json");
        fs::write(folder.path().join("a_iter_20.evaluate.json"), text).unwrap();
        assert_eq!(find(&prefix, &snapshots).unwrap().confusion, [[1, 0], [1, 1]]);
    }
}
