//! What becomes of each layer type.

use super::{filters, norm, pointwise, recurrent, reduce, resize, scene::Convert, shapes, windows};

/// What becomes of a layer type.
#[derive(Clone, Copy)]
pub enum Part {
    /// Its tops are inputs of the graph.
    Input,
    /// It becomes nodes.
    Nodes(Convert),
    /// It takes its bottoms and nothing comes of it.
    Sink,
    /// It only judges or records what it reads, and is left out; what it reads is an output instead.
    Judge,
}

use Part::{Input, Judge, Nodes, Sink};

/// All layer types, sorted by name.
pub const PARTS: &[(&str, Part)] = &[
    ("AbsVal", Nodes(pointwise::abs_val)),
    ("Accuracy", Judge),
    ("ArgMax", Nodes(reduce::arg_max)),
    ("Axpy", Nodes(pointwise::axpy)),
    ("BN", Nodes(norm::bn)),
    ("BNLL", Nodes(pointwise::bnll)),
    ("BatchNorm", Nodes(norm::batch_norm)),
    ("BatchReindex", Nodes(shapes::batch_reindex)),
    ("Bias", Nodes(pointwise::bias)),
    ("Clip", Nodes(pointwise::clip)),
    ("Concat", Nodes(shapes::concat)),
    ("ContrastiveLoss", Judge),
    ("Convolution", Nodes(filters::convolution)),
    ("ConvolutionDepthwise", Nodes(filters::depthwise)),
    ("Crop", Nodes(shapes::crop)),
    ("Data", Input),
    ("Deconvolution", Nodes(filters::deconvolution)),
    ("DepthwiseConvolution", Nodes(filters::depthwise)),
    ("DetectionOutput", Judge),
    ("Dropout", Nodes(pointwise::dropout)),
    ("DummyData", Nodes(shapes::dummy_data)),
    ("ELU", Nodes(pointwise::elu)),
    ("Eltwise", Nodes(pointwise::eltwise)),
    ("Embed", Nodes(shapes::embed)),
    ("EuclideanLoss", Judge),
    ("Exp", Nodes(pointwise::exp)),
    ("Filter", Nodes(shapes::filter)),
    ("Flatten", Nodes(shapes::flatten)),
    ("HDF5Data", Input),
    ("HDF5Output", Judge),
    ("HingeLoss", Judge),
    ("Im2col", Nodes(filters::im2col)),
    ("ImageData", Input),
    ("InfogainLoss", Judge),
    ("InnerProduct", Nodes(filters::inner_product)),
    ("Input", Input),
    ("Interp", Nodes(resize::interp)),
    ("LRN", Nodes(norm::lrn)),
    ("LSTM", Nodes(recurrent::lstm)),
    ("LSTMUnit", Nodes(recurrent::lstm_unit)),
    ("LocalContrastNormalization", Nodes(norm::local_contrast)),
    ("LocallyConnected", Nodes(filters::locally_connected)),
    ("Log", Nodes(pointwise::log)),
    ("MVN", Nodes(norm::mvn)),
    ("MemoryData", Input),
    ("MultinomialLogisticLoss", Judge),
    ("Normalize", Nodes(norm::normalize)),
    ("OrdinalRank", Nodes(reduce::ordinal_rank)),
    ("OrdinalRegressionLoss", Judge),
    ("PReLU", Nodes(pointwise::prelu)),
    ("Parameter", Nodes(shapes::parameter)),
    ("Permute", Nodes(shapes::permute)),
    ("Pooling", Nodes(windows::pooling)),
    ("Power", Nodes(pointwise::power)),
    ("PriorBox", Nodes(shapes::prior_box)),
    ("RNN", Nodes(recurrent::rnn)),
    ("ROIPooling", Nodes(windows::roi_pooling)),
    ("ReLU", Nodes(pointwise::relu)),
    ("ReLU6", Nodes(pointwise::relu6)),
    ("Reduction", Nodes(reduce::reduction)),
    ("Reshape", Nodes(shapes::reshape)),
    ("SPP", Nodes(windows::spp)),
    ("Scale", Nodes(pointwise::scale)),
    ("ShuffleChannel", Nodes(shapes::shuffle_channel)),
    ("Sigmoid", Nodes(pointwise::sigmoid)),
    ("SigmoidCrossEntropyLoss", Judge),
    ("Silence", Sink),
    ("Slice", Nodes(shapes::slice)),
    ("SmoothL1Loss", Judge),
    ("Softmax", Nodes(reduce::softmax)),
    ("SoftmaxWithLoss", Judge),
    ("Split", Nodes(shapes::split)),
    ("Swish", Nodes(pointwise::swish)),
    ("TanH", Nodes(pointwise::tanh)),
    ("Threshold", Nodes(pointwise::threshold)),
    ("Tile", Nodes(shapes::tile)),
    ("Upsample", Nodes(resize::upsample)),
    ("WindowData", Input),
];

/// What becomes of a layer of this type.
pub fn part(kind: &str) -> Option<Part> {
    PARTS.iter().find(|(name, _)| *name == kind).map(|(_, part)| *part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::LAYERS;

    #[test]
    fn every_layer_type_has_its_part() {
        let layers: Vec<&str> = LAYERS.iter().map(|kind| kind.name).collect();
        let parts: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(parts, layers);
    }
}
