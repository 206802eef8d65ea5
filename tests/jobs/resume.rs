//! A run that is killed and goes on with `--resume auto` ends in the bytes of an unbroken one: weights, state, metrics.

use std::{fs, ops::Range};

use cnnctl::{config::proto::SolverParameter, solver::rules::RULES};
use hdf5_pure::FileBuilder;

use super::run::{Run, paced, same};
use crate::common::{Folder, IMAGES, LABELS, RECURRENT, digits};

/// All that draws random numbers or keeps a state of its own.
const NET: &str = r#"
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" batch_norm_param { moving_average_fraction: 0.9 } }
layer { name: "scale" type: "Scale" bottom: "norm" top: "norm" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool"
  pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" dropout_param { dropout_ratio: 0.2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"#;

const SOLVER: &str = r#"
net: "net.prototxt"
test_iter: 2
test_interval: 7
base_lr: 0.01
lr_policy: "multistep"
gamma: 0.5
stepvalue: 12
stepvalue: 20
weight_decay: 0.001
iter_size: 2
average_loss: 4
display: 5
max_iter: 36
snapshot: 5
snapshot_prefix: "snaps/a"
random_seed: 11
"#;

/// Diffs are those of the last step, which a run that is over does not make again.
#[test]
fn the_last_snapshot_of_a_run_that_is_over_stays() {
    for more in ["", " snapshot_format: HDF5"] {
        let folder = Folder::new();
        folder.edit("solver.prototxt", "max_iter: 20", &format!("max_iter: 20 snapshot_diff: true{more}"));
        let suffix = if more.is_empty() { "" } else { ".h5" };
        let files = ["caffemodel", "solverstate"].map(|kind| format!("tiny_iter_20.{kind}{suffix}"));
        let train = ["train", "--solver", "solver.prototxt", "--resume", "auto"];
        folder.done(&train);
        let before = files.each_ref().map(|name| folder.read(name));
        let (_, log) = folder.done(&train);
        assert!(!log.contains("Snapshotting"), "{log}");
        for (name, before) in files.iter().zip(&before) {
            assert!(folder.read(name) == *before, "{name} differs");
        }
        // Elsewhere there is none yet.
        folder.edit("solver.prototxt", "snapshot_prefix: \"tiny\"", "snapshot_prefix: \"other\"");
        let state = format!("tiny_iter_20.solverstate{suffix}");
        folder.done(&["train", "--solver", "solver.prototxt", "--snapshot", &state]);
        assert!(folder.path(&format!("other_iter_20.solverstate{suffix}")).exists());
    }
}

/// A folder with a net on `source`, the text of its `type` and settings, and more lines for the solver.
fn folder(source: &str, solver: &str) -> Folder {
    let folder = Folder::new();
    let phase = |phase: &str| {
        format!(
            "layer {{ name: \"d\" top: \"data\" top: \"label\" include {{ phase: {phase} }} {source} }}\n"
        )
    };
    folder.write("net.prototxt", format!("{}{}{NET}", phase("TRAIN"), phase("TEST")));
    folder.write("solver.prototxt", format!("{SOLVER}{solver}\n"));
    folder
}

/// Trains a folder's net in one go, and with a kill; compares all that is left. `make` must give the same each time.
#[track_caller]
fn check(case: &str, make: impl Fn() -> Folder) {
    let train = ["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl", "--resume", "auto"];
    let (whole, killed) = (make(), make());
    [&whole, &killed].into_iter().for_each(paced);
    whole.done(&[&train[..], &["--threads", "1"]].concat());
    let mut run = Run::start(&killed, &[&train[..], &["--threads", "2"]].concat());
    run.wait_for("Iteration 17, loss");
    run.signal("KILL");
    assert_eq!(run.end().0, -1, "{case}: the run was over before the kill");
    assert!(!killed.path("snaps/a_iter_20.solverstate").exists(), "{case}");
    let (_, log) = killed.done(&[&train[..], &["--threads", "3"]].concat());
    assert!(log.contains("Resuming from snaps/a_iter_"), "{case}: {log}");
    let suffix = if whole.path("snaps/a_iter_36.caffemodel.h5").exists() { ".h5" } else { "" };
    let files = ["caffemodel", "solverstate"].map(|kind| format!("snaps/a_iter_36.{kind}{suffix}"));
    same(case, &whole, &killed, &[&files[0], &files[1], "m.jsonl"]);
    let lines = String::from_utf8(whole.read("m.jsonl")).unwrap();
    assert_eq!(lines.lines().filter(|l| l.contains("\"event\":\"train\"")).count(), 36, "{case}");
}

fn idx(more: &str) -> String {
    let (images, labels) = (digits(IMAGES), digits(LABELS));
    format!(
        "type: \"Data\" data_param {{ source: \"{images}\" labels: \"{labels}\" backend: IDX batch_size: 7 end: 100 \
         {more} }} transform_param {{ scale: 0.0625 }}"
    )
}

#[test]
fn with_every_rule() {
    for rule in RULES {
        let with = |momentum| SolverParameter {
            r#type: Some(rule.name.into()),
            momentum: Some(momentum),
            ..SolverParameter::default()
        };
        let takes = |momentum| rule.checks.iter().all(|check| check(&with(momentum)).is_ok());
        let momentum = if takes(0.9) { 0.9 } else { 0.0 };
        assert!(takes(momentum));
        let solver = format!("type: \"{}\" momentum: {momentum}", rule.name);
        check(rule.name, || folder(&idx("shuffle: true"), &solver));
    }
}

#[test]
fn with_random_crops_and_mirror_images() {
    let source = idx("shuffle: true rand_skip: 50")
        .replace("scale: 0.0625", "scale: 0.0625 crop_size: 6 mirror: true");
    check("crop", || folder(&source, "momentum: 0.9 clip_gradients: 1 regularization_type: \"L1\""));
}

#[test]
fn with_snapshots_in_hdf5() {
    check("snapshot_format", || folder(&idx("shuffle: true"), "type: \"Adam\" snapshot_format: HDF5"));
}

#[test]
fn with_databases() {
    for backend in ["LMDB", "LEVELDB"] {
        let source =
            format!("type: \"Data\" data_param {{ source: \"db\" backend: {backend} batch_size: 7 }}");
        check(backend, || {
            let folder = folder(&source, "momentum: 0.9");
            let kind = backend.to_lowercase();
            folder.done(&["convert", "idx", &digits(IMAGES), &digits(LABELS), "db", "--backend", &kind]);
            folder
        });
    }
}

#[test]
fn with_hdf5_files() {
    let write = |folder: &Folder, name: &str, rows: Range<u64>| {
        let data: Vec<f32> =
            (rows.start * 64..rows.end * 64).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
        let labels: Vec<f32> = rows.clone().map(|r| (r % 10) as f32).collect();
        let count = rows.end - rows.start;
        let mut file = FileBuilder::new();
        file.create_dataset("data").with_f32_data(&data).with_shape(&[count, 1, 8, 8]);
        file.create_dataset("label").with_f32_data(&labels).with_shape(&[count]);
        file.write(folder.path(name)).unwrap();
    };
    for shuffle in [true, false] {
        let source = format!(
            "type: \"HDF5Data\" hdf5_data_param {{ source: \"list.txt\" batch_size: 7 shuffle: {shuffle} }}"
        );
        check("HDF5", || {
            let folder = folder(&source, "momentum: 0.9");
            for (name, rows) in [("a.h5", 0..10), ("b.h5", 10..27), ("c.h5", 27..30)] {
                write(&folder, name, rows);
            }
            folder.write("list.txt", "a.h5\nb.h5\nc.h5\n");
            folder
        });
    }
}

#[test]
fn with_a_list_of_images() {
    let source = "type: \"ImageData\" image_data_param { source: \"list.txt\" batch_size: 7 shuffle: true is_color: false \
                  new_height: 9 new_width: 10 } transform_param { crop_size: 8 mirror: true mean_value: 100 }";
    check("ImageData", || {
        let folder = folder(source, "momentum: 0.9");
        let mut list = String::new();
        for i in 0..20_u8 {
            let image =
                image::GrayImage::from_fn(12, 11, |x, y| image::Luma([(x as u8 * i) ^ (y as u8 * 20)]));
            image.save(folder.path(&format!("{i}.png"))).unwrap();
            list += &format!("{i}.png {}\n", i % 10);
        }
        folder.write("list.txt", list);
        folder
    });
}

#[test]
fn with_random_data() {
    let source = "type: \"DummyData\" dummy_data_param { shape { dim: 7 dim: 2 dim: 8 dim: 8 } shape { dim: 7 } \
                  data_filler { type: \"gaussian\" } data_filler { type: \"constant\" value: 3 } }";
    check("DummyData", || folder(source, "momentum: 0.9"));
}

#[test]
fn with_hidden_states() {
    check("LSTM", || {
        let folder = folder("", "momentum: 0.9");
        folder.write("net.prototxt", RECURRENT);
        folder
    });
}

#[test]
fn with_two_test_nets_and_the_best_weights() {
    let make = || {
        let folder = folder(&idx("shuffle: true"), "momentum: 0.9 test_compute_loss: true");
        folder.edit(
            "solver.prototxt",
            "net: ",
            "train_net: \"net.prototxt\" test_net: \"net.prototxt\" test_net: ",
        );
        folder.edit("solver.prototxt", "test_iter: 2", "test_iter: 2 test_iter: 3");
        folder
    };
    check("two test nets", make);
}

/// Without `random_seed` each run draws its own, and a resumed one takes it over.
#[test]
fn with_a_seed_that_nobody_chose() {
    let folder = folder(&idx("shuffle: true"), "momentum: 0.9");
    folder.edit("solver.prototxt", "random_seed: 11", "");
    let train = ["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl"];
    folder.done(&train);
    let files = ["snaps/a_iter_36.caffemodel", "snaps/a_iter_36.solverstate", "m.jsonl"];
    let first = files.map(|f| folder.read(f));
    folder.done(&[&train[..], &["--snapshot", "snaps/a_iter_15.solverstate"]].concat());
    for (file, first) in files.iter().zip(first) {
        assert!(folder.read(file) == first, "{file} differs");
    }
}

#[test]
fn a_finished_run_that_is_resumed_changes_nothing() {
    let folder = folder(&idx("shuffle: true"), "momentum: 0.9");
    let train = ["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl", "--resume", "auto"];
    folder.edit("solver.prototxt", "max_iter: 36", "max_iter: 35");
    let (_, log) = folder.done(&train);
    assert!(log.contains("No snapshot at snaps/a to resume from: starting"), "{log}");
    let files = ["snaps/a_iter_35.caffemodel", "snaps/a_iter_35.solverstate", "m.jsonl"];
    let first = files.map(|f| folder.read(f));
    folder.done(&train);
    assert!(files.map(|f| folder.read(f)) == first);
    // A damaged newest snapshot is passed over; the one before leads to the same end.
    let bytes = folder.read(files[0]);
    fs::write(folder.path(files[0]), &bytes[..bytes.len() / 2]).unwrap();
    let (_, log) = folder.done(&train);
    assert!(log.contains("passed over: snaps/a_iter_35.caffemodel: is damaged"), "{log}");
    assert!(log.contains("Resuming from snaps/a_iter_30.solverstate"), "{log}");
    assert!(files.map(|f| folder.read(f)) == first);
}
