//! The convolution family and `InnerProduct`.

use super::{
    graph::{Graph, Value, int, ints},
    scene::{Converted, Scene, one},
};
use crate::{
    layers::{ConvolutionSettings, LayerError, Window},
    tensor::Shape,
};

/// The settings of a layer of the family, fitted to its bottoms.
fn window(s: &Scene<'_>) -> Result<(ConvolutionSettings, Window), LayerError> {
    let settings = ConvolutionSettings::new(s.config().convolution_param.as_ref())?;
    let shapes: Vec<Shape> = s.bottoms.iter().map(|b| b.shape.clone()).collect();
    let window = settings.fit(&shapes)?;
    match window.sides.len() {
        0..=3 => Ok((settings, window)),
        n => Err(LayerError::shape(format!("has {n} spatial axes: programs that read ONNX take at most 3"))),
    }
}

/// Sizes along the spatial axes; an axis of 1 where there is none.
fn along(sizes: &[usize], default: usize) -> Vec<usize> {
    if sizes.is_empty() { vec![default] } else { sizes.to_vec() }
}

/// The attributes of a convolution with this window.
fn attributes(w: &Window, group: usize) -> Vec<super::proto::AttributeProto> {
    let pads = along(&w.pad, 0);
    vec![
        ints("kernel_shape", &along(&w.kernel, 1)),
        ints("strides", &along(&w.stride, 1)),
        ints("dilations", &along(&w.dilation, 1)),
        ints("pads", &[&pads[..], &pads].concat()),
        int("group", group as i64),
    ]
}

/// A bottom as `N x C x ...`, whichever axis its channels are.
fn picture(g: &mut Graph, w: &Window, x: &Value) -> Value {
    g.reshape(x, [&[w.samples, w.channels], &along(&w.sides, 1)[..]].concat())
}

/// A node of kind `kind` on each bottom, with the layer's weights.
fn convolve(s: &mut Scene<'_>, kind: &str, w: &Window, group: usize) -> Converted {
    let stored = s.layer.outline.params[0].shape.to_vec();
    let weights = s.weight_as(0, [&stored[..2], &along(&stored[2..], 1)].concat());
    let bias = s.has_param(1).then(|| s.weight(1));
    let mut tops = Vec::with_capacity(s.bottoms.len());
    for (x, top) in s.bottoms.clone().iter().zip(s.tops.clone()) {
        let x = picture(s.graph, w, x);
        let channels = top[w.axis];
        let shape = [&[w.samples, channels], &along(&top[w.axis + 1..], 1)[..]].concat();
        let inputs: Vec<&Value> = [&x, &weights].into_iter().chain(&bias).collect();
        let y = s.graph.op(kind, &inputs, attributes(w, group), shape);
        tops.push(s.graph.reshape(&y, top));
    }
    Ok(tops)
}

/// `Convolution`.
pub fn convolution(s: &mut Scene<'_>) -> Converted {
    let (settings, w) = window(s)?;
    convolve(s, "Conv", &w, settings.group())
}

/// `DepthwiseConvolution`, under either name.
pub fn depthwise(s: &mut Scene<'_>) -> Converted {
    let (_, w) = window(s)?;
    convolve(s, "Conv", &w, w.channels)
}

/// `Deconvolution`: ONNX's ConvTranspose keeps its weights as Caffe does.
pub fn deconvolution(s: &mut Scene<'_>) -> Converted {
    let (settings, w) = window(s)?;
    convolve(s, "ConvTranspose", &w, settings.group())
}

/// The windows of x, `N x (C kernel...) x S'...`: a convolution with filters that each pick one element.
fn columns(g: &mut Graph, w: &Window, x: &Value, sides: &[usize]) -> Value {
    let taps: usize = w.kernel.iter().product();
    let filters = w.channels * taps;
    let mut picks = vec![0.0; filters * taps];
    (0..filters).for_each(|i| picks[i * taps + i % taps] = 1.0);
    let picks = g.floats("picks", [&[filters, 1], &along(&w.kernel, 1)[..]].concat(), &picks);
    let shape = [&[w.samples, filters], &along(sides, 1)[..]].concat();
    g.op("Conv", &[x, &picks], attributes(w, w.channels), shape)
}

/// `Im2col`.
pub fn im2col(s: &mut Scene<'_>) -> Converted {
    let (_, w) = window(s)?;
    let (x, top) = (s.x(), s.tops[0].clone());
    let x = picture(s.graph, &w, &x);
    let y = columns(s.graph, &w, &x, &top[w.axis + 1..]);
    one(s.graph.reshape(&y, top))
}

/// `LocallyConnected`: the windows of each position times the weights of that position.
pub fn locally_connected(s: &mut Scene<'_>) -> Converted {
    let (settings, w) = window(s)?;
    let (group, outputs) = (settings.group(), settings.num_output()?);
    let taps: usize = w.kernel.iter().product::<usize>() * w.channels / group;
    let (samples, each) = (w.samples, outputs / group);
    let mut tops = Vec::with_capacity(s.bottoms.len());
    for (x, top) in s.bottoms.clone().iter().zip(s.tops.clone()) {
        let sides = &top[w.axis + 1..];
        let positions: usize = sides.iter().product();
        let weights = s.weight_as(0, [positions, group, each, taps]);
        let x = picture(s.graph, &w, x);
        let x = columns(s.graph, &w, &x, sides);
        let x = s.graph.reshape(&x, [samples, group, taps, positions]);
        // Samples x taps for each position and group, times taps x outputs.
        let x = transpose(s.graph, &x, [3, 1, 0, 2]);
        let weights = transpose(s.graph, &weights, [0, 1, 3, 2]);
        let y = s.graph.op("MatMul", &[&x, &weights], vec![], [positions, group, samples, each]);
        let y = transpose(s.graph, &y, [2, 1, 3, 0]);
        let mut y = s.graph.reshape(&y, [samples, outputs, positions]);
        if s.has_param(1) {
            let bias = s.weight_as(1, [1, positions, outputs]);
            let bias =
                s.graph.op("Transpose", &[&bias], vec![ints("perm", &[0, 2, 1])], [1, outputs, positions]);
            y = s.graph.zip("Add", &y, &bias);
        }
        tops.push(s.graph.reshape(&y, top));
    }
    Ok(tops)
}

fn transpose(g: &mut Graph, x: &Value, order: [usize; 4]) -> Value {
    g.op("Transpose", &[x], vec![ints("perm", &order)], order.map(|axis| x.shape[axis]))
}

/// `InnerProduct`: the bottom as a matrix, times the weights.
pub fn inner_product(s: &mut Scene<'_>) -> Converted {
    let param = s.config().inner_product_param.clone().unwrap_or_default();
    let (x, top) = (s.x(), s.tops[0].clone());
    let axis = s.axis(param.axis());
    let [rows, inputs] = [x.shape.count_of(..axis), x.shape.count_of(axis..)];
    let x = match axis {
        1 if x.shape.len() > 2 => s.graph.op("Flatten", &[&x], vec![int("axis", 1)], [rows, inputs]),
        _ => s.graph.reshape(&x, [rows, inputs]),
    };
    let weights = s.weight(0);
    let bias = s.has_param(1).then(|| s.weight(1));
    let operands: Vec<&Value> = [&x, &weights].into_iter().chain(&bias).collect();
    let turned = int("transB", i64::from(!param.transpose()));
    let y = s.graph.op("Gemm", &operands, vec![turned], [rows, param.num_output() as usize]);
    one(s.graph.reshape(&y, top))
}
