//! `cnnctl extract-features`.

use std::path::{self, Path, PathBuf};

use clap::Args;

use super::{
    Done, Failure,
    failure::{CONFIG, FAILED},
    output::twice,
    weights,
};
use crate::{
    config::{
        self,
        proto::{Datum, Phase},
    },
    data::{self, DatabaseWriter},
    net::{Net, Options, Params},
    report,
    snapshot::write_whole,
};

/// Run a net on its data and save what some of its blobs hold
///
/// Databases get a Datum of floats for each sample, under keys of ten digits. An HDF5 file gets the values of all
/// samples as one dataset named as the blob, a .npy file gets them as its array; both are put together in memory.
#[derive(Args, Debug)]
pub struct ExtractArgs {
    /// The weights; several files, separated by commas, are laid over each other
    #[arg(value_delimiter = ',', value_parser = weights::parser(), num_args = 1, action = clap::ArgAction::Set, required = true)]
    weights: Vec<PathBuf>,
    /// The net, with the layers that read the data
    model: PathBuf,
    /// The blobs, separated by commas
    #[arg(value_delimiter = ',', num_args = 1, action = clap::ArgAction::Set, required = true)]
    blobs: Vec<String>,
    /// What to make, separated by commas: a database or a file for each blob
    #[arg(value_delimiter = ',', num_args = 1, action = clap::ArgAction::Set, required = true)]
    outputs: Vec<PathBuf>,
    /// How many batches to run
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    batches: u32,
    /// The kind of what to make
    #[arg(value_parser = ["hdf5", "leveldb", "lmdb", "npy"])]
    kind: String,
    /// Taken for Caffe's sake: cnnctl computes on CPUs
    #[arg(hide = true, value_parser = ["CPU", "GPU"])]
    mode: Option<String>,
    /// Taken for Caffe's sake
    #[arg(hide = true)]
    device: Option<u32>,
}

impl ExtractArgs {
    pub(super) fn run(self) -> Done {
        if self.blobs.len() != self.outputs.len() {
            let (blobs, outputs) = (self.blobs.len(), self.outputs.len());
            return Err(Failure::new(CONFIG, format!("{blobs} blobs, but {outputs} things to make")));
        }
        if let Some(twice) = twice(self.outputs.iter().map(|path| path::absolute(path).ok())) {
            let message =
                format!("{} would be made twice: each blob needs its own", self.outputs[twice].display());
            return Err(Failure::new(CONFIG, message));
        }
        let file = config::load_net(&self.model)?;
        report::warn_all(&file.warnings);
        let fail = |e| Failure::net(&e, Some(&file));
        let mut params = Params::new();
        let options = Options { keep_all: true, ..Options::new(Phase::Test, 1) };
        let mut net = Net::new(&file.net, options, &mut params).map_err(fail)?;
        weights::copy(weights::load(&self.weights)?, &net, &mut params, &file)?;
        let mut features = self.features(&net)?;
        report::info("Extracting features");
        for _ in 0..self.batches {
            net.forward(&mut params).map_err(fail)?;
            features.iter_mut().try_for_each(|feature| feature.take(&net))?;
        }
        features.into_iter().try_for_each(Feature::finish)?;
        report::info("Successfully extracted the features!");
        Ok(0)
    }

    fn features(&self, net: &Net) -> Result<Vec<Feature>, Failure> {
        if let Some(missing) = self.blobs.iter().find(|blob| net.blob(blob).is_none()) {
            let names = net.blob_names();
            let hint = config::or_did_you_mean(missing, names.iter().copied());
            return Err(Failure::new(CONFIG, format!("the net has no blob `{missing}`{hint}")));
        }
        let each = self.blobs.iter().zip(&self.outputs);
        each.map(|(blob, path)| Feature::create(blob, path, &self.kind)).collect()
    }
}

/// The values of one blob, on their way to a database or a file.
struct Feature {
    blob: String,
    path: PathBuf,
    rows: usize,
    sink: Sink,
}

enum Sink {
    Database(Box<dyn DatabaseWriter>),
    File { hdf5: bool, row: Vec<usize>, values: Vec<f32> },
}

impl Feature {
    fn create(blob: &str, path: &Path, kind: &str) -> Result<Self, Failure> {
        let file = |hdf5| Sink::File { hdf5, row: Vec::new(), values: Vec::new() };
        let sink = match kind {
            "hdf5" => file(true),
            "npy" => file(false),
            _ => Sink::Database(data::create_database(kind, path)?),
        };
        Ok(Self { blob: blob.to_owned(), path: path.to_owned(), rows: 0, sink })
    }

    /// Takes what the blob holds after a pass.
    fn take(&mut self, net: &Net) -> Result<(), Failure> {
        let Some(id) = net.blob(&self.blob) else { return Ok(()) };
        let (shape, values) = (net.shape(id), net.values(id));
        let (rows, row) = shape.split_first().map_or((1, &[][..]), |(&rows, row)| (rows, row));
        match &mut self.sink {
            Sink::Database(writer) => {
                let [c, h, w] = [0, 1, 2].map(|axis| row.get(axis).copied().unwrap_or(1) as i32);
                if row.len() > 3 {
                    let message =
                        format!("blob `{}` has shape {shape}: a Datum has at most 3 axes", self.blob);
                    return Err(Failure::new(CONFIG, message));
                }
                for (i, values) in values.chunks_exact(row.iter().product::<usize>().max(1)).enumerate() {
                    let datum = Datum {
                        channels: Some(c),
                        height: Some(h),
                        width: Some(w),
                        float_data: values.to_vec(),
                        ..Datum::default()
                    };
                    let key = format!("{:010}", self.rows + i);
                    data::put_datum(&mut **writer, &key, &datum)?;
                }
            }
            Sink::File { row: known, values: all, .. } => {
                if self.rows > 0 && known[..] != *row {
                    let message = format!("blob `{}` changes its shape: now a sample has {row:?}", self.blob);
                    return Err(Failure::new(FAILED, message));
                }
                row.clone_into(known);
                all.extend_from_slice(values);
            }
        }
        self.rows += rows;
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        match self.sink {
            Sink::Database(writer) => writer.finish()?,
            Sink::File { hdf5, row, values } => {
                let shape = [&[self.rows], &row[..]].concat();
                let bytes = match hdf5 {
                    true => data::hdf5_bytes(&self.blob, &shape, &values),
                    false => data::npy_bytes(&shape, &values),
                };
                let bytes = bytes.map_err(|e| {
                    Failure::new(FAILED, format!("cannot write {}: {e}", self.path.display()))
                })?;
                write_whole(&self.path, &bytes)?;
            }
        }
        let (rows, blob) = (self.rows, self.blob);
        report::info(&format!("Extracted features of {rows} query images for feature blob {blob}"));
        Ok(())
    }
}
