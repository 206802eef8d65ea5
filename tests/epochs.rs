//! Lengths in epochs, and tests over whole sets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::Folder;
use serde_json::Value;

fn test_exact(folder: &Folder) -> Value {
    let arguments = ["test", "--weights", "tiny_iter_20.caffemodel", "--model", "net.prototxt", "--exact"];
    serde_json::from_str(&folder.done(&[&arguments[..], &["--format", "json"]].concat()).0).unwrap()
}

#[test]
fn an_exact_test_does_not_depend_on_the_batch_size() {
    let folder = Folder::new();
    folder.done(&["train", "--solver", "solver.prototxt"]);
    folder.edit("net.prototxt", "batch_size: 50 begin: 1000", "batch_size: 50 begin: 1000 end: 1130");
    let by_50 = test_exact(&folder);
    assert_eq!(by_50["iterations"], 3);
    let close = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-6;
    for (batch, batches) in [(130, 1), (65, 2), (7, 19), (129, 2), (1, 130), (200, 1)] {
        folder.edit("net.prototxt", "batch_size: ", "was_size: ");
        let text = String::from_utf8(folder.read("net.prototxt")).unwrap();
        let (before, after) = text.split_once("batch_size: ").unwrap();
        let rest = after.split_once(' ').unwrap().1;
        folder.write(
            "net.prototxt",
            format!("{before}batch_size: {batch} {rest}").replace("was_size", "batch_size"),
        );
        let other = test_exact(&folder);
        assert_eq!(other["iterations"], batches, "batches of {batch}");
        for value in ["/outputs/accuracy", "/outputs/loss", "/loss"] {
            let (a, b) = (by_50.pointer(value).unwrap(), other.pointer(value).unwrap());
            assert!(close(a, b), "{value} is {a} by 50 and {b} by {batch}");
        }
    }
}

#[test]
fn lengths_in_epochs_become_iterations() {
    let folder = Folder::new();
    // 1000 samples by 16 and 2: an epoch is 31.25 iterations.
    folder.edit("solver.prototxt", "max_iter: 20", "max_epoch: 1 iter_size: 2");
    folder.edit("solver.prototxt", "test_interval: 10", "test_epoch: 0.5");
    folder.edit("solver.prototxt", "test_iter: 2\n", "");
    let (_, log) = folder.done(&["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl"]);
    assert!(log.contains("1 epochs are 32 iterations"), "{log}");
    let metrics = String::from_utf8(folder.read("m.jsonl")).unwrap();
    let events: Vec<Value> = metrics.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let at = |event: &str| -> Vec<i64> {
        events.iter().filter(|e| e["event"] == event).map(|e| e["iter"].as_i64().unwrap()).collect()
    };
    assert_eq!(at("train").len(), 32);
    assert_eq!(at("test"), [0, 16, 32]);
    let (_, log) = folder.done(&["train", "--solver", "solver.prototxt", "--epochs", "0.25"]);
    assert!(log.contains("0.25 epochs are 8 iterations"), "{log}");
    for (edit, message) in [
        ("max_epoch: 1 max_iter: 3", "max_epoch and max_iter are two ways to say one thing"),
        ("max_epoch: -1", "max_epoch must be above 0, found -1"),
    ] {
        let folder = Folder::new();
        folder.edit("solver.prototxt", "max_iter: 20", edit);
        let (status, _, error) = folder.run(&["train", "--solver", "solver.prototxt"]);
        assert!(status == 2 && error.contains(message), "{error}");
    }
}

#[test]
fn tests_over_whole_sets_leave_resuming_exact() {
    let (whole, parts) = (Folder::new(), Folder::new());
    for folder in [&whole, &parts] {
        folder.edit("solver.prototxt", "test_iter: 2", "test_iter: 0");
        folder.edit("net.prototxt", "batch_size: 50 begin: 1000", "batch_size: 50 begin: 1000 end: 1070");
    }
    whole.done(&["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl"]);
    parts.edit("solver.prototxt", "max_iter: 20", "max_iter: 10");
    parts.done(&["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl"]);
    parts.edit("solver.prototxt", "max_iter: 10", "max_iter: 20");
    parts.done(&["train", "--solver", "solver.prototxt", "--resume", "auto", "--metrics", "m.jsonl"]);
    assert!(whole.read("tiny_iter_20.caffemodel") == parts.read("tiny_iter_20.caffemodel"));
    let last_test = |folder: &Folder| {
        let metrics = String::from_utf8(folder.read("m.jsonl")).unwrap();
        let test = metrics.lines().rfind(|l| l.contains("\"test\"")).unwrap().to_owned();
        serde_json::from_str::<Value>(&test).unwrap()["outputs"].clone()
    };
    assert_eq!(last_test(&whole), last_test(&parts));
}
