//! A lock that keeps two jobs off one snapshot prefix.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use super::{Failure, failure::FAILED};

/// Held as long as the run lasts; the file is removed with it.
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Locks `prefix`, making its folder.
    ///
    /// # Errors
    /// When another process holds it, or nothing can be written there.
    pub fn take(prefix: &str) -> Result<Self, Failure> {
        let path = PathBuf::from(format!("{prefix}.lock"));
        let fail = |e: std::io::Error| {
            Failure::new(
                FAILED,
                format!("snapshots cannot be written to {prefix}_iter_N: {}: {e}", path.display()),
            )
        };
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(fail)?;
        }
        let file = File::create(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _file: file }),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                FAILED,
                format!(
                    "another cnnctl is writing snapshots to {prefix}_iter_N: give this run another snapshot_prefix"
                ),
            )),
            // Some network file systems know no locks: better to train than not.
            Err(TryLockError::Error(_)) => Ok(Self { path, _file: file }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(Path::new(&self.path));
    }
}
