//! Layers: one file per type, named as the prototxt names it, and one row in [`LAYERS`].
//!
//! A layer is arithmetic with settings. It is built from its `LayerParameter` (where bad settings are refused),
//! told the shapes of its bottoms by [`Layer::outline`] (where shapes that do not fit are refused), and then only
//! lent slices: it owns no blob, and knows neither its neighbours nor the solver.

mod activation;
mod axes;
mod batches;
mod error;
pub mod filler;
#[cfg(test)]
pub(crate) mod gradient_check;
mod labels;
mod loss_normalizer;
mod ordinal_tasks;
mod pass;
mod peers;
mod pooler;
mod recurrent;
mod selective_sampling;
mod spread;

mod abs_val;
mod accuracy;
mod arg_max;
mod batch_norm;
mod batch_reindex;
mod bias;
mod bnll;
mod clip;
mod concat;
mod contrastive_loss;
mod convolution;
mod convolution_depthwise;
mod convolution_settings;
mod crop;
mod data;
mod deconvolution;
mod depthwise_convolution;
mod dropout;
mod dummy_data;
mod eltwise;
mod elu;
mod embed;
mod euclidean_loss;
mod exp;
mod filter;
mod flatten;
mod hdf5_data;
mod hinge_loss;
mod im2col;
mod image_data;
mod infogain_loss;
mod inner_product;
mod input;
mod local_contrast_normalization;
mod locally_connected;
mod log;
mod lrn;
mod lstm;
mod lstm_unit;
mod multinomial_logistic_loss;
mod mvn;
mod ordinal_rank;
mod ordinal_regression_loss;
mod parameter;
mod pooling;
mod power;
mod prelu;
mod reduction;
mod relu;
mod reshape;
mod rnn;
mod scale;
mod sigmoid;
mod sigmoid_cross_entropy_loss;
mod silence;
mod slice;
mod softmax;
mod softmax_with_loss;
mod split;
mod spp;
mod swish;
mod tanh;
mod threshold;
mod tile;

pub use crate::data::{BadSamples, LabelRange, Shard};
pub use error::LayerError;
pub use pass::{Backward, Blob, BlobMut, Forward, TopDiff};
pub use peers::Peers;

use crate::{
    config::proto::{FillerParameter, LayerParameter, Phase},
    tensor::Shape,
};

/// All layer types, sorted by name.
pub const LAYERS: &[&Kind] = &[
    &abs_val::KIND,
    &accuracy::KIND,
    &arg_max::KIND,
    &bnll::KIND,
    &batch_norm::KIND,
    &batch_reindex::KIND,
    &bias::KIND,
    &clip::KIND,
    &concat::KIND,
    &contrastive_loss::KIND,
    &convolution::KIND,
    &convolution_depthwise::KIND,
    &crop::KIND,
    &data::KIND,
    &deconvolution::KIND,
    &depthwise_convolution::KIND,
    &dropout::KIND,
    &dummy_data::KIND,
    &elu::KIND,
    &eltwise::KIND,
    &embed::KIND,
    &euclidean_loss::KIND,
    &exp::KIND,
    &filter::KIND,
    &flatten::KIND,
    &hdf5_data::KIND,
    &hinge_loss::KIND,
    &im2col::KIND,
    &image_data::KIND,
    &infogain_loss::KIND,
    &inner_product::KIND,
    &input::KIND,
    &lrn::KIND,
    &lstm::KIND,
    &lstm_unit::KIND,
    &local_contrast_normalization::KIND,
    &locally_connected::KIND,
    &log::KIND,
    &mvn::KIND,
    &multinomial_logistic_loss::KIND,
    &ordinal_rank::KIND,
    &ordinal_regression_loss::KIND,
    &prelu::KIND,
    &parameter::KIND,
    &pooling::KIND,
    &power::KIND,
    &rnn::KIND,
    &relu::KIND,
    &reduction::KIND,
    &reshape::KIND,
    &spp::KIND,
    &scale::KIND,
    &sigmoid::KIND,
    &sigmoid_cross_entropy_loss::KIND,
    &silence::KIND,
    &slice::KIND,
    &softmax::KIND,
    &softmax_with_loss::KIND,
    &split::KIND,
    &swish::KIND,
    &tanh::KIND,
    &threshold::KIND,
    &tile::KIND,
];

/// The row of a layer type in [`LAYERS`]: what is known of it without building one.
pub struct Kind {
    /// The name in `type`, for example `InnerProduct`.
    pub name: &'static str,
    /// What it computes, in a few words; the README's table shows it.
    pub summary: &'static str,
    /// The field of its settings in `LayerParameter`, for example `inner_product_param`; more than one where it
    /// reads several, none where it has no settings.
    pub settings: &'static [&'static str],
    /// How many bottoms it takes.
    pub bottoms: Arity,
    /// How many tops it makes.
    pub tops: Arity,
    /// What else the net must know of it.
    pub role: Role,
    /// Bottoms, by index, that never get a gradient: labels, indices, selectors.
    pub no_gradient: &'static [usize],
    /// Builds one, or says which setting is wrong.
    pub build: Build,
    /// Checks of its gradient; a differentiable layer has at least one.
    #[cfg(test)]
    pub gradient: &'static [gradient_check::Case],
}

/// In [`Kind::no_gradient`]: the last bottom, where their number varies.
pub const LAST: usize = usize::MAX;

impl Kind {
    /// Whether bottom `i` of `bottoms` can get a gradient.
    pub fn takes_gradient(&self, i: usize, bottoms: usize) -> bool {
        let last = i + 1 == bottoms && self.no_gradient.contains(&LAST);
        !(last || self.no_gradient.contains(&i)) && self.role != Role::Measure
    }
}

/// Builds a layer from its settings.
pub type Build = fn(&LayerParameter, &Setup) -> Result<Box<dyn Layer>, LayerError>;

/// How many bottoms or tops a layer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Just so many.
    Exactly(usize),
    /// From the first number up to the second.
    Between(usize, usize),
    /// So many or more.
    AtLeast(usize),
    /// For tops: as many as bottoms, at least one.
    LikeBottoms,
}

impl Arity {
    /// Whether `n` fits, where the layer has `bottoms` bottoms.
    pub fn allows(self, n: usize, bottoms: usize) -> bool {
        match self {
            Arity::Exactly(want) => n == want,
            Arity::Between(low, high) => (low..=high).contains(&n),
            Arity::AtLeast(low) => n >= low,
            Arity::LikeBottoms => n == bottoms && n > 0,
        }
    }

    /// The least number that fits.
    pub fn least(self) -> usize {
        match self {
            Arity::Exactly(n) | Arity::Between(n, _) | Arity::AtLeast(n) => n,
            Arity::LikeBottoms => 1,
        }
    }
}

/// As messages say it: `2`, `1 to 2`, `at least 1`.
impl std::fmt::Display for Arity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Arity::Exactly(n) => write!(f, "{n}"),
            Arity::Between(low, high) => write!(f, "{low} to {high}"),
            Arity::AtLeast(n) => write!(f, "at least {n}"),
            Arity::LikeBottoms => f.write_str("as many as bottom blobs"),
        }
    }
}

/// What the net must know of a layer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Brings blobs in from outside: no bottoms.
    Source,
    /// Turns bottoms into tops and gradients back.
    Transform,
    /// Its first top is a loss, with weight 1 unless `loss_weight` says otherwise, and may be left unnamed.
    Loss,
    /// Has no gradient: `Accuracy`, `ArgMax`. No blob under it needs one for its sake.
    Measure,
}

/// What a layer may know when it is built, beside its own settings.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Whether the net trains or tests.
    pub phase: Phase,
    /// The run's seed.
    pub seed: u64,
    /// Whether any backward pass will follow the forward passes: no layer needs to keep masks otherwise.
    pub backward: bool,
}

/// One layer of a net.
pub trait Layer: Send {
    /// Fixes the shapes, given those of the bottoms; called again when a bottom changes its shape.
    ///
    /// # Errors
    /// When the bottoms' shapes do not fit the settings or each other.
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError>;

    /// Computes the tops from the bottoms. Not called for a layer whose outline is an alias.
    ///
    /// # Errors
    /// Only for values that no setting can foretell: a label out of range, a sample that cannot be read.
    fn forward(&mut self, _pass: &mut Forward<'_>) -> Result<(), LayerError> {
        Ok(())
    }

    /// Adds to the parameters' diffs and overwrites the bottoms' diffs, those that are wanted.
    fn backward(&mut self, _pass: &mut Backward<'_>) {}

    /// For tops whose shapes depend on values (`Filter`): their shapes in the pass that comes. `None`: as outlined.
    fn shapes_now(&mut self, _bottoms: &[Blob<'_>]) -> Option<Vec<Shape>> {
        None
    }

    /// What the layer carries from pass to pass beside its parameters; saved in snapshots.
    fn carry(&self) -> Option<Carry> {
        None
    }

    /// Takes up what [`Layer::carry`] gave in another run.
    ///
    /// # Errors
    /// When it does not fit this layer.
    fn resume(&mut self, _carry: &Carry) -> Result<(), LayerError> {
        Ok(())
    }

    /// For a layer that reads data: reads this part of it from now on, where several processes train together.
    ///
    /// # Errors
    /// When there is no such part.
    fn take_part(&mut self, _shard: Shard) -> Result<(), LayerError> {
        Ok(())
    }

    /// For a layer whose second bottom holds labels: those that it can take.
    fn label_range(&self) -> Option<LabelRange> {
        None
    }

    /// For a layer that reads data: its top `top` has to hold such labels, other samples are bad.
    fn expect_labels(&mut self, _top: usize, _range: LabelRange) {}

    /// For a layer that reads data: leaves out bad samples from now on, and does not fail.
    fn skip_bad_samples(&mut self) {}

    /// For a layer that reads data: the samples left out so far.
    fn bad_samples(&self) -> Option<&BadSamples> {
        None
    }

    /// Lets the layer compute with the batches of all ranks together, if what it computes depends on the batch as a whole.
    fn join(&mut self, _peers: std::sync::Arc<dyn Peers>) {}

    /// How long the layer has waited for data so far.
    fn waited(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    /// How many samples there are in the data set that the layer reads.
    fn samples(&self) -> Option<usize> {
        None
    }

    /// Multiply-adds of a forward pass as outlined; 0 for layers that are bound by memory.
    fn multiply_adds(&self) -> u64 {
        0
    }
}

/// What a layer keeps from batch to batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Carry {
    /// Samples that a data layer has given so far.
    pub consumed: u64,
    /// Values of the layer's own, for example a hidden state.
    pub values: Vec<f32>,
}

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
}

impl ParamOutline {
    /// A weight that is learned.
    pub fn learned(shape: impl Into<Shape>, filler: FillerParameter) -> Self {
        Self { shape: shape.into(), filler, learned: true }
    }

    /// A running statistic, 0 at the start.
    pub fn state(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), filler: FillerParameter::default(), learned: false }
    }
}

/// The row of `name` in [`LAYERS`].
pub fn kind(name: &str) -> Option<&'static Kind> {
    LAYERS.iter().copied().find(|k| k.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(LAYERS.is_sorted_by(|a, b| a.name < b.name));
        assert!(LAYERS.iter().all(|k| kind(k.name).unwrap().name == k.name));
    }
}
