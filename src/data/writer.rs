//! Databases being written, and the table of their kinds.

use std::path::Path;

use prost::Message as _;

use super::{DataError, leveldb, lmdb};
use crate::config::proto::Datum;

/// A database that takes entries in ascending order of their keys.
pub trait DatabaseWriter {
    /// Adds an entry. Keys ascend, byte by byte.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), DataError>;

    /// Writes all that is left and waits for the disk. Without it there is no database.
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

/// Makes a new database at `path` as one of [`WRITERS`].
pub fn create_database(kind: &str, path: &Path) -> Result<Box<dyn DatabaseWriter>, DataError> {
    match WRITERS.iter().find(|(name, _)| *name == kind) {
        Some((_, create)) => create(path),
        None => {
            let known: Vec<_> = WRITERS.iter().map(|(name, _)| *name).collect();
            Err(DataError::Setting(format!("cannot write `{kind}` databases, only {}", known.join(", "))))
        }
    }
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
            writer.finish().unwrap();
            let source = open_source(kind, &Location { path, ..Default::default() }).unwrap();
            let sample = source.read(2).unwrap();
            assert_eq!((source.len(), &sample.key[..]), (3, "00000002"), "{kind}");
            assert_eq!((sample.pixels, sample.labels), (Pixels::U8(vec![2, 7]), vec![2.0]), "{kind}");
        }
        assert!(create_database("sql", folder.path()).err().unwrap().to_string().contains("leveldb, lmdb"));
    }
}
