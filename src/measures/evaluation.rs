//! All measures of a classifier on a set of samples.

use super::{
    Averages, Bin, Confusion, Curve, OfClass, Order, best, brier, calibration, calibration_error, curve,
    order, softmax, top_k,
};

/// Ranges of confidence in the calibration.
const BINS: usize = 10;

/// What a classifier made of samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// How many classes there are.
    pub classes: usize,
    /// The true class of each sample.
    pub labels: Vec<usize>,
    /// The class that it was taken for.
    pub predictions: Vec<usize>,
    /// The probability of each class, a row for each sample; empty if the classifier gives none.
    pub probabilities: Vec<f32>,
    /// How wrong each was: -ln of the probability of the true class; without probabilities, how many classes off.
    pub losses: Vec<f64>,
}

impl Samples {
    /// Without samples yet.
    pub fn new(classes: usize) -> Self {
        Self { classes, ..Self::default() }
    }

    /// Adds a sample of this label by its scores, one for each class, of which softmax makes probabilities.
    pub fn add_scores(&mut self, scores: &[f32], label: usize) {
        let (probabilities, log) = softmax(scores, label);
        self.predictions.push(best(scores));
        self.add(&probabilities, label, -log);
    }

    /// Adds a sample of this label by the probabilities of the classes.
    pub fn add_probabilities(&mut self, probabilities: &[f32], label: usize) {
        self.predictions.push(best(probabilities));
        // As Caffe bounds it: a loss that is infinite tells nothing of the other samples.
        self.add(probabilities, label, -f64::from(probabilities[label].max(1e-20)).ln());
    }

    fn add(&mut self, probabilities: &[f32], label: usize, loss: f64) {
        self.labels.push(label);
        self.probabilities.extend_from_slice(probabilities);
        self.losses.push(loss);
    }

    /// Adds a sample of which only the class is known that it was taken for.
    pub fn add_prediction(&mut self, prediction: usize, label: usize) {
        self.labels.push(label);
        self.predictions.push(prediction);
        self.losses.push(prediction.abs_diff(label) as f64);
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The probabilities of sample `i`, if there are any.
    pub fn row(&self, i: usize) -> Option<&[f32]> {
        self.probabilities.get(i * self.classes..(i + 1) * self.classes).filter(|row| !row.is_empty())
    }
}

/// What is known of each class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMeasures {
    /// Precision, recall, F1 and support.
    pub counts: OfClass,
    /// This class against the rest; `None` without probabilities, and for a class that no sample, or every sample, is of.
    pub curve: Option<Curve>,
}

/// What only probabilities tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Probabilistic {
    /// The shares of samples whose class is among the k likeliest, with k.
    pub top: Vec<(usize, f64)>,
    /// The mean of -ln of the true class's probability.
    pub log_loss: f64,
    /// The Brier score.
    pub brier: f64,
    /// Confidence against accuracy.
    pub bins: Vec<Bin>,
    /// The expected calibration error.
    pub calibration_error: f64,
    /// The mean area below the curves of the classes that have one, and the mean weighted by their samples; `None` if none has.
    pub area: Option<[f64; 2]>,
}

/// All measures of a classifier on a set of samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Which classes are taken for which.
    pub confusion: Confusion,
    /// Each class.
    pub classes: Vec<ClassMeasures>,
    /// Means over classes.
    pub averages: Averages,
    /// What only probabilities tell, if there are any.
    pub probabilistic: Option<Probabilistic>,
    /// How far off predictions are, where the order of classes means something.
    pub order: Option<Order>,
}

impl Evaluation {
    /// Of samples; `top` are the k of the shares among the k likeliest, and `ordered` says that the order of classes means
    /// something.
    pub fn of(samples: &Samples, top: &[usize], ordered: bool) -> Self {
        let confusion = Confusion::of(samples.classes, &samples.labels, &samples.predictions);
        let probable = !samples.probabilities.is_empty();
        let curve_of = |class: usize| {
            let scores: Vec<f32> =
                samples.probabilities.iter().skip(class).step_by(samples.classes).copied().collect();
            let positive: Vec<bool> = samples.labels.iter().map(|&label| label == class).collect();
            curve(&scores, &positive)
        };
        let classes: Vec<ClassMeasures> = (confusion.by_class().into_iter().enumerate())
            .map(|(class, counts)| ClassMeasures {
                counts,
                curve: probable.then(|| curve_of(class)).flatten(),
            })
            .collect();
        Self {
            averages: confusion.averages(),
            probabilistic: probable.then(|| probabilistic(samples, &classes, top)),
            order: ordered.then(|| order(&confusion)).flatten(),
            confusion,
            classes,
        }
    }
}

fn probabilistic(samples: &Samples, classes: &[ClassMeasures], top: &[usize]) -> Probabilistic {
    let count = samples.len().max(1) as f64;
    let rows = || {
        (0..samples.len()).filter_map(|i| Some((samples.row(i)?, samples.labels[i], samples.predictions[i])))
    };
    let share = |k: usize| rows().filter(|(row, label, _)| top_k(row, *label, k)).count() as f64 / count;
    let bins = calibration(BINS, rows().map(|(row, label, seen)| (row[seen], seen == label)));
    let known: Vec<[f64; 2]> = (classes.iter())
        .filter_map(|class| Some([class.curve.as_ref()?.area, class.counts.support as f64]))
        .collect();
    let support: f64 = known.iter().map(|[_, support]| support).sum();
    let even = known.iter().map(|[area, _]| area).sum::<f64>() / known.len() as f64;
    let weighted = known.iter().map(|[area, support]| area * support).sum::<f64>() / support;
    Probabilistic {
        top: top.iter().map(|&k| (k, share(k))).collect(),
        log_loss: samples.losses.iter().sum::<f64>() / count,
        brier: brier(&samples.probabilities, &samples.labels),
        calibration_error: calibration_error(&bins),
        bins,
        area: (!known.is_empty()).then_some([even, weighted]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_few_samples() {
        let mut samples = Samples::new(3);
        samples.add_probabilities(&[0.5, 0.25, 0.25], 0);
        samples.add_probabilities(&[0.5, 0.25, 0.25], 1);
        samples.add_probabilities(&[0.0, 1.0, 0.0], 1);
        samples.add_probabilities(&[0.25, 0.5, 0.25], 1);
        assert_eq!(samples.predictions, [0, 0, 1, 1]);
        let found = Evaluation::of(&samples, &[1, 2], true);
        assert_eq!(found.confusion.accuracy(), 0.75);
        let probabilistic = found.probabilistic.as_ref().unwrap();
        assert_eq!(probabilistic.top, [(1, 0.75), (2, 1.0)]);
        // Two halves, a quarter and a certainty.
        assert!((probabilistic.log_loss - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(probabilistic.brier, (0.375 + 0.875 + 0.0 + 0.375) / 4.0);
        // Class 0: ahead of two, level with one. Class 1: ahead or level. Class 2 has no samples.
        let areas: Vec<_> = found.classes.iter().map(|c| c.curve.as_ref().map(|c| c.area)).collect();
        assert_eq!(areas, [Some(2.5 / 3.0), Some(2.5 / 3.0), None]);
        let [even, weighted] = probabilistic.area.unwrap();
        assert!((even - 2.5 / 3.0).abs() < 1e-12 && (weighted - 2.5 / 3.0).abs() < 1e-12);
        assert_eq!(found.order.unwrap().mean_absolute_error, 0.25);
        assert_eq!(Evaluation::of(&samples, &[], false).order, None);
    }

    #[test]
    fn scores_and_predictions_alone() {
        let mut samples = Samples::new(2);
        samples.add_scores(&[0.0, 1000.0], 0);
        assert_eq!((&samples.probabilities[..], samples.losses[0]), (&[0.0, 1.0][..], 1000.0));
        let mut ranks = Samples::new(5);
        ranks.add_prediction(4, 1);
        ranks.add_prediction(2, 2);
        let found = Evaluation::of(&ranks, &[1], true);
        assert!(found.probabilistic.is_none() && found.classes.iter().all(|c| c.curve.is_none()));
        assert_eq!((ranks.losses, found.order.unwrap().one_off), (vec![3.0, 0.0], 0.5));
        let none = Evaluation::of(&Samples::new(2), &[1], true);
        assert!(none.probabilistic.is_none() && none.order.is_none());
    }
}
