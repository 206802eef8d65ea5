//! Bad data in training and testing: an error that names the file and the sample, or the sample left out; never a panic.

use std::{fs, path::Path};

use cnnctl::{config::proto::Datum, data::create_database};

use super::{log_of, pictures, refusal, run};

/// A solver for three iterations over the data layer `data`, whose tops are `data` and `label`, with two classes.
fn solver(folder: &Path, data: &str) {
    let rest = r#"
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
                inner_product_param { num_output: 2 weight_filler { type: "constant" value: 0.001 } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }"#;
    fs::write(
        folder.join("net"),
        format!("layer {{ name: \"data\" top: \"data\" top: \"label\" {data} }}{rest}"),
    )
    .unwrap();
    let solver =
        "net: \"net\" base_lr: 0.01 lr_policy: \"fixed\" max_iter: 3 snapshot_prefix: \"s\" random_seed: 1";
    fs::write(folder.join("solver"), solver).unwrap();
}

fn lmdb(batch: usize) -> String {
    format!("type: \"Data\" data_param {{ source: \"db\" backend: LMDB batch_size: {batch} }}")
}

fn images(batch: usize) -> String {
    format!(
        "type: \"ImageData\" image_data_param {{ source: \"list\" root_folder: \"images/\" batch_size: {batch} }}"
    )
}

const TRAIN: [&str; 3] = ["train", "--solver", "solver"];

/// Trains, which must fail for the data, and gives the log.
fn fails(folder: &Path) -> String {
    refusal(folder, 5, &TRAIN)
}

/// Trains without the bad samples and gives the log.
fn skips(folder: &Path) -> String {
    log_of(folder, &[&TRAIN[..], &["--on-bad-sample", "skip"]].concat())
}

fn assert_all(log: &str, texts: &[&str]) {
    texts.iter().for_each(|text| assert!(log.contains(text), "{text} is not in:\n{log}"));
}

#[test]
fn missing_files_and_mixed_sizes() {
    let folder = pictures();
    let at = folder.path();
    image::RgbImage::new(2, 2).save(at.join("images/small.png")).unwrap();
    fs::write(at.join("list"), "none.png 0\n0.png 1\nsmall.png 1\n1.png 0\n").unwrap();
    solver(at, &images(2));
    assert_all(&fails(at), &["sample `none.png` of `list`: cannot open `images/none.png`"]);
    let log = skips(at);
    assert_all(
        &log,
        &["left out: sample `none.png`", "left out: sample `small.png`", "its shape is 3 x 2 x 2"],
    );
    assert_all(&log, &["bad samples were left out 3 times", "of the time waiting for data"]);
    fs::write(at.join("list"), "0.png 1\nsmall.png 1\n").unwrap();
    assert_all(&fails(at), &["sample `small.png`", "the first sample's is 3 x 4 x 5"]);
    fs::write(at.join("list"), "none.png 0\nnothing.png 1\n").unwrap();
    let log = refusal(at, 5, &[&TRAIN[..], &["--on-bad-sample", "skip"]].concat());
    assert_all(&log, &["sample `none.png`"]);
}

#[test]
fn bad_samples_of_a_smaller_last_batch() {
    let folder = pictures();
    let at = folder.path();
    fs::write(at.join("list"), "0.png 0\n1.png 1\n").unwrap();
    solver(at, &images(2));
    log_of(at, &TRAIN);
    fs::write(at.join("list"), "0.png 0\n1.png 1\nnone.png 1\n").unwrap();
    let exact = ["test", "--model", "net", "--weights", "s_iter_3.caffemodel", "--exact"];
    let log = log_of(at, &[&exact[..], &["--on-bad-sample", "skip"]].concat());
    assert_all(&log, &["left out: sample `none.png`", "bad samples were left out 1 times"]);
}

#[test]
fn labels_that_the_net_does_not_know() {
    let folder = pictures();
    let at = folder.path();
    fs::write(at.join("list"), "0.png 0\n1.png 1\n2.png 2\n").unwrap();
    solver(at, &images(3));
    assert_all(&fails(at), &["sample `2.png` of `list`: its label is 2, but the net has 2 classes, from 0"]);
    assert_all(&skips(at), &["left out: sample `2.png`", "bad samples were left out 3 times"]);
    let test = ["test", "--model", "net", "--weights", "s_iter_3.caffemodel", "--iterations", "2"];
    assert_all(&refusal(at, 5, &test), &["sample `2.png`"]);
    let log = log_of(at, &[&test[..], &["--on_bad_sample=skip"]].concat());
    assert_all(&log, &["left out: sample `2.png`", "bad samples were left out 2 times"]);
    log_of(at, &["convert", "imageset", "images/", "list", "db"]);
    solver(at, &lmdb(3));
    assert_all(&fails(at), &["sample `00000002_2.png` of `db"]);
}

#[test]
fn damaged_databases() {
    let folder = pictures();
    let at = folder.path();
    log_of(at, &["convert", "imageset", "images/", "list", "db"]);
    solver(at, &lmdb(2));
    let file = at.join("db/data.mdb");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_all(&fails(at), &["db"]);
    fs::write(&file, vec![0xa5; whole.len()]).unwrap();
    assert_all(&fails(at), &["db"]);
    fs::write(&file, "").unwrap();
    assert_all(&fails(at), &["db"]);
    fs::remove_dir_all(at.join("db")).unwrap();
    assert_all(&fails(at), &["cannot open `db"]);

    let mut writer = create_database("lmdb", &at.join("db")).unwrap();
    let datum = Datum {
        channels: Some(1),
        height: Some(1),
        width: Some(2),
        data: Some(vec![1, 2]),
        ..Default::default()
    };
    cnnctl::data::put_datum(&mut *writer, "a", &datum).unwrap();
    writer.put(b"b", b"\xff\xff no datum").unwrap();
    writer.finish().unwrap();
    assert_all(&fails(at), &["sample `b` of `db", "not a Datum"]);
    assert_all(&skips(at), &["left out: sample `b`"]);
}

#[test]
fn empty_sets_and_sets_smaller_than_a_batch() {
    let folder = pictures();
    let at = folder.path();
    fs::write(at.join("list"), "0.png 0\n1.png 1\n").unwrap();
    solver(at, &images(7));
    log_of(at, &TRAIN);
    fs::write(at.join("list"), "\n").unwrap();
    assert_all(&fails(at), &["`list` holds no samples"]);
    create_database("lmdb", &at.join("db")).unwrap().finish().unwrap();
    solver(at, &lmdb(2));
    assert_all(&fails(at), &["holds no samples"]);
    fs::write(at.join("files"), "").unwrap();
    solver(at, "type: \"HDF5Data\" hdf5_data_param { source: \"files\" batch_size: 2 }");
    assert_all(&fails(at), &["`files` holds no samples"]);
}

#[test]
fn truncated_hdf5_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut file = hdf5_pure::FileBuilder::new();
    file.create_dataset("data").with_f32_data(&[0.5; 400]).with_shape(&[100, 4]);
    file.create_dataset("label").with_f32_data(&[1.0; 100]).with_shape(&[100]);
    let whole = file.finish().unwrap();
    fs::write(at.join("files"), "a.h5\n").unwrap();
    solver(at, "type: \"HDF5Data\" hdf5_data_param { source: \"files\" batch_size: 50 }");
    fs::write(at.join("a.h5"), &whole).unwrap();
    log_of(at, &TRAIN);
    for part in [0, 10, whole.len() / 3, whole.len() - 900] {
        fs::write(at.join("a.h5"), &whole[..part]).unwrap();
        assert_all(&fails(at), &["`a.h5`"]);
    }
    fs::remove_file(at.join("a.h5")).unwrap();
    assert_all(&fails(at), &["cannot open `a.h5`"]);
}

#[test]
fn time_says_how_long_data_was_waited_for() {
    let folder = pictures();
    let at = folder.path();
    fs::write(at.join("list"), "0.png 0\n1.png 1\n").unwrap();
    solver(at, &images(2));
    let (status, out, log) = run(at, &["time", "--model", "net", "--iterations", "2"]);
    assert_eq!(status, 0, "{log}");
    let share =
        out.lines().find_map(|l| l.strip_prefix("Waiting for data: ")?.strip_suffix("% of the time."));
    assert!(share.is_some_and(|s| (0.0..=100.0).contains(&s.parse::<f64>().unwrap())), "{out}");
}
