//! Runs that are killed, or preempted, again and again at random moments.
//!
//! `scripts/kill_test.sh` does it for longer: `CNNCTL_KILLS` times, from the seed `CNNCTL_KILL_SEED`.

use std::{env, fs, path::PathBuf};

use super::run::{Run, paced, same};
use crate::common::Folder;

/// A snapshot after each iteration, of some megabytes, so that many moments lie inside a write.
fn folder(iterations: u64) -> Folder {
    let folder = Folder::new();
    paced(&folder);
    folder.edit("net.prototxt", "num_output: 10 ", "num_output: 3000 ");
    folder.edit("solver.prototxt", "snapshot: 10", "snapshot: 1");
    folder.edit("solver.prototxt", "max_iter: 20", &format!("max_iter: {iterations}"));
    folder.edit("solver.prototxt", "snapshot_prefix: \"tiny\"", "snapshot_prefix: \"snaps/tiny\"");
    folder
}

/// The next of a sequence of random numbers (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// The half-written files there are.
fn half_written(folder: &Folder) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.path("snaps")).into_iter().flatten().flatten();
    files.filter(|e| e.file_name().to_string_lossy().starts_with('.')).map(|e| e.path()).collect()
}

/// Reads on until a file is being written. Writes are short, and on a busy machine none may be seen: after 8 files it is
/// time all the same.
fn wait_for_a_write(folder: &Folder, run: &mut Run) {
    let mut written = 0;
    while written < 8 && half_written(folder).is_empty() {
        if run.has_line() {
            written += usize::from(number_after(run.line(), "proto file snaps/tiny_iter_").is_some());
        }
    }
}

/// The number after `before` in a line.
fn number_after(line: &str, before: &str) -> Option<u64> {
    let rest = &line[line.find(before)? + before.len()..];
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

/// Starts or resumes a run. Gives it with the iteration that it goes on from.
fn resume(folder: &Folder, threads: u64) -> (Run, u64) {
    let threads = threads.to_string();
    let mut train = vec!["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl", "--resume", "auto"];
    train.extend(["--keep", "2", "--threads", &threads]);
    let mut run = Run::start(folder, &train);
    let from = loop {
        let line = run.line().to_owned();
        assert!(!line.is_empty(), "{}", run.end().1);
        if line.contains("No snapshot at ") {
            break 0;
        }
        if let Some(iter) = number_after(&line, "Resuming from snaps/tiny_iter_") {
            break iter;
        }
    };
    run.wait_for("Solving tiny");
    (run, from)
}

/// Ends a run by `signal` `times` times, and lets it end at last; gives how often a half-written file was left.
fn end_again_and_again(signal: &str, status: i32, times: u64, seed: u64) -> usize {
    // Each round goes on by some iterations.
    let iterations = 12 * times + 12;
    let (whole, broken) = (folder(iterations), folder(iterations));
    whole.done(&["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl", "--keep", "2"]);
    let (mut state, mut saved, mut halves) = (seed, 0, 0);
    let mut left = Vec::new();
    for round in 0..times {
        let (mut run, from) = resume(&broken, 1 + random(&mut state) % 4);
        assert!(
            from >= saved,
            "seed {seed}, round {round}: iteration {saved} was saved, but the run is back at {from}"
        );
        assert!(!left.iter().any(|file: &PathBuf| file.exists()), "what the last kill left is still there");
        for _ in 0..random(&mut state) % 20 {
            if let Some(iter) = number_after(run.line(), "solver state to binary proto file snaps/tiny_iter_")
            {
                saved = saved.max(iter);
            }
        }
        match round % 2 {
            // In the middle of a write.
            0 => wait_for_a_write(&broken, &mut run),
            // Anywhere.
            _ => (0..random(&mut state) % 200_000).for_each(|_| std::hint::spin_loop()),
        }
        run.signal(signal);
        let (found, log) = run.end();
        assert_eq!(found, status, "seed {seed}, round {round}:\n{log}");
        saved = log
            .lines()
            .filter_map(|l| number_after(l, "proto file snaps/tiny_iter_"))
            .max()
            .unwrap_or(0)
            .max(saved);
        left = half_written(&broken);
        halves += left.len();
        assert!(saved < iterations, "seed {seed}, round {round}: the run was over");
    }
    let (mut run, _) = resume(&broken, 2);
    let (found, log) = run.end();
    assert_eq!(found, 0, "{log}");
    let end = format!("snaps/tiny_iter_{iterations}");
    let files = [format!("{end}.caffemodel"), format!("{end}.solverstate"), "m.jsonl".to_owned()];
    same(&format!("seed {seed}"), &whole, &broken, &files.each_ref().map(|f| &f[..]));
    let names = fs::read_dir(broken.path("snaps")).unwrap().count();
    assert_eq!(names, 4, "--keep 2 leaves two snapshots and nothing beside them");
    halves
}

#[test]
fn killed_at_random_moments_the_end_is_the_same() {
    let (times, seed) = (setting("CNNCTL_KILLS", 5), setting("CNNCTL_KILL_SEED", 1));
    let halves = end_again_and_again("KILL", -1, times, seed);
    println!("{times} kills from seed {seed}, {halves} of them inside a write");
    assert!(halves > 0, "no kill was inside a write");
}

#[test]
fn preempted_at_random_moments_the_end_is_the_same() {
    let (times, seed) = (setting("CNNCTL_KILLS", 5), setting("CNNCTL_KILL_SEED", 1));
    let halves = end_again_and_again("TERM", 75, times, seed);
    assert_eq!(halves, 0);
}
