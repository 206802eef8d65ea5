//! One class against the rest: the receiver operating characteristic.

/// How the share of true positives grows with that of false ones, as ever lower scores are taken for the class.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// False positive rate and true positive rate, from (0, 0) to (1, 1); points on a straight line are left out.
    pub points: Vec<[f64; 2]>,
    /// The area below: the chance that a sample of the class has a higher score than another, ties counting half.
    pub area: f64,
}

/// The curve of scores, where `positive` tells which samples are of the class; `None` unless some are and some are not.
///
/// The area is exact: whole numbers are counted, and ties get the mean of their ranks.
pub fn curve(scores: &[f32], positive: &[bool]) -> Option<Curve> {
    let positives = positive.iter().filter(|&&p| p).count() as u64;
    let negatives = positive.len() as u64 - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut order: Vec<usize> = (0..positive.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut corners: Vec<[u64; 2]> = vec![[0, 0]];
    // Twice the pairs in which the positive sample is ahead: a tie is one.
    let mut twice: u128 = 0;
    let [mut falsely, mut truly] = [0_u64; 2];
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let hits = tied.iter().filter(|&&i| positive[i]).count() as u64;
        let misses = tied.len() as u64 - hits;
        twice += u128::from(misses) * u128::from(2 * truly + hits);
        falsely += misses;
        truly += hits;
        push(&mut corners, [falsely, truly]);
    }
    let point = |[f, t]: [u64; 2]| [f as f64 / negatives as f64, t as f64 / positives as f64];
    let area = twice as f64 / 2.0 / positives as f64 / negatives as f64;
    Some(Curve { points: corners.into_iter().map(point).collect(), area })
}

/// Adds a corner, in place of the last if that is on the line to it.
fn push(corners: &mut Vec<[u64; 2]>, next: [u64; 2]) {
    if let [.., before, last] = corners[..] {
        let step = |a: [u64; 2], b: [u64; 2]| [b[0] - a[0], b[1] - a[1]].map(u128::from);
        let ([ax, ay], [bx, by]) = (step(before, last), step(last, next));
        if ax * by == ay * bx {
            corners.pop();
        }
    }
    corners.push(next);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Of 2 x 3 pairs the positive one is ahead in 4, and level in 1.
        let positive = [true, false, true, false, false];
        let curve = curve(&[0.9, 0.7, 0.5, 0.5, 0.1], &positive).unwrap();
        assert_eq!(curve.area, 4.5 / 6.0);
        let third = 1.0 / 3.0;
        assert_eq!(curve.points, [[0.0, 0.0], [0.0, 0.5], [third, 0.5], [2.0 * third, 1.0], [1.0, 1.0]]);
    }

    #[test]
    fn the_area_is_that_of_midranks_and_below_the_curve() {
        // Scores of few values, so that many are level.
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 24
        };
        for _ in 0..50 {
            let scores: Vec<f32> = (0..200).map(|_| (next() % 13) as f32).collect();
            let positive: Vec<bool> = (0..200).map(|_| next() % 3 == 0).collect();
            let Curve { points, area } = curve(&scores, &positive).unwrap();
            let rank = |i: usize| {
                let lower = scores.iter().filter(|&&s| s < scores[i]).count() as f64;
                let level = scores.iter().filter(|&&s| s == scores[i]).count() as f64;
                lower + (level + 1.0) / 2.0
            };
            let ranks: f64 = (0..200).filter(|&i| positive[i]).map(rank).sum();
            let n = positive.iter().filter(|&&p| p).count() as f64;
            let expected = (ranks - n * (n + 1.0) / 2.0) / (n * (200.0 - n));
            assert!((area - expected).abs() < 1e-12, "{area} {expected}");
            let trapezia = points.windows(2).map(|p| (p[1][0] - p[0][0]) * (p[1][1] + p[0][1]) / 2.0);
            assert!((trapezia.sum::<f64>() - area).abs() < 1e-12);
        }
    }

    #[test]
    fn extremes() {
        let [best, worst] =
            [[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]].map(|s| curve(&s, &[true, false, false]).unwrap());
        assert_eq!((best.area, worst.area), (1.0, 0.0));
        assert_eq!(best.points, [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]);
        let level = curve(&[0.5; 4], &[true, false, true, false]).unwrap();
        assert_eq!((level.area, level.points), (0.5, vec![[0.0, 0.0], [1.0, 1.0]]));
        assert_eq!(curve(&[0.5; 2], &[true, true]), None);
        assert_eq!(curve(&[], &[]), None);
    }
}
