//! Samples that cannot be used: labels that the net does not know, and the record of what was left out.

use super::DataError;

/// The labels that a net can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelRange {
    /// From 0 up to, not including, this.
    pub classes: usize,
    /// A label that means none of them.
    pub ignored: Option<i32>,
}

impl LabelRange {
    /// What is wrong with the first of `labels` that is out of range. Fractions are cut off, as everywhere.
    pub(crate) fn refusal(&self, labels: &[f32]) -> Option<String> {
        let known = |label: f32| {
            let whole = label as i32;
            !label.is_nan()
                && (self.ignored == Some(whole) || usize::try_from(whole).is_ok_and(|at| at < self.classes))
        };
        let label = labels.iter().find(|&&label| !known(label))?;
        Some(format!("its label is {label}, but the net has {} classes, from 0", self.classes))
    }
}

/// How many different samples are told of by their message; the rest are only counted.
const TOLD: usize = 1000;

/// A record of samples that were left out.
#[derive(Clone, Debug, Default)]
pub struct BadSamples {
    count: u64,
    messages: Vec<String>,
}

impl BadSamples {
    /// How often a sample was left out.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What is wrong with each sample that was left out, in the order of the stream; not more than a thousand of them.
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    pub(crate) fn add(&mut self, error: &DataError) {
        self.count += 1;
        self.tell(&error.with_reason());
    }

    pub(crate) fn join(&mut self, more: &Self) {
        self.count += more.count;
        more.messages.iter().for_each(|message| self.tell(message));
    }

    fn tell(&mut self, message: &str) {
        if self.messages.len() < TOLD && !self.messages.iter().any(|m| m == message) {
            self.messages.push(message.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_cut_and_may_be_ignored() {
        let range = LabelRange { classes: 3, ignored: Some(255) };
        assert_eq!(range.refusal(&[0.0, 2.9, 255.0, -0.5]), None);
        assert_eq!(range.refusal(&[1.0, 3.0]).unwrap(), "its label is 3, but the net has 3 classes, from 0");
        assert!(range.refusal(&[f32::NAN]).unwrap().contains("NaN"));
        assert!(range.refusal(&[-1.0]).is_some() && range.refusal(&[f32::INFINITY]).is_some());
    }

    #[test]
    fn every_sample_is_told_of_once() {
        let error = |i: usize| DataError::sample("set".as_ref(), i.to_string(), "bad");
        let (mut all, mut batch) = (BadSamples::default(), BadSamples::default());
        (0..TOLD + 5).for_each(|i| batch.add(&error(i)));
        all.add(&error(3));
        all.join(&batch);
        assert_eq!((all.count(), all.messages().len()), (TOLD as u64 + 6, TOLD));
        assert_eq!(all.messages()[..2], ["sample `3` of `set`: bad", "sample `0` of `set`: bad"]);
    }
}
