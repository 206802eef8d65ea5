//! Files of nets and solvers, from disk: text and binary, good and bad, and the course's own listings.

use std::fs;
use std::path::PathBuf;

use cnnctl::config::proto::{LayerParameter, NetParameter};
use cnnctl::config::text::print;
use cnnctl::config::{ConfigError, Diagnostic, load_net, load_solver, net_from_param, net_from_text};
use prost::Message;

fn seed(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "seed", name].iter().collect()
}

fn messages(diagnostics: &[Diagnostic]) -> Vec<&str> {
    diagnostics.iter().map(|d| d.message.as_str()).collect()
}

fn layer(name: &str) -> LayerParameter {
    LayerParameter { name: Some(name.to_owned()), ..Default::default() }
}

#[test]
fn the_inside_of_a_layer_loads_letter_for_letter() {
    let inside = fs::read_to_string(seed("conv1.prototxt")).expect("the listing");
    let net = net_from_text("net.prototxt", format!("layer {{\n{inside}}}\n")).expect("a good net");
    let expected = "\
layer {
  name: \"conv1\"
  type: \"Convolution\"
  bottom: \"data\"
  top: \"conv1\"
  param {
    lr_mult: 1
    decay_mult: 1
  }
  param {
    lr_mult: 2
    decay_mult: 0
  }
  convolution_param {
    num_output: 96
    kernel_size: 7
    stride: 4
    weight_filler {
      type: \"gaussian\"
      std: 0.01
    }
    bias_filler {
      type: \"constant\"
      value: 0
    }
  }
}
";
    assert_eq!(print(&net.net), expected);
    let odd = ["CONVOLUTION", "weight_filter", "bias_filter"];
    assert_eq!(messages(&net.warnings), odd.map(|s| format!("`{s}` is not Caffe's spelling")));
}

#[test]
fn the_listings_of_2014_load_letter_for_letter() {
    let net = load_net(seed("conv1_v1.prototxt")).expect("a good net");
    let odd = ["Layers", "weight_filter", "bias_filter"];
    assert_eq!(messages(&net.warnings), odd.map(|s| format!("`{s}` is not Caffe's spelling")));
    let conv = &net.net.layer[0];
    assert_eq!((conv.name(), conv.r#type()), ("conv1", "Convolution"));
    let rates: Vec<_> = conv.param.iter().map(|p| (p.lr_mult(), p.decay_mult())).collect();
    assert_eq!(rates, [(1.0, 1.0), (2.0, 0.0)]);
    // The fields that were renamed since are found under their old names.
    let place = |field| net.locate(conv, field).map(|at| (at.line, at.column));
    assert_eq!(place("param[1].lr_mult"), Some((7, 13)));
    assert_eq!(place("param[0].decay_mult"), Some((8, 17)));
    assert_eq!(place("convolution_param.weight_filler.std"), Some((16, 12)));
    assert_eq!(place(""), Some((1, 1)));

    let net = load_net(seed("pool1_v1.prototxt")).expect("a good net");
    assert_eq!(net.net.layer[0].r#type(), "Pooling");
    assert_eq!(messages(&net.warnings), ["`Layers` is not Caffe's spelling"]);
}

#[test]
fn the_solver_listing_loads_letter_for_letter() {
    let file = load_solver(seed("solver.prototxt")).expect("a good solver");
    assert_eq!(file.warnings, []);
    assert_eq!(
        (file.solver.net(), file.solver.max_iter(), file.solver.base_lr()),
        ("trainer.prototxt", 50000, 0.001)
    );
    assert_eq!(file.locate("stepsize").map(|at| (at.line, at.column)), Some((7, 11)));
    assert_eq!(file.snapshot_prefix(), PathBuf::from("snaps/age_train"));
}

/// The first run makes the folder; a later one must look for the same names.
#[test]
fn a_snapshot_prefix_that_ends_in_a_slash_is_a_folder_before_it_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, snaps) = (folder.path().join("a.prototxt"), folder.path().join("snaps"));
    fs::write(&path, format!("net: \"n\" snapshot_prefix: \"{}/\"", snaps.display())).expect("written");
    let prefix = || load_solver(&path).expect("a solver").snapshot_prefix();
    let first = prefix();
    fs::create_dir(&snaps).expect("made");
    assert_eq!((first, prefix()), (snaps.join("a"), snaps.join("a")));
}

#[test]
fn the_content_tells_text_from_binary() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let net = NetParameter { name: Some("n".into()), layer: vec![layer("a")], ..Default::default() };
    fs::write(path("binary.prototxt"), net.encode_to_vec()).expect("written");
    fs::write(path("text.caffemodel"), print(&net)).expect("written");
    fs::write(path("empty"), "").expect("written");
    assert_eq!(load_net(path("binary.prototxt")).expect("a net").net, net);
    let text = load_net(path("text.caffemodel")).expect("a net");
    assert_eq!(print(&text.net), print(&net));
    assert!(text.locate(&text.net.layer[0], "").is_some());
    assert_eq!(load_net(path("empty")).expect("a net").net, NetParameter::default());
}

#[test]
fn a_binary_file_has_no_places_whatever_it_claims() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("net");
    let claims = LayerParameter { cnnctl_origin: Some(1), ..layer("a") };
    let net = NetParameter { layer: vec![claims], ..Default::default() };
    fs::write(&path, net.encode_to_vec()).expect("written");
    let file = load_net(&path).expect("a net");
    assert_eq!(file.net.layer[0].cnnctl_origin, None);
    let error = file.error_at(&file.net.layer[0], "top", "odd").to_string();
    assert_eq!(error, format!("error: layer `a`: odd\n--> {}", path.display()));
    let error = net_from_param(net).expect("a net").error_at(&layer("b"), "top", "odd").to_string();
    assert_eq!(error, "error: layer `b`: odd");
}

#[test]
fn files_that_are_not_there_or_no_nets_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("net");
    let missing = load_net(&path).expect_err("no such file");
    assert!(matches!(missing, ConfigError::Io { .. }), "{missing:?}");
    assert_eq!(missing.to_string(), format!("cannot read {}", path.display()));
    fs::write(&path, [0, 1, 2, 3]).expect("written");
    let garbage = load_net(&path).expect_err("no net");
    assert_eq!(garbage.to_string(), format!("{} is neither a text nor a binary net", path.display()));
    fs::write(&path, "laye { }").expect("written");
    let wrong = load_net(&path).expect_err("no net");
    let expected = "error: unknown field `laye` in a net\n --> PATH:1:1\n  |\n1 | laye { }\n  | ^^^^ did you mean `layer`?";
    assert_eq!(wrong.to_string(), expected.replace("PATH", &path.display().to_string()));
    let solver = load_solver(folder.path()).expect_err("a folder");
    assert!(matches!(solver, ConfigError::Io { .. }), "{solver:?}");
}

#[test]
fn a_text_that_is_not_utf8_is_read_with_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("net");
    fs::write(&path, b"# caf\xe9\nname: 'n'").expect("written");
    let file = load_net(&path).expect("a net");
    assert_eq!(file.net.name(), "n");
    assert_eq!(messages(&file.warnings), ["the file is not UTF-8"]);
}

#[test]
fn complaints_point_at_fields_layers_and_inputs() {
    let text =
        "input: 'data'\ninput_dim: [1, 2, 3, 4]\nlayer {\n  name: 'a'\n  bottom: 'data' bottom: 'b'\n}\n";
    let file = net_from_text("net.prototxt", text).expect("a good net");
    let [input, a] = &file.net.layer[..] else { panic!("{:?}", file.net) };
    let error = file.error_at(a, "bottom[1]", "`b` is not there").hint("did you mean `a`?".to_owned());
    let expected = "\
error: layer `a` (net.prototxt:3): `b` is not there
 --> net.prototxt:5:26
  |
5 |   bottom: 'data' bottom: 'b'
  |                          ^^^ did you mean `a`?";
    assert_eq!(error.to_string(), expected);
    let at = |layer, field| file.locate(layer, field).expect("a place").to_string();
    assert_eq!(at(a, "convolution_param.kernel_size"), "net.prototxt:3:1");
    assert_eq!(at(input, "top"), "net.prototxt:1:8");
    let error = file.error("input_dim[2]", "odd").to_string();
    assert!(error.contains("net.prototxt:2:19"), "{error}");
    assert!(file.locate(&layer("made up"), "name").is_none());
}

#[test]
fn old_forms_that_cannot_be_upgraded_are_shown_in_the_text() {
    let text = "layers {\n  type: RELU\n}\nlayer {\n  name: 'new'\n}\n";
    let error = net_from_text("net.prototxt", text).expect_err("mixed").to_string();
    assert!(error.starts_with("error: layer `new`: the net has both `layer` and `layers`"), "{error}");
    assert!(error.contains("--> net.prototxt:4:1"), "{error}");

    let text = "layers { layer { name: 'r' type: 'relu' num_output: 3 } }";
    let file = net_from_text("net.prototxt", text).expect("a good net");
    assert_eq!(
        messages(&file.warnings),
        ["layer `r`: layers of type `relu` have no `num_output`; it is left out"]
    );
    assert!(file.warnings[0].to_string().contains("net.prototxt:1:53"), "{}", file.warnings[0]);
    assert_eq!(file.upgrades, ["layers of 2013 (V0)", "`layers` of 2014 (V1)"]);

    let text = "type: 'SGD'\nsolver_type: ADAM";
    let error = cnnctl::config::solver_from_text("solver.prototxt", text).expect_err("both").to_string();
    assert!(error.contains("--> solver.prototxt:2:14"), "{error}");
}

#[test]
fn snapshots_are_named_after_the_solver_unless_it_says_how() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lenet_solver.prototxt");
    let prefix = |text: String| {
        fs::write(&path, text).expect("written");
        load_solver(&path).expect("a good solver").snapshot_prefix()
    };
    assert_eq!(prefix(String::new()), folder.path().join("lenet_solver"));
    assert_eq!(prefix("snapshot_prefix: 'a/b'".to_owned()), PathBuf::from("a/b"));
    let inside = prefix(format!("snapshot_prefix: '{}'", folder.path().display()));
    assert_eq!(inside, folder.path().join("lenet_solver"));
}
