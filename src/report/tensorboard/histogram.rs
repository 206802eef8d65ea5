//! How values are spread.

use super::proto::Histogram;

/// Buckets of equal width between the least and the largest value.
const BUCKETS: usize = 64;

/// The histogram of the values times `scale`; those that are no numbers are left out.
pub fn of(values: &[f32], scale: f64) -> Histogram {
    let finite = || values.iter().filter(|v| v.is_finite()).map(|&v| f64::from(v) * scale);
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut num, mut sum, mut sum_squares) = (0.0, 0.0, 0.0);
    for v in finite() {
        (min, max) = (min.min(v), max.max(v));
        num += 1.0;
        sum += v;
        sum_squares += v * v;
    }
    if num == 0.0 {
        return Histogram::default();
    }
    let width = (max - min) / BUCKETS as f64;
    if width <= 0.0 {
        return Histogram { min, max, num, sum, sum_squares, bucket_limit: vec![max], bucket: vec![num] };
    }
    let mut bucket = vec![0.0; BUCKETS];
    for v in finite() {
        bucket[(((v - min) / width) as usize).min(BUCKETS - 1)] += 1.0;
    }
    let bucket_limit = (1..=BUCKETS).map(|i| if i == BUCKETS { max } else { min + width * i as f64 });
    Histogram { min, max, num, sum, sum_squares, bucket_limit: bucket_limit.collect(), bucket }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_in_a_bucket() {
        let values: Vec<f32> = (0..=128).map(|i| i as f32).chain([f32::NAN, f32::INFINITY]).collect();
        let found = of(&values, 0.5);
        assert_eq!((found.min, found.max, found.num, found.sum), (0.0, 64.0, 129.0, 128.0 * 129.0 / 4.0));
        assert_eq!(found.bucket_limit, (1..=64).map(f64::from).collect::<Vec<_>>());
        assert_eq!((found.bucket[0], found.bucket[62], found.bucket[63]), (2.0, 2.0, 3.0));
        assert_eq!(found.bucket.iter().sum::<f64>(), 129.0);
    }

    #[test]
    fn equal_values_and_none_are_no_trouble() {
        let one = of(&[0.25; 3], 1.0);
        assert_eq!((one.bucket_limit, one.bucket, one.sum_squares), (vec![0.25], vec![3.0], 0.1875));
        assert_eq!(of(&[], 1.0), Histogram::default());
        assert_eq!(of(&[f32::NAN], 1.0).num, 0.0);
    }
}
