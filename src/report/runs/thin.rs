//! Fewer points that look the same: what a screen can show of a long curve.

use std::ops::RangeInclusive;

use serde::Serialize;

/// A curve in few points, each of which stands for some neighbours.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Thinned {
    /// The iterations.
    pub iters: Vec<i32>,
    /// The mean of the finite values that a point stands for; none if there is none.
    pub mean: Vec<Option<f32>>,
    /// The least of them; empty where every point stands for itself.
    pub low: Vec<Option<f32>>,
    /// The greatest of them, likewise.
    pub high: Vec<Option<f32>>,
    /// Iterations with a value that is not finite; of several in one point, the first.
    pub broken: Vec<i32>,
}

/// Thins a curve out to about `points` points in a range of iterations, and to one more at either end, so that lines leave
/// the picture where they should. First and last point stay by themselves, and no extreme is lost.
pub fn thin(iters: &[i32], values: &[f32], range: &RangeInclusive<i32>, points: usize) -> Thinned {
    let start = iters.partition_point(|i| i < range.start()).saturating_sub(1);
    let end = iters.partition_point(|i| i <= range.end()).saturating_add(1).min(iters.len());
    if start >= end {
        return Thinned::default();
    }
    let (iters, values) = (&iters[start..end], &values[start..end]);
    let mut out = Thinned::default();
    let count = iters.len();
    if count <= points.max(3) {
        (0..count).for_each(|i| out.add(&iters[i..=i], &values[i..=i]));
        out.low.clear();
        out.high.clear();
        return out;
    }
    out.add(&iters[..1], &values[..1]);
    let inner = count - 2;
    let buckets = points.max(3) - 2;
    for bucket in 0..buckets {
        let at = |b: usize| 1 + (b as u128 * inner as u128 / buckets as u128) as usize;
        let bounds = at(bucket)..at(bucket + 1);
        out.add(&iters[bounds.clone()], &values[bounds]);
    }
    out.add(&iters[count - 1..], &values[count - 1..]);
    out
}

impl Thinned {
    /// Adds a point for these neighbours, of which there is at least one.
    fn add(&mut self, iters: &[i32], values: &[f32]) {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let count = finite().count();
        let some = |v: f32| (count > 0).then_some(v);
        let mean = finite().map(f64::from).sum::<f64>() / count.max(1) as f64;
        self.iters.push(iters[iters.len() / 2]);
        self.mean.push(some(mean as f32));
        self.low.push(some(finite().fold(f32::INFINITY, f32::min)));
        self.high.push(some(finite().fold(f32::NEG_INFINITY, f32::max)));
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            self.broken.push(iters[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: RangeInclusive<i32> = i32::MIN..=i32::MAX;

    #[test]
    fn few_points_stay_as_they_are() {
        let thinned = thin(&[3, 5, 9], &[1.0, f32::NAN, 2.0], &ALL, 10);
        let mean = vec![Some(1.0), None, Some(2.0)];
        assert_eq!(thinned, Thinned { iters: vec![3, 5, 9], mean, broken: vec![5], ..Thinned::default() });
        assert_eq!(thin(&[], &[], &ALL, 10), Thinned::default());
    }

    #[test]
    fn no_extreme_is_lost_and_both_ends_stay() {
        let iters: Vec<i32> = (0..100_000).collect();
        let mut values: Vec<f32> = iters.iter().map(|&i| (i as f32 * 0.01).sin()).collect();
        (values[77_777], values[12_345], values[50_000]) = (50.0, -60.0, f32::INFINITY);
        let thinned = thin(&iters, &values, &ALL, 500);
        assert_eq!(thinned.iters.len(), 500);
        assert_eq!((thinned.iters[0], thinned.iters[499]), (0, 99_999));
        assert!(thinned.iters.is_sorted_by(|a, b| a < b));
        let high = thinned.high.iter().flatten().copied().fold(f32::MIN, f32::max);
        let low = thinned.low.iter().flatten().copied().fold(f32::MAX, f32::min);
        assert_eq!((high, low, &thinned.broken[..]), (50.0, -60.0, &[50_000][..]));
        for (mean, (low, high)) in thinned.mean.iter().zip(thinned.low.iter().zip(&thinned.high)) {
            assert!(low <= mean && mean <= high);
        }
    }

    #[test]
    fn a_range_has_a_neighbour_on_either_side() {
        let (iters, values) = ([0, 10, 20, 30, 40], [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(thin(&iters, &values, &(15..=25), 10).iters, [10, 20, 30]);
        assert_eq!(thin(&iters, &values, &(-5..=0), 10).iters, [0, 10]);
        assert_eq!(thin(&iters, &values, &(50..=60), 10).iters, [40]);
    }
}
