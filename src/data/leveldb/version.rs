//! Which files make up the database: the edits that the manifest lists.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    super::{Access, DataError, file::DataFile},
    log,
    wire::Cursor,
};

/// The live files of a database.
#[derive(Debug, Default)]
pub(super) struct Version {
    /// Live tables: number and length. Levels do not matter: sequence numbers order the entries.
    pub tables: BTreeMap<u64, u64>,
    /// Logs with this number or above hold the newest writes,
    pub log: u64,
    /// and this one, in databases of old.
    pub previous_log: u64,
    /// The number that the next file was to have, if the manifest says so.
    next_file: Option<u64>,
}

impl Version {
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let current = folder.join("CURRENT");
        // `Data` layers take LevelDB where they say nothing, and most databases are LMDB.
        if !current.exists() && (folder.join("data.mdb").exists() || folder.is_file()) {
            let problem = "this is no LevelDB database; say `backend: LMDB` if it is one of LMDB";
            return Err(DataError::file(folder, problem));
        }
        let name = fs::read_to_string(&current).map_err(DataError::io(Access::Open, &current))?;
        let name = name.trim_end();
        if !name.starts_with("MANIFEST-") || name.contains(['/', '\\']) {
            return Err(DataError::file(&current, "does not name a manifest"));
        }
        let manifest = DataFile::open(&folder.join(name))?;
        let mut version = Self::default();
        for record in log::records(&manifest)? {
            match version.apply(&record) {
                Some(Ok(())) => {}
                Some(Err(problem)) => return Err(manifest.bad(problem)),
                None => return Err(manifest.bad("damaged: an edit is cut off")),
            }
        }
        if version.next_file.is_none() {
            return Err(manifest.bad("cut off: it does not say which file is the next"));
        }
        Ok(version)
    }

    /// Applies one edit: a list of tagged fields.
    fn apply(&mut self, edit: &[u8]) -> Option<Result<(), String>> {
        let mut rest = Cursor(edit);
        while !rest.is_empty() {
            match rest.varint()? {
                1 => {
                    let name = rest.bytes()?;
                    if name != b"leveldb.BytewiseComparator" {
                        let name = String::from_utf8_lossy(name);
                        return Some(Err(format!("its keys are ordered by `{name}`, which is unknown")));
                    }
                }
                2 => self.log = rest.varint()?,
                3 => self.next_file = Some(rest.varint()?),
                // The last sequence number.
                4 => drop(rest.varint()?),
                // Where a compaction goes on.
                5 => {
                    rest.varint()?;
                    rest.bytes()?;
                }
                6 => {
                    rest.varint()?;
                    self.tables.remove(&rest.varint()?);
                }
                7 => {
                    rest.varint()?;
                    let (number, len) = (rest.varint()?, rest.varint()?);
                    // The smallest and the largest key.
                    rest.bytes()?;
                    rest.bytes()?;
                    self.tables.insert(number, len);
                }
                9 => self.previous_log = rest.varint()?,
                tag => return Some(Err(format!("damaged: an edit has the unknown tag {tag}"))),
            }
        }
        Some(Ok(()))
    }

    /// The logs to read, oldest first.
    pub fn logs(&self, folder: &Path) -> Result<Vec<PathBuf>, DataError> {
        let mut numbers = numbered(folder, &["log"])?;
        numbers.retain(|&n| n >= self.log || n == self.previous_log && n > 0);
        let path = |n| folder.join(format!("{n:06}.log"));
        // A database that has never had a table may say nothing of its log.
        if self.log > 0 && !numbers.contains(&self.log) {
            return Err(DataError::file(&path(self.log), "is missing: the manifest names it"));
        }
        Ok(numbers.into_iter().map(path).collect())
    }

    /// The tables in the folder that are later than all that the manifest names. A crash may leave some; and so may a
    /// manifest whose end is cut off.
    pub fn strangers(&self, folder: &Path) -> Result<Vec<PathBuf>, DataError> {
        let path = |n: &u64, ending: &str| folder.join(format!("{n:06}.{ending}"));
        let last = self.tables.keys().last().copied().unwrap_or(0);
        let numbers = numbered(folder, &["ldb", "sst"])?.into_iter().filter(|&n| n > last);
        let paths =
            numbers.map(|n| [path(&n, "ldb"), path(&n, "sst")].into_iter().find(|path| path.exists()));
        Ok(paths.flatten().collect())
    }
}

/// The numbers of the files in the folder with one of these endings, in order.
fn numbered(folder: &Path, endings: &[&str]) -> Result<Vec<u64>, DataError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io(Access::Open, folder))? {
        let name = entry.map_err(DataError::io(Access::Read, folder))?.file_name();
        let (number, ending) = name.to_str().and_then(|n| n.split_once('.')).unwrap_or_default();
        numbers.extend(number.parse::<u64>().ok().filter(|_| endings.contains(&ending)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
