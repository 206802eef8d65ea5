//! Writes a LevelDB database.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusty_leveldb::{CompressorId, DB, Options, Status, compressor::SnappyCompressor};

use super::super::{Access, DataError};

/// A database being written.
pub struct Writer {
    db: DB,
    path: PathBuf,
}

impl Writer {
    /// Makes the folder `path` with an empty database; an existing folder is an error.
    pub fn create(path: &Path) -> Result<Self, DataError> {
        std::fs::create_dir(path).map_err(DataError::io(Access::Create, path))?;
        // As large as Caffe sets it.
        let options =
            Options { write_buffer_size: 256 << 20, compressor: SnappyCompressor::ID, ..Options::default() };
        let db = DB::open(path, options).map_err(|e| failed(path, &e))?;
        Ok(Self { db, path: path.to_owned() })
    }

    /// Adds an entry, or replaces the one of the same key.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DataError> {
        self.db.put(key, value).map_err(|e| failed(&self.path, &e))
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Result<(), DataError> {
        self.db.flush().and_then(|()| self.db.close()).map_err(|e| failed(&self.path, &e))
    }
}

fn failed(path: &Path, status: &Status) -> DataError {
    DataError::io(Access::Write, path)(io::Error::other(status.err.clone()))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use super::{super::Reader, *};

    fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .map(|p| (p.clone(), fs::read(p).unwrap()))
            .collect()
    }

    /// Small tables and blocks, overwritten and deleted keys, and the last writes in the log only.
    fn database(folder: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let options = || Options {
            write_buffer_size: 20_000,
            block_size: 1000,
            compressor: SnappyCompressor::ID,
            ..Default::default()
        };
        let mut expected = BTreeMap::new();
        for part in 0..3 {
            let mut db = DB::open(folder, options()).unwrap();
            for i in (0..600usize).map(|i| (i * 7 + part) % 600) {
                let key = format!("{i:08}_name").into_bytes();
                if i % 5 == part {
                    db.delete(&key).unwrap();
                    expected.remove(&key);
                } else if (i + part) % 2 == 0 {
                    let value: Vec<u8> = (0..i).map(|j| (j * j * (part + 1) / 7) as u8).collect();
                    db.put(&key, &value).unwrap();
                    expected.insert(key, value);
                }
            }
            db.flush().unwrap();
        }
        expected
    }

    #[test]
    fn reads_what_is_live_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let expected = database(&path);
        let before = contents(&path);
        let reader = Reader::open(&path).unwrap();
        assert!(before.keys().any(|p| p.extension().is_some_and(|e| e == "ldb")), "tables are covered");
        assert!(!reader.logged.is_empty(), "the log is covered");
        let read: BTreeMap<_, _> = (0..reader.len()).map(|i| reader.get(i).unwrap()).collect();
        assert_eq!(read, expected);
        assert!(before == contents(&path), "the folder is as it was");
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let mut writer = Writer::create(&path).unwrap();
        writer.put(b"b", b"2").unwrap();
        writer.put(b"a", &[7; 100_000]).unwrap();
        writer.finish().unwrap();
        let reader = Reader::open(&path).unwrap();
        assert_eq!(reader.get(0).unwrap(), (b"a".to_vec(), vec![7; 100_000]));
        assert_eq!(reader.get(1).unwrap(), (b"b".to_vec(), b"2".to_vec()));
        assert!(Writer::create(&path).is_err(), "nothing is overwritten");
    }

    #[test]
    fn any_damage_is_an_error_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        database(&path);
        let read_all = || -> Result<(), DataError> {
            let reader = Reader::open(&path)?;
            (0..reader.len()).try_for_each(|i| reader.get(i).map(drop))
        };
        read_all().unwrap();
        for (file, whole) in contents(&path) {
            let name = file.file_name().unwrap().to_str().unwrap();
            if name == "LOCK" || name == "LOG" {
                continue;
            }
            for step in 0..40 {
                let at = step * whole.len() / 40;
                let mut bytes = whole.clone();
                bytes[at] ^= 0x55;
                fs::write(&file, &bytes).unwrap();
                let _ = read_all();
                fs::write(&file, &whole[..at]).unwrap();
                let cut = read_all();
                // A log may be empty. Of a manifest another file can tell.
                if name.starts_with("MANIFEST") {
                    cut.expect_err("cut off");
                } else if name.ends_with("ldb") || at > 0 && name.ends_with("log") {
                    let error = cut.expect_err("cut off").to_string();
                    assert!(error.contains(name), "{error}");
                }
            }
            if name.ends_with("log") {
                fs::remove_file(&file).unwrap();
                assert!(read_all().unwrap_err().to_string().contains("is missing: the manifest names it"));
            }
            fs::write(&file, &whole).unwrap();
        }
    }
}
