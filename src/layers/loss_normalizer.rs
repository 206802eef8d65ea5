//! What a loss is divided by: `loss_param { normalization }`, shared by the losses that have it.

use crate::config::proto::{LossParameter, loss_parameter::NormalizationMode};

/// What a loss is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalizer {
    mode: NormalizationMode,
    /// Of the last forward pass.
    divisor: f64,
}

/// How many labels a pass has.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Caffe's outer number.
    pub batch: usize,
    /// All labels.
    pub positions: usize,
    /// Those that are not ignored.
    pub valid: f64,
}

impl Normalizer {
    /// As the settings say: `normalization`, else the old `normalize`, else this default.
    pub fn from_config(config: Option<&LossParameter>, default: NormalizationMode) -> Self {
        let mode = config.map_or(default, |config| match (config.normalization, config.normalize) {
            (Some(_), _) => config.normalization(),
            (None, Some(true)) => NormalizationMode::Valid,
            (None, Some(false)) => NormalizationMode::BatchSize,
            (None, None) => default,
        });
        Self { mode, divisor: 1.0 }
    }

    /// The loss of a pass, of the sum over its labels. The divisor is at least 1: a batch whose labels are all ignored
    /// has the loss 0, not NaN.
    pub fn loss(&mut self, sum: f64, counts: Counts) -> f32 {
        let divisor = match self.mode {
            NormalizationMode::Full => counts.positions as f64,
            NormalizationMode::Valid => counts.valid,
            NormalizationMode::BatchSize => counts.batch as f64,
            NormalizationMode::None => 1.0,
        };
        self.divisor = divisor.max(1.0);
        (sum / self.divisor) as f32
    }

    /// dE/dsum of that pass, of dE/dloss.
    pub fn scale(&self, diff: f32) -> f32 {
        (f64::from(diff) / self.divisor) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_field_counts_only_without_the_new_one() {
        let mode = |normalization: Option<NormalizationMode>, normalize| {
            let config = LossParameter {
                normalization: normalization.map(Into::into),
                normalize,
                ..LossParameter::default()
            };
            Normalizer::from_config(Some(&config), NormalizationMode::None).mode
        };
        assert_eq!(mode(None, None), NormalizationMode::None);
        assert_eq!(mode(None, Some(true)), NormalizationMode::Valid);
        assert_eq!(mode(None, Some(false)), NormalizationMode::BatchSize);
        assert_eq!(mode(Some(NormalizationMode::Full), Some(false)), NormalizationMode::Full);
    }

    #[test]
    fn divisors_by_hand() {
        let both = |mode, valid| {
            let mut normalizer = Normalizer::from_config(None, mode);
            (normalizer.loss(30.0, Counts { batch: 2, positions: 6, valid }), normalizer.scale(60.0))
        };
        assert_eq!(both(NormalizationMode::Full, 5.0), (5.0, 10.0));
        assert_eq!(both(NormalizationMode::Valid, 5.0), (6.0, 12.0));
        assert_eq!(both(NormalizationMode::Valid, 0.0), (30.0, 60.0));
        assert_eq!(both(NormalizationMode::BatchSize, 5.0), (15.0, 30.0));
        assert_eq!(both(NormalizationMode::None, 5.0), (30.0, 60.0));
    }
}
