//! Reads messages that hold large arrays: values go from the file straight to where they stay, and what is left is small
//! enough to be decoded field by field.
//!
//! In what is left a blob names its array by number. Only what writers of today write is lifted: values in one packed field
//! of a blob. Where a message has values one by one or in parts, has groups or is damaged, nothing is lifted, and whoever
//! decodes the whole of it tells what is wrong.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read},
    path::Path,
};

use crc32fast::Hasher;

use super::{
    Format, Values,
    wire::{DATA, DIFF, PIECE, start_field},
};
use crate::tensor::Buffer;

/// Fields of `BlobProto` that are not read, and the one that numbers an array.
const DOUBLE_DIFF: u32 = 9;
const ARRAY: u32 = 7_700_001;

/// How a field's content is stored: a number, 8 bytes, a length and as many bytes, 4 bytes.
const NUMBER: u64 = 0;
const EIGHT: u64 = 1;
const LENGTH: u64 = 2;
const FOUR: u64 = 5;

/// What a field leads to.
pub enum Part {
    /// A `BlobProto`.
    Blob,
    /// A message with blobs in these fields.
    Message(&'static [(u32, Part)]),
}

/// Where blobs stand in a `NetParameter`: in `layer`, and in `layers` in the forms V1 and V0.
pub const OF_NET: &[(u32, Part)] = &[
    (100, Part::Message(&[(7, Part::Blob)])),
    (2, Part::Message(&[(6, Part::Blob), (1, Part::Message(&[(50, Part::Blob)]))])),
];

/// Where blobs stand in a `SolverState`.
pub const OF_STATE: &[(u32, Part)] = &[(3, Part::Blob)];

/// A message whose arrays have been taken out, or another file as it is.
pub struct Lifted {
    /// What is left.
    pub rest: Vec<u8>,
    /// The arrays.
    pub arrays: Vec<Values>,
    /// The CRC-32 of the whole.
    pub checksum: u32,
}

impl Lifted {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(path: &Path, parts: &[(u32, Part)]) -> io::Result<Self> {
        let file = File::open(path)?;
        let about = file.metadata()?;
        // Pipes tell no length.
        let lifted = if about.is_file() { lift(file, about.len(), parts)? } else { None };
        lifted.map_or_else(|| fs::read(path).map(Self::whole), Ok)
    }

    /// Takes what has been read.
    pub fn of(bytes: Vec<u8>, parts: &[(u32, Part)]) -> Self {
        match lift(&bytes[..], bytes.len() as u64, parts) {
            Ok(Some(lifted)) => lifted,
            _ => Self::whole(bytes),
        }
    }

    fn whole(bytes: Vec<u8>) -> Self {
        Self { checksum: crc32fast::hash(&bytes), rest: bytes, arrays: Vec::new() }
    }
}

/// Lifts the arrays out of `len` bytes; `None` if they are not in the form that can be.
fn lift(from: impl Read, len: u64, parts: &[(u32, Part)]) -> io::Result<Option<Lifted>> {
    let mut bytes = BufReader::with_capacity(PIECE, from);
    if len == 0 || Format::of_bytes(bytes.fill_buf()?) == Format::Hdf5 {
        return Ok(None);
    }
    let mut walk = Walk { bytes, at: 0, hash: Hasher::new(), arrays: Vec::new() };
    let mut rest = Vec::new();
    match walk.message(parts, len, &mut rest) {
        Ok(()) => Ok(Some(Lifted { rest, arrays: walk.arrays, checksum: walk.hash.finalize() })),
        Err(Stop::Form) => Ok(None),
        Err(Stop::Io(error)) => Err(error),
    }
}

/// Why a walk ends early.
enum Stop {
    /// The message is not of the form that can be lifted.
    Form,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Goes through a message; `end` is always where the innermost message that is read ends.
struct Walk<R> {
    bytes: BufReader<R>,
    at: u64,
    /// Of all bytes so far.
    hash: Hasher,
    arrays: Vec<Values>,
}

impl<R: Read> Walk<R> {
    /// Copies a message to `rest`, but for the arrays below `parts`.
    fn message(&mut self, parts: &[(u32, Part)], end: u64, rest: &mut Vec<u8>) -> Result<(), Stop> {
        while self.at < end {
            let key = self.number(end)?;
            let part = parts.iter().find(|(field, _)| key == u64::from(*field) << 3 | LENGTH);
            let Some((field, part)) = part else {
                self.copy(key, end, rest)?;
                continue;
            };
            let end = self.length(end)?;
            let mut inner = Vec::new();
            match part {
                Part::Blob => self.blob(end, &mut inner)?,
                Part::Message(parts) => self.message(parts, end, &mut inner)?,
            }
            start_field(*field, inner.len(), rest)?;
            rest.extend(inner);
        }
        Ok(())
    }

    /// Copies a blob likewise, with the number of its array in place of its values, and without diffs.
    fn blob(&mut self, end: u64, rest: &mut Vec<u8>) -> Result<(), Stop> {
        let mut values = None;
        while self.at < end {
            let key = self.number(end)?;
            let field = key >> 3;
            if field == u64::from(DATA) {
                if key & 7 != LENGTH || values.is_some() {
                    return Err(Stop::Form);
                }
                values = Some(self.values(end)?);
            } else if (field == u64::from(DIFF) || field == u64::from(DOUBLE_DIFF)) && key & 7 == LENGTH {
                let size = if field == u64::from(DIFF) { 4 } else { 8 };
                let after = self.length(end)?;
                if !(after - self.at).is_multiple_of(size) {
                    return Err(Stop::Form);
                }
                self.skip(after)?;
            } else if field == u64::from(ARRAY) {
                // What a file says of our numbers means nothing.
                self.copy(key, end, &mut Vec::new())?;
            } else {
                self.copy(key, end, rest)?;
            }
        }
        if let Some(values) = values {
            put_number(u64::from(ARRAY) << 3 | NUMBER, rest);
            put_number(self.arrays.len() as u64, rest);
            self.arrays.push(values);
        }
        Ok(())
    }

    /// Takes the values of a packed field.
    fn values(&mut self, end: u64) -> Result<Values, Stop> {
        let len = self.length(end)? - self.at;
        let count = usize::try_from(len / 4).map_err(|_| Stop::Form)?;
        if !len.is_multiple_of(4) {
            return Err(Stop::Form);
        }
        let mut values = Buffer::try_zeroed(count).map_err(io::Error::other)?;
        let mut hash = Hasher::new();
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        // What is at hand first: whole pieces after it go past the reader's own buffer.
        let (start, after) = bytes.split_at_mut(self.bytes.buffer().len().min(bytes.len()));
        for piece in std::iter::once(start).chain(after.chunks_mut(PIECE)) {
            self.bytes.read_exact(piece)?;
            hash.update(piece);
        }
        self.hash.combine(&hash);
        self.at += len;
        if cfg!(target_endian = "big") {
            values.iter_mut().for_each(|v| *v = f32::from_bits(v.to_bits().swap_bytes()));
        }
        Ok(Values::hashed(values, hash))
    }

    /// Copies the field after its key.
    fn copy(&mut self, key: u64, end: u64, rest: &mut Vec<u8>) -> Result<(), Stop> {
        put_number(key, rest);
        let len = match key & 7 {
            // There is no field 0.
            _ if key >> 3 == 0 => return Err(Stop::Form),
            NUMBER => {
                put_number(self.number(end)?, rest);
                0
            }
            EIGHT => 8,
            LENGTH => {
                let len = self.length(end)? - self.at;
                put_number(len, rest);
                len
            }
            FOUR => 4,
            _ => return Err(Stop::Form),
        };
        if len > end - self.at {
            return Err(Stop::Form);
        }
        let start = rest.len();
        rest.resize(start + usize::try_from(len).map_err(|_| Stop::Form)?, 0);
        self.fill(&mut rest[start..])
    }

    /// Passes over all before `end`.
    fn skip(&mut self, end: u64) -> Result<(), Stop> {
        let mut piece = [0; 4096];
        while self.at < end {
            let len = (end - self.at).min(piece.len() as u64) as usize;
            self.fill(&mut piece[..len])?;
        }
        Ok(())
    }

    /// Where the bytes end whose length stands here.
    fn length(&mut self, end: u64) -> Result<u64, Stop> {
        let len = self.number(end)?;
        self.at.checked_add(len).filter(|&after| after <= end).ok_or(Stop::Form)
    }

    /// Seven bits a byte, the lowest first; the top bit says that more follow.
    fn number(&mut self, end: u64) -> Result<u64, Stop> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            if self.at == end {
                return Err(Stop::Form);
            }
            self.fill(&mut byte)?;
            // The tenth byte holds the one bit that is left.
            if shift == 63 && byte[0] > 1 {
                return Err(Stop::Form);
            }
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(Stop::Form)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Stop> {
        self.bytes.read_exact(bytes)?;
        self.hash.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// Puts a number as [`Walk::number`] takes it.
fn put_number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::config::proto::{
        BlobProto, BlobShape, LayerParameter, NetParameter, SolverState, V0LayerParameter, V1LayerParameter,
    };

    fn blob(values: &[f32]) -> BlobProto {
        BlobProto {
            shape: Some(BlobShape { dim: vec![values.len() as i64] }),
            data: values.to_vec(),
            diff: vec![0.5; values.len()],
            double_diff: vec![0.5; 2],
            ..BlobProto::default()
        }
    }

    /// Blobs in all places where there can be some.
    fn net() -> NetParameter {
        let old = BlobProto { num: Some(-1), double_data: vec![1.0, 2.0], ..BlobProto::default() };
        let v0 = V0LayerParameter { blobs: vec![blob(&[4.0])], ..V0LayerParameter::default() };
        NetParameter {
            name: Some("n\u{e9}t".into()),
            layer: vec![
                LayerParameter { name: Some("none".into()), ..LayerParameter::default() },
                LayerParameter {
                    blobs: vec![blob(&[1.0, f32::NAN, -0.0]), old, blob(&[])],
                    ..LayerParameter::default()
                },
            ],
            layers: vec![
                V1LayerParameter { blobs: vec![blob(&[3.0; 70])], ..V1LayerParameter::default() },
                V1LayerParameter { layer: Some(v0), ..V1LayerParameter::default() },
            ],
            cnnctl_checksum: Some(u32::MAX),
            ..NetParameter::default()
        }
    }

    /// All blobs of a net.
    fn blobs(net: &mut NetParameter) -> impl Iterator<Item = &mut BlobProto> {
        let layers = net.layer.iter_mut().flat_map(|l| &mut l.blobs);
        let old = net
            .layers
            .iter_mut()
            .flat_map(|l| l.blobs.iter_mut().chain(l.layer.iter_mut().flat_map(|v0| &mut v0.blobs)));
        layers.chain(old)
    }

    /// Puts arrays back; forgets what is not read.
    fn settle(blob: &mut BlobProto, lifted: &Lifted) {
        if let Some(values) = blob.cnnctl_array.take().and_then(|i| lifted.arrays.get(i as usize)) {
            assert!(blob.data.is_empty());
            blob.data = values.to_vec();
            assert_eq!(
                values.hash().clone().finalize(),
                Values::from(blob.data.clone()).hash().clone().finalize()
            );
        }
        (blob.diff, blob.double_diff) = (vec![], vec![]);
    }

    /// The message as it is decoded with and without lifting, if it can be.
    fn both(bytes: &[u8]) -> [Option<Vec<u8>>; 2] {
        let lifted = Lifted::of(bytes.to_vec(), OF_NET);
        assert_eq!(lifted.checksum, crc32fast::hash(bytes));
        [&lifted.rest[..], bytes].map(|bytes| {
            let mut net = NetParameter::decode(bytes).ok()?;
            blobs(&mut net).for_each(|blob| settle(blob, &lifted));
            // Bytes tell `NaN`s apart.
            Some(net.encode_to_vec())
        })
    }

    #[test]
    fn arrays_are_lifted_wherever_they_are() {
        let bytes = net().encode_to_vec();
        let lifted = Lifted::of(bytes.clone(), OF_NET);
        let lens: Vec<usize> = lifted.arrays.iter().map(|a| a.len()).collect();
        assert_eq!(lens, [70, 1, 3]);
        assert!(lifted.rest.len() < bytes.len() - 4 * 2 * 74);
        let [with, without] = both(&bytes);
        assert_eq!(with, without);
        assert!(with.is_some());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, &bytes).unwrap();
        let loaded = Lifted::load(&path, OF_NET).unwrap();
        assert_eq!((loaded.rest, loaded.checksum), (lifted.rest, lifted.checksum));
        let sums = |arrays: &[Values]| arrays.iter().map(|a| a.hash().clone().finalize()).collect::<Vec<_>>();
        assert_eq!(sums(&loaded.arrays), sums(&lifted.arrays));
        assert!(Lifted::load(folder.path(), OF_NET).is_err());
        let state = SolverState { iter: Some(3), history: vec![blob(&[1.0]); 2], ..SolverState::default() };
        assert_eq!(Lifted::of(state.encode_to_vec(), OF_STATE).arrays.len(), 2);
    }

    /// Arrays of several pieces, which do not begin where the reader's buffer does.
    #[test]
    fn long_arrays_come_whole() {
        let values: Vec<f32> = (0..PIECE as u32).map(|v| v as f32).collect();
        let state = SolverState {
            learned_net: Some("x".repeat(77)),
            history: vec![blob(&values[..100]), blob(&values), blob(&values[7..])],
            ..SolverState::default()
        };
        let bytes = state.encode_to_vec();
        let lifted = Lifted::of(bytes.clone(), OF_STATE);
        assert_eq!(lifted.checksum, crc32fast::hash(&bytes));
        let lifted: Vec<&[f32]> = lifted.arrays.iter().map(|a| &a[..]).collect();
        assert!(lifted == [&values[..100], &values, &values[7..]]);
    }

    /// Cut off anywhere, with any bit flipped, with groups, and with values in parts or one by one.
    #[test]
    fn messages_are_read_or_refused_as_without_lifting() {
        let whole = net().encode_to_vec();
        let same = |bytes: &[u8], what: &str| {
            let [with, without] = both(bytes);
            assert_eq!(with, without, "{what}");
        };
        for at in 0..whole.len() {
            same(&whole[..at], &format!("cut to {at}"));
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                same(&bytes, &format!("bit {bit} of byte {at}"));
            }
        }
        let single = [0x2d, 0, 0, 0x80, 0x3f];
        let packed = [0x2a, 4, 0, 0, 0, 0x40];
        let number = [0x88, 0xe8, 0xaf, 0x1d, 9];
        let blobs: [&[u8]; 6] = [
            &single,
            &packed,
            &[&single[..], &packed].concat(),
            &[packed, packed].concat(),
            &[&packed[..], &number].concat(),
            &[&number[..], &[0x2a, 3, 1, 2, 3]].concat(),
        ];
        for content in blobs {
            let mut layer = Vec::new();
            start_field(7, content.len(), &mut layer).unwrap();
            layer.extend(content);
            let mut bytes = Vec::new();
            start_field(100, layer.len(), &mut bytes).unwrap();
            bytes.extend(layer);
            same(&bytes, &format!("{content:?}"));
            same(&[&bytes[..], &[0x53, 0x54]].concat(), "a group after it");
            same(&[&bytes[..], &[0xff; 10]].concat(), "a number that is too large");
        }
    }
}
