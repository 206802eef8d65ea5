//! Data sets rewritten as the databases that Caffe's tools make.

use std::{fs, path::Path};

use super::{DataError, Source, create_database, datum, put_datum};

/// Writes all samples of `source`, in order, into a new database of the kind `backend` at `path`: just what
/// `convert_mnist_data` writes.
///
/// # Errors
/// When `path` is there already, when a sample cannot be read or stored, and when a write fails; then no database is
/// left behind.
pub fn write_database(source: &dyn Source, backend: &str, path: &Path) -> Result<(), DataError> {
    let mut writer = create_database(backend, path)?;
    let written = (0..source.len()).try_for_each(|i| {
        let sample = source.read(i)?;
        let key = sample.key.clone();
        let datum = datum::of(sample)
            .map_err(|problem| DataError::sample(Path::new(&source.name()), key, problem))?;
        put_datum(&mut *writer, i, &datum)
    });
    let written = written.and_then(|()| writer.finish());
    if written.is_err() {
        // The folder is new, and holds nothing but the half database.
        let _ = fs::remove_dir_all(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::proto::Datum,
        data::{Location, lmdb::Reader, open_source},
    };
    use prost::Message as _;

    fn digits() -> Location {
        Location {
            path: "data/digits/digits-images-idx3-ubyte.gz".into(),
            labels: Some("data/digits/digits-labels-idx1-ubyte.gz".into()),
            ..Location::default()
        }
    }

    #[test]
    fn digits_become_datums_under_numbered_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let source = open_source("idx", &digits()).unwrap();
        write_database(&*source, "lmdb", &path).unwrap();
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
        let error = write_database(&*source, "lmdb", folder.path()).unwrap_err().to_string();
        assert!(error.contains("cannot create"), "{error}");
        assert!(folder.path().is_dir());
        let unlabelled = open_source("idx", &Location { labels: None, ..digits() }).unwrap();
        let path = folder.path().join("db");
        let error = write_database(&*unlabelled, "lmdb", &path).unwrap_err().to_string();
        assert!(error.contains("sample `0`") && error.contains("has one label, found 0"), "{error}");
        assert!(!path.exists());
    }
}
