//! Layers that make few values of many: `Reduction`, `Softmax`, `ArgMax`, `OrdinalRank`.

use super::{
    graph::{Value, int, ints},
    proto::tensor_proto::DataType,
    scene::{Converted, Scene, one},
};
use crate::{
    config::proto::{ordinal_regression_parameter::Outputs, reduction_parameter::ReductionOp},
    tensor::Shape,
};

/// `Softmax`.
pub fn softmax(s: &mut Scene<'_>) -> Converted {
    let (x, axis) = (s.x(), s.config().softmax_param.unwrap_or_default().axis());
    let axis = int("axis", s.axis(axis) as i64);
    one(s.graph.op("Softmax", &[&x], vec![axis], x.shape.clone()))
}

/// `Reduction` over all axes from one on.
pub fn reduction(s: &mut Scene<'_>) -> Converted {
    let (x, top) = (s.x(), s.tops[0].clone());
    let param = s.config().reduction_param.unwrap_or_default();
    let axes: Vec<usize> = (top.len()..x.shape.len()).collect();
    let flat = int("keepdims", 0);
    let y = if param.operation() == ReductionOp::Sum {
        // Of these the sum alone takes its axes as an input in this version.
        let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let list = s.graph.ints("axes", &list);
        s.graph.op("ReduceSum", &[&x, &list], vec![flat], top)
    } else {
        let kind = match param.operation() {
            ReductionOp::Asum => "ReduceL1",
            ReductionOp::Sumsq => "ReduceSumSquare",
            _ => "ReduceMean",
        };
        s.graph.op(kind, &[&x], vec![ints("axes", &axes), flat], top)
    };
    one(s.graph.affine(&y, param.coeff(), 0.0))
}

/// `ArgMax`: places, or values, of the largest. Of equal values Caffe takes the one behind first.
pub fn arg_max(s: &mut Scene<'_>) -> Converted {
    let (x, top, param) = (s.x(), s.tops[0].clone(), s.config().argmax_param.unwrap_or_default());
    let (k, values) = (param.top_k() as usize, param.out_max_val());
    // Without an axis all values of a sample stand in a row.
    let (x, axis) = match param.axis {
        Some(axis) => (x, s.axis(axis)),
        None => (s.graph.reshape(&x, [x.shape[0], x.shape.count_of(1..)]), 1),
    };
    let mut found = x.shape.to_vec();
    found[axis] = k;
    if k == 1 && !values {
        let attributes = vec![int("axis", axis as i64), int("keepdims", 1), int("select_last_index", 1)];
        let place = s.graph.op("ArgMax", &[&x], attributes, found);
        let place = s.graph.cast(&place, DataType::Float);
        return one(s.graph.reshape(&place, top));
    }
    // ONNX takes the one in front first, so the axis is turned round, and the places back.
    let len = x.shape[axis];
    let turned = s.graph.part(&x, axis, [-1, i64::MIN, -1], len);
    let k = s.graph.ints("k", &[k as i64]);
    let shapes = [Shape::from(found.clone()), Shape::from(found)];
    let best = s.graph.ops("TopK", &[&turned, &k], vec![int("axis", axis as i64)], &shapes);
    if values && param.axis.is_some() {
        return one(best[0].clone());
    }
    let last = s.graph.ints("last", &[len as i64 - 1]);
    let places = s.graph.op("Sub", &[&last, &best[1]], vec![], best[1].shape.clone());
    let places = s.graph.cast(&places, DataType::Float);
    if !values {
        return one(s.graph.reshape(&places, top));
    }
    let both: Vec<&Value> = vec![&places, &best[0]];
    let shape = [x.shape[0], 2 * places.shape[1]];
    let both = s.graph.op("Concat", &both, vec![int("axis", 1)], shape);
    one(s.graph.reshape(&both, top))
}

/// `OrdinalRank`: how many questions are answered yes.
pub fn ordinal_rank(s: &mut Scene<'_>) -> Converted {
    let (x, top) = (s.x(), s.tops[0].clone());
    let param = s.config().ordinal_regression_param.clone().unwrap_or_default();
    let axis = s.axis(param.axis());
    let logits = if param.outputs() == Outputs::Pairs {
        let (end, tasks) = (x.shape[axis] as i64, x.shape[axis] / 2);
        let [no, yes] = [0, 1].map(|start| s.graph.part(&x, axis, [start, end, 2], tasks));
        s.graph.zip("Sub", &yes, &no)
    } else {
        x
    };
    let zero = s.graph.scalar("zero", 0.0);
    let yes = s.graph.zip("Greater", &logits, &zero);
    let yes = s.graph.cast(&yes, DataType::Float);
    let axes = s.graph.ints("axes", &[axis as i64]);
    one(s.graph.op("ReduceSum", &[&yes, &axes], vec![int("keepdims", 0)], top))
}
