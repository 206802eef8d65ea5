//! Databases being written, and the table of their kinds.

use std::path::{Path, PathBuf};

use prost::Message as _;

use super::{Access, DataError, leveldb, lmdb};
use crate::{config::proto::Datum, files::NewFolder};

/// A database that takes entries in ascending order of their keys.
pub trait DatabaseWriter {
    /// Adds an entry. Keys ascend, byte by byte.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DataError>;

    /// Writes all that is left, waits for the disk, and gives the database its name. Without it there is none.
    fn finish(self: Box<Self>) -> Result<(), DataError>;
}

impl DatabaseWriter for lmdb::Writer {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DataError> {
        self.put(key, value)
    }

    fn finish(self: Box<Self>) -> Result<(), DataError> {
        (*self).finish()
    }
}

impl DatabaseWriter for leveldb::Writer {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DataError> {
        self.put(key, value)
    }

    fn finish(self: Box<Self>) -> Result<(), DataError> {
        (*self).finish()
    }
}

type Create = fn(&Path) -> Result<Box<dyn DatabaseWriter>, DataError>;

/// The kinds of databases that can be written, by name, sorted.
pub const WRITERS: &[(&str, Create)] = &[
    ("leveldb", |path| Ok(Box::new(leveldb::Writer::create(path)?))),
    ("lmdb", |path| Ok(Box::new(lmdb::Writer::create(path)?))),
];

/// A database that has no name until it is whole. Its errors name it as if it had.
struct Unnamed {
    /// Before the folder: it closes its files first.
    writer: Box<dyn DatabaseWriter>,
    folder: NewFolder,
    path: PathBuf,
}

impl DatabaseWriter for Unnamed {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DataError> {
        self.writer.put(key, value).map_err(|e| e.moved(&self.folder.part(), &self.path))
    }

    fn finish(self: Box<Self>) -> Result<(), DataError> {
        let Self { writer, folder, path } = *self;
        writer.finish().map_err(|e| e.moved(&folder.part(), &path))?;
        folder.finish().map_err(DataError::io(Access::Write, &path))
    }
}

/// Makes a new database at `path` as one of [`WRITERS`]. Nothing is at `path` before it is finished, and nothing is left of one
/// that is dropped.
///
/// # Errors
/// When something is at `path` already, or nothing can be written there.
pub fn create_database(kind: &str, path: &Path) -> Result<Box<dyn DatabaseWriter>, DataError> {
    let Some((_, create)) = WRITERS.iter().find(|(name, _)| *name == kind) else {
        let known: Vec<_> = WRITERS.iter().map(|(name, _)| *name).collect();
        return Err(DataError::Setting(format!(
            "cannot write `{kind}` databases, only {}",
            known.join(", ")
        )));
    };
    let folder = NewFolder::at(path).map_err(DataError::io(Access::Create, path))?;
    let writer = create(&folder.part()).map_err(|e| e.moved(&folder.part(), path))?;
    Ok(Box::new(Unnamed { writer, folder, path: path.to_owned() }))
}

/// Adds a sample under its key.
pub fn put_datum(to: &mut dyn DatabaseWriter, key: &str, datum: &Datum) -> Result<(), DataError> {
    to.put(key.as_bytes(), &datum.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Location, Pixels, open_source},
        *,
    };

    #[test]
    fn nothing_is_left_of_what_is_not_finished_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let left = || std::fs::read_dir(folder.path()).unwrap().count();
        for (kind, _) in WRITERS {
            let mut writer = create_database(kind, &path).unwrap();
            writer.put(b"a", b"1").unwrap();
            drop(writer);
            assert_eq!(left(), 0, "{kind}");
        }
        let mut writer = create_database("lmdb", &path).unwrap();
        let error = writer.put(b"", b"1").unwrap_err().to_string();
        assert!(error.contains("/db/data.mdb") && !error.contains("partial"), "{error}");
        drop(writer);
        std::fs::write(&path, "old").unwrap();
        let error = create_database("lmdb", &path).err().unwrap().with_reason();
        assert!(error.contains("cannot create `") && error.ends_with("it is there already"), "{error}");
        assert_eq!(left(), 1);
    }

    #[test]
    fn what_any_kind_writes_its_source_reads() {
        let folder = tempfile::tempdir().unwrap();
        for (kind, _) in WRITERS {
            let path = folder.path().join(kind);
            let mut writer = create_database(kind, &path).unwrap();
            for number in 0..3u8 {
                let datum = Datum {
                    channels: Some(1),
                    height: Some(1),
                    width: Some(2),
                    data: Some(vec![number, 7]),
                    label: Some(number.into()),
                    ..Default::default()
                };
                put_datum(&mut *writer, &format!("{number:08}"), &datum).unwrap();
            }
            assert!(!path.exists(), "it is not whole yet");
            writer.finish().unwrap();
            let source = open_source(kind, &Location { path, ..Default::default() }).unwrap();
            let sample = source.read(2).unwrap();
            assert_eq!((source.len(), &sample.key[..]), (3, "00000002"), "{kind}");
            assert_eq!((sample.pixels, sample.labels), (Pixels::U8(vec![2, 7]), vec![2.0]), "{kind}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), WRITERS.len());
        assert!(create_database("sql", folder.path()).err().unwrap().to_string().contains("leveldb, lmdb"));
    }
}
