//! Data sets rewritten as the databases that Caffe's tools make.

use std::path::Path;

use super::{DataError, Source, create_database, datum, put_datum};
use crate::config::proto::Datum;

/// A sample as a database holds it: its key and its value.
pub type Entry = (String, Datum);

/// Writes the entries, whose keys ascend, into a new database of the kind `backend` at `path`, and counts them.
///
/// # Errors
/// When `path` is there already, an entry is an error, or a write fails; then no database is left behind.
pub fn write_database(
    entries: impl IntoIterator<Item = Result<Entry, DataError>>,
    backend: &str,
    path: &Path,
) -> Result<usize, DataError> {
    let mut writer = create_database(backend, path)?;
    let mut count = 0;
    for entry in entries {
        let (key, datum) = entry?;
        count += 1;
        put_datum(&mut *writer, &key, &datum)?;
    }
    writer.finish()?;
    Ok(count)
}

/// The entry of sample `index`: its key is the number in so many digits, as Caffe's tools write it.
///
/// # Errors
/// When the sample cannot be read, or is nothing that a `Datum` can hold.
pub fn numbered(source: &dyn Source, index: usize, digits: usize) -> Result<Entry, DataError> {
    let sample = source.read(index)?;
    let key = sample.key.clone();
    let datum =
        datum::of(sample).map_err(|problem| DataError::sample(Path::new(&source.name()), key, problem))?;
    Ok((format!("{index:0digits$}"), datum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Location, lmdb::Reader, open_source};
    use prost::Message as _;

    fn digits() -> Location {
        Location {
            path: "data/digits/digits-images-idx3-ubyte.gz".into(),
            labels: Some("data/digits/digits-labels-idx1-ubyte.gz".into()),
            ..Location::default()
        }
    }

    fn write(source: &dyn Source, path: &Path) -> Result<usize, DataError> {
        write_database((0..source.len()).map(|i| numbered(source, i, 8)), "lmdb", path)
    }

    #[test]
    fn digits_become_datums_under_numbered_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let source = open_source("idx", &digits()).unwrap();
        assert_eq!(write(&*source, &path).unwrap(), source.len());
        let reader = Reader::open(&path).unwrap();
        assert_eq!(reader.len(), source.len());
        let (key, value) = reader.get(10).unwrap();
        assert_eq!(key, b"00000010");
        let (datum, sample) = (Datum::decode(&value[..]).unwrap(), source.read(10).unwrap());
        let sides = [datum.channels(), datum.height(), datum.width()].map(|s| s as usize);
        assert_eq!((sides, datum.label() as f32), (sample.shape, sample.labels[0]));
        assert_eq!(crate::data::Pixels::U8(datum.data().to_vec()), sample.pixels);
        assert!(datum.encoded.is_none());
    }

    #[test]
    fn what_is_there_is_left_alone_and_half_databases_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let source = open_source("idx", &digits()).unwrap();
        let error = write(&*source, folder.path()).unwrap_err().to_string();
        assert!(error.contains("cannot create"), "{error}");
        assert!(folder.path().is_dir());
        let unlabelled = open_source("idx", &Location { labels: None, ..digits() }).unwrap();
        let path = folder.path().join("db");
        let error = write(&*unlabelled, &path).unwrap_err().to_string();
        assert!(error.contains("sample `0`") && error.contains("has one label, found 0"), "{error}");
        assert!(!path.exists());
    }
}
