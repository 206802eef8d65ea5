//! `ContrastiveLoss`: like pairs together, unlike pairs a margin apart.

use super::{
    Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Role, Setup, axes::make_room,
};
use crate::{
    config::proto::LayerParameter,
    kernels::{
        elementwise::at_least,
        parallel::{CHUNK, for_chunks_mut},
    },
    tensor::Shape,
};

/// The row of `ContrastiveLoss`.
pub const KIND: Kind = Kind {
    name: "ContrastiveLoss",
    summary: "like pairs together, unlike pairs a margin apart",
    settings: &["contrastive_loss_param"],
    bottoms: Arity::Exactly(3),
    role: Role::Loss,
    no_gradient: &[2],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Square distance of the two vectors of a like pair, square lack of distance of an unlike one.
///
/// d = |a - b|       E = 1/(2N) sum (y d^2 + (1 - y) max(margin - d, 0)^2)
/// dE/da = (a - b) / N if like, -(a - b) / N * (margin - d) / (d + 1e-4) if unlike and closer than the margin
///
/// `legacy_version`: unlike pairs cost max(margin - d^2, 0), and dE/da = -(a - b) / N. dE/db = -dE/da.
///
/// Shapes: bottoms `N x ...` twice and `N` marks y, like unless 0 (fractions are cut off); top one value. Params: none.
/// Reference: Hadsell et al. 2006. Differs from Caffe: vectors may have more than one axis. The 1e-4, which keeps the
/// derivative of equal vectors finite, is Caffe's.
struct ContrastiveLoss {
    margin: f32,
    legacy: bool,
    /// Values of a vector.
    len: usize,
    /// dE/da = factor * (a - b), for each pair, when E has weight 1; before that, their square distances.
    factors: Vec<f32>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let settings = config.contrastive_loss_param.unwrap_or_default();
    Ok(Box::new(ContrastiveLoss {
        margin: settings.margin(),
        legacy: settings.legacy_version(),
        len: 0,
        factors: vec![],
    }))
}

impl Layer for ContrastiveLoss {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let (a, b, marks) = (&bottoms[0], &bottoms[1], &bottoms[2]);
        let pairs = a.first().copied().unwrap_or(1);
        if a.first() != b.first() || a.count() != b.count() {
            let text =
                format!("the first two bottoms must have as many samples and values, found {a} and {b}");
            return Err(LayerError::shape(text));
        }
        if marks.count() != pairs {
            let text =
                format!("the third bottom must have one value for each of {pairs} pairs, found {marks}");
            return Err(LayerError::shape(text));
        }
        self.len = a.count() / pairs.max(1);
        make_room(&mut self.factors, pairs);
        Ok(Outline::of([Shape::default()]).reads(Reads::BOTTOMS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let [a, b, marks] = [0, 1, 2].map(|i| pass.bottoms[i].data);
        let len = self.len;
        for_chunks_mut(&mut self.factors, (CHUNK / len.max(1)).max(1), |start, squares| {
            for (i, square) in (start..).zip(squares) {
                let (a, b) = (&a[i * len..][..len], &b[i * len..][..len]);
                *square = a.iter().zip(b).map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>() as f32;
            }
        });
        let pairs = self.factors.len().max(1) as f32;
        let mut loss = 0.0;
        for (i, mark) in marks.iter().enumerate() {
            let (cost, factor) = self.cost(self.factors[i], mark.trunc() != 0.0);
            loss += f64::from(cost);
            self.factors[i] = factor / pairs;
        }
        pass.tops[0].data[0] = (loss / f64::from(2.0 * pairs)) as f32;
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let (a, b, len) = (pass.bottoms[0].data, pass.bottoms[1].data, self.len);
        let weight = pass.tops[0].diff[0];
        for (diff, weight) in pass.bottom_diffs.iter_mut().zip([weight, -weight]) {
            let Some(diff) = diff else { continue };
            for_chunks_mut(diff, (CHUNK / len.max(1)).max(1) * len, |start, diff| {
                let pairs =
                    a[start..].chunks(len).zip(b[start..].chunks(len)).zip(&self.factors[start / len..]);
                for (diff, ((a, b), factor)) in diff.chunks_mut(len).zip(pairs) {
                    diff.iter_mut()
                        .zip(a.iter().zip(b))
                        .for_each(|(d, (a, b))| *d = weight * factor * (a - b));
                }
            });
        }
    }
}

impl ContrastiveLoss {
    /// Twice a pair's cost, given its square distance, and the factor of its derivative.
    fn cost(&self, square: f32, like: bool) -> (f32, f32) {
        if like {
            return (square, 1.0);
        }
        if self.legacy {
            let lack = at_least(self.margin - square, 0.0);
            return (lack, if lack > 0.0 { -1.0 } else { 0.0 });
        }
        let distance = square.sqrt();
        let lack = at_least(self.margin - distance, 0.0);
        (lack * lack, -lack / (distance + 1e-4))
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    const FAR: Values = Values::Between(1.0, 1.5);
    const NEAR: Values = Values::Between(-1.0, 0.0);
    const MARKS: Values = Values::Given(&[1.0, 0.0, 1.0, 0.0]);

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'ContrastiveLoss'", &[(&[4, 3], NEAR), (&[4, 3], FAR), (&[4], MARKS)]),
        Case::new(
            "type: 'ContrastiveLoss' contrastive_loss_param { margin: 6 }",
            &[(&[4, 3], NEAR), (&[4, 3], FAR), (&[4], MARKS)],
        ),
        Case::new(
            "type: 'ContrastiveLoss' contrastive_loss_param { margin: 30 legacy_version: true }",
            &[(&[4, 3], NEAR), (&[4, 3], FAR), (&[4, 1], MARKS)],
        ),
    ];

    fn loss(settings: &str, b: &[f32], mark: f32) -> f32 {
        let text = format!("type: 'ContrastiveLoss' contrastive_loss_param {{ {settings} }}");
        forward(&text, &[(&[1, 2], &[0.0, 0.0]), (&[1, 2], b), (&[1], &[mark])])[0][0]
    }

    #[test]
    fn by_hand() {
        assert_eq!(loss("", &[3.0, 4.0], 1.0), 12.5);
        assert_eq!(loss("", &[3.0, 4.0], 0.0), 0.0);
        assert_eq!(loss("margin: 7", &[3.0, 4.0], 0.9), 2.0);
        assert_eq!(loss("margin: 26 legacy_version: true", &[3.0, 4.0], 0.0), 0.5);
    }

    #[test]
    fn no_number_makes_a_loss_that_is_none() {
        for (settings, mark) in [("", 0.0), ("", 1.0), ("legacy_version: true", 0.0)] {
            assert!(loss(settings, &[f32::NAN, 1.0], mark).is_nan(), "{settings} {mark}");
        }
    }

    #[test]
    fn unlike_shapes_are_refused() {
        let refused = |bottoms: &[&[usize]]| refusal("type: 'ContrastiveLoss'", bottoms);
        assert!(refused(&[&[2, 3], &[2, 4], &[2]]).contains("found 2 x 3 and 2 x 4"));
        assert!(refused(&[&[2, 3], &[2, 3], &[2, 2]]).contains("each of 2 pairs, found 2 x 2"));
    }
}
