//! Layers with windows that slide: `Pooling`, `SPP`, and the weighted means of `LocalContrastNormalization`.
//!
//! Caffe counts windows otherwise than ONNX: it rounds up, drops windows that begin in the padding behind, and divides a
//! mean by the part of the window that lies on the input or its padding. ONNX's `ceil_mode` does not say that (and
//! programs differ in it), so padding is given such that rounding down gives Caffe's windows, and means whose window hangs
//! over the padding are multiplied by what they were divided by too much.

use super::{
    graph::{Graph, Value, float, int, ints},
    proto::tensor_proto::DataType,
    scene::{Converted, Scene, one},
};
use crate::{
    kernels::pool::{Axis, Pool},
    layers::{LayerError, PoolMethod, PoolingSettings, pyramid},
    tensor::Shape,
};

/// The window along each axis, with the padding in front and behind that gives so many outputs rounding down.
fn window(pool: &Pool) -> Vec<super::proto::AttributeProto> {
    let all = |f: fn(&Axis) -> usize| pool.axes.iter().map(f).collect::<Vec<_>>();
    let pads = [all(|a| a.pad), all(behind)].concat();
    vec![ints("kernel_shape", &all(|a| a.kernel)), ints("strides", &all(|a| a.stride)), ints("pads", &pads)]
}

/// The padding behind that the last window reaches into; none where it ends before.
fn behind(a: &Axis) -> usize {
    ((a.output - 1) * a.stride + a.kernel).saturating_sub(a.input + a.pad)
}

/// The shape of the outputs of x, `N x C x ...`.
fn pooled(x: &Shape, pool: &Pool) -> Vec<usize> {
    x[..2].iter().copied().chain(pool.axes.iter().map(|a| a.output)).collect()
}

/// The product of one number for each position along each axis, over all positions.
fn product(factors: &[Vec<f32>]) -> Vec<f32> {
    factors
        .iter()
        .fold(vec![1.0], |all, axis| all.iter().flat_map(|a| axis.iter().map(move |b| a * b)).collect())
}

/// Caffe's mean over windows of x.
fn mean(g: &mut Graph, x: &Value, pool: &Pool) -> Value {
    let shape = pooled(&x.shape, pool);
    let unpadded = pool.axes.iter().all(|a| a.pad == 0);
    let mut attributes = window(pool);
    // Without padding of the net's own, what is behind is overhang, which does not count.
    attributes.push(int("count_include_pad", i64::from(!unpadded)));
    let y = g.op("AveragePool", &[x], attributes, shape.clone());
    let hangs_over = pool.axes.iter().any(|a| behind(a) > a.pad);
    if unpadded || !hangs_over {
        return y;
    }
    let factor = |a: &Axis| -> Vec<f32> {
        let counted = |o: usize| (o * a.stride + a.kernel).min(a.input + 2 * a.pad) - o * a.stride;
        (0..a.output).map(|o| a.kernel as f32 / counted(o) as f32).collect()
    };
    let factors: Vec<Vec<f32>> = pool.axes.iter().map(factor).collect();
    let outputs = [&[1, 1], &shape[2..]].concat();
    let factors = g.floats("counted", outputs, &product(&factors));
    g.zip("Mul", &y, &factors)
}

/// The mean over windows of x, weighted by exp(-d^2 / (2 sigma^2)); only what lies in the input counts.
pub fn gaussian_mean(g: &mut Graph, x: &Value, pool: &Pool, sigma: &[f32]) -> Value {
    let taps: Vec<Vec<f32>> = pool.axes.iter().zip(sigma).map(|(a, &sigma)| taps(a.kernel, sigma)).collect();
    let shares: Vec<Vec<f32>> = pool.axes.iter().zip(&taps).map(|(a, taps)| shares(a, taps)).collect();
    let shape = pooled(&x.shape, pool);
    // Each plane by itself: a picture of one channel.
    let planes = x.shape[0] * x.shape[1];
    let picture = g.reshape(x, [&[planes, 1], &x.shape[2..]].concat());
    let kernel = pool.axes.iter().map(|a| a.kernel);
    let kernel: Vec<usize> = [1, 1].into_iter().chain(kernel).collect();
    let kernel = g.floats("weights", kernel, &product(&taps));
    let summed = [&[planes, 1], &shape[2..]].concat();
    let sum = g.op("Conv", &[&picture, &kernel], window(pool), summed);
    let share = g.floats("shares", [&[1, 1], &shape[2..]].concat(), &product(&shares));
    let mean = g.zip("Mul", &sum, &share);
    g.reshape(&mean, shape)
}

/// The weights along one axis.
fn taps(kernel: usize, sigma: f32) -> Vec<f32> {
    let distance = |k| (k as f32 - (kernel - 1) as f32 / 2.0) / sigma;
    (0..kernel).map(|k| (-distance(k).powi(2) / 2.0).exp()).collect()
}

/// Along one axis, for each output: 1 over the sum of the weights that lie in the input.
fn shares(a: &Axis, taps: &[f32]) -> Vec<f32> {
    let inside = |o: usize| {
        let on_input = |k: &usize| (a.pad..a.pad + a.input).contains(&(o * a.stride + k));
        (0..a.kernel).filter(on_input).map(|k| taps[k]).sum::<f32>()
    };
    (0..a.output).map(|o| 1.0 / inside(o)).collect()
}

/// Pools x, `N x C x ...`.
fn pool(g: &mut Graph, x: &Value, pool: &Pool, method: PoolMethod) -> Value {
    let shape = pooled(&x.shape, pool);
    match method {
        PoolMethod::Max => g.op("MaxPool", &[x], window(pool), shape),
        PoolMethod::Mean => mean(g, x, pool),
        PoolMethod::L2 => {
            let attributes = [window(pool), vec![int("p", 2)]].concat();
            g.op("LpPool", &[x], attributes, shape)
        }
        PoolMethod::Gaussian(sigma) => {
            let sigma = |a: &Axis| sigma.unwrap_or(a.kernel as f32 / 4.0);
            gaussian_mean(g, x, pool, &pool.axes.iter().map(sigma).collect::<Vec<_>>())
        }
        PoolMethod::Stochastic => {
            // The sum of squares over the sum, 0 where all is 0; means have the same divisor.
            let squares = g.zip("Mul", x, x);
            let attributes = [window(pool), vec![int("count_include_pad", 1)]].concat();
            let [squares, sum] =
                [&squares, x].map(|x| g.op("AveragePool", &[x], attributes.clone(), shape.clone()));
            let least = g.scalar("least", f32::MIN_POSITIVE);
            let sum = g.zip("Max", &sum, &least);
            g.zip("Div", &squares, &sum)
        }
    }
}

/// Refuses windows of more axes than any program runs.
fn check_axes(pool: &Pool) -> Result<(), LayerError> {
    match pool.axes.len() {
        1..=3 => Ok(()),
        n => {
            Err(LayerError::shape(format!("has windows of {n} axes: programs that read ONNX take at most 3")))
        }
    }
}

/// `Pooling`, with the places of the maxima if they are asked for.
pub fn pooling(s: &mut Scene<'_>) -> Converted {
    let x = s.x();
    let settings = PoolingSettings::of(&s.config().pooling_param.clone().unwrap_or_default())?;
    let (sides, method) = (&x.shape[2..], settings.method());
    let windows = settings.pool(x.shape.count_of(..2), sides)?;
    check_axes(&windows)?;
    let shape = s.tops[0].clone();
    if s.tops.len() > 1 {
        let outputs = s.graph.ops("MaxPool", &[&x], window(&windows), &[shape.clone(), shape]);
        // ONNX counts places over the whole blob, Caffe over the plane.
        let plane = s.graph.ints("plane", &[windows.inputs() as i64]);
        let places = s.graph.zip("Mod", &outputs[1], &plane);
        let places = s.graph.cast(&places, DataType::Float);
        return Ok(vec![outputs[0].clone(), places]);
    }
    let whole = windows.axes.iter().all(|a| a.output == 1 && a.pad == 0 && a.kernel == a.input);
    let global = match method {
        PoolMethod::Max => "GlobalMaxPool",
        PoolMethod::Mean => "GlobalAveragePool",
        PoolMethod::L2 => "GlobalLpPool",
        _ => "",
    };
    if whole && !global.is_empty() {
        let attributes = if method == PoolMethod::L2 { vec![int("p", 2)] } else { vec![] };
        return one(s.graph.op(global, &[&x], attributes, shape));
    }
    one(pool(s.graph, &x, &windows, method))
}

/// `ROIPooling`: ONNX has it, with the same windows.
pub fn roi_pooling(s: &mut Scene<'_>) -> Converted {
    let (x, regions, top) = (s.x(), s.bottoms[1].clone(), s.tops[0].clone());
    let param = s.config().roi_pooling_param.unwrap_or_default();
    let regions = s.graph.reshape(&regions, [top[0], 5]);
    let grid = ints("pooled_shape", &[param.pooled_h() as usize, param.pooled_w() as usize]);
    let attributes = vec![grid, float("spatial_scale", param.spatial_scale())];
    one(s.graph.op("MaxRoiPool", &[&x, &regions], attributes, top))
}

/// `SPP`: a pooling for each level, flat, one after the other.
pub fn spp(s: &mut Scene<'_>) -> Converted {
    let x = s.x();
    let (method, levels) = pyramid(s.config(), &x.shape)?;
    let mut flat = Vec::with_capacity(levels.len());
    for level in &levels {
        check_axes(level)?;
        let y = pool(s.graph, &x, level, method);
        flat.push(s.graph.reshape(&y, [x.shape[0], y.shape.count_of(1..)]));
    }
    let top = s.tops[0].clone();
    if let [level] = &flat[..] {
        return one(s.graph.reshape(level, top));
    }
    let inputs: Vec<&Value> = flat.iter().collect();
    one(s.graph.op("Concat", &inputs, vec![int("axis", 1)], top))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::pool::{Norm, Weights, weighted_mean};

    /// Every small geometry along one axis.
    fn geometries() -> Vec<Axis> {
        let mut all = Vec::new();
        for input in 1..12 {
            for kernel in 1..6 {
                for stride in 1..5 {
                    let fit = |pad, ceil| Axis::fit(input, kernel, stride, pad, ceil);
                    all.extend((0..kernel).flat_map(|pad| [fit(pad, true), fit(pad, false)]).flatten());
                }
            }
        }
        assert!(all.len() > 1000, "{}", all.len());
        all
    }

    #[test]
    fn rounding_down_gives_caffes_windows() {
        for a in geometries() {
            let padded = a.input + a.pad + behind(&a);
            assert_eq!((padded - a.kernel) / a.stride + 1, a.output, "{a:?}");
            // Programs want less padding than window.
            assert!(behind(&a) < a.kernel, "{a:?}");
        }
    }

    /// What ONNX's rules give for the nodes of a mean over x.
    fn evaluated(graph: &Graph, x: &[f32], a: &Axis) -> Vec<f32> {
        let number = |name: &str| {
            let attribute = graph.nodes[0].attribute.iter().find(|a| a.name() == name).unwrap();
            attribute.i.unwrap_or_else(|| attribute.ints[0]) as usize
        };
        let (pad, include) = (number("pads"), number("count_include_pad") == 1);
        let mut y: Vec<f32> = (0..a.output)
            .map(|o| {
                let taps = (0..number("kernel_shape")).map(|k| o * number("strides") + k);
                let inside: Vec<f32> = taps.filter_map(|i| x.get(i.checked_sub(pad)?)).copied().collect();
                let count = if include { a.kernel } else { inside.len() };
                inside.iter().sum::<f32>() / count as f32
            })
            .collect();
        if graph.nodes.len() == 2 {
            assert_eq!(graph.nodes[1].op_type(), "Mul");
            let factors = graph.constants[0].raw_data().as_chunks().0.iter().copied().map(f32::from_le_bytes);
            y.iter_mut().zip(factors).for_each(|(y, factor)| *y *= factor);
        }
        y
    }

    #[test]
    fn means_are_caffes() {
        for a in geometries() {
            let pool = Pool { planes: 1, axes: vec![a] };
            let x: Vec<f32> = (0..a.input).map(|i| (i * i) as f32 + 1.0).collect();
            let mut want = vec![0.0; a.output];
            weighted_mean(&pool, &Weights::even(&pool, Norm::Padded), &x, &mut want);
            let mut graph = Graph::default();
            let value = Value { name: "x".into(), shape: [1, 1, a.input].into() };
            assert_eq!(mean(&mut graph, &value, &pool).shape[2], a.output);
            let found = evaluated(&graph, &x, &a);
            assert!(
                want.iter().zip(&found).all(|(w, f)| (w - f).abs() < 1e-4 * w),
                "{a:?}: {want:?}, {found:?}"
            );
        }
    }

    #[test]
    fn weights_that_lie_outside_do_not_count() {
        let a = Axis::fit(4, 3, 1, 1, true).unwrap();
        let taps = taps(3, 1.0);
        let shares = shares(&a, &taps);
        let edge = 1.0 / (taps[1] + taps[2]);
        assert!((shares[0] - edge).abs() < 1e-6 && (shares[3] - edge).abs() < 1e-6);
        assert!((shares[1] - 1.0 / taps.iter().sum::<f32>()).abs() < 1e-6);
    }
}
