//! `cnnctl summary` against the published numbers of known nets.

use std::process::Command;

use serde_json::Value;

fn summary(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_cnnctl"))
        .args(["summary", "--format", "json", "--threads", "1"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn totals_are_the_published_ones() {
    // Parameters and, for one image, multiply-adds.
    for (model, parameters, multiply_adds) in [
        ("lenet", 431_080, 2_293_000),
        ("caffenet", 60_965_224, 724_406_816),
        ("googlenet", 6_998_552, 1_582_671_872),
        ("vgg16", 138_357_544, 15_470_264_320_u64),
    ] {
        let s = summary(&["--model", &format!("models/{model}/deploy.prototxt"), "--batch", "1"]);
        assert_eq!(s["totals"]["parameters"], parameters, "{model}");
        assert_eq!(s["totals"]["multiply_adds"], multiply_adds, "{model}");
    }
}

#[test]
fn training_needs_more_memory_than_running() {
    let planned = |phase: &str| {
        let s = summary(&[
            "--model",
            "models/lenet/train_val.prototxt",
            "--shape",
            "data=64,1,28,28",
            "--phase",
            phase,
            "--batch",
            "10",
        ]);
        assert_eq!((&s["batch"], &s["phase"]), (&Value::from(10), &Value::from(phase)));
        assert_eq!(s["totals"]["training"], phase == "TRAIN");
        s["totals"]["planned_bytes"].as_u64().unwrap()
    };
    assert!(planned("TRAIN") > planned("TEST"));
}

#[test]
fn csv_has_a_line_a_layer() {
    let output = Command::new(env!("CARGO_BIN_EXE_cnnctl"))
        .args(["summary", "--model", "models/lenet/deploy.prototxt", "--format", "csv", "--batch", "2"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|l| l.starts_with("conv2")).unwrap();
    assert_eq!(line, "conv2,Convolution,2 x 50 x 8 x 8,25050,0,3200000,25600,14,2");
    assert_eq!(text.lines().count(), 10);
}

/// Here the data set is at hand: images of 1 x 8 x 8, by 64.
#[test]
fn shapes_go_before_those_of_the_data() {
    let of = |arguments: &[&str]| {
        let model = ["--model", "models/digits/train_val.prototxt"];
        let s = summary(&[&model, arguments].concat());
        let top = |i: usize| s["layers"][0]["tops"][i]["shape"].to_string();
        (top(0), top(1))
    };
    let shapes = |data: &str, label: &str| (data.to_owned(), label.to_owned());
    assert_eq!(of(&[]), shapes("[64,1,8,8]", "[64]"));
    let larger = ["--shape", "data=4,1,32,32"];
    assert_eq!(of(&larger), shapes("[4,1,32,32]", "[4]"));
    assert_eq!(of(&[&larger[..], &["--batch", "9"]].concat()), shapes("[9,1,32,32]", "[9]"));
    let check = |shape: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_cnnctl"))
            .args(["check", "models/digits/train_val.prototxt", "--shape", shape])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(check("data=4,1,32,32").0, Some(0));
    let (status, text) = check("data=4,7");
    assert!(status == Some(2) && text.contains("data 4 x 7"), "{text}");
}

/// An Input's own shape is one, too.
#[test]
fn shapes_go_before_those_of_inputs() {
    let lenet = ["--model", "models/lenet/deploy.prototxt", "--shape", "data=3,1,32,32"];
    assert_eq!(summary(&lenet)["layers"][0]["tops"][0]["shape"].to_string(), "[3,1,32,32]");
}

#[test]
fn shapes_that_are_not_known_are_asked_for() {
    let output = Command::new(env!("CARGO_BIN_EXE_cnnctl"))
        .args(["summary", "--model", "tests/check/hdf5.prototxt", "--shape", "data=4,1,9,9"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("`--shape label=N,C,H,W --shape mask=N,...` tell the shapes"), "{text}");
}
