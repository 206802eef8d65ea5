//! Protobuf's binary format: writing it, field by field, and walking through it.

use super::schema::Kind;

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    Fixed64,
    Length,
    Fixed32,
}

impl WireType {
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Float => WireType::Fixed32,
            Kind::Double => WireType::Fixed64,
            Kind::String | Kind::Bytes | Kind::Message(_) => WireType::Length,
            Kind::Bool | Kind::Enum(_) => WireType::Varint,
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => WireType::Varint,
        }
    }

    fn code(self) -> u64 {
        match self {
            WireType::Varint => 0,
            WireType::Fixed64 => 1,
            WireType::Length => 2,
            WireType::Fixed32 => 5,
        }
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: WireType) {
    put_varint(out, u64::from(number) << 3 | wire_type.code());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes kept for the length of a message that is still being written. A varint may be longer than it need
/// be, so the length fits later without moving the message.
const LENGTH_BYTES: usize = 5;

/// Begins a message inside another; the result goes to `end_message`.
pub(crate) fn begin_message(out: &mut Vec<u8>, number: u32) -> usize {
    put_tag(out, number, WireType::Length);
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    out.len()
}

pub(crate) fn end_message(out: &mut [u8], start: usize) {
    let length = out.len() - start;
    for i in 0..LENGTH_BYTES {
        let more = if i + 1 < LENGTH_BYTES { 0x80 } else { 0 };
        out[start - LENGTH_BYTES + i] = (length >> (7 * i)) as u8 & 0x7f | more;
    }
}

/// Takes a varint off the front.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes the next tag off the front: field number and how its value is stored. Groups, which caffe.proto has
/// not, count as damage.
pub(crate) fn take_tag(bytes: &mut &[u8]) -> Option<(u32, WireType)> {
    let tag = take_varint(bytes)?;
    let wire_type = match tag & 7 {
        0 => WireType::Varint,
        1 => WireType::Fixed64,
        2 => WireType::Length,
        5 => WireType::Fixed32,
        _ => return None,
    };
    Some((u32::try_from(tag >> 3).ok()?, wire_type))
}

/// Takes `length` bytes off the front.
pub(crate) fn take_bytes<'b>(bytes: &mut &'b [u8], length: u64) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_go_there_and_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut bytes = out.as_slice();
            assert_eq!(take_varint(&mut bytes), Some(value));
            assert!(bytes.is_empty());
            assert_eq!(take_varint(&mut &out[..out.len() - 1]), None);
        }
        assert_eq!(take_varint(&mut &[0xff; 11][..]), None);
    }

    #[test]
    fn lengths_are_filled_in_afterwards() {
        let mut out = Vec::new();
        let start = begin_message(&mut out, 1);
        out.extend_from_slice(&[7; 300]);
        end_message(&mut out, start);
        let mut bytes = out.as_slice();
        assert_eq!(take_tag(&mut bytes), Some((1, WireType::Length)));
        let length = take_varint(&mut bytes).expect("a length");
        assert_eq!(take_bytes(&mut bytes, length), Some(&[7; 300][..]));
        assert_eq!(take_bytes(&mut bytes, 1), None);
    }
}
