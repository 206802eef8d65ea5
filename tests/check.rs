//! The messages of `cnnctl check`: each prototxt of `tests/check/` against the text beside it.
//!
//! `UPDATE_GOLDEN=1` writes the texts anew; read the difference.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::PathBuf, process::Command};

fn check(folder: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cnnctl"))
        .current_dir(folder)
        .args(["check", "--threads", "1"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn prototxts(folder: &str) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".prototxt"))
        .collect();
    found.sort();
    found
}

#[test]
fn messages_are_as_they_were() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for name in prototxts("tests/check") {
        let (status, stdout, stderr) = check("tests/check", &[&name]);
        let got = format!("{stdout}{stderr}status {}\n", status.unwrap());
        let path = PathBuf::from("tests/check").join(&name).with_extension("txt");
        if update {
            fs::write(&path, &got).unwrap();
        } else if fs::read_to_string(&path).unwrap_or_default() != got {
            wrong.push(format!("{} should hold:\n{got}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every file that comes with the program is without errors and without warnings.
#[test]
fn our_own_files_are_clean() {
    let mut files: Vec<String> = prototxts("solvers").iter().map(|name| format!("solvers/{name}")).collect();
    for model in fs::read_dir("models").unwrap().map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()) {
        let model = model.display().to_string();
        files.extend(prototxts(&model).iter().map(|name| format!("{model}/{name}")));
    }
    assert!(files.len() > 40);
    let mut arguments: Vec<&str> = vec!["--deny-warnings"];
    arguments.extend(files.iter().map(|f| &f[..]));
    let (status, stdout, _) = check(".", &arguments);
    assert_eq!(status, Some(0), "{stdout}");
}

/// What the real Caffe takes has no errors here, and what it refuses has.
#[test]
fn the_golden_nets_are_judged_as_by_caffe() {
    const REFUSED: &[&str] = &[
        "eltwise_coeff_prod/net.prototxt",
        "lrn_even_size/net.prototxt",
        "pool_pad_ge_kernel/net.prototxt",
        "solver_bad_adagrad_momentum/solver.prototxt",
        "solver_bad_lr_policy/solver.prototxt",
    ];
    let cases: Vec<String> = fs::read_dir("tests/golden")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut files = Vec::new();
    for case in cases {
        files.extend(prototxts(&format!("tests/golden/{case}")).iter().map(|name| format!("{case}/{name}")));
    }
    assert!(files.len() > 100);
    let (good, bad): (Vec<&str>, Vec<&str>) =
        files.iter().map(|f| &f[..]).partition(|f| !REFUSED.contains(f));
    let (status, stdout, _) = check("tests/golden", &good);
    assert_eq!(status, Some(0), "{stdout}");
    assert_eq!(bad.len(), REFUSED.len());
    for file in bad {
        assert_eq!(check("tests/golden", &[file]).0, Some(2), "{file}");
    }
}

#[test]
fn the_status_says_how_it_went() {
    let status = |arguments: &[&str]| check("tests/check", arguments).0;
    assert_eq!(status(&["part.prototxt"]), Some(0));
    assert_eq!(status(&["part.prototxt", "--deny-warnings"]), Some(2));
    assert_eq!(status(&["graph.prototxt"]), Some(2));
    assert_eq!(status(&["missing.prototxt"]), Some(2));
    let shaped = ["no_loss.prototxt", "--shape", "data=4,3,8,8"];
    assert_eq!(status(&shaped), Some(0));
}

#[test]
fn json_tells_the_same() {
    let (status, stdout, stderr) = check("tests/check", &["graph.prototxt", "--format", "json"]);
    assert_eq!((status, &stderr[..]), (Some(2), ""));
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let first = &json["diagnostics"][0];
    assert_eq!(first["file"], "graph.prototxt");
    assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(4), Some(43)));
    assert!(json["errors"].as_u64().unwrap() > 5);
}
