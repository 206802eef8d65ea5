//! Whether probabilities mean what they say: of samples given 80%, 80% should be right.

/// The samples whose best probability lies between two bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// How many.
    pub count: u64,
    /// The mean of their best probabilities; 0 without samples.
    pub confidence: f64,
    /// The share that is right; 0 without samples.
    pub accuracy: f64,
}

/// The samples in `bins` ranges of the same width, the upper bound of each included: their best probability, and whether the
/// class that it stands for is right.
pub fn calibration(bins: usize, samples: impl Iterator<Item = (f32, bool)>) -> Vec<Bin> {
    let mut sums = vec![Bin::default(); bins];
    for (confidence, right) in samples {
        let at = (f64::from(confidence) * bins as f64).ceil() as usize;
        let bin = &mut sums[at.clamp(1, bins) - 1];
        bin.count += 1;
        bin.confidence += f64::from(confidence);
        bin.accuracy += f64::from(u8::from(right));
    }
    for bin in sums.iter_mut().filter(|bin| bin.count > 0) {
        bin.confidence /= bin.count as f64;
        bin.accuracy /= bin.count as f64;
    }
    sums
}

/// The expected calibration error (Naeini et al., 2015): the mean distance of confidence and accuracy, by samples.
pub fn calibration_error(bins: &[Bin]) -> f64 {
    let total: u64 = bins.iter().map(|bin| bin.count).sum();
    let distance = |bin: &Bin| (bin.confidence - bin.accuracy).abs() * bin.count as f64;
    if total == 0 { 0.0 } else { bins.iter().map(distance).sum::<f64>() / total as f64 }
}

/// The Brier score: the mean over samples of the squared distance of the probabilities from 1 for the true class and 0 for
/// the others. `probabilities` has a row for each label.
pub fn brier(probabilities: &[f32], labels: &[usize]) -> f64 {
    let classes = probabilities.len() / labels.len().max(1);
    let rows = probabilities.chunks_exact(classes.max(1));
    let distance = |(row, &label): (&[f32], &usize)| -> f64 {
        let target = |class: usize| f64::from(u8::from(class == label));
        row.iter().enumerate().map(|(class, &p)| (f64::from(p) - target(class)).powi(2)).sum()
    };
    rows.zip(labels).map(distance).sum::<f64>() / labels.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let samples = [(0.25, false), (0.5, true), (0.5, false), (0.75, true), (1.0, true), (1.0, false)];
        let bins = calibration(2, samples.into_iter());
        assert_eq!(bins[0], Bin { count: 3, confidence: 1.25 / 3.0, accuracy: 1.0 / 3.0 });
        assert_eq!(bins[1], Bin { count: 3, confidence: 2.75 / 3.0, accuracy: 2.0 / 3.0 });
        assert!((calibration_error(&bins) - (0.25 + 0.75) / 6.0).abs() < 1e-15);
        assert_eq!(calibration(4, [(0.0, true)].into_iter())[0].count, 1);
        assert_eq!(calibration_error(&calibration(3, std::iter::empty())), 0.0);
    }

    #[test]
    fn scores_of_brier() {
        assert_eq!(brier(&[1.0, 0.0, 0.0, 1.0], &[0, 1]), 0.0);
        assert_eq!(brier(&[1.0, 0.0, 0.5, 0.5], &[1, 1]), (2.0 + 0.5) / 2.0);
        assert_eq!(brier(&[], &[]), 0.0);
    }
}
