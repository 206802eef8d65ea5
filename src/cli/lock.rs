//! A lock that keeps two jobs off one snapshot prefix.

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{Failure, failure::FAILED};
use crate::{files, report::runs, snapshot};

/// So many times in a row nobody comes across a process that only looks.
const LOOKERS: u32 = 5;

/// Held as long as the run lasts; the file is removed with it, and after a kill it locks nothing.
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
        let path = snapshot::lock_path(prefix);
        let fail = |e: io::Error| {
            Failure::new(
                FAILED,
                format!("snapshots cannot be written to {prefix}_iter_N: {}: {e}", path.display()),
            )
        };
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            files::make_folder(folder).map_err(fail)?;
        }
        let mut tries = 0;
        loop {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = file.map_err(fail)?;
            match file.try_lock() {
                // A run that has just ended may have removed the file between our opening and locking it.
                Ok(()) if !is_at(&file, &path) => continue,
                Ok(()) => {
                    // Only for people to read: the lock holds without it, also on a full disk.
                    let _ = file.set_len(0).and_then(|()| file.write_all(whoami().as_bytes()));
                }
                // Whoever only looks whether somebody trains holds it for a moment.
                Err(TryLockError::WouldBlock) if tries < LOOKERS => {
                    tries += 1;
                    thread::sleep(Duration::from_millis(20));
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(refusal(prefix, &file)),
                // Some network file systems know no locks: better to train than not.
                Err(TryLockError::Error(_)) => {}
            }
            return Ok(Self { path, _file: file });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether `file` is still the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |there: fs::Metadata| {
        file.metadata().is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()))
    };
    fs::metadata(path).is_ok_and(same)
}

fn refusal(prefix: &str, mut file: &File) -> Failure {
    let mut owner = String::new();
    let _ = file.read_to_string(&mut owner);
    let owner = if owner.is_empty() { String::new() } else { format!(" ({})", owner.trim_end()) };
    Failure::new(
        FAILED,
        format!(
            "another cnnctl{owner} is writing snapshots to {prefix}_iter_N: give this run another snapshot_prefix"
        ),
    )
}

/// Process, host and job of this run.
fn whoami() -> String {
    let host = runs::host();
    let host = if host.is_empty() { host } else { format!(" on {host}") };
    let job = env::var("SLURM_JOB_ID").map_or_else(|_| String::new(), |job| format!(", Slurm job {job}"));
    format!("process {}{host}{job}\n", std::process::id())
}
