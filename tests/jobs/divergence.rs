//! Losses that are no numbers, and tests that no longer get better.

use super::run::{Run, paced, same, short};
use crate::common::Folder;

/// y = w x against 3 x, for x = 1: the error shrinks by 1 - rate in each step, and so grows above a rate of 2.
const NET: &str = r#"name: "line"
layer { name: "one" type: "DummyData" top: "x" top: "goal" dummy_data_param {
  shape { dim: 4 dim: 1 } data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 3 } } }
layer { name: "w" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1 bias_term: false } }
layer { name: "error" type: "EuclideanLoss" bottom: "y" bottom: "goal" top: "error" }
"#;

fn line(rate: f32, iterations: u32) -> Folder {
    let folder = Folder::new();
    folder.write("net.prototxt", NET);
    folder.write(
        "solver.prototxt",
        format!(
            "net: \"net.prototxt\" base_lr: {rate} lr_policy: \"fixed\" max_iter: {iterations} snapshot: 5 \
             snapshot_prefix: \"a\" random_seed: 1"
        ),
    );
    folder
}

fn train(folder: &Folder, more: &[&str]) -> (i32, String) {
    let command = [&["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl"], more].concat();
    let (status, _, log) = folder.run(&command);
    (status, short(&log))
}

fn metrics(folder: &Folder) -> Vec<serde_json::Value> {
    let text = String::from_utf8(folder.read("m.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The error grows a thousandfold in each step: 9/2 * 10^(6 n) passes the largest f32, 3.4 * 10^38, at n = 7.
#[test]
fn a_diverged_run_stops_and_names_the_place() {
    let folder = line(1001.0, 100);
    let (status, log) = train(&folder, &[]);
    assert_eq!(status, 4, "{log}");
    let error = log.lines().rfind(|l| l.starts_with("error: ")).unwrap_or_default();
    let start = "error: the loss of iteration 7 is inf: training has diverged, first in blob `error` of layer `error` \
                 (learning rate 1001, norm of the gradients ";
    assert!(error.starts_with(start), "{log}");
    let norm: f64 = error[start.len()..].split(')').next().unwrap().parse().unwrap();
    assert!((norm / 3e21 - 1.0).abs() < 1e-3, "{norm}");
    assert!(error.ends_with("a lower base_lr or clip_gradients may help"), "{log}");
    assert!(folder.path("a_iter_5.solverstate").exists() && !folder.path("a_iter_10.solverstate").exists());
    assert_eq!(metrics(&folder).len(), 7, "the iteration that diverged is none");
}

/// Weights that no loss reaches are decayed all the same: by so much that they pass the largest number.
#[test]
fn weights_that_diverge_behind_a_finite_loss_are_not_saved() {
    let folder = line(0.5, 20);
    let idle = r#"
layer { name: "idle" type: "InnerProduct" bottom: "x" top: "z" param { decay_mult: 1e20 }
  inner_product_param { num_output: 1 bias_term: false weight_filler { type: "constant" value: 1 } } }
layer { name: "unused" type: "Silence" bottom: "z" }"#;
    folder.write("net.prototxt", format!("{NET}{idle}"));
    folder.edit("solver.prototxt", "net:", "weight_decay: 0.01 net:");
    let (status, log) = train(&folder, &[]);
    assert_eq!(status, 4, "{log}");
    let error = log.lines().rfind(|l| l.starts_with("error: ")).unwrap_or_default();
    let wanted = "error: before iteration 5 a weight is no finite number, though no loss was NaN: training has diverged, \
                  first in parameter 0 of layer `idle` (learning rate 0.5); a lower base_lr";
    assert!(error.starts_with(wanted), "{log}");
    assert!(!folder.path("a_iter_5.solverstate").exists());
}

#[test]
fn a_run_that_goes_back_with_a_lower_rate_gets_there() {
    // 6.4 and 3.2 are too much, 1.6 is not.
    let folder = line(6.4, 200);
    let (status, log) = train(&folder, &["--on-nan", "rollback"]);
    assert_eq!(status, 0, "{log}");
    assert!(log.contains("with the learning rate times 0.25"), "{log}");
    let events = metrics(&folder);
    let iters: Vec<_> = events.iter().map(|e| e["iter"].as_u64().unwrap()).collect();
    assert_eq!(iters, (0..200).collect::<Vec<_>>(), "one clean sequence");
    assert!(events[199]["loss"].as_f64().unwrap() < 1e-6);
}

#[test]
fn a_run_goes_back_five_times_and_gives_up() {
    let folder = line(1001.0, 60);
    let (status, log) = train(&folder, &["--on-nan", "rollback"]);
    assert_eq!((status, log.matches(": back to iteration ").count()), (4, 5), "{log}");
    assert!(log.contains("it has gone back often enough"), "{log}");
    let folder = line(1e30, 60);
    let (status, log) = train(&folder, &["--on-nan", "rollback"]);
    assert_eq!(status, 4, "{log}");
    assert!(log.contains("there is no snapshot to go back to"), "{log}");
}

#[test]
fn a_run_can_go_on_as_in_caffe() {
    let folder = line(1001.0, 60);
    let (status, log) = train(&folder, &["--on-nan", "continue"]);
    assert_eq!(status, 0, "{log}");
    let events = metrics(&folder);
    assert_eq!(events.len(), 60);
    assert_eq!((&events[7]["loss"], &events[59]["loss"]), (&"Infinity".into(), &"NaN".into()));
}

/// With a rate of 0 no test is better than the first.
#[test]
fn patience_ends_a_run_and_the_best_weights_are_kept() {
    let make = || {
        let folder = Folder::new();
        paced(&folder);
        folder.edit("solver.prototxt", "base_lr: 0.05", "base_lr: 0");
        folder.edit("solver.prototxt", "test_interval: 10", "test_interval: 4");
        // Each test reads the same samples.
        folder.edit("net.prototxt", "begin: 1000", "begin: 1000 end: 1100");
        folder.edit("solver.prototxt", "snapshot: 10", "snapshot: 3");
        folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 90");
        folder
    };
    let follow = ["--keep-best", "accuracy", "--patience", "8"];
    let (whole, killed) = (make(), make());
    let (status, log) = train(&whole, &follow);
    assert_eq!(status, 0, "{log}");
    assert_eq!(log.matches("Best so far: saved to tiny_best.caffemodel").count(), 1, "{log}");
    assert!(
        log.contains("Optimization stopped early. (the followed test output no longer gets better)"),
        "{log}"
    );
    assert_eq!(metrics(&whole).iter().filter(|e| e["event"] == "test").count(), 9);

    let arguments = ["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl"];
    let mut run = Run::start(&killed, &[&arguments[..], &follow].concat());
    run.wait_for("Iteration 10, loss");
    run.signal("KILL");
    assert_eq!(run.end().0, -1);
    let (status, log) = train(&killed, &[&follow[..], &["--resume", "auto"]].concat());
    assert_eq!(status, 0, "{log}");
    same("patience", &whole, &killed, &["m.jsonl", "tiny_best.caffemodel", "tiny_iter_32.solverstate"]);
}

/// Tests read other samples each time, so that one more might well be better.
#[test]
fn a_run_that_patience_has_ended_ends_again() {
    for more in ["", " snapshot: 2"] {
        let folder = Folder::new();
        folder.edit("solver.prototxt", "base_lr: 0.05", "base_lr: 0");
        folder.edit("solver.prototxt", "test_interval: 10", &format!("test_interval: 2{more}"));
        folder.edit("solver.prototxt", "snapshot: 10", "");
        let follow = ["--keep-best", "accuracy", "--patience", "2", "--resume", "auto"];
        let (status, log) = train(&folder, &follow);
        assert!(status == 0 && log.contains("no longer gets better"), "{log}");
        let iter = metrics(&folder).last().unwrap()["iter"].as_i64().unwrap();
        assert!(iter < 20, "{log}");
        let state = format!("tiny_iter_{iter}.solverstate");
        let files = ["m.jsonl", "tiny_best.caffemodel", &state];
        let before = files.map(|name| folder.read(name));
        for _ in 0..3 {
            let (status, log) = train(&folder, &follow);
            assert!(status == 0 && log.contains("no longer gets better"), "{log}");
            assert!(!log.contains("Best so far"), "{log}");
            for (name, before) in files.iter().zip(&before) {
                assert!(folder.read(name) == *before, "{name} differs");
            }
        }
    }
}

/// Of two test nets with an output of this name the first counts, once a test.
#[test]
fn patience_counts_tests_and_not_test_nets() {
    let folder = Folder::new();
    folder.edit("solver.prototxt", "base_lr: 0.05", "base_lr: 0");
    folder.edit("solver.prototxt", "test_interval: 10", "test_interval: 4 test_iter: 2");
    folder.edit("net.prototxt", "begin: 1000", "begin: 1000 end: 1100");
    let (status, log) = train(&folder, &["--keep-best", "accuracy", "--patience", "3"]);
    assert_eq!(status, 0, "{log}");
    assert_eq!(metrics(&folder).iter().filter(|e| e["event"] == "test").count(), 2 * 4, "{log}");
}

/// The least accuracy is below any loss here, which must not count for the loss.
#[test]
fn the_best_of_another_output_is_forgotten() {
    let folder = Folder::new();
    folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 10");
    let (status, log) = train(&folder, &["--keep-best", "accuracy:min"]);
    assert_eq!(status, 0, "{log}");
    folder.edit("solver.prototxt", "max_iter: 10", "max_iter: 20");
    let (status, log) = train(&folder, &["--keep-best", "loss", "--resume", "auto"]);
    assert_eq!(status, 0, "{log}");
    assert!(log.contains("what --keep-best follows has changed since"), "{log}");
    assert!(log.contains("Best so far"), "{log}");
}

#[test]
fn the_best_weights_are_those_of_the_best_test() {
    let folder = Folder::new();
    let (status, log) = train(&folder, &["--keep-best", "loss"]);
    assert_eq!(status, 0, "{log}");
    let tests: Vec<_> = metrics(&folder).into_iter().filter(|e| e["event"] == "test").collect();
    let best = tests.iter().map(|e| e["outputs"]["loss"].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
    let test = ["test", "--weights", "tiny_best.caffemodel", "--iterations", "2", "--format", "json"];
    let result: serde_json::Value = serde_json::from_str(&folder.done(&test).0).unwrap();
    // The last test is the best here, and reads other samples than one that starts anew.
    assert!(log.contains("Best so far") && (result["outputs"]["loss"].as_f64().unwrap() - best).abs() < 0.5);
    let (status, log) = train(&folder, &["--keep-best", "acuracy"]);
    assert_eq!(status, 2, "{log}");
    assert!(log.contains("`acuracy` is no output of a test net; there are: accuracy, loss"), "{log}");
}

/// The cost of this net falls in each step, and nothing in its name says that it should.
#[test]
fn a_loss_of_any_name_is_to_fall() {
    let folder = line(0.1, 10);
    folder.edit("net.prototxt", "name: \"error\"", "name: \"cost\"");
    folder.edit("net.prototxt", "top: \"error\"", "top: \"cost\"");
    folder.edit("solver.prototxt", "random_seed: 1", "test_iter: 2 test_interval: 2 random_seed: 1");
    let best = |follow: &[&str]| {
        let (status, log) = train(&folder, follow);
        assert_eq!(status, 0, "{log}");
        let line = log.lines().find(|line| line.contains("Best test: "));
        (line.map(|line| line[line.find("Best").unwrap()..].to_owned()), log.matches("Best so far").count())
    };
    let (line, saved) = best(&["--keep-best", "cost"]);
    assert!(line.as_ref().is_some_and(|l| l.contains("cost") && l.ends_with("at iteration 10")), "{line:?}");
    assert_eq!(saved, 6);
    assert_eq!(best(&[]), (line, 0));
    let (line, saved) = best(&["--keep-best", "cost:max"]);
    assert!(line.is_some_and(|line| line.ends_with("at iteration 0")) && saved == 1);

    // Of a blob that only happens to be left over nobody knows.
    let layer = "layer { name: 'sum' type: 'Reduction' bottom: 'y' top: 'sum' include { phase: TEST } }
                 layer { name: 'each' type: 'Power' bottom: 'y' top: 'each' include { phase: TEST } }";
    folder.write("net.prototxt", [&folder.read("net.prototxt")[..], layer.as_bytes()].concat());
    let (status, log) = train(&folder, &["--keep-best", "sum"]);
    assert!(status == 2 && log.contains("write `sum:min` or `sum:max`"), "{log}");
    let (status, log) = train(&folder, &["--keep-best", "each:max"]);
    assert!(status == 2 && log.contains("`each` has 4 values"), "{log}");
    assert!(best(&["--keep-best", "sum:max"]).0.is_some_and(|line| line.contains("sum")));
}
