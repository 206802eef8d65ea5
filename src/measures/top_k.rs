//! The best classes of scores, and probabilities of them.

/// The class of the highest score; of equals the first, as `ArgMax` chooses. A score that is no number is below all.
pub fn best(scores: &[f32]) -> usize {
    let ahead = |a: f32, b: f32| a > b || (b.is_nan() && !a.is_nan());
    (1..scores.len()).fold(0, |best, i| if ahead(scores[i], scores[best]) { i } else { best })
}

/// Whether class `label` is among the `k` of the highest scores; of equals the first come first.
pub fn top_k(scores: &[f32], label: usize, k: usize) -> bool {
    let own = scores[label];
    let before = |(i, &score): (usize, &f32)| {
        score > own || (i < label && score == own) || (own.is_nan() && !score.is_nan())
    };
    scores.iter().enumerate().filter(|&(i, score)| before((i, score))).count() < k
}

/// Probabilities e^x over their sum, and the logarithm of that of class `label`, both without overflow.
pub fn softmax(scores: &[f32], label: usize) -> (Vec<f32>, f64) {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let above = |&score: &f32| (f64::from(score) - f64::from(most)).exp();
    let sum: f64 = scores.iter().map(above).sum();
    let probabilities = scores.iter().map(|score| (above(score) / sum) as f32).collect();
    (probabilities, f64::from(scores[label]) - f64::from(most) - sum.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equals_the_first() {
        let scores = [0.1, 0.4, 0.4, 0.2];
        assert_eq!(best(&scores), 1);
        let ranks = |label: usize| (1..=4).find(|&k| top_k(&scores, label, k));
        assert_eq!([0, 1, 2, 3].map(ranks), [4, 1, 2, 3].map(Some));
        assert_eq!(best(&[f32::NAN, -1.0, f32::NAN]), 1);
        assert!(!top_k(&[f32::NAN, 0.0], 0, 1) && top_k(&[f32::NAN, 0.0], 1, 1));
        assert_eq!(best(&[]), 0);
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let (p, log) = softmax(&[1000.0, 1000.0 + 2.0_f32.ln(), -1000.0], 1);
        assert!((p[0] - 1.0 / 3.0).abs() < 1e-4 && (p[1] - 2.0 / 3.0).abs() < 1e-4 && p[2] == 0.0, "{p:?}");
        assert!((log - (2.0_f64 / 3.0).ln()).abs() < 1e-4);
        assert_eq!(softmax(&[0.0, -2000.0], 1).1, -2000.0);
    }
}
