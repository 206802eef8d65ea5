//! Training on several ranks, under whichever MPI is installed: Open MPI, MPICH, both or none.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use crate::common::{Folder, RECURRENT};
use cnnctl::config::proto::NetParameter;
use prost::Message as _;

const CNNCTL: &str = env!("CARGO_BIN_EXE_cnnctl");

/// The launchers that work here, with the options that let many ranks share a small machine.
fn launchers() -> Vec<Vec<&'static str>> {
    let known = [vec!["mpirun.openmpi", "--oversubscribe"], vec!["mpirun.mpich"]];
    let works =
        |launcher: &Vec<&str>| start(launcher, 2, "true").output().is_ok_and(|out| out.status.success());
    let there: Vec<_> = known.into_iter().filter(works).collect();
    if there.is_empty() {
        eprintln!("skipped: neither mpirun.openmpi nor mpirun.mpich works here");
    }
    there
}

/// A program on so many ranks, all on this machine, where Open MPI needs no ssh.
fn start(launcher: &[&str], ranks: usize, program: &str) -> Command {
    let mut command = Command::new(launcher[0]);
    command.args(&launcher[1..]).args(["-n", &ranks.to_string(), program]).env_remove("RUST_LOG");
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMPI_MCA_plm", "isolated");
    command
}

/// Runs the program on `ranks` ranks; gives its exit status and all that it said.
fn run(folder: &Folder, launcher: &[&str], ranks: usize, arguments: &[&str]) -> (i32, String) {
    let mut command = start(launcher, ranks, CNNCTL);
    let Output { status, stderr, .. } =
        command.args(arguments).current_dir(folder.path("")).output().unwrap();
    (status.code().unwrap_or(-1), String::from_utf8_lossy(&stderr).into_owned())
}

fn done(folder: &Folder, launcher: &[&str], ranks: usize, arguments: &[&str]) -> String {
    let (status, said) = run(folder, launcher, ranks, arguments);
    assert_eq!(status, 0, "{launcher:?} -n {ranks}: {said}");
    assert!(said.contains(&format!("Running on {ranks} ranks over ")), "{said}");
    said
}

const TRAIN: [&str; 5] = ["train", "--solver", "solver.prototxt", "--metrics", "m"];
const DIVIDED: [&str; 6] = ["train", "--solver", "solver.prototxt", "--metrics", "m", "--global-batch"];

/// A folder whose net has no dropout: each rank drops values of its own, as one process cannot.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.edit("net.prototxt", "dropout_ratio: 0.1", "dropout_ratio: 0");
    folder
}

fn weights(folder: &Folder) -> Vec<f32> {
    let net = NetParameter::decode(&folder.read("tiny_iter_20.caffemodel")[..]).unwrap();
    net.layer.iter().flat_map(|l| &l.blobs).flat_map(|b| b.data.clone()).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn ranks_make_the_steps_of_one_process() {
    for launcher in launchers() {
        // Divided batches against the batch as it is, whole batches against one of their sum.
        let one = folder();
        one.done(&TRAIN);
        let large = folder();
        large.edit("net.prototxt", "batch_size: 16", "batch_size: 32");
        large.done(&TRAIN);
        for (ranks, arguments, alone) in [(2, &DIVIDED[..], &one), (4, &DIVIDED, &one), (2, &TRAIN, &large)] {
            let several = folder();
            done(&several, &launcher, ranks, arguments);
            let difference = largest_difference(&weights(alone), &weights(&several));
            assert!(difference < 1e-5, "{launcher:?} -n {ranks}: {difference}");
            assert!(difference > 0.0 || ranks == 2, "four ranks sum in another order");
        }
    }
}

#[test]
fn the_same_number_of_ranks_gives_the_same_bytes() {
    let mut first: Option<Vec<u8>> = None;
    for launcher in launchers() {
        for more in [&[][..], &["--no-overlap", "--threads", "2"]] {
            // With dropout, shuffling and everything.
            let folder = Folder::new();
            done(&folder, &launcher, 2, &[&TRAIN[..], more].concat());
            let bytes = folder.read("tiny_iter_20.caffemodel");
            assert!(*first.get_or_insert_with(|| bytes.clone()) == bytes, "{launcher:?} {more:?}");
        }
    }
}

#[test]
fn a_run_goes_on_from_a_snapshot_on_the_same_or_another_number_of_ranks() {
    for launcher in launchers() {
        let (whole, parts, fewer) = (folder(), folder(), folder());
        done(&whole, &launcher, 2, &DIVIDED);
        for folder in [&parts, &fewer] {
            folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 10");
            done(folder, &launcher, 2, &DIVIDED);
            folder.edit("solver.prototxt", "max_iter: 10", "max_iter: 20");
        }
        done(&parts, &launcher, 2, &[&DIVIDED[..], &["--resume", "auto"]].concat());
        assert!(whole.read("tiny_iter_20.caffemodel") == parts.read("tiny_iter_20.caffemodel"));
        assert!(whole.read("m") == parts.read("m"));
        fewer.done(&[&TRAIN[..], &["--resume", "auto"]].concat());
        let difference = largest_difference(&weights(&whole), &weights(&fewer));
        assert!(difference < 1e-5, "{difference}");
    }
}

/// A folder with layers that carry hidden states.
fn recurrent() -> Folder {
    let folder = Folder::new();
    folder.write("net.prototxt", RECURRENT);
    folder
}

#[test]
fn hidden_states_of_all_ranks_are_saved() {
    const OTHERS: &str = "recurrent layers start without";
    for launcher in launchers() {
        let whole = recurrent();
        done(&whole, &launcher, 2, &TRAIN);
        let half = || {
            let folder = recurrent();
            folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 10");
            done(&folder, &launcher, 2, &TRAIN);
            folder.edit("solver.prototxt", "max_iter: 10", "max_iter: 20");
            folder
        };
        let go_on = [&TRAIN[..], &["--resume", "auto"]].concat();
        let (parts, more, alone) = (half(), half(), half());
        assert!(!done(&parts, &launcher, 2, &go_on).contains(OTHERS));
        for file in ["tiny_iter_20.caffemodel", "tiny_iter_20.solverstate", "m"] {
            assert!(whole.read(file) == parts.read(file), "{launcher:?}: {file} differs");
        }
        for said in [done(&more, &launcher, 3, &go_on), alone.done(&go_on).1] {
            assert!(said.contains("hidden states of 2 ranks") && said.contains(OTHERS), "{said}");
        }
    }
}

#[test]
fn a_test_is_divided_among_ranks_and_comes_out_the_same() {
    for launcher in launchers() {
        // Three batches for two ranks: the last round has one too many.
        let (one, two) = (folder(), folder());
        for folder in [&one, &two] {
            folder.edit("solver.prototxt", "test_iter: 2", "test_iter: 3");
            folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 0");
        }
        one.done(&TRAIN);
        done(&two, &launcher, 2, &TRAIN);
        assert!(one.read("m") == two.read("m") && !one.read("m").is_empty());
    }
}

#[test]
fn a_test_of_a_whole_set_is_divided_and_comes_out_the_same() {
    for launcher in launchers() {
        // 797 samples: the last batch has 47, or is the only one, or is the only one and full; and some ranks have more
        // batches than others, or none.
        let whole = |batch: &str| {
            let folder = folder();
            folder.edit("net.prototxt", "batch_size: 50", batch);
            folder.edit("solver.prototxt", "test_iter: 2", "test_iter: 0 test_compute_loss: true");
            folder.edit("solver.prototxt", "base_lr: 0.05", "base_lr: 1e-30");
            folder
        };
        for batch in ["batch_size: 50", "batch_size: 1000", "batch_size: 797"] {
            let one = whole(batch);
            one.done(&TRAIN);
            let tests = |folder: &Folder| -> Vec<String> {
                let text = String::from_utf8(folder.read("m")).unwrap();
                // Several ranks get through more of the set with a step: epochs differ, what follows does not.
                let test = |line: &str| line.split_once("\"event\"").unwrap().1.to_owned();
                text.lines().filter(|l| l.contains("\"accuracy\"")).map(test).collect()
            };
            let expected = tests(&one);
            assert_eq!(expected.len(), 3, "{expected:?}");
            for ranks in [2, 3, 4] {
                let several = whole(batch);
                done(&several, &launcher, ranks, &TRAIN);
                assert_eq!(tests(&several), expected, "{launcher:?} -n {ranks} {batch}");
            }
        }
    }
}

#[test]
fn a_panic_on_one_rank_ends_all() {
    // Only there does the program panic when it is asked to.
    if !cfg!(debug_assertions) {
        return;
    }
    for launcher in launchers() {
        let folder = folder();
        let mut command = start(&launcher, 1, CNNCTL);
        command.args(TRAIN).args([":", "-n", "1", "env", "CNNCTL_TEST_PANIC_AT=15", CNNCTL]).args(TRAIN);
        let output = command.current_dir(folder.path("")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // The other rank would wait for five minutes, and then give the status of a run that can be resumed.
        assert_eq!(output.status.code(), Some(101), "{launcher:?}: {said}");
        assert!(said.contains("asked for by CNNCTL_TEST_PANIC_AT"), "{said}");
        assert!(!said.contains("nothing has come from the other ranks"), "{said}");
        assert!(folder.path("tiny_iter_10.solverstate").exists());
        assert!(!folder.path("tiny_iter_20.solverstate").exists());
    }
}

#[test]
fn ranks_that_would_train_apart_are_refused() {
    let two = |folder: &Folder, launcher: &[&str], more: &[&str], other: &str, others: &[&str]| {
        let mut command = start(launcher, 1, CNNCTL);
        command.args(TRAIN).args(more).args([":", "-n", "1", "env", "-C", other, CNNCTL]).args(TRAIN);
        let output = command.args(more).args(others).current_dir(folder.path("")).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let refused = |(status, said): (Option<i32>, String), expected: &str| {
        assert!(status == Some(2) && said.contains(expected), "{expected}: {status:?}: {said}");
    };
    for launcher in launchers() {
        let folder = folder();
        for (others, expected) in [
            (&["--global-batch"][..], "16 a batch, but rank 1 has 1000 samples in layer `digits`, 8 a batch"),
            (&["--sync-batch-norm"], "rank 0 has no --sync-batch-norm, but rank 1 has --sync-batch-norm"),
            (&["--no-overlap"], "rank 0 has no --no-overlap, but rank 1 has --no-overlap"),
            (&["--keep-best", "loss"], "rank 0 has no --keep-best, but rank 1 has --keep-best without"),
        ] {
            refused(two(&folder, &launcher, &[], ".", others), expected);
        }
        // Rank 1 works beside another test net, and then another state of the same iteration.
        fs::create_dir(folder.path("other")).unwrap();
        folder.edit(
            "solver.prototxt",
            "net: \"net.prototxt\"",
            "train_net: \"net.prototxt\" test_net: \"test.prototxt\"",
        );
        folder.write("test.prototxt", folder.read("net.prototxt"));
        for file in ["net.prototxt", "solver.prototxt", "test.prototxt"] {
            fs::copy(folder.path(file), folder.path("other").join(file)).unwrap();
        }
        folder.edit("other/test.prototxt", "batch_size: 50", "batch_size: 50 end: 1700");
        refused(two(&folder, &launcher, &[], "other", &[]), "a test net 0 of hash");
        folder.write("other/test.prototxt", folder.read("test.prototxt"));
        folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 10");
        folder.edit("solver.prototxt", "momentum: 0.9", "momentum: 0.8");
        done(&folder, &launcher, 2, &TRAIN);
        for file in ["tiny_iter_10.solverstate", "tiny_iter_10.caffemodel"] {
            fs::copy(folder.path(file), folder.path("other").join(file)).unwrap();
        }
        folder.edit("solver.prototxt", "momentum: 0.8", "momentum: 0.9");
        done(&folder, &launcher, 2, &TRAIN);
        fs::copy(folder.path("solver.prototxt"), folder.path("other/solver.prototxt")).unwrap();
        refused(two(&folder, &launcher, &["--resume", "auto"], "other", &[]), "a solver state of hash");
    }
}

#[test]
fn an_error_on_the_ranks_ends_the_job_with_its_status() {
    for launcher in launchers() {
        let folder = folder();
        let (status, said) = run(&folder, &launcher, 3, &DIVIDED);
        assert_eq!(status, 2, "{said}");
        assert!(said.contains("layer `digits`: batch_size 16 cannot be divided among 3 ranks"), "{said}");
        folder.edit("net.prototxt", "num_output: 10", "num_output: 5");
        let (status, said) = run(&folder, &launcher, 2, &TRAIN);
        assert_eq!(status, 5, "{said}");
        assert!(said.contains("but the net has 5 classes"), "{said}");
    }
}

#[test]
fn a_library_that_is_not_the_launchers_is_refused() {
    let both = launchers();
    if both.len() < 2 {
        eprintln!("skipped: needs Open MPI and MPICH");
        return;
    }
    let folder = folder();
    let mut command = start(&both[0], 2, CNNCTL);
    command.args(TRAIN).current_dir(folder.path("")).env("CNNCTL_MPI_LIB", "libmpich.so.12");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("the launcher has started 2 ranks, but MPICH Version: ") && said.contains("sees 1"),
        "{said}"
    );
    assert!(!folder.path("tiny_iter_20.caffemodel").exists());
}

/// Starts a long run on two ranks and sends rank 1 a signal once it is well under way; gives the exit status and all that
/// was said.
fn interrupted(folder: &Folder, launcher: &[&str], signal: &str) -> (i32, String) {
    let mut command = start(launcher, 2, CNNCTL);
    command.args(TRAIN).args(["--stall-timeout", "3s"]).current_dir(folder.path(""));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = || fs::read(folder.path("m")).unwrap_or_default().iter().filter(|&&b| b == b'\n').count();
    while lines() < 150 {
        assert!(child.try_wait().unwrap().is_none(), "{launcher:?} ended too early");
        std::thread::yield_now();
    }
    let pid = rank(folder, 1).unwrap().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    // A stopped process that the launcher has not reached.
    let _ = Command::new("kill").args(["-KILL", &pid]).stderr(Stdio::null()).status();
    (status.code().unwrap_or(-1), String::from_utf8_lossy(&stderr).into_owned())
}

/// The process of a rank that works in a folder.
fn rank(folder: &Folder, rank: usize) -> Option<u32> {
    let here = fs::canonicalize(folder.path("")).unwrap();
    let mut processes =
        fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let of = |pid: u32, file: &str| PathBuf::from(format!("/proc/{pid}/{file}"));
    let names = ["OMPI_COMM_WORLD_RANK", "PMI_RANK"].map(|name| format!("{name}={rank}"));
    let is_it = |&pid: &u32| {
        let environment = fs::read(of(pid, "environ")).unwrap_or_default();
        let mut variables = environment.split(|&b| b == 0);
        fs::read_link(of(pid, "cwd")).is_ok_and(|cwd| cwd == here)
            && fs::read_link(of(pid, "exe")).is_ok_and(|exe| exe.ends_with("cnnctl"))
            && variables.any(|v| names.iter().any(|name| v == name.as_bytes()))
    };
    processes.find(is_it)
}

#[test]
fn a_signal_before_all_ranks_are_there_is_not_lost() {
    for launcher in launchers() {
        let folder = folder();
        assert!(Command::new("mkfifo").arg(folder.path("go")).status().unwrap().success());
        let late = format!("read go < go; exec '{CNNCTL}' {}", TRAIN.join(" "));
        let mut command = start(&launcher, 1, CNNCTL);
        command.args(TRAIN).args([":", "-n", "1", "sh", "-c", &late]).current_dir(folder.path(""));
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let heeds = |pid: u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            // XFSZ is the last that it heeds.
            caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 << (25 - 1) != 0)
        };
        let pid = loop {
            assert!(child.try_wait().unwrap().is_none(), "{launcher:?} ended too early");
            if let Some(pid) = rank(&folder, 0).filter(|&pid| heeds(pid)) {
                break pid.to_string();
            }
            std::thread::yield_now();
        };
        assert!(Command::new("kill").args(["-USR1", &pid]).status().unwrap().success());
        folder.write("go", "go\n");
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(75), "{launcher:?}: {said}");
        assert!(folder.path("tiny_iter_0.solverstate").exists(), "{said}");
    }
}

fn long_folder() -> Folder {
    let folder = Folder::new();
    folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 1500");
    folder.edit("solver.prototxt", "test_interval: 10", "test_interval: 1500");
    folder.edit("solver.prototxt", "snapshot: 10", "snapshot: 100");
    folder
}

#[test]
fn ranks_that_are_killed_hang_or_are_signalled_cost_nothing() {
    for launcher in launchers() {
        let whole = long_folder();
        done(&whole, &launcher, 2, &TRAIN);
        // Of a rank that ends with 75 and one that it has to kill, a launcher gives the status of either.
        for (signal, expected) in [("-KILL", None), ("-STOP", None), ("-USR1", Some(75))] {
            let broken = long_folder();
            let (status, said) = interrupted(&broken, &launcher, signal);
            assert!(status != 0 && expected.is_none_or(|e| e == status), "{signal}: {status}: {said}");
            if signal == "-STOP" {
                assert!(said.contains("nothing has come from the other ranks for 3 s"), "{said}");
            }
            done(&broken, &launcher, 2, &[&TRAIN[..], &["--resume", "auto"]].concat());
            for file in ["tiny_iter_1500.caffemodel", "m"] {
                assert!(whole.read(file) == broken.read(file), "{launcher:?} {signal}: {file} differs");
            }
        }
    }
}

#[test]
fn synchronized_batch_normalization_sees_one_batch() {
    let with_norm = || {
        let folder = folder();
        folder.edit("net.prototxt", "layer { name: \"relu\"", "layer { name: \"bn\" type: \"BatchNorm\" bottom: \"conv\" top: \"conv\" }\nlayer { name: \"relu\"");
        folder
    };
    for launcher in launchers() {
        let (one, two, local) = (with_norm(), with_norm(), with_norm());
        one.done(&TRAIN);
        done(&two, &launcher, 2, &[&DIVIDED[..], &["--sync-batch-norm"]].concat());
        done(&local, &launcher, 2, &DIVIDED);
        let far = |folder: &Folder| {
            // The last value is the number of steps that the running statistics have seen.
            largest_difference(&weights(&one), &weights(folder))
        };
        assert!(far(&two) < 1e-3, "{}", far(&two));
        assert!(far(&local) > 10.0 * far(&two), "{} and {}", far(&local), far(&two));
    }
}

#[test]
fn time_tells_what_the_exchange_costs() {
    for launcher in launchers() {
        let folder = folder();
        let timed = |more: &[&str]| {
            let mut command = start(&launcher, 2, CNNCTL);
            command.args(["time", "--model", "net.prototxt", "--iterations", "5"]).args(more);
            let output = command.current_dir(folder.path("")).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let out = timed(&[]);
        assert_eq!(out.matches("Average exchange of gradients: ").count(), 1, "{out}");
        assert!(out.contains("% hidden behind the backward pass."), "{out}");
        // There are no gradients to exchange.
        let out = timed(&["--forward-only"]);
        assert_eq!(out.matches("Average Forward pass: ").count(), 1, "{out}");
        assert!(!out.contains("exchange"), "{out}");
    }
}

const ROUNDED: [&str; 7] = ["train", "--solver", "solver.prototxt", "--metrics", "m", "--gradients", "bf16"];

#[test]
fn rounded_gradients_train_as_well_and_always_alike() {
    let accuracy = |folder: &Folder| -> f64 {
        let text = String::from_utf8(folder.read("m")).unwrap();
        let line = text.lines().rfind(|l| l.contains("\"accuracy\"")).unwrap();
        let at = line.find("\"accuracy\":").unwrap() + "\"accuracy\":".len();
        let number = |c: char| c.is_ascii_digit() || c == '.';
        line[at..].trim_start_matches('[').split(|c| !number(c)).next().unwrap().parse().unwrap()
    };
    let mut first: Option<Vec<u8>> = None;
    for launcher in launchers() {
        let long = || {
            let folder = Folder::new();
            folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 300");
            folder.edit("solver.prototxt", "stepsize: 15", "stepsize: 150");
            folder.edit("solver.prototxt", "test_iter: 2", "test_iter: 0");
            folder
        };
        let (exact, rounded, again) = (long(), long(), long());
        done(&exact, &launcher, 2, &TRAIN);
        done(&rounded, &launcher, 2, &ROUNDED);
        done(&again, &launcher, 2, &[&ROUNDED[..], &["--no-overlap", "--threads", "2"]].concat());
        let [a, b] = [&exact, &rounded].map(accuracy);
        assert!(a > 0.85 && (a - b).abs() < 0.02, "{a} without rounding, {b} with");
        let bytes = rounded.read("tiny_iter_300.caffemodel");
        assert!(bytes != exact.read("tiny_iter_300.caffemodel"));
        assert!(bytes == again.read("tiny_iter_300.caffemodel"), "{launcher:?}");
        assert!(*first.get_or_insert_with(|| bytes.clone()) == bytes, "{launcher:?}");
    }
}

#[test]
fn what_rounding_keeps_back_is_saved() {
    const RESUME: [&str; 2] = ["--resume", "auto"];
    const WITHOUT: &str = "gradients start without what rounding had kept back";
    for launcher in launchers() {
        let whole = Folder::new();
        let said = done(&whole, &launcher, 2, &ROUNDED);
        assert!(!said.contains(WITHOUT), "{said}");
        let half = || {
            let folder = Folder::new();
            folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 10");
            done(&folder, &launcher, 2, &ROUNDED);
            folder.edit("solver.prototxt", "max_iter: 10", "max_iter: 20");
            folder
        };
        let go_on =
            |folder: &Folder, ranks: usize| done(folder, &launcher, ranks, &[&ROUNDED[..], &RESUME].concat());
        let (parts, lost, damaged, more) = (half(), half(), half(), half());
        assert!(!go_on(&parts, 2).contains(WITHOUT));
        for file in ["tiny_iter_20.caffemodel", "tiny_iter_20.residuals", "m"] {
            assert!(whole.read(file) == parts.read(file), "{launcher:?}: {file} differs");
        }
        // A run of other files or ranks goes on all the same, and says so.
        fs::remove_file(lost.path("tiny_iter_10.residuals")).unwrap();
        let mut bytes = damaged.read("tiny_iter_10.residuals");
        *bytes.last_mut().unwrap() ^= 1;
        damaged.write("tiny_iter_10.residuals", bytes);
        for (folder, ranks, reason) in [
            (&lost, 2, "cannot read tiny_iter_10.residuals"),
            (&damaged, 2, "is damaged"),
            (&more, 3, "is of 2 ranks, but this run has 3"),
        ] {
            let said = go_on(folder, ranks);
            assert!(said.contains(WITHOUT) && said.contains(reason), "{said}");
        }
        let [exact, without] = [&whole, &lost].map(weights);
        let difference = largest_difference(&exact, &without);
        assert!(difference > 0.0 && difference < 0.01, "{difference}");
    }
}

#[test]
fn rounded_gradients_take_half_the_bytes() {
    for launcher in launchers() {
        let sent = |gradients: &str| -> f64 {
            let folder = folder();
            let mut command = start(&launcher, 2, CNNCTL);
            command.args(["time", "--model", "net.prototxt", "--iterations", "3", "--gradients", gradients]);
            let output = command.current_dir(folder.path("")).output().unwrap();
            let out = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = out
                .lines()
                .find_map(|l| l.strip_prefix("Each rank sends "))
                .unwrap_or_else(|| panic!("{out}"));
            line.strip_suffix(" bytes a step.").unwrap().parse().unwrap()
        };
        // 40 weights of `conv`, 1450 of `ip`: of each half to the other rank, and half of the sums; and the loss.
        assert_eq!(sent("f32"), 2.0 * 745.0 * 4.0 + 2.0 * 4.0);
        assert_eq!(sent("bf16"), 2.0 * 745.0 * 2.0 + 2.0 * 4.0);
    }
}
