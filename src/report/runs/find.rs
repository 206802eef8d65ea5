//! Finds the runs under a folder.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Run, entry::Entry};
use crate::report::metrics_line::MetricsLine;

/// Folders are looked into so deep.
const DEPTH: usize = 8;
/// So many files and folders are looked at.
const ENTRIES: usize = 200_000;
/// So often folders are looked through.
const SCAN: Duration = Duration::from_secs(2);
/// So often files are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// First lines of files that are ours are shorter.
const FIRST_LINE: u64 = 1 << 20;

/// The runs under a folder, or at a list of files.
pub struct Runs {
    roots: Vec<PathBuf>,
    /// The folder that all of them are in, from which runs are named.
    base: PathBuf,
    runs: BTreeMap<String, Run>,
    scanned: Option<Instant>,
    looked: Option<Instant>,
}

impl Runs {
    /// The runs under folders, or of files: metrics or journals.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn new(roots: Vec<PathBuf>) -> io::Result<Self> {
        for root in &roots {
            let there = fs::metadata(root);
            there.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", root.display())))?;
        }
        let base = common(&roots);
        Ok(Self { roots, base, runs: BTreeMap::new(), scanned: None, looked: None })
    }

    /// Reads what has come since the last call, but not more often than is of use.
    pub fn refresh(&mut self) {
        if self.scanned.is_none_or(|then| then.elapsed() >= SCAN) {
            self.scan();
            self.scanned = Some(Instant::now());
        }
        if self.looked.is_none_or(|then| then.elapsed() >= LOOK) {
            self.runs.values_mut().for_each(Run::refresh);
            self.looked = Some(Instant::now());
        }
    }

    /// All runs, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Run> {
        self.runs.values()
    }

    /// The run of this name. Names are looked up, and never become paths.
    pub fn get(&self, id: &str) -> Option<&Run> {
        self.runs.get(id)
    }

    fn scan(&mut self) {
        // Files that are known need no second look.
        let files = |run: &Run| [run.metrics.path().to_owned(), run.journal.path().to_owned()];
        let known: HashMap<PathBuf, PathBuf> = (self.runs.values())
            .flat_map(|run| files(run).map(|file| (file, run.metrics.path().to_owned())))
            .collect();
        let mut found = BTreeMap::new();
        let mut add = |metrics: PathBuf| {
            let id = metrics.strip_prefix(&self.base).unwrap_or(&metrics).display().to_string();
            found.insert(id, metrics);
        };
        for root in &self.roots {
            if root.is_dir() {
                let mut left = ENTRIES;
                walk(root, DEPTH, &mut left, &mut |path| {
                    known.get(path).cloned().or_else(|| metrics_of(path)).into_iter().for_each(&mut add);
                });
            } else {
                add(metrics_of(root).unwrap_or_else(|| root.clone()));
            }
        }
        self.runs.retain(|id, run| found.get(id).is_some_and(|path| path == run.metrics.path()));
        for (id, metrics) in found {
            if !self.runs.contains_key(&id) {
                self.looked = None;
                self.runs.insert(id.clone(), Run::new(id, metrics));
            }
        }
    }
}

/// The folder that all folders and files are in; a single folder is its own.
fn common(roots: &[PathBuf]) -> PathBuf {
    let mut folders =
        roots.iter().map(|r| if r.is_dir() { r.as_path() } else { r.parent().unwrap_or(Path::new("")) });
    let Some(first) = folders.next() else { return PathBuf::new() };
    folders.fold(first.to_owned(), |base, folder| {
        base.components().zip(folder.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

/// Shows `see` the files under a folder. Hidden ones and links are left out: a folder of runs ends where it ends.
fn walk(folder: &Path, depth: usize, left: &mut usize, see: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Some(rest) = left.checked_sub(1) else { return };
        *left = rest;
        let (name, path) = (entry.file_name(), entry.path());
        let Ok(kind) = entry.file_type() else { continue };
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() && depth > 0 {
            walk(&path, depth - 1, left, see);
        } else if kind.is_file() {
            see(&path);
        }
    }
}

/// The metrics file of the run that a file belongs to, if it is its journal or the metrics themselves.
fn metrics_of(path: &Path) -> Option<PathBuf> {
    let ending = path.extension()?;
    if ending == "run" {
        let name = match serde_json::from_slice(&first_line(path)?).ok()? {
            Entry::Start(start) => start.metrics,
            _ => return None,
        };
        // Beside it, whatever the name says.
        return Some(path.with_file_name(Path::new(&name).file_name()?));
    }
    (ending == "jsonl" && MetricsLine::parse(&first_line(path)?).is_ok()).then(|| path.to_owned())
}

fn first_line(path: &Path) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(File::open(path).ok()?.take(FIRST_LINE)).read_until(b'\n', &mut line).ok()?;
    line.pop().filter(|&end| end == b'\n')?;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "{\"event\":\"train\",\"iter\":0,\"loss\":1}\n";

    fn ids(root: &Path) -> Vec<String> {
        ids_of(vec![root.to_owned()])
    }

    fn ids_of(roots: Vec<PathBuf>) -> Vec<String> {
        let mut runs = Runs::new(roots).unwrap();
        runs.refresh();
        runs.scan();
        runs.iter().map(|run| run.id().to_owned()).collect()
    }

    #[test]
    fn runs_are_found_by_metrics_and_by_journals_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("deep/er")).unwrap();
        fs::create_dir_all(at(".hidden")).unwrap();
        fs::write(at("deep/er/a.jsonl"), LINE).unwrap();
        fs::write(at(".hidden/b.jsonl"), LINE).unwrap();
        fs::write(at("other.jsonl"), "{\"text\":\"x\"}\n").unwrap();
        fs::write(at("half.jsonl"), &LINE[..20]).unwrap();
        fs::write(at("empty.jsonl"), "").unwrap();
        fs::write(at("setup.run"), [&[0x7f, b'E', b'L', b'F', 0xff], &[b'\n'; 9][..]].concat()).unwrap();
        fs::write(at("m.run"), "{\"event\":\"start\",\"time\":1,\"metrics\":\"m\"}\n").unwrap();
        fs::write(at("evil.run"), "{\"event\":\"start\",\"metrics\":\"/etc/passwd\"}\n").unwrap();
        std::os::unix::fs::symlink("/", at("link")).unwrap();
        assert_eq!(ids(folder.path()), ["deep/er/a.jsonl", "m", "passwd"]);
        assert_eq!(ids(&at("deep/er/a.jsonl")), ["a.jsonl"]);
        assert_eq!(ids(&at("m.run")), ["m"]);
        let both = ids_of(vec![at("deep"), at("m.run")]);
        assert_eq!(both, ["deep/er/a.jsonl", "m"], "names from where all are");
        assert!(Runs::new(vec![at("none")]).is_err());
    }
}
