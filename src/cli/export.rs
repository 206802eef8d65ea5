//! `cnnctl export`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Done, Failure, failure::CONFIG, output, planned::PlannedArgs, state::PhaseArg, weights};
use crate::{
    config::{NetFile, proto::Phase},
    net::{Net, Params},
    report,
    snapshot::{
        self, Weights, WeightsToSave,
        onnx::{self, Onnx},
        tensors::{TensorView, named_params, write_npz, write_safetensors},
        write_whole_with,
    },
};

/// Save a trained net in the formats of other programs
///
/// onnx holds the net as it is in TEST, from its inputs to its results, with losses left out. safetensors and npz hold the
/// weights as tensors named LAYER.weight, LAYER.bias and so on; hdf5 holds them as Caffe does. Values and shapes stay as
/// they are.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The net; snapshots of cnnctl hold theirs, files of Caffe do not
    #[arg(long, value_name = "NET", required_unless_present = "weights")]
    model: Option<PathBuf>,
    /// The weights; several files are laid over each other, and without any they are as the fillers give them
    #[arg(long, value_delimiter = ',', value_parser = weights::parser(), value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    /// The format [default: by the ending of the file]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How many samples a batch of the ONNX net has, in place of what the net says; `any` leaves it open
    #[arg(long, value_name = "N|any", value_parser = batch)]
    batch: Option<Batch>,
    /// Put the weights of the ONNX net into a file beside it, FILE.data; more than 2 GB always are
    #[arg(long)]
    external_data: bool,
    #[command(flatten)]
    planned: PlannedArgs,
}

/// How many samples a batch has.
#[derive(Clone, Copy, Debug)]
enum Batch {
    Of(usize),
    Any,
}

fn batch(text: &str) -> Result<Batch, String> {
    match text.parse() {
        _ if text == "any" => Ok(Batch::Any),
        Ok(n @ 1..) => Ok(Batch::Of(n)),
        _ => Err("expected a number of samples, or `any`".into()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    /// The net and its weights; for ONNX Runtime and many others.
    Onnx,
    /// Tensors with names; for Python's safetensors.
    Safetensors,
    /// NumPy arrays with names; for numpy.load.
    Npz,
    /// Caffe's own HDF5.
    Hdf5,
}

impl Format {
    fn of(path: &Path) -> Result<Self, Failure> {
        match &output::ending(path)[..] {
            "onnx" => Ok(Self::Onnx),
            "safetensors" => Ok(Self::Safetensors),
            "npz" => Ok(Self::Npz),
            _ if snapshot::Format::of_path(path) == snapshot::Format::Hdf5 => Ok(Self::Hdf5),
            _ => {
                let message = format!(
                    "{}: the ending tells no format; name it with --format, or end in .onnx, .safetensors, .npz or .h5",
                    path.display()
                );
                Err(Failure::new(CONFIG, message))
            }
        }
    }
}

impl ExportArgs {
    pub(super) fn run(self) -> Done {
        let format = self.format.map_or_else(|| Format::of(&self.output), Ok)?;
        let (file, weights) = weights::with_net(self.model.as_deref(), &self.weights)?;
        if weights.is_empty() {
            report::info("No --weights: they are as the fillers give them");
        }
        if format == Format::Onnx {
            return self.onnx(&file, weights);
        }
        let state = self.planned.state.state_of(self.planned.phase, &file.net);
        let (net, mut params) = self.planned.plan(&file, state)?;
        weights::copy(weights, &net, &mut params, &file)?;
        match format {
            Format::Hdf5 => {
                let save = WeightsToSave { net: &net, params: &params, source: &file.net, diff: false };
                save.save(&self.output, snapshot::Format::Hdf5)?;
            }
            _ => tensors(&self.output, format, &file, &net, &params)?,
        }
        report::info(&format!("Wrote {}", self.output.display()));
        Ok(0)
    }

    /// Writes the net as ONNX.
    fn onnx(&self, file: &NetFile, weights: Vec<Weights>) -> Done {
        if let Some(PhaseArg::Train) = self.planned.phase {
            return Err(Failure::new(CONFIG, "--phase TRAIN: ONNX holds nets that are done with training"));
        }
        let state = self.planned.state.state(Phase::Test, &file.net);
        let [first, second] = match self.batch {
            Some(Batch::Of(n)) => [Some(n), None],
            Some(Batch::Any) => onnx::TRIED.map(Some),
            None => [None, None],
        };
        let mut params = Params::new();
        let net = self.planned.plan_batch(file, state.clone(), first, &mut params)?;
        weights::copy(weights, &net, &mut params, file)?;
        let of = |net: &Net, params: &Params| {
            onnx::export(net, params).map_err(|errors| Failure::nets(&errors, file))
        };
        let mut graph = of(&net, &params)?;
        if let Some(second) = second {
            let other =
                self.planned.plan_batch(file, state, Some(second), &mut params).map_err(|failure| {
                    let message = format!(
                        "--batch any: the net does not take other numbers of samples; give a number\n{}",
                        failure.message
                    );
                    Failure::new(CONFIG, message)
                })?;
            graph = graph
                .for_any_batch(&of(&other, &params)?)
                .map_err(|why| Failure::new(CONFIG, format!("--batch any: {why}; give a number")))?;
        }
        self.write(&graph, &params)
    }

    /// Writes a graph and, where it does not hold them, its weights.
    fn write(&self, graph: &Onnx, params: &Params) -> Done {
        graph.notes.iter().for_each(|note| report::info(note));
        let path = &self.output;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let data = (self.external_data || graph.is_large()).then(|| format!("{name}.data"));
        if let Some(data) = &data {
            let path = path.with_file_name(data);
            write_whole_with(&path, |out| graph.write_weights(params, out))?;
            report::info(&format!(
                "Wrote {}: the weights, which the net reads from beside it",
                path.display()
            ));
        }
        write_whole_with(path, |out| graph.write(params, data.as_deref(), out))?;
        let ((nodes, weights), [inputs, outputs]) = (graph.size(), graph.ends());
        report::info(&format!(
            "Wrote {}: {nodes} nodes, {weights} weights, from {} to {}",
            path.display(),
            inputs.join(", "),
            outputs.join(", ")
        ));
        Ok(0)
    }
}

/// Writes the parameters as named tensors.
fn tensors(path: &Path, format: Format, file: &NetFile, net: &Net, params: &Params) -> Result<(), Failure> {
    let named = named_params(net, params).map_err(|e| Failure::net(&e, Some(file)))?;
    let view = |(name, id): &(String, usize)| {
        let param = &params[*id];
        (name.clone(), &param.shape, &param.data[..])
    };
    let named: Vec<_> = named.iter().map(view).collect();
    let tensors: Vec<TensorView<'_>> =
        named.iter().map(|(name, shape, data)| TensorView { name, shape, data }).collect();
    let notes = [("net", net.name()), ("producer", concat!("cnnctl ", env!("CARGO_PKG_VERSION")))];
    write_whole_with(path, |out| match format {
        Format::Npz => write_npz(&tensors, out),
        _ => write_safetensors(&tensors, &notes, out),
    })?;
    Ok(())
}
