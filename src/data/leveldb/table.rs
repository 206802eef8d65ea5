//! Sorted tables: blocks of entries, and an index of the blocks.
//!
//! ```text
//! footer  handle of the filter index | handle of the index | padding | magic u64        (48 bytes at the end)
//! handle  varint offset | varint length
//! block   entries | restart offsets u32 ... | restarts u32 | compression u8 | masked CRC-32C of block and compression u32
//! entry   varint shared | varint own | varint length | own bytes of the key | value
//! ```
//!
//! An entry's key starts with `shared` bytes of the key before it.

use std::path::Path;

use super::{
    super::{DataError, file::DataFile},
    wire::{Cursor, checks},
};

const FOOTER: usize = 48;
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
/// Type and checksum after a block.
const TRAILER: usize = 5;

/// An open table.
#[derive(Debug)]
pub(super) struct Table {
    file: DataFile,
    blocks: Vec<Handle>,
}

/// Where a block is.
#[derive(Clone, Copy, Debug)]
struct Handle {
    offset: u64,
    len: usize,
}

impl Handle {
    fn parse(rest: &mut Cursor<'_>) -> Option<Self> {
        Some(Self { offset: rest.varint()?, len: rest.size()? })
    }
}

impl Table {
    /// Opens table `number` of `folder`, which the manifest says has `len` bytes.
    pub fn open(folder: &Path, number: u64, len: u64) -> Result<Self, DataError> {
        // The older ending is `sst`.
        let name = folder.join(format!("{number:06}.ldb"));
        let older = folder.join(format!("{number:06}.sst"));
        Self::of(DataFile::open(if older.exists() { &older } else { &name })?, len)
    }

    /// Opens a table that no manifest names.
    pub fn stray(path: &Path) -> Result<Self, DataError> {
        let file = DataFile::open(path)?;
        let len = file.len();
        Self::of(file, len)
    }

    fn of(file: DataFile, len: u64) -> Result<Self, DataError> {
        if file.len() < len || len < FOOTER as u64 {
            return Err(file.bad(format!("cut off: {len} bytes expected, {} found", file.len())));
        }
        let footer = file.read_vec(len - FOOTER as u64, FOOTER)?;
        if Cursor(&footer[40..]).u64() != Some(MAGIC) {
            return Err(file.bad("not a LevelDB table"));
        }
        let mut rest = Cursor(&footer[..40]);
        let index = Handle::parse(&mut rest).and_then(|_| Handle::parse(&mut rest));
        let index = index.ok_or_else(|| file.bad("damaged: its footer"))?;
        let mut table = Self { file, blocks: Vec::new() };
        let block = table.read(index)?;
        let mut whole = true;
        let entries = each_entry(&block, |_, value| {
            let handle = Handle::parse(&mut Cursor(value));
            whole = handle.is_some();
            table.blocks.extend(handle);
            whole
        });
        entries.filter(|()| whole).ok_or_else(|| table.damaged(index))?;
        Ok(table)
    }

    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Shows the entries of a block, internal key and value, until `visit` says false.
    pub fn visit(&self, block: usize, visit: impl FnMut(&[u8], &[u8]) -> bool) -> Result<(), DataError> {
        let handle = self.blocks[block];
        let bytes = self.read(handle)?;
        each_entry(&bytes, visit).ok_or_else(|| self.damaged(handle))
    }

    /// Reads a block, checks it, and unpacks it.
    fn read(&self, handle: Handle) -> Result<Vec<u8>, DataError> {
        let with_trailer = handle.len.checked_add(TRAILER).ok_or_else(|| self.damaged(handle))?;
        let mut bytes = self.file.read_vec(handle.offset, with_trailer)?;
        let (block, trailer) = bytes.split_at(handle.len);
        let (kind, crc) = (trailer[0], Cursor(&trailer[1..]).u32());
        if !crc.is_some_and(|crc| checks(crc, [block, &[kind]])) {
            return Err(self.damaged(handle));
        }
        match kind {
            0 => {
                bytes.truncate(handle.len);
                Ok(bytes)
            }
            1 => snap::raw::Decoder::new().decompress_vec(block).map_err(|_| self.damaged(handle)),
            _ => Err(self.file.bad(format!("a block is compressed in the unknown way {kind}"))),
        }
    }

    fn damaged(&self, handle: Handle) -> DataError {
        self.file.bad(format!("damaged: the block of {} bytes at {}", handle.len, handle.offset))
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

/// Shows the entries of an unpacked block until `visit` says false; `None` if the block is damaged.
fn each_entry(block: &[u8], mut visit: impl FnMut(&[u8], &[u8]) -> bool) -> Option<()> {
    let (rest, restarts) = block.split_at_checked(block.len().checked_sub(4)?)?;
    let restarts = Cursor(restarts).u32()? as usize;
    let entries = rest.len().checked_sub(restarts.checked_mul(4)?)?;
    let mut rest = Cursor(&rest[..entries]);
    let mut key = Vec::new();
    while !rest.is_empty() {
        let (shared, own, len) = (rest.size()?, rest.size()?, rest.size()?);
        if shared > key.len() {
            return None;
        }
        key.truncate(shared);
        key.extend(rest.take(own)?);
        if !visit(&key, rest.take(len)?) {
            break;
        }
    }
    Some(())
}
