//! Protobuf's binary format for arrays, written straight from where they are: weights can be most of the memory.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use prost::Message as _;

use crate::{config::proto::BlobShape, tensor::Shape};

/// An array to be saved.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    /// Its shape.
    pub shape: &'a Shape,
    /// Its values.
    pub data: &'a [f32],
    /// Its diff, if that shall be saved.
    pub diff: Option<&'a [f32]>,
}

/// Fields of `BlobProto`.
pub(super) const DATA: u32 = 5;
pub(super) const DIFF: u32 = 6;
const SHAPE: u32 = 7;

/// How many bytes are read or written at once: they are hashed while they are in the second-level cache.
pub(super) const PIECE: usize = 1 << 18;

impl Array<'_> {
    fn shape_message(&self) -> Vec<u8> {
        BlobShape { dim: self.shape.iter().map(|&axis| axis as i64).collect() }.encode_to_vec()
    }

    /// The fields of values that are not empty: the others are left out.
    fn values(&self) -> impl Iterator<Item = (u32, &[f32])> {
        let diff = self.diff.unwrap_or_default();
        [(DATA, self.data), (DIFF, diff)].into_iter().filter(|(_, values)| !values.is_empty())
    }

    /// The length of the array as a `BlobProto`.
    fn message_len(&self) -> usize {
        let values: usize = self.values().map(|(field, values)| field_len(field, 4 * values.len())).sum();
        field_len(SHAPE, self.shape_message().len()) + values
    }

    /// The length of the array as field `field` of another message.
    pub fn field_len(&self, field: u32) -> usize {
        field_len(field, self.message_len())
    }

    /// Writes the array as field `field` of another message.
    pub fn write(&self, field: u32, out: &mut dyn Write) -> io::Result<()> {
        start_field(field, self.message_len(), out)?;
        let shape = self.shape_message();
        start_field(SHAPE, shape.len(), out)?;
        out.write_all(&shape)?;
        for (field, values) in self.values() {
            start_field(field, 4 * values.len(), out)?;
            out.write_all(&packed(values))?;
        }
        Ok(())
    }
}

/// The length of a field with a content of `len` bytes.
pub fn field_len(field: u32, len: usize) -> usize {
    prost::length_delimiter_len(key(field)) + prost::length_delimiter_len(len) + len
}

/// Writes what stands before a content of `len` bytes: its field and length.
pub fn start_field(field: u32, len: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut start = Vec::with_capacity(20);
    for number in [key(field), len] {
        prost::encode_length_delimiter(number, &mut start).map_err(io::Error::other)?;
    }
    out.write_all(&start)
}

/// The key of a field with a length: wire type 2.
fn key(field: u32) -> usize {
    (field as usize) << 3 | 2
}

/// The bytes of values as they stand in packed fields: little-endian, as in memory on nearly all machines.
pub fn packed(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        bytemuck::cast_slice(values).into()
    } else {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::proto::{BlobProto, BlobProtoVector},
        snapshot::blob::read_blob,
    };

    #[test]
    fn arrays_are_written_as_prost_would() {
        let shape = Shape::from([2, 200]);
        let data: Vec<f32> = (0..400u16).map(f32::from).collect();
        for (shape, data, diff) in [
            (&shape, &data[..], Some(&data[..])),
            (&shape, &data[..], None),
            (&Shape::from([0]), &[][..], None),
        ] {
            let array = Array { shape, data, diff };
            let mut bytes = Vec::new();
            array.write(1, &mut bytes).unwrap();
            assert_eq!(bytes.len(), array.field_len(1));
            let back = BlobProtoVector::decode(&bytes[..]).unwrap().blobs.remove(0);
            assert_eq!(back.diff, diff.unwrap_or_default());
            assert_eq!(read_blob(back.clone(), &mut []).unwrap().values[..], *data);
            let prost = BlobProto {
                shape: Some(BlobShape { dim: shape.iter().map(|&a| a as i64).collect() }),
                data: data.to_vec(),
                diff: diff.unwrap_or_default().to_vec(),
                ..BlobProto::default()
            };
            assert_eq!(back, prost);
        }
    }

    /// Counts, and keeps the first bytes.
    #[derive(Default)]
    struct Sink {
        start: Vec<u8>,
        bytes: usize,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = 32usize.saturating_sub(self.start.len()).min(bytes.len());
            self.start.extend_from_slice(&bytes[..room]);
            self.bytes += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Lengths do not wrap at 2 or 4 GB. The zeros are never touched, so they take no memory.
    #[test]
    fn an_array_of_more_than_four_gigabytes_has_the_right_lengths() {
        let count = (1usize << 30) + 1;
        let zeros = vec![0.0; count];
        let array = Array { shape: &Shape::from([count]), data: &zeros, diff: None };
        let mut sink = Sink::default();
        start_field(1, array.message_len(), &mut sink).unwrap();
        assert_eq!(prost::decode_length_delimiter(&sink.start[1..]).unwrap(), array.message_len());
        // Shape: key, length 7 (key, length 5, the number). Values: key, length in 5 bytes.
        assert_eq!(array.message_len(), 9 + 6 + 4 * count);
    }
}
