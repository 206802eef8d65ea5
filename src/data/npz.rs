//! NumPy archives as a whole: every array with its name.

use std::{fs::File, io::BufReader, io::Read as _, path::Path};

use zip::ZipArchive;

use super::{Access, DataError, array::Bytes, npy};

/// An array of an archive.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedArray {
    /// Its name, without `.npy`.
    pub name: String,
    /// Its axes, outermost first; none for a single value.
    pub axes: Vec<usize>,
    /// Its values, the last axis running fastest.
    pub values: Vec<f32>,
}

/// Reads all arrays of a `.npz` file, of any type of number and in either order.
///
/// # Errors
/// When it cannot be read, or one of its files is no array of numbers.
pub fn read_npz(path: &Path) -> Result<Vec<NamedArray>, DataError> {
    let bad = |problem: String| DataError::file(path, problem);
    let file = File::open(path).map_err(DataError::io(Access::Open, path))?;
    let mut zip =
        ZipArchive::new(BufReader::new(file)).map_err(|e| bad(format!("not an npz archive: {e}")))?;
    let mut arrays = Vec::with_capacity(zip.len().min(1 << 16));
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).map_err(|e| bad(format!("entry {i}: {e}")))?;
        let name = entry.name().strip_suffix(".npy").unwrap_or(entry.name()).to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|e| bad(format!("array `{name}`: {e}")))?;
        let of_array = |e: DataError| match e {
            DataError::File { problem, .. } => bad(format!("array `{name}`: {problem}")),
            other => other,
        };
        let bytes = Bytes::InMemory(bytes);
        let layout = npy::layout(path, &bytes).map_err(of_array)?;
        let values = layout.values(path, &bytes).map_err(of_array)?;
        arrays.push(NamedArray { name, axes: layout.axes, values });
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use ndarray::{Array2, ShapeBuilder as _, aview0};
    use ndarray_npy::NpzWriter;
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    #[test]
    fn arrays_come_with_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut npz = NpzWriter::new_compressed(File::create(&path).unwrap());
        let plain = Array2::from_shape_fn((2, 3), |(i, j)| (i * 3 + j) as f64);
        npz.add_array("a/b.weight", &plain).unwrap();
        let mut turned = Array2::<f32>::zeros((2, 3).f());
        turned.assign(&plain.mapv(|v| v as f32));
        npz.add_array("turned", &turned).unwrap();
        npz.add_array("one", &aview0(&7i32)).unwrap();
        npz.finish().unwrap();
        let arrays = read_npz(&path).unwrap();
        let values = vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let matrix = |name: &str| NamedArray { name: name.into(), axes: vec![2, 3], values: values.clone() };
        let one = NamedArray { name: "one".into(), axes: vec![], values: vec![7.0] };
        assert_eq!(arrays, [matrix("a/b.weight"), matrix("turned"), one]);
    }

    #[test]
    fn what_is_no_array_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        zip.start_file("readme.txt", SimpleFileOptions::default()).unwrap();
        zip.write_all(b"these are the weights of a net").unwrap();
        zip.finish().unwrap();
        let error = read_npz(&path).unwrap_err().to_string();
        assert!(error.contains("a.npz`: array `readme.txt`: not a NumPy array"), "{error}");
        std::fs::write(&path, b"PK").unwrap();
        assert!(read_npz(&path).unwrap_err().to_string().contains("not an npz archive"));
    }
}
