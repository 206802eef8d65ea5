//! `cnnctl visualize`.

mod features;
mod filters;
mod look;
mod occlusion;
mod saliency;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Done, Failure, failure::FAILED, output};

/// Draw what a net has learned: its filters, what they make of an image, and where it looks
#[derive(Args, Debug)]
pub struct VisualizeArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Filters(filters::FiltersArgs),
    Features(features::FeaturesArgs),
    Saliency(saliency::SaliencyArgs),
}

impl VisualizeArgs {
    pub(super) fn run(self) -> Done {
        match self.what {
            What::Filters(args) => args.run(),
            What::Features(args) => args.run(),
            What::Saliency(args) => args.run(),
        }
    }
}

/// The picture to write.
#[derive(Args, Debug)]
struct Target {
    /// The picture to write
    #[arg(short, long, value_name = "FILE.png")]
    output: PathBuf,
}

impl Target {
    fn write(&self, png: Result<Vec<u8>, String>) -> Done {
        output::write(&self.output, &png.map_err(|e| Failure::new(FAILED, e))?)?;
        Ok(0)
    }
}
