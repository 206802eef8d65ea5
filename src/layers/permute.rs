//! `Permute`: the axes in another order.

use super::{Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup};
use crate::{
    config::proto::{LayerParameter, PermuteParameter},
    kernels::permute::Permutation,
    tensor::Shape,
};

/// The row of `Permute`.
pub const KIND: Kind = Kind {
    name: "Permute",
    summary: "the axes in another order, as SSD has it",
    settings: &["permute_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Axis i of the top is axis `order[i]` of the bottom. Axes that `order` does not name follow in theirs.
///
/// y[i_0, i_1, ...] = x, where the index of axis order[k] is i_k       dx = dy, put back
///
/// Shapes: top has the bottom's sides in the new order. Params: none. Where no value moves, nothing is copied.
/// Reference: Liu et al. 2016 (SSD). Differs from SSD's fork: no.
struct Permute {
    param: PermuteParameter,
    there: Permutation,
    back: Permutation,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.permute_param.clone().unwrap_or_default();
    for (i, axis) in param.order.iter().enumerate() {
        if param.order[..i].contains(axis) {
            let message = format!("order names each axis at most once, found {axis} twice");
            return Err(LayerError::setting(format!("permute_param.order[{i}]"), message));
        }
    }
    Ok(Box::new(Permute { param, there: Permutation::default(), back: Permutation::default() }))
}

/// The order of all of a bottom's `axes`.
///
/// # Errors
/// When an axis is named that is not there.
pub fn permuted_order(param: &PermuteParameter, axes: usize) -> Result<Vec<usize>, LayerError> {
    let mut order: Vec<usize> = param.order.iter().map(|&axis| axis as usize).collect();
    if let Some((i, axis)) = order.iter().enumerate().find(|&(_, &axis)| axis >= axes) {
        let message = format!("order names axis {axis}, but the bottom has {axes} axes, counted from 0");
        return Err(LayerError::setting(format!("permute_param.order[{i}]"), message));
    }
    for axis in 0..axes {
        if !order.contains(&axis) {
            order.push(axis);
        }
    }
    Ok(order)
}

impl Layer for Permute {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        let order = permuted_order(&self.param, bottom.len())?;
        self.there = Permutation::new(bottom, &order);
        self.back = Permutation::back(bottom, &order);
        let top: Vec<usize> = order.iter().map(|&axis| bottom[axis]).collect();
        let outline = Outline::of([Shape::from(top)]).reads(Reads::NOTHING);
        Ok(if self.there.is_none() { outline.alias() } else { outline })
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        self.there.apply(pass.bottoms[0].data, pass.tops[0].data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        if let Some(diff) = &mut pass.bottom_diffs[0] {
            self.back.apply(pass.tops[0].diff, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal, top_shapes};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Permute' permute_param { order: [0, 2, 3, 1] }", &[(&[2, 3, 2, 2], Values::Any)]),
        Case::new("type: 'Permute' permute_param { order: 2 }", &[(&[2, 3, 4], Values::Any)]),
        Case::new("type: 'Permute' permute_param { order: [0, 2, 1, 3] }", &[(&[2, 3, 2, 2], Values::Any)]),
        Case::new("type: 'Permute' permute_param { order: [0, 2, 3, 1] }", &[(&[2, 3, 1, 1], Values::Any)]),
        Case::new("type: 'Permute'", &[(&[2, 3], Values::Any)]),
    ];

    #[test]
    fn values_move_with_their_axes() {
        let x: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let moved = |order: &str, shape: &[usize]| {
            forward(&format!("type: 'Permute' permute_param {{ {order} }}"), &[(shape, &x)]).remove(0)
        };
        assert_eq!(
            moved("order: 0 order: 2 order: 1", &[2, 3, 2]),
            [0.0, 2.0, 4.0, 1.0, 3.0, 5.0, 6.0, 8.0, 10.0, 7.0, 9.0, 11.0]
        );
        assert_eq!(
            moved("order: [1, 0]", &[2, 3, 2]),
            [0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 8.0, 9.0, 4.0, 5.0, 10.0, 11.0]
        );
        assert_eq!(moved("", &[12]), x);
    }

    #[test]
    fn what_is_not_named_follows_in_order() {
        let shape = |order: &str| {
            let text = format!("type: 'Permute' permute_param {{ {order} }}");
            top_shapes(&text, 1, &[&[2, 3, 4, 5]])[0].to_vec()
        };
        assert_eq!(shape("order: [0, 2, 3, 1]"), [2, 4, 5, 3]);
        assert_eq!(shape("order: 3"), [5, 2, 3, 4]);
        assert_eq!(shape(""), [2, 3, 4, 5]);
    }

    #[test]
    fn bad_orders_are_refused() {
        let x: &[usize] = &[2, 3];
        assert_eq!(
            refusal("type: 'Permute' permute_param { order: [1, 0, 1] }", &[x]),
            "order names each axis at most once, found 1 twice"
        );
        assert_eq!(
            refusal("type: 'Permute' permute_param { order: [0, 2] }", &[x]),
            "order names axis 2, but the bottom has 2 axes, counted from 0"
        );
    }
}
