//! The same bytes on any number of threads: real nets, whose sizes cut into chunks of all kinds.

use crate::common::Folder;
use cnnctl::config::{
    self,
    proto::{BlobShape, DummyDataParameter, FillerParameter, LayerParameter},
};
use prost::Message as _;

/// The tiny net, which shuffles and drops out.
#[test]
fn a_net_with_random_parts() {
    check("tiny", 20, Folder::new);
}

#[test]
fn lenet() {
    check("lenet", 3, || model("lenet", 3, &[5, 1, 28, 28]));
}

#[test]
fn cifar10_full() {
    check("cifar10_full", 3, || model("cifar10_full", 3, &[5, 3, 32, 32]));
}

/// A net with batch normalization in each of its blocks.
#[test]
fn resnet18() {
    check("resnet18", 2, || model("resnet18", 2, &[3, 3, 33, 35]));
}

/// Trains with several numbers of threads; all that is left must be the same.
#[track_caller]
fn check(name: &str, iterations: u32, make: impl Fn() -> Folder) {
    let files = ["caffemodel", "solverstate"].map(|kind| format!("tiny_iter_{iterations}.{kind}"));
    let train = |threads: &str| {
        let folder = make();
        folder.done(&["train", "--solver", "solver.prototxt", "--metrics", "m.jsonl", "--threads", threads]);
        [folder.read(&files[0]), folder.read(&files[1]), folder.read("m.jsonl")]
    };
    let one = train("1");
    for threads in ["2", "3", "4", "8"] {
        assert!(train(threads) == one, "{name}: {threads} threads differ from 1");
    }
}

/// A model of `models/` on random data of this shape, with a solver for few iterations.
fn model(name: &str, iterations: u32, shape: &[i64]) -> Folder {
    let mut net = config::load_net(format!("models/{name}/train_val.prototxt")).unwrap().net;
    for layer in net.layer.iter_mut().filter(|l| l.r#type() == "Data") {
        *layer = random_data(layer, shape);
    }
    let folder = Folder::new();
    folder.write("net.prototxt", net.encode_to_vec());
    folder.edit("solver.prototxt", "max_iter: 20", &format!("max_iter: {iterations}"));
    folder.edit("solver.prototxt", "test_iter: 2\ntest_interval: 10", "test_iter: 1 test_interval: 2");
    folder.edit("solver.prototxt", "base_lr: 0.05", "base_lr: 0.001");
    folder
}

/// A layer in the place of `source` that gives normal images and labels that are all 1.
fn random_data(source: &LayerParameter, shape: &[i64]) -> LayerParameter {
    let filler = |kind: &str, value| FillerParameter {
        r#type: Some(kind.into()),
        value: Some(value),
        ..FillerParameter::default()
    };
    let dims = |dim: &[i64]| BlobShape { dim: dim.to_vec() };
    LayerParameter {
        name: source.name.clone(),
        r#type: Some("DummyData".into()),
        top: source.top.clone(),
        include: source.include.clone(),
        dummy_data_param: Some(DummyDataParameter {
            shape: vec![dims(shape), dims(&shape[..1])],
            data_filler: vec![filler("gaussian", 0.0), filler("constant", 1.0)],
            ..DummyDataParameter::default()
        }),
        ..LayerParameter::default()
    }
}
