//! `SoftmaxWithLoss`: cross entropy of softmax against labels.

use super::{
    Arity, Backward, Forward, Kind, LabelRange, Layer, LayerError, Outline, Role, Setup,
    axes::make_room,
    labels::{Labels, same_samples},
    loss_normalizer::{Counts, Normalizer},
    probabilities::Probabilities,
    selective_sampling::SelectiveSampling,
};
use crate::{
    config::proto::{LayerParameter, LossParameter, Phase, loss_parameter::NormalizationMode},
    kernels::softmax::{Targets, cross_entropy, cross_entropy_backward},
    tensor::Shape,
};

/// The row of `SoftmaxWithLoss`.
pub const KIND: Kind = Kind {
    name: "SoftmaxWithLoss",
    summary: "cross entropy of softmax and labels; label smoothing, class weights, selective sampling",
    settings: &["softmax_param", "loss_param"],
    bottoms: Arity::Exactly(2),
    tops: Arity::Between(1, 2),
    role: Role::Loss,
    no_gradient: &[1],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Cross entropy between softmax along `softmax_param.axis` and labels, over what `normalization` says.
///
/// E = 1/M sum_i w_i * -sum_c q_ic ln max(p_ic, FLT_MIN)       dE/dx_ic = w_i / M * (p_ic - q_ic)
///
/// where q is 1 for the label and 0 for the others, or with `label_smoothing` e, (1 - e) more for the label than
/// the e / C that all get; w_i is the `class_weighting` of the label, 0 for `ignore_label`, times how often
/// `selective_sampling` drew the position in TRAIN. M counts positions, not their class weights, as in caffe-segnet.
///
/// Shapes: bottoms scores `N x C x ...` and labels `N x ...`; tops one value, and, if there is a second top, p, through
/// which no gradient comes back. Params: none.
/// Reference: Szegedy et al. 2016 (smoothing), van Grinsven et al. 2016 (sampling). Differs from Caffe: a second top
/// works, where Caffe aborts; a label out of range is an error, where Caffe reads beyond the scores; the three
/// settings beyond Caffe's are off unless given.
struct SoftmaxWithLoss {
    axis: i32,
    normalizer: Normalizer,
    smoothing: f32,
    class_weights: Vec<f32>,
    sampling: Option<SelectiveSampling>,
    labels: Labels,
    /// Of each position: the class and the weight.
    classes: Vec<u32>,
    weights: Vec<f32>,
    probabilities: Probabilities,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let default = LossParameter::default();
    let settings = config.loss_param.as_ref().unwrap_or(&default);
    let smoothing = settings.label_smoothing();
    if !(0.0..1.0).contains(&smoothing) {
        let text = format!("label_smoothing must be at least 0 and below 1, found {smoothing}");
        return Err(LayerError::setting("loss_param.label_smoothing", text));
    }
    let class_weights =
        if settings.weight_by_label_freqs() { settings.class_weighting.clone() } else { vec![] };
    if let Some(bad) = class_weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
        let text = format!("class_weighting must be numbers from 0 up, found {bad}");
        return Err(LayerError::setting("loss_param.class_weighting", text));
    }
    Ok(Box::new(SoftmaxWithLoss {
        axis: config.softmax_param.unwrap_or_default().axis(),
        normalizer: Normalizer::from_config(Some(settings), NormalizationMode::Valid),
        smoothing,
        class_weights,
        sampling: settings.selective_sampling.as_ref().map(SelectiveSampling::from_config).transpose()?,
        labels: Labels::new(settings.ignore_label),
        classes: vec![],
        weights: vec![],
        probabilities: Probabilities::from_config(config),
    }))
}

impl Layer for SoftmaxWithLoss {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        self.labels.outline(&bottoms[0], &bottoms[1], self.axis, "softmax_param.axis")?;
        same_samples(&bottoms[0], &bottoms[1])?;
        let dims = self.labels.dims;
        let weights = self.class_weights.len();
        if weights != 0 && weights != dims.classes {
            let text = format!("class_weighting has {weights} values for {} classes", dims.classes);
            return Err(LayerError::setting("loss_param.class_weighting", text));
        }
        make_room(&mut self.classes, dims.positions());
        make_room(&mut self.weights, dims.positions());
        Ok(self.probabilities.outline(&bottoms[0]))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let mut valid = self.read(pass.bottoms[1].data)?;
        let dims = &self.labels.dims;
        let (loss, probabilities) = self.probabilities.make(dims, pass.bottoms[0].data, pass.tops);
        if let (Some(sampling), Phase::Train) = (&self.sampling, pass.phase) {
            let classes = &self.classes;
            let error = |i: usize| 1.0 - probabilities[dims.start(i) + classes[i] as usize * dims.inner];
            valid = sampling.draw(pass.draw, classes, &mut self.weights, error);
        }
        let targets = Targets { classes: &self.classes, weights: &self.weights, smoothing: self.smoothing };
        let counts = Counts { batch: dims.outer, positions: dims.positions(), valid };
        *loss = self.normalizer.loss(cross_entropy(dims, probabilities, &targets), counts);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        let probabilities = self.probabilities.made(pass.tops);
        let scale = self.normalizer.scale(pass.tops[0].diff[0]);
        let targets = Targets { classes: &self.classes, weights: &self.weights, smoothing: self.smoothing };
        cross_entropy_backward(&self.labels.dims, probabilities, &targets, scale, diff);
    }

    fn label_range(&self) -> Option<LabelRange> {
        Some(self.labels.range())
    }
}

impl SoftmaxWithLoss {
    /// Fixes the class and the weight of each position; tells how many are not ignored.
    fn read(&mut self, labels: &[f32]) -> Result<f64, LayerError> {
        let mut valid = 0;
        for (position, (to, weight)) in self.classes.iter_mut().zip(&mut self.weights).enumerate() {
            let class = self.labels.class(labels, position)?;
            valid += usize::from(class.is_some());
            *to = class.unwrap_or(0);
            *weight = class.map_or(0.0, |c| self.class_weights.get(c as usize).copied().unwrap_or(1.0));
        }
        Ok(valid as f64)
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, failure, forward, forward_with, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'SoftmaxWithLoss'", &[(&[4, 5], Values::Any), (&[4], Values::Labels(5))]),
        Case::new(
            "type: 'SoftmaxWithLoss'",
            &[(&[2, 3, 2, 2], Values::Any), (&[2, 2, 2], Values::Labels(3))],
        ),
        Case::new(
            "type: 'SoftmaxWithLoss' softmax_param { axis: -1 } loss_param { ignore_label: 1 normalization: FULL }",
            &[(&[2, 2, 3], Values::Any), (&[2, 2], Values::Labels(3))],
        ),
        Case::new(
            "type: 'SoftmaxWithLoss' loss_param { label_smoothing: 0.2 normalize: false
              class_weighting: 0.5 class_weighting: 2 class_weighting: 1 }",
            &[(&[4, 3], Values::Any), (&[4], Values::Given(&[0.0, 1.0, 2.0, 1.0]))],
        ),
        Case::new(
            "type: 'SoftmaxWithLoss' loss_param { selective_sampling { label: 1 ratio: 1.5 } }",
            &[(&[6, 3], Values::Any), (&[6], Values::Given(&[0.0, 1.0, 1.0, 1.0, 1.0, 2.0]))],
        ),
    ];

    /// Probabilities 1/4 and 3/4, then the reverse.
    fn scores() -> (&'static [usize], Vec<f32>) {
        let three = 3f32.ln();
        (&[2, 2], vec![0.0, three, three, 0.0])
    }

    fn loss(settings: &str, labels: &[f32]) -> f32 {
        let (shape, scores) = scores();
        forward(&format!("type: 'SoftmaxWithLoss' {settings}"), &[(shape, &scores), (&[2], labels)])[0][0]
    }

    fn near(got: f32, want: f32) {
        assert!((got - want).abs() < 1e-6, "{got}, not {want}");
    }

    #[test]
    fn by_hand() {
        let (quarter, most) = (4f32.ln(), (4.0f32 / 3.0).ln());
        near(loss("", &[0.0, 0.0]), (quarter + most) / 2.0);
        near(loss("loss_param { ignore_label: 1 }", &[0.0, 1.0]), quarter);
        near(loss("loss_param { ignore_label: 1 normalization: FULL }", &[0.0, 1.0]), quarter / 2.0);
        near(loss("loss_param { normalization: NONE }", &[0.0, 0.0]), quarter + most);
        near(loss("loss_param { ignore_label: 7 }", &[7.0, 7.0]), 0.0);
        near(loss("loss_param { label_smoothing: 0.5 }", &[1.0, 0.0]), 0.75 * most + 0.25 * quarter);
        let weighted = "class_weighting: 2 class_weighting: 0.5";
        near(
            loss(&format!("loss_param {{ {weighted} }}"), &[0.0, 1.0]),
            (2.0 * quarter + 0.5 * quarter) / 2.0,
        );
        near(
            loss(&format!("loss_param {{ weight_by_label_freqs: false {weighted} }}"), &[0.0, 1.0]),
            quarter,
        );
    }

    #[test]
    fn the_second_top_is_the_probabilities() {
        let (shape, scores) = scores();
        let tops = forward_with("type: 'SoftmaxWithLoss'", 2, &[(shape, &scores), (&[2], &[0.0, 0.0])], &[]);
        tops[1].iter().zip([0.25, 0.75, 0.75, 0.25]).for_each(|(&got, want)| near(got, want));
    }

    #[test]
    fn a_hopeless_probability_is_clamped() {
        let scores: (&[usize], &[f32]) = (&[1, 2], &[0.0, 1000.0]);
        near(forward("type: 'SoftmaxWithLoss'", &[scores, (&[1], &[0.0])])[0][0], -f32::MIN_POSITIVE.ln());
    }

    #[test]
    fn a_label_out_of_range_is_an_error() {
        let (shape, scores) = scores();
        let text = failure("type: 'SoftmaxWithLoss'", &[(shape, &scores), (&[2], &[0.0, 2.0])]);
        assert_eq!(text, "label 2 of sample 1 is out of range: there are 2 classes, from 0");
    }

    #[test]
    fn bad_settings_are_refused() {
        let refused =
            |settings: &str| refusal(&format!("type: 'SoftmaxWithLoss' {settings}"), &[&[2, 3], &[2]]);
        assert!(refused("loss_param { label_smoothing: 1 }").contains("below 1, found 1"));
        assert!(refused("loss_param { class_weighting: -1 }").contains("from 0 up, found -1"));
        assert_eq!(
            refused("loss_param { class_weighting: 1 }"),
            "class_weighting has 1 values for 3 classes"
        );
        assert!(refused("softmax_param { axis: 3 }").contains("no axis 3"));
        let by_column = |labels: &[usize]| {
            refusal("type: 'SoftmaxWithLoss' softmax_param { axis: 0 }", &[&[2, 3], labels])
        };
        assert_eq!(by_column(&[3]), "the first two bottoms must have the same first axis, found 2 x 3 and 3");
    }
}
