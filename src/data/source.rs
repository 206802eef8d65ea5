//! What a set of samples looks like to its readers, and the table of the kinds that can be opened by name.

use std::path::PathBuf;

use super::{DataError, Decode, cifar, csv, database, hdf5, idx, image_list, npy};

/// A set of samples, read in any order and by any number of threads.
pub trait Source: Send + Sync {
    /// How many samples.
    fn len(&self) -> usize;

    /// True without samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads one sample; `index` is less than [`len`](Self::len).
    fn read(&self, index: usize) -> Result<Sample, DataError>;

    /// The file or folder, for messages.
    fn name(&self) -> String;
}

/// One image with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// `channels x height x width` values; colours in the order blue, green, red.
    pub pixels: Pixels,
    /// None, one, or several.
    pub labels: Vec<f32>,
    /// What messages call it: a database key, a path, a number.
    pub key: String,
}

/// The values of an image, as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// Bytes.
    U8(Vec<u8>),
    /// Numbers.
    F32(Vec<f32>),
}

impl Pixels {
    /// How many values.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// True without values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where a set is and how to read it; each kind of source looks at the fields it knows.
#[derive(Clone, Debug)]
pub struct Location {
    /// The file or folder.
    pub path: PathBuf,
    /// The file of labels, where it is a separate one.
    pub labels: Option<PathBuf>,
    /// Text before each path of a list.
    pub root_folder: String,
    /// How many labels follow each path of a list.
    pub label_count: usize,
    /// How to decode compressed images.
    pub decode: Decode,
    /// Height and width to scale images of a list to.
    pub resize: Option<(usize, usize)>,
    /// Channels, height and width of the values in a row of text; one line of them if not given.
    pub shape: Option<[usize; 3]>,
    /// Which number of a row of text is the label.
    pub label_column: Column,
    /// Names of an HDF5 file's datasets: of the values, and of the labels if there are any.
    pub datasets: (String, Option<String>),
}

/// A place in a row of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The first.
    First,
    /// The last.
    Last,
    /// Nowhere.
    None,
}

impl Default for Location {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            labels: None,
            root_folder: String::new(),
            label_count: 1,
            decode: Decode::Native,
            resize: None,
            shape: None,
            label_column: Column::First,
            datasets: ("data".into(), Some("label".into())),
        }
    }
}

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
