//! The encodings that LevelDB's files share: varints, length-prefixed bytes, masked checksums.

/// Takes values off the front of a slice; `None` when it is too short.
pub(super) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// Seven bits a byte, the lowest first; the top bit says that more follow.
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub fn size(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }

    /// Bytes with their length before them.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.size()?;
        self.take(len)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether `parts`, one after another, have the checksum that is stored masked.
pub(super) fn checks(masked: u32, parts: [&[u8]; 2]) -> bool {
    let crc = crc32c::crc32c_append(crc32c::crc32c(parts[0]), parts[1]);
    crc.rotate_right(15).wrapping_add(0xa282_ead8) == masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_end_at_the_first_small_byte() {
        let mut c = Cursor(&[0x05, 0xac, 0x02, 0x80]);
        assert_eq!((c.varint(), c.varint(), c.varint()), (Some(5), Some(300), None));
        assert_eq!(Cursor(&[0xff; 20]).varint(), None, "too long");
        assert_eq!(Cursor(&[2, 7]).bytes(), None, "cut off");
    }
}
