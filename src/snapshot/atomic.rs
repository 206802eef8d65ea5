//! Whole files or none.

use std::{fs, io::Write as _, path::Path};

use atomic_write_file::AtomicWriteFile;

use super::SnapshotError;

/// Writes `bytes` beside `path`, syncs, and renames over `path`; makes the folder if it is not there.
///
/// # Errors
/// When that fails: whatever stood at `path` then still does.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
    let write = || {
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mut file = AtomicWriteFile::open(path)?;
        file.write_all(bytes)?;
        file.commit()
    };
    write().map_err(SnapshotError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_folders_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.bin");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
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
