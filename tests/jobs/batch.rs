//! What a run takes from Slurm's environment, and the scripts of the documentation. The real Slurm is in
//! `scripts/slurm_test.sh`.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use super::run::skip;
use crate::common::Folder;

const TRAIN: [&str; 3] = ["train", "--solver", "solver.prototxt"];

/// Trains as a job of Slurm; gives the status and the log.
fn job(folder: &Folder, environment: &[(&str, &str)], more: &[&str]) -> (i32, String) {
    let mut command = folder.command(&[&TRAIN[..], more].concat());
    let output = command.env("SLURM_JOB_ID", "17").envs(environment.iter().copied()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_job_that_slurm_restarts_goes_on_by_itself() {
    let folder = Folder::new();
    folder.done(&TRAIN);
    let restart = [("SLURM_RESTART_COUNT", "1")];
    let goes_on = |more: &[&str]| {
        let (status, log) = job(&folder, &restart, more);
        assert_eq!(status, 0, "{log}");
        let from = log.lines().find_map(|l| l.split_once("Resuming from ")).map(|(_, from)| from.to_owned());
        (from.unwrap_or_default(), log)
    };
    assert_eq!(goes_on(&[]).0, "tiny_iter_20.solverstate");
    assert_eq!(goes_on(&["--resume", "never"]).0, "");
    // Said outright, a snapshot wins, with a warning; both together take the newest.
    let start = ["--snapshot", "tiny_iter_10.solverstate"];
    let (from, log) = goes_on(&start);
    assert_eq!(from, "tiny_iter_10.solverstate");
    assert!(log.contains("--snapshot starts a restarted job over again"), "{log}");
    assert_eq!(goes_on(&[&start[..], &["--resume", "auto"]].concat()).0, "tiny_iter_20.solverstate");
    let (_, log) = job(&folder, &[("SLURM_RESTART_COUNT", "0")], &[]);
    assert!(!log.contains("Resuming from"), "{log}");
}

#[test]
fn a_start_and_a_resume_are_one_command() {
    let folder = Folder::new();
    folder.done(&TRAIN);
    fs::rename(folder.path("tiny_iter_10.solverstate"), folder.path("start")).unwrap();
    fs::remove_file(folder.path("tiny_iter_20.solverstate")).unwrap();
    let (_, log) = folder.done(&[&TRAIN[..], &["--resume", "auto", "--snapshot", "start"]].concat());
    assert!(log.contains("Resuming from start"), "{log}");
    let (_, log) =
        folder.done(&[&TRAIN[..], &["--resume", "auto", "--weights", "tiny_iter_10.caffemodel"]].concat());
    assert!(log.contains("Resuming from tiny_iter_20.solverstate"), "{log}");
}

#[test]
fn a_job_ends_before_slurm_ends_it() {
    let folder = Folder::new();
    folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 1000000");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (status, log) = job(&folder, &[("SLURM_JOB_END_TIME", &(now + 2).to_string())], &[]);
    assert_eq!(status, 75, "{log}");
    assert!(log.contains("Slurm ends this job in 0 min: stopping in time"), "{log}");
    assert!(log.contains("the time budget is spent"), "{log}");
}

#[test]
fn a_snapshot_that_may_not_fit_into_the_grace_is_warned_of() {
    let warned = |log: &str| log.contains("but the batch system kills the job");
    let (_, log) = job(&Folder::new(), &[], &[]);
    assert!(log.contains("cnnctl] The snapshot took 0.") && !warned(&log), "{log}");
    let (_, log) = Folder::new().done(&[&TRAIN[..], &["--grace", "0s"]].concat());
    assert!(warned(&log) && log.contains("--signal=USR1@120"), "{log}");
}

#[test]
fn the_scripts_are_sound_shell() {
    let mut found = 0;
    for folder in ["scripts", "scripts/slurm", "docs/slurm"] {
        for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder}: {e}")) {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "sh" || e == "sbatch") {
                let status = Command::new("bash").arg("-n").arg(&path).status().unwrap();
                assert!(status.success(), "{}", path.display());
                found += 1;
            }
        }
    }
    assert!(found >= 6, "{found} scripts");
}

/// Every script of the documentation is named in it, and the other way round.
#[test]
fn the_documentation_names_its_scripts() {
    let text = fs::read_to_string("docs/batch.md").unwrap();
    let mut scripts: Vec<_> = (fs::read_dir("docs/slurm").unwrap())
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    scripts.sort();
    for script in &scripts {
        assert!(text.contains(&format!("(slurm/{script})")), "docs/batch.md does not link {script}");
    }
    for (_, rest) in text.match_indices("](slurm/").map(|(at, start)| (at, &text[at + start.len()..])) {
        let name = &rest[..rest.find(')').unwrap()];
        assert!(Path::new("docs/slurm").join(name).is_file(), "docs/batch.md links {name}");
    }
}

#[test]
fn a_job_that_slurm_preempts_ends_in_the_same_bytes() {
    for program in ["slurmctld", "slurmd", "munged", "sbatch"] {
        let there =
            Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
        if !there.unwrap().success() {
            return skip(
                "preemption by Slurm",
                &format!("there is no `{program}` (apt-get install slurm-wlm munge)"),
            );
        }
    }
    let status = Command::new("scripts/slurm_test.sh").arg(env!("CARGO_BIN_EXE_cnnctl")).status().unwrap();
    match status.code() {
        Some(77) => skip("preemption by Slurm", "the throw-away cluster did not start"),
        code => assert_eq!(code, Some(0)),
    }
}
