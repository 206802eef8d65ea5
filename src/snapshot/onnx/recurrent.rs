//! `LSTM`, `RNN` and `LSTMUnit`.
//!
//! ONNX's own LSTM cannot forget in the middle of a sequence, as Caffe's does where `cont` is 0. So the steps are a Scan: a
//! small graph that runs for each, with the state handed on.

use super::{
    graph::{Graph, Value, graph, int, ints},
    scene::{Converted, Scene},
};
use crate::tensor::Shape;

/// The sizes: steps, sequences side by side, values of the state.
struct Sizes {
    steps: usize,
    streams: usize,
    hidden: usize,
}

/// A recurrent layer with its products with the input done.
struct Recurrent {
    sizes: Sizes,
    /// W x_t + b (+ W_static x_static) of all steps, `T x N x width`.
    products: Value,
    /// `T x N x 1`.
    cont: Value,
    /// The first states, `N x D`.
    states: Vec<Value>,
    /// The state's weights, turned: `D x width`.
    weights: Value,
    /// The number of the next parameter.
    next: usize,
    exposed: bool,
}

/// What `LSTM` and `RNN` share; `states` says how many states there are.
fn start(s: &mut Scene<'_>, states: usize) -> Recurrent {
    let param = s.config().recurrent_param.clone().unwrap_or_default();
    let exposed = param.expose_hidden();
    let x = s.x();
    let sizes = Sizes { steps: x.shape[0], streams: x.shape[1], hidden: param.num_output() as usize };
    let (steps, streams) = (sizes.steps, sizes.streams);
    let has_fixed = s.bottoms.len() > 2 + if exposed { states } else { 0 };
    let width = s.layer.outline.params[0].shape[0];
    let x = s.graph.reshape(&x, [steps, streams, x.shape.count_of(2..)]);
    let mut products = times(s, &x, 0);
    let bias = s.weight(1);
    products = s.graph.zip("Add", &products, &bias);
    let mut next = 2;
    if has_fixed {
        let fixed = s.bottoms[2].clone();
        let fixed = s.graph.reshape(&fixed, [streams, fixed.shape.count_of(1..)]);
        let fixed = times(s, &fixed, next);
        products = s.graph.zip("Add", &products, &fixed);
        next += 1;
    }
    let weights = turned(s, next);
    let cont = s.bottoms[1].clone();
    let cont = s.graph.reshape(&cont, [steps, streams, 1]);
    let first = |i: usize| 2 + usize::from(has_fixed) + i;
    let state = [streams, sizes.hidden];
    let states = if exposed {
        (0..states).map(|i| s.graph.reshape(&s.bottoms[first(i)], state)).collect()
    } else {
        let name = s.config().name();
        s.notes.push(format!(
            "layer `{name}`: in ONNX each run begins with a state of 0, where Caffe goes on from the run before"
        ));
        let zeros = vec![0.0; streams * sizes.hidden];
        vec![s.graph.floats("start", state, &zeros); states]
    };
    debug_assert_eq!(products.shape[2], width);
    Recurrent { sizes, products, cont, states, weights, next: next + 1, exposed }
}

/// Parameter `i`, a matrix, turned.
fn turned(s: &mut Scene<'_>, i: usize) -> Value {
    let weights = s.weight(i);
    let shape = [weights.shape[1], weights.shape[0]];
    s.graph.op("Transpose", &[&weights], vec![ints("perm", &[1, 0])], shape)
}

/// x times parameter `i`, along x's last axis.
fn times(s: &mut Scene<'_>, x: &Value, i: usize) -> Value {
    let weights = turned(s, i);
    let shape = [&x.shape[..x.shape.len() - 1], &[weights.shape[1]]].concat();
    s.graph.op("MatMul", &[x, &weights], vec![], shape)
}

/// The gates of a step, `... x 4D` in order i, f, o, g, the cell before and whether to keep it: the new cell and output.
fn unit(g: &mut Graph, gates: &Value, cell: &Value, cont: &Value) -> [Value; 2] {
    let axis = gates.shape.len() - 1;
    let sides = g.ints("sides", &[cell.shape[axis] as i64; 4]);
    let parts =
        g.ops("Split", &[gates, &sides], vec![int("axis", axis as i64)], &vec![cell.shape.clone(); 4]);
    let [i, f, o] = [0, 1, 2].map(|gate| g.map("Sigmoid", &parts[gate]));
    let new = g.map("Tanh", &parts[3]);
    let f = g.zip("Mul", &f, cont);
    let (old, new) = (g.zip("Mul", &f, cell), g.zip("Mul", &i, &new));
    let cell = g.zip("Add", &old, &new);
    let seen = g.map("Tanh", &cell);
    let output = g.zip("Mul", &o, &seen);
    [cell, output]
}

/// Runs `step` for each step, which is given the products, `cont` and the states, and gives the new states, the output
/// first. Gives the outputs of all steps, and the last states.
fn scan(
    s: &mut Scene<'_>,
    r: &Recurrent,
    step: impl FnOnce(&mut Graph, &Value, &Value, &[Value]) -> Vec<Value>,
) -> Vec<Value> {
    let Sizes { steps, streams, hidden } = r.sizes;
    let state = Shape::from([streams, hidden]);
    let g = &mut *s.graph;
    let body = g.body(|g| {
        let before: Vec<Value> = r.states.iter().map(|_| g.body_input("before", state.clone())).collect();
        let products = g.body_input("products", [streams, r.products.shape[2]]);
        let cont = g.body_input("cont", [streams, 1]);
        let after = step(g, &products, &cont, &before);
        let output = g.map("Identity", &after[0]);
        ([before, vec![products, cont]].concat(), [after, vec![output]].concat())
    });
    let inputs: Vec<&Value> = r.states.iter().chain([&r.products, &r.cont]).collect();
    let mut shapes = vec![state; r.states.len()];
    shapes.push([steps, streams, hidden].into());
    let mut values = g.ops("Scan", &inputs, vec![graph("body", body), int("num_scan_inputs", 2)], &shapes);
    values.rotate_right(1);
    values
}

/// The tops: the outputs and, where they are exposed, the last states.
fn finish(s: &mut Scene<'_>, r: &Recurrent, mut values: Vec<Value>) -> Converted {
    values.truncate(if r.exposed { values.len() } else { 1 });
    let tops = s.tops.clone();
    Ok(values.iter().zip(tops).map(|(value, top)| s.graph.reshape(value, top)).collect())
}

/// `LSTM`.
pub fn lstm(s: &mut Scene<'_>) -> Converted {
    let r = start(s, 2);
    let values = scan(s, &r, |g, products, cont, before| {
        let kept = g.zip("Mul", &before[0], cont);
        let own = g.op("MatMul", &[&kept, &r.weights], vec![], products.shape.clone());
        let gates = g.zip("Add", products, &own);
        let [cell, output] = unit(g, &gates, &before[1], cont);
        vec![output, cell]
    });
    finish(s, &r, values)
}

/// `RNN`: hidden values step by step, then the outputs of all steps.
pub fn rnn(s: &mut Scene<'_>) -> Converted {
    let r = start(s, 1);
    let mut values = scan(s, &r, |g, products, cont, before| {
        let kept = g.zip("Mul", &before[0], cont);
        let own = g.op("MatMul", &[&kept, &r.weights], vec![], products.shape.clone());
        let sum = g.zip("Add", products, &own);
        vec![g.map("Tanh", &sum)]
    });
    let outputs = times(s, &values[0], r.next);
    let bias = s.weight(r.next + 1);
    let outputs = s.graph.zip("Add", &outputs, &bias);
    values[0] = s.graph.map("Tanh", &outputs);
    finish(s, &r, values)
}

/// `LSTMUnit`.
pub fn lstm_unit(s: &mut Scene<'_>) -> Converted {
    let [cell, gates, cont] = [0, 1, 2].map(|i| s.bottoms[i].clone());
    let cont = s.graph.reshape(&cont, [&cont.shape[..], &[1]].concat());
    Ok(unit(s.graph, &gates, &cell, &cont).to_vec())
}
