//! Every model of `models/` builds and runs forward and backward, as it is deployed and as it is trained.
//!
//! Data sets are not at hand here, so `Input` layers with small batches stand in for the sources.

use std::{collections::BTreeSet, fs, path::Path};

use cnnctl::{
    config::{
        self,
        proto::{BlobShape, InputParameter, LayerParameter, NetParameter, Phase},
    },
    net::{Net, Options, Params},
};

/// A model and the batch that it is tried with.
struct Model {
    name: &'static str,
    /// The shape of the blob `data`, as small as the net allows.
    data: &'static [i64],
    /// The shape of the blob `label`.
    label: &'static [i64],
    /// Whether passes are run, too; the heaviest nets are only built.
    run: bool,
}

const fn model(name: &'static str, data: &'static [i64], label: &'static [i64]) -> Model {
    Model { name, data, label, run: true }
}

const MODELS: &[Model] = &[
    model("age_net", &[1, 3, 227, 227], &[1]),
    model("alexnet", &[1, 3, 227, 227], &[1]),
    model("caffenet", &[1, 3, 227, 227], &[1]),
    model("cifar10_full", &[2, 3, 32, 32], &[2]),
    model("cifar10_quick", &[2, 3, 32, 32], &[2]),
    model("digits", &[2, 1, 8, 8], &[2]),
    Model { run: false, ..model("fcn8s", &[1, 3, 33, 50], &[1, 1, 33, 50]) },
    model("gender_net", &[1, 3, 227, 227], &[1]),
    model("googlenet", &[1, 3, 224, 224], &[1]),
    model("lenet", &[2, 1, 28, 28], &[2]),
    model("local_contrast_normalization", &[2, 1, 8, 8], &[2]),
    model("locally_connected", &[2, 3, 24, 24], &[2]),
    model("lstm_classifier", &[60, 1, 8, 8], &[60]),
    model("mnist_autoencoder", &[2, 1, 28, 28], &[2]),
    model("mnist_siamese", &[4, 1, 28, 28], &[4]),
    model("mobilenet", &[1, 3, 64, 64], &[1]),
    model("ordinal_regression", &[2, 1, 8, 8], &[2]),
    model("pooling_l2_gaussian", &[2, 1, 8, 8], &[2]),
    model("resnet18", &[1, 3, 64, 64], &[1]),
    model("resnet50", &[1, 3, 64, 64], &[1]),
    model("selective_sampling", &[4, 1, 8, 8], &[4]),
    model("squeezenet", &[1, 3, 67, 67], &[1]),
    Model { run: false, ..model("vgg16", &[1, 3, 224, 224], &[1]) },
    model("vnet", &[1, 1, 16, 16, 16], &[1, 1, 16, 16, 16]),
];

#[test]
fn every_model_is_whole_and_tried() {
    let folders: BTreeSet<String> = fs::read_dir("models")
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let tried: BTreeSet<String> = MODELS.iter().map(|m| m.name.to_owned()).collect();
    assert_eq!(folders, tried, "the list in this file against the folders of models/");
    for name in &folders {
        for file in ["train_val.prototxt", "deploy.prototxt", "README.md"] {
            assert!(Path::new("models").join(name).join(file).is_file(), "models/{name}/{file} is missing");
        }
        let list = fs::read_to_string("models/README.md").unwrap();
        assert!(list.contains(&format!("]({name}/)")), "models/README.md does not list {name}");
        assert!(
            Path::new(&format!("solvers/{name}.prototxt")).is_file(),
            "solvers/{name}.prototxt is missing"
        );
    }
}

#[test]
fn every_solver_reads_and_names_a_model() {
    for entry in fs::read_dir("solvers").unwrap() {
        let path = entry.unwrap().path();
        let solver = config::load_solver(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let net = solver.solver.net();
        assert!(Path::new(net).is_file(), "{}: net {net} is missing", path.display());
    }
}

#[test]
fn deployed_nets_run() {
    for model in MODELS {
        let mut net = load(model, "deploy");
        for layer in net.layer.iter_mut().filter(|l| l.r#type() == "Input" && l.name() == "data") {
            *layer = input(layer, &[model.data]);
        }
        net.force_backward = Some(true);
        let mut options = Options::new(Phase::Test, 1);
        options.backward = true;
        options.given_diffs = outputs(&net);
        try_out(model, "deploy", &net, options, &mut Params::new());
    }
}

#[test]
fn trained_nets_run() {
    for model in MODELS {
        let mut params = Params::new();
        for phase in [Phase::Train, Phase::Test] {
            let mut net = load(model, "train_val");
            for layer in net.layer.iter_mut().filter(|l| ["Data", "HDF5Data"].contains(&l.r#type())) {
                *layer = input(layer, &[model.data, model.label]);
            }
            let mut options = Options::new(phase, 1);
            // Nets with stages take the first.
            options.state.stage =
                net.layer.iter().flat_map(|l| &l.include).flat_map(|r| &r.stage).take(1).cloned().collect();
            try_out(model, "train_val", &net, options, &mut params);
        }
    }
}

fn load(model: &Model, file: &str) -> NetParameter {
    let path = format!("models/{}/{file}.prototxt", model.name);
    config::load_net(&path).unwrap_or_else(|e| panic!("{path}: {e}")).net
}

/// An `Input` layer in the place of a source.
fn input(source: &LayerParameter, shapes: &[&[i64]]) -> LayerParameter {
    let shape = shapes.iter().take(source.top.len()).map(|dims| BlobShape { dim: dims.to_vec() }).collect();
    LayerParameter {
        name: source.name.clone(),
        r#type: Some("Input".into()),
        top: source.top.clone(),
        include: source.include.clone(),
        input_param: Some(InputParameter { shape }),
        ..LayerParameter::default()
    }
}

/// The tops that no layer reads.
fn outputs(net: &NetParameter) -> Vec<String> {
    let read: BTreeSet<&String> = net.layer.iter().flat_map(|l| &l.bottom).collect();
    net.layer.iter().flat_map(|l| &l.top).filter(|top| !read.contains(top)).cloned().collect()
}

/// Builds a net, and runs it forward and backward unless it is too heavy.
fn try_out(model: &Model, file: &str, net: &NetParameter, options: Options, params: &mut Params) {
    let what = format!("models/{}/{file}.prototxt", model.name);
    let (given, backward) = (options.given_diffs.clone(), options.backward);
    let mut built = Net::new(net, options, params).unwrap_or_else(|e| panic!("{what}: {e}"));
    if !model.run {
        return;
    }
    let sources: Vec<String> =
        net.layer.iter().filter(|l| l.r#type() == "Input").flat_map(|l| l.top.clone()).collect();
    for name in sources {
        let Some(blob) = built.blob(&name) else { continue };
        let values: Vec<f32> = (0..built.shape(blob).count())
            .map(|i| match &name[..] {
                "label" => (i % 2) as f32,
                "cont" => 1.0,
                _ => (i * 7919 % 1009) as f32 / 1009.0,
            })
            .collect();
        built.set_input(&name, &values).unwrap_or_else(|e| panic!("{what}: {e}"));
    }
    let loss = built.forward(params).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(loss.is_finite(), "{what}: loss {loss}");
    for output in built.outputs() {
        assert!(output.values.iter().all(|v| v.is_finite()), "{what}: {} is not finite", output.name);
    }
    if backward {
        let diffs: Vec<_> = given
            .iter()
            .map(|name| built.blob(name).expect("an output is a blob"))
            .map(|blob| (blob, (0..built.shape(blob).count()).map(|i| (i % 3) as f32).collect::<Vec<f32>>()))
            .collect();
        let diffs: Vec<_> = diffs.iter().map(|(blob, values)| (*blob, &values[..])).collect();
        built.backward_given(params, &diffs);
        assert!(
            params.iter().all(|p| p.diff.iter().all(|d| d.is_finite())),
            "{what}: a gradient is not finite"
        );
        if file == "train_val" {
            assert!(params.iter().any(|p| p.diff.iter().any(|&d| d != 0.0)), "{what}: nothing is learned");
        }
    }
}
