//! `cnnctl compute-image-mean`.

use std::path::PathBuf;

use clap::Args;
use prost::Message as _;

use super::{
    Done,
    entries::{self, guess, in_parallel, source_kinds},
};
use crate::{
    data::{Location, MeanImage},
    report,
    snapshot::write_whole,
};

/// Compute the mean image of a set, and the mean value of each of its channels
#[derive(Args, Debug)]
pub struct MeanArgs {
    /// The database, or another set that --backend names
    db: PathBuf,
    /// Where to write the mean image, for mean_file of transform_param
    output: Option<PathBuf>,
    /// The kind of set [default: what the path looks like]
    #[arg(long, ignore_case = true, value_parser = source_kinds())]
    backend: Option<String>,
}

impl MeanArgs {
    pub(super) fn run(self) -> Done {
        let kind = self.backend.as_deref().unwrap_or_else(|| guess(&self.db));
        let location = Location { path: self.db.clone(), ..Location::default() };
        let source = entries::open(kind, &location)?;
        let (mut mean, name) = (MeanImage::default(), source.name());
        report::info("Starting iteration");
        for sample in in_parallel(source.len(), |i| source.read(i)) {
            sample.and_then(|sample| mean.add(&sample, &name))?;
            if mean.count().is_multiple_of(10_000) {
                report::info(&format!("Processed {} files.", mean.count()));
            }
        }
        report::info(&format!("Processed {} files.", mean.count()));
        if let Some(path) = &self.output {
            report::info(&format!("Write to {}", path.display()));
            write_whole(path, &mean.blob().encode_to_vec())?;
        }
        let channels = mean.channels();
        report::info(&format!("Number of channels: {}", channels.len()));
        for (i, value) in channels.into_iter().enumerate() {
            report::info(&format!("mean_value channel [{i}]: {}", report::general(value)));
        }
        Ok(0)
    }
}
