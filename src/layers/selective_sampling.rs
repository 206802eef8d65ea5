//! Selective sampling: of a class with too many samples, count those that the net gets wrong.

use rand::RngExt as _;

use super::LayerError;
use crate::{config::proto::SelectiveSamplingParameter, kernels::random::Draw};

/// Draws samples of one class, with a probability that grows with the error on them.
///
/// A sample's error is 1 - p(its class). Of the samples of the class `label`, `ratio` are drawn for each sample of
/// another class, with replacement, so that a sample is drawn error / (sum of errors) * (number drawn) times in
/// expectation; one that was not drawn does not count. The draw is systematic: one random number, then equal
/// steps along the running sum of errors.
///
/// Reference: van Grinsven et al. 2016, "Fast convolutional neural network training using selective sampling".
/// There samples of the whole set are drawn, by errors that are some epochs old; here those of the batch, by the
/// errors of this very pass, so no scores are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelectiveSampling {
    label: u32,
    ratio: f64,
}

impl SelectiveSampling {
    /// Checks the settings.
    ///
    /// # Errors
    /// For a ratio that is not a positive number.
    pub fn from_config(config: &SelectiveSamplingParameter) -> Result<Self, LayerError> {
        let ratio = config.ratio();
        if !(ratio > 0.0 && ratio.is_finite()) {
            return Err(LayerError::setting(
                "loss_param.selective_sampling.ratio",
                format!("ratio must be above 0, found {ratio}"),
            ));
        }
        Ok(Self { label: config.label(), ratio: f64::from(ratio) })
    }

    /// Multiplies the weight of each sample of the class by how often it was drawn, and tells how many samples
    /// count now. Samples of weight 0 do not take part; `error` of a position lies from 0 to 1.
    pub fn draw(
        &self,
        draw: Draw,
        classes: &[u32],
        weights: &mut [f32],
        error: impl Fn(usize) -> f32,
    ) -> f64 {
        let taken = |weights: &[f32], i: usize| weights[i] != 0.0 && classes[i] == self.label;
        let valid = weights.iter().filter(|&&w| w != 0.0).count();
        let many = (0..classes.len()).filter(|&i| taken(weights, i)).count();
        if many == 0 {
            return valid as f64;
        }
        let others = valid - many;
        let wanted = (self.ratio * others.max(1) as f64).round().clamp(1.0, many as f64);
        // Errors of 0 all over leave nothing to prefer by; so every sample gets a little.
        let share = |i: usize| f64::from(error(i)).max(1e-12);
        let total: f64 = (0..classes.len()).filter(|&i| taken(weights, i)).map(share).sum();
        let step = total / wanted;
        let start = draw.rng(0).random::<f64>();
        let (mut sum, mut drawn) = (0.0, 0.0);
        for i in 0..classes.len() {
            if taken(weights, i) {
                sum += share(i);
                // Points stand at (k + start) * step; so many lie below the running sum.
                let below = (sum / step - start).ceil().clamp(drawn, wanted);
                weights[i] *= (below - drawn) as f32;
                drawn = below;
            }
        }
        others as f64 + drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(ratio: f32, classes: &[u32], errors: &[f32], pass: u64) -> (Vec<f32>, f64) {
        let config = SelectiveSamplingParameter { label: Some(0), ratio: Some(ratio) };
        let mut weights = vec![1.0; classes.len()];
        let sampling = SelectiveSampling::from_config(&config).unwrap();
        let count = sampling.draw(Draw::new(3, "loss", pass), classes, &mut weights, |i| errors[i]);
        (weights, count)
    }

    #[test]
    fn draws_as_many_as_asked_and_leaves_the_others() {
        for pass in 0..50 {
            let classes: Vec<u32> = (0..40).map(|i| u32::from(i % 10 == 0)).collect();
            let (weights, count) = drawn(2.0, &classes, &[0.3; 40], pass);
            assert_eq!((weights.iter().sum::<f32>(), count), (12.0, 12.0));
            assert!((0..40).step_by(10).all(|i| weights[i] == 1.0));
        }
    }

    #[test]
    fn the_wrong_are_drawn_more_often() {
        let mut sums = [0f32; 5];
        for pass in 0..2000 {
            let (weights, _) = drawn(1.0, &[0, 0, 0, 1, 1], &[0.1, 0.3, 0.6, 0.9, 0.9], pass);
            sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += w / 2000.0);
        }
        for (got, want) in sums.iter().zip([0.2, 0.6, 1.2, 1.0, 1.0]) {
            assert!((got - want).abs() < 0.05, "{sums:?}");
        }
    }

    #[test]
    fn edge_cases() {
        assert_eq!(drawn(1.0, &[1, 2], &[0.5; 2], 0), (vec![1.0; 2], 2.0));
        assert_eq!(drawn(1.0, &[0, 0], &[0.0; 2], 0).1, 1.0);
        assert_eq!(drawn(9.0, &[0, 1], &[1.0; 2], 0), (vec![1.0; 2], 2.0));
        assert_eq!(drawn(1.0, &[], &[], 0).1, 0.0);
        let bad = SelectiveSamplingParameter { label: None, ratio: Some(0.0) };
        assert_eq!(
            SelectiveSampling::from_config(&bad).unwrap_err().to_string(),
            "ratio must be above 0, found 0"
        );
    }
}
