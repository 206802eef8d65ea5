//! `export` and `import` as commands: what they write, what they say, and how they end.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{fs::File, os::unix::fs::PermissionsExt as _};

use cnnctl::snapshot::{Weights, tensors::read_safetensors};
use common::Folder;
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
