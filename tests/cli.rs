//! The program as its users meet it: the whole job, and what it says to bad input.

use std::io::{BufRead as _, BufReader};

use crate::common::{Folder, IMAGES, LABELS, digits};
use cnnctl::config::proto::{LayerParameter, NetParameter};
use prost::Message as _;

/// The lines of a log without time, process and name.
fn log_lines(log: &str) -> Vec<&str> {
    log.lines().filter_map(|line| line.split_once(" cnnctl] ")).map(|(_, line)| line).collect()
}

#[test]
fn a_net_is_trained_tested_timed_and_run() {
    let folder = Folder::new();
    let (out, log) = folder.done(&["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl"]);
    assert_eq!(out, "");
    let lines = log_lines(&log);
    let starts =
        ["Iteration 0, Testing net (#0)", "    Test net output #0: accuracy = ", "Iteration 0, loss = "];
    let more = ["    Train net output #0: loss = ", "Iteration 0, lr = 0.05", "Iteration 15, lr = 0.025"];
    for start in starts.iter().chain(&more).chain(&["Optimization Done.", "20 iterations in "]) {
        assert!(lines.iter().any(|l| l.starts_with(start)), "no `{start}` in\n{log}");
    }
    let metrics = String::from_utf8(folder.read("m.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = metrics.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(events.iter().filter(|e| e["event"] == "train").count(), 20);
    assert_eq!(events.iter().filter(|e| e["event"] == "test").count(), 3);
    assert!(events.last().unwrap()["outputs"]["accuracy"].as_f64().unwrap() > 0.5, "{metrics}");

    // A snapshot holds its net, whatever the file is called.
    folder.write("snap.bin", folder.read("tiny_iter_20.caffemodel"));
    let (out, log) = folder.done(&["test", "--weights", "snap.bin", "--iterations", "2", "--format", "json"]);
    let result: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(result["outputs"]["accuracy"].as_f64().unwrap() > 0.5, "{out}");
    let with_model =
        ["test", "--model", "net.prototxt", "--weights", "snap.bin", "--iterations", "2", "--format", "json"];
    assert_eq!(folder.done(&with_model).0, out);
    let lines = log_lines(&log);
    assert!(lines.iter().any(|l| l.starts_with("Batch 1, accuracy = ")), "{log}");
    assert!(lines.iter().any(|l| l.starts_with("loss = ") && l.contains(" (* 1 = ")), "{log}");

    let (out, _) = folder.done(&["time", "--model", "net.prototxt", "--iterations", "2"]);
    assert!(out.contains("conv    Convolution") && out.contains("Average Forward-Backward: "), "{out}");

    let inference =
        ["time", "--model", "net.prototxt", "--iterations", "2", "--phase", "test", "--forward-only"];
    let (out, _) = folder.done(&inference);
    assert!(
        out.contains("conv ")
            && out.contains("Average Forward pass: ")
            && !out.to_lowercase().contains("backward"),
        "{out}"
    );

    folder.done(&["run", "--model", "net.prototxt", "--weights", "snap.bin", "--output", "out.npz"]);
    assert!(folder.read("out.npz").starts_with(b"PK"));
}

#[test]
fn a_run_that_goes_on_from_a_snapshot_ends_with_the_same_bytes() {
    let (whole, parts) = (Folder::new(), Folder::new());
    whole.done(&["train", "--solver", "solver.prototxt"]);
    parts.edit("solver.prototxt", "max_iter: 20", "max_iter: 10");
    parts.done(&["train", "--solver", "solver.prototxt"]);
    parts.edit("solver.prototxt", "max_iter: 10", "max_iter: 20");
    parts.done(&["train", "--solver", "solver.prototxt", "--snapshot", "tiny_iter_10.solverstate"]);
    for file in ["tiny_iter_20.caffemodel", "tiny_iter_20.solverstate"] {
        assert!(whole.read(file) == parts.read(file), "{file} differs");
    }
}

#[test]
fn debug_info_shows_sizes_and_changes_nothing() {
    let (plain, debug) = (Folder::new(), Folder::new());
    plain.done(&["train", "--solver", "solver.prototxt"]);
    debug.edit("solver.prototxt", "max_iter: 20", "max_iter: 20 debug_info: true");
    let (_, log) = debug.done(&["train", "--solver", "solver.prototxt"]);
    let lines = log_lines(&log);
    let starts = [
        "    [Forward] Layer conv, top blob conv data: 0.",
        "    [Forward] Layer conv, param blob 1 data: 0",
        "    [Backward] Layer ip, bottom blob conv diff: 0.",
        "    [Backward] Layer conv, param blob 0 diff: 0.",
        "    [Backward] All net params (data, diff): L1 norm = (",
        "    [Update] Layer conv, param 0 data: 0.",
    ];
    for start in starts {
        assert!(lines.iter().any(|l| l.starts_with(start)), "no `{start}` in\n{log}");
    }
    let file = "tiny_iter_20.caffemodel";
    assert!(plain.read(file) == debug.read(file));
}

/// As Caffe: training passes where `display` shows the iteration, tests always.
#[test]
fn debug_info_shows_the_iterations_that_are_displayed_and_tests() {
    let (plain, folder) = (Folder::new(), Folder::new());
    plain.done(&["train", "--solver", "solver.prototxt"]);
    let lines = |display: &str| {
        folder.write("solver.prototxt", plain.read("solver.prototxt"));
        folder.edit("solver.prototxt", "display: 5", display);
        folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 20 debug_info: true");
        let (_, log) = folder.done(&["train", "--solver", "solver.prototxt"]);
        let count = |what: &str| log.lines().filter(|line| line.contains(what)).count();
        let file = "tiny_iter_20.caffemodel";
        assert!(plain.read(file) == folder.read(file), "{display}");
        ["[Forward] Layer conv, top", "[Backward] All net", "[Update] Layer conv, param 0"].map(count)
    };
    let none = lines("display: 0");
    assert!(none[0] > 0 && none[1..] == [0, 0], "{none:?}");
    assert_eq!(lines("display: 5"), [none[0] + 4, 4, 4]);
}

/// As Caffe's tutorial and many scripts have them.
#[test]
fn command_lines_for_caffe_run() {
    let folder = Folder::new();
    let train =
        ["train", "-solver=solver.prototxt", "--log_dir=log", "-logtostderr", "-minloglevel", "0", "-v=1"];
    let (_, log) = folder.done(&train);
    let note = "Left out, as Caffe's logger is not here: --log_dir, --logtostderr, --minloglevel, --v;";
    assert!(log.contains(note) && !folder.path("log").exists(), "{log}");
    let weights = " tiny_iter_20.caffemodel, tiny_iter_20.caffemodel";
    let time = ["time", "-model", "net.prototxt", "-weights", weights, "-gpu", "0", "-iterations", "1"];
    let (_, log) = folder.done(&time);
    assert!(log.contains("--weights means nothing here"), "{log}");
    let test = ["test", "-model", "net.prototxt", "-weights", weights, "-iterations", "1", "-phase", "TEST"];
    folder.done(&test);
    folder.done(&["train", "--solver", "solver.prototxt", "--weights", weights]);
}

#[test]
fn a_reader_of_the_log_that_goes_away_ends_no_run() {
    let folder = Folder::new();
    let mut command = folder.command(&["train", "--solver", "solver.prototxt"]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(folder.path("tiny_iter_20.solverstate").exists());
}

#[test]
fn digits_become_a_database_that_trains_the_same() {
    let (idx, lmdb) = (Folder::new(), Folder::new());
    let convert = ["convert", "idx", &digits(IMAGES), &digits(LABELS), "db"];
    lmdb.done(&convert);
    let (status, _, err) = lmdb.run(&convert);
    assert_eq!(status, 1);
    assert!(err.contains("cannot create `db`: "), "{err}");
    let files = format!("source: \"{}\" labels: \"{}\" backend: IDX", digits(IMAGES), digits(LABELS));
    for _ in 0..2 {
        lmdb.edit("net.prototxt", &files, "source: \"db\" backend: LMDB");
    }
    idx.done(&["train", "--solver", "solver.prototxt", "--metrics", "m"]);
    lmdb.done(&["train", "--solver", "solver.prototxt", "--metrics", "m"]);
    assert!(idx.read("m") == lmdb.read("m"));
}

#[test]
fn every_layer_type_is_listed() {
    let (out, _) = Folder::new().done(&["layers"]);
    assert_eq!(out, cnnctl::cli::layer_table());
    assert!(out.lines().any(|l| l.starts_with("| `ReLU` ") && l.contains("`relu_param`")), "{out}");
}

#[test]
fn the_readme_shows_the_table_of_layers() {
    let readme = include_str!("../README.md");
    let after = readme.split("<!-- layers -->\n").nth(1).expect("the README has the table");
    let shown = after.split("<!-- /layers -->").next().unwrap();
    assert!(shown == cnnctl::cli::layer_table(), "put what `cnnctl layers` prints between the marks");
}

#[test]
fn a_file_of_weights_without_its_net_asks_for_it() {
    let folder = Folder::new();
    folder.done(&["train", "--solver", "solver.prototxt"]);
    let mut net = NetParameter::decode(&folder.read("tiny_iter_20.caffemodel")[..]).unwrap();
    (net.cnnctl_source_net, net.cnnctl_checksum) = (None, None);
    folder.write("caffe.caffemodel", net.encode_to_vec());
    let (status, _, err) = folder.run(&["test", "--weights", "caffe.caffemodel"]);
    assert_eq!(status, 2);
    assert_eq!(
        err,
        "error: caffe.caffemodel holds no net, as files of Caffe do not: name the net with --model NET\n"
    );
    folder.done(&["test", "--model", "net.prototxt", "--weights", "caffe.caffemodel", "--iterations", "1"]);
}

/// Caffe goes on without a word.
#[test]
fn a_file_of_weights_that_holds_none_is_told() {
    let folder = Folder::new();
    let layer = LayerParameter {
        name: Some("ip".into()),
        r#type: Some("InnerProduct".into()),
        ..LayerParameter::default()
    };
    let net = NetParameter { layer: vec![layer], ..NetParameter::default() };
    folder.write("bare.caffemodel", net.encode_to_vec());
    let test =
        |weights| folder.run(&["test", "--model", "net.prototxt", "--weights", weights, "--iterations", "1"]);
    let (status, _, err) = test("bare.caffemodel");
    assert_eq!(status, 0, "{err}");
    for warning in [
        "the file of weights holds none: nothing was copied",
        "layer `ip` is not in the file of weights: it keeps its own start",
    ] {
        assert!(err.contains(warning), "{err}");
    }
    folder.write("empty.caffemodel", "");
    let (status, _, err) = test("empty.caffemodel");
    assert_eq!((status, &err[..]), (2, "error: empty.caffemodel: holds neither a net nor weights\n"));
}

/// Runs `cnnctl train` after a change to a file: the status, and the error without the log.
fn refused(file: &str, from: &str, to: &str) -> (i32, String) {
    let folder = Folder::new();
    folder.edit(file, from, to);
    let (status, _, err) = folder.run(&["train", "--solver", "solver.prototxt"]);
    let lines: Vec<&str> = err.lines().filter(|line| !line.contains(" cnnctl] ")).collect();
    (status, lines.join("\n"))
}

#[test]
fn a_missing_net_is_named_where_the_solver_names_it() {
    let wanted = "\
error: cannot read none.prototxt: No such file or directory (os error 2)
 --> solver.prototxt:1:6
  |
1 | net: \"none.prototxt\"
  |      ^^^^^^^^^^^^^^^";
    assert_eq!(refused("solver.prototxt", "net.prototxt", "none.prototxt"), (2, wanted.into()));
    let (status, _, err) = Folder::new().run(&["train", "--solver", "none"]);
    assert_eq!((status, &err[..]), (2, "error: cannot read none: No such file or directory (os error 2)\n"));
}

#[test]
fn a_typo_in_a_field_gets_a_hint() {
    let wanted = "\
error: unknown field `kernal_size` in `convolution_param`
  --> net.prototxt:27:5
   |
27 |     kernal_size: 3
   |     ^^^^^^^^^^^ did you mean `kernel_size`?";
    assert_eq!(refused("net.prototxt", "kernel_size", "kernal_size"), (2, wanted.into()));
}

#[test]
fn an_unknown_layer_type_gets_a_hint() {
    let wanted = "\
error: layer `conv` (net.prototxt:20): unknown layer type `Convulution`; did you mean `Convolution`?
  --> net.prototxt:22:9
   |
22 |   type: \"Convulution\"
   |         ^^^^^^^^^^^^^";
    assert_eq!(refused("net.prototxt", "\"Convolution\"", "\"Convulution\""), (2, wanted.into()));
}

#[test]
fn a_bottom_that_nobody_makes_gets_a_hint() {
    let wanted = "\
error: layer `conv` (net.prototxt:20): bottom `dat` is not produced by any layer above; did you mean `data`?
  --> net.prototxt:23:11
   |
23 |   bottom: \"dat\"
   |           ^^^^^";
    assert_eq!(refused("net.prototxt", "bottom: \"data\"", "bottom: \"dat\""), (2, wanted.into()));
}

#[test]
fn shapes_that_do_not_fit_are_shown() {
    let wanted = "\
error: layer `conv` (net.prototxt:20): kernel_size 30 exceeds the padded input 8 (bottoms: `data` 16 x 1 x 8 x 8)
  --> net.prototxt:27:18
   |
27 |     kernel_size: 30
   |                  ^^";
    assert_eq!(refused("net.prototxt", "kernel_size: 3", "kernel_size: 30"), (2, wanted.into()));
}

#[test]
fn a_label_out_of_range_is_bad_data() {
    let (status, error) = refused("net.prototxt", "num_output: 10", "num_output: 5");
    assert_eq!(status, 5, "{error}");
    assert!(error.starts_with("error: layer `digits`: sample `1003` of "), "{error}");
    assert!(
        error.contains(": its label is 5, but the net has 5 classes, from 0\n  --> net.prototxt:11:1\n"),
        "{error}"
    );
}

#[test]
fn data_that_cannot_be_opened_is_bad_data() {
    let (status, error) = refused("net.prototxt", IMAGES, "none.gz");
    assert_eq!(status, 5, "{error}");
    assert!(
        error.starts_with("error: layer `digits`: cannot open `") && error.contains("none.gz`: No such file")
    );
    assert!(error.contains("\n --> net.prototxt:2:1\n"), "{error}");
}

#[test]
fn a_setting_that_is_nan_is_named_before_anything_is_computed() {
    let (status, error) = refused("net.prototxt", "scale: 0.0625", "scale: nan");
    assert_eq!(status, 2, "{error}");
    assert!(error.starts_with("error: layer `digits`"), "{error}");
    assert!(error.contains("`scale` must be a number, found NaN\n --> net.prototxt:9:"), "{error}");
    assert!(error.contains("transform_param { scale: nan }\n"), "{error}");
    let (status, error) = refused("solver.prototxt", "gamma: 0.5", "gamma: -nan");
    assert_eq!(status, 2, "{error}");
    assert!(error.contains("`gamma` must be a number, found NaN\n --> solver.prototxt:6:8"), "{error}");
}

/// A snapshot of theirs would give both layers the weights of the first.
#[test]
fn two_layers_of_one_name_are_refused_unless_they_share_their_parameters() {
    let twins = |param: &str| {
        let folder = Folder::new();
        let layer = |bottom: &str, top: &str| {
            format!(
                "layer {{ name: 'twin' type: 'Scale' bottom: '{bottom}' top: '{top}' {param}\n \
                 scale_param {{ axis: 0 num_axes: 0 }} }}\n"
            )
        };
        let accuracy = "layer {\n  name: \"accuracy\"";
        folder.edit("net.prototxt", accuracy, &(layer("ip", "s1") + &layer("s1", "s2") + accuracy));
        let loss = |bottom: &str| format!("bottom: \"{bottom}\"\n  bottom: \"label\"\n  top: \"loss\"");
        folder.edit("net.prototxt", &loss("ip"), &loss("s2"));
        [
            folder.run(&["train", "--solver", "solver.prototxt"]),
            folder.run(&["run", "--model", "net.prototxt", "--output", "o.npz"]),
        ]
    };
    for (status, _, err) in twins("") {
        assert_eq!(status, 2, "{err}");
        assert!(
            err.contains("error: layer `twin`: another layer above has this name and parameters of its own"),
            "{err}"
        );
    }
    for (status, _, err) in twins("param { name: 'one' }") {
        assert_eq!(status, 0, "{err}");
    }
}

#[test]
fn databases_of_the_other_kind_are_told() {
    let folder = Folder::new();
    let convert = |backend: &str| {
        folder.done(&["convert", "idx", &digits(IMAGES), &digits(LABELS), backend, "--backend", backend])
    };
    for (made, told, wanted) in [
        ("lmdb", "", "this is no LevelDB database; say `backend: LMDB`"),
        ("leveldb", "backend: LMDB", "this is a LevelDB database; say `backend: LEVELDB`"),
    ] {
        convert(made);
        let data = format!("data_param {{ source: '{made}' {told} batch_size: 2 }}");
        folder.write("db.prototxt", format!("layer {{ name: 'd' type: 'Data' top: 'x' {data} }}"));
        let (status, _, err) = folder.run(&["time", "--model", "db.prototxt", "--iterations", "1"]);
        assert!(status == 5 && err.contains(wanted), "{status}: {err}");
    }
}

#[test]
fn a_set_without_samples_makes_no_database() {
    let folder = Folder::new();
    folder.write("empty.csv", "");
    let (status, _, err) = folder.run(&["convert", "csv", "empty.csv", "db"]);
    assert!(status == 5 && err.contains("error: `empty.csv` holds no samples"), "{status}: {err}");
    assert!(!folder.path("db").exists());
}

#[test]
fn a_net_without_layers_is_refused() {
    let folder = Folder::new();
    folder.write("net.prototxt", "# lost on a full disk\n");
    folder.write("no.caffemodel", "");
    for command in [
        &["train", "--solver", "solver.prototxt"][..],
        &["check", "net.prototxt"],
        &["summary", "--model", "net.prototxt"],
        &["time", "--model", "net.prototxt"],
    ] {
        let (status, out, err) = folder.run(command);
        let said = format!("{out}{err}");
        assert_eq!(status, 2, "{command:?}: {said}");
        assert!(said.contains("error: the net has no layers\n--> net.prototxt"), "{command:?}: {said}");
    }
}

#[test]
fn a_net_that_learns_nothing_is_told() {
    let folder = Folder::new();
    folder.edit("net.prototxt", "SoftmaxWithLoss", "Accuracy");
    folder.edit("net.prototxt", "top: \"loss\"", "top: \"share\"");
    let (_, log) = folder.done(&["train", "--solver", "solver.prototxt"]);
    assert!(log.contains("may change: nothing is learned"), "{log}");
}

#[test]
fn a_net_without_data_is_told() {
    let folder = Folder::new();
    let layer = |text: &str| format!("layer {{ {text} }}\n");
    let ip = "inner_product_param { num_output: 2 weight_filler { type: 'xavier' } }";
    let net = [
        layer(
            "name: 'in' type: 'Input' top: 'x' top: 'y' input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } }",
        ),
        layer(&format!("name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'ip' {ip}")),
        layer("name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'y' top: 'loss'"),
    ];
    folder.write("net.prototxt", net.concat());
    let (_, log) = folder.done(&["train", "--solver", "solver.prototxt"]);
    assert!(log.contains("all data layers are Inputs, which read no data: the net trains on zeros"), "{log}");
}

#[test]
fn utf_16_is_named() {
    let folder = Folder::new();
    let text = String::from_utf8(folder.read("net.prototxt")).unwrap();
    let bytes: Vec<u8> =
        "\u{feff}".chars().chain(text.chars()).flat_map(|c| (c as u16).to_le_bytes()).collect();
    folder.write("net.prototxt", bytes);
    for command in [&["train", "--solver", "solver.prototxt"][..], &["check", "net.prototxt"]] {
        let (status, out, err) = folder.run(command);
        assert_eq!(status, 2);
        let said = format!("{out}{err}");
        assert!(said.contains("error: net.prototxt is UTF-16; save it as UTF-8"), "{said}");
    }
}

#[test]
fn a_state_of_another_net_names_the_layer() {
    let folder = Folder::new();
    folder.done(&["train", "--solver", "solver.prototxt"]);
    folder.edit("net.prototxt", "num_output: 4", "num_output: 5");
    let (status, _, err) =
        folder.run(&["train", "--solver", "solver.prototxt", "--snapshot", "tiny_iter_10.solverstate"]);
    assert_eq!(status, 2, "{err}");
    let wanted = "error: tiny_iter_10.solverstate: history 0, of parameter 0 of layer `conv`, has 36 values, but 45 are \
                  needed for 5 x 1 x 3 x 3: it belongs to another net";
    assert!(err.contains(wanted), "{err}");
}

#[test]
fn more_threads_than_a_machine_can_have_are_refused() {
    let folder = Folder::new();
    for threads in ["0", "4097"] {
        let (status, _, err) = folder.run(&["layers", "--threads", threads]);
        assert!(status == 2 && err.contains("1..=4096"), "{threads}: {err}");
    }
}

#[test]
fn damaged_and_mistaken_snapshots_are_told_apart() {
    let folder = Folder::new();
    folder.done(&["train", "--solver", "solver.prototxt"]);
    let (state, weights) = ("tiny_iter_10.solverstate", "tiny_iter_10.caffemodel");
    let train =
        |snapshot: &str| folder.run(&["train", "--solver", "solver.prototxt", "--snapshot", snapshot]);
    let test = |weights: &str| folder.run(&["test", "--weights", weights]);
    let cut = |file: &str| {
        let bytes = folder.read(file);
        bytes[..bytes.len() / 2].to_vec()
    };
    folder.write("cut.solverstate", cut(state));
    folder.write("cut.caffemodel", cut(weights));
    let refusals = [
        (train("cut.solverstate"), "error: cut.solverstate: not a solver state, or a damaged one ("),
        (test("cut.caffemodel"), "error: cut.caffemodel: not a file of weights, or a damaged one: "),
        (train(weights), "error: tiny_iter_10.caffemodel: is a file of weights, not a solver state; "),
        (test(state), "error: tiny_iter_10.solverstate: is a solver state, not a file of weights; "),
        (test("net.prototxt"), "error: net.prototxt: is a text, not a file of weights; "),
    ];
    for ((status, _, err), wanted) in refusals {
        let error = err.lines().find(|l| l.starts_with("error: ")).unwrap_or_default();
        assert!(status == 2 && error.starts_with(wanted), "{status}: {err}");
    }
    // Weights that still decode, but are not those of the state.
    folder.write(weights, folder.read("tiny_iter_20.caffemodel"));
    let (status, _, err) = train(state);
    assert!(status == 2 && err.contains("not the file that was written with the solver state"), "{err}");
}

/// Command lines of Caffe's tutorials: flags with one dash, and devices.
#[test]
fn flags_are_taken_as_caffe_takes_them() {
    let folder = Folder::new();
    let (_, log) = folder.done(&["train", "-solver=solver.prototxt", "-gpu", "0,1"]);
    assert!(log.contains("--gpu is taken as CPU"), "{log}");
    let test = ["-model", "net.prototxt", "-weights", "tiny_iter_20.caffemodel", "-iterations", "2"];
    let (_, log) = folder.done(&[&["test"], &test[..], &["--gpu="]].concat());
    assert!(!log.contains("gpu"), "{log}");
    folder.done(&["time", "-model=net.prototxt", "-iterations=1", "-gpu=0"]);
}

#[test]
fn a_stage_of_the_command_line_is_the_train_nets() {
    let folder = Folder::new();
    let only = "include { phase: TEST }\n}\nlayer {\n  name: \"loss\"";
    let staged = only.replace("TEST }", "TEST } include { phase: TRAIN stage: \"watched\" min_level: 2 }");
    folder.edit("net.prototxt", only, &staged);
    let shown = |more: &[&str]| {
        let (_, log) = folder.done(&[&["train", "--solver", "solver.prototxt"], more].concat());
        log.contains("Train net output #0: accuracy")
    };
    assert!(shown(&["--stage", "other,watched", "-level=2"]));
    assert!(!shown(&["--stage", "watched"]) && !shown(&[]));
}

#[test]
fn the_mean_of_a_set_of_any_kind_is_computed() {
    let folder = Folder::new();
    let images = digits(IMAGES);
    let mean = |more: &[&str]| folder.done(&[&["compute_image_mean", &images], more].concat()).1;
    let guessed = mean(&["mean.binaryproto"]);
    assert!(guessed.contains("mean_value channel [0]: "), "{guessed}");
    assert_eq!(log_lines(&mean(&["--backend", "IDX", "mean.binaryproto"])), log_lines(&guessed));
}

/// Scripts fill in what may be nothing: Caffe takes an empty name for none.
#[test]
fn files_with_empty_names_are_none() {
    let folder = Folder::new();
    let train = ["train", "--solver", "solver.prototxt", "--weights=", "--snapshot="];
    let (_, log) = folder.done(&train);
    assert!(!log.contains("Finetuning") && !log.contains("Resuming"), "{log}");
    let (_, log) = folder.done(&["train", "-solver", "solver.prototxt", "-weights", "", "-snapshot", ""]);
    assert!(!log.contains("Finetuning"), "{log}");
    folder.done(&[
        "train",
        "--solver",
        "solver.prototxt",
        "--weights=",
        "--snapshot=tiny_iter_10.solverstate",
    ]);
    let (status, _, error) = folder.run(&["test", "--model", "net.prototxt", "--weights="]);
    assert!(status == 2 && error.contains("--weights"), "{error}");
}

#[test]
fn bad_usage_is_refused() {
    let folder = Folder::new();
    for arguments in [
        &["frain"][..],
        &["train"],
        &["train", "--solver", "s", "--snapshot", "a", "--weights", "b"],
        &["test", "--weights", "w", "--iterations", "0"],
    ] {
        let (status, _, err) = folder.run(arguments);
        assert_eq!(status, 2, "{arguments:?}");
        assert!(err.starts_with("error: "), "{err}");
    }
}
