//! `export` and `import` as commands: what they write, what they say, and how they end.

use std::{fs, fs::File, os::unix::fs::PermissionsExt as _, path::Path};

use crate::common::Folder;
use cnnctl::snapshot::{
    Weights,
    tensors::{ROLES, read_safetensors},
};
use ndarray::ArrayD;
use ndarray_npy::{NpzReader, NpzWriter};

/// A folder with `tiny.caffemodel`, trained a little, which holds its net.
fn trained() -> Folder {
    let folder = Folder::new();
    folder.edit("solver.prototxt", "max_iter: 20", "max_iter: 2");
    folder.done(&["train", "--solver", "solver.prototxt"]);
    folder.write("tiny.caffemodel", folder.read("tiny_iter_2.caffemodel"));
    folder
}

/// Runs the program, which must fail; gives its log.
fn refusal(folder: &Folder, status: i32, arguments: &[&str]) -> String {
    let (found, _, log) = folder.run(arguments);
    assert_eq!(found, status, "{arguments:?}\n{log}");
    log
}

#[test]
fn weights_come_back_in_the_same_bits() {
    let folder = trained();
    let original = folder.read("tiny.caffemodel");
    for file in ["w.safetensors", "w.npz", "w.caffemodel.h5"] {
        folder.done(&["export", "--weights", "tiny.caffemodel", "-o", file]);
        // As other files are: for all to read.
        assert_eq!(folder.path(file).metadata().unwrap().permissions().mode() & 0o444, 0o444, "{file}");
        let back = if file.ends_with("h5") { file } else { "back.caffemodel" };
        if back != file {
            folder.done(&["import", "--model", "net.prototxt", "--from", file, "-o", back]);
        }
        let mut found = Weights::decode(folder.read(back)).unwrap().layers;
        let mut want = Weights::decode(original.clone()).unwrap().layers;
        want.sort_by(|a, b| a.name.cmp(&b.name));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let bits = |layers: &[cnnctl::snapshot::LayerBlobs]| -> Vec<_> {
            let blobs = layers.iter().flat_map(|l| l.blobs.iter().flatten().map(move |b| (&l.name, b)));
            blobs
                .map(|(name, b)| {
                    (name.clone(), b.shape.clone(), b.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
                })
                .collect()
        };
        assert_eq!(bits(&found), bits(&want), "{file}");
    }
    folder.done(&["import", "--model", "net.prototxt", "--from", "w.npz", "-o", "back.hdf5"]);
    assert!(folder.read("back.hdf5").starts_with(b"\x89HDF"), "not HDF5, as `export -o` makes it");
    let (out, _) =
        folder.done(&["test", "--weights", "back.caffemodel", "--iterations", "1", "--format", "json"]);
    let (before, _) =
        folder.done(&["test", "--weights", "tiny.caffemodel", "--iterations", "1", "--format", "json"]);
    assert_eq!(out, before);
}

#[test]
fn tensors_have_the_names_that_python_expects() {
    let folder = trained();
    folder.done(&["export", "--weights", "tiny.caffemodel", "--format", "safetensors", "--output", "w"]);
    let tensors = read_safetensors(&folder.read("w")).unwrap();
    let named: Vec<String> = tensors.iter().map(|t| format!("{} {}", t.name, t.shape)).collect();
    assert_eq!(named, ["conv.bias 4", "conv.weight 4 x 1 x 3 x 3", "ip.bias 10", "ip.weight 10 x 144"]);
    folder.done(&["export", "--weights", "tiny.caffemodel", "-o", "w.npz"]);
    let mut npz = NpzReader::new(File::open(folder.path("w.npz")).unwrap()).unwrap();
    assert_eq!(npz.names().unwrap(), ["conv.weight", "conv.bias", "ip.weight", "ip.bias"]);
    let weight: ArrayD<f32> = npz.by_name("conv.weight").unwrap();
    assert_eq!(weight.shape(), [4, 1, 3, 3]);
    assert_eq!(weight.iter().copied().collect::<Vec<_>>(), tensors[1].values);
}

#[test]
fn import_tells_what_does_not_fit() {
    let folder = trained();
    folder.done(&["export", "--weights", "tiny.caffemodel", "-o", "w.npz"]);
    let mut npz = NpzReader::new(File::open(folder.path("w.npz")).unwrap()).unwrap();
    let mut odd = NpzWriter::new_compressed(File::create(folder.path("odd.npz")).unwrap());
    let weight: ArrayD<f32> = npz.by_name("ip.weight").unwrap();
    odd.add_array("ip.weight", &weight.t()).unwrap();
    let bias: ArrayD<f32> = npz.by_name("ip.bias").unwrap();
    odd.add_array("ip.bais", &bias.mapv(f64::from)).unwrap();
    odd.add_array(
        "conv.weight",
        &npz.by_name::<ndarray::OwnedRepr<f32>, ndarray::IxDyn>("conv.weight").unwrap(),
    )
    .unwrap();
    odd.finish().unwrap();
    let import = ["import", "--model", "net.prototxt", "--from", "odd.npz", "-o", "back.caffemodel"];
    let log = refusal(&folder, 2, &import);
    for part in [
        "no layer takes the tensor `ip.bais`",
        "error: the tensors of odd.npz do not fit net.prototxt:",
        "layer `conv`: no tensor `conv.bias`, whose shape would be 4",
        "layer `ip`: tensor `ip.weight` has shape 144 x 10, expected 10 x 144; transpose it",
        "layer `ip`: no tensor `ip.bias`, whose shape would be 10; did you mean `ip.bais`?",
        "--partial leaves what has no tensor as the fillers give it",
    ] {
        assert!(log.contains(part), "{part}\n{log}");
    }
    assert!(!folder.path("back.caffemodel").exists());
    let partial = [&import[..], &["--partial"]].concat();
    let log = refusal(&folder, 2, &partial);
    assert!(log.contains("144 x 10") && !log.contains("no tensor"), "{log}");
    let mut part = NpzWriter::new(File::create(folder.path("odd.npz")).unwrap());
    part.add_array("ip.bias", &bias).unwrap();
    part.finish().unwrap();
    let (_, log) = folder.done(&partial);
    assert!(log.contains("no tensor `ip.weight`") && log.contains("Wrote 1 tensors"), "{log}");
}

#[test]
fn what_cannot_be_read_or_guessed_is_refused() {
    let folder = trained();
    let log = refusal(&folder, 2, &["export", "--weights", "tiny.caffemodel", "-o", "w.bin"]);
    assert!(log.contains("w.bin: the ending tells no format; name it with --format"), "{log}");
    let log = refusal(&folder, 2, &["export", "-o", "w.npz"]);
    assert!(log.contains("--model"), "{log}");
    folder.write("bad.safetensors", "{}");
    let import = ["import", "--model", "net.prototxt", "-o", "x.caffemodel", "--from"];
    let log = refusal(&folder, 2, &[&import[..], &["bad.safetensors"]].concat());
    assert!(log.contains("bad.safetensors: not a safetensors file, or a damaged one"), "{log}");
    let log = refusal(&folder, 2, &[&import[..], &["none.npz"]].concat());
    assert!(log.contains("cannot open `none.npz`"), "{log}");
    let log = refusal(&folder, 2, &[&import[..], &["tiny.caffemodel"]].concat());
    assert!(log.contains("--format safetensors or --format npz"), "{log}");
}

#[test]
fn a_net_becomes_onnx() {
    let folder = trained();
    let (_, log) =
        folder.done(&["export", "--weights", "tiny.caffemodel", "--batch", "1", "-o", "tiny.onnx"]);
    for part in [
        "layer `accuracy` (Accuracy) is left out",
        "layer `loss` (SoftmaxWithLoss) is left out",
        "layer `digits`: what it does to its samples (times 0.0625) is not in the graph: feed `data` accordingly",
        "Wrote tiny.onnx: 4 nodes, 4 weights, from data to ip",
    ] {
        assert!(log.contains(part), "{part}\n{log}");
    }
    let whole = folder.read("tiny.onnx");
    folder.done(&["export", "--weights", "tiny.caffemodel", "--external-data", "-o", "tiny.onnx"]);
    let (graph, beside) = (folder.read("tiny.onnx"), folder.read("tiny.onnx.data"));
    assert!(graph.len() < whole.len() && beside.len() == 4 * 10 * 144, "{} {}", graph.len(), beside.len());
    let log =
        refusal(&folder, 2, &["export", "--weights", "tiny.caffemodel", "--phase", "train", "-o", "t.onnx"]);
    assert!(log.contains("ONNX holds nets that are done with training"), "{log}");
}

/// Each layer that cannot be said is shown at its place.
#[test]
fn layers_that_onnx_lacks_are_shown() {
    let folder = Folder::new();
    folder.write(
        "odd.prototxt",
        "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: [1, 1, 3, 3, 3, 3] } } }
layer { name: 'p' type: 'Pooling' bottom: 'x' top: 'p' pooling_param { kernel_size: 2 } }
layer { name: 'q' type: 'Pooling' bottom: 'p' top: 'q' pooling_param { kernel_size: 2 } }",
    );
    let log = refusal(&folder, 2, &["export", "--model", "odd.prototxt", "-o", "odd.onnx"]);
    for part in
        ["odd.prototxt:2", "odd.prototxt:3", "has windows of 4 axes: programs that read ONNX take at most 3"]
    {
        assert!(log.contains(part), "{part}\n{log}");
    }
    assert!(!folder.path("odd.onnx").exists());
}

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md")).unwrap()
}

#[test]
fn the_documentation_names_all_roles() {
    let text = document();
    for (kind, roles) in ROLES {
        let row = text.lines().find(|line| line.starts_with("| `") && line.contains(&format!("`{kind}`")));
        let row = row.unwrap_or_else(|| panic!("no row of {kind}"));
        assert!(roles.iter().all(|role| row.contains(&format!("`{role}`"))), "{kind}: {row}");
    }
}

/// What Python makes in between is made here by a copy.
#[test]
fn the_commands_of_the_documentation_work() {
    let folder = Folder::new();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    std::os::unix::fs::symlink(models, folder.path("models")).unwrap();
    let text = document();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut ran = 0;
    for line in blocks.flat_map(str::lines) {
        if line.contains("centred.safetensors") {
            folder.write("centred.safetensors", folder.read("lenet.safetensors"));
        }
        let arguments: Vec<&str> = line.strip_prefix("cnnctl ").unwrap().split(' ').collect();
        folder.done(&arguments);
        ran += 1;
    }
    assert!(ran >= 6, "{ran}");
}
