//! A database of `Datum` messages as a source of samples.

use std::path::PathBuf;

use super::{DataError, Decode, Location, Sample, Source, datum, leveldb, lmdb};

/// The entries of a database, in key order, whatever its kind.
struct Database {
    path: PathBuf,
    len: usize,
    get: Box<Get>,
    decode: Decode,
}

/// Reads the key and the value of an entry.
type Get = dyn Fn(usize) -> Result<(Vec<u8>, Vec<u8>), DataError> + Send + Sync;

pub(crate) fn open_leveldb(location: &Location) -> Result<Box<dyn Source>, DataError> {
    let reader = leveldb::Reader::open(&location.path)?;
    let (path, len) = (reader.path().to_owned(), reader.len());
    Ok(Box::new(Database { path, len, get: Box::new(move |i| reader.get(i)), decode: location.decode }))
}

pub(crate) fn open_lmdb(location: &Location) -> Result<Box<dyn Source>, DataError> {
    let reader = lmdb::Reader::open(&location.path)?;
    let (path, len) = (reader.path().to_owned(), reader.len());
    Ok(Box::new(Database { path, len, get: Box::new(move |i| reader.get(i)), decode: location.decode }))
}

impl Source for Database {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let (key, value) = (self.get)(index)?;
        datum::sample(&value, datum::key_text(&key), self.decode)
            .map_err(|(key, problem)| DataError::sample(&self.path, key, problem))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}
