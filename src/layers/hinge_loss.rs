//! `HingeLoss`: one-against-all margins.

use super::{
    Arity, Backward, Forward, Kind, LabelRange, Layer, LayerError, Outline, Reads, Role, Setup,
    axes::make_room,
    labels::{Labels, same_samples},
};
use crate::{
    config::proto::{LayerParameter, hinge_loss_parameter::Norm},
    kernels::{
        elementwise::at_least,
        parallel::{CHUNK, for_chunks_mut, sum_chunks},
    },
    tensor::Shape,
};

/// The row of `HingeLoss`.
pub const KIND: Kind = Kind {
    name: "HingeLoss",
    summary: "margins of one class against all others, L1 or L2",
    settings: &["hinge_loss_param"],
    bottoms: Arity::Exactly(2),
    role: Role::Loss,
    no_gradient: &[1],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// What scores lack to margins of 1: above for the label's class, below for all others.
///
/// m_ic = max(0, 1 - s_ic x_ic), s = 1 for the label and -1 for the others
/// L1: E = 1/N sum m         dE/dx = -s / N where m > 0
/// L2: E = 1/N sum m^2       dE/dx = -2 s m / N
///
/// Shapes: bottoms scores `N x ...` (all values of a sample are classes) and `N` labels; top one value. Params: none.
/// Reference: Crammer and Singer 2001. Differs from Caffe: a label out of range is an error.
struct HingeLoss {
    norm: Norm,
    labels: Labels,
    classes: Vec<u32>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let norm = config.hinge_loss_param.unwrap_or_default().norm();
    Ok(Box::new(HingeLoss { norm, labels: Labels::new(None), classes: vec![] }))
}

impl Layer for HingeLoss {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        self.labels.outline_flat(&bottoms[0], &bottoms[1])?;
        same_samples(&bottoms[0], &bottoms[1])?;
        make_room(&mut self.classes, self.labels.dims.outer);
        Ok(Outline::of([Shape::default()]).reads(Reads::BOTTOMS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        self.labels.read(pass.bottoms[1].data, &mut self.classes, Option::unwrap_or_default)?;
        let (scores, n) = (pass.bottoms[0].data, self.labels.dims.classes);
        let sum = sum_chunks(self.classes.len(), self.rows(), |samples| {
            let mut sum = 0.0;
            for i in samples {
                let class = self.classes[i] as usize;
                let cost = |(c, &x): (usize, &f32)| f64::from(self.cost(margin(x, c == class)));
                sum += scores[i * n..][..n].iter().enumerate().map(cost).sum::<f64>();
            }
            sum
        });
        pass.tops[0].data[0] = (sum / self.classes.len().max(1) as f64) as f32;
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        let (scores, n) = (pass.bottoms[0].data, self.labels.dims.classes);
        let scale = pass.tops[0].diff[0] / self.classes.len().max(1) as f32;
        for_chunks_mut(diff, self.rows() * n, |start, diff| {
            let rows = diff.chunks_exact_mut(n).zip(scores[start..].chunks_exact(n));
            for ((diff, x), &class) in rows.zip(&self.classes[start / n..]) {
                for (c, (diff, &x)) in diff.iter_mut().zip(x).enumerate() {
                    let own = c == class as usize;
                    *diff = if own { -scale } else { scale } * self.slope(margin(x, own));
                }
            }
        });
    }

    fn label_range(&self) -> Option<LabelRange> {
        Some(self.labels.range())
    }
}

/// max(0, 1 - s x).
fn margin(x: f32, own: bool) -> f32 {
    at_least(1.0 + if own { -x } else { x }, 0.0)
}

impl HingeLoss {
    fn cost(&self, margin: f32) -> f32 {
        match self.norm {
            Norm::L1 => margin,
            Norm::L2 => margin * margin,
        }
    }

    fn slope(&self, margin: f32) -> f32 {
        match self.norm {
            Norm::L1 => f32::from(margin > 0.0),
            Norm::L2 => 2.0 * margin,
        }
    }

    /// Samples per chunk.
    fn rows(&self) -> usize {
        (CHUNK / self.labels.dims.classes.max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, failure, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'HingeLoss'",
            &[(&[3, 4], Values::AwayFrom(&[-1.0, 1.0])), (&[3], Values::Labels(4))],
        ),
        Case::new(
            "type: 'HingeLoss' hinge_loss_param { norm: L2 }",
            &[(&[3, 2, 2], Values::AwayFrom(&[-1.0, 1.0])), (&[3, 1], Values::Labels(4))],
        ),
    ];

    const SCORES: (&[usize], &[f32]) = (&[2, 2], &[0.5, -2.0, 1.0, 3.0]);

    #[test]
    fn by_hand() {
        let labels: (&[usize], &[f32]) = (&[2], &[0.0, 1.0]);
        assert_eq!(forward("type: 'HingeLoss'", &[SCORES, labels])[0], [1.25]);
        let squared = "type: 'HingeLoss' hinge_loss_param { norm: L2 }";
        assert_eq!(forward(squared, &[SCORES, labels])[0], [2.125]);
    }

    #[test]
    fn no_number_makes_a_loss_that_is_none() {
        let bottoms: [(&[usize], &[f32]); 2] = [(&[1, 2], &[f32::NAN, 0.0]), (&[1], &[1.0])];
        assert!(forward("type: 'HingeLoss'", &bottoms)[0][0].is_nan());
    }

    #[test]
    fn bad_labels_are_refused() {
        let text = failure("type: 'HingeLoss'", &[SCORES, (&[2], &[0.0, -1.0])]);
        assert!(text.starts_with("label -1 of sample 1 is out of range"), "{text}");
        let text = refusal("type: 'HingeLoss'", &[&[2, 3, 4], &[2, 4]]);
        assert_eq!(text, "scores of 2 x 3 x 4 need one label a sample, found 2 x 4");
        let text = refusal("type: 'HingeLoss'", &[&[2, 3], &[1, 2]]);
        assert_eq!(text, "the first two bottoms must have the same first axis, found 2 x 3 and 1 x 2");
    }
}
