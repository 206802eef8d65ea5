//! Layers: one file per type, named as the prototxt names it, and one row in [`LAYERS`].
//!
//! A layer is arithmetic with settings. It is built from its `LayerParameter` (where bad settings are refused),
//! told the shapes of its bottoms by [`Layer::outline`] (where shapes that do not fit are refused), and then only
//! lent slices: it owns no blob, and knows neither its neighbours nor the solver.

mod activation;
mod axes;
mod batches;
mod convolution_settings;
mod error;
mod few;
pub mod filler;
mod filter_window;
mod filters;
mod finish;
mod follow;
#[cfg(test)]
mod gradient_case;
#[cfg(test)]
pub(crate) mod gradient_check;
mod kind;
mod labels;
mod loss_normalizer;
mod ordinal_tasks;
mod outline;
mod pass;
mod peers;
mod pooler;
mod probabilities;
mod recurrent;
mod selective_sampling;
mod spread;

mod abs_val;
mod accuracy;
mod arg_max;
mod axpy;
mod batch_norm;
mod batch_reindex;
mod bias;
mod bn;
mod bnll;
mod clip;
mod concat;
mod contrastive_loss;
mod convolution;
mod convolution_depthwise;
mod crop;
mod data;
mod deconvolution;
mod depthwise_convolution;
mod detection_output;
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
mod hdf5_output;
mod hinge_loss;
mod im2col;
mod image_data;
mod infogain_loss;
mod inner_product;
mod input;
mod interp;
mod local_contrast_normalization;
mod locally_connected;
mod log;
mod lrn;
mod lstm;
mod lstm_unit;
mod memory_data;
mod multinomial_logistic_loss;
mod mvn;
mod normalize;
mod ordinal_rank;
mod ordinal_regression_loss;
mod parameter;
mod permute;
mod pooling;
mod power;
mod prelu;
mod prior_box;
mod reduction;
mod relu;
mod relu6;
mod reshape;
mod rnn;
mod roi_pooling;
mod scale;
mod shuffle_channel;
mod sigmoid;
mod sigmoid_cross_entropy_loss;
mod silence;
mod slice;
mod smooth_l1_loss;
mod softmax;
mod softmax_with_loss;
mod split;
mod spp;
mod swish;
mod tanh;
mod threshold;
mod tile;
mod upsample;
mod window_data;

pub use crate::data::{BadSamples, LabelRange, Shard};
pub use bn::{BnForm, SEGNET_EPS};
pub use convolution_settings::ConvolutionSettings;
pub use error::LayerError;
pub use few::Few;
pub use filter_window::Window;
pub use follow::{Clearing, Follow, Taken, Wanted};
pub use kind::{Arity, Build, Kind, LAST, Role, Setup};
pub use outline::{Outline, ParamOutline, Reads};
pub use pass::{Backward, Blob, BlobMut, Forward, TopDiff};
pub use peers::Peers;
pub use permute::permuted_order;
pub use pooler::Method as PoolMethod;
pub use pooling::PoolingSettings;
pub use prior_box::PriorBoxSettings;
pub use relu6::CUT as RELU6_CUT;
pub use spp::pyramid;

pub use crate::kernels::conv::Place;

use crate::{kernels::gemm::Gemm, tensor::Shape};

/// All layer types, sorted by name.
pub const LAYERS: &[&Kind] = &[
    &abs_val::KIND,
    &accuracy::KIND,
    &arg_max::KIND,
    &axpy::KIND,
    &bn::KIND,
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
    &detection_output::KIND,
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
    &hdf5_output::KIND,
    &hinge_loss::KIND,
    &im2col::KIND,
    &image_data::KIND,
    &infogain_loss::KIND,
    &inner_product::KIND,
    &input::KIND,
    &interp::KIND,
    &lrn::KIND,
    &lstm::KIND,
    &lstm_unit::KIND,
    &local_contrast_normalization::KIND,
    &locally_connected::KIND,
    &log::KIND,
    &mvn::KIND,
    &memory_data::KIND,
    &multinomial_logistic_loss::KIND,
    &normalize::KIND,
    &ordinal_rank::KIND,
    &ordinal_regression_loss::KIND,
    &prelu::KIND,
    &parameter::KIND,
    &permute::KIND,
    &pooling::KIND,
    &power::KIND,
    &prior_box::KIND,
    &rnn::KIND,
    &roi_pooling::KIND,
    &relu::KIND,
    &relu6::KIND,
    &reduction::KIND,
    &reshape::KIND,
    &spp::KIND,
    &scale::KIND,
    &shuffle_channel::KIND,
    &sigmoid::KIND,
    &sigmoid_cross_entropy_loss::KIND,
    &silence::KIND,
    &slice::KIND,
    &smooth_l1_loss::KIND,
    &softmax::KIND,
    &softmax_with_loss::KIND,
    &split::KIND,
    &swish::KIND,
    &tanh::KIND,
    &threshold::KIND,
    &tile::KIND,
    &upsample::KIND,
    &window_data::KIND,
];

/// The gradient of a layer's first parameter.
pub struct Product<'a> {
    /// Left factor times right factor.
    pub gradient: Gemm<'a>,
    /// Whether the first bottom's gradient is the left factor, transposed, times the parameter, so that both can be made
    /// in one pass over it.
    pub with_bottom: bool,
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

    /// Adds to the parameters' diffs and overwrites the bottoms' diffs, those that are wanted, but for what [`Layer::add`] asks.
    fn backward(&mut self, _pass: &mut Backward<'_>) {}

    /// The gradient of the first parameter as one product, for whoever uses it block by block; a backward pass that is
    /// given no diff for this parameter, or for the bottom that comes with it, then leaves it out.
    fn product<'a>(&self, _bottoms: &[Blob<'a>], _tops: &[TopDiff<'a>]) -> Option<Product<'a>> {
        None
    }

    /// What the layer does to each value of its bottom, if the layer before it could do that as well; asked after
    /// [`Layer::outline`].
    fn follows(&self) -> Option<Follow> {
        None
    }

    /// Takes up the work of the layer that alone reads this one's top: from now on the top is that layer's.
    fn take_up(&mut self, _next: Follow, _wanted: Wanted) -> Taken {
        Taken::Nothing
    }

    /// Asks that the gradient of bottom `k` be 0 where the bottom is not above 0, as the rectifier whose top it is would make
    /// it; [`Layer::outline`] is called again.
    fn clear(&mut self, _k: usize) -> Clearing {
        Clearing::Nothing
    }

    /// Whether the backward pass can add the gradient of bottom `k` to what its diff holds, whatever the bottom's shape.
    fn adds(&self, _k: usize) -> bool {
        false
    }

    /// Asks a layer that can that it do so from now on.
    fn add(&mut self, _k: usize) {}

    /// For a layer whose top is its bottoms, one after the other along an axis: that axis.
    fn joins(&self) -> Option<usize> {
        None
    }

    /// Whether the layer can make its one top as a part, along `axis`, of a larger blob, whatever the bottom's shape.
    fn lies_within(&self, _axis: usize) -> bool {
        false
    }

    /// Asks a layer that can that it do so from now on: the values and the diff of the top that it is lent are those of the larger
    /// blob; [`Layer::outline`] is called again.
    fn lie_within(&mut self, _place: Place) {}

    /// For tops whose shapes depend on values (`Filter`, `DetectionOutput`) or on the next sample: their shapes in the pass that comes.
    /// `None`: as outlined.
    ///
    /// # Errors
    /// When the sample cannot be read.
    fn shapes_now(&mut self, _bottoms: &[Blob<'_>]) -> Result<Option<Vec<Shape>>, LayerError> {
        Ok(None)
    }

    /// For a source whose blobs are set from outside: one of them was.
    fn fed(&mut self) {}

    /// After the last pass: writes out what the layer has collected.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(&mut self) -> Result<(), LayerError> {
        Ok(())
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

    /// For a layer that reads a data set: how many samples a batch has from now on; [`Layer::outline`] is called again.
    fn set_batch_size(&mut self, _batch_size: usize) {}

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

/// The row of `name` in [`LAYERS`].
pub fn kind(name: &str) -> Option<&'static Kind> {
    LAYERS.iter().copied().find(|k| k.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{proto::v1_layer_parameter::LayerType, upgrade::v1};

    /// The types of Caffe that its V1 format has no number for.
    const SINCE_V1: [&str; 22] = [
        "BatchNorm",
        "BatchReindex",
        "Bias",
        "Clip",
        "Crop",
        "ELU",
        "Embed",
        "Filter",
        "Input",
        "LSTM",
        "LSTMUnit",
        "Log",
        "PReLU",
        "Parameter",
        "Python",
        "RNN",
        "Reduction",
        "Reshape",
        "SPP",
        "Scale",
        "Swish",
        "Tile",
    ];

    #[test]
    fn the_table_is_sorted() {
        assert!(LAYERS.is_sorted_by(|a, b| a.name < b.name));
        assert!(LAYERS.iter().all(|k| kind(k.name).unwrap().name == k.name));
    }

    /// `Python` has no row: the net refuses it by name.
    #[test]
    fn every_type_of_caffe_has_a_row() {
        let v1 = (0..100).filter_map(|n| LayerType::try_from(n).ok()).map(v1::type_name);
        let types: Vec<&str> = v1.filter(|name| !name.is_empty()).chain(SINCE_V1).collect();
        assert_eq!(types.len(), 61);
        let missing: Vec<&&str> = types.iter().filter(|name| kind(name).is_none()).collect();
        assert_eq!(missing, [&"Python"]);
    }
}
