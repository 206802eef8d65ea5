//! Arrays as the bytes of files: `.npy`, and HDF5 with one dataset.

use hdf5_pure::{FileBuilder, GroupBuilder};
use ndarray::{ArrayViewD, IxDyn};
use ndarray_npy::WriteNpyExt as _;

/// The bytes of a `.npy` file.
///
/// # Errors
/// Says what is wrong when `values` are not as many as the shape says.
pub fn npy_bytes(shape: &[usize], values: &[f32]) -> Result<Vec<u8>, String> {
    check(shape, values)?;
    let array = ArrayViewD::from_shape(IxDyn(shape), values).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// The bytes of an HDF5 file that holds the dataset `name`; slashes in the name make groups.
///
/// # Errors
/// Says what is wrong when HDF5 cannot hold the name or the shape.
pub fn hdf5_bytes(name: &str, shape: &[usize], values: &[f32]) -> Result<Vec<u8>, String> {
    check(shape, values)?;
    let shape: Vec<u64> = shape.iter().map(|&axis| axis as u64).collect();
    let mut file = FileBuilder::new();
    match name.split_once('/') {
        None => {
            file.create_dataset(name).with_f32_data(values).with_shape(&shape);
        }
        Some((outer, rest)) => {
            let mut group = file.create_group(outer);
            place(&mut group, rest, &shape, values);
            file.add_group(group.finish());
        }
    }
    file.finish().map_err(|e| e.to_string())
}

fn check(shape: &[usize], values: &[f32]) -> Result<(), String> {
    match shape.iter().product::<usize>() {
        count if count == values.len() => Ok(()),
        count => Err(format!("{count} values expected, {} found", values.len())),
    }
}

fn place(group: &mut GroupBuilder, name: &str, shape: &[u64], values: &[f32]) {
    match name.split_once('/') {
        None => {
            group.create_dataset(name).with_f32_data(values).with_shape(shape);
        }
        Some((outer, rest)) => {
            let mut inner = group.create_group(outer);
            place(&mut inner, rest, shape, values);
            group.add_group(inner.finish());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        super::{Location, Pixels, open_source},
        *,
    };

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let values = [1.5, 2.0, -3.0, 4.0];
        for name in ["fc", "a/b", "a/b/c"] {
            fs::write(&path, hdf5_bytes(name, &[2, 2], &values).unwrap()).unwrap();
            let datasets = (name.to_owned(), None);
            let source =
                open_source("hdf5", &Location { path: path.clone(), datasets, ..Location::default() })
                    .unwrap();
            assert_eq!(source.read(1).unwrap().pixels, Pixels::F32(vec![-3.0, 4.0]), "{name}");
        }
        fs::write(&path, npy_bytes(&[2, 1, 2], &values).unwrap()).unwrap();
        let source = open_source("npy", &Location { path, ..Location::default() }).unwrap();
        let sample = source.read(0).unwrap();
        assert_eq!((sample.shape, sample.pixels), ([1, 1, 2], Pixels::F32(vec![1.5, 2.0])));
        assert_eq!(npy_bytes(&[3], &values).unwrap_err(), "3 values expected, 4 found");
        assert!(hdf5_bytes("a//b", &[4], &values).is_err());
    }
}
