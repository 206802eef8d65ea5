//! `cnnctl filter`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Done, output};
use crate::data::{Border, Decode, Image, Matrix};

/// Filter an image with a matrix of coefficients
///
/// Every pixel becomes V = sum(f * d) / F, cut to a whole number from 0 to 255, where f are the coefficients, d the
/// pixels under them, and F the sum of the coefficients, or 1 if that is 0. Reads JPEG, PNG, BMP and PNM; the output's
/// extension says whether to write JPEG or PNG.
#[derive(Args, Debug)]
pub struct FilterArgs {
    /// The image
    input: PathBuf,
    /// The filtered image: .png or .jpg
    output: PathBuf,
    /// blur, edge, sharpen, weighted-blur, or rows of coefficients such as "0 1 0; 1 1 1; 0 1 0"
    #[arg(long, value_name = "FILTER", value_parser = Matrix::parse, allow_hyphen_values = true)]
    kernel: Matrix,
    /// Which pixels stand beyond the edges
    #[arg(long, value_enum, default_value = "duplicate", value_name = "WHICH")]
    border: BorderArg,
    /// Turn the image grey first
    #[arg(long)]
    gray: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BorderArg {
    /// Those of the opposite edge.
    Wrap,
    /// None: pixels too near an edge stay as they are.
    Ignore,
    /// The nearest of the edge, again and again.
    Duplicate,
}

impl From<BorderArg> for Border {
    fn from(border: BorderArg) -> Self {
        match border {
            BorderArg::Wrap => Self::Wrap,
            BorderArg::Ignore => Self::Ignore,
            BorderArg::Duplicate => Self::Duplicate,
        }
    }
}

impl FilterArgs {
    pub(super) fn run(self) -> Done {
        output::check_image(&self.output)?;
        let decode = if self.gray { Decode::Gray } else { Decode::Native };
        let image = Image::read(&self.input, decode)?;
        let filtered = self.kernel.apply(&image, self.border.into());
        let bytes = filtered.file_bytes(&self.output)?;
        output::write(&self.output, &bytes)?;
        Ok(0)
    }
}
