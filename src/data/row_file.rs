//! Rows that are collected and written as the datasets of one HDF5 file.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use hdf5_pure::FileBuilder;

use super::{Access, DataError};
use crate::{files, tensor::Shape};

/// An HDF5 file whose datasets grow by rows.
pub struct RowFile {
    path: PathBuf,
    sets: Vec<Set>,
    /// Whether the file lacks rows.
    behind: bool,
}

/// A dataset.
struct Set {
    name: String,
    /// The axes of a row.
    row: Option<Shape>,
    rows: usize,
    values: Vec<f32>,
}

impl RowFile {
    /// A file of datasets of these names; nothing is written yet.
    pub fn new(path: &Path, names: &[&str]) -> Self {
        let set = |name: &&str| Set { name: (*name).to_owned(), row: None, rows: 0, values: Vec::new() };
        Self { path: path.to_owned(), sets: names.iter().map(set).collect(), behind: false }
    }

    /// Adds rows to each dataset: blobs whose first axis counts rows.
    ///
    /// # Errors
    /// When the rows have other axes than those before.
    pub fn add(&mut self, blobs: &[(&Shape, &[f32])]) -> Result<(), DataError> {
        for (set, (shape, values)) in self.sets.iter_mut().zip(blobs) {
            let (rows, row) = match shape.split_first() {
                Some((&rows, row)) => (rows, Shape::from(row)),
                None => (1, Shape::default()),
            };
            let first = set.row.get_or_insert_with(|| row.clone());
            if *first != row {
                let problem = format!("rows of `{}` are {first} so far, and {row} now", set.name);
                return Err(DataError::file(&self.path, problem));
            }
            set.rows += rows;
            set.values.extend_from_slice(values);
        }
        self.behind = true;
        Ok(())
    }

    /// Writes the file, unless it has all rows already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self) -> Result<(), DataError> {
        if !self.behind {
            return Ok(());
        }
        let mut file = FileBuilder::new();
        for set in &self.sets {
            let axes: Vec<u64> = [set.rows]
                .iter()
                .chain(set.row.iter().flat_map(|row| row.iter()))
                .map(|&n| n as u64)
                .collect();
            file.create_dataset(&set.name).with_f32_data(&set.values).with_shape(&axes);
        }
        let bytes = file.finish().map_err(|e| DataError::file(&self.path, e.to_string()))?;
        files::replace(&self.path, |file| file.write_all(&bytes))
            .map_err(DataError::io(Access::Write, &self.path))?;
        self.behind = false;
        Ok(())
    }
}

/// Writes what is left; who wants to hear of errors calls [`RowFile::write`].
impl Drop for RowFile {
    fn drop(&mut self) {
        let _ = self.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_all_batches_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.h5");
        let mut file = RowFile::new(&path, &["data", "label"]);
        let add = |file: &mut RowFile, rows: usize, from: f32| {
            let values: Vec<f32> = (0..rows * 2).map(|i| from + i as f32).collect();
            file.add(&[(&[rows, 2].into(), &values), (&[rows].into(), &values[..rows])]).unwrap();
        };
        add(&mut file, 2, 0.0);
        file.write().unwrap();
        add(&mut file, 1, 4.0);
        drop(file);
        let file = hdf5_pure::File::open(&path).unwrap();
        let data = file.dataset("data").unwrap();
        assert_eq!(data.shape().unwrap(), [3, 2]);
        assert_eq!(data.read_f32().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(file.dataset("label").unwrap().read_f32().unwrap(), [0.0, 1.0, 4.0]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut file = RowFile::new(Path::new("/no/such/folder/out.h5"), &["data"]);
        file.add(&[(&[1, 2].into(), &[1.0, 2.0])]).unwrap();
        let error = file.add(&[(&[1, 1].into(), &[1.0])]).unwrap_err().to_string();
        assert!(error.contains("rows of `data` are 2 so far, and 1 now"), "{error}");
        let error = file.write().unwrap_err().to_string();
        assert!(error.contains("cannot write `/no/such/folder/out.h5`"), "{error}");
    }
}
