//! Which blobs of a net tell what it takes a sample for, and what the sample is.

use super::super::{
    Failure,
    failure::{CONFIG, DATA},
    prepare,
};
use crate::{
    config::proto::LayerParameter,
    measures::Samples,
    net::{BlobId, Net},
};

/// The blobs that hold a net's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Scores, probabilities or predictions.
    pub blob: BlobId,
    /// What they are.
    pub kind: Kind,
    /// How many classes there are.
    pub classes: usize,
    /// The labels, if the net knows them.
    pub labels: Option<BlobId>,
    /// The label of samples that do not count.
    pub ignored: Option<i32>,
}

/// What a blob says of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A score for each class, of which softmax makes probabilities.
    Scores,
    /// The probability of each class.
    Probabilities,
    /// The number of a class.
    Predictions,
}

impl Verdict {
    /// Of a net whose last `Accuracy` layer or loss reads labels, or of the blob `output`.
    pub fn of(net: &Net, output: Option<&str>) -> Result<Self, Failure> {
        let judges = [
            "SoftmaxWithLoss",
            "MultinomialLogisticLoss",
            "InfogainLoss",
            "HingeLoss",
            "OrdinalRegressionLoss",
        ];
        let last = |is: &dyn Fn(&str) -> bool| {
            net.layers().filter(|layer| is(layer.kind.name) && layer.bottoms.len() >= 2).last()
        };
        let judge = last(&|name| name == "Accuracy").or_else(|| last(&|name| judges.contains(&name)));
        let labels = judge.map(|layer| layer.bottoms[1]);
        let ignored = judge.and_then(|layer| ignored(layer.config));
        let ordinal = judge.filter(|layer| layer.kind.name == "OrdinalRegressionLoss" && output.is_none());
        if let Some(loss) = ordinal {
            let Some(rank) = last_rank(net) else {
                let message =
                    "the net has an OrdinalRegressionLoss, but no OrdinalRank layer, which tells the class";
                return Err(Failure::new(CONFIG, message));
            };
            let answers = per_sample(net, loss.bottoms[0], net.shape(loss.bottoms[1]).count());
            let classes = answers / 2 + 1;
            return Ok(Self { blob: rank, kind: Kind::Predictions, classes, labels, ignored });
        }
        let blob = match (output, judge) {
            (None, Some(layer)) => layer.bottoms[0],
            _ => prepare::scores(net, output)?,
        };
        let given_as_probabilities =
            output.is_none() && judge.is_some_and(|layer| layer.kind.name == "MultinomialLogisticLoss");
        let (blob, kind) = match prepare::maker(net, blob) {
            // What softmax has read tells more than what it has rounded.
            Some(layer) if layer.kind.name == "Softmax" => (layer.bottoms[0], Kind::Scores),
            _ if given_as_probabilities => (blob, Kind::Probabilities),
            _ => (blob, Kind::Scores),
        };
        let rows = net.shape(blob).first().copied().unwrap_or(1);
        let classes = per_sample(net, blob, rows);
        let (name, shape) = (net.blob_name(blob), net.shape(blob));
        if classes < 2 || shape.get(1) != Some(&classes) {
            let message = format!(
                "blob `{name}` has shape {shape}, not N x classes: evaluate measures nets that give each sample one class \
                 of several; --output names another blob"
            );
            return Err(Failure::new(CONFIG, message));
        }
        Ok(Self { blob, kind, classes, labels, ignored })
    }

    /// Adds the samples of the net's last pass, whose labels are `labels`; gives for each its number among the samples, if it
    /// counts.
    pub fn read(
        &self,
        net: &Net,
        labels: &[f32],
        samples: &mut Samples,
    ) -> Result<Vec<Option<usize>>, Failure> {
        let width = if self.kind == Kind::Predictions { 1 } else { self.classes };
        let rows = net.values(self.blob).chunks_exact(width);
        let mut numbers = Vec::with_capacity(labels.len());
        for (row, &label) in rows.zip(labels) {
            if self.ignored.is_some_and(|ignored| label == ignored as f32) {
                numbers.push(None);
                continue;
            }
            let class = label as usize;
            if label < 0.0 || label.fract() != 0.0 || class >= self.classes {
                let (at, classes) = (samples.len(), self.classes);
                let message =
                    format!("sample {at} has label {label}, but the net has {classes} classes, from 0");
                return Err(Failure::new(DATA, message));
            }
            numbers.push(Some(samples.len()));
            match self.kind {
                Kind::Scores => samples.add_scores(row, class),
                Kind::Probabilities => samples.add_probabilities(row, class),
                Kind::Predictions => {
                    samples.add_prediction((row[0].max(0.0) as usize).min(self.classes - 1), class)
                }
            }
        }
        Ok(numbers)
    }
}

/// How many values a blob has for each of so many samples.
fn per_sample(net: &Net, blob: BlobId, samples: usize) -> usize {
    net.shape(blob).count() / samples.max(1)
}

fn last_rank(net: &Net) -> Option<BlobId> {
    net.layers()
        .filter(|layer| layer.kind.name == "OrdinalRank")
        .last()
        .and_then(|layer| layer.tops.first().copied())
}

fn ignored(layer: &LayerParameter) -> Option<i32> {
    let of_loss = layer.loss_param.as_ref().and_then(|p| p.ignore_label);
    of_loss.or_else(|| layer.accuracy_param.as_ref().and_then(|p| p.ignore_label))
}
