//! NumPy arrays, images in one and labels in another: `.npy` files read sample by sample, or arrays of an `.npz` archive, named as
//! `set.npz:x_train` and unpacked into memory.

use std::{
    fs::File,
    io::{BufReader, Read as _},
    path::Path,
};

use zip::ZipArchive;

use super::{
    Access, DataError, Location, Source,
    array::{Array, Bytes, Layout, Number, Pair},
    file::DataFile,
};

/// More than any header that NumPy writes for numbers.
const MAX_HEADER: usize = 1 << 16;

pub(crate) fn open(location: &Location) -> Result<Box<dyn Source>, DataError> {
    let images = array(&location.path)?;
    let labels = location.labels.as_deref().map(array).transpose()?;
    Pair::source(images, labels)
}

/// The axes, none for a single value, and the values of an array, of any type of number and in either order.
///
/// # Errors
/// When it cannot be read, or is no array of numbers.
pub fn read_npy(path: &Path) -> Result<(Vec<usize>, Vec<f32>), DataError> {
    let bytes = bytes(path)?;
    let layout = layout(path, &bytes)?;
    let values = layout.values(path, &bytes)?;
    Ok((layout.axes, values))
}

fn bytes(path: &Path) -> Result<Bytes, DataError> {
    match path.to_str().and_then(|p| p.rsplit_once(".npz:")) {
        Some((archive, name)) => member(Path::new(&format!("{archive}.npz")), name),
        None => Ok(Bytes::OnDisk(DataFile::open(path)?)),
    }
}

fn array(path: &Path) -> Result<Array, DataError> {
    let bytes = bytes(path)?;
    let layout = layout(path, &bytes)?;
    if layout.fortran {
        let problem = "its order is Fortran's; save it with numpy.ascontiguousarray";
        return Err(DataError::file(path, format!("not a NumPy array of numbers: {problem}")));
    }
    Array::new(path, bytes, layout)
}

fn member(archive: &Path, name: &str) -> Result<Bytes, DataError> {
    let bad = |problem: String| DataError::file(archive, problem);
    let file = File::open(archive).map_err(DataError::io(Access::Open, archive))?;
    let mut zip =
        ZipArchive::new(BufReader::new(file)).map_err(|e| bad(format!("not an npz archive: {e}")))?;
    let mut entry = zip.by_name(&format!("{name}.npy")).map_err(|e| bad(format!("array `{name}`: {e}")))?;
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| bad(format!("array `{name}`: {e}")))?;
    Ok(Bytes::InMemory(bytes))
}

/// The magic, a version, the header's length (u16, from version 2 on u32), and the header: a Python dictionary as text.
pub(super) fn layout(path: &Path, bytes: &Bytes) -> Result<Layout, DataError> {
    let bad = |problem: &str| DataError::file(path, format!("not a NumPy array of numbers: {problem}"));
    if bytes.len() < 12 {
        return Err(bad("it is too short"));
    }
    let head = bytes.get(path, 0, 12)?;
    if !head.starts_with(b"\x93NUMPY") {
        return Err(bad("it does not start like one"));
    }
    let (from, len) = match head[6] {
        1 => (10, usize::from(u16::from_le_bytes([head[8], head[9]]))),
        _ => (12, u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize),
    };
    if len > MAX_HEADER {
        return Err(bad("its header is too long"));
    }
    let header = String::from_utf8_lossy(&bytes.get(path, from, len)?).into_owned();
    let order = value(&header, "fortran_order").ok_or_else(|| bad("no fortran_order"))?;
    let fortran = !order.starts_with("False");
    let (number, big_endian) = value(&header, "descr")
        .and_then(number)
        .ok_or_else(|| bad(&format!("unknown type in {}", header.trim())))?;
    let axes = value(&header, "shape").and_then(shape).ok_or_else(|| bad("no shape"))?;
    Ok(Layout { number, big_endian, axes, start: from + len, fortran })
}

/// What follows `'key':` in a dictionary.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let at = header.find(&format!("'{key}'"))?;
    let (_, rest) = header[at..].split_once(':')?;
    Some(rest.trim_start())
}

fn number(descr: &str) -> Option<(Number, bool)> {
    let code = descr.strip_prefix('\'')?.split('\'').next()?;
    let big_endian = code.starts_with('>');
    let number = match code.trim_start_matches(['<', '>', '|', '=']) {
        "u1" | "b1" => Number::U8,
        "i1" => Number::I8,
        "u2" => Number::U16,
        "i2" => Number::I16,
        "u4" => Number::U32,
        "i4" => Number::I32,
        "u8" => Number::U64,
        "i8" => Number::I64,
        "f2" => Number::F16,
        "f4" => Number::F32,
        "f8" => Number::F64,
        _ => return None,
    };
    Some((number, big_endian))
}

fn shape(tuple: &str) -> Option<Vec<usize>> {
    let (axes, _) = tuple.strip_prefix('(')?.split_once(')')?;
    axes.split(',').map(str::trim).filter(|axis| !axis.is_empty()).map(|axis| axis.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use ndarray::{Array1, Array4, ShapeBuilder as _};

    use super::{super::Pixels, *};

    fn at(path: PathBuf, labels: PathBuf) -> Location {
        Location { path, labels: Some(labels), ..Default::default() }
    }

    #[test]
    fn reads_files_and_archives() {
        let folder = tempfile::tempdir().unwrap();
        let x = Array4::from_shape_fn((3, 2, 1, 2), |(n, c, _, w)| (n * 4 + c * 2 + w) as f64);
        let y = Array1::from(vec![5i64, -1, 7]);
        let (x_path, y_path) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
        ndarray_npy::write_npy(&x_path, &x).unwrap();
        ndarray_npy::write_npy(&y_path, &y).unwrap();
        let archive = folder.path().join("set.npz");
        let mut npz = ndarray_npy::NpzWriter::new_compressed(File::create(&archive).unwrap());
        npz.add_array("x", &x).unwrap();
        npz.add_array("y", &y).unwrap();
        npz.finish().unwrap();
        let inside = |name: &str| PathBuf::from(format!("{}:{name}", archive.display()));
        for location in [at(x_path, y_path), at(inside("x"), inside("y"))] {
            let sample = open(&location).unwrap().read(1).unwrap();
            assert_eq!(sample.shape, [2, 1, 2]);
            assert_eq!(sample.pixels, Pixels::F32(vec![4.0, 5.0, 6.0, 7.0]));
            assert_eq!(sample.labels, [-1.0]);
        }
        let error = open(&at(inside("x"), inside("z"))).err().unwrap().to_string();
        assert!(error.contains("set.npz`: array `z`"), "{error}");
    }

    #[test]
    fn bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let fortran = Array4::<f32>::zeros((2, 2, 2, 2).f());
        ndarray_npy::write_npy(&path, &fortran).unwrap();
        let error = array(&path).err().unwrap().to_string();
        assert!(error.contains("a.npy`") && error.contains("Fortran"), "{error}");
        assert_eq!(read_npy(&path).unwrap(), (vec![2; 4], vec![0.0; 16]), "whole, in either order");
        ndarray_npy::write_npy(&path, &ndarray::arr0(7i16)).unwrap();
        assert_eq!(read_npy(&path).unwrap(), (vec![], vec![7.0]));
        ndarray_npy::write_npy(&path, &Array1::from(vec![1f32, 2.0])).unwrap();
        let whole = fs::read(&path).unwrap();
        for len in [0, 5, 11, 40, whole.len() - 1] {
            fs::write(&path, &whole[..len]).unwrap();
            assert!(array(&path).err().unwrap().to_string().contains("a.npy`"), "{len}");
        }
        assert_eq!(number("'<c8'"), None);
        assert_eq!(shape("(3,), }"), Some(vec![3]));
    }
}
