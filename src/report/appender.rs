//! Files that grow with a run: in whole records, and cut back when the run goes back.

use std::{
    fs::{File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

/// As much is kept for a disk that may have room again later.
const WAITING: usize = 1 << 26;

/// An open file that grows. It is locked while it is open, so that two runs do not write over each other.
pub(super) struct Appender {
    file: File,
    path: String,
    /// Whether it is a pipe or a device, which has no length and keeps nothing.
    passes_on: bool,
    /// How long the file is, in whole records.
    end: u64,
    /// Records that could not be written yet.
    waiting: Vec<u8>,
    /// Whether the last attempt failed.
    failing: bool,
}

impl Appender {
    /// Opens a file, or makes it, and cuts it to the length that `end` gives.
    ///
    /// # Errors
    /// Names the file and says why it cannot be written.
    pub fn open(path: &Path, end: impl FnOnce(&File) -> io::Result<u64>) -> Result<Self, String> {
        let shown = path.display().to_string();
        let passes_on = path.metadata().is_ok_and(|there| !there.is_file() && !there.is_dir());
        let open = || {
            if passes_on {
                return Ok((File::options().write(true).open(path)?, 0));
            }
            let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
            // Some network file systems know no locks.
            if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
                return Err(io::Error::other("another run writes it, or this one for another option"));
            }
            let end = end(&file)?;
            file.set_len(end)?;
            Ok((file, end))
        };
        match open() {
            Ok((file, end)) => {
                Ok(Self { file, path: shown, passes_on, end, waiting: Vec::new(), failing: false })
            }
            Err::<_, io::Error>(e) => Err(format!("cannot write {shown}: {e}")),
        }
    }

    /// Whether nothing is in the file.
    pub fn is_empty(&self) -> bool {
        self.end == 0 && self.waiting.is_empty()
    }

    /// Adds a record. It goes out at once and whole: whoever follows the file never waits, and a kill cuts no record. What
    /// a full disk does not take waits for the next one; training goes on.
    pub fn add(&mut self, record: &[u8]) {
        if self.waiting.len() < WAITING {
            self.waiting.extend_from_slice(record);
        }
        let written = match self.passes_on {
            true => self.file.write_all(&self.waiting),
            false => self.file.write_all_at(&self.waiting, self.end),
        };
        if written.is_ok() {
            self.end += self.waiting.len() as u64;
            self.waiting.clear();
        }
        if let Err(error) = &written
            && !self.failing
        {
            tracing::warn!("cannot write {}: {error}: its lines wait for better times", self.path);
        }
        self.failing = written.is_err();
    }

    /// What a snapshot goes on from must not be lost when the machine goes down.
    pub fn sync(&self) {
        let _ = self.file.sync_data();
    }

    /// Takes back what comes after the length that `end` gives: the run has gone back there.
    pub fn cut(&mut self, end: impl FnOnce(&File) -> io::Result<u64>) {
        if self.passes_on {
            return;
        }
        let cut = || {
            let end = end(&self.file)?.min(self.end);
            self.file.set_len(end)?;
            Ok(end)
        };
        match cut() {
            Ok(end) => (self.end, self.waiting) = (end, Vec::new()),
            Err::<_, io::Error>(error) => tracing::warn!("cannot cut back {}: {error}", self.path),
        }
    }
}

/// What still waits when a run ends is lost, and said so.
impl Drop for Appender {
    fn drop(&mut self) {
        if !self.waiting.is_empty() {
            let _ = self.file.set_len(self.end);
            tracing::warn!("the last lines of {} could not be written", self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_do_not_write_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.jsonl");
        let mut first = Appender::open(&path, |_| Ok(0)).map_err(drop).unwrap();
        first.add(b"one\n");
        let error = Appender::open(&path, |_| Ok(0)).err().unwrap();
        assert!(error.contains("m.jsonl: another run writes it"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        drop(first);
        assert!(Appender::open(&path, |_| Ok(4)).is_ok());
    }

    #[test]
    fn devices_take_what_comes_from_anyone() {
        let device = Path::new("/dev/null");
        let mut both =
            [(); 2].map(|()| Appender::open(device, |_| unreachable!("it has no end")).map_err(drop));
        for appender in both.iter_mut().flatten() {
            appender.add(b"one\n");
            appender.cut(|_| unreachable!("it has no end"));
            assert!(appender.waiting.is_empty());
        }
        assert!(both.iter().all(Result::is_ok));
    }
}
