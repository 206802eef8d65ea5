//! npz: a zip archive of NumPy arrays, stored as they are.

use std::io::{self, BufWriter, Write};

use ndarray::{ArrayViewD, IxDyn};
use ndarray_npy::{WriteNpyError, WriteNpyExt as _};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::TensorView;

/// Writes tensors as arrays of float32, in their order. The bytes depend on nothing else: entries bear no time.
pub fn write_npz(tensors: &[TensorView<'_>], out: &mut dyn Write) -> io::Result<()> {
    let mut zip = ZipWriter::new_stream(out);
    for tensor in tensors {
        let large = tensor.data.len() as u64 * 4 > u64::from(u32::MAX >> 1);
        let options =
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(large);
        zip.start_file(format!("{}.npy", tensor.name), options)?;
        let array = ArrayViewD::from_shape(IxDyn(tensor.shape), tensor.data).map_err(io::Error::other)?;
        let mut entry = BufWriter::with_capacity(1 << 16, &mut zip);
        array.write_npy(&mut entry).map_err(|error| match error {
            WriteNpyError::Io(error) => error,
            other => io::Error::other(other),
        })?;
        entry.flush()?;
    }
    zip.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ndarray::ArrayD;
    use ndarray_npy::NpzReader;

    use super::*;
    use crate::tensor::Shape;

    #[test]
    fn arrays_stand_under_their_names() {
        let (matrix, one) = (Shape::from([1, 2]), Shape::default());
        let tensors = [
            TensorView { name: "conv1/7x7.weight", shape: &matrix, data: &[1.0, -0.0] },
            TensorView { name: "slope", shape: &one, data: &[0.25] },
        ];
        let mut bytes = Vec::new();
        write_npz(&tensors, &mut bytes).unwrap();
        let mut again = Vec::new();
        write_npz(&tensors, &mut again).unwrap();
        assert_eq!(bytes, again);
        let mut npz = NpzReader::new(Cursor::new(&bytes)).unwrap();
        assert_eq!(npz.names().unwrap(), ["conv1/7x7.weight", "slope"]);
        let array: ArrayD<f32> = npz.by_name("conv1/7x7.weight").unwrap();
        assert_eq!(array.shape(), [1, 2]);
        assert!(array[[0, 1]].is_sign_negative());
        let slope: ArrayD<f32> = npz.by_name("slope").unwrap();
        assert_eq!((slope.ndim(), slope[[]]), (0, 0.25));
    }
}
