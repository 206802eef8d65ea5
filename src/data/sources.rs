//! The table of the kinds of sets that can be opened by name.

use super::{DataError, Location, Source, cifar, csv, database, hdf5, idx, image_list, npy};

type Open = fn(&Location) -> Result<Box<dyn Source>, DataError>;

/// The kinds of sources by name, sorted. Those that a `Data` layer reads are named as in `DataParameter.DB`, in lower case.
pub const SOURCES: &[(&str, Open)] = &[
    ("cifar10", cifar::open_10),
    ("cifar100", cifar::open_100),
    ("csv", csv::open),
    ("hdf5", hdf5::open),
    ("idx", idx::open),
    ("image_list", image_list::open),
    ("leveldb", database::open_leveldb),
    ("lmdb", database::open_lmdb),
    ("npy", npy::open),
];

/// Opens the set at `location` as one of [`SOURCES`].
pub fn open_source(kind: &str, location: &Location) -> Result<Box<dyn Source>, DataError> {
    match SOURCES.binary_search_by_key(&kind, |(name, _)| name) {
        Ok(at) => SOURCES[at].1(location),
        Err(_) => {
            let known: Vec<_> = SOURCES.iter().map(|(name, _)| *name).collect();
            Err(DataError::Setting(format!("unknown data source `{kind}`; known are {}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_itself_in_errors() {
        assert!(SOURCES.is_sorted_by_key(|(name, _)| *name));
        let error = open_source("sql", &Location::default()).err().unwrap().to_string();
        assert!(error.contains("unknown data source `sql`") && error.contains("lmdb"), "{error}");
    }
}
