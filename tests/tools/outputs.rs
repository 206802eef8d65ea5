//! What commands write, and how they end when they cannot.

use std::{fs, path::Path, process::Command};

use super::{log_of, pictures, refusal, repository};
use crate::common::Folder;

/// Runs a command that may write files of a few hundred bytes only, which is like a full disk; gives its status and log.
fn on_a_full_disk(folder: &Path, args: &[&str]) -> (i32, String) {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_cnnctl")])
        .args(args);
    let output = command.current_dir(folder).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.map(|e| e.file_name().into_string().unwrap()).collect()
}

#[test]
fn a_full_disk_ends_a_conversion_with_status_1_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [images, labels] =
        ["images-idx3", "labels-idx1"].map(|kind| repository(&format!("data/digits/digits-{kind}-ubyte.gz")));
    for backend in ["lmdb", "leveldb"] {
        let convert = ["convert", "idx", &images, &labels, "db", "--backend", backend];
        let (status, log) = on_a_full_disk(folder.path(), &convert);
        assert_eq!(status, 1, "{log}");
        assert!(log.contains("error: cannot write `db") && !log.contains("partial"), "{log}");
        assert_eq!(names(folder.path()), [""; 0], "{backend}");
    }
    let (status, log) = on_a_full_disk(folder.path(), &["man", "pages"]);
    assert_eq!(status, 1, "{log}");
    let pages = fs::read_dir(folder.path().join("pages")).unwrap().flatten();
    assert!(pages.into_iter().all(|page| page.metadata().unwrap().len() > 0));
}

#[test]
fn hdf5_that_cannot_be_written_is_no_bad_data() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("folder")).unwrap();
    for file in ["none/x.h5", "folder"] {
        let net = format!(
            "layer {{ name: 'd' type: 'DummyData' top: 'data' top: 'label' \
             dummy_data_param {{ shape {{ dim: 1 }} shape {{ dim: 1 }} }} }}\n\
             layer {{ name: 'o' type: 'HDF5Output' bottom: 'data' bottom: 'label' \
             hdf5_output_param {{ file_name: '{file}' }} }}"
        );
        fs::write(at.join("net"), net).unwrap();
        let log = refusal(at, 1, &["run", "--model", "net", "--output", "o.npz"]);
        assert!(log.contains(&format!("cannot write `{file}`: ")), "{log}");
    }
}

#[test]
fn usage_is_looked_at_before_data() {
    let folder = pictures();
    let at = folder.path();
    fs::write(at.join("bad"), "images/0.png 0\nnone.png 1\n").unwrap();
    let log = refusal(at, 2, &["dataset", "info", "bad", "--contact-sheet", "sheet"]);
    assert!(log.contains("`sheet`: its name must end in .png or .jpg"), "{log}");
    let log = refusal(at, 2, &["filter", "none.png", "o.gif", "--kernel", "blur"]);
    assert!(log.contains("`o.gif`: its name must end in .png or .jpg"), "{log}");
    log_of(at, &["filter", "images/0.png", "o.jpg", "--kernel", "blur"]);
}

#[test]
fn a_run_does_not_write_over_what_it_reads() {
    let folder = Folder::new();
    fs::create_dir(folder.path("sub")).unwrap();
    for file in ["solver.prototxt", "net.prototxt"] {
        let before = folder.read(file);
        for flag in ["--metrics", "--report"] {
            let path = format!("sub/../{file}");
            let (status, _, log) = folder.run(&["train", "--solver", "solver.prototxt", flag, &path]);
            let wanted = format!("error: {flag} would write over {path}, which this run reads");
            assert!(status == 2 && log.contains(&wanted), "{log}");
        }
        assert_eq!(folder.read(file), before);
    }
}

#[test]
fn a_prefix_below_a_file_is_in_no_folder() {
    let folder = Folder::new();
    folder.edit("solver.prototxt", "snapshot_prefix: \"tiny\"", "snapshot_prefix: \"net.prototxt/tiny\"");
    let (status, _, log) = folder.run(&["train", "--solver", "solver.prototxt"]);
    assert!(status == 1 && log.contains("not a directory"), "{log}");
}

#[test]
fn an_input_is_given_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("net"), "layer { name: 'd' type: 'Input' top: 'd' input_param { shape { dim: 1 } } }")
        .unwrap();
    let run = ["run", "--model", "net", "--output", "o.npz", "--input", "d=a.npy", "--input", "d=b.npy"];
    let log = refusal(at, 2, &run);
    assert!(log.contains("error: --input gives blob `d` twice"), "{log}");
}

#[test]
fn files_of_runs_that_are_not_there_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["plot", "parse-log"] {
        let log = refusal(folder.path(), 2, &[command, "none"]);
        assert!(log.contains("error: cannot read none: No such file"), "{log}");
    }
}
