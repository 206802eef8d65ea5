//! `MultinomialLogisticLoss`: cross entropy of probabilities and labels.

use super::{
    Arity, Backward, Forward, Kind, LabelRange, Layer, LayerError, Outline, Reads, Role, Setup,
    axes::make_room,
    labels::{Labels, same_samples},
};
use crate::{config::proto::LayerParameter, kernels::elementwise::at_least, tensor::Shape};

/// The row of `MultinomialLogisticLoss`.
pub const KIND: Kind = Kind {
    name: "MultinomialLogisticLoss",
    summary: "cross entropy of probabilities and labels",
    bottoms: Arity::Exactly(2),
    role: Role::Loss,
    no_gradient: &[1],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Cross entropy between probabilities that come from below and labels.
///
/// E = -1/N sum_i ln max(p_i, 1e-20), p_i of the label       dE/dp_i = -1 / (N max(p_i, 1e-20)), 0 for others
///
/// Below the clamp the derivative stays that of the clamp, as in Caffe. `SoftmaxWithLoss` on scores is steadier.
///
/// Shapes: bottoms probabilities `N x ...` (all values of a sample are classes) and `N` labels; top one value.
/// Params: none. Reference: none. Differs from Caffe: a label out of range is an error.
struct MultinomialLogisticLoss {
    labels: Labels,
    /// Where each sample's probability stands, and what it is after the clamp.
    chosen: Vec<(usize, f32)>,
}

/// The least probability.
const LEAST: f32 = 1e-20;

fn from_config(_: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    Ok(Box::new(MultinomialLogisticLoss { labels: Labels::new(None), chosen: vec![] }))
}

impl Layer for MultinomialLogisticLoss {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        self.labels.outline_flat(&bottoms[0], &bottoms[1])?;
        same_samples(&bottoms[0], &bottoms[1])?;
        make_room(&mut self.chosen, self.labels.dims.outer);
        Ok(Outline::of([Shape::default()]).reads(Reads::NOTHING))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let mut loss = 0.0;
        for (sample, chosen) in self.chosen.iter_mut().enumerate() {
            let class = self.labels.class(pass.bottoms[1].data, sample)?.unwrap_or(0);
            let at = sample * self.labels.dims.classes + class as usize;
            *chosen = (at, at_least(pass.bottoms[0].data[at], LEAST));
            loss -= f64::from(chosen.1.ln());
        }
        pass.tops[0].data[0] = (loss / self.chosen.len().max(1) as f64) as f32;
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        let scale = -pass.tops[0].diff[0] / self.chosen.len().max(1) as f32;
        diff.fill(0.0);
        self.chosen.iter().for_each(|&(at, p)| diff[at] = scale / p);
    }

    fn label_range(&self) -> Option<LabelRange> {
        Some(self.labels.range())
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, failure, forward, refusal};

    pub const GRADIENT: &[Case] = &[Case::new(
        "type: 'MultinomialLogisticLoss'",
        &[(&[4, 3], Values::Between(0.3, 1.0)), (&[4], Values::Labels(3))],
    )];

    #[test]
    fn by_hand_with_the_clamp() {
        let p: (&[usize], &[f32]) = (&[2, 2], &[0.5, 0.5, 1.0, 0.0]);
        let loss = |labels: &[f32]| forward("type: 'MultinomialLogisticLoss'", &[p, (&[2], labels)])[0][0];
        assert!((loss(&[0.0, 0.0]) - 0.5 * 2f32.ln()).abs() < 1e-6);
        assert!((loss(&[1.0, 1.0]) - 0.5 * (2f32.ln() + 46.0517)).abs() < 1e-4);
    }

    #[test]
    fn no_number_makes_a_loss_that_is_none() {
        let bottoms: [(&[usize], &[f32]); 2] = [(&[1, 2], &[f32::NAN, 0.5]), (&[1], &[0.0])];
        assert!(forward("type: 'MultinomialLogisticLoss'", &bottoms)[0][0].is_nan());
    }

    #[test]
    fn bad_labels_are_refused() {
        let p: (&[usize], &[f32]) = (&[1, 2], &[0.5, 0.5]);
        let text = failure("type: 'MultinomialLogisticLoss'", &[p, (&[1], &[2.0])]);
        assert!(text.contains("label 2 of sample 0 is out of range: there are 2 classes"), "{text}");
        let text = refusal("type: 'MultinomialLogisticLoss'", &[&[2, 3], &[1, 2]]);
        assert!(text.contains("same first axis, found 2 x 3 and 1 x 2"), "{text}");
    }
}
