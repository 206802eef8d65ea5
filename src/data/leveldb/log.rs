//! Log files, the form of a manifest and of the newest writes: records, cut into fragments that never cross a 32 KB block.
//!
//! ```text
//! fragment    masked CRC-32C of type and data u32 | length u16 | type u8 (whole, first, middle, last) | data
//! ```

use super::{
    super::{DataError, file::DataFile},
    wire::{Cursor, checks},
};

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;
/// A log is at most as long as the memory that its writes fill, some megabytes by default.
const MAX_LOG: u64 = 4 << 30;

/// All records of the file. LevelDB drops one that is cut off at the end; of a data set that is a sample, or many.
pub(super) fn records(file: &DataFile) -> Result<Vec<Vec<u8>>, DataError> {
    if file.len() > MAX_LOG {
        return Err(file.bad("a log of more than 4 GB"));
    }
    let bytes = file.read_vec(0, file.len() as usize)?;
    let mut records = Vec::new();
    let mut open: Option<Vec<u8>> = None;
    for block in bytes.chunks(BLOCK) {
        let mut rest = Cursor(block);
        while let Some((kind, data)) = fragment(&mut rest).map_err(|problem| file.bad(problem))? {
            match (kind, open.take()) {
                (1, None) => records.push(data.to_vec()),
                (2, None) => open = Some(data.to_vec()),
                (3, Some(mut record)) => {
                    record.extend(data);
                    open = Some(record);
                }
                (4, Some(mut record)) => {
                    record.extend(data);
                    records.push(record);
                }
                _ => return Err(file.bad("damaged: the pieces of a record are out of order")),
            }
        }
    }
    if open.is_some() { Err(file.bad(CUT_OFF)) } else { Ok(records) }
}

const CUT_OFF: &str = "cut off: its last record is not whole";

/// The next fragment of a block; `None` where the block, or what was written of it, ends.
fn fragment<'a>(rest: &mut Cursor<'a>) -> Result<Option<(u8, &'a [u8])>, &'static str> {
    if rest.0.len() < HEADER {
        // A block has zeros where no fragment has room.
        return if rest.0.iter().all(|&b| b == 0) { Ok(None) } else { Err(CUT_OFF) };
    }
    let (Some(crc), Some(&[low, high, kind])) = (rest.u32(), rest.take(3)) else {
        return Ok(None);
    };
    let len = u16::from_le_bytes([low, high]);
    if kind == 0 && len == 0 {
        // Space taken in advance and never written.
        return Ok(None);
    }
    let data = rest.take(usize::from(len)).ok_or(CUT_OFF)?;
    if !checks(crc, [&[kind], data]) {
        return Err("damaged: a record has another checksum");
    }
    Ok(Some((kind, data)))
}
