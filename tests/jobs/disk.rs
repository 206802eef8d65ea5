//! Disks that are full, folders that cannot be written, and which snapshots are kept.

use std::{
    fs,
    process::{Command, Output},
};

use super::run::{Run, paced, same, skip};
use crate::common::Folder;

const TRAIN: &str = "train --solver solver.prototxt --metrics m.jsonl";

fn train(more: &str) -> Vec<&str> {
    TRAIN.split(' ').chain(more.split(' ').filter(|w| !w.is_empty())).collect()
}

/// A run of 40 iterations with snapshots at 10, 20, 30 and 40, in a folder of their own.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 40");
    folder.edit("solver.prototxt", "snapshot_prefix: \"tiny\"", "snapshot_prefix: \"snaps/tiny\"");
    folder
}

/// The snapshots there are, by name.
fn names(folder: &Folder) -> Vec<String> {
    let files = fs::read_dir(folder.path("snaps")).into_iter().flatten().flatten();
    let mut names: Vec<_> = files.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn pairs(iterations: &[u32]) -> Vec<String> {
    let mut names: Vec<_> = (iterations.iter())
        .flat_map(|i| ["caffemodel", "solverstate"].map(|kind| format!("tiny_iter_{i}.{kind}")))
        .collect();
    names.sort();
    names
}

/// Runs a shell script where it may mount, with `$0` the program; nothing when this machine does not allow that.
fn with_mounts(test: &str, folder: &Folder, script: &str) -> Option<(i32, String)> {
    let unshare = |script: &str| {
        let program = env!("CARGO_BIN_EXE_cnnctl");
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-ec", script, program]).current_dir(folder.path("")).output()
    };
    fs::create_dir_all(folder.path("snaps")).unwrap();
    if !unshare("mount -t tmpfs none snaps").is_ok_and(|o| o.status.success()) {
        skip(test, "no tmpfs can be mounted with `unshare -Urm`");
        return None;
    }
    let Output { status, stderr, .. } = unshare(script).unwrap();
    Some((status.code().unwrap(), String::from_utf8(stderr).unwrap()))
}

/// The bytes of a snapshot's weights and state on a disk that counts pages.
fn snapshot_sizes() -> (usize, usize) {
    let folder = folder();
    folder.done(&train(""));
    let bytes = |name: &str| folder.read(name).len().next_multiple_of(PAGE);
    (bytes("snaps/tiny_iter_10.caffemodel"), bytes("snaps/tiny_iter_10.solverstate"))
}

const PAGE: usize = 4096;

#[test]
fn on_a_full_disk_the_last_snapshot_stays_and_training_goes_on() {
    let (whole, folder) = (folder(), folder());
    whole.done(&train(""));
    // Room for the lock, two snapshots, and the weights of a third, but not for its state.
    let (weights, state) = snapshot_sizes();
    let size = PAGE + 3 * weights + 2 * state;
    let script = format!(
        "mount -t tmpfs -o size={size} none snaps; mkdir saved\n\
         status=0; \"$0\" {TRAIN} || status=$?\n\
         cp snaps/* saved; ls -A snaps > listed; exit $status"
    );
    let Some((status, log)) = with_mounts("full disk", &folder, &script) else { return };
    assert_eq!(status, 1, "{log}");
    let warning = "cannot write snaps/tiny_iter_30.solverstate";
    assert!(log.lines().any(|l| l.contains(warning) && l.contains("training goes on")), "{log}");
    let last = log.lines().rfind(|l| l.starts_with("error: ")).unwrap_or_default();
    assert!(
        last.contains("cannot write snaps/tiny_iter_40.solverstate")
            && last.contains("No space left on device"),
        "{log}"
    );
    assert_eq!(
        String::from_utf8(folder.read("m.jsonl")).unwrap().lines().filter(|l| l.contains("train")).count(),
        40
    );
    // Nothing is left of what did not fit, but the weights at the end.
    let listed = String::from_utf8(folder.read("listed")).unwrap();
    let mut wanted = pairs(&[10, 20]);
    wanted.push("tiny_iter_40.caffemodel".into());
    assert_eq!(listed.lines().collect::<Vec<_>>(), wanted);
    fs::remove_dir(folder.path("snaps")).unwrap();
    fs::rename(folder.path("saved"), folder.path("snaps")).unwrap();
    let (_, log) = folder.done(&train("--resume auto"));
    assert!(log.contains("Resuming from snaps/tiny_iter_20.solverstate"), "{log}");
    same(
        "full disk",
        &whole,
        &folder,
        &["snaps/tiny_iter_40.caffemodel", "snaps/tiny_iter_40.solverstate", "m.jsonl"],
    );
}

/// Who keeps only the weights of an earlier run has them still when there was no room for new ones.
#[test]
fn weights_that_could_not_be_replaced_stay() {
    let folder = folder();
    let (weights, _) = snapshot_sizes();
    let size = PAGE + weights;
    let script = format!(
        "mount -t tmpfs -o size={size} none snaps; echo old > snaps/tiny_iter_10.caffemodel\n\
         status=0; \"$0\" {TRAIN} || status=$?\n\
         cat snaps/* > listed; exit $status"
    );
    let Some((status, log)) = with_mounts("full disk, weights", &folder, &script) else { return };
    assert_eq!(status, 1, "{log}");
    assert!(log.contains("cannot write snaps/tiny_iter_10.caffemodel"), "{log}");
    assert_eq!(folder.read("listed"), b"old\n");
}

#[test]
fn with_keep_the_same_disk_is_large_enough() {
    let folder = folder();
    let (weights, state) = snapshot_sizes();
    let size = PAGE + 3 * weights + 2 * state;
    let script =
        format!("mount -t tmpfs -o size={size} none snaps; \"$0\" {TRAIN} --keep 1; ls -A snaps > listed");
    let Some((status, log)) = with_mounts("full disk, --keep", &folder, &script) else { return };
    assert_eq!(status, 0, "{log}");
    let listed = String::from_utf8(folder.read("listed")).unwrap();
    assert_eq!(listed.lines().collect::<Vec<_>>(), pairs(&[40]));
}

#[test]
fn metrics_on_a_full_disk_end_no_run() {
    let (whole, folder) = (folder(), folder());
    for folder in [&whole, &folder] {
        folder.edit("solver.prototxt", "max_iter: 40", "max_iter: 80");
    }
    whole.done(&train(""));
    // The journal would take the one page there is; a folder in its place takes none.
    let script = "mkdir metrics; mount -t tmpfs -o size=4k none metrics; mkdir metrics/a.run\n\
                  \"$0\" train --solver solver.prototxt --metrics metrics/a; cp metrics/a m.jsonl";
    let Some((status, log)) = with_mounts("full disk, metrics", &folder, script) else { return };
    assert_eq!(status, 0, "{log}");
    assert_eq!(log.matches("cannot write metrics/a: ").count(), 1, "{log}");
    assert!(log.contains("the last lines of metrics/a could not be written"), "{log}");
    let (whole, cut) = (whole.read("m.jsonl"), folder.read("m.jsonl"));
    assert!(whole.starts_with(&cut) && cut.ends_with(b"\n") && cut.len() > 1000, "{}", cut.len());
}

/// `ulimit -f` counts blocks of 512 bytes or of 1024, as the shell likes; a snapshot's weights are larger than both.
#[test]
fn a_limit_on_the_size_of_files_is_like_a_full_disk() {
    let folder = folder();
    let script = "ulimit -f 1; exec \"$0\" train --solver solver.prototxt";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_cnnctl")]).current_dir(folder.path(""));
    let Output { status, stderr, .. } = command.output().unwrap();
    let log = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    let warnings = log.matches("cannot write snaps/tiny_iter_").filter(|_| log.contains("training goes on"));
    assert_eq!(warnings.count(), 5, "{log}");
    assert!(log.contains("tiny_iter_40.caffemodel: File too large"), "{log}");
    assert_eq!(names(&folder), Vec::<String>::new(), "nothing half-written is left");
}

#[test]
fn a_read_only_folder_is_refused_at_the_start() {
    let folder = folder();
    let script = format!("mount -t tmpfs -o ro none snaps; \"$0\" {TRAIN}");
    let Some((status, log)) = with_mounts("read-only folder", &folder, &script) else { return };
    assert_eq!(status, 1, "{log}");
    let wanted =
        "error: snapshots cannot be written to snaps/tiny_iter_N: snaps/tiny.lock: Read-only file system";
    assert!(log.contains(wanted) && !log.contains("Iteration 0"), "{log}");
}

/// A folder that cannot be written for a while costs the snapshots of that while and nothing else.
#[test]
fn a_folder_that_comes_back_takes_the_next_snapshot() {
    let (whole, folder) = (folder(), folder());
    whole.done(&train(""));
    paced(&folder);
    let mut run = Run::start(&folder, &train(""));
    run.wait_for("binary proto file snaps/tiny_iter_10.solverstate");
    fs::rename(folder.path("snaps"), folder.path("away")).unwrap();
    folder.write("snaps", "a file in its place");
    run.wait_for("the last snapshot stays, training goes on");
    fs::remove_file(folder.path("snaps")).unwrap();
    fs::rename(folder.path("away"), folder.path("snaps")).unwrap();
    let (status, log) = run.end();
    assert_eq!(status, 0, "{log}");
    let there = names(&folder);
    assert!(
        there.contains(&"tiny_iter_10.solverstate".into())
            && there.contains(&"tiny_iter_40.solverstate".into())
    );
    assert!(there.len() < 8, "{there:?}");
    let weights = "snaps/tiny_iter_40.caffemodel";
    assert!(folder.read(weights).len() > whole.read(weights).len(), "the paced net has a longer name");
}

#[test]
fn only_the_newest_snapshots_are_kept() {
    let folder = folder();
    // Of an earlier, longer run: not this run's to count or to remove.
    fs::create_dir(folder.path("snaps")).unwrap();
    folder.write("snaps/tiny_iter_90.solverstate", "old");
    let (_, log) = folder.done(&train("--keep 2"));
    assert!(log.contains("snaps/tiny_iter_90 is of an earlier run"), "{log}");
    let mut wanted = pairs(&[30, 40]);
    wanted.push("tiny_iter_90.solverstate".into());
    assert_eq!(names(&folder), wanted);
}

#[test]
fn a_second_job_on_the_same_prefix_is_refused() {
    let folder = folder();
    paced(&folder);
    let mut first = Run::start(&folder, &train(""));
    first.wait_for("Iteration 1, loss");
    let (status, _, log) = folder.run(&["train", "--solver", "solver.prototxt", "--metrics", "second"]);
    assert_eq!(status, 1);
    let owner = format!("error: another cnnctl (process {}", first.id());
    assert!(
        log.contains(&owner) && log.contains("is writing snapshots to snaps/tiny_iter_N: give this run"),
        "{log}"
    );
    assert!(!folder.path("second").exists(), "it must touch nothing");
    first.signal("KILL");
    first.end();
    // A lock that a kill has left holds nobody up.
    assert!(folder.path("snaps/tiny.lock").exists());
    folder.done(&train("--resume auto"));
    assert!(!folder.path("snaps/tiny.lock").exists());
}
