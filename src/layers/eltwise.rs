//! `Eltwise`: bottoms of one shape multiplied, added, or their maximum taken, value by value.

use super::{
    Arity, Backward, Blob, Follow, Forward, Kind, Layer, LayerError, Outline, Reads, Setup, Taken, Wanted,
};
use crate::{
    config::proto::{LayerParameter, eltwise_parameter::EltwiseOp},
    kernels::{
        elementwise::{ByValue, add_scaled, copy, map, map_both, map2, map3, update, update_each},
        extremes::{Larger, max_update, max2, where_mask},
        parallel::{CHUNK, for_chunks_mut},
    },
    tensor::Shape,
};

/// The row of `Eltwise`.
pub const KIND: Kind = Kind {
    name: "Eltwise",
    summary: "product, weighted sum or maximum of the bottoms",
    settings: &["eltwise_param"],
    bottoms: Arity::AtLeast(2),
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// The most bottoms of a maximum: their numbers are kept in bytes.
const MAX_BOTTOMS: usize = 256;

/// Combines bottoms of one shape, value by value.
///
/// SUM: y = sum of `coeff[i]` * x_i     dE/dx_i = `coeff[i]` * dE/dy
/// PROD: y = product of x_i             dE/dx_i = dE/dy * (product of the others)
/// MAX: y = largest x_i                 dE/dx_i = dE/dy where x_i was taken, else 0
///
/// Of equal values MAX takes the second bottom's before the first's, and either before a later one's. Without
/// `stable_prod_grad`, PROD computes the product of the others as y / x_i, which fails at 0.
///
/// Shapes: bottoms and top alike. Params: none. Differs from Caffe: MAX takes at most 256 bottoms.
struct Eltwise {
    operation: Operation,
    /// Whether negative sums of two bottoms become 0.
    relu: bool,
    /// Where a backward pass will come, which bottom each maximum came from.
    taken: Vec<u8>,
    backward: bool,
}

enum Operation {
    Sum(Vec<f32>),
    Product { stable: bool },
    Maximum,
}

fn from_config(config: &LayerParameter, setup: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.eltwise_param.clone().unwrap_or_default();
    let (coeff, bottoms) = (&param.coeff, config.bottom.len());
    if !coeff.is_empty() && coeff.len() != bottoms {
        let message = format!("coeff must be given for each of {bottoms} bottoms, found {}", coeff.len());
        return Err(LayerError::setting("eltwise_param.coeff", message));
    }
    let operation = match param.operation() {
        EltwiseOp::Prod if !coeff.is_empty() => {
            return Err(LayerError::setting(
                "eltwise_param.coeff",
                "coeff goes with operation SUM, not PROD",
            ));
        }
        EltwiseOp::Max if bottoms > MAX_BOTTOMS => {
            let message = format!("operation MAX takes at most {MAX_BOTTOMS} bottoms, found {bottoms}");
            return Err(LayerError::setting("eltwise_param.operation", message));
        }
        EltwiseOp::Prod => Operation::Product { stable: param.stable_prod_grad() },
        EltwiseOp::Sum if coeff.is_empty() => Operation::Sum(vec![1.0; bottoms]),
        EltwiseOp::Sum => Operation::Sum(coeff.clone()),
        EltwiseOp::Max => Operation::Maximum,
    };
    Ok(Box::new(Eltwise { operation, relu: false, taken: Vec::new(), backward: setup.backward }))
}

impl Layer for Eltwise {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let first = &bottoms[0];
        if let Some(i) = bottoms.iter().position(|b| b != first) {
            let message = format!("bottom {i} is {}, bottom 0 is {first}: they must be alike", bottoms[i]);
            return Err(LayerError::shape(message));
        }
        let reads = match self.operation {
            Operation::Product { stable: true } => Reads::BOTTOMS,
            Operation::Product { stable: false } => Reads::BOTH,
            Operation::Sum(_) => Reads::NOTHING,
            Operation::Maximum => {
                self.taken.resize(if self.backward { first.count() } else { 0 }, 0);
                Reads::NOTHING
            }
        };
        let plain_sum = matches!(&self.operation, Operation::Sum(c) if c.iter().all(|&c| c == 1.0));
        Ok(Outline::of([first.clone()]).reads(reads).spreads(plain_sum))
    }

    fn take_up(&mut self, next: Follow, _: Wanted) -> Taken {
        self.relu = next == Follow::Rectify && matches!(&self.operation, Operation::Sum(c) if c.len() == 2);
        if self.relu { Taken::Forward } else { Taken::Nothing }
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (bottoms, top) = (pass.bottoms, &mut *pass.tops[0].data);
        match &self.operation {
            Operation::Sum(c) => match bottoms {
                [a, b] => {
                    let (floor, c0, c1) = (if self.relu { 0.0 } else { f32::NEG_INFINITY }, c[0], c[1]);
                    map2(a.data, b.data, top, move |a, b| {
                        let y = c0 * a + c1 * b;
                        if y <= floor { floor } else { y }
                    });
                }
                _ => {
                    let (c0, c1) = (c[0], c[1]);
                    combine(bottoms, top, move |a, b| c0 * a + c1 * b, |k, x, y| add_scaled(c[k], x, y));
                }
            },
            Operation::Product { .. } => {
                combine(bottoms, top, |a, b| a * b, |_, x, y| update(x, y, |x, y| x * y))
            }
            Operation::Maximum if self.backward => {
                max2(bottoms[0].data, bottoms[1].data, top, &mut self.taken);
                for (k, bottom) in bottoms.iter().enumerate().skip(2) {
                    max_update(bottom.data, k as u8, top, &mut self.taken);
                }
            }
            Operation::Maximum => {
                combine(bottoms, top, |a, b| if a > b { a } else { b }, |_, x, y| update_each(x, y, Larger));
            }
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let (bottoms, top) = (pass.bottoms, &pass.tops[0]);
        if let (Operation::Sum(c), [Some(first), Some(second)]) = (&self.operation, &mut *pass.bottom_diffs) {
            let (c0, c1) = (c[0], c[1]);
            return map_both(top.diff, first, second, move |d| [c0 * d, c1 * d]);
        }
        for (k, diff) in pass.bottom_diffs.iter_mut().enumerate() {
            let Some(diff) = diff else { continue };
            match &self.operation {
                Operation::Sum(c) if c[k] == 1.0 => copy(top.diff, diff),
                Operation::Sum(c) => {
                    let c = c[k];
                    map(top.diff, diff, move |d| c * d);
                }
                Operation::Product { stable: true } => product_of_others(bottoms, k, top.diff, diff),
                Operation::Product { stable: false } => {
                    map3(top.diff, top.data, bottoms[k].data, diff, |d, y, x| y / x * d);
                }
                Operation::Maximum => where_mask(top.diff, &self.taken, k as u8, diff),
            }
        }
    }
}

/// y = `first` of the first two bottoms, then `next(k, x_k, y)` for each that follows, while y is in the cache.
fn combine(
    bottoms: &[Blob<'_>],
    y: &mut [f32],
    first: impl Fn(f32, f32) -> f32 + ByValue,
    next: impl Fn(usize, &[f32], &mut [f32]) + Sync,
) {
    for_chunks_mut(y, CHUNK, |start, y| {
        let part = start..start + y.len();
        map2(&bottoms[0].data[part.clone()], &bottoms[1].data[part.clone()], y, first);
        for (k, bottom) in bottoms.iter().enumerate().skip(2) {
            next(k, &bottom.data[part.clone()], y);
        }
    });
}

/// diff = dE/dy * product of all bottoms but `k`.
fn product_of_others(bottoms: &[Blob<'_>], k: usize, top_diff: &[f32], diff: &mut [f32]) {
    for_chunks_mut(diff, CHUNK, |start, diff| {
        let part = start..start + diff.len();
        let mut others = (0..bottoms.len()).filter(|&i| i != k).map(|i| &bottoms[i].data[part.clone()]);
        // There are two bottoms at least; with just two this is one loop.
        let first = others.next().unwrap_or_default();
        map2(first, &top_diff[part.clone()], diff, |x, d| x * d);
        others.for_each(|x| update(x, diff, |x, d| d * x));
    });
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    const ANY: (&[usize], Values) = (&[2, 3], Values::Any);
    const AWAY: (&[usize], Values) = (&[2, 3], Values::AwayFrom(&[0.0]));

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Eltwise'", &[ANY, ANY, ANY, ANY]),
        Case::new("type: 'Eltwise' eltwise_param { coeff: 1 coeff: -0.5 coeff: 2 }", &[ANY, ANY, ANY]),
        Case::new("type: 'Eltwise' eltwise_param { operation: PROD }", &[ANY, ANY]),
        Case::new("type: 'Eltwise' eltwise_param { operation: PROD }", &[ANY, ANY, ANY, ANY]),
        Case::new(
            "type: 'Eltwise' eltwise_param { operation: PROD stable_prod_grad: false }",
            &[AWAY, AWAY, AWAY],
        ),
        Case::new(
            "type: 'Eltwise' eltwise_param { operation: MAX }",
            &[
                (&[4], Values::Given(&[0.9, 0.1, 0.2, 0.3])),
                (&[4], Values::Given(&[0.5, 0.6, 0.1, 0.1])),
                (&[4], Values::Given(&[0.1, 0.2, 0.8, -0.1])),
            ],
        ),
    ];

    const A: (&[usize], &[f32]) = (&[3], &[1.0, -2.0, 4.0]);
    const B: (&[usize], &[f32]) = (&[3], &[3.0, 0.5, 4.0]);
    const C: (&[usize], &[f32]) = (&[3], &[2.0, 2.0, 2.0]);

    #[test]
    fn values_are_combined() {
        let of = |settings: &str, bottoms: &[_]| {
            forward(&format!("type: 'Eltwise' eltwise_param {{ {settings} }}"), bottoms).remove(0)
        };
        assert_eq!(of("", &[A, B]), [4.0, -1.5, 8.0]);
        assert_eq!(of("coeff: 2 coeff: 1 coeff: -1", &[A, B, C]), [3.0, -5.5, 10.0]);
        assert_eq!(of("operation: PROD", &[A, B, C]), [6.0, -2.0, 32.0]);
        assert_eq!(of("operation: MAX", &[A, B, C]), [3.0, 2.0, 4.0]);
    }

    #[test]
    fn bad_input_is_refused() {
        let of = |settings: &str| {
            refusal(&format!("type: 'Eltwise' eltwise_param {{ {settings} }}"), &[&[2], &[3]])
        };
        assert_eq!(of(""), "bottom 1 is 3, bottom 0 is 2: they must be alike");
        assert_eq!(of("coeff: 1"), "coeff must be given for each of 2 bottoms, found 1");
        assert_eq!(of("operation: PROD coeff: 1 coeff: 2"), "coeff goes with operation SUM, not PROD");
    }
}
