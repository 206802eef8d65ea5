//! Follows a file of lines that another process may be writing, cutting back, or replacing.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// As much before the place where reading goes on is compared, to notice a file that was cut back and has grown again.
const COMPARED: usize = 256;
/// Longer lines are none of ours.
const LONGEST: usize = 1 << 26;

/// Takes the lines.
pub trait Sink {
    /// The file is another than before: all that came is void.
    fn restart(&mut self);
    /// A whole line, without its end.
    fn line(&mut self, line: &[u8]);
}

/// A file and how far it has been read.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    /// Where the first line begins that has not been taken.
    offset: u64,
    /// What stands before.
    before: Vec<u8>,
    /// Length and time of change at the last look.
    seen: Option<(u64, SystemTime)>,
}

impl Follow {
    /// Will follow the file at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, before: Vec::new(), seen: None }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the file was last changed, if it was there at the last look.
    pub fn modified(&self) -> Option<SystemTime> {
        self.seen.map(|(_, modified)| modified)
    }

    /// Takes the lines that have come since the last call. Half a line at the end waits for its other half.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        let there = file.metadata()?;
        let now = (there.len(), there.modified()?);
        if self.seen == Some(now) {
            return Ok(());
        }
        if now.0 < self.offset || !self.stands_before(&mut file)? {
            (self.offset, self.before) = (0, Vec::new());
            sink.restart();
        }
        file.seek(SeekFrom::Start(self.offset))?;
        self.take_lines(&mut file, sink)?;
        self.seen = Some(now);
        Ok(())
    }

    /// Whether what was read last still stands where it stood.
    fn stands_before(&self, file: &mut File) -> io::Result<bool> {
        let mut found = vec![0; self.before.len()];
        file.seek(SeekFrom::Start(self.offset - self.before.len() as u64))?;
        match file.read_exact(&mut found) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            other => other.map(|()| found == self.before),
        }
    }

    fn take_lines(&mut self, file: &mut File, sink: &mut dyn Sink) -> io::Result<()> {
        let (mut waiting, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            let searched = waiting.len();
            waiting.extend_from_slice(&chunk[..read]);
            let last = waiting[searched..].iter().rposition(|&b| b == b'\n').map(|at| searched + at + 1);
            let Some(whole) = last else {
                if waiting.len() > LONGEST {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it has no lines"));
                }
                continue;
            };
            waiting[..whole - 1].split(|&b| b == b'\n').for_each(|line| sink.line(line));
            self.offset += whole as u64;
            self.before.extend_from_slice(&waiting[whole.saturating_sub(COMPARED)..whole]);
            self.before.drain(..self.before.len().saturating_sub(COMPARED));
            waiting.drain(..whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(String);

    impl Sink for Seen {
        fn restart(&mut self) {
            self.0 += "!";
        }
        fn line(&mut self, line: &[u8]) {
            self.0 += &format!("{};", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn lines_come_once_and_whole_and_a_file_that_has_changed_comes_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut follow = Follow::new(path.clone());
        assert!(follow.read(&mut Seen::default()).is_err());
        let steps = [
            ("", ""),
            ("one\ntw", "one;"),
            ("one\ntwo\nthree\nfo", "two;three;"),
            ("one\ntwo\nthree\nfo", ""),
            // Cut back and grown again, beyond where it was.
            ("one\ntwo\nTHREE\nfour\nfive\n", "!one;two;THREE;four;five;"),
            ("one\n", "!one;"),
            ("", "!"),
            ("\n\nx\n", ";;x;"),
        ];
        for (i, (content, want)) in steps.into_iter().enumerate() {
            std::fs::write(&path, content).unwrap();
            // A clock that is too coarse for this test must not hide a change.
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(i as u64);
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            let mut seen = Seen::default();
            follow.read(&mut seen).unwrap();
            assert_eq!(seen.0, want, "step {i}");
        }
    }

    #[test]
    fn lines_longer_than_a_chunk_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let long = "x".repeat(200_000);
        std::fs::write(&path, format!("{long}\n{long}y\nz")).unwrap();
        let mut seen = Seen::default();
        Follow::new(path).read(&mut seen).unwrap();
        assert_eq!(seen.0, format!("{long};{long}y;"));
    }
}
