//! Colours of layers by what they do.

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Data,
    Convolution,
    Pooling,
    Connected,
    Recurrent,
    Normalization,
    Activation,
    Shape,
    Loss,
    Measure,
    Other,
}

/// Names and colours, in the order of the legend: what it is, its fill and its border.
pub const FAMILIES: &[(Family, &str, Color, Color)] = &[
    (Family::Data, "data", 0xe3e8ee, 0x708195),
    (Family::Convolution, "convolution", 0xd3e4fb, 0x3a76c4),
    (Family::Pooling, "pooling", 0xfde3c8, 0xd47f22),
    (Family::Connected, "fully connected", 0xe4d9f7, 0x7d55c0),
    (Family::Recurrent, "recurrent", 0xd9d9f8, 0x4f4fc4),
    (Family::Normalization, "normalization", 0xd8f0dc, 0x459a55),
    (Family::Activation, "activation, dropout", 0xfff3c6, 0xbd9516),
    (Family::Shape, "joins, cuts, shapes", 0xd2efee, 0x2a9590),
    (Family::Loss, "loss", 0xfad7d6, 0xc74443),
    (Family::Measure, "measure", 0xf7d9ea, 0xb84a86),
    (Family::Other, "other", 0xeeeeee, 0x808080),
];

/// Red, green and blue.
pub type Color = u32;

pub const INK: Color = 0x1f2933;
pub const PALE: Color = 0x5d6b7a;
pub const EDGE: Color = 0x93a1b0;
pub const PAPER: Color = 0xffffff;

/// What a layer of this type does.
pub fn family(kind: &str) -> Family {
    match kind {
        "Data" | "DummyData" | "HDF5Data" | "ImageData" | "Input" | "MemoryData" | "Parameter"
        | "WindowData" => Family::Data,
        "Convolution"
        | "ConvolutionDepthwise"
        | "Deconvolution"
        | "DepthwiseConvolution"
        | "Im2col"
        | "LocallyConnected" => Family::Convolution,
        "Pooling" | "ROIPooling" | "SPP" | "Upsample" => Family::Pooling,
        "Embed" | "InnerProduct" => Family::Connected,
        "LSTM" | "LSTMUnit" | "RNN" => Family::Recurrent,
        "BN"
        | "BatchNorm"
        | "Bias"
        | "LRN"
        | "LocalContrastNormalization"
        | "MVN"
        | "Normalize"
        | "Scale" => Family::Normalization,
        "AbsVal" | "BNLL" | "Clip" | "Dropout" | "ELU" | "Exp" | "Log" | "PReLU" | "Power" | "ReLU"
        | "ReLU6" | "Sigmoid" | "Softmax" | "Swish" | "TanH" | "Threshold" => Family::Activation,
        "Axpy" | "BatchReindex" | "Concat" | "Crop" | "Eltwise" | "Filter" | "Flatten" | "Interp"
        | "Permute" | "PriorBox" | "Reduction" | "Reshape" | "ShuffleChannel" | "Silence" | "Slice"
        | "Split" | "Tile" => Family::Shape,
        "Accuracy" | "ArgMax" | "DetectionOutput" | "OrdinalRank" => Family::Measure,
        kind if kind.ends_with("Loss") => Family::Loss,
        _ => Family::Other,
    }
}

/// Fill and border.
pub fn colors(family: Family) -> (Color, Color) {
    let row = FAMILIES.iter().find(|(f, ..)| *f == family);
    row.map_or((PAPER, INK), |&(_, _, fill, border)| (fill, border))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_its_colours() {
        for kind in ["Data", "Pooling", "SoftmaxWithLoss", "SoftmaxWithLossOHEM", "ReLU", "?"] {
            assert_ne!(colors(family(kind)), (PAPER, INK), "{kind}");
        }
        assert_eq!(family("EuclideanLoss"), Family::Loss);
    }
}
