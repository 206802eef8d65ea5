//! How the log of a run looks: in a file as Caffe's, in a terminal for people, as JSON for programs.

use std::{io::Write as _, process::Command};

use crate::common::Folder;

const TRAIN: [&str; 3] = ["train", "--solver", "solver.prototxt"];

fn log(arguments: &[&str]) -> String {
    Folder::new().done(&[&TRAIN[..], arguments].concat()).1
}

/// Whether a line begins as glog's lines do.
fn is_glog(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let date = words.next().is_some_and(|w| w.len() == 5 && w.starts_with(['I', 'W']));
    date && words.next().is_some_and(|w| w.len() == 15) && line.contains(" cnnctl] ")
}

#[test]
fn a_file_gets_caffes_lines_and_a_summary() {
    let log = log(&[]);
    assert!(log.lines().all(is_glog), "{log}");
    let end: Vec<&str> = log.lines().map(|l| l.split_once("cnnctl] ").unwrap().1).collect();
    let end = &end[end.len() - 4..];
    assert_eq!(end[0], "Optimization Done.");
    let speed = ["20 iterations in ", " it/s, ", " samples/s, ", "% of the time waiting for data"];
    assert!(speed.iter().all(|part| end[1].contains(part)), "{}", end[1]);
    assert!(end[2].starts_with("Best test: accuracy 0."), "{}", end[2]);
    assert_eq!(end[3], "Last weights: tiny_iter_20.caffemodel");
    // Programs take the end of these lines for the name of the file.
    for file in [
        "binary proto file tiny_iter_10.caffemodel\n",
        "state to binary proto file tiny_iter_10.solverstate\n",
    ] {
        assert!(log.contains(file), "{log}");
    }
}

/// Between the loss and the rate where these are shown, and in other iterations by itself.
#[test]
fn steps_of_the_rate_are_told_in_caffes_words() {
    let folder = Folder::new();
    let multi = "lr_policy: \"multistep\" stepvalue: 5 stepvalue: 12";
    folder.edit("solver.prototxt", "lr_policy: \"step\"", multi);
    let steps = |arguments: &[&str]| {
        let log = folder.done(&[&TRAIN[..], arguments].concat()).1;
        let lines: Vec<String> = log.lines().map(|l| l.split_once("cnnctl] ").unwrap().1.into()).collect();
        let told = |at: &usize| lines[*at].starts_with("MultiStep Status: ");
        let around = |at| [at - 1, at, at + 1].map(|i: usize| lines[i].clone());
        (0..lines.len()).filter(told).map(around).collect::<Vec<_>>()
    };
    let told = steps(&[]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0][0].starts_with("    Train net output #"), "{told:?}");
    assert_eq!(told[0][1..], ["MultiStep Status: Iteration 5, step = 1", "Iteration 5, lr = 0.025"]);
    assert_eq!(told[1][1], "MultiStep Status: Iteration 12, step = 2");
    // The first step lies before the snapshot.
    let told = steps(&["--snapshot", "tiny_iter_10.solverstate"]);
    assert_eq!(
        told.iter().map(|t| &t[1][..]).collect::<Vec<_>>(),
        ["MultiStep Status: Iteration 12, step = 2"]
    );
}

#[test]
fn people_get_a_line_an_event() {
    let log = log(&["--log-format", "pretty"]);
    let lines: Vec<String> =
        log.lines().map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect();
    let has = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(lines[0], "Training tiny to iteration 20, 0.32 epochs", "{log}");
    assert_eq!((has("0 epoch 0.00 test accuracy 0."), has("0 epoch 0.00 train loss ")), (1, 1), "{log}");
    assert_eq!((has("15 epoch 0.24 train loss "), has("20 epoch 0.32 test accuracy ")), (1, 1), "{log}");
    assert_eq!((has("Snapshot: tiny_iter_10.solverstate ("), has("Optimization Done.")), (1, 1), "{log}");
    // No colours where no terminal is.
    assert!(!log.contains('\u{1b}') && !log.contains("Iteration "), "{log}");
}

#[test]
fn programs_get_json() {
    let log = log(&["--log-format", "json"]);
    let lines: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.iter().any(|l| l["message"] == "Iteration 10, Testing net (#0)" && l["level"] == "INFO"));
    assert!(lines.iter().all(|l| l["timestamp"].as_str().unwrap().ends_with('Z')), "{log}");
}

#[test]
fn more_and_less_can_be_asked_for() {
    assert_eq!(log(&["-q"]), "");
    let more = log(&["-v"]);
    assert!(more.contains("cnnctl] build{net=\"tiny\" phase=\"TRAIN\"}: layer `conv` (Convolution): [16 x 1 x 8 x 8] -> [16 x 4 x 6 x 6]"), "{more}");
    assert!(more.contains("test{iter=10 net=0}: close time.busy="), "{more}");
    let passes = log(&["--log", "warn,cnnctl::solver=trace"]);
    assert_eq!(passes.matches("}: backward: close time.busy=").count(), 20, "{passes}");
    assert!(!passes.contains("Iteration 0"), "{passes}");
    let (status, _, refusal) = Folder::new().run(&[&TRAIN[..], &["--log", "=,="]].concat());
    assert_eq!(status, 2, "{refusal}");
    assert!(refusal.starts_with("error: --log =,=: "), "{refusal}");
}

/// Runs the program in a terminal of its own, so wide, which `script` makes; `None` without `script`.
fn in_terminal(folder: &Folder, arguments: &str, variables: &[(&str, &str)]) -> Option<String> {
    let command = format!(
        "stty cols 100; exec {} train --solver solver.prototxt {arguments}",
        env!("CARGO_BIN_EXE_cnnctl")
    );
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).current_dir(folder.path(""));
    script
        .env_remove("RUST_LOG")
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh");
    script.envs(variables.iter().copied());
    match script.output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(_) => {
            // Past the capturing of output.
            let _ = writeln!(std::io::stderr(), "skipped: there is no `script`");
            None
        }
    }
}

#[test]
fn a_terminal_shows_how_far_the_run_is() {
    let folder = Folder::new();
    // Long enough to be seen.
    folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 1500");
    let Some(shown) = in_terminal(&folder, "", &[]) else { return };
    for part in
        ["/1500", " it/s", " samples/s", " left", "waiting for data ", "|  test at ", "Optimization Done."]
    {
        assert!(shown.contains(part), "no `{part}` in {shown}");
    }
    assert!(shown.contains("\u{1b}[36m") && !shown.contains("cnnctl]"), "{shown}");
    let folder = Folder::new();
    for (arguments, variables, part) in [
        ("", &[("NO_COLOR", "1")][..], "Training tiny"),
        ("--log-format caffe", &[], "cnnctl] Solving tiny"),
        ("", &[("TERM", "dumb")], "cnnctl] Solving tiny"),
    ] {
        let Some(shown) = in_terminal(&folder, arguments, variables) else { return };
        assert!(shown.contains(part), "{shown}");
        let colours = shown.contains("\u{1b}[36m") || shown.contains("\u{1b}[2m");
        assert!(!colours || arguments.contains("caffe"), "{shown}");
    }
    let Some(shown) = in_terminal(&Folder::new(), "-q", &[]) else { return };
    assert_eq!(shown, "");
}
