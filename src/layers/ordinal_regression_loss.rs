//! `OrdinalRegressionLoss`: ranks learned as yes-or-no questions.

use super::{
    Arity, Backward, Forward, Kind, LabelRange, Layer, LayerError, Outline, Reads, Role, Setup,
    axes::make_room,
    labels::Labels,
    loss_normalizer::{Counts, Normalizer},
    ordinal_tasks::OrdinalTasks,
};
use crate::{
    config::proto::{LayerParameter, loss_parameter::NormalizationMode},
    kernels::{
        logistic::{binary_cross_entropy, sigmoid},
        parallel::{CHUNK, for_chunks_mut, sum_chunks},
    },
    tensor::Shape,
};

/// The row of `OrdinalRegressionLoss`.
pub const KIND: Kind = Kind {
    name: "OrdinalRegressionLoss",
    summary: "ranks as yes-or-no questions: is the rank above k?",
    settings: &["ordinal_regression_param", "loss_param"],
    bottoms: Arity::Exactly(2),
    role: Role::Loss,
    no_gradient: &[1],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Cross entropy of K - 1 questions "is the rank above k?", k from 0, with K ranks: ages, grades, severities.
///
/// E = 1/M sum_i sum_k w_k CE(s(z_ik), label_i > k)       dE/dz_ik = w_k / M (s(z_ik) - [label_i > k])
///
/// with s the sigmoid. `outputs: PAIRS`, as in the paper: two scores for each question, no and yes, whose softmax is
/// s(yes - no). `outputs: SIGMOID`: one score each. w is `task_weight`, 1 unless given; M is the number of labels
/// that are not `ignore_label`, unless `normalization` says otherwise.
///
/// Shapes: bottoms scores `N x 2(K-1) x ...` (no, yes, no, yes, ...) or `N x (K-1) x ...`, questions on `axis`, and
/// labels `N x ...` from 0 to K - 1; top one value. Params: none.
/// Reference: Niu et al. 2016, "Ordinal regression with multiple output CNN for age estimation". Not in Caffe.
struct OrdinalRegressionLoss {
    tasks: OrdinalTasks,
    normalizer: Normalizer,
    labels: Labels,
    /// Of each position: the rank, `None` for the ignored.
    ranks: Vec<Option<u32>>,
    /// Of each question.
    weights: Vec<f32>,
}

const WEIGHTS: &str = "ordinal_regression_param.task_weight";

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let tasks = OrdinalTasks::from_config(config);
    if let Some(bad) = tasks.config.task_weight.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
        let text = format!("task_weight must be numbers from 0 up, found {bad}");
        return Err(LayerError::setting(WEIGHTS, text));
    }
    let loss = config.loss_param.as_ref();
    Ok(Box::new(OrdinalRegressionLoss {
        tasks,
        normalizer: Normalizer::from_config(loss, NormalizationMode::Valid),
        labels: Labels::new(loss.and_then(|l| l.ignore_label)),
        ranks: vec![],
        weights: vec![],
    }))
}

impl Layer for OrdinalRegressionLoss {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        self.tasks.outline(&bottoms[0])?;
        let config = &self.tasks.config;
        self.labels.outline(&bottoms[0], &bottoms[1], config.axis(), "ordinal_regression_param.axis")?;
        self.labels.dims.classes = self.tasks.count + 1;
        self.weights.clone_from(&config.task_weight);
        if self.weights.is_empty() {
            self.weights.resize(self.tasks.count, 1.0);
        }
        if self.weights.len() != self.tasks.count {
            let (found, count) = (self.weights.len(), self.tasks.count);
            let text = format!("task_weight has {found} values for {count} questions");
            return Err(LayerError::setting(WEIGHTS, text));
        }
        make_room(&mut self.ranks, self.labels.dims.positions());
        Ok(Outline::of([Shape::default()]).reads(Reads::BOTTOMS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let valid = self.labels.read(pass.bottoms[1].data, &mut self.ranks, |rank| rank)?;
        let (tasks, scores) = (&self.tasks, pass.bottoms[0].data);
        let sum = sum_chunks(self.ranks.len(), (CHUNK / tasks.dims.classes).max(1), |positions| {
            let mut sum = 0.0;
            for position in positions {
                let Some(rank) = self.ranks[position] else { continue };
                let start = tasks.dims.start(position);
                for (task, weight) in self.weights.iter().enumerate() {
                    let target = f32::from(rank as usize > task);
                    let cost = binary_cross_entropy(tasks.logit(scores, start, task), target);
                    sum += f64::from(weight * cost);
                }
            }
            sum
        });
        let counts = Counts { batch: tasks.dims.outer, positions: self.ranks.len(), valid: valid as f64 };
        pass.tops[0].data[0] = self.normalizer.loss(sum, counts);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        let scale = self.normalizer.scale(pass.tops[0].diff[0]);
        let (tasks, scores, inner) = (&self.tasks, pass.bottoms[0].data, self.tasks.dims.inner);
        let plane = tasks.dims.classes * inner;
        for_chunks_mut(diff, (CHUNK / plane.max(1)).max(1) * plane, |first, diff| {
            for (i, diff) in diff.chunks_exact_mut(plane).enumerate() {
                let start = first + i * plane;
                for (j, rank) in self.ranks[start / tasks.dims.classes..][..inner].iter().enumerate() {
                    for (task, weight) in self.weights.iter().enumerate() {
                        let slope = rank.map_or(0.0, |rank| {
                            let target = f32::from(rank as usize > task);
                            scale * weight * (sigmoid(tasks.logit(scores, start + j, task)) - target)
                        });
                        if tasks.in_pairs() {
                            diff[2 * task * inner + j] = -slope;
                            diff[(2 * task + 1) * inner + j] = slope;
                        } else {
                            diff[task * inner + j] = slope;
                        }
                    }
                }
            }
        });
    }

    fn label_range(&self) -> Option<LabelRange> {
        Some(self.labels.range())
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, failure, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'OrdinalRegressionLoss' loss_param { ignore_label: 1 }",
            &[(&[4, 6], Values::Any), (&[4], Values::Given(&[0.0, 3.0, 1.0, 2.0]))],
        ),
        Case::new(
            "type: 'OrdinalRegressionLoss'
             ordinal_regression_param { outputs: SIGMOID task_weight: 0.5 task_weight: 2 }",
            &[(&[2, 2, 3], Values::Any), (&[2, 3], Values::Labels(3))],
        ),
    ];

    #[test]
    fn by_hand() {
        let loss = |settings: &str, scores: (&[usize], &[f32]), label: f32| {
            let text = format!("type: 'OrdinalRegressionLoss' ordinal_regression_param {{ {settings} }}");
            forward(&text, &[scores, (&[1], &[label])])[0][0]
        };
        let near = |got: f32, want: f32| assert!((got - want).abs() < 1e-6, "{got}, not {want}");
        // Yes has the odds 3 to 1 to the first question, and 1 to 1 to the second.
        let three = 3f32.ln();
        let (likely, unlikely, even) = ((4.0f32 / 3.0).ln(), 4f32.ln(), 2f32.ln());
        let single: (&[usize], &[f32]) = (&[1, 2], &[three, 0.0]);
        near(loss("outputs: SIGMOID", single, 0.0), unlikely + even);
        near(loss("outputs: SIGMOID", single, 1.0), likely + even);
        near(loss("outputs: SIGMOID task_weight: 2 task_weight: 0", single, 2.0), 2.0 * likely);
        near(loss("", (&[1, 4], &[1.0, 1.0 + three, 5.0, 5.0]), 1.0), likely + even);
    }

    #[test]
    fn bad_input_is_refused() {
        let refused = |settings: &str, scores: &[usize]| {
            let text = format!("type: 'OrdinalRegressionLoss' ordinal_regression_param {{ {settings} }}");
            refusal(&text, &[scores, &[1]])
        };
        assert_eq!(refused("", &[1, 3]), "axis 1 must hold two scores for each question, found 3 in 1 x 3");
        assert_eq!(refused("task_weight: 1", &[1, 4]), "task_weight has 1 values for 2 questions");
        assert!(refused("task_weight: -1", &[1, 2]).contains("from 0 up, found -1"));
        let text = failure("type: 'OrdinalRegressionLoss'", &[(&[1, 4], &[0.0; 4]), (&[1], &[3.0])]);
        assert!(text.contains("label 3 of sample 0 is out of range: there are 3 classes"), "{text}");
    }
}
