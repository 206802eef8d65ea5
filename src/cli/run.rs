//! `cnnctl run`.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    Done, Failure,
    failure::CONFIG,
    output::twice,
    state::{PhaseArg, StateArgs},
    weights,
};
use crate::{
    config::{self, NetFile},
    data,
    net::{BlobId, Net, Options, Params},
    report,
    snapshot::{
        tensors::{TensorView, write_npz},
        write_whole_with,
    },
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
    #[arg(long, value_delimiter = ',', value_parser = weights::parser(), value_name = "FILE,...")]
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
        for (flag, given) in [("--input", &self.input), ("--top-diff", &self.top_diff)] {
            if let Some(i) = twice(given.iter().map(|(blob, _)| blob)) {
                let message = format!("{flag} gives blob `{}` twice", given[i].0);
                return Err(Failure::new(CONFIG, message));
            }
        }
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
        self.write(&net, &params, loss)?;
        report::info(&format!("Wrote {}", self.output.display()));
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
        net.refuse_twins().map_err(fail)?;
        let inputs = (self.input.iter())
            .map(|(name, path)| Ok((name, read_npy(path)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let shapes: Vec<(&str, Shape)> =
            inputs.iter().map(|(name, (shape, _))| (&name[..], shape.clone())).collect();
        net.reshape(&shapes).map_err(fail)?;
        for (name, (_, values)) in inputs {
            net.set_input(name, &values).map_err(fail)?;
        }
        Ok((net, params))
    }

    fn top_diffs(&self, net: &Net) -> Result<Vec<(BlobId, Vec<f32>)>, Failure> {
        let mut diffs = Vec::new();
        for (name, path) in &self.top_diff {
            let id = net
                .blob(name)
                .ok_or_else(|| Failure::new(CONFIG, format!("--top-diff: no blob `{name}`")))?;
            let ((found, values), want) = (read_npy(path)?, net.shape(id));
            if values.len() != want.count() {
                let message =
                    format!("--top-diff: blob `{name}` has shape {want}, but {} has {found}", path.display());
                return Err(Failure::new(CONFIG, message));
            }
            diffs.push((id, values));
        }
        Ok(diffs)
    }

    fn write(&self, net: &Net, params: &Params, loss: f32) -> Result<(), Failure> {
        let mut arrays: Vec<(String, &Shape, &[f32])> = Vec::new();
        for name in net.blob_names() {
            let Some(id) = net.blob(name) else { continue };
            arrays.push((format!("data/{name}"), net.shape(id), net.values(id)));
            arrays.extend(net.diff(name).map(|diff| (format!("diff/{name}"), net.shape(id), diff)));
        }
        let of_layers = || net.layers().flat_map(|layer| layer.params.iter().map(move |&id| &params[id]));
        // A frozen parameter or a running statistic has no diff: Caffe shows zeros.
        let zeros = vec![0.0; of_layers().map(|p| p.data.len()).max().unwrap_or(0)];
        let mut named = HashSet::new();
        for layer in net.layers().filter(|layer| !layer.params.is_empty()) {
            if !named.insert(layer.config.name()) {
                // Another with the same parameters.
                continue;
            }
            for (i, &id) in layer.params.iter().enumerate() {
                let (name, param) = (layer.config.name(), &params[id]);
                // One that is shared with PERMISSIVE has a shape of its own in each layer.
                let shape = &layer.outline.params[i].shape;
                arrays.push((format!("param/{name}/{i}"), shape, &param.data));
                if self.backward {
                    let diff = if param.diff.is_empty() { &zeros[..param.data.len()] } else { &param.diff };
                    arrays.push((format!("param_diff/{name}/{i}"), shape, diff));
                }
            }
        }
        let (single, loss) = (Shape::default(), [loss]);
        arrays.push(("loss".into(), &single, &loss));
        let views: Vec<TensorView<'_>> =
            arrays.iter().map(|(name, shape, data)| TensorView { name, shape, data }).collect();
        write_whole_with(&self.output, |out| write_npz(&views, out))?;
        Ok(())
    }
}

fn read_npy(path: &Path) -> Result<(Shape, Vec<f32>), Failure> {
    let (axes, values) = data::read_npy(path).map_err(|e| Failure::chain(CONFIG, &e))?;
    Ok((axes.into(), values))
}
