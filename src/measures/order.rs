//! Classes that have an order, such as ages or grades: how far off predictions are.

use super::Confusion;

/// How far predictions are from labels, in classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// The mean distance.
    pub mean_absolute_error: f64,
    /// The root of the mean square of the distance.
    pub root_mean_square_error: f64,
    /// The share of samples at most one class off.
    pub one_off: f64,
    /// Cohen's kappa with squares of distances as weights (Cohen, 1968): 1 if all are right, 0 if not better than chance with
    /// the same frequencies; `None` if all samples and predictions are of one class.
    pub quadratic_kappa: Option<f64>,
}

/// Of the samples of a confusion matrix; `None` without samples.
pub fn order(confusion: &Confusion) -> Option<Order> {
    let total = confusion.total() as f64;
    if total == 0.0 {
        return None;
    }
    let by_class = confusion.by_class();
    let [mut sum, mut squares, mut near, mut by_chance] = [0.0; 4];
    for (label, row) in confusion.rows().enumerate() {
        for (seen, &count) in row.iter().enumerate() {
            let distance = label.abs_diff(seen) as f64;
            let count = count as f64;
            sum += count * distance;
            squares += count * distance * distance;
            near += if distance <= 1.0 { count } else { 0.0 };
            let expected = by_class[label].support as f64 * by_class[seen].predicted as f64 / total;
            by_chance += expected * distance * distance;
        }
    }
    Some(Order {
        mean_absolute_error: sum / total,
        root_mean_square_error: (squares / total).sqrt(),
        one_off: near / total,
        quadratic_kappa: (by_chance > 0.0).then(|| 1.0 - squares / by_chance),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let confusion = Confusion::of(4, &[0, 1, 2, 3], &[0, 2, 2, 1]);
        let found = order(&confusion).unwrap();
        assert_eq!((found.mean_absolute_error, found.one_off), (0.75, 0.75));
        assert_eq!(found.root_mean_square_error, (5.0_f64 / 4.0).sqrt());
        // Each label with each prediction once: 0, 1, 4, 9; once more 1, 0, 1, 4 for the single 1; 4, 1, 0, 1 twice for 2.
        let by_chance = (14.0 + 6.0 + 2.0 * 6.0) / 4.0;
        assert_eq!(found.quadratic_kappa, Some(1.0 - 5.0 / by_chance));
    }

    #[test]
    fn all_right_all_wrong_and_all_one() {
        let kappa = |labels: &[usize], seen: &[usize]| {
            order(&Confusion::of(3, labels, seen)).unwrap().quadratic_kappa
        };
        assert_eq!(kappa(&[0, 1, 2], &[0, 1, 2]), Some(1.0));
        assert_eq!(kappa(&[0, 2], &[2, 0]), Some(-1.0));
        assert_eq!(kappa(&[0, 2, 0, 2], &[0, 0, 2, 2]), Some(0.0));
        assert_eq!(kappa(&[1, 1], &[1, 1]), None);
        assert_eq!(order(&Confusion::of(3, &[], &[])), None);
    }
}
