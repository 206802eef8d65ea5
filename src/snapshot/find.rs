//! The snapshots at a prefix: which are there, which is the newest whole one, and which are too many.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{
    Access, Format, SnapshotError, atomic::checksum_of, load_state, locate_weights, residuals_beside,
};

/// The solver states at `prefix`, newest first, with their iterations.
pub fn states(prefix: &str) -> Vec<(i32, PathBuf)> {
    let (names, stem) = beside(prefix);
    let start = format!("{stem}_iter_");
    let mut found: Vec<(i32, PathBuf)> = names
        .filter_map(|name| {
            let rest = name.strip_prefix(&start)?;
            let rest = rest.strip_suffix(Format::Hdf5.suffix()).unwrap_or(rest);
            let iter = rest.strip_suffix(".solverstate")?.parse().ok()?;
            Some((iter, PathBuf::from(format!("{}{name}", parts(prefix).0))))
        })
        .collect();
    found.sort_by_key(|(iter, _)| std::cmp::Reverse(*iter));
    found
}

/// The names of the files in the folder of `prefix`, and what those of its snapshots begin with, which may be nothing.
fn beside(prefix: &str) -> (impl Iterator<Item = String>, &str) {
    let (folder, stem) = parts(prefix);
    let entries = fs::read_dir(if folder.is_empty() { "." } else { folder }).into_iter().flatten().flatten();
    (entries.filter_map(|entry| entry.file_name().into_string().ok()), stem)
}

/// The folder of a prefix, with its last slash, and the rest.
fn parts(prefix: &str) -> (&str, &str) {
    prefix.split_at(prefix.rfind('/').map_or(0, |at| at + 1))
}

/// The newest solver state at `prefix` that is whole and whose weights are, and why newer ones are not.
pub fn newest_whole(prefix: &str) -> (Option<PathBuf>, Vec<SnapshotError>) {
    let mut broken = Vec::new();
    for (_, path) in states(prefix) {
        match check(&path) {
            Ok(()) => return (Some(path), broken),
            Err(error) => broken.push(error),
        }
    }
    (None, broken)
}

/// Whether a state can be read and its weights are those that it was written with.
fn check(path: &Path) -> Result<(), SnapshotError> {
    let state = load_state(path)?.head;
    let weights = locate_weights(path, state.learned_net());
    let found = checksum_of(&weights)?;
    match state.cnnctl.and_then(|c| c.checksum) {
        Some(sum) if sum != found => Err(SnapshotError::content(
            weights,
            format!("is damaged: it is not the file that {} was written with", path.display()),
        )),
        _ => Ok(()),
    }
}

/// The file that a run locks as long as it writes snapshots at `prefix`.
pub fn lock_path(prefix: &str) -> PathBuf {
    PathBuf::from(format!("{prefix}.lock"))
}

/// Whether a run holds the lock of `prefix`; `None` where that cannot be told.
///
/// To find out takes the lock for a moment, which it shares with all who ask, but not with a run that begins just then:
/// that one has to try again.
pub fn is_locked(prefix: &str) -> Option<bool> {
    match File::open(lock_path(prefix)) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

/// Removes all but the newest `keep` snapshots at `prefix`, of those up to iteration `last`: later ones are of another
/// run and not this one's to count or remove.
///
/// # Errors
/// When a file cannot be removed.
pub fn prune(prefix: &str, keep: usize, last: i32) -> Result<(), SnapshotError> {
    let own = states(prefix).into_iter().filter(|(iter, _)| *iter <= last);
    for (iter, state) in own.skip(keep.max(1)) {
        let weights = super::file_name(prefix, iter, "caffemodel", Format::of_path(&state)).into();
        // The state goes last: after a kill in between, the next call still finds it.
        for file in [residuals_beside(&state), weights, state] {
            match fs::remove_file(&file) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(SnapshotError::io(Access::Remove, file)(e));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Removes what a kill in the middle of a write has left beside the snapshots at `prefix`: hidden files named
/// `.FILE.XXXXXX`. Nobody else may be writing there. What cannot be removed stays, and harms nobody.
pub fn sweep(prefix: &str) {
    let (names, stem) = beside(prefix);
    for name in names.filter(|name| is_left_over(name, stem)) {
        let _ = fs::remove_file(format!("{}{name}", parts(prefix).0));
    }
}

/// Whether a snapshot of this iteration is half written, or only its weights are there yet.
pub fn is_being_written(prefix: &str, iter: i32) -> bool {
    let (names, stem) = beside(prefix);
    let (whole, half) = (format!("{stem}_iter_{iter}.caffemodel"), format!(".{stem}_iter_{iter}."));
    let mut names = names.filter(|name| name.starts_with(&whole) || name.starts_with(&half));
    names.any(|name| name.starts_with(&whole) || is_left_over(&name, stem))
}

/// Whether a name is that of a half-written snapshot, or best weights, of the prefix that ends in `stem`.
fn is_left_over(name: &str, stem: &str) -> bool {
    let inner = || {
        let (file, random) = name.strip_prefix('.')?.rsplit_once('.')?;
        let rest = file.strip_prefix(stem)?.strip_prefix('_')?;
        let (what, kind) = rest.split_once('.')?;
        let number = what.strip_prefix("iter_").is_some_and(|n| n.parse::<u32>().is_ok());
        let kind = kind.strip_suffix(".h5").unwrap_or(kind);
        let whole = random.len() == 6 && random.bytes().all(|b| b.is_ascii_alphanumeric());
        Some(
            whole && (number || what == "best") && matches!(kind, "caffemodel" | "solverstate" | "residuals"),
        )
    };
    inner().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::proto::{CnnctlState, SolverState},
        snapshot::{VERSION, save_state},
    };

    fn write(folder: &Path, iter: i32, weights: &[u8], checksum: Option<u32>, format: Format) {
        let name = format!("a_iter_{iter}.caffemodel{}", format.suffix());
        fs::write(folder.join(&name), weights).unwrap();
        let state = SolverState {
            iter: Some(iter),
            learned_net: Some(name),
            cnnctl: Some(CnnctlState { version: Some(VERSION), checksum, ..CnnctlState::default() }),
            ..SolverState::default()
        };
        let path = folder.join(format!("a_iter_{iter}.solverstate{}", format.suffix()));
        save_state(&path, format, &state, &[]).unwrap();
    }

    #[test]
    fn the_newest_whole_snapshot_is_found_and_old_ones_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("a").display().to_string();
        assert!(newest_whole(&prefix).0.is_none());
        write(folder.path(), 9, b"w", Some(crc32fast::hash(b"w")), Format::Hdf5);
        write(folder.path(), 10, b"w", None, Format::Hdf5);
        write(folder.path(), 100, b"w", Some(1), Format::BinaryProto);
        fs::write(folder.path().join("a_iter_200.solverstate"), b"\x08\x07\x12\xff").unwrap();
        fs::write(folder.path().join("ab_iter_300.solverstate"), b"").unwrap();
        assert_eq!(states(&prefix).iter().map(|s| s.0).collect::<Vec<_>>(), [200, 100, 10, 9]);
        let (newest, broken) = newest_whole(&prefix);
        assert_eq!(newest.unwrap(), folder.path().join("a_iter_10.solverstate.h5"));
        assert!(broken[0].to_string().contains("damaged") && broken[1].to_string().contains("is damaged"));
        fs::write(folder.path().join("a_iter_9.residuals"), b"r").unwrap();
        prune(&prefix, 2, 100).unwrap();
        assert_eq!(states(&prefix).iter().map(|s| s.0).collect::<Vec<_>>(), [200, 100, 10]);
        assert!(!folder.path().join("a_iter_9.caffemodel.h5").exists());
        assert!(!folder.path().join("a_iter_9.residuals").exists());
    }

    #[test]
    fn a_prefix_may_end_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = format!("{}/", folder.path().display());
        let state = folder.path().join("_iter_3.solverstate");
        fs::write(&state, "").unwrap();
        let half = folder.path().join("._iter_3.solverstate.abcdef");
        fs::write(&half, "").unwrap();
        assert_eq!(states(&prefix), [(3, state)]);
        sweep(&prefix);
        assert!(!half.exists());
        assert_eq!((parts(""), parts("a"), parts("b/a")), (("", ""), ("", "a"), ("b/", "a")));
    }

    #[test]
    fn a_lock_is_seen_and_not_disturbed() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("a").display().to_string();
        assert_eq!(is_locked(&prefix), Some(false));
        let file = File::create(lock_path(&prefix)).unwrap();
        assert_eq!(is_locked(&prefix), Some(false));
        file.try_lock().unwrap();
        assert_eq!(is_locked(&prefix), Some(true));
        drop(file);
        assert_eq!(is_locked(&prefix), Some(false));
    }

    #[test]
    fn only_half_written_files_of_the_prefix_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let swept = [
            ".a_iter_10.caffemodel.x1Y2z3",
            ".a_iter_10.solverstate.abcdef",
            ".a_best.caffemodel.ABCDEF",
            ".a_iter_10.residuals.a1b2c3",
            ".a_iter_7.solverstate.h5.123456",
        ];
        let kept = [
            "a_iter_10.caffemodel",
            ".a_iter_10.caffemodel",
            ".a_iter_10.caffemodel.short",
            ".a_iter_x.caffemodel.abcdef",
            ".a_iter_10.prototxt.abcdef",
            ".a_b_iter_10.caffemodel.abcdef",
            ".ab_iter_10.caffemodel.abcdef",
        ];
        swept.iter().chain(&kept).for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        let prefix = folder.path().join("a").display().to_string();
        assert_eq!([7, 8, 10].map(|iter| is_being_written(&prefix, iter)), [true, false, true]);
        sweep(&prefix);
        assert_eq!([7, 10].map(|iter| is_being_written(&prefix, iter)), [false, true]);
        swept.iter().for_each(|name| assert!(!folder.path().join(name).exists(), "{name}"));
        kept.iter().for_each(|name| assert!(folder.path().join(name).exists(), "{name}"));
    }
}
