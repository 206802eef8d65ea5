//! `cnnctl export`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{
    Done, Failure,
    failure::CONFIG,
    planned::{PlannedArgs, load_weights, net_of},
};
use crate::{
    config::NetFile,
    net::{Net, Params},
    report,
    snapshot::{
        self, WeightsToSave,
        tensors::{TensorView, named_params, write_npz, write_safetensors},
        write_whole_with,
    },
};

/// Save a trained net in the formats of other programs
///
/// safetensors and npz hold the weights as tensors named LAYER.weight, LAYER.bias and so on; hdf5 holds them as Caffe
/// does. Values and shapes stay as they are.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The net; snapshots of cnnctl hold theirs, files of Caffe do not
    #[arg(long, value_name = "NET", required_unless_present = "weights")]
    model: Option<PathBuf>,
    /// The weights; several files are laid over each other, and without any they are as the fillers give them
    #[arg(long, value_delimiter = ',', value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    /// The format [default: by the ending of the file]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    planned: PlannedArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    /// Tensors with names; for Python's safetensors.
    Safetensors,
    /// NumPy arrays with names; for numpy.load.
    Npz,
    /// Caffe's own HDF5.
    Hdf5,
}

impl Format {
    fn of(path: &Path) -> Result<Self, Failure> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        match &ending[..] {
            "safetensors" => Ok(Self::Safetensors),
            "npz" => Ok(Self::Npz),
            "h5" | "hdf5" => Ok(Self::Hdf5),
            _ => {
                let message = format!(
                    "{}: the ending tells no format; name it with --format, or end in .safetensors, .npz or .h5",
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
        let weights = load_weights(&self.weights)?;
        let file = net_of(self.model.as_deref(), &weights)?;
        let state = self.planned.state.state_of(self.planned.phase, &file.net);
        let (net, mut params) = self.planned.plan(&file, state, None)?;
        for (_, weights) in &weights {
            let copied = weights.copy_into(&net, &mut params);
            report::copied(&copied.map_err(|e| Failure::net(&e, Some(&file)))?);
        }
        if weights.is_empty() {
            report::info("No --weights: they are as the fillers give them");
        }
        match format {
            Format::Hdf5 => {
                let save = WeightsToSave { net: &net, params: &params, source: &file.net, diff: false };
                save.save(&self.output, snapshot::Format::Hdf5)?;
            }
            Format::Safetensors | Format::Npz => tensors(&self.output, format, &file, &net, &params)?,
        }
        report::info(&format!("Wrote {}", self.output.display()));
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
