//! Fields and layers of well-known forks of Caffe: read where they mean something standard, else named for what they are.

/// What to do about a field of a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is another name of this field.
    Rename(&'static str),
    /// True or false, it stands for one of two words of an enum field: the field, the word for false, for true.
    Flag(&'static str, [&'static str; 2]),
    /// It changes nothing of what is computed here; why.
    Skip(&'static str),
    /// It asks for what cnnctl does not do; what can be done in its place.
    Refuse(&'static str),
    /// True or false, of which this one asks for nothing; for the other, what can be done in its place.
    Unless(bool, &'static str),
}

use Action::{Flag, Refuse, Rename, Skip, Unless};

/// A field of a fork.
#[derive(Debug)]
pub(crate) struct ForkField {
    /// The message that has it; empty where it may stand in several.
    message: &'static str,
    name: &'static str,
    /// The fork, or forks.
    pub fork: &'static str,
    pub action: Action,
}

const fn row(message: &'static str, name: &'static str, fork: &'static str, action: Action) -> ForkField {
    ForkField { message, name, fork, action }
}

const SSD: &str = "SSD";
const INTEL: &str = "Intel Caffe";
const NV: &str = "NVCaffe";
const PSP: &str = "PSPNet";
const SEG: &str = "SegNet";
const SPARK: &str = "CaffeOnSpark";
const C3D: &str = "C3D";
const TSN: &str = "TSN";
const VIDEO: &str = "video-caffe";
const VIDEOS: &str = "C3D, SSD and TSN";
const CASCADE: &str = "MS-CNN and Cascade R-CNN";
const CTC: &str = "CaffeLSTM-OCR and deepdetect";
const NORM_FACE: &str = "NormFace";

const CHOICE: &str = "it chooses between implementations";
const SPEED: &str = "it only changes the speed";
const PRECISION: &str = "cnnctl computes in single precision";
const AUGMENT: &str = "see random_area, random_aspect and their like in transform_param";
const RECTANGLE: &str = "crop_size cuts squares; scale the images beforehand";
const DETECTION: &str = "cnnctl runs detectors, but does not train them with boxes";
const REGIONS: &str = "cnnctl has ROIPooling, over regions from outside";
const RELU: &str = "add a ReLU layer behind this one";
const SCALE: &str = "instead, add a Scale layer with bias_term: true, and the fillers, behind this one";
const DEPTH: &str = "write kernel_size, stride and pad three times: for depth, height and width";
const AXES: &str = "write kernel_size, stride and pad once for each axis";
const POOL_AXES: &str = "write kernel_sizes, strides and pads, each once for each axis";
const NORMALIZE: &str = "norm_param { across_spatial: false } divides by the norm over the channels; param { lr_mult: 0 } keeps the factor at 1";
const OFFSET: &str = "one `offset` serves all boxes of a place";
const PRE_FIXED: &str = "NONE, with a loss_weight of 1 / pre_fixed_normalizer, is the same";
const SETTINGS: &str = "these are settings of a layer that cnnctl does not have";

/// The fields, sorted by message and name.
const FIELDS: &[ForkField] = &[
    row("", "engine", INTEL, Skip(CHOICE)),
    row("BatchNormParameter", "bias_filler", NV, Refuse(SCALE)),
    row("BatchNormParameter", "bias_term", INTEL, Refuse(SCALE)),
    row("BatchNormParameter", "filler", INTEL, Refuse(SCALE)),
    row("BatchNormParameter", "relu", INTEL, Unless(false, RELU)),
    row("BatchNormParameter", "scale_bias", NV, Unless(false, SCALE)),
    row("BatchNormParameter", "scale_filler", NV, Refuse(SCALE)),
    row("BatchNormParameter", "stats_batch_size", INTEL, Refuse("statistics are those of the whole batch")),
    row("BatchNormParameter", "update_global_stats", PSP, Refuse("use_global_stats keeps them as they are")),
    row("BatchNormParameter", "use_weight_bias", INTEL, Refuse(SCALE)),
    row("ConcatParameter", "per_fla_fuse", INTEL, Skip(SPEED)),
    row("ConvolutionParameter", "coeff", INTEL, Refuse("add an Eltwise layer behind this one")),
    row("ConvolutionParameter", "conv_algorithm", INTEL, Skip(CHOICE)),
    row("ConvolutionParameter", "conv_algos_override", NV, Skip(CHOICE)),
    row("ConvolutionParameter", "cudnn_convolution_algo_seeker", NV, Skip(CHOICE)),
    row("ConvolutionParameter", "fusion_type", INTEL, Refuse("write the layers out")),
    row("ConvolutionParameter", "kernel_depth", C3D, Refuse(DEPTH)),
    row("ConvolutionParameter", "kernel_shape", VIDEO, Refuse(AXES)),
    row("ConvolutionParameter", "negative_slope", INTEL, Refuse(RELU)),
    row("ConvolutionParameter", "pad_shape", VIDEO, Refuse(AXES)),
    row("ConvolutionParameter", "relu", INTEL, Unless(false, RELU)),
    row("ConvolutionParameter", "stride_shape", VIDEO, Refuse(AXES)),
    row("ConvolutionParameter", "temporal_pad", C3D, Refuse(DEPTH)),
    row("ConvolutionParameter", "temporal_stride", C3D, Refuse(DEPTH)),
    row("DataParameter", "cache", NV, Skip(SPEED)),
    row("DataParameter", "parser_threads", NV, Skip(SPEED)),
    row("DataParameter", "precache", NV, Skip(SPEED)),
    row("DataParameter", "side", INTEL, Refuse(DETECTION)),
    row("DataParameter", "threads", NV, Skip(SPEED)),
    row(
        "DetectionOutputParameter",
        "objectness_score",
        "RefineDet",
        Refuse("SSD's layer, which cnnctl has, takes none"),
    ),
    row("DropoutParameter", "random_seed", NV, Skip("the solver's random_seed counts for all layers")),
    row("DropoutParameter", "sample_weights_test", SEG, Refuse("dropout is off in TEST")),
    row(
        "DropoutParameter",
        "scale_train",
        "Faster R-CNN",
        Unless(true, "for false, add a Power layer with scale: 1 - dropout_ratio"),
    ),
    row("ELUParameter", "lambda", NV, Refuse("add a Power layer with scale behind this one")),
    row("FillerParameter", "scale", INTEL, Refuse("give the deviation by `std` or `variance_norm`")),
    row("ImageDataParameter", "cache", NV, Skip(SPEED)),
    row("ImageDataParameter", "dataset_share_per_node", NV, Skip("ranks share the data by themselves")),
    row("ImageDataParameter", "ignore_label", "DeepLab and PSPNet", Refuse("loss_param has an ignore_label")),
    row(
        "ImageDataParameter",
        "label_type",
        "DeepLab and PSPNet",
        Refuse("put images of labels into HDF5 files"),
    ),
    row("ImageDataParameter", "min_height", INTEL, Refuse("new_height scales to a height")),
    row("ImageDataParameter", "min_width", INTEL, Refuse("new_width scales to a width")),
    row("ImageDataParameter", "precache", NV, Skip(SPEED)),
    row("ImageDataParameter", "short_side", NV, Refuse("new_height and new_width scale to a size")),
    row("ImageDataParameter", "threads", NV, Skip(SPEED)),
    row("InnerProductParameter", "negative_slope", INTEL, Refuse(RELU)),
    row("InnerProductParameter", "relu", INTEL, Unless(false, RELU)),
    row("LayerParameter", "adaptive_bias_channel_param", "DeepLab and PSPNet", Refuse(SETTINGS)),
    row("LayerParameter", "annotated_data_param", SSD, Refuse(SETTINGS)),
    row("LayerParameter", "backward_math", NV, Skip(PRECISION)),
    row("LayerParameter", "backward_type", NV, Skip(PRECISION)),
    row("LayerParameter", "bias_channel_param", "DeepLab and PSPNet", Refuse(SETTINGS)),
    row("LayerParameter", "box_annotator_ohem_param", "R-FCN", Refuse(SETTINGS)),
    row("LayerParameter", "cos_data_param", SPARK, Refuse("use a Data layer with LMDB")),
    row("LayerParameter", "cudnn_math_override", NV, Skip(PRECISION)),
    row("LayerParameter", "debug", NV, Skip("the solver's debug_info shows all layers")),
    row("LayerParameter", "dense_crf_param", "DeepLab and PSPNet", Refuse(SETTINGS)),
    row("LayerParameter", "dense_image_data_param", SEG, Refuse("put images of labels into HDF5 files")),
    row(
        "LayerParameter",
        "denseblock_param",
        "DenseNet",
        Refuse("write the block's layers out, joined by Concat"),
    ),
    row("LayerParameter", "detection_evaluate_param", SSD, Refuse(SETTINGS)),
    row("LayerParameter", "detectnet_augmentation_param", NV, Refuse(SETTINGS)),
    row("LayerParameter", "detectnet_groundtruth_param", NV, Refuse(SETTINGS)),
    row("LayerParameter", "domain_transform_param", "DeepLab and PSPNet", Refuse(SETTINGS)),
    row("LayerParameter", "eval_detection_param", INTEL, Refuse(SETTINGS)),
    row("LayerParameter", "forward_math", NV, Skip(PRECISION)),
    row("LayerParameter", "forward_type", NV, Skip(PRECISION)),
    row("LayerParameter", "lstm_param", "several forks", Refuse("LSTM has its settings in recurrent_param")),
    row("LayerParameter", "mat_read_param", "DeepLab and PSPNet", Refuse(SETTINGS)),
    row("LayerParameter", "mat_write_param", "DeepLab and PSPNet", Refuse(SETTINGS)),
    row("LayerParameter", "mn_activation_param", INTEL, Skip("ranks are arranged by themselves")),
    row("LayerParameter", "mn_grad_compress_param", INTEL, Skip(SPEED)),
    row("LayerParameter", "multibox_loss_param", SSD, Refuse(SETTINGS)),
    row("LayerParameter", "multinode", INTEL, Skip("ranks are arranged by themselves")),
    row("LayerParameter", "normalize_param", NORM_FACE, Refuse(NORMALIZE)),
    row("LayerParameter", "psroi_pooling_param", "R-FCN", Refuse(SETTINGS)),
    row("LayerParameter", "quantization_param", INTEL, Skip(PRECISION)),
    row("LayerParameter", "region_loss_param", INTEL, Refuse(SETTINGS)),
    row("LayerParameter", "reorg_param", INTEL, Refuse(SETTINGS)),
    row("LayerParameter", "seg_accuracy_param", "DeepLab and PSPNet", Refuse("use an Accuracy layer")),
    row("LayerParameter", "source_class", SPARK, Skip("data_param tells the format")),
    row("LayerParameter", "spatial_dropout_param", INTEL, Refuse("use a Dropout layer")),
    row("LayerParameter", "split_param", INTEL, Skip(CHOICE)),
    row("LayerParameter", "trt_param", NV, Refuse(SETTINGS)),
    row("LayerParameter", "unique_label_param", "DeepLab and PSPNet", Refuse(SETTINGS)),
    row("LayerParameter", "video_data_param", VIDEOS, Refuse(SETTINGS)),
    row("LossParameter", "pre_fixed_normalizer", "R-FCN", Refuse(PRE_FIXED)),
    row("MemoryDataParameter", "dataframe_column_select", SPARK, Refuse("use a Data layer with LMDB")),
    row("MemoryDataParameter", "dataframe_format", SPARK, Refuse("use a Data layer with LMDB")),
    row("MemoryDataParameter", "share_in_parallel", SPARK, Skip(SPEED)),
    row("MemoryDataParameter", "source", SPARK, Refuse("use a Data layer with LMDB")),
    row("NetParameter", "bn_stats_batch_size", INTEL, Refuse("statistics are those of the whole batch")),
    row("NetParameter", "compile_net_state", INTEL, Skip(SPEED)),
    row("NetParameter", "default_backward_math", NV, Skip(PRECISION)),
    row("NetParameter", "default_backward_type", NV, Skip(PRECISION)),
    row("NetParameter", "default_conv_algos_override", NV, Skip(CHOICE)),
    row("NetParameter", "default_cudnn_math_override", NV, Skip(PRECISION)),
    row("NetParameter", "default_forward_math", NV, Skip(PRECISION)),
    row("NetParameter", "default_forward_type", NV, Skip(PRECISION)),
    row("NetParameter", "eltwise_mem_sharing", NV, Skip(SPEED)),
    row("NetParameter", "global_grad_scale", NV, Skip(PRECISION)),
    row("NetParameter", "global_grad_scale_adaptive", NV, Skip(PRECISION)),
    row("NetParameter", "item", SSD, Refuse("this is a label map, not a net")),
    row("NetParameter", "multinode", INTEL, Skip("ranks are arranged by themselves")),
    row("NetParameter", "reduce_buckets", NV, Skip(SPEED)),
    row("PoolingParameter", "avg_include_pad", INTEL, Refuse("the mean counts the padding, as in Caffe")),
    row("PoolingParameter", "axis", INTEL, Refuse("windows slide over the axes after N and C")),
    row("PoolingParameter", "ceil_mode", "several forks", Flag("round_mode", ["FLOOR", "CEIL"])),
    row("PoolingParameter", "kernel_depth", C3D, Refuse(POOL_AXES)),
    row("PoolingParameter", "kernel_shape", VIDEO, Refuse(POOL_AXES)),
    row("PoolingParameter", "kernel_size_3d", INTEL, Refuse("write kernel_sizes, one for each axis")),
    row("PoolingParameter", "pad_3d", INTEL, Refuse("write pads, one for each axis")),
    row("PoolingParameter", "pad_shape", VIDEO, Refuse(POOL_AXES)),
    row("PoolingParameter", "stride_3d", INTEL, Refuse("write strides, one for each axis")),
    row("PoolingParameter", "stride_shape", VIDEO, Refuse(POOL_AXES)),
    row("PoolingParameter", "temporal_pad", C3D, Refuse(POOL_AXES)),
    row("PoolingParameter", "temporal_stride", C3D, Refuse(POOL_AXES)),
    row("PoolingParameter", "torch_pooling", NV, Flag("round_mode", ["CEIL", "FLOOR"])),
    row("PriorBoxParameter", "offset_h", "TextBoxes", Refuse(OFFSET)),
    row("PriorBoxParameter", "offset_w", "TextBoxes", Refuse(OFFSET)),
    row("ROIPoolingParameter", "pad_ratio", CASCADE, Refuse("widen the regions beforehand")),
    row("ReLUParameter", "fuse", INTEL, Skip(SPEED)),
    row("ReshapeParameter", "pixelshuffler", INTEL, Refuse(SETTINGS)),
    row("SoftmaxParameter", "normalize_type", NORM_FACE, Refuse(NORMALIZE)),
    row("SolverParameter", "ap_version", SSD, Refuse(DETECTION)),
    row("SolverParameter", "disabled_update", INTEL, Refuse("lr_mult 0 freezes layers")),
    row("SolverParameter", "eval_type", SSD, Refuse(DETECTION)),
    row("SolverParameter", "iter_step", "several forks", Rename("iter_size")),
    row("SolverParameter", "larc_turbo", NV, Refuse("larc works without it")),
    row("SolverParameter", "max_momentum", NV, Refuse("momentum stays as it is")),
    row("SolverParameter", "max_weight_decay", NV, Refuse("weight_decay stays as it is")),
    row("SolverParameter", "momentum_policy", NV, Refuse("momentum stays as it is")),
    row("SolverParameter", "momentum_power", NV, Refuse("momentum stays as it is")),
    row("SolverParameter", "show_per_class_result", SSD, Refuse(DETECTION)),
    row("SolverParameter", "solver_data_type", NV, Skip(PRECISION)),
    row(
        "SolverParameter",
        "stepearly",
        SEG,
        Refuse("`cnnctl train --patience` stops a run that gets no better"),
    ),
    row("SolverParameter", "store_blobs_in_old_format", NV, Skip("snapshots are in Caffe's format")),
    row("SolverParameter", "test_and_snapshot_last_epochs", NV, Refuse("see test_interval and snapshot")),
    row("SolverParameter", "test_offset", INTEL, Refuse("see test_initialization")),
    row("SolverParameter", "weight_decay_policy", NV, Refuse("weight_decay stays as it is")),
    row("SolverParameter", "weight_decay_power", NV, Refuse("weight_decay stays as it is")),
    row("TransformationParameter", "allow_upscale", NV, Refuse(AUGMENT)),
    row("TransformationParameter", "bgr2rgb", INTEL, Refuse("colours stay as they are stored")),
    row("TransformationParameter", "crop_h", SSD, Refuse(RECTANGLE)),
    row("TransformationParameter", "crop_height", PSP, Refuse(RECTANGLE)),
    row("TransformationParameter", "crop_w", SSD, Refuse(RECTANGLE)),
    row("TransformationParameter", "crop_width", PSP, Refuse(RECTANGLE)),
    row("TransformationParameter", "display", NV, Skip("it only shows images")),
    row("TransformationParameter", "distort_param", SSD, Refuse(AUGMENT)),
    row("TransformationParameter", "emit_constraint", SSD, Refuse(DETECTION)),
    row("TransformationParameter", "expand_param", SSD, Refuse(AUGMENT)),
    row("TransformationParameter", "fix_crop", TSN, Refuse(AUGMENT)),
    row("TransformationParameter", "flow", INTEL, Refuse(SETTINGS)),
    row("TransformationParameter", "forward_packing", NV, Skip(CHOICE)),
    row("TransformationParameter", "horizontal_stretch_lower", NV, Refuse(AUGMENT)),
    row("TransformationParameter", "horizontal_stretch_upper", NV, Refuse(AUGMENT)),
    row("TransformationParameter", "img_rand_resize_lower", NV, Refuse(AUGMENT)),
    row("TransformationParameter", "img_rand_resize_upper", NV, Refuse(AUGMENT)),
    row("TransformationParameter", "is_flow", TSN, Refuse("mirror leaves the values of flows as they are")),
    row("TransformationParameter", "max_distort", TSN, Refuse(AUGMENT)),
    row("TransformationParameter", "multi_scale", TSN, Refuse(AUGMENT)),
    row("TransformationParameter", "noise_param", SSD, Refuse(AUGMENT)),
    row("TransformationParameter", "pad", INTEL, Refuse("pad the images beforehand")),
    row("TransformationParameter", "rand_resize_ratio_lower", NV, Refuse(AUGMENT)),
    row("TransformationParameter", "rand_resize_ratio_upper", NV, Refuse(AUGMENT)),
    row("TransformationParameter", "random_aspect_ratio_param", INTEL, Refuse(AUGMENT)),
    row("TransformationParameter", "random_resize_param", INTEL, Refuse(AUGMENT)),
    row("TransformationParameter", "random_seed", NV, Skip("the solver's random_seed counts for all layers")),
    row("TransformationParameter", "resize_param", SSD, Refuse("scale the images beforehand")),
    row("TransformationParameter", "scale_factors", PSP, Refuse(AUGMENT)),
    row("TransformationParameter", "scale_ratios", TSN, Refuse(AUGMENT)),
    row("TransformationParameter", "use_gpu_transform", NV, Skip(CHOICE)),
    row("TransformationParameter", "vertical_stretch_lower", NV, Refuse(AUGMENT)),
    row("TransformationParameter", "vertical_stretch_upper", NV, Refuse(AUGMENT)),
];

/// Words of forks for `engine`, which is without effect here.
const ENGINES: &[&str] = &["MKL2017", "MKLDNN"];

/// Layer types, sorted: name, fork, and what to use in its place.
const LAYERS: &[(&str, &str, &str)] = &[
    ("AnnotatedData", SSD, DETECTION),
    ("BboxAccuracy", CASCADE, DETECTION),
    ("BoxAnnotatorOHEM", "R-FCN", DETECTION),
    ("BoxData", INTEL, DETECTION),
    ("CONVOLUTION3D", C3D, "write CONVOLUTION, with kernel_size, stride and pad for depth, height and width"),
    (
        "CenterLoss",
        "caffe-face",
        "an Embed layer of the labels, without bias_term, and EuclideanLoss come close: its centres move otherwise",
    ),
    ("CoSData", SPARK, "use a Data layer with LMDB"),
    (
        "ContinuationIndicator",
        CTC,
        "Concat (axis: 0) of two DummyData layers, 1 x N zeros and T-1 x N ones, is the same",
    ),
    ("Convolution3D", C3D, "use Convolution, with kernel_size, stride and pad for depth, height and width"),
    ("CtcLoss", CTC, "cnnctl has no CTC; SoftmaxWithLoss takes a label for each step"),
    ("DecodeBBox", CASCADE, REGIONS),
    ("DenseBlock", "DenseNet", "write the block's layers out, joined by Concat"),
    ("DenseCRF", "DeepLab and PSPNet", "refine the scores outside"),
    ("DenseImageData", SEG, "put images of labels into HDF5 files and use HDF5Data"),
    ("DetectNetTransformation", NV, DETECTION),
    ("DetectionEvaluate", SSD, DETECTION),
    ("DetectionLoss", "MS-CNN and caffe-yolo", DETECTION),
    ("EvalDetection", INTEL, DETECTION),
    ("Flip", NORM_FACE, "mirror in the transform_param of a data layer flips at random"),
    ("ImageLabelmapData", "HED", "put images of labels into HDF5 files and use HDF5Data"),
    ("ImageSegData", "DeepLab and PSPNet", "put images of labels into HDF5 files and use HDF5Data"),
    ("InnerDistance", NORM_FACE, "InnerProduct takes products, not distances"),
    ("L1Loss", NV, "use EuclideanLoss, or Eltwise and Reduction with operation ASUM"),
    ("LabelsequenceAccuracy", CTC, "Accuracy counts single labels"),
    (
        "Lstm",
        "caffe-lstm",
        "LSTM is another: T x N x ... and T x N as bottoms, settings in recurrent_param, other weights",
    ),
    ("MKLBatchNorm", INTEL, "use BatchNorm"),
    ("MKLConcat", INTEL, "use Concat"),
    ("MKLConvolution", INTEL, "use Convolution"),
    ("MKLEltwise", INTEL, "use Eltwise"),
    ("MKLLRN", INTEL, "use LRN"),
    ("MKLPooling", INTEL, "use Pooling"),
    ("MKLReLU", INTEL, "use ReLU"),
    ("MnActivation", INTEL, "leave it out"),
    ("MultiBoxLoss", SSD, DETECTION),
    ("NdConvolution", VIDEO, "use Convolution, with kernel_size, stride and pad once for each axis"),
    ("NdPooling", VIDEO, "use Pooling, with kernel_sizes, strides and pads"),
    ("POOLING3D", C3D, "write POOLING, with kernel_sizes, strides and pads"),
    ("PSROIPooling", "R-FCN", REGIONS),
    ("Pooling3D", C3D, "use Pooling, with kernel_sizes, strides and pads"),
    ("Proposal", "Faster R-CNN", REGIONS),
    ("ProposalTarget", CASCADE, DETECTION),
    ("ROIAlign", CASCADE, REGIONS),
    ("RegionLoss", INTEL, DETECTION),
    ("Reorg", INTEL, "Slice and Concat layers compute the same"),
    ("Reverse", "CTPN and CaffeLSTM-OCR", "Slice and Concat layers compute the same"),
    ("SegAccuracy", "DeepLab and PSPNet", "use Accuracy"),
    ("SmoothL1LossOHEM", "R-FCN", DETECTION),
    ("SoftmaxWithLossOHEM", "R-FCN", "SoftmaxWithLoss with selective_sampling draws hard samples"),
    ("SpatialDropout", INTEL, "use Dropout"),
    ("SpatialTransformer", "STN", "no layer takes values from places that the net computes"),
    ("TRT", NV, "leave it out"),
    ("Transpose", "CTPN", "Permute is the same, with the axes in `order`"),
    (
        "TripletLoss",
        "MyCaffe",
        "max(0, |a - p|^2 - |a - n|^2 + margin): Eltwise, Reduction, Power and ReLU layers compute it",
    ),
    ("VideoData", VIDEOS, "take the video apart into images and use ImageData"),
];

/// A field of a fork, by the message that it stands in.
pub(crate) fn field(message: &str, name: &str) -> Option<&'static ForkField> {
    // The layers of 2014 have those of today's.
    let message = if message == "V1LayerParameter" { "LayerParameter" } else { message };
    let find =
        |message: &str| FIELDS.binary_search_by(|row| (row.message, row.name).cmp(&(message, name))).ok();
    find(message).or_else(|| find("")).map(|at| &FIELDS[at])
}

/// Whether a word for `engine` is a fork's.
pub(crate) fn is_engine(word: &str) -> bool {
    ENGINES.contains(&word) || word.split(':').any(|part| ENGINES.contains(&part))
}

/// What to write for a word of a fork's that stands in a field of Caffe's.
pub(crate) fn word(field: &str, word: &str) -> Option<&'static str> {
    match field {
        "normalization" if word == "PRE_FIXED" => Some(PRE_FIXED),
        "type" => layer(word).map(|(_, instead)| instead),
        _ => None,
    }
}

/// A layer type of a fork: the fork, and what to use in its place.
pub fn layer(name: &str) -> Option<(&'static str, &'static str)> {
    let at = LAYERS.binary_search_by(|(n, ..)| (*n).cmp(name)).ok()?;
    Some((LAYERS[at].1, LAYERS[at].2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(FIELDS.is_sorted_by(|a, b| (a.message, a.name) < (b.message, b.name)));
        assert!(LAYERS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn fields_are_found_where_they_belong() {
        assert_eq!(field("SolverParameter", "iter_step").map(|f| f.action), Some(Rename("iter_size")));
        assert_eq!(field("LayerParameter", "engine").map(|f| f.fork), Some(INTEL));
        assert!(field("LayerParameter", "iter_step").is_none());
        assert_eq!(field("V1LayerParameter", "multibox_loss_param").map(|f| f.fork), Some(SSD));
        assert_eq!(layer("MultiBoxLoss").map(|(fork, _)| fork), Some(SSD));
        assert_eq!(layer("Convolution"), None);
    }
}
