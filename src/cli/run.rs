//! `cnnctl run`.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use clap::Args;
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use ndarray_npy::{NpzWriter, ReadNpyError, ReadNpyExt as _, ReadableElement};

use super::{
    Done, Failure,
    failure::{CONFIG, FAILED},
    state::{PhaseArg, StateArgs},
    weights,
};
use crate::{
    config::{self, NetFile},
    net::{BlobId, Net, Options, Params},
    report,
    tensor::Shape,
};

/// Run a net on given arrays and write every blob
///
/// The output is a NumPy archive with the keys data/BLOB, param/LAYER/I and loss; after --backward also
/// diff/BLOB and param_diff/LAYER/I. An input of another shape than its Input layer's reshapes the net.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The net
    #[arg(long, value_name = "NET")]
    model: PathBuf,
    /// The phase
    #[arg(long, value_enum, ignore_case = true, default_value = "TEST")]
    phase: PhaseArg,
    #[command(flatten)]
    state: StateArgs,
    /// Weights to start from; several files are laid over each other
    #[arg(long, value_delimiter = ',', value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    /// The values of an Input layer's blob, as a .npy file
    #[arg(long, value_name = "BLOB=FILE", value_parser = named_file)]
    input: Vec<(String, PathBuf)>,
    /// How many forward passes to run
    #[arg(long, default_value_t = 1, value_name = "N")]
    passes: u32,
    /// Also run backward
    #[arg(long)]
    backward: bool,
    /// The diff of an output blob, as a .npy file; losses add their own
    #[arg(long, value_name = "BLOB=FILE", value_parser = named_file, requires = "backward")]
    top_diff: Vec<(String, PathBuf)>,
    /// The seed of fillers, dropout and the like
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where to write the arrays
    #[arg(long, value_name = "FILE.npz")]
    output: PathBuf,
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("expected BLOB=FILE")?;
    Ok((name.to_owned(), file.into()))
}

impl RunArgs {
    pub(super) fn run(self) -> Done {
        let file = config::load_net(&self.model)?;
        report::warn_all(&file.warnings);
        let (mut net, mut params) = self.build(&file)?;
        weights::copy(weights::load(&self.weights)?, &net, &mut params, &file)?;
        let mut loss = 0.0;
        for _ in 0..self.passes {
            loss = net.forward(&mut params).map_err(|e| Failure::net(&e, Some(&file)))?;
        }
        net.finish().map_err(|e| Failure::net(&e, Some(&file)))?;
        if self.backward {
            let diffs = self.top_diffs(&net)?;
            let given: Vec<(BlobId, &[f32])> = diffs.iter().map(|(id, values)| (*id, &values[..])).collect();
            net.backward_given(&mut params, &given);
        }
        self.write(&net, &params, loss)
            .map_err(|e| Failure::new(FAILED, format!("cannot write {}: {e}", self.output.display())))?;
        Ok(0)
    }

    /// The net with its inputs in place.
    fn build(&self, file: &NetFile) -> Result<(Net, Params), Failure> {
        let mut params = Params::new();
        let options = Options {
            state: self.state.state(self.phase.into(), &file.net),
            seed: self.seed,
            backward: self.backward,
            keep_all: true,
            fuse: false,
            given_diffs: self.top_diff.iter().map(|(name, _)| name.clone()).collect(),
            shard: crate::net::Shard::default(),
        };
        let fail = |e| Failure::net(&e, Some(file));
        let mut net = Net::new(&file.net, options, &mut params).map_err(fail)?;
        let inputs = (self.input.iter())
            .map(|(name, path)| Ok((name, read_npy(path)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let shapes: Vec<(&str, Shape)> =
            inputs.iter().map(|(name, array)| (&name[..], Shape::from(array.shape()))).collect();
        net.reshape(&shapes).map_err(fail)?;
        for (name, array) in inputs {
            net.set_input(name, &array.into_iter().collect::<Vec<_>>()).map_err(fail)?;
        }
        Ok((net, params))
    }

    fn top_diffs(&self, net: &Net) -> Result<Vec<(BlobId, Vec<f32>)>, Failure> {
        let mut diffs = Vec::new();
        for (name, path) in &self.top_diff {
            let id = net
                .blob(name)
                .ok_or_else(|| Failure::new(CONFIG, format!("--top-diff: no blob `{name}`")))?;
            let array = read_npy(path)?;
            if array.len() != net.shape(id).count() {
                let (found, want) = (Shape::from(array.shape()), net.shape(id));
                let message =
                    format!("--top-diff: blob `{name}` has shape {want}, but {} has {found}", path.display());
                return Err(Failure::new(CONFIG, message));
            }
            diffs.push((id, array.into_iter().collect()));
        }
        Ok(diffs)
    }

    fn write(&self, net: &Net, params: &Params, loss: f32) -> Result<(), Box<dyn std::error::Error>> {
        let mut npz = NpzWriter::new_compressed(File::create(&self.output)?);
        let mut add =
            |key: String, shape: &Shape, values: &[f32]| -> Result<(), Box<dyn std::error::Error>> {
                npz.add_array(key, &ArrayViewD::from_shape(IxDyn(shape), values)?)?;
                Ok(())
            };
        for name in net.blob_names() {
            let Some(id) = net.blob(name) else { continue };
            add(format!("data/{name}"), net.shape(id), net.values(id))?;
            if let Some(diff) = net.diff(name) {
                add(format!("diff/{name}"), net.shape(id), diff)?;
            }
        }
        for layer in net.layers() {
            for (i, &id) in layer.params.iter().enumerate() {
                let (name, param) = (layer.config.name(), &params[id]);
                add(format!("param/{name}/{i}"), &param.shape, &param.data)?;
                if self.backward {
                    // A frozen parameter or a running statistic has no diff: Caffe shows zeros.
                    let zeros = if param.diff.is_empty() { vec![0.0; param.data.len()] } else { Vec::new() };
                    let diff = if param.diff.is_empty() { &zeros } else { &param.diff[..] };
                    add(format!("param_diff/{name}/{i}"), &param.shape, diff)?;
                }
            }
        }
        add("loss".into(), &Shape::default(), &[loss])?;
        npz.finish()?;
        Ok(())
    }
}

/// Reads an array of any of NumPy's usual number types.
fn read_npy(path: &Path) -> Result<ArrayD<f32>, Failure> {
    let wrong =
        |e: &dyn std::fmt::Display| Failure::new(CONFIG, format!("cannot read {}: {e}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| wrong(&e))?;
    let result = read_as::<f32>(&bytes, |v| v)
        .or_else(|_| read_as::<f64>(&bytes, |v| v as f32))
        .or_else(|_| read_as::<i64>(&bytes, |v| v as f32))
        .or_else(|_| read_as::<i32>(&bytes, |v| v as f32))
        .or_else(|_| read_as::<u8>(&bytes, f32::from));
    result.map_err(|_| match read_as::<f32>(&bytes, |v| v) {
        Err(e) => wrong(&format!("{e}; expected an array of float32, float64, int64, int32 or uint8")),
        Ok(_) => wrong(&"it changed while it was read"),
    })
}

fn read_as<T: ReadableElement + Copy>(
    bytes: &[u8],
    to: impl Fn(T) -> f32,
) -> Result<ArrayD<f32>, ReadNpyError> {
    Ok(ArrayD::<T>::read_npy(bytes)?.mapv(to))
}
