//! `SigmoidCrossEntropyLoss`: cross entropy of sigmoid and targets, each value by itself.

use super::{
    Arity, Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Role, Setup,
    labels::same_samples,
    loss_normalizer::{Counts, Normalizer},
};
use crate::{
    config::proto::{LayerParameter, loss_parameter::NormalizationMode},
    kernels::{
        logistic::{Ignored, cross_entropy, cross_entropy_backward},
        sums::sum,
    },
    tensor::Shape,
};

/// The row of `SigmoidCrossEntropyLoss`.
pub const KIND: Kind = Kind {
    name: "SigmoidCrossEntropyLoss",
    summary: "cross entropy of sigmoid and targets, each value by itself",
    settings: &["loss_param"],
    bottoms: Arity::Exactly(2),
    role: Role::Loss,
    no_gradient: &[1],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Cross entropy between s = sigmoid(x) and targets from 0 to 1, over what `normalization` says.
///
/// E = -1/M sum (t ln s + (1 - t) ln(1 - s))       dE/dx = (s - t) / M
///
/// Targets whose whole part is `ignore_label` count for nothing. M is the batch size unless set.
///
/// Shapes: bottoms `N x ...` twice, the same number of values; top one value. Params: none.
/// Reference: none. Differs from Caffe: no.
struct SigmoidCrossEntropyLoss {
    normalizer: Normalizer,
    ignored: Ignored,
    samples: usize,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let settings = config.loss_param.as_ref();
    Ok(Box::new(SigmoidCrossEntropyLoss {
        normalizer: Normalizer::from_config(settings, NormalizationMode::BatchSize),
        ignored: settings.and_then(|s| s.ignore_label).map_or(Ignored::NONE, Ignored::label),
        samples: 0,
    }))
}

impl Layer for SigmoidCrossEntropyLoss {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let (scores, targets) = (&bottoms[0], &bottoms[1]);
        if scores.count() != targets.count() {
            let text = format!("scores and targets must have as many values, found {scores} and {targets}");
            return Err(LayerError::shape(text));
        }
        same_samples(scores, targets)?;
        self.samples = scores.first().copied().unwrap_or(1);
        Ok(Outline::of([Shape::default()]).reads(Reads::BOTTOMS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (scores, targets) = (pass.bottoms[0].data, pass.bottoms[1].data);
        let ignored = self.ignored;
        let loss = cross_entropy(scores, targets, ignored);
        let valid = sum(targets, |t| if ignored.has(t) { 0.0 } else { 1.0 });
        let counts = Counts { batch: self.samples, positions: scores.len(), valid };
        pass.tops[0].data[0] = self.normalizer.loss(loss, counts);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        let scale = self.normalizer.scale(pass.tops[0].diff[0]);
        let (scores, targets) = (pass.bottoms[0].data, pass.bottoms[1].data);
        cross_entropy_backward(scores, targets, self.ignored, scale, diff);
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'SigmoidCrossEntropyLoss'",
            &[(&[2, 3], Values::Any), (&[2, 3], Values::Between(0.0, 1.0))],
        ),
        Case::new(
            "type: 'SigmoidCrossEntropyLoss' loss_param { ignore_label: -1 normalization: VALID }",
            &[(&[5], Values::Any), (&[5], Values::Given(&[1.0, -1.0, 0.0, -1.0, 1.0]))],
        ),
    ];

    #[test]
    fn by_hand() {
        let ln2 = 2f32.ln();
        let loss = |settings: &str, targets: &[f32]| {
            let text = format!("type: 'SigmoidCrossEntropyLoss' {settings}");
            forward(&text, &[(&[2, 2], &[0.0; 4]), (&[2, 2], targets)])[0][0]
        };
        let near = |got: f32, want: f32| assert!((got - want).abs() < 1e-6, "{got}, not {want}");
        near(loss("", &[0.0, 1.0, 0.5, 1.0]), 2.0 * ln2);
        near(loss("loss_param { ignore_label: 7 }", &[0.0, 1.0, 7.0, 7.9]), ln2);
        near(loss("loss_param { ignore_label: 7 normalize: true }", &[0.0, 1.0, 7.0, 7.0]), ln2);
        near(loss("loss_param { ignore_label: 7 normalization: FULL }", &[0.0, 7.0, 7.0, 7.0]), ln2 / 4.0);
        near(loss("loss_param { ignore_label: 7 }", &[7.0; 4]), 0.0);
    }

    #[test]
    fn unlike_bottoms_are_refused() {
        let text = refusal("type: 'SigmoidCrossEntropyLoss'", &[&[2, 3], &[2, 2]]);
        assert_eq!(text, "scores and targets must have as many values, found 2 x 3 and 2 x 2");
        let text = refusal("type: 'SigmoidCrossEntropyLoss'", &[&[2, 6], &[3, 4]]);
        assert_eq!(text, "the first two bottoms must have the same first axis, found 2 x 6 and 3 x 4");
    }
}
