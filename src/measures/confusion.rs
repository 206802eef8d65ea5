//! Which classes are taken for which, and what follows from that.

/// How many samples of each class were taken for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// A row for each true class.
    counts: Vec<u64>,
}

/// How well one class is told from the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OfClass {
    /// The share of those taken for it that are; 0 if none are taken for it.
    pub precision: f64,
    /// The share of its samples that are taken for it; 0 if it has none.
    pub recall: f64,
    /// The harmonic mean of both; 0 if both are.
    pub f1: f64,
    /// Its samples.
    pub support: u64,
    /// Those taken for it.
    pub predicted: u64,
}

/// Means of precision, recall and F1 over classes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Averages {
    /// Each class that has samples, or is taken for, counts the same.
    pub even: [f64; 3],
    /// Each class counts as often as it has samples.
    pub weighted: [f64; 3],
}

impl Confusion {
    /// Of labels and predictions, all below `classes`.
    pub fn of(classes: usize, labels: &[usize], predictions: &[usize]) -> Self {
        let mut counts = vec![0; classes * classes];
        labels.iter().zip(predictions).for_each(|(&label, &seen)| counts[label * classes + seen] += 1);
        Self { classes, counts }
    }

    /// How many classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many samples of class `label` were taken for `predicted`.
    pub fn count(&self, label: usize, predicted: usize) -> u64 {
        self.counts[label * self.classes + predicted]
    }

    /// The counts, a row for each true class.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u64]> {
        (0..self.classes).map(|class| &self.counts[class * self.classes..][..self.classes])
    }

    /// All samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The share of the samples that are taken for what they are.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        ratio(right, self.total())
    }

    /// How well each class is told from the others.
    pub fn by_class(&self) -> Vec<OfClass> {
        let of_class = |class: usize| {
            let right = self.count(class, class);
            let support = self.rows().nth(class).map_or(0, |row| row.iter().sum());
            let predicted = self.rows().map(|row| row[class]).sum();
            let [precision, recall] = [predicted, support].map(|whole| ratio(right, whole));
            // 2 p r / (p + r), without rounding twice.
            OfClass { precision, recall, f1: ratio(2 * right, support + predicted), support, predicted }
        };
        (0..self.classes).map(of_class).collect()
    }

    /// The means over classes.
    pub fn averages(&self) -> Averages {
        let of = |class: &OfClass| [class.precision, class.recall, class.f1];
        let by_class = self.by_class();
        let known: Vec<&OfClass> = by_class.iter().filter(|c| c.support + c.predicted > 0).collect();
        let total = self.total() as f64;
        let sum = |weight: &dyn Fn(&OfClass) -> f64, i: usize| -> f64 {
            known.iter().map(|class| of(class)[i] * weight(class)).sum()
        };
        if known.is_empty() || total == 0.0 {
            return Averages::default();
        }
        Averages {
            even: [0, 1, 2].map(|i| sum(&|_| 1.0, i) / known.len() as f64),
            weighted: [0, 1, 2].map(|i| sum(&|class| class.support as f64, i) / total),
        }
    }

    /// The pairs of classes that are mistaken most often, the most frequent first; at most `most`.
    pub fn mistakes(&self, most: usize) -> Vec<(usize, usize, u64)> {
        let pairs = (0..self.classes).flat_map(|label| (0..self.classes).map(move |seen| (label, seen)));
        let wrong = pairs.filter(|(label, seen)| label != seen);
        let mut mistakes: Vec<_> =
            wrong.map(|(label, seen)| (label, seen, self.count(label, seen))).collect();
        mistakes.retain(|&(.., count)| count > 0);
        mistakes.sort_by_key(|&(.., count)| std::cmp::Reverse(count));
        mistakes.truncate(most);
        mistakes
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Class 3 of 4 is never there and never taken for.
    fn example() -> Confusion {
        let labels = [0, 0, 0, 0, 1, 1, 2, 2];
        Confusion::of(4, &labels, &[0, 0, 0, 1, 1, 1, 1, 1])
    }

    #[test]
    fn by_hand() {
        let confusion = example();
        assert_eq!((confusion.total(), confusion.count(0, 1), confusion.count(2, 2)), (8, 1, 0));
        assert_eq!(confusion.accuracy(), 5.0 / 8.0);
        let [a, b, c, d] = confusion.by_class()[..] else { panic!("four classes") };
        assert_eq!(a, OfClass { precision: 1.0, recall: 0.75, f1: 6.0 / 7.0, support: 4, predicted: 3 });
        assert_eq!(b, OfClass { precision: 0.4, recall: 1.0, f1: 4.0 / 7.0, support: 2, predicted: 5 });
        assert_eq!(c, OfClass { support: 2, ..OfClass::default() });
        assert_eq!(d, OfClass::default());
        let Averages { even, weighted } = confusion.averages();
        let close = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-15);
        assert!(close(even, [1.4 / 3.0, 1.75 / 3.0, 10.0 / 21.0]), "{even:?}");
        assert!(close(weighted, [4.8 / 8.0, 5.0 / 8.0, (24.0 / 7.0 + 8.0 / 7.0) / 8.0]), "{weighted:?}");
    }

    #[test]
    fn mistakes_come_most_frequent_first() {
        assert_eq!(example().mistakes(9), [(2, 1, 2), (0, 1, 1)]);
        assert_eq!(example().mistakes(1), [(2, 1, 2)]);
        assert_eq!(example().rows().nth(2).unwrap(), [0, 2, 0, 0]);
    }

    #[test]
    fn nothing_is_no_division_by_nothing() {
        let none = Confusion::of(2, &[], &[]);
        assert_eq!((none.accuracy(), none.averages()), (0.0, Averages::default()));
    }
}
