//! Whole files or none.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::Path,
};

use super::{Access, SnapshotError, wire::PIECE};
use crate::files;

/// What has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file's CRC-32.
    pub checksum: u32,
    /// Its length.
    pub bytes: u64,
}

/// Writes `bytes` beside `path`, syncs, and renames over `path`, as [`files::replace`] does; makes the folder if it is not
/// there.
///
/// # Errors
/// When that fails: whatever stood at `path` then still does.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
    write_whole_with(path, |out| out.write_all(bytes)).map(drop)
}

/// Writes what `content` gives likewise.
///
/// # Errors
/// When that fails: whatever stood at `path` then still does.
pub fn write_whole_with(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<Written, SnapshotError> {
    let write = || {
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            files::make_folder(folder)?;
        }
        files::replace(path, |file| {
            let mut counted = Counted::new(file);
            let mut buffered = BufWriter::with_capacity(PIECE, &mut counted);
            content(&mut buffered)?;
            buffered.flush()?;
            drop(buffered);
            Ok(counted.written())
        })
    };
    write().map_err(SnapshotError::io(Access::Write, path))
}

/// The CRC-32 of a file.
///
/// # Errors
/// When it cannot be read.
pub(super) fn checksum_of(path: &Path) -> Result<u32, SnapshotError> {
    let read = || {
        let mut counted = Counted::new(io::sink());
        io::copy(&mut BufReader::with_capacity(PIECE, File::open(path)?), &mut counted)?;
        Ok(counted.written().checksum)
    };
    read().map_err(SnapshotError::io(Access::Read, path))
}

/// Passes bytes on and keeps count of them.
struct Counted<W> {
    inner: W,
    hash: crc32fast::Hasher,
    bytes: u64,
}

impl<W> Counted<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: crc32fast::Hasher::new(), bytes: 0 }
    }

    fn written(self) -> Written {
        Written { checksum: self.hash.finalize(), bytes: self.bytes }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(&bytes[..bytes.len().min(PIECE)])?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_replaced_whole_and_folders_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.bin");
        write_whole(&path, b"one").unwrap();
        let written = write_whole_with(&path, |out| {
            out.write_all(b"tw")?;
            out.write_all(b"os")
        });
        assert_eq!(fs::read(&path).unwrap(), b"twos");
        assert_eq!(written.unwrap(), Written { checksum: crc32fast::hash(b"twos"), bytes: 4 });
        let long: Vec<u8> = (0..PIECE + 5).map(|i| i as u8).collect();
        let long_path = path.with_extension("long");
        write_whole(&long_path, &long).unwrap();
        assert!(fs::read(&long_path).unwrap() == long);
        assert_eq!(checksum_of(&long_path).unwrap(), crc32fast::hash(&long));
        fs::remove_file(long_path).unwrap();
        let failed =
            write_whole_with(&path, |out| out.write_all(b"th").and(Err(io::Error::other("no more"))));
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"twos");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn folders_stay() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        assert!(write_whole(&inner, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of it");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write_whole(&file.join("x.bin"), b"").unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("x.bin"), "{error}");
    }
}
