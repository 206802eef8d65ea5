//! Layers that work on each value by itself.

use super::{
    graph::{Value, float},
    proto::tensor_proto::DataType,
    scene::{Converted, Scene, one},
};
use crate::{
    layers::{LayerError, RELU6_CUT},
    tensor::Shape,
};

/// `AbsVal`.
pub fn abs_val(s: &mut Scene<'_>) -> Converted {
    let x = s.x();
    one(s.graph.map("Abs", &x))
}

/// `Axpy`: a * x + y.
pub fn axpy(s: &mut Scene<'_>) -> Converted {
    let [a, x, y] = [0, 1, 2].map(|i| s.bottoms[i].clone());
    let mut shape = vec![1; x.shape.len()];
    shape[..2].copy_from_slice(&x.shape[..2]);
    let a = s.graph.reshape(&a, shape);
    let product = s.graph.zip("Mul", &x, &a);
    one(s.graph.zip("Add", &product, &y))
}

/// `BNLL`: log(1 + e^x), which is ONNX's Softplus.
pub fn bnll(s: &mut Scene<'_>) -> Converted {
    let x = s.x();
    one(s.graph.map("Softplus", &x))
}

/// `Clip`: where `min` is above `max`, ONNX gives the one and Caffe the other.
pub fn clip(s: &mut Scene<'_>) -> Converted {
    let param = s.config().clip_param.unwrap_or_default();
    let max = param.max.max(param.min);
    let (x, min, max) = (s.x(), s.graph.scalar("min", param.min), s.graph.scalar("max", max));
    one(s.graph.op("Clip", &[&x, &min, &max], vec![], x.shape.clone()))
}

/// `Dropout`: nothing in TEST.
pub fn dropout(s: &mut Scene<'_>) -> Converted {
    one(s.x())
}

/// `ELU`.
pub fn elu(s: &mut Scene<'_>) -> Converted {
    let (x, alpha) = (s.x(), s.config().elu_param.unwrap_or_default().alpha());
    one(s.graph.op("Elu", &[&x], vec![float("alpha", alpha)], x.shape.clone()))
}

/// `Exp`: base^(shift + scale * x), as e^(ln(base) * (...)).
pub fn exp(s: &mut Scene<'_>) -> Converted {
    let (x, param) = (s.x(), s.config().exp_param.unwrap_or_default());
    let log_base = log_base(param.base());
    let [scale, shift] = [param.scale(), param.shift()].map(|v| (log_base * f64::from(v)) as f32);
    let t = s.graph.affine(&x, scale, shift);
    one(s.graph.map("Exp", &t))
}

/// The natural logarithm of a base, where -1 stands for e.
fn log_base(base: f32) -> f64 {
    if base == -1.0 { 1.0 } else { f64::from(base).ln() }
}

/// `Log`: ln(shift + scale * x) / ln(base).
pub fn log(s: &mut Scene<'_>) -> Converted {
    let (x, param) = (s.x(), s.config().log_param.unwrap_or_default());
    let t = s.graph.affine(&x, param.scale(), param.shift());
    let y = s.graph.map("Log", &t);
    one(s.graph.affine(&y, (1.0 / log_base(param.base())) as f32, 0.0))
}

/// `Power`: (shift + scale * x)^power; the same everywhere where power or scale is 0.
pub fn power(s: &mut Scene<'_>) -> Converted {
    let (x, param) = (s.x(), s.config().power_param.unwrap_or_default());
    let power = param.power();
    if power == 0.0 || param.scale() == 0.0 {
        let value = if power == 0.0 { 1.0 } else { param.shift().powf(power) };
        return one(filled(s, &x, value));
    }
    let t = s.graph.affine(&x, param.scale(), param.shift());
    if power == 1.0 {
        return one(t);
    }
    if power == 2.0 {
        return one(s.graph.zip("Mul", &t, &t));
    }
    let power = s.graph.scalar("power", power);
    one(s.graph.zip("Pow", &t, &power))
}

/// One number everywhere, in the shape of x.
fn filled(s: &mut Scene<'_>, x: &Value, value: f32) -> Value {
    let shape = s.graph.op("Shape", &[x], vec![], [x.shape.len()]);
    let value = s.graph.scalar("value", value);
    s.graph.op("Expand", &[&value, &shape], vec![], x.shape.clone())
}

/// `PReLU`: a slope for each channel, or one for all.
pub fn prelu(s: &mut Scene<'_>) -> Converted {
    let x = s.x();
    let shared = s.config().prelu_param.clone().unwrap_or_default().channel_shared();
    let mut shape = vec![1; x.shape.len() - 1];
    if !shared {
        shape[0] = x.shape[1];
    }
    let slope = s.weight_as(0, shape);
    one(s.graph.zip("PRelu", &x, &slope))
}

/// `ReLU`.
pub fn relu(s: &mut Scene<'_>) -> Converted {
    let (x, slope) = (s.x(), s.config().relu_param.unwrap_or_default().negative_slope());
    if slope == 0.0 {
        return one(s.graph.map("Relu", &x));
    }
    one(s.graph.op("LeakyRelu", &[&x], vec![float("alpha", slope)], x.shape.clone()))
}

/// `ReLU6`.
pub fn relu6(s: &mut Scene<'_>) -> Converted {
    let (x, slope) = (s.x(), s.config().relu6_param.unwrap_or_default().negative_slope());
    let max = s.graph.scalar("max", RELU6_CUT);
    if slope == 0.0 {
        let min = s.graph.scalar("min", 0.0);
        return one(s.graph.op("Clip", &[&x, &min, &max], vec![], x.shape.clone()));
    }
    let bent = s.graph.op("LeakyRelu", &[&x], vec![float("alpha", slope)], x.shape.clone());
    one(s.graph.zip("Min", &bent, &max))
}

/// `Sigmoid`.
pub fn sigmoid(s: &mut Scene<'_>) -> Converted {
    let x = s.x();
    one(s.graph.map("Sigmoid", &x))
}

/// `Swish`: x * sigmoid(beta * x).
pub fn swish(s: &mut Scene<'_>) -> Converted {
    let (x, beta) = (s.x(), s.config().swish_param.unwrap_or_default().beta());
    let t = s.graph.affine(&x, beta, 0.0);
    let gate = s.graph.map("Sigmoid", &t);
    one(s.graph.zip("Mul", &x, &gate))
}

/// `TanH`.
pub fn tanh(s: &mut Scene<'_>) -> Converted {
    let x = s.x();
    one(s.graph.map("Tanh", &x))
}

/// `Threshold`: 1 above, else 0.
pub fn threshold(s: &mut Scene<'_>) -> Converted {
    let x = s.x();
    let threshold = s.config().threshold_param.unwrap_or_default().threshold();
    let threshold = s.graph.scalar("threshold", threshold);
    let above = s.graph.zip("Greater", &x, &threshold);
    one(s.graph.cast(&above, DataType::Float))
}

/// Where an array of `array` lies over `x` from `axis` on: its shape with axes of 1 behind, so that it is repeated over
/// what follows.
fn spread(x: &Shape, array: &Shape, axis: i32) -> Vec<usize> {
    let from = if array.is_empty() { 0 } else { x.axis(axis).unwrap_or(0) };
    let behind = if array.is_empty() { 0 } else { x.len().saturating_sub(from + array.len()) };
    [&array[..], &vec![1; behind]].concat()
}

/// `Bias`.
pub fn bias(s: &mut Scene<'_>) -> Converted {
    let axis = s.config().bias_param.clone().unwrap_or_default().axis();
    let (x, bias) = (s.x(), array(s, axis, 0));
    one(s.graph.zip("Add", &x, &bias))
}

/// `Scale`, with its bias if it has one.
pub fn scale(s: &mut Scene<'_>) -> Converted {
    let param = s.config().scale_param.clone().unwrap_or_default();
    let (x, factor) = (s.x(), array(s, param.axis(), 0));
    let mut y = s.graph.zip("Mul", &x, &factor);
    if param.bias_term() {
        let own = s.bottoms.len().min(2) - 1;
        let i = 1 - own;
        let shape = spread(&x.shape, &s.layer.outline.params[i].shape, param.axis());
        let bias = s.weight_as(i, shape);
        y = s.graph.zip("Add", &y, &bias);
    }
    one(y)
}

/// What is laid over the first bottom: the second, or else parameter `i`.
fn array(s: &mut Scene<'_>, axis: i32, i: usize) -> Value {
    let x = s.x();
    match s.bottoms.get(1).cloned() {
        Some(array) => {
            let shape = spread(&x.shape, &array.shape, axis);
            s.graph.reshape(&array, shape)
        }
        None => {
            let shape = spread(&x.shape, &s.layer.outline.params[i].shape, axis);
            s.weight_as(i, shape)
        }
    }
}

/// `Eltwise`: the weighted sum, product or maximum of the bottoms.
pub fn eltwise(s: &mut Scene<'_>) -> Converted {
    use crate::config::proto::eltwise_parameter::EltwiseOp;
    let param = s.config().eltwise_param.clone().unwrap_or_default();
    let mut terms = s.bottoms.clone();
    let kind = match param.operation() {
        EltwiseOp::Sum => "Sum",
        EltwiseOp::Max => "Max",
        EltwiseOp::Prod => {
            let (first, others) = terms.split_first().ok_or_else(|| LayerError::shape("no bottoms"))?;
            let product = others.iter().fold(first.clone(), |y, x| s.graph.zip("Mul", &y, x));
            return one(product);
        }
    };
    for (term, &factor) in terms.iter_mut().zip(&param.coeff) {
        *term = s.graph.affine(term, factor, 0.0);
    }
    if let (EltwiseOp::Sum, [a, b]) = (param.operation(), &terms[..]) {
        return one(s.graph.zip("Add", a, b));
    }
    let inputs: Vec<&Value> = terms.iter().collect();
    one(s.graph.op(kind, &inputs, vec![], s.bottoms[0].shape.clone()))
}
