//! `cnnctl draw`.

use std::path::PathBuf;

use clap::Args;

use super::{
    Done, Failure,
    failure::{CONFIG, FAILED},
    output,
    shape::{parse_shape, view},
    state::{PhaseArg, StateArgs},
};
use crate::{config, net::check::Sketch, report, tensor::Shape};

/// Draw a net as SVG, PNG or dot, with shapes and a colour for each kind of layer
///
/// Layers that only change the values of one above, such as ReLU, are drawn on its box. What is wrong with a net is for
/// `cnnctl check` to say; what can be drawn of it is.
#[derive(Args, Debug)]
pub struct DrawArgs {
    /// The net
    #[arg(long, value_name = "NET")]
    model: PathBuf,
    /// The pictures to write; the ending tells the format: .svg, .png or .dot
    #[arg(required = true, value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
    /// The phase [default: TRAIN for a net that trains, else TEST]
    #[arg(long, value_enum, ignore_case = true)]
    phase: Option<PhaseArg>,
    /// The shape of a data layer's blob, in place of what its data or its settings say; for example data=64,3,32,32
    #[arg(long, value_name = "BLOB=N,C,H,W", value_parser = parse_shape)]
    shape: Vec<(String, Shape)>,
    /// How many times as large the PNG is as the SVG
    #[arg(long, default_value_t = 1.5, value_name = "FACTOR")]
    scale: f32,
    #[command(flatten)]
    state: StateArgs,
}

impl DrawArgs {
    pub(super) fn run(self) -> Done {
        let file = config::load_net(&self.model)?;
        report::warn_all(&file.warnings);
        let state = self.state.state_of(self.phase, &file.net);
        let view = view(&self.shape, &file.net);
        let sketch = Sketch::new(&file.net, &state, &view, &mut Vec::new());
        let stem = self.model.file_stem().unwrap_or_default().to_string_lossy();
        let name = if file.net.name().is_empty() { &stem[..] } else { file.net.name() };
        output::check_scale(self.scale)?;
        for path in &self.pictures {
            let bytes = match &output::ending(path)[..] {
                "svg" => report::draw::svg(name, &sketch).into_bytes(),
                "png" => report::draw::png(name, &sketch, self.scale).map_err(|e| Failure::new(FAILED, e))?,
                "dot" | "gv" => report::draw::dot(name, &sketch).into_bytes(),
                _ => {
                    let message = format!("{}: a picture ends in .svg, .png or .dot", path.display());
                    return Err(Failure::new(CONFIG, message));
                }
            };
            output::write(path, &bytes)?;
        }
        Ok(0)
    }
}
