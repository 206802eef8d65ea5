//! Whole files or none: written beside their place, synced, and renamed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
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
