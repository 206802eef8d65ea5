//! Snapshots in both formats: the same numbers, exact resuming, and no silence about damage.

use std::collections::BTreeSet;

use crate::common::Folder;
use cnnctl::{
    config::proto::{DESCRIPTORS, NetParameter, SolverState},
    kernels::simd::Isa,
    snapshot::{Weights, decode_state},
};
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};

const HDF5: &str = "snapshot_format: HDF5";

#[test]
fn hdf5_holds_the_same_numbers_and_resumes_exactly() {
    let (proto, whole, parts) = (Folder::new(), Folder::new(), Folder::new());
    proto.done(&["train", "--solver", "solver.prototxt"]);
    whole.edit("solver.prototxt", "max_iter: 20", &format!("max_iter: 20 {HDF5}"));
    let (_, log) = whole.done(&["train", "--solver", "solver.prototxt"]);
    assert!(log.contains("Snapshotting to HDF5 file tiny_iter_20.caffemodel.h5"), "{log}");
    parts.edit("solver.prototxt", "max_iter: 20", &format!("max_iter: 10 {HDF5}"));
    parts.done(&["train", "--solver", "solver.prototxt"]);
    parts.edit("solver.prototxt", "max_iter: 10", "max_iter: 20");
    let (_, log) = parts.done(&["train", "--solver", "solver.prototxt", "--resume", "auto"]);
    assert!(
        log.contains("Resuming from ./tiny_iter_10.solverstate.h5")
            || log.contains("tiny_iter_10.solverstate.h5")
    );
    assert!(!log.contains("has changed since"), "{log}");
    for file in ["tiny_iter_20.caffemodel.h5", "tiny_iter_20.solverstate.h5"] {
        assert!(whole.read(file) == parts.read(file), "{file} differs");
    }
    // In HDF5 layers stand in the order of their names.
    let sorted = |bytes| {
        let mut weights = Weights::decode(bytes).unwrap();
        weights.layers.sort_by(|a, b| a.name.cmp(&b.name));
        weights
    };
    assert_eq!(
        sorted(proto.read("tiny_iter_20.caffemodel")),
        sorted(whole.read("tiny_iter_20.caffemodel.h5"))
    );
    let history = |bytes| decode_state(bytes).unwrap().history;
    assert_eq!(
        history(proto.read("tiny_iter_20.solverstate")),
        history(whole.read("tiny_iter_20.solverstate.h5"))
    );
    // From one format into the other.
    proto.write("tiny_iter_10.caffemodel.h5", whole.read("tiny_iter_10.caffemodel.h5"));
    proto.write("other.solverstate.h5", whole.read("tiny_iter_10.solverstate.h5"));
    let straight = proto.read("tiny_iter_20.caffemodel");
    proto.done(&["train", "--solver", "solver.prototxt", "--snapshot", "other.solverstate.h5"]);
    assert!(straight == proto.read("tiny_iter_20.caffemodel"));
    let test = |file: &str, folder: &Folder| {
        folder.done(&["test", "--weights", file, "--iterations", "2", "--format", "json"]).0
    };
    assert_eq!(test("tiny_iter_20.caffemodel", &proto), test("tiny_iter_20.caffemodel.h5", &whole));
}

/// With a policy that has to remember, and a warm-up.
#[test]
fn every_rule_resumes_exactly() {
    for (rule, settings) in [
        (
            "SGD",
            "momentum: 0.9 local_lr_auto: true local_gw_ratio: 0.02 warmup_iter: 12 warmup_start_lr: 0.01",
        ),
        ("Nesterov", "momentum: 0.9 rampup_interval: 4"),
        ("AdaGrad", "iter_size: 2"),
        ("RMSProp", "rms_decay: 0.95"),
        ("AdaDelta", "momentum: 0.9 delta: 1e-6"),
        ("Adam", "momentum: 0.9 momentum2: 0.99"),
        ("AdamW", "momentum: 0.9 weight_decay: 0.1"),
    ] {
        let (whole, parts) = (Folder::new(), Folder::new());
        for folder in [&whole, &parts] {
            folder.edit(
                "solver.prototxt",
                "momentum: 0.9",
                &format!("type: \"{rule}\" {settings} min_lr: 1e-5"),
            );
            folder.edit("solver.prototxt", "\"step\"", "\"plateau\" plateau_winsize: [3, 3, 3]");
            folder.edit("solver.prototxt", "base_lr: 0.05", "base_lr: 0.02");
            folder.edit("solver.prototxt", "stepsize: 15", "");
        }
        whole.done(&["train", "--solver", "solver.prototxt"]);
        parts.edit("solver.prototxt", "max_iter: 20", "max_iter: 10");
        parts.done(&["train", "--solver", "solver.prototxt"]);
        parts.edit("solver.prototxt", "max_iter: 10", "max_iter: 20");
        parts.done(&["train", "--solver", "solver.prototxt", "--resume", "auto"]);
        for file in ["tiny_iter_20.caffemodel", "tiny_iter_20.solverstate"] {
            assert!(whole.read(file) == parts.read(file), "{rule}: {file} differs");
        }
    }
}

/// A job that moves to a node with another processor keeps its bytes with `--isa`, and else is told.
#[test]
fn the_instruction_set_is_kept_or_told() {
    let (whole, parts) = (Folder::new(), Folder::new());
    let portable = ["train", "--isa", "portable", "--solver", "solver.prototxt"];
    whole.done(&portable);
    parts.done(&portable);
    let resume = [&portable[..], &["--snapshot", "tiny_iter_10.solverstate"]].concat();
    let (_, log) = parts.done(&resume);
    assert!(!log.contains("--isa"), "{log}");
    assert!(whole.read("tiny_iter_20.solverstate") == parts.read("tiny_iter_20.solverstate"));
    let (_, log) =
        parts.done(&["train", "--solver", "solver.prototxt", "--snapshot", "tiny_iter_10.solverstate"]);
    let told = log.contains("the instruction set by which sums are rounded (--isa) has changed since");
    assert_eq!(told, Isa::all().count() > 1, "{log}");
    let (status, _, log) = parts.run(&["train", "--isa", "mmx", "--solver", "solver.prototxt"]);
    assert!(status == 2 && log.contains("this processor has") && log.contains("portable"), "{status}: {log}");
}

#[test]
fn a_changed_run_is_told_when_it_is_resumed() {
    let folder = Folder::new();
    folder.done(&["train", "--solver", "solver.prototxt"]);
    folder.edit("solver.prototxt", "base_lr: 0.05", "base_lr: 0.04");
    folder.edit("net.prototxt", "dropout_ratio: 0.1", "dropout_ratio: 0.2");
    let resume = ["train", "--solver", "solver.prototxt", "--snapshot", "tiny_iter_10.solverstate"];
    let (_, log) = folder.done(&resume);
    for what in ["the net", "what training depends on in the solver"] {
        assert!(
            log.contains(&format!("{what} has changed since tiny_iter_10.solverstate was written")),
            "{log}"
        );
    }
    // What Caffe would have written.
    let mut state =
        <SolverState as prost::Message>::decode(&folder.read("tiny_iter_10.solverstate")[..]).unwrap();
    (state.cnnctl, state.cnnctl_checksum) = (None, None);
    folder.write("tiny_iter_10.solverstate", prost::Message::encode_to_vec(&state));
    let (_, log) = folder.done(&resume);
    for what in ["was not written by cnnctl", "the places in the data", "the seed", "shuffled epoch"] {
        assert!(log.contains(what), "{log}");
    }
}

/// A net of six weights and its solver, so that files are small enough to damage them everywhere.
fn smallest(format: &str) -> Folder {
    let folder = Folder::new();
    folder.write(
        "net.prototxt",
        r#"name: "s"
layer { name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 1 dim: 2 } shape { dim: 1 dim: 2 } data_filler { value: 1 } data_filler { value: 2 } } }
layer { name: "a/ip" type: "InnerProduct" bottom: "x" top: "p" inner_product_param {
  num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "l" type: "EuclideanLoss" bottom: "p" bottom: "y" top: "l" }
"#,
    );
    let solver = r#"net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.5 max_iter: 2 random_seed: 1
snapshot_prefix: "s" snapshot_diff: true "#;
    folder.write("solver.prototxt", format!("{solver}{format}\n"));
    folder.done(&["train", "--solver", "solver.prototxt"]);
    folder
}

/// Reads every cut of `whole`, which must be an error, and every flipped bit, which must be one too, or make no
/// difference, or be `told`.
fn damage<T: PartialEq + std::fmt::Debug>(
    whole: &[u8],
    what: &str,
    read: impl Fn(Vec<u8>) -> Result<T, String>,
    told: impl Fn(&T) -> bool,
) {
    let intact = read(whole.to_vec()).unwrap();
    assert!(!told(&intact));
    for len in 0..whole.len() {
        let cut = read(whole[..len].to_vec());
        assert!(cut.is_err(), "{what} cut to {len} of {} bytes is read", whole.len());
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << bit;
            if let Ok(other) = read(bytes) {
                assert!(
                    other == intact || told(&other),
                    "{what} with bit {bit} of byte {at} flipped is read as {other:?}"
                );
            }
        }
    }
}

#[test]
fn no_damage_passes_in_silence() {
    for (format, suffix) in [("", ""), (HDF5, ".h5")] {
        let folder = smallest(format);
        let (weights, state) =
            (format!("s_iter_2.caffemodel{suffix}"), format!("s_iter_2.solverstate{suffix}"));
        damage(&folder.read(&weights), &weights, Weights::decode, |weights| weights.changed);
        damage(&folder.read(&state), &state, decode_state, |_| false);
    }
}

#[test]
fn weights_that_another_program_has_changed_are_used_and_told() {
    let folder = smallest("");
    let mut net = <NetParameter as prost::Message>::decode(&folder.read("s_iter_2.caffemodel")[..]).unwrap();
    net.layer[1].blobs[0].data[0] += 1.0;
    folder.write("other.caffemodel", prost::Message::encode_to_vec(&net));
    let (_, log) = folder.done(&["test", "--weights", "other.caffemodel", "--iterations", "1"]);
    assert!(log.contains("the file of weights does not fit its checksum"), "{log}");
}

/// The fields that are set, with their numbers; fails on fields that the schema does not know.
fn fields(message: &DynamicMessage) -> BTreeSet<(u32, String)> {
    assert_eq!(message.unknown_fields().count(), 0, "{}", message.descriptor().name());
    for (_, value) in message.fields() {
        let list = value.as_list().unwrap_or_else(|| std::slice::from_ref(value));
        list.iter().filter_map(Value::as_message).for_each(|m| drop(fields(m)));
    }
    message.fields().map(|(field, _)| (field.number(), field.name().to_owned())).collect()
}

/// Numbers below ours are Caffe's: what it reads of a file stands in these fields and no others.
#[test]
fn snapshots_decode_field_by_field_as_the_schema_says() {
    let folder = smallest("");
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let read = |message: &str, file: &str| {
        let message = pool.get_message_by_name(&format!("caffe.{message}")).unwrap();
        DynamicMessage::decode(message, &folder.read(file)[..]).unwrap()
    };
    let of_caffe = |message: &DynamicMessage| -> Vec<(u32, String)> {
        fields(message).into_iter().filter(|(number, _)| *number < 7_700_000).collect()
    };
    let named =
        |fields: &[(u32, &str)]| fields.iter().map(|(n, name)| (*n, (*name).to_owned())).collect::<Vec<_>>();
    let state = read("SolverState", "s_iter_2.solverstate");
    let expected = [(1, "iter"), (2, "learned_net"), (3, "history"), (4, "current_step")];
    assert_eq!(of_caffe(&state), named(&expected));
    assert_eq!(state.get_field_by_name("iter").unwrap().as_i32(), Some(2));
    let net = read("NetParameter", "s_iter_2.caffemodel");
    assert_eq!(of_caffe(&net), named(&[(1, "name"), (100, "layer")]));
    let layers = net.get_field_by_name("layer").unwrap();
    let layer = layers.as_list().unwrap()[1].as_message().unwrap();
    let expected =
        [(1, "name"), (2, "type"), (3, "bottom"), (4, "top"), (7, "blobs"), (117, "inner_product_param")];
    assert_eq!(of_caffe(layer), named(&expected));
    let blobs = layer.get_field_by_name("blobs").unwrap();
    let blob = blobs.as_list().unwrap()[0].as_message().unwrap();
    assert_eq!(of_caffe(blob), named(&[(5, "data"), (6, "diff"), (7, "shape")]));
    let count = |name: &str| blob.get_field_by_name(name).unwrap().as_list().unwrap().len();
    assert_eq!((count("data"), count("diff")), (4, 4));
}

/// Files as Caffe's own code lays them out; tests/hdf5/make.py wrote them.
#[test]
fn snapshots_of_caffe_in_hdf5_are_read() {
    let made = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hdf5").join(name);
        std::fs::read(path).unwrap()
    };
    let weights = Weights::decode(made("caffe.caffemodel.h5")).unwrap();
    assert_eq!(weights.layers.len(), 1);
    let values: Vec<_> = weights.layers[0].blobs.iter().flatten().map(|b| &b.values[..]).collect();
    assert_eq!(
        (&weights.layers[0].name[..], &values[..]),
        ("ip", &[&[0.5, -1.0, 2.0, 0.25][..], &[1.0, -2.0]][..])
    );
    let state = decode_state(made("caffe.solverstate.h5")).unwrap();
    let head = state.head;
    assert_eq!((head.iter(), head.current_step(), head.learned_net()), (2, 1, "caffe.caffemodel.h5"));
    assert!(
        state.history[0].values[..] == [0.5, 0.0, -0.5, 1.0] && state.history[1].values[..] == [0.0, 3.0]
    );

    let folder = smallest(HDF5);
    folder.edit("net.prototxt", "a/ip", "ip");
    folder.edit("solver.prototxt", "max_iter: 2", "max_iter: 3");
    for name in ["caffe.caffemodel.h5", "caffe.solverstate.h5"] {
        folder.write(name, made(name));
    }
    let (_, log) =
        folder.done(&["train", "--solver", "solver.prototxt", "--snapshot", "caffe.solverstate.h5"]);
    assert!(log.contains("caffe.solverstate.h5 was not written by cnnctl"), "{log}");
    // One step by hand: y = (0.5, 0.25), d = (-1.5, -1.75), v = d / 10 + v / 2.
    let end = Weights::decode(folder.read("s_iter_3.caffemodel.h5")).unwrap();
    let bias = &end.layers[0].blobs[1].as_ref().unwrap().values;
    assert!((bias[0] - 1.15).abs() < 1e-6 && (bias[1] + 2.0 + 1.325).abs() < 1e-6, "{bias:?}");
}
