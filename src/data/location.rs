//! Where a set of samples is.

use std::path::PathBuf;

use super::Decode;

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
