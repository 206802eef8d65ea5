//! What tests of the whole program share: a tiny net on the digits, and the binary run in a folder of its own.

pub mod damage;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Recurrent layers hand a hidden state from batch to batch.
pub const RECURRENT: &str = r#"
layer { name: "x" type: "DummyData" top: "x" top: "cont" top: "goal" dummy_data_param {
  shape { dim: 3 dim: 2 dim: 5 } shape { dim: 3 dim: 2 } shape { dim: 3 dim: 2 dim: 4 }
  data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } data_filler { type: "uniform" } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
  recurrent_param { num_output: 4 weight_filler { type: "uniform" min: -0.5 max: 0.5 } } }
layer { name: "rnn" type: "RNN" bottom: "h" bottom: "cont" top: "y"
  recurrent_param { num_output: 4 weight_filler { type: "uniform" min: -0.5 max: 0.5 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "goal" top: "loss" }
"#;

/// A folder with `net.prototxt` and `solver.prototxt`.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// With the tiny net and its solver, 20 iterations long.
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("net.prototxt", net());
        folder.write("solver.prototxt", SOLVER);
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content.as_ref()).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Replaces a part of a text file, which must be there.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = String::from_utf8(self.read(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        self.write(name, text.replacen(from, to, 1));
    }

    /// The program, to run in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnnctl"));
        command.current_dir(self.0.path()).args(arguments).env_remove("RUST_LOG");
        command
    }

    /// Runs the program; gives its exit status, stdout and stderr.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// Runs the program, which must succeed; gives stdout and stderr.
    pub fn done(&self, arguments: &[&str]) -> (String, String) {
        let (status, out, err) = self.run(arguments);
        assert_eq!(status, 0, "{arguments:?}\n{err}");
        (out, err)
    }
}

/// The path of a file of the digits.
pub fn digits(what: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/digits").join(what);
    file.display().to_string()
}

pub const IMAGES: &str = "digits-images-idx3-ubyte.gz";
pub const LABELS: &str = "digits-labels-idx1-ubyte.gz";

/// The tiny net. It shuffles and drops out, so that a resumed run has much to get wrong.
fn net() -> String {
    NET.replace("IMAGES", &digits(IMAGES)).replace("LABELS", &digits(LABELS))
}

const NET: &str = r#"name: "tiny"
layer {
  name: "digits"
  type: "Data"
  top: "data"
  top: "label"
  include { phase: TRAIN }
  data_param { source: "IMAGES" labels: "LABELS" backend: IDX batch_size: 16 shuffle: true end: 1000 }
  transform_param { scale: 0.0625 }
}
layer {
  name: "digits"
  type: "Data"
  top: "data"
  top: "label"
  include { phase: TEST }
  data_param { source: "IMAGES" labels: "LABELS" backend: IDX batch_size: 50 begin: 1000 }
  transform_param { scale: 0.0625 }
}
layer {
  name: "conv"
  type: "Convolution"
  bottom: "data"
  top: "conv"
  convolution_param {
    num_output: 4
    kernel_size: 3
    weight_filler { type: "xavier" }
  }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" dropout_param { dropout_ratio: 0.1 } }
layer {
  name: "ip"
  type: "InnerProduct"
  bottom: "conv"
  top: "ip"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } }
}
layer {
  name: "accuracy"
  type: "Accuracy"
  bottom: "ip"
  bottom: "label"
  top: "accuracy"
  include { phase: TEST }
}
layer {
  name: "loss"
  type: "SoftmaxWithLoss"
  bottom: "ip"
  bottom: "label"
  top: "loss"
}
"#;

const SOLVER: &str = r#"net: "net.prototxt"
test_iter: 2
test_interval: 10
base_lr: 0.05
lr_policy: "step"
gamma: 0.5
stepsize: 15
momentum: 0.9
average_loss: 3
display: 5
max_iter: 20
snapshot: 10
snapshot_prefix: "tiny"
random_seed: 3
"#;
