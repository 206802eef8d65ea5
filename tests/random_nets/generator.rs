//! Draws layers from the table of types: settings, further bottoms, and what their values may be.

use cnnctl::layers::{Arity, Kind, LAYERS, Role};

/// Types that read or write files, or do not run before they are fed.
pub const WITH_DATA: [&str; 6] = ["Data", "HDF5Data", "HDF5Output", "ImageData", "MemoryData", "WindowData"];

/// The types that need no data.
pub fn kinds() -> Vec<&'static Kind> {
    LAYERS.iter().copied().filter(|k| !WITH_DATA.contains(&k.name)).collect()
}

/// Numbers that depend on a seed only.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, 0 if that is 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n.max(1)
    }

    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    pub fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// From -1 to 1.
    pub fn value(&mut self) -> f32 {
        self.below(2001) as f32 / 1000.0 - 1.0
    }
}

/// A blob and its shape.
pub type Blob = (String, Vec<usize>);

/// A net in the making.
#[derive(Clone, Default)]
pub struct Sketch {
    /// Its layers, as text.
    pub text: String,
    /// The values of its `Input` blobs.
    pub inputs: Vec<(String, Vec<f32>)>,
    layers: usize,
}

impl Sketch {
    /// An `Input` of this shape with these values.
    pub fn input(&mut self, shape: &[usize], value: impl FnMut(usize) -> f32) -> Blob {
        let name = format!("in{}", self.inputs.len());
        let dims: String = shape.iter().map(|n| format!("dim: {n} ")).collect();
        self.text += &format!(
            "layer {{ name: '{name}' type: 'Input' top: '{name}' input_param {{ shape {{ {dims}}} }} }}\n"
        );
        self.inputs.push((name.clone(), (0..shape.iter().product()).map(value).collect()));
        (name, shape.to_vec())
    }

    /// An `Input`, and a learned factor and summand for each of its values, whose diffs show what comes back.
    pub fn start(&mut self, shape: &[usize], draw: &mut Draw) -> Blob {
        let input = self.input(shape, |_| draw.value());
        if shape.is_empty() {
            return input;
        }
        let settings = "scale_param { axis: 0 num_axes: -1 bias_term: true }";
        self.layer("Scale", &[&input.0], &["start".into()], settings);
        ("start".into(), input.1)
    }

    /// A layer of this type over these blobs.
    pub fn layer(&mut self, kind: &str, bottoms: &[&str], tops: &[String], settings: &str) {
        let blobs = |word: &str, names: &[String]| -> String {
            names.iter().map(|name| format!("{word}: '{name}' ")).collect()
        };
        let bottoms: Vec<String> = bottoms.iter().map(|&name| name.to_owned()).collect();
        let name = format!("layer{}", self.layers);
        self.layers += 1;
        self.text += &format!(
            "layer {{ name: '{name}' type: '{kind}' {}{}{settings} }}\n",
            blobs("bottom", &bottoms),
            blobs("top", tops)
        );
    }

    /// A layer of this type over `blob`, with all that it needs beside; in place if asked for and one top is made.
    pub fn add(&mut self, kind: &Kind, blob: &Blob, in_place: bool, draw: &mut Draw) {
        let first = match kind.name {
            // Indices, and gates of a shape of their own.
            "Embed" => self.input(&[blob.1.first().copied().unwrap_or(1), 2], |i| (i % 5) as f32),
            "LSTMUnit" => self.input(&[1, 3, 2], |i| i as f32 / 6.0),
            "Axpy" if blob.1.len() > 2 => {
                let name = format!("mean{}", self.layers);
                let settings = "reduction_param { operation: MEAN axis: 2 }";
                self.layer("Reduction", &[&blob.0], std::slice::from_ref(&name), settings);
                (name, blob.1[..2].to_vec())
            }
            "DetectionOutput" => self.input(&[draw.between(1, 2), 12], |i| (i % 5) as f32 / 20.0),
            // Values of which any power and logarithm is finite.
            "Exp" | "Log" | "Power" | "MultinomialLogisticLoss" => {
                let name = format!("squashed{}", self.layers);
                self.layer("Sigmoid", &[&blob.0], std::slice::from_ref(&name), "");
                (name, blob.1.clone())
            }
            _ => blob.clone(),
        };
        let mut bottoms = match kind.bottoms {
            Arity::Exactly(0) => vec![],
            _ => vec![first.0.clone()],
        };
        bottoms.extend(self.further_bottoms(kind, &first.1, draw));
        let tops = match (kind.name, kind.tops) {
            ("Filter", _) => bottoms.len() - 1,
            ("Slice" | "Split", _) => draw.between(1, 2),
            ("RNN" | "LSTM", _) => 1,
            (_, Arity::LikeBottoms) => bottoms.len(),
            (_, Arity::Between(low, high)) if draw.one_in(2) => high.min(low + 1),
            (_, tops) => tops.least(),
        };
        let mut tops: Vec<String> = (0..tops).map(|i| format!("blob{}_{i}", self.layers)).collect();
        if in_place && tops.len() == 1 && bottoms.len() == 1 && kind.role == Role::Transform {
            tops = vec![bottoms[0].clone()];
        }
        let settings = settings(kind.name, &first.1, [bottoms.len(), tops.len()], draw);
        let bottoms: Vec<&str> = bottoms.iter().map(|b| &b[..]).collect();
        self.layer(kind.name, &bottoms, &tops, &settings);
    }

    /// The bottoms after the first.
    fn further_bottoms(&mut self, kind: &Kind, shape: &[usize], draw: &mut Draw) -> Vec<String> {
        let samples = shape.first().copied().unwrap_or(1);
        let channels = shape.get(1).copied().unwrap_or(1);
        let count: usize = shape.iter().product();
        let per_sample = count / samples.max(1);
        let positions = [&shape[..1.min(shape.len())], shape.get(2..).unwrap_or(&[])].concat();
        let mut more = |shape: &[usize], value: &mut dyn FnMut(usize) -> f32| self.input(shape, value).0;
        match kind.name {
            "Accuracy" | "SoftmaxWithLoss" => vec![more(&positions, &mut |_| draw.below(channels) as f32)],
            "InfogainLoss" => vec![
                more(&positions, &mut |_| draw.below(channels) as f32),
                more(&[1, 1, channels, channels], &mut |i| (i % 3) as f32),
            ],
            "OrdinalRegressionLoss" => vec![more(&positions, &mut |_| draw.below(channels + 1) as f32)],
            "HingeLoss" | "MultinomialLogisticLoss" => {
                vec![more(&[samples], &mut |_| draw.below(per_sample) as f32)]
            }
            "SigmoidCrossEntropyLoss" => vec![more(shape, &mut |_| draw.below(2) as f32)],
            "ContrastiveLoss" => {
                vec![more(shape, &mut |_| draw.value()), more(&[samples], &mut |_| draw.below(2) as f32)]
            }
            "Axpy" => [0; 2].map(|_| more(&[shape, &[2, 3]].concat(), &mut |_| draw.value())).to_vec(),
            "SmoothL1Loss" => (0..draw.between(1, 3)).map(|_| more(shape, &mut |_| draw.value())).collect(),
            "EuclideanLoss" | "Eltwise" => vec![more(shape, &mut |_| draw.value())],
            "Concat" if draw.one_in(2) => vec![more(shape, &mut |_| draw.value())],
            "Scale" | "Bias" if draw.one_in(2) => {
                vec![more(shape.get(1..2).unwrap_or(&[]), &mut |_| draw.value())]
            }
            "BatchReindex" => vec![more(&[3], &mut |_| draw.below(samples) as f32)],
            "Filter" => vec![more(&[samples], &mut |_| draw.below(2) as f32)],
            "Upsample" if draw.one_in(2) => {
                // A place of its own for each value.
                let plane = shape.iter().skip(2).product::<usize>().max(1);
                vec![more(shape, &mut |i| (i % plane * 4 + draw.below(4)) as f32)]
            }
            "Interp" if draw.one_in(3) => vec![more(&[2, 1, 3, 4], &mut |_| 0.0)],
            "Crop" => {
                let cut: Vec<usize> = shape.iter().map(|&n| n.div_ceil(2)).collect();
                vec![more(&cut, &mut |_| 0.0)]
            }
            "RNN" | "LSTM" => vec![more(&[samples, channels], &mut |_| draw.below(2) as f32)],
            "LSTMUnit" => {
                vec![more(&[1, 3, 8], &mut |_| draw.value()), more(&[1, 3], &mut |i| (i % 2) as f32)]
            }
            "DetectionOutput" => {
                let corner = [0.1, 0.1, 0.6, 0.5];
                let priors = more(&[1, 2, 12], &mut |i| if i < 12 { corner[i % 4] } else { 0.1 });
                vec![more(&[samples, 6], &mut |_| draw.value()), priors]
            }
            "PriorBox" => vec![more(&[1, 3, 20, 30], &mut |_| 0.0)],
            "ROIPooling" => {
                let mut value = |i: usize| draw.below(if i.is_multiple_of(5) { samples } else { 9 }) as f32;
                vec![more(&[3, 5], &mut value)]
            }
            "Silence" if draw.one_in(2) => vec![more(&[2], &mut |_| 1.0)],
            _ => vec![],
        }
    }
}

/// Settings of a type, most of which fit a bottom of this shape.
fn settings(kind: &str, shape: &[usize], [bottoms, tops]: [usize; 2], draw: &mut Draw) -> String {
    let channels = shape.get(1).copied().unwrap_or(1).max(1);
    let axis = draw.below(shape.len());
    let filler = "weight_filler { type: 'xavier' } bias_filler { type: 'constant' value: 0.1 }";
    let bias = draw.one_in(2);
    match kind {
        "Convolution"
        | "Deconvolution"
        | "LocallyConnected"
        | "Im2col"
        | "DepthwiseConvolution"
        | "ConvolutionDepthwise" => {
            let (kernel, dilation) = (draw.between(1, 3), draw.between(1, 2));
            let (pad, stride) = (draw.below(kernel + 1), draw.between(1, 3));
            let spatial = format!("kernel_size: {kernel} pad: {pad} stride: {stride} dilation: {dilation}");
            let mut numbers = format!("num_output: {}", draw.between(1, 4));
            if kind.contains("Depthwise") {
                numbers = format!("num_output: {}", channels * draw.between(1, 2));
            } else if draw.one_in(3) {
                numbers = format!("num_output: {channels} group: {channels}");
            }
            format!("convolution_param {{ {numbers} {spatial} bias_term: {bias} {filler} }}")
        }
        "Pooling" => {
            let pool = match tops {
                2 => &"MAX",
                _ => draw.of(&["MAX", "AVE", "L2", "GAUSSIAN", "STOCHASTIC"]),
            };
            let (kernel, stride) = (draw.between(1, 3), draw.between(1, 3));
            let pad = draw.below(kernel);
            let windows = match draw.one_in(4) {
                true => "global_pooling: true".to_owned(),
                false => format!("kernel_size: {kernel} stride: {stride} pad: {pad}"),
            };
            format!("pooling_param {{ pool: {pool} {windows} }}")
        }
        "SPP" => format!(
            "spp_param {{ pyramid_height: {} pool: {} }}",
            draw.between(1, 3),
            draw.of(&["MAX", "AVE"])
        ),
        "InnerProduct" => format!(
            "inner_product_param {{ num_output: {} axis: {axis} transpose: {bias} {filler} }}",
            draw.between(1, 5)
        ),
        "Embed" => format!("embed_param {{ num_output: {} input_dim: 5 {filler} }}", draw.between(1, 3)),
        "RNN" | "LSTM" => format!("recurrent_param {{ num_output: {} {filler} }}", draw.between(1, 4)),
        "LRN" => format!(
            "lrn_param {{ local_size: {} norm_region: {} }}",
            draw.of(&[1, 3, 5]),
            draw.of(&["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
        ),
        "Normalize" => format!("norm_param {{ across_spatial: {bias} channel_shared: {} }}", draw.one_in(2)),
        "MVN" => format!("mvn_param {{ across_channels: {bias} normalize_variance: {} }}", draw.one_in(2)),
        "LocalContrastNormalization" => format!(
            "local_contrast_normalization_param {{ kernel_size: 3 operation: {} }}",
            draw.of(&["SUBTRACTIVE", "DIVISIVE"])
        ),
        "Scale" => format!("scale_param {{ bias_term: {bias} filler {{ type: 'uniform' }} }}"),
        "Exp" => format!("exp_param {{ base: {} shift: 0.5 scale: -1.5 }}", draw.of(&["-1", "2"])),
        "Log" => format!("log_param {{ base: {} shift: 0.5 }}", draw.of(&["-1", "10"])),
        "Power" => {
            format!("power_param {{ power: {} shift: 0.5 scale: 2 }}", draw.of(&["1", "2", "-1", "0.3"]))
        }
        "Clip" => "clip_param { min: -0.5 max: 0.75 }".into(),
        "Threshold" => "threshold_param { threshold: 0.2 }".into(),
        "ReLU6" => format!("relu6_param {{ negative_slope: {} }}", draw.of(&["0", "0.1"])),
        "ReLU" => format!("relu_param {{ negative_slope: {} }}", draw.of(&["0", "0.1"])),
        "Dropout" => format!("dropout_param {{ dropout_ratio: {} }}", draw.of(&["0.5", "0.1"])),
        "DetectionOutput" => format!(
            "detection_output_param {{ num_classes: 2 keep_top_k: 1 code_type: {} nms_param {{ top_k: 2 }} }}",
            draw.of(&["CORNER", "CENTER_SIZE", "CORNER_SIZE"])
        ),
        "ROIPooling" => "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.7 }".into(),
        "PriorBox" => "prior_box_param { min_size: 4 max_size: 9 aspect_ratio: 2 clip: true }".into(),
        "PReLU" => format!("prelu_param {{ channel_shared: {bias} }}"),
        "BN" if tops > 1 => "bn_param { bn_mode: LEARN scale_filler { type: 'uniform' } }".into(),
        "BN" => format!(
            "bn_param {{ {} }}",
            draw.of(&[
                "slope_filler { value: 1 }",
                "slope_filler { value: 1 } frozen: true",
                "bn_mode: INFERENCE scale_filler { value: -0.5 } shift_filler { value: 1 }",
            ])
        ),
        "Concat" => format!("concat_param {{ axis: {axis} }}"),
        "Slice" if tops == 2 => format!("slice_param {{ axis: {axis} slice_point: 1 }}"),
        "Crop" => format!("crop_param {{ axis: {axis} }}"),
        "Interp" if bottoms == 2 => String::new(),
        "Interp" => format!(
            "interp_param {{ {} pad_beg: {} }}",
            draw.of(&["zoom_factor: 2", "shrink_factor: 2", "height: 3 width: 2"]),
            draw.of(&["0", "-1"])
        ),
        "Upsample" => "upsample_param { scale: 2 }".into(),
        "SmoothL1Loss" => format!("smooth_l1_loss_param {{ sigma: {} }}", draw.of(&["1", "3"])),
        "Flatten" => format!("flatten_param {{ axis: {axis} }}"),
        "Reshape" => {
            format!("reshape_param {{ shape {{ {} dim: -1 }} }}", draw.of(&["", "dim: 0", "dim: 1"]))
        }
        "Tile" => format!("tile_param {{ axis: {axis} tiles: {} }}", draw.between(1, 3)),
        "ShuffleChannel" if channels.is_multiple_of(2) => "shuffle_channel_param { group: 2 }".into(),
        "ShuffleChannel" => format!("shuffle_channel_param {{ group: {channels} }}"),
        "Permute" => format!("permute_param {{ order: {axis} }}"),
        "Reduction" => format!(
            "reduction_param {{ operation: {} axis: {axis} coeff: 0.5 }}",
            draw.of(&["SUM", "ASUM", "SUMSQ", "MEAN"])
        ),
        "Eltwise" => format!("eltwise_param {{ operation: {} }}", draw.of(&["PROD", "SUM", "MAX"])),
        "ArgMax" => format!("argmax_param {{ out_max_val: {bias} axis: {axis} }}"),
        "Parameter" => "parameter_param { shape { dim: 2 dim: 3 } }".into(),
        "Softmax" => format!("softmax_param {{ axis: {axis} }}"),
        "HingeLoss" => format!("hinge_loss_param {{ norm: {} }}", draw.of(&["L1", "L2"])),
        "SoftmaxWithLoss" | "SigmoidCrossEntropyLoss" => {
            format!("loss_param {{ normalization: {} }}", draw.of(&["VALID", "FULL", "BATCH_SIZE", "NONE"]))
        }
        "ContrastiveLoss" => format!("contrastive_loss_param {{ legacy_version: {bias} }}"),
        "OrdinalRegressionLoss" | "OrdinalRank" => "ordinal_regression_param { outputs: SIGMOID }".into(),
        "DummyData" => "dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: 'gaussian' } }".into(),
        "Input" => "input_param { shape { dim: 2 } }".into(),
        _ => String::new(),
    }
}
