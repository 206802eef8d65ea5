//! What a loss is divided by: `loss_param { normalization }`, shared by the losses that have it.

use crate::config::proto::{LossParameter, loss_parameter::NormalizationMode};

/// What a loss is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalizer(NormalizationMode);

impl Normalizer {
    /// As the settings say: `normalization`, else the old `normalize`, else this default.
    pub fn from_config(config: Option<&LossParameter>, default: NormalizationMode) -> Self {
        let Some(config) = config else { return Self(default) };
        Self(match (config.normalization, config.normalize) {
            (Some(_), _) => config.normalization(),
            (None, Some(true)) => NormalizationMode::Valid,
            (None, Some(false)) => NormalizationMode::BatchSize,
            (None, None) => default,
        })
    }

    /// The divisor, at least 1: a batch whose labels are all ignored has the loss 0, not NaN.
    ///
    /// `batch` is Caffe's outer number, `positions` all labels, `valid` those that are not ignored.
    pub fn divisor(self, batch: usize, positions: usize, valid: f64) -> f64 {
        match self.0 {
            NormalizationMode::Full => positions as f64,
            NormalizationMode::Valid => valid,
            NormalizationMode::BatchSize => batch as f64,
            NormalizationMode::None => 1.0,
        }
        .max(1.0)
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
            Normalizer::from_config(Some(&config), NormalizationMode::None).0
        };
        assert_eq!(mode(None, None), NormalizationMode::None);
        assert_eq!(mode(None, Some(true)), NormalizationMode::Valid);
        assert_eq!(mode(None, Some(false)), NormalizationMode::BatchSize);
        assert_eq!(mode(Some(NormalizationMode::Full), Some(false)), NormalizationMode::Full);
    }

    #[test]
    fn divisors_by_hand() {
        let divisor = |mode, valid| Normalizer(mode).divisor(2, 6, valid);
        assert_eq!(divisor(NormalizationMode::Full, 5.0), 6.0);
        assert_eq!(divisor(NormalizationMode::Valid, 5.0), 5.0);
        assert_eq!(divisor(NormalizationMode::Valid, 0.0), 1.0);
        assert_eq!(divisor(NormalizationMode::BatchSize, 5.0), 2.0);
        assert_eq!(divisor(NormalizationMode::None, 5.0), 1.0);
    }
}
