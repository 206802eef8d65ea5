//! Layers of forks that bring planes to another size.

use super::{
    graph::{Graph, Value, int, text},
    proto::tensor_proto::DataType,
    scene::{Converted, Scene, one},
};

/// `Interp`: linear, corners upon corners.
pub fn interp(s: &mut Scene<'_>) -> Converted {
    let (mut x, top) = (s.x(), s.tops[0].clone());
    let param = s.config().interp_param.unwrap_or_default();
    let [begin, end] = [param.pad_beg(), param.pad_end()].map(|pad| -i64::from(pad));
    if begin + end > 0 {
        for axis in [2, 3] {
            let last = x.shape[axis] as i64 - end;
            x = s.graph.part(&x, axis, [begin, last, 1], (last - begin) as usize);
        }
    }
    let sizes = with_sides(s.graph, &x, &[top[2] as i64, top[3] as i64]);
    // Optional inputs that are left out.
    let none = Value { name: String::new(), shape: [0].into() };
    let attributes = vec![text("mode", "linear"), text("coordinate_transformation_mode", "align_corners")];
    one(s.graph.op("Resize", &[&x, &none, &none, &sizes], attributes, top))
}

/// A list of sides: the first two of x, whatever they are when the graph runs, and these.
fn with_sides(g: &mut Graph, x: &Value, sides: &[i64]) -> Value {
    let all = g.op("Shape", &[x], vec![], [x.shape.len()]);
    let first = g.part(&all, 0, [0, 2, 1], 2);
    let sides = g.ints("sides", sides);
    g.op("Concat", &[&first, &sides], vec![int("axis", 0)], [2 + sides.shape[0]])
}

/// `Upsample`: by places in each plane, or each value a square.
pub fn upsample(s: &mut Scene<'_>) -> Converted {
    let (x, top) = (s.x(), s.tops[0].clone());
    let Some(mask) = s.bottoms.get(1).cloned() else {
        let scale = s.config().upsample_param.unwrap_or_default().scale() as f32;
        let scales = s.graph.floats("scales", [4], &[1.0, 1.0, scale, scale]);
        let none = Value { name: String::new(), shape: [0].into() };
        let attributes = vec![
            text("mode", "nearest"),
            text("coordinate_transformation_mode", "asymmetric"),
            text("nearest_mode", "floor"),
        ];
        return one(s.graph.op("Resize", &[&x, &none, &scales], attributes, top));
    };
    let planes = [x.shape[0], x.shape[1], x.shape.count_of(2..)];
    let [x, mask] = [x, mask].map(|value| s.graph.reshape(&value, planes));
    let places = s.graph.cast(&mask, DataType::Int64);
    let large = top.count_of(2..);
    let sides = with_sides(s.graph, &x, &[large as i64]);
    let zero = s.graph.scalar("zero", 0.0);
    let wide = [planes[0], planes[1], large];
    let empty = s.graph.op("Expand", &[&zero, &sides], vec![], wide);
    let y = s.graph.op("ScatterElements", &[&empty, &places, &x], vec![int("axis", 2)], wide);
    one(s.graph.reshape(&y, top))
}
