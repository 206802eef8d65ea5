//! Lengths in epochs, and tests over whole sets.

use crate::common::Folder;
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
    for epochs in ["0", "-1", "nan"] {
        let epochs = format!("--epochs={epochs}");
        let (status, _, error) = folder.run(&["train", "--solver", "solver.prototxt", &epochs]);
        assert!(status == 2 && error.contains("error: --epochs must be above 0, found "), "{error}");
        assert!(!error.contains("solver.prototxt:"), "{error}");
    }
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
        // Random numbers and a hidden state are the same before each test.
        let net = String::from_utf8(folder.read("net.prototxt")).unwrap();
        let net = net.replace("scale: 0.0625", "scale: 0.0625 mirror: true");
        folder.write("net.prototxt", net + ROWS);
    }
    whole.done(&["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl"]);
    parts.edit("solver.prototxt", "max_iter: 20", "max_iter: 10");
    parts.done(&["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl"]);
    parts.edit("solver.prototxt", "max_iter: 10", "max_iter: 20");
    parts.done(&["train", "--solver", "solver.prototxt", "--resume", "auto", "--metrics", "m.jsonl"]);
    assert!(whole.read("tiny_iter_20.caffemodel") == parts.read("tiny_iter_20.caffemodel"));
    assert!(whole.read("m.jsonl") == parts.read("m.jsonl"));
    // The LSTM is the test net's alone, and so each run makes its own; its rows end with the same test.
    let (whole, parts) = (rows(&whole), rows(&parts));
    assert!(whole.0.ends_with(&parts.0) && whole.1.ends_with(&parts.1), "{whole:?} {parts:?}");
}

/// Layers that write what the test net makes of each of five samples to `rows.h5`; an LSTM makes it depend on all before.
const ROWS: &str = r#"
layer {
  name: "mark" type: "Power" bottom: "label" top: "mark" include { phase: TEST }
  power_param { scale: 0 shift: 1 }
}
layer {
  name: "marks" type: "Reshape" bottom: "mark" top: "marks" include { phase: TEST }
  reshape_param { shape { dim: 0 dim: 1 } }
}
layer {
  name: "lstm" type: "LSTM" bottom: "data" bottom: "marks" top: "lstm" include { phase: TEST }
  recurrent_param { num_output: 3 weight_filler { type: "xavier" } }
}
layer {
  name: "rows" type: "HDF5Output" bottom: "lstm" bottom: "label" include { phase: TEST }
  hdf5_output_param { file_name: "rows.h5" }
}
"#;

/// A folder whose test net reads five samples in such batches, and writes rows.
fn five_by(batch: usize) -> Folder {
    let folder = Folder::new();
    let set = format!("batch_size: {batch} begin: 1000 end: 1005");
    folder.edit("net.prototxt", "batch_size: 50 begin: 1000", &set);
    folder.edit("solver.prototxt", "test_iter: 2", "test_iter: 0");
    let net = [folder.read("net.prototxt"), ROWS.into()].concat();
    folder.write("net.prototxt", net);
    folder
}

/// The data and labels in `rows.h5`.
fn rows(folder: &Folder) -> (Vec<f32>, Vec<f32>) {
    let file = hdf5_pure::File::open(folder.path("rows.h5")).unwrap();
    let set = |name| file.dataset(name).unwrap().read_f32().unwrap();
    (set("data"), set("label"))
}

#[test]
fn rows_of_a_whole_set_are_in_one_file_each_once() {
    let whole = five_by(5);
    whole.done(&["train", "--solver", "solver.prototxt"]);
    // Tests at 0, 10 and 20.
    let (data, labels) = rows(&whole);
    assert_eq!((data.len(), labels.len()), (3 * 15, 15));
    assert!(labels[..5] == labels[5..10] && labels[..5] == labels[10..]);
    // The snapshot has no LSTM, so it starts with other weights.
    test_exact(&whole);
    let exact = rows(&whole);
    assert_eq!(exact.1, labels[..5]);
    for batch in [2, 3, 4, 1, 9] {
        let folder = five_by(batch);
        folder.done(&["train", "--solver", "solver.prototxt"]);
        assert_eq!(rows(&folder), (data.clone(), labels.clone()), "train by {batch}");
        test_exact(&folder);
        assert_eq!(rows(&folder), exact, "test by {batch}");
    }
}
