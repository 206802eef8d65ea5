//! Files of what rounding has kept back of gradients, `<prefix>_iter_N.residuals`, for the ranks of a run.
//!
//! A line that tells what it is; three numbers of 8 bytes, least byte first: ranks, pieces a rank, and values of all pieces of a
//! rank; then the first piece of each rank, the second of each, and so on, as `f32`; then the CRC-32 of each piece. So
//! rank 0 writes it as the pieces come in, and each rank reads only its own. The solver state holds the CRC-32 of all that is
//! not pieces.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{Access, SnapshotError, write_whole_with};

const TITLE: &[u8] = b"cnnctl residuals 1\n";

/// The file that belongs to a solver state.
pub fn residuals_beside(state: &Path) -> PathBuf {
    let name = state.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let name = name.strip_suffix(".h5").unwrap_or(name);
    state.with_file_name(format!("{}.residuals", name.strip_suffix(".solverstate").unwrap_or(name)))
}

/// What comes before the pieces.
fn head(ranks: usize, lens: &[usize]) -> Vec<u8> {
    let numbers = [ranks, lens.len(), lens.iter().sum()].map(|n| (n as u64).to_le_bytes());
    [TITLE, numbers.as_flattened()].concat()
}

/// Writes the pieces of all ranks, each rank's of `lens` values: `pieces` gives the bytes of piece `k`, rank after rank. Gives
/// the checksum.
///
/// # Errors
/// When it cannot be written.
pub fn save_residuals(
    path: &Path,
    ranks: usize,
    lens: &[usize],
    mut pieces: impl FnMut(usize) -> io::Result<Vec<u8>>,
) -> Result<u32, SnapshotError> {
    let head = head(ranks, lens);
    let mut sums = Vec::new();
    write_whole_with(path, |out| {
        out.write_all(&head)?;
        for (k, len) in lens.iter().enumerate() {
            let bytes = pieces(k)?;
            if bytes.len() != ranks * len * 4 {
                return Err(io::Error::other("a piece has not come whole"));
            }
            let each = bytes.chunks_exact((len * 4).max(1));
            each.for_each(|piece| sums.extend(crc32fast::hash(piece).to_le_bytes()));
            out.write_all(&bytes)?;
        }
        out.write_all(&sums)
    })?;
    Ok(crc32fast::hash(&[head, sums].concat()))
}

/// Reads the pieces of one rank.
///
/// # Errors
/// When the file cannot be read, is damaged, or is of another snapshot, another net or another number of ranks.
pub fn load_residuals(
    path: &Path,
    checksum: u32,
    rank: usize,
    ranks: usize,
    lens: &[usize],
) -> Result<Vec<Vec<f32>>, SnapshotError> {
    let fail = |message: &str| SnapshotError::content(path, message);
    let mut file = File::open(path).map_err(SnapshotError::io(Access::Read, path))?;
    let expected = head(ranks, lens);
    let mut read = |at: u64, len: usize| -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = vec![0; len];
        let done = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut bytes));
        match done {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(fail("is cut off")),
            other => other.map(|()| bytes).map_err(SnapshotError::io(Access::Read, path)),
        }
    };
    let start = read(0, expected.len())?;
    if !start.starts_with(TITLE) {
        return Err(fail("is no file of residuals, or of a newer cnnctl"));
    }
    let theirs = start[TITLE.len()..].as_chunks().0.first().map_or(0, |b| u64::from_le_bytes(*b));
    if theirs != ranks as u64 {
        return Err(fail(&format!("is of {theirs} ranks, but this run has {ranks}")));
    }
    if start != expected {
        return Err(fail("belongs to another net"));
    }
    let values = (ranks as u64) * lens.iter().sum::<usize>() as u64;
    let sums = read(expected.len() as u64 + values * 4, ranks * lens.len() * 4)?;
    if crc32fast::hash(&[&expected[..], &sums].concat()) != checksum {
        return Err(fail("is damaged, or of another snapshot"));
    }
    let sums: Vec<u32> = sums.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    let mut at = expected.len() as u64;
    let mut pieces = Vec::with_capacity(lens.len());
    for (k, &len) in lens.iter().enumerate() {
        let bytes = read(at + (rank * len * 4) as u64, len * 4)?;
        if sums.get(k * ranks + rank) != Some(&crc32fast::hash(&bytes)) {
            return Err(fail("is damaged"));
        }
        pieces.push(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect());
        at += (ranks * len * 4) as u64;
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LENS: [usize; 2] = [3, 1];

    /// Rank r's piece k is all r + 10 k.
    fn save(path: &Path) -> u32 {
        let piece = |k: usize| {
            let values = (0..2).flat_map(|r| vec![(r + 10 * k) as f32; LENS[k]]);
            Ok(values.flat_map(f32::to_le_bytes).collect())
        };
        save_residuals(path, 2, &LENS, piece).unwrap()
    }

    #[test]
    fn each_rank_finds_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = residuals_beside(&folder.path().join("a_iter_7.solverstate.h5"));
        assert_eq!(path, folder.path().join("a_iter_7.residuals"));
        let sum = save(&path);
        assert_eq!(load_residuals(&path, sum, 0, 2, &LENS).unwrap(), [vec![0.0; 3], vec![10.0]]);
        assert_eq!(load_residuals(&path, sum, 1, 2, &LENS).unwrap(), [vec![1.0; 3], vec![11.0]]);
    }

    #[test]
    fn strangers_and_damage_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.residuals");
        let sum = save(&path);
        let message = |sum: u32, ranks: usize, lens: &[usize]| {
            load_residuals(&path, sum, 1, ranks, lens).unwrap_err().to_string()
        };
        assert!(message(sum, 4, &LENS).contains("is of 2 ranks, but this run has 4"));
        assert!(message(sum, 2, &[3, 2]).contains("another net"));
        assert!(message(sum ^ 1, 2, &LENS).contains("of another snapshot"));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            // Rank 1 does not read rank 0's pieces.
            let of_rank_0 = |rank| load_residuals(&path, sum, rank, 2, &LENS).is_err();
            assert!(of_rank_0(0) || of_rank_0(1), "byte {at}");
        }
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            assert!(message(sum, 2, &LENS).contains("cut off"), "{len}");
        }
        fs::remove_file(&path).unwrap();
        assert!(message(sum, 2, &LENS).contains("cannot read"));
        let failed = save_residuals(&path, 2, &LENS, |_| Ok(vec![0; 3])).unwrap_err();
        let reason = std::error::Error::source(&failed).map(ToString::to_string).unwrap_or_default();
        assert!(reason.contains("not come whole") && !path.exists(), "{failed}: {reason}");
    }
}
