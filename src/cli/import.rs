//! `cnnctl import`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{Done, Failure, failure::CONFIG, output, planned::PlannedArgs};
use crate::{
    config,
    data::read_npz,
    report,
    snapshot::{
        self, WeightsToSave,
        tensors::{Fit, Misfit, Tensor, read_safetensors},
    },
    tensor::Shape,
};

/// Make a file of weights for a net from tensors that another program has saved
///
/// Tensors are found by name: LAYER.weight, LAYER.bias and so on, as `cnnctl export` names them, or by number, as in
/// LAYER.0. Their shapes must be Caffe's; 16 and 64 bit numbers become 32 bit ones.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The net
    #[arg(long, value_name = "NET")]
    model: PathBuf,
    /// The tensors
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Their format [default: by the ending of the file]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The file to write: Caffe's binary format, or its HDF5 if the name ends in .h5 or .hdf5
    #[arg(short, long, value_name = "FILE.caffemodel")]
    output: PathBuf,
    /// Let parameters that find no tensor be as their fillers give them
    #[arg(long)]
    partial: bool,
    #[command(flatten)]
    planned: PlannedArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    /// Of Python's safetensors.
    Safetensors,
    /// Of numpy.savez.
    Npz,
}

impl Format {
    fn of(path: &Path) -> Result<Self, Failure> {
        match &output::ending(path)[..] {
            "safetensors" => Ok(Self::Safetensors),
            "npz" => Ok(Self::Npz),
            _ => {
                let message = format!(
                    "{}: the ending tells no format; name it with --format safetensors or --format npz",
                    path.display()
                );
                Err(Failure::new(CONFIG, message))
            }
        }
    }

    fn read(self, path: &Path) -> Result<Vec<Tensor>, Failure> {
        match self {
            Self::Safetensors => {
                let fail = |why: String| Failure::new(CONFIG, format!("{}: {why}", path.display()));
                let bytes = fs::read(path).map_err(|e| fail(e.to_string()))?;
                read_safetensors(&bytes).map_err(fail)
            }
            Self::Npz => {
                let arrays = read_npz(path).map_err(|e| Failure::chain(CONFIG, &e))?;
                let tensors = arrays.into_iter().map(|array| Tensor {
                    name: array.name,
                    shape: Shape::from(array.axes),
                    values: array.values,
                });
                Ok(tensors.collect())
            }
        }
    }
}

impl ImportArgs {
    pub(super) fn run(self) -> Done {
        let tensors = self.format.map_or_else(|| Format::of(&self.from), Ok)?.read(&self.from)?;
        let file = config::load_net(&self.model)?;
        let state = self.planned.state.state_of(self.planned.phase, &file.net);
        report::warn_all(&file.warnings);
        let (net, mut params) = self.planned.plan(&file, state)?;
        let fit = Fit::of(&net, &params, tensors);
        for name in &fit.unused {
            report::warn(&format!("no layer takes the tensor `{name}`"));
        }
        let (missing, wrong): (Vec<_>, Vec<_>) = fit.misfits.iter().partition(|m| m.found.is_none());
        let refused: Vec<&Misfit> = if self.partial { wrong } else { fit.misfits.iter().collect() };
        if !refused.is_empty() || fit.is_empty() {
            let (from, model) = (self.from.display(), self.model.display());
            let lines: String = refused.iter().map(|misfit| format!("\n  {misfit}")).collect();
            let advice = match missing.len() {
                0 => "",
                _ if self.partial => "",
                _ => "\n--partial leaves what has no tensor as the fillers give it",
            };
            let message = format!("the tensors of {from} do not fit {model}:{lines}{advice}");
            return Err(Failure::new(CONFIG, message));
        }
        for misfit in missing {
            report::warn(&format!("{misfit}: it is as its filler gives it"));
        }
        fit.copy_into(&mut params);
        WeightsToSave { net: &net, params: &params, source: &file.net, diff: false }
            .save(&self.output, snapshot::Format::of_path(&self.output))?;
        report::info(&format!("Wrote {} tensors to {}", fit.len(), self.output.display()));
        Ok(0)
    }
}
