//! The messages of `cnnctl check`: each prototxt of `tests/check/` against the text beside it.
//!
//! `UPDATE_GOLDEN=1` writes the texts anew; read the difference.

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
    // A label of HDF5Data has any shape, an image's, too.
    assert_eq!(status(&["hdf5.prototxt", "--shape", "data=4,1,9,9"]), Some(0));
}

/// Errors that are alike count once against the limit, and are shown once; JSON has them all.
#[test]
fn many_alike_do_not_hide_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let net = folder.path().join("net.prototxt");
    let flag = "batch_norm_param { scale_bias: true }\n";
    let layers: Vec<String> = (0..150)
        .map(|i| format!("layer {{ name: 'n{i}' type: 'BatchNorm' bottom: 'x' top: 'n{i}'\n{flag}}}\n"))
        .collect();
    let data = "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: [2, 3] } } }\n";
    fs::write(&net, data.to_owned() + &layers.concat() + "layer { name: 'end' typ: 'ReLU' }").unwrap();
    let (status, stdout, stderr) = check(".", &[net.to_str().unwrap()]);
    assert_eq!(status, Some(2));
    assert!(stdout.contains("149 more like this, in lines 6, 9, 12, "), "{stdout}");
    assert!(
        stdout.contains("unknown field `typ`") && stdout.matches("scale_bias: true").count() == 1,
        "{stdout}"
    );
    assert!(stderr.starts_with("151 errors"), "{stderr}");
    let (_, json, _) = check(".", &[net.to_str().unwrap(), "--format", "json"]);
    assert_eq!(json.matches("\"message\"").count(), 151);
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

/// Solvers of zoos name their nets by paths of their authors' machines.
#[test]
fn a_net_that_lies_beside_its_solver_is_found_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir_all(folder.path().join("models/mine")).unwrap();
    let solver = "base_lr: 0.1 lr_policy: 'fixed' max_iter: 1 snapshot_prefix: 'x' net: ";
    let run = |net: &str| {
        write("models/mine/solver.prototxt", &format!("{solver}{net}"));
        let (status, stdout, _) = check(folder.path().to_str().unwrap(), &["models/mine/solver.prototxt"]);
        assert_eq!(status, Some(2), "{stdout}");
        stdout
    };
    let net = "layer { name: 'a' type: 'Convolutoin' bottom: 'x' top: 'a' }";
    write("models/mine/train.prototxt", net);
    let found = run("'/home/me/train.prototxt'");
    let meant = "^ `models/mine/train.prototxt` is there: is it meant?";
    assert!(found.contains("cannot read /home/me/train.prototxt") && found.contains(meant), "{found}");
    assert!(found.contains("did you mean `Convolution`?"), "{found}");

    write("models/other.prototxt", net);
    let found = run("'other.prototxt'");
    assert!(found.contains("^ `models/other.prototxt` is there: is it meant?"), "{found}");
    for nothing in ["'/home/me/none.prototxt'", "'/home/me/solver.prototxt'", "''", "'..'"] {
        assert!(!run(nothing).contains("meant"), "{nothing}");
    }
}

#[test]
fn weights_are_matched_by_name_and_shape() {
    let weights = "solver_mlp_sgd/init.caffemodel";
    let (status, stdout, _) = check("tests/golden", &["solver_mlp_sgd/net.prototxt", "--weights", weights]);
    assert_eq!(status, Some(0), "{stdout}");
    assert!(stdout.contains("2 loaded, 0 missing, 0 differ, 0 unused"), "{stdout}");

    let folder = tempfile::tempdir().unwrap();
    let net = fs::read_to_string("tests/golden/solver_mlp_sgd/net.prototxt").unwrap();
    let renamed = folder.path().join("renamed.prototxt");
    fs::write(&renamed, net.replace("name: \"ip1\"", "name: \"new\"")).unwrap();
    let (status, stdout, _) = check("tests/golden", &[renamed.to_str().unwrap(), "--weights", weights]);
    assert_eq!(status, Some(0), "{stdout}");
    assert!(stdout.contains("1 loaded, 1 missing, 0 differ, 1 unused"), "{stdout}");

    let larger = folder.path().join("larger.prototxt");
    let more = net.find("num_output: ").unwrap() + "num_output: ".len();
    fs::write(&larger, format!("{}9{}", &net[..more], &net[more..])).unwrap();
    let (status, stdout, _) = check("tests/golden", &[larger.to_str().unwrap(), "--weights", weights]);
    assert_eq!(status, Some(2), "{stdout}");
    assert!(stdout.contains("have another shape") && stdout.contains("2 differ"), "{stdout}");
}

/// HDF5 keeps shared parameters with the first layer alone.
#[test]
fn layers_that_share_all_parameters_are_not_missing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let twin = |name: &str| {
        format!(
            "layer {{ name: '{name}' type: 'InnerProduct' bottom: 'x' top: '{name}' param {{ name: 'w' }} param {{ name: 'b' }}
               inner_product_param {{ num_output: 4 }} }}\n"
        )
    };
    let input = "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 3 } } }\n";
    fs::write(at("net.prototxt"), [input.to_owned(), twin("one"), twin("two")].concat()).unwrap();
    let export = Command::new(env!("CARGO_BIN_EXE_cnnctl"))
        .args(["export", "--model", &at("net.prototxt"), "-o", &at("w.h5")])
        .status();
    assert!(export.unwrap().success());
    let (status, stdout, _) = check(".", &[&at("net.prototxt"), "--weights", &at("w.h5")]);
    assert_eq!(status, Some(0), "{stdout}");
    assert!(stdout.contains("1 loaded, 0 missing, 0 differ, 0 unused, 1 shared"), "{stdout}");
}

#[test]
fn strict_weights_refuse_what_does_not_match() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let net = |name: &str| {
        format!(
            "layer {{ name: 'data' type: 'DummyData' top: 'x' top: 'y' dummy_data_param {{
               shape {{ dim: [2, 3] }} shape {{ dim: 2 }} }} }}
             layer {{ name: '{name}' type: 'InnerProduct' bottom: 'x' top: 'ip' inner_product_param {{ num_output: 4 }} }}
             layer {{ name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'y' top: 'loss' }}"
        )
    };
    let solver =
        |net: &str| format!("net: '{net}' base_lr: 0.1 lr_policy: 'fixed' max_iter: 1 snapshot_prefix: 's'");
    write("a.prototxt", &net("a"));
    write("b.prototxt", &net("b"));
    write("train_a.prototxt", &solver("a.prototxt"));
    write("train_b.prototxt", &solver("b.prototxt"));
    let train = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_cnnctl"))
            .current_dir(folder.path())
            .args(["train", "--threads", "1", "--solver"])
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(train(&["train_a.prototxt"]).0, Some(0));
    let weights = ["--weights", "s_iter_1.caffemodel"];
    let (status, stderr) = train(&[&["train_b.prototxt"][..], &weights, &["--strict-weights"]].concat());
    assert_eq!(status, Some(2), "{stderr}");
    assert!(
        stderr.contains("no weights for `b`; weights of layers that the net does not have: `a`"),
        "{stderr}"
    );
    let (status, stderr) = train(&[&["train_a.prototxt"][..], &weights, &["--strict-weights"]].concat());
    assert_eq!(status, Some(0), "{stderr}");
    assert_eq!(train(&[&["train_b.prototxt"][..], &weights].concat()).0, Some(0));
}

#[test]
fn fix_writes_what_is_beyond_doubt_and_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let net = folder.path().join("net.prototxt");
    let path = net.to_str().unwrap();
    fs::write(
        &net,
        "# A comment stays.
layer { name: 'data' type: Input top: 'data' input_param { shape { dim: 1 dim: 3 dim: 9.0 dim: 9 } } }
layer {
  name: 'conv' type: 'CONVOLUTION' bottom: 'data' top: 'conv' # and this one
  convolution_param { num_outputs: 2 kernal_size: 3 bias_term: yes weight_filter { type: 'Xavier' } bias_filter { } }
}
layer { name: 'pool' type: 'Poolling' bottom: 'conv' top: 'pool' pooling_param { pool: max kernel_size: '2' } }
",
    )
    .unwrap();
    let (status, stdout, _) = check(".", &[path]);
    assert_eq!(status, Some(2), "{stdout}");
    let (status, stdout, stderr) = check(".", &["--fix", "--deny-warnings", path]);
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    let expected = "# A comment stays.
layer { name: 'data' type: \"Input\" top: 'data' input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer {
  name: 'conv' type: \"Convolution\" bottom: 'data' top: 'conv' # and this one
  convolution_param { num_output: 2 kernel_size: 3 bias_term: true weight_filler { type: \"xavier\" } bias_filler { } }
}
layer { name: 'pool' type: \"Pooling\" bottom: 'conv' top: 'pool' pooling_param { pool: MAX kernel_size: 2 } }
";
    assert_eq!(fs::read_to_string(&net).unwrap(), expected);
    // What is right stays as it is.
    let before = fs::metadata(&net).unwrap().modified().unwrap();
    assert_eq!(check(".", &["--fix", path]).0, Some(0));
    assert_eq!(fs::metadata(&net).unwrap().modified().unwrap(), before);
}

#[test]
fn fix_makes_no_other_word_of_one_that_may_be_right_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let net = folder.path().join("net.prototxt");
    let path = net.to_str().unwrap();
    let data =
        "layer { name: 'd' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }";
    let layers = [
        ("SELU", "", "did you mean `ELU`?"),
        ("Lstm", "", "LSTM is another"),
        ("SoftmaxWithLossOHEM", "", "R-FCN"),
        ("PSROIPooling", "", "R-FCN"),
        ("Pooling", "pooling_param { pool: L1 kernel_size: 2 }", "`pool` has no value `L1`"),
        ("Pooling", "pooling_param { kernel_size: 2 stride_d: 2 }", "did you mean `stride_h`?"),
        (
            "InnerProduct",
            "inner_product_param { num_output: 2 weight_filler { type: 'xaver' } }",
            "did you mean `xavier`?",
        ),
    ];
    for (kind, settings, hint) in layers {
        let text = format!("{data}\nlayer {{ name: 'a' type: '{kind}' bottom: 'x' top: 'y' {settings} }}\n");
        fs::write(&net, &text).unwrap();
        let (status, stdout, _) = check(".", &["--fix", path]);
        assert_eq!(status, Some(2), "{stdout}");
        assert!(stdout.contains(hint), "{stdout}");
        assert_eq!(fs::read_to_string(&net).unwrap(), text);
    }
}

#[test]
fn fix_writes_old_files_anew() {
    let folder = tempfile::tempdir().unwrap();
    let solver = folder.path().join("solver.prototxt");
    fs::write(folder.path().join("net.prototxt"), fs::read_to_string("tests/check/part.prototxt").unwrap())
        .unwrap();
    fs::write(&solver, "net: 'net.prototxt' base_lr: 0.1 lr_policy: 'Fixed' max_iter: 5 solver_type: ADAM")
        .unwrap();
    let (status, stdout, _) = check(".", &["--fix", solver.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{stdout}");
    let expected = "base_lr: 0.1\nmax_iter: 5\nlr_policy: \"fixed\"\nnet: \"net.prototxt\"\ntype: \"Adam\"\n";
    assert_eq!(fs::read_to_string(&solver).unwrap(), expected);
}

/// As in Caffe, which copies the files into each test net, too.
#[test]
fn weights_reach_layers_that_only_test_nets_have() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let ip = |name: &str, value: u32, rule: &str| {
        let filler = format!("weight_filler {{ type: 'constant' value: {value} }}");
        let settings = format!("inner_product_param {{ num_output: 2 bias_term: false {filler} }}");
        format!(
            "layer {{ name: '{name}' type: 'InnerProduct' bottom: 'x' top: '{name}' {settings} {rule} }}\n"
        )
    };
    let data = "layer { name: 'data' type: 'DummyData' top: 'x' top: 'y' dummy_data_param {
                shape { dim: [1, 6] } shape { dim: 1 } data_filler { type: 'constant' value: 1 } data_filler { } } }\n";
    let loss = "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'a' bottom: 'y' top: 'loss' }\n";
    write("w.prototxt", &[data, &ip("a", 1, ""), &ip("extra", 7, "")].concat());
    write(
        "net.prototxt",
        &[data, &ip("a", 0, ""), &ip("extra", 0, "include { phase: TEST }"), loss].concat(),
    );
    let solver = |more: &str| {
        let text =
            "net: 'net.prototxt' test_iter: 1 test_interval: 1 base_lr: 0.1 lr_policy: 'fixed' random_seed: 1
                    snapshot_prefix: 's'";
        write("solver.prototxt", &[text, more].concat());
    };
    let run = |arguments: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_cnnctl"))
            .current_dir(folder.path())
            .args(arguments.split(' '))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    assert_eq!(run("export --model w.prototxt -o w.h5").0, Some(0));
    solver(" max_iter: 1");
    let (status, log) = run("train --solver solver.prototxt --weights w.h5 --strict-weights");
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains(": extra = 42"), "{log}");
    assert!(!log.contains("Ignoring source layer"), "{log}");
    let (_, table) = run("check solver.prototxt --weights w.h5");
    assert!(table.contains("2 loaded, 0 missing, 0 differ, 0 unused"), "{table}");
    let (_, table) = run("check net.prototxt --weights w.h5");
    assert!(table.contains("2 loaded, 0 missing, 0 differ, 0 unused"), "{table}");
    // Snapshots hold the train net: the test layer's weights come from the file again.
    solver(" max_iter: 2 weights: 'w.h5'");
    let (status, log) = run("train --solver solver.prototxt --resume auto");
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("Weights of test nets from w.h5"), "{log}");
    assert!(log.contains(": extra = 42") && !log.contains(": extra = 0"), "{log}");
}
