//! Whole files or none: written beside their place, synced, and renamed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process,
};

use atomic_write_file::AtomicWriteFile;

/// Links that are followed, as many as the kernel follows.
const LINKS: usize = 40;

/// Where what is written to a path goes.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// A file, or none yet: one written beside it takes its place.
    Beside(PathBuf),
    /// A device, a pipe or an open file: it takes the bytes as they come.
    Straight,
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(there) if !there.is_file() => return Ok(Self::Straight),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            let folder = fs::canonicalize(folder)?;
            // `/dev/stdout` that leads to a file: who opened that file still writes to it.
            if folder.starts_with("/proc") {
                return Ok(Self::Straight);
            }
            match fs::read_link(&path) {
                Ok(target) => path = folder.join(target),
                Err(_) => break,
            }
        }
        Ok(Self::Beside(path))
    }
}

/// Writes a file anew: beside its place, where it is synced and renamed. A file in its place gives its permissions. A symbolic
/// link stays, and the file that it leads to is the one that is replaced. What is no regular file, a device or a pipe, takes
/// the bytes as they come.
///
/// # Errors
/// When that fails: a file that stood at `path` then still does.
pub fn replace<T>(path: &Path, content: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
    match Place::of(path)? {
        Place::Straight => content(&mut OpenOptions::new().append(true).open(path)?),
        Place::Beside(path) => {
            let mut file = AtomicWriteFile::options().open(path)?;
            let done = content(file.as_file_mut())?;
            file.commit()?;
            Ok(done)
        }
    }
}

/// Makes a folder, and those that it is in, where they are not there.
///
/// # Errors
/// When that fails: of what is there and no folder, not that it exists.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
        _ => e,
    })
}

/// A folder of files that gets its name when it is whole. Until then it is made in a hidden folder beside,
/// `.NAME.partial-PID`, which goes with this value; what a kill leaves of one is removed by the next of its name.
pub struct NewFolder {
    path: PathBuf,
    /// The hidden folder.
    around: PathBuf,
    /// Holds the lock that tells others that somebody works here.
    _lock: Option<File>,
}

impl NewFolder {
    /// A new folder for `path`; who has it makes [`part`](Self::part).
    ///
    /// # Errors
    /// When something is at `path` already, or nothing can be written beside it.
    pub fn at(path: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there already"));
        }
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        let start = format!(".{name}.partial-");
        sweep(path.parent().unwrap_or(Path::new("")), &start);
        let own = format!("{start}{}", process::id());
        let (mut around, mut again) = (path.with_file_name(&own), 0);
        while let Err(e) = fs::create_dir(&around) {
            if e.kind() != io::ErrorKind::AlreadyExists {
                return Err(e);
            }
            // Of a process of this number on another machine, or of another thread.
            again += 1;
            around = path.with_file_name(format!("{own}-{again}"));
        }
        // Some network file systems know no locks of folders: there nothing is swept either.
        let lock = File::open(&around).ok().filter(|folder| folder.try_lock().is_ok());
        Ok(Self { path: path.to_owned(), around, _lock: lock })
    }

    /// Where the folder is until it is whole.
    pub fn part(&self) -> PathBuf {
        self.around.join("part")
    }

    /// Waits for the disk, and gives the folder its name.
    ///
    /// # Errors
    /// When that fails: then there is no such folder.
    pub fn finish(self) -> io::Result<()> {
        let part = self.part();
        for entry in fs::read_dir(&part)? {
            File::open(entry?.path())?.sync_all()?;
        }
        fs::rename(part, &self.path)?;
        // Not all file systems can wait for a folder.
        let beside = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = File::open(beside).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.around);
    }
}

/// Removes what killed processes have left: folders whose names start so, and that nobody has locked.
fn sweep(folder: &Path, start: &str) {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|e| e.file_name().to_string_lossy().starts_with(start)) {
        let path = entry.path();
        // A lock that cannot be had at all says nothing.
        if File::open(&path).is_ok_and(|left| left.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
        process::Command,
        thread,
    };

    use super::*;

    fn put(path: &Path, text: &str) -> io::Result<()> {
        replace(path, |file| file.write_all(text.as_bytes()))
    }

    #[test]
    fn links_stay_and_lead_to_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inner")).unwrap();
        fs::write(at("inner/file"), "old").unwrap();
        fs::set_permissions(at("inner/file"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("inner/file", at("near")).unwrap();
        symlink(at("near"), at("far")).unwrap();
        symlink("inner/none", at("new")).unwrap();
        for (link, file) in [("near", "inner/file"), ("far", "inner/file"), ("new", "inner/none")] {
            put(&at(link), link).unwrap();
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
            assert!(fs::symlink_metadata(at(file)).unwrap().is_file(), "{link}");
            assert_eq!(fs::read_to_string(at(file)).unwrap(), link);
        }
        assert_eq!(fs::metadata(at("inner/file")).unwrap().permissions().mode() & 0o777, 0o600);
        symlink("round", at("round")).unwrap();
        assert!(put(&at("round"), "x").is_err());
        symlink("inner", at("folder")).unwrap();
        assert!(put(&at("folder"), "x").is_err());
        assert_eq!(fs::read_dir(at("inner")).unwrap().count(), 2, "nothing is left beside");
    }

    #[test]
    fn a_folder_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        // Of a process that was killed.
        let left = format!(".db.partial-{}", process::id());
        fs::create_dir_all(folder.path().join(&left).join("part")).unwrap();
        let fill = |new: &NewFolder| {
            fs::create_dir(new.part()).unwrap();
            fs::write(new.part().join("data"), "x").unwrap();
        };
        let first = NewFolder::at(&path).unwrap();
        fill(&first);
        assert_eq!(names(), [&left[..]], "what was left is gone");
        // A second one at the same time leaves the first alone.
        let second = NewFolder::at(&path).unwrap();
        fill(&second);
        assert_eq!(names().len(), 2);
        drop(first);
        assert_eq!(names().len(), 1, "what is not finished is removed");
        second.finish().unwrap();
        assert_eq!(names(), ["db"]);
        assert_eq!(fs::read_to_string(path.join("data")).unwrap(), "x");
        assert!(NewFolder::at(&path).is_err(), "nothing is overwritten");
        assert!(NewFolder::at(&folder.path().join("none/db")).is_err());
    }

    #[test]
    fn what_is_no_folder_is_told_as_such() {
        let folder = tempfile::tempdir().unwrap();
        make_folder(&folder.path().join("a/b")).unwrap();
        make_folder(&folder.path().join("a/b")).unwrap();
        let error = make_folder(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_pipe_gets_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        symlink(&pipe, &link).unwrap();
        for path in [&pipe, &link] {
            let reader = thread::spawn({
                let pipe = pipe.clone();
                move || fs::read_to_string(pipe).unwrap()
            });
            put(path, "bytes").unwrap();
            assert_eq!(reader.join().unwrap(), "bytes");
            assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        }
    }

    #[test]
    fn a_device_stays_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("null");
        symlink("/dev/null", &link).unwrap();
        for path in [&link, Path::new("/dev/null")] {
            put(path, "x").unwrap();
            assert!(fs::metadata(path).unwrap().file_type().is_char_device());
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn an_open_file_is_written_by_its_number_not_replaced() {
        use std::os::fd::AsRawFd as _;
        let folder = tempfile::tempdir().unwrap();
        let mut file = File::create(folder.path().join("log")).unwrap();
        file.write_all(b"first ").unwrap();
        let by_number = format!("/proc/self/fd/{}", file.as_raw_fd());
        if !Path::new(&by_number).exists() {
            return;
        }
        put(Path::new(&by_number), "second").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("log")).unwrap(), "first second");
        assert_eq!(file.metadata().unwrap().len(), 12, "it is the same file");
    }
}
