//! Signals, and terminals that go away.

use std::{
    io::Read as _,
    process::{Command, Stdio},
};

use super::run::{Run, paced, same, skip};
use crate::common::{Folder, RECURRENT};

const TRAIN: [&str; 5] = ["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl"];
const AUTO: [&str; 2] = ["--resume", "auto"];
const FILES: [&str; 3] = ["tiny_iter_40.caffemodel", "tiny_iter_40.solverstate", "m.jsonl"];

/// A run of 40 iterations without snapshots on the way.
fn folder() -> Folder {
    let folder = Folder::new();
    paced(&folder);
    folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 40");
    folder.edit("solver.prototxt", "snapshot: 10", "");
    folder
}

fn unbroken() -> Folder {
    let folder = folder();
    folder.done(&TRAIN);
    folder
}

/// A run that is past its first iterations and far from its end.
fn running(folder: &Folder, more: &[&str]) -> Run {
    let mut run = Run::start(folder, &[&TRAIN[..], more].concat());
    run.wait_for("Iteration 5, loss");
    run
}

fn snapshots(folder: &Folder) -> usize {
    let names = std::fs::read_dir(folder.path("")).unwrap().flatten().map(|e| e.file_name());
    names.filter(|n| n.to_string_lossy().ends_with(".solverstate")).count()
}

#[test]
fn signals_of_batch_systems_stop_with_a_snapshot_and_status_75() {
    let whole = unbroken();
    for signal in ["TERM", "USR1", "USR2", "XCPU", "INT"] {
        let folder = folder();
        let mut run = running(&folder, &[]);
        run.signal(signal);
        let (status, log) = run.end();
        assert_eq!(status, 75, "{signal}: {log}");
        assert!(log.contains(&format!("Optimization stopped early. (SIG{signal} received)")), "{log}");
        assert!(!log.contains("Optimization Done."), "{log}");
        assert_eq!(snapshots(&folder), 1);
        folder.done(&[&TRAIN[..], &AUTO].concat());
        same(signal, &whole, &folder, &FILES);
    }
}

#[test]
fn a_second_term_is_no_wish_to_end_at_once() {
    let (whole, folder) = (unbroken(), folder());
    let mut run = running(&folder, &[]);
    // As Slurm does at a time limit. The run waits for its log to be read meanwhile, so all of them come first.
    for signal in ["TERM", "CONT", "TERM", "TERM"] {
        run.signal(signal);
    }
    let (status, log) = run.end();
    assert_eq!((status, snapshots(&folder)), (75, 1), "{log}");
    folder.done(&[&TRAIN[..], &AUTO].concat());
    same("TERM twice", &whole, &folder, &FILES);
}

#[test]
fn a_second_int_ends_at_once() {
    let folder = folder();
    let mut run = running(&folder, &[]);
    run.signal("INT");
    run.signal("INT");
    let (status, log) = run.end();
    assert_eq!((status, snapshots(&folder)), (130, 0), "{log}");
}

#[test]
fn hup_writes_a_snapshot_and_goes_on() {
    let (whole, folder) = (unbroken(), folder());
    let mut run = running(&folder, &[]);
    run.signal("HUP");
    run.wait_for("Snapshotting solver state to binary proto file tiny_iter_");
    let (status, log) = run.end();
    assert_eq!((status, snapshots(&folder)), (0, 2), "{log}");
    same("HUP", &whole, &folder, &FILES);
}

#[test]
fn hup_in_the_middle_of_a_test_is_not_forgotten() {
    let folder = folder();
    folder.edit("solver.prototxt", "test_iter: 2", "test_iter: 300");
    let mut run = Run::start(&folder, &TRAIN);
    run.wait_for("Iteration 10, Testing net (#0)");
    run.signal("HUP");
    let (status, log) = run.end();
    assert_eq!((status, snapshots(&folder)), (0, 2), "{log}");
}

/// Caffe's flags are spelled with `_`.
#[test]
fn effects_of_int_and_hup_can_be_chosen() {
    let whole = unbroken();
    for (flag, signal, effect) in [
        ("--sigint_effect", "INT", "snapshot"),
        ("--sigint-effect", "INT", "none"),
        ("--sighup_effect", "HUP", "none"),
        ("--sighup-effect", "HUP", "stop"),
    ] {
        let folder = folder();
        let mut run = running(&folder, &[flag, effect]);
        run.signal(signal);
        let (status, log) = run.end();
        let wanted = match effect {
            "stop" => (75, 1),
            "snapshot" => (0, 2),
            _ => (0, 1),
        };
        assert_eq!((status, snapshots(&folder)), wanted, "{flag} {effect}: {log}");
        if effect != "stop" {
            same(flag, &whole, &folder, &FILES);
        }
    }
}

/// Stopped in its last test, a run has all its iterations, but not all its results.
#[test]
fn a_stop_in_the_last_test_can_be_resumed() {
    let make = || {
        let folder = folder();
        folder.edit("solver.prototxt", "test_iter: 2", "test_iter: 400");
        folder.edit("solver.prototxt", "test_interval: 10", "test_interval: 40 test_initialization: false");
        folder
    };
    let (whole, folder) = (make(), make());
    whole.done(&TRAIN);
    let mut run = Run::start(&folder, &TRAIN);
    run.wait_for("Iteration 40, Testing net (#0)");
    run.signal("TERM");
    let (status, log) = run.end();
    assert_eq!(status, 75, "{log}");
    folder.done(&[&TRAIN[..], &AUTO].concat());
    same("last test", &whole, &folder, &FILES);
}

/// Also the hidden states go back to where the test began.
#[test]
fn a_stop_in_a_test_of_a_recurrent_net_can_be_resumed() {
    let make = || {
        let folder = folder();
        folder.write("net.prototxt", RECURRENT);
        folder.edit("solver.prototxt", "test_iter: 2", "test_iter: 3000");
        folder
    };
    let (whole, folder) = (make(), make());
    whole.done(&TRAIN);
    let mut run = Run::start(&folder, &TRAIN);
    run.wait_for("Iteration 10, Testing net (#0)");
    run.signal("TERM");
    let (status, log) = run.end();
    assert_eq!((status, folder.path("tiny_iter_10.solverstate").exists()), (75, true), "{log}");
    folder.done(&[&TRAIN[..], &AUTO].concat());
    same("a recurrent net", &whole, &folder, &FILES);
}

#[test]
fn a_time_budget_ends_a_run_that_can_be_resumed() {
    let (whole, folder) = (Folder::new(), Folder::new());
    folder.edit("solver.prototxt", "snapshot: 10", "");
    folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 1000000");
    let (status, _, log) = folder.run(&[&TRAIN[..], &["--time-budget", "1s"]].concat());
    assert_eq!(status, 75, "{log}");
    assert!(log.contains("Optimization stopped early. (the time budget is spent)"), "{log}");
    assert_eq!(snapshots(&folder), 1);
    let state =
        std::fs::read_dir(folder.path("")).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
    let iter =
        state.filter_map(|n| n.strip_prefix("tiny_iter_")?.strip_suffix(".solverstate")?.parse::<u32>().ok());
    let end = iter.max().unwrap() + 5;
    whole.edit("solver.prototxt", "snapshot: 10", "");
    whole.edit("solver.prototxt", "max_iter: 20", &format!("max_iter: {end}"));
    whole.done(&TRAIN);
    folder.edit("solver.prototxt", "max_iter: 1000000", &format!("max_iter: {end}"));
    folder.done(&[&TRAIN[..], &AUTO].concat());
    let weights = format!("tiny_iter_{end}.caffemodel");
    same("time budget", &whole, &folder, &[&weights, "m.jsonl"]);
}

#[test]
fn a_log_that_nobody_reads_ends_no_run() {
    let whole = unbroken();
    let gone = folder();
    assert_eq!(running(&gone, &[]).end_unread(), 0);
    same("a reader that went away", &whole, &gone, &FILES);
    let program = env!("CARGO_BIN_EXE_cnnctl");
    for shell in [
        format!("{{ '{program}' {} 2>&1; echo $? > status; }} | head -1", TRAIN.join(" ")),
        format!("'{program}' {} 2>&- >&- <&-; echo $? > status", TRAIN.join(" ")),
        format!("'{program}' {} 2> /dev/full; echo $? > status", TRAIN.join(" ")),
    ] {
        let folder = folder();
        let done = Command::new("sh").args(["-c", &shell]).current_dir(folder.path("")).output();
        assert!(done.unwrap().status.success());
        assert_eq!(folder.read("status"), b"0\n", "{shell}");
        same(&shell, &whole, &folder, &FILES);
    }
}

/// A terminal window that is closed sends HUP, and every write to it fails from then on.
#[test]
fn a_terminal_that_goes_away_ends_no_run() {
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip("a_terminal_that_goes_away_ends_no_run", "there is no `script` (bsdutils)");
    }
    // A terminal holds nobody up, so the run takes seconds.
    let make = || {
        let folder = Folder::new();
        folder.edit("solver.prototxt", "display: 5", "display: 1 iter_size: 100");
        folder.edit("solver.prototxt", "snapshot: 10", "");
        folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 100");
        folder
    };
    let (whole, folder) = (make(), make());
    whole.done(&TRAIN);
    let program = env!("CARGO_BIN_EXE_cnnctl");
    let command = format!("exec '{program}' {} --log-format caffe", TRAIN.join(" "));
    let mut terminal = Command::new("script")
        .args(["-qfc", &command, "/dev/null"])
        .current_dir(folder.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut screen = terminal.stdout.take().unwrap();
    // The bar is drawn over and over, without an end of line.
    let (mut seen, mut bytes) = (String::new(), [0; 4096]);
    while !seen.contains("Iteration 5, loss") {
        let count = screen.read(&mut bytes).unwrap();
        assert!(count > 0, "the run ended: {seen}");
        seen += &String::from_utf8_lossy(&bytes[..count]);
    }
    let lock = std::fs::File::open(folder.path("tiny.lock")).unwrap();
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    drop(screen);
    // Its lock is free when it has ended.
    lock.lock().unwrap();
    same(
        "a terminal",
        &whole,
        &folder,
        &["tiny_iter_100.caffemodel", "tiny_iter_100.solverstate", "m.jsonl"],
    );
    assert!(snapshots(&folder) > 1, "HUP asks for one on the way");
}
