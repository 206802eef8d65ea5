//! A file read at any offset by any thread, without a shared cursor and without mapping it.
//!
//! A mapped file kills the process when it shrinks or its server goes away; a read returns an error.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{Access, DataError};

/// An open file with its name, for messages, and its length.
#[derive(Debug)]
pub(crate) struct DataFile {
    file: File,
    path: PathBuf,
    len: u64,
}

impl DataFile {
    /// Opens for reading only.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(Access::Open, path))?;
        let about = file.metadata().map_err(DataError::io(Access::Open, path))?;
        if about.is_dir() {
            return Err(DataError::file(path, "this is a folder, not a file"));
        }
        Ok(Self { file, path: path.to_owned(), len: about.len() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// Fills `bytes` from `offset`; a file that ends before is damaged.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), DataError> {
        read_exact_at(&self.file, offset, bytes).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                let end = offset.saturating_add(bytes.len() as u64);
                self.bad(format!("cut off: {end} bytes expected, {} found", self.len))
            }
            _ => DataError::io(Access::Read, &self.path)(e),
        })
    }

    /// The `len` bytes from `offset`, checked against the file's length before memory is taken.
    pub fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>, DataError> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.len => {
                let mut bytes = vec![0; len];
                self.read(offset, &mut bytes)?;
                Ok(bytes)
            }
            _ => Err(self.bad(format!(
                "cut off: {len} bytes expected at {offset}, but the file has {} bytes",
                self.len
            ))),
        }
    }

    /// An error that names this file.
    pub fn bad(&self, problem: impl Into<String>) -> DataError {
        DataError::file(&self.path, problem)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt as _;
    while !bytes.is_empty() {
        match file.seek_read(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                bytes = &mut bytes[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
