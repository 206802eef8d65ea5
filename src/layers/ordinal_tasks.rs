//! Ranks as yes-or-no questions: what `OrdinalRegressionLoss` and `OrdinalRank` share.

use super::{LayerError, labels::class_dims};
use crate::{
    config::proto::{LayerParameter, OrdinalRegressionParameter, ordinal_regression_parameter::Outputs},
    kernels::softmax::SoftmaxDims,
    tensor::Shape,
};

const AXIS: &str = "ordinal_regression_param.axis";

/// Scores of K - 1 questions "is the rank above k?" along an axis.
pub struct OrdinalTasks {
    /// The settings.
    pub config: OrdinalRegressionParameter,
    /// The scores around the axis of the questions.
    pub dims: SoftmaxDims,
    /// How many questions there are.
    pub count: usize,
}

impl OrdinalTasks {
    /// The settings of a layer.
    pub fn from_config(config: &LayerParameter) -> Self {
        let config = config.ordinal_regression_param.clone().unwrap_or_default();
        Self { config, dims: SoftmaxDims::default(), count: 0 }
    }

    /// Fixes the shapes.
    ///
    /// # Errors
    /// When there is no such axis, or pairs do not come out even.
    pub fn outline(&mut self, scores: &Shape) -> Result<(), LayerError> {
        self.dims = class_dims(scores, self.config.axis(), AXIS)?;
        let values = self.dims.classes;
        self.count = values / self.values_per_task();
        if self.count * self.values_per_task() != values || values == 0 {
            return Err(LayerError::shape(format!(
                "axis {} must hold two scores for each question, found {values} in {scores}",
                self.config.axis()
            )));
        }
        Ok(())
    }

    /// Whether each question has a score for no and one for yes.
    pub fn in_pairs(&self) -> bool {
        self.config.outputs() == Outputs::Pairs
    }

    fn values_per_task(&self) -> usize {
        1 + usize::from(self.in_pairs())
    }

    /// The logit of yes to question `task` at a position that starts at `start`.
    #[inline(always)]
    pub fn logit(&self, scores: &[f32], start: usize, task: usize) -> f32 {
        let step = self.dims.inner;
        if self.in_pairs() {
            scores[start + (2 * task + 1) * step] - scores[start + 2 * task * step]
        } else {
            scores[start + task * step]
        }
    }
}
