//! Curves of runs, as pictures and as text.

mod axis;
mod picture;
mod series;
mod text;

pub use series::Run;
pub use text::text;

use super::draw::{self, Color};

/// What stands along the lower edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Along {
    /// Iterations.
    #[default]
    Iteration,
    /// Passes over the data set.
    Epoch,
    /// The time since the run began.
    Time,
}

/// How curves are drawn.
#[derive(Clone, Debug, Default)]
pub struct PlotOptions {
    /// What stands along the lower edge.
    pub along: Along,
    /// Which quantities: `loss`, `lr`, names of outputs or parts of them; if none, the loss and what tests tell.
    pub quantities: Vec<String>,
    /// Over how many points each point of training is a mean; if `None`, over as many as make a curve that can be read.
    pub smooth: Option<usize>,
    /// Whether the scale of the quantities is logarithmic.
    pub log: bool,
    /// What stands above; if `None`, the run's name if there is one run.
    pub title: Option<String>,
}

/// Curves, before they are a picture.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    /// What stands along the lower edge.
    along: String,
    /// Names and colours of the runs, if there are several.
    runs: Vec<(String, Color)>,
    panels: Vec<Panel>,
    log: bool,
}

/// A quantity.
#[derive(Clone, Debug)]
struct Panel {
    name: String,
    curves: Vec<Curve>,
}

/// A curve.
#[derive(Clone, Debug)]
struct Curve {
    /// `train` or `test`, where runs are not told apart by colour.
    label: String,
    color: Color,
    kind: Kind,
    /// In order.
    points: Vec<[f64; 2]>,
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Single points of training, behind their means.
    Raw,
    /// Training.
    Train,
    /// Tests: with dots.
    Test,
}

impl Chart {
    /// Of runs.
    ///
    /// # Errors
    /// When no run has such a quantity, or a run does not tell what is to stand along the lower edge.
    pub fn new(runs: &[Run], options: &PlotOptions) -> Result<Self, String> {
        series::chart(runs, options)
    }

    /// As SVG.
    pub fn svg(&self) -> String {
        draw::scene_svg(&picture::scene(self))
    }

    /// As PNG, `scale` times as large as the SVG.
    ///
    /// # Errors
    /// Says why when it is too large for memory.
    pub fn png(&self, scale: f32) -> Result<Vec<u8>, String> {
        draw::scene_png(&picture::scene(self), scale)
    }
}
