//! safetensors: a header in JSON, then the values of all tensors in a row.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use safetensors::{Dtype, SafeTensors, tensor};
use serde_json::json;

use super::{Tensor, TensorView};
use crate::{
    snapshot::wire::packed,
    tensor::{Shape, f32_of_half},
};

/// Where the header's length begins to count, and what it is a multiple of, so that values lie at multiples of 8.
const ALIGN: usize = 8;

/// Writes tensors of float32, in their order; `notes` go to the header's `__metadata__`.
pub fn write_safetensors(
    tensors: &[TensorView<'_>],
    notes: &[(&str, &str)],
    out: &mut dyn Write,
) -> io::Result<()> {
    let notes: BTreeMap<&str, &str> = notes.iter().copied().collect();
    let mut header = BTreeMap::from([("__metadata__", json!(notes))]);
    let mut end = 0;
    for tensor in tensors {
        let start = end;
        end += 4 * tensor.data.len();
        let about = json!({ "dtype": "F32", "shape": &tensor.shape[..], "data_offsets": [start, end] });
        header.insert(tensor.name, about);
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(ALIGN), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    tensors.iter().try_for_each(|tensor| out.write_all(&packed(tensor.data)))
}

/// Reads the tensors of a file, sorted by name; numbers of any usual type become float32.
///
/// # Errors
/// Says what is wrong when it is no safetensors file, or a type has no value in float32.
pub fn read_safetensors(bytes: &[u8]) -> Result<Vec<Tensor>, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| format!("not a safetensors file, or a damaged one: {e}"))?;
    let mut tensors = Vec::new();
    for (name, tensor) in file.iter() {
        let values = values(&tensor).ok_or_else(|| {
            let found = tensor.dtype();
            format!("tensor `{name}` is of type {found}; expected F32, F16, BF16, F64 or an integer type")
        })?;
        tensors.push(Tensor { name: name.to_owned(), shape: Shape::from(tensor.shape()), values });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// The values of a tensor; `None` for a type that is not read.
fn values(tensor: &tensor::TensorView<'_>) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|&bytes| value(bytes)).collect()
    }
    let bytes = tensor.data();
    Some(match tensor.dtype() {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::F16 => each(bytes, |b| f32_of_half(u16::from_le_bytes(b))),
        Dtype::BF16 => each(bytes, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
        Dtype::U8 => each(bytes, |[b]| f32::from(b)),
        Dtype::I8 => each(bytes, |b| f32::from(i8::from_le_bytes(b))),
        Dtype::U16 => each(bytes, |b| f32::from(u16::from_le_bytes(b))),
        Dtype::I16 => each(bytes, |b| f32::from(i16::from_le_bytes(b))),
        Dtype::U32 => each(bytes, |b| u32::from_le_bytes(b) as f32),
        Dtype::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
        Dtype::U64 => each(bytes, |b| u64::from_le_bytes(b) as f32),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use safetensors::{serialize, tensor::TensorView as Theirs};

    use super::*;

    #[test]
    fn what_is_written_is_read_in_the_same_bits() {
        let odd = [f32::from_bits(0x7fc0_1234), -0.0, f32::MIN_POSITIVE / 2.0, f32::INFINITY, 0.1, -3.0];
        let shapes = [Shape::from([2, 3]), Shape::from([0]), Shape::default()];
        let tensors = [
            TensorView { name: "z.weight", shape: &shapes[0], data: &odd },
            TensorView { name: "a \"é\".bias", shape: &shapes[1], data: &[] },
            TensorView { name: "factor", shape: &shapes[2], data: &[7.0] },
        ];
        let mut bytes = Vec::new();
        write_safetensors(&tensors, &[("net", "tiny")], &mut bytes).unwrap();
        let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header % ALIGN, 0);
        assert_eq!(metadata.metadata().as_ref().unwrap()["net"], "tiny");
        let back = read_safetensors(&bytes).unwrap();
        let names: Vec<&str> = back.iter().map(|t| &t.name[..]).collect();
        assert_eq!(names, ["a \"é\".bias", "factor", "z.weight"]);
        assert_eq!(
            back.iter().map(|t| t.shape.clone()).collect::<Vec<_>>(),
            [&shapes[1], &shapes[2], &shapes[0]].map(Clone::clone)
        );
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back[2].values), bits(&odd));
    }

    #[test]
    fn other_types_become_float32() {
        let read = |dtype, bytes: &[u8], count| {
            let tensor = Theirs::new(dtype, vec![count], bytes).unwrap();
            let file = serialize([("x", tensor)], None).unwrap();
            read_safetensors(&file).map(|tensors| tensors[0].values.clone())
        };
        assert_eq!(read(Dtype::F16, &[0x00, 0x3c, 0x00, 0xc0], 2).unwrap(), [1.0, -2.0]);
        assert_eq!(read(Dtype::BF16, &[0x80, 0x3f, 0x40, 0xc0], 2).unwrap(), [1.0, -3.0]);
        assert_eq!(read(Dtype::F64, &0.1f64.to_le_bytes(), 1).unwrap(), [0.1]);
        assert_eq!(read(Dtype::I64, &(-5i64).to_le_bytes(), 1).unwrap(), [-5.0]);
        let refused = read(Dtype::C64, &[0; 8], 1).unwrap_err();
        assert!(refused.contains("tensor `x` is of type C64; expected F32"), "{refused}");
    }

    #[test]
    fn damage_is_refused() {
        let shape = Shape::from([2]);
        let mut whole = Vec::new();
        let tensor = TensorView { name: "x", shape: &shape, data: &[1.0, 2.0] };
        write_safetensors(&[tensor], &[], &mut whole).unwrap();
        for len in 0..whole.len() {
            assert!(read_safetensors(&whole[..len]).is_err(), "{len}");
        }
        let mut deep = vec![b'['; 1 << 20];
        deep.splice(0..0, (1u64 << 20).to_le_bytes());
        assert!(read_safetensors(&deep).unwrap_err().contains("damaged"));
    }
}
