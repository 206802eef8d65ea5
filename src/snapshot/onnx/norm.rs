//! Layers that normalize.

use super::{
    graph::{Graph, Value, float, int, ints},
    scene::{Converted, Scene, one},
    windows::gaussian_mean,
};
use crate::{
    config::proto::{local_contrast_normalization_parameter::Operation, lrn_parameter::NormRegion},
    kernels::pool::{Axis, Pool},
    layers::{BnForm, LayerError, SEGNET_EPS},
};

/// `BatchNorm`, by the running statistics; by the batch's where `use_global_stats` is false.
pub fn batch_norm(s: &mut Scene<'_>) -> Converted {
    let (x, param) = (s.x(), s.config().batch_norm_param.unwrap_or_default());
    if param.use_global_stats == Some(false) {
        let axes: Vec<usize> = (0..x.shape.len()).filter(|&a| a != 1).collect();
        let (centred, variance) = centre(s.graph, &x, &axes);
        let variance = s.graph.affine(&variance, 1.0, param.eps());
        let deviation = s.graph.map("Sqrt", &variance);
        return one(s.graph.zip("Div", &centred, &deviation));
    }
    let [means, variances, factor] = [0, 1, 2].map(|i| s.param(i));
    // What is stored are sums; the factor is what they are divided by.
    let share = if factor.data[0] == 0.0 { 0.0 } else { 1.0 / factor.data[0] };
    let channels = means.data.len();
    let scaled = |sums: &[f32]| sums.iter().map(|v| v * share).collect::<Vec<f32>>();
    let constants = [
        ("factor", vec![1.0; channels]),
        ("offset", vec![0.0; channels]),
        ("mean", scaled(&means.data)),
        ("variance", scaled(&variances.data)),
    ];
    let constants = constants.map(|(what, values)| s.graph.floats(what, [channels], &values));
    let top = x.shape.clone();
    let x = if x.shape.len() == 1 { s.graph.reshape(&x, [x.shape[0], 1]) } else { x };
    let inputs: Vec<&Value> = std::iter::once(&x).chain(&constants).collect();
    let eps = vec![float("epsilon", param.eps())];
    let y = s.graph.op("BatchNormalization", &inputs, eps, x.shape.clone());
    one(s.graph.reshape(&y, top))
}

/// `BN`: SegNet's by its factors alone or by the batch, PSPNet's by the running statistics.
pub fn bn(s: &mut Scene<'_>) -> Converted {
    let (x, form) = (s.x(), BnForm::of(&s.config().bn_param.clone().unwrap_or_default())?);
    if s.tops.len() > 1 {
        return Err(LayerError::shape("has the batch's mean and variance as tops, which are not exported"));
    }
    let top = x.shape.clone();
    let x = if x.shape.len() == 1 { s.graph.reshape(&x, [x.shape[0], 1]) } else { x };
    let channels = x.shape[1];
    if let BnForm::Running { eps, .. } = form {
        let own = [0, 1, 2, 3].map(|i| s.weight_as(i, [channels]));
        let inputs: Vec<&Value> = std::iter::once(&x).chain(&own).collect();
        let y = s.graph.op("BatchNormalization", &inputs, vec![float("epsilon", eps)], x.shape.clone());
        return one(s.graph.reshape(&y, top));
    }
    let mut y = x.clone();
    if form == BnForm::Batch {
        let axes: Vec<usize> = (0..x.shape.len()).filter(|&a| a != 1).collect();
        let (centred, variance) = centre(s.graph, &x, &axes);
        let variance = s.graph.affine(&variance, 1.0, SEGNET_EPS);
        let deviation = s.graph.map("Sqrt", &variance);
        y = s.graph.zip("Div", &centred, &deviation);
    }
    let mut each = vec![1; x.shape.len() - 1];
    each[0] = channels;
    let [scale, shift] = [0, 1].map(|i| s.weight_as(i, each.clone()));
    let y = s.graph.zip("Mul", &y, &scale);
    let y = s.graph.zip("Add", &y, &shift);
    one(s.graph.reshape(&y, top))
}

/// x less its mean over these axes, and the variance.
fn centre(g: &mut Graph, x: &Value, axes: &[usize]) -> (Value, Value) {
    let mean = g.mean(x, axes);
    let centred = g.zip("Sub", x, &mean);
    let squares = g.zip("Mul", &centred, &centred);
    let variance = g.mean(&squares, axes);
    (centred, variance)
}

/// `MVN`: (x - mean) / (deviation + eps).
pub fn mvn(s: &mut Scene<'_>) -> Converted {
    let (x, param) = (s.x(), s.config().mvn_param.unwrap_or_default());
    let own = if param.across_channels() { 1 } else { 2 };
    let x = s.graph.reshape(&x, s.tops[0].clone());
    let axes: Vec<usize> = (own..x.shape.len()).collect();
    let y = if param.normalize_variance() {
        let (centred, variance) = centre(s.graph, &x, &axes);
        let deviation = s.graph.map("Sqrt", &variance);
        let deviation = s.graph.affine(&deviation, 1.0, param.eps());
        s.graph.zip("Div", &centred, &deviation)
    } else {
        let mean = s.graph.mean(&x, &axes);
        s.graph.zip("Sub", &x, &mean)
    };
    one(y)
}

/// `Normalize`: x / sqrt(sum of squares + eps), times the factors.
pub fn normalize(s: &mut Scene<'_>) -> Converted {
    let (x, param) = (s.x(), s.config().norm_param.clone().unwrap_or_default());
    let end = if param.across_spatial() { x.shape.len() } else { 2 };
    let axes: Vec<usize> = (1..end).collect();
    let mut shape = x.shape.to_vec();
    shape[1..end].fill(1);
    let squares = s.graph.op("ReduceSumSquare", &[&x], vec![ints("axes", &axes), int("keepdims", 1)], shape);
    let squares = s.graph.affine(&squares, 1.0, param.eps());
    let norm = s.graph.map("Sqrt", &squares);
    let y = s.graph.zip("Div", &x, &norm);
    let mut factors = vec![1; if param.channel_shared() { 0 } else { x.shape.len() - 1 }];
    factors.iter_mut().take(1).for_each(|side| *side = x.shape[1]);
    let scale = s.weight_as(0, factors);
    one(s.graph.zip("Mul", &y, &scale))
}

/// `LRN`. ONNX has the same across channels; within one it is a mean of squares.
pub fn lrn(s: &mut Scene<'_>) -> Converted {
    let (x, param) = (s.x(), s.config().lrn_param.unwrap_or_default());
    let size = param.local_size() as usize;
    let (top, pad) = (x.shape.clone(), size / 2);
    if param.norm_region() == NormRegion::WithinChannel {
        let squares = s.graph.zip("Mul", &x, &x);
        let mean = window_mean(s.graph, &squares, [size, size], [pad, pad]);
        return one(divide(s.graph, &x, &mean, [param.alpha(), 1.0, param.beta()]));
    }
    let (images, channels) = (x.shape[0], x.shape[1]);
    let inner = x.shape.count_of(2..);
    if param.alpha() > 0.0 && param.beta() > 0.0 && param.k() > 0.0 {
        // Programs want four axes.
        let x = if top.len() == 4 { x } else { s.graph.reshape(&x, [images, channels, inner, 1]) };
        let attributes = vec![
            int("size", size as i64),
            float("alpha", param.alpha()),
            float("beta", param.beta()),
            float("bias", param.k()),
        ];
        let y = s.graph.op("LRN", &[&x], attributes, x.shape.clone());
        return one(s.graph.reshape(&y, top));
    }
    // Programs refuse such numbers in their LRN; the channels become an axis that a window slides along.
    let x = s.graph.reshape(&x, [images, 1, channels, inner]);
    let squares = s.graph.zip("Mul", &x, &x);
    let mean = window_mean(s.graph, &squares, [size, 1], [pad, 0]);
    let y = divide(s.graph, &x, &mean, [param.alpha(), param.k(), param.beta()]);
    one(s.graph.reshape(&y, top))
}

/// The mean over windows around each place, in which the rim counts as zeros.
fn window_mean(g: &mut Graph, x: &Value, size: [usize; 2], [h, w]: [usize; 2]) -> Value {
    let attributes =
        vec![ints("kernel_shape", &size), ints("pads", &[h, w, h, w]), int("count_include_pad", 1)];
    g.op("AveragePool", &[x], attributes, x.shape.clone())
}

/// x * (k + alpha * mean)^-beta.
fn divide(g: &mut Graph, x: &Value, mean: &Value, [alpha, k, beta]: [f32; 3]) -> Value {
    let strength = g.affine(mean, alpha, k);
    let power = g.scalar("power", -beta);
    let factor = g.zip("Pow", &strength, &power);
    g.zip("Mul", x, &factor)
}

/// `LocalContrastNormalization`.
pub fn local_contrast(s: &mut Scene<'_>) -> Converted {
    let (x, param) = (s.x(), s.config().local_contrast_normalization_param.unwrap_or_default());
    if x.shape.len() > 5 {
        let message = "has more than 3 axes after N and C: programs that read ONNX take at most 3";
        return Err(LayerError::shape(message));
    }
    let size = param.kernel_size() as usize;
    let around = |&input: &usize| Axis { input, output: input, kernel: size, stride: 1, pad: size / 2 };
    let pool = Pool { planes: x.shape[0], axes: x.shape[2..].iter().map(around).collect() };
    let sigma = vec![param.sigma.unwrap_or(size as f32 / 4.0); pool.axes.len()];
    let g = &mut *s.graph;
    let mean = g.mean(&x, &[1]);
    let mean = gaussian_mean(g, &mean, &pool, &sigma);
    let v = g.zip("Sub", &x, &mean);
    if param.operation() != Operation::Divisive {
        return one(v);
    }
    let squares = g.zip("Mul", &v, &v);
    let squares = g.mean(&squares, &[1]);
    let variance = gaussian_mean(g, &squares, &pool, &sigma);
    let deviation = g.map("Sqrt", &variance);
    let axes: Vec<usize> = (1..x.shape.len()).collect();
    let floor = g.mean(&deviation, &axes);
    let eps = g.scalar("eps", param.eps());
    let divisor = g.op("Max", &[&deviation, &floor, &eps], vec![], deviation.shape.clone());
    one(g.zip("Div", &v, &divisor))
}
