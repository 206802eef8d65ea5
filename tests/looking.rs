//! `evaluate` and `visualize`: what people look at once a net is trained.

use crate::common::{Folder, IMAGES, LABELS, digits};
use serde_json::Value;

/// A folder with the tiny net, trained for 20 iterations, and the same net to deploy.
fn trained() -> Folder {
    let folder = Folder::new();
    folder.done(&["train", "--solver", "solver.prototxt"]);
    let text = String::from_utf8(folder.read("net.prototxt")).unwrap();
    let layers = &text[text.find("layer {\n  name: \"conv\"").unwrap()
        ..text.find("layer {\n  name: \"accuracy\"").unwrap()];
    let input = "layer { name: 'in' type: 'Input' top: 'data' input_param { shape { dim: 64 dim: 1 dim: 8 dim: 8 } } }\n";
    let prob = "layer { name: 'prob' type: 'Softmax' bottom: 'ip' top: 'prob' }\n";
    folder.write("deploy.prototxt", format!("{input}{layers}{prob}"));
    let mut pixels = image::GrayImage::new(8, 8);
    pixels
        .enumerate_pixels_mut()
        .for_each(|(x, y, p)| p.0[0] = if (3..5).contains(&x) && y > 0 { 16 } else { 0 });
    pixels.save(folder.path("one.png")).unwrap();
    folder
}

const WEIGHTS: [&str; 2] = ["--weights", "tiny_iter_20.caffemodel"];

fn json(folder: &Folder, arguments: &[&str]) -> Value {
    let (out, _) = folder.done(&[&["evaluate"], &WEIGHTS[..], &["--format", "json"], arguments].concat());
    serde_json::from_str(&out).unwrap()
}

fn close(a: &Value, b: &Value) -> bool {
    (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-5
}

#[test]
fn each_sample_of_the_test_set_is_measured_once() {
    let folder = trained();
    let all = json(&folder, &["--ordered"]);
    let (out, _) = folder.done(&[&["test"], &WEIGHTS[..], &["--exact", "--format", "json"]].concat());
    let test: Value = serde_json::from_str(&out).unwrap();
    assert!(close(&all["accuracy"], &test["outputs"]["accuracy"]), "{out}");
    assert!(close(&all["log_loss"], &test["outputs"]["loss"]), "{out}");
    assert_eq!((&all["samples"], &all["classes"]), (&797.into(), &10.into()));
    let counts = |v: &Value| v.as_array().unwrap().iter().map(|c| c.as_u64().unwrap()).sum::<u64>();
    let rows = all["confusion"].as_array().unwrap();
    for (row, class) in rows.iter().zip(all["per_class"].as_array().unwrap()) {
        assert_eq!(counts(row), class["support"].as_u64().unwrap());
    }
    assert_eq!(rows.iter().map(counts).sum::<u64>(), 797);
    assert_eq!(all["top_k"]["1"], all["accuracy"]);
    assert!(all["top_k"]["5"].as_f64() > all["accuracy"].as_f64());
    assert!(all["order"]["quadratic_kappa"].as_f64().unwrap() > 0.1);
    // Worse than chance in no class after 20 iterations.
    assert!(all["per_class"].as_array().unwrap().iter().all(|class| class["auc"].as_f64().unwrap() > 0.6));
    let losses: Vec<f64> =
        all["worst"].as_array().unwrap().iter().map(|w| w["loss"].as_f64().unwrap()).collect();
    assert!(losses.len() == 36 && losses.is_sorted_by(|a, b| a >= b), "{losses:?}");
}

#[test]
fn files_are_written_and_are_the_same_on_any_number_of_threads() {
    let folder = trained();
    folder.write("names", "zero\none\n");
    let run = |threads: &str, prefix: &str| {
        let name = |end: &str| format!("{prefix}{end}");
        let [confusion, roc, sheet, save, predictions] =
            ["confusion.png", "roc.png", "sheet.png", "evaluate.json", "p.csv"].map(name);
        let files = ["--confusion", &confusion, "--roc", &roc, "--sheet", &sheet, "--save", &save];
        let more = ["--predictions", &predictions, "--worst", "9", "--labels", "names", "--threads", threads];
        folder.done(&[&["evaluate"], &WEIGHTS[..], &files, &more].concat()).0
    };
    let (text, again) = (run("2", "a_"), run("1", "b_"));
    assert_eq!(text, again);
    assert!(text.starts_with("samples            797\naccuracy           0."), "{text}");
    assert!(text.contains("\nzero ") && text.contains("\none ") && text.contains("\n2 "), "{text}");
    for file in ["confusion.png", "roc.png", "sheet.png", "evaluate.json", "p.csv"] {
        let bytes = folder.read(&format!("a_{file}"));
        assert!(bytes == folder.read(&format!("b_{file}")), "{file}");
        if file.ends_with("png") {
            let image = image::load_from_memory(&bytes).unwrap();
            assert!(image.width() > 200 && image.height() > 200, "{file}");
        }
    }
    let csv = String::from_utf8(folder.read("a_p.csv")).unwrap();
    assert_eq!((csv.lines().count(), csv.lines().nth(1).unwrap().split(',').count()), (798, 14));
    let saved: Value = serde_json::from_slice(&folder.read("a_evaluate.json")).unwrap();
    assert_eq!(saved["worst"].as_array().unwrap().len(), 9);
    let (table, _) = folder.done(&[&["evaluate"], &WEIGHTS[..], &["--format", "csv"]].concat());
    assert_eq!(table.lines().count(), 13);
}

#[test]
fn a_net_to_deploy_is_measured_on_a_set_that_is_named() {
    let folder = trained();
    folder.edit("net.prototxt", "begin: 1000", "begin: 0");
    let of_net = json(&folder, &["--model", "net.prototxt"]);
    let (images, labels) = (digits(IMAGES), digits(LABELS));
    let data = ["--data", &images, "--data-labels", &labels, "--scale", "0.0625"];
    let given = json(&folder, &[&["--model", "deploy.prototxt"], &data[..]].concat());
    assert_eq!((&given["samples"], &given["confusion"]), (&1797.into(), &of_net["confusion"]));
    assert!(
        close(&given["log_loss"], &of_net["log_loss"])
            && close(&given["auc"]["macro"], &of_net["auc"]["macro"])
    );
}

#[test]
fn ranks_are_measured_without_probabilities() {
    let folder = trained();
    folder.edit("net.prototxt", "num_output: 10", "num_output: 18");
    folder.edit("net.prototxt", "type: \"SoftmaxWithLoss\"", "type: \"OrdinalRegressionLoss\"");
    folder.edit(
        "net.prototxt",
        "name: \"accuracy\"\n  type: \"Accuracy\"\n  bottom: \"ip\"\n  bottom: \"label\"",
        "name: \"rank\" type: \"OrdinalRank\" bottom: \"ip\"",
    );
    folder.done(&["train", "--solver", "solver.prototxt"]);
    let all = json(&folder, &["--ordered"]);
    assert_eq!((&all["samples"], &all["classes"], &all["log_loss"]), (&797.into(), &10.into(), &Value::Null));
    assert!(all["order"]["mean_absolute_error"].as_f64().unwrap() < 4.0);
    assert!(all["per_class"][3]["auc"].is_null());
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let folder = trained();
    let refused = |arguments: &[&str]| {
        let (status, _, err) = folder.run(&[&["evaluate"], &WEIGHTS[..], arguments].concat());
        (status, err)
    };
    for (arguments, status, message) in [
        (
            &["--model", "deploy.prototxt"][..],
            2,
            "the net reads no data set in phase TEST: a net to deploy needs --data PATH",
        ),
        (&["--output", "none"], 2, "the net has no blob `none`"),
        (&["--output", "conv"], 2, "blob `conv` has shape 50 x 4 x 6 x 6, not N x classes"),
        (&["--top", "0"], 2, "--top takes numbers from 1"),
        (&["--model", "deploy.prototxt", "--data", "none.txt"], 5, "none.txt"),
        (&["--model", "net.prototxt", "--data", "one.png"], 2, "takes no image"),
    ] {
        let (found, err) = refused(arguments);
        assert!(found == status && err.contains(message), "{arguments:?}: {found}: {err}");
    }
    folder.write("list", "one.png 10\n");
    let (status, err) = refused(&["--model", "deploy.prototxt", "--data", "list", "--root-folder", "./"]);
    assert!(
        status == 5 && err.contains("sample 0 has label 10, but the net has 10 classes"),
        "{status}: {err}"
    );
}

fn size(folder: &Folder, name: &str) -> (u32, u32) {
    let image = image::load_from_memory(&folder.read(name)).unwrap();
    (image.width(), image.height())
}

#[test]
fn filters_maps_and_saliency_are_drawn() {
    let folder = trained();
    folder.done(&[&["visualize", "filters"], &WEIGHTS[..], &["-o", "filters.png"]].concat());
    let rows = ["--layer", "ip", "-o", "rows.png", "--contrast", "layer", "--colors", "gray"];
    folder.done(&[&["visualize", "filters"], &WEIGHTS[..], &rows].concat());
    // 144 values are a square of 12 x 12; ten of them need more room than four of 3 x 3.
    assert!(size(&folder, "rows.png").0 > size(&folder, "filters.png").0);
    let look =
        [&WEIGHTS[..], &["--model", "deploy.prototxt", "--image", "one.png", "--scale", "0.0625"]].concat();
    folder.done(&[&["visualize", "features"], &look[..], &["-o", "maps.png"]].concat());
    folder.done(&[&["visualize", "features"], &look[..], &["-o", "before.png", "--layer", "conv"]].concat());
    assert!(folder.read("maps.png") != folder.read("before.png"), "ReLU changes the maps in place");
    folder.done(&[&["visualize", "features"], &look[..], &["-o", "scores.png", "--blob", "ip"]].concat());
    let mut pictures = Vec::new();
    for method in ["gradient", "occlusion", "hires-cam"] {
        let class = |class: &str, name: &str| {
            let to = ["--method", method, "--class", class, "-o", name];
            let (_, err) = folder.done(&[&["visualize", "saliency"], &look[..], &to].concat());
            assert!(err.contains(&format!("Class {class}: ")), "{err}");
            folder.read(name)
        };
        assert!(class("1", "a.png") != class("3", "b.png"), "{method}");
        pictures.push(class("1", "a.png"));
        assert_eq!(size(&folder, "a.png").0, 2 * (2 * 16 + 3 * 224 + 2 * 12));
    }
    assert!(pictures[0] != pictures[1] && pictures[1] != pictures[2] && pictures[0] != pictures[2]);
}

#[test]
fn a_linear_net_looks_where_its_weights_say() {
    let folder = trained();
    // One layer over all pixels: the score's derivatives are its weights.
    folder.edit(
        "net.prototxt",
        "  type: \"InnerProduct\"\n  bottom: \"conv\"",
        "  type: \"InnerProduct\"\n  bottom: \"data\"",
    );
    folder.edit(
        "deploy.prototxt",
        "  type: \"InnerProduct\"\n  bottom: \"conv\"",
        "  type: \"InnerProduct\"\n  bottom: \"data\"",
    );
    folder.edit(
        "net.prototxt",
        "layer { name: \"drop\"",
        "layer { name: \"none\" type: \"Silence\" bottom: \"conv\" }\nlayer { name: \"drop\"",
    );
    folder.edit(
        "deploy.prototxt",
        "layer { name: \"drop\"",
        "layer { name: \"none\" type: \"Silence\" bottom: \"conv\" }\nlayer { name: \"drop\"",
    );
    for file in ["net.prototxt", "deploy.prototxt"] {
        folder.edit(file, "layer { name: \"drop\" type: \"Dropout\" bottom: \"conv\" top: \"conv\" dropout_param { dropout_ratio: 0.1 } }", "");
    }
    folder.done(&["train", "--solver", "solver.prototxt"]);
    let weights = cnnctl::snapshot::Weights::load(&folder.path("tiny_iter_20.caffemodel")).unwrap();
    let layer = weights.layers.iter().find(|layer| layer.name == "ip").unwrap();
    let of_class = &layer.blobs[0].as_ref().unwrap().values[3 * 64..4 * 64];
    let pixels = image::open(folder.path("one.png")).unwrap().to_luma8();
    let largest =
        |value: &dyn Fn(usize) -> f32| (0..64).max_by(|&a, &b| value(a).total_cmp(&value(b))).unwrap();
    for (method, expected) in [
        ("gradient", largest(&|i| of_class[i].abs())),
        ("hires-cam", largest(&|i| of_class[i] * f32::from(pixels.as_raw()[i]))),
    ] {
        let to = ["--scale", "0.0625", "--class", "3", "--method", method, "-o", "a.png"];
        let look = ["--model", "deploy.prototxt", "--image", "one.png"];
        folder.done(&[&["visualize", "saliency"], &WEIGHTS[..], &look, &to].concat());
        let picture = image::load_from_memory(&folder.read("a.png")).unwrap().to_rgb8();
        // The second of three panels, where a pixel is a square of 28 units, which are two pixels.
        let brightness = |i: usize| -> f32 {
            let [x, y] = [16 + 8 * 28 + 12 + i % 8 * 28 + 14, 16 + 44 + i / 8 * 28 + 14];
            picture.get_pixel(2 * x as u32, 2 * y as u32).0.iter().map(|&v| f32::from(v)).sum()
        };
        assert_eq!(largest(&brightness), expected, "{method}");
    }
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let folder = trained();
    let look = ["--model", "deploy.prototxt", "--image", "one.png", "-o", "a.png"];
    for (what, arguments, message) in [
        (
            "filters",
            &["-o", "a.png", "--layer", "cnov"][..],
            "the weights have no layer `cnov`; did you mean `conv`?",
        ),
        (
            "features",
            &[&look[..], &["--blob", "date"]].concat(),
            "the net has no blob `date`; did you mean `data`?",
        ),
        ("features", &[&look[..], &["--layer", "x"]].concat(), "the net has no layer `x`"),
        ("saliency", &[&look[..], &["--class", "10"]].concat(), "--class 10: the net has 10 classes, from 0"),
        (
            "saliency",
            &[&look[..], &["--method", "occlusion", "--window", "9"]].concat(),
            "--window 9 is larger than the net's input, 8 x 8",
        ),
        ("saliency", &[&look[..], &["--blob", "prob"]].concat(), "not 1 x C x H x W"),
    ] {
        let (status, _, err) = folder.run(&[&["visualize", what], &WEIGHTS[..], arguments].concat());
        assert!(status == 2 && err.contains(message), "{what} {arguments:?}: {status}: {err}");
    }
    assert!(!folder.path("a.png").exists());
}
