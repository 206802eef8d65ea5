//! The shapes that a layer needs and makes, and what its backward pass reads.

use crate::{config::proto::FillerParameter, tensor::Shape};

/// The shapes that a layer needs and makes.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// Shapes of the tops.
    pub tops: Vec<Shape>,
    /// The parameters, in Caffe's order of blobs.
    pub params: Vec<ParamOutline>,
    /// How many values of workspace each pass is lent; their contents are lost between passes.
    pub workspace: usize,
    /// What the backward pass reads beside the tops' diffs.
    pub reads: Reads,
    /// Whether every top is just the first bottom under another name or shape: the net then lends the bottom's
    /// memory to whoever reads the tops, and does not run the forward pass.
    pub alias: bool,
    /// Whether each bottom's diff is the top's diff: the net then gives all of them one memory, where nobody minds, and does
    /// not run the backward pass.
    pub spreads: bool,
}

impl Outline {
    /// Tops of these shapes, no parameters, no workspace; backward reads everything.
    pub fn of(tops: impl Into<Vec<Shape>>) -> Self {
        Self { tops: tops.into(), ..Self::default() }
    }

    /// Whose tops are the first bottom under other names or shapes.
    pub fn alias(mut self) -> Self {
        self.alias = true;
        self
    }

    /// Whose bottoms' diffs are the top's, if `yes`.
    pub fn spreads(mut self, yes: bool) -> Self {
        self.spreads = yes;
        self
    }

    /// With these parameters.
    pub fn params(mut self, params: Vec<ParamOutline>) -> Self {
        self.params = params;
        self
    }

    /// With so many values of workspace.
    pub fn workspace(mut self, len: usize) -> Self {
        self.workspace = len;
        self
    }

    /// Whose backward pass reads only this.
    pub fn reads(mut self, reads: Reads) -> Self {
        self.reads = reads;
        self
    }
}

/// Which data the backward pass reads; what no layer reads any more gives its memory to later blobs, and is
/// lent as an empty slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    /// The bottoms' data.
    pub bottoms: bool,
    /// The tops' data.
    pub tops: bool,
}

impl Reads {
    /// Only diffs and what the layer kept itself.
    pub const NOTHING: Self = Self { bottoms: false, tops: false };
    /// The bottoms' data.
    pub const BOTTOMS: Self = Self { bottoms: true, tops: false };
    /// The tops' data.
    pub const TOPS: Self = Self { bottoms: false, tops: true };
    /// Both.
    pub const BOTH: Self = Self { bottoms: true, tops: true };
}

impl Default for Reads {
    fn default() -> Self {
        Self::BOTH
    }
}

/// One parameter of a layer.
#[derive(Clone, Debug)]
pub struct ParamOutline {
    /// Its shape.
    pub shape: Shape,
    /// How it starts.
    pub filler: FillerParameter,
    /// Whether an update rule learns it. Running statistics are not learned: forward writes them.
    pub learned: bool,
    /// Whether a learning rate that the net gives one that is not learned is without effect, as in the forks of Caffe whose
    /// layer sets it to 0 by itself; else it is refused.
    pub ignores_rate: bool,
}

impl ParamOutline {
    /// A weight that is learned.
    pub fn learned(shape: impl Into<Shape>, filler: FillerParameter) -> Self {
        Self { shape: shape.into(), filler, learned: true, ignores_rate: false }
    }

    /// A running statistic, 0 at the start.
    pub fn state(shape: impl Into<Shape>) -> Self {
        Self { ignores_rate: false, ..Self::fixed(shape, FillerParameter::default()) }
    }

    /// A value that is not learned, whatever rate the net gives it.
    pub fn fixed(shape: impl Into<Shape>, filler: FillerParameter) -> Self {
        Self { shape: shape.into(), filler, learned: false, ignores_rate: true }
    }
}
