//! Scores and labels: which axis holds the classes, and which class a label names.

use super::{LabelRange, LayerError};
use crate::{kernels::softmax::SoftmaxDims, tensor::Shape};

/// The scores' shape around their axis of classes.
///
/// # Errors
/// When there is no such axis; `field` is the setting that names it.
pub fn class_dims(scores: &Shape, axis: i32, field: &str) -> Result<SoftmaxDims, LayerError> {
    let Some(axis) = scores.axis(axis) else {
        return Err(LayerError::setting(field, format!("there is no axis {axis} in a bottom of {scores}")));
    };
    Ok(SoftmaxDims {
        outer: scores.count_of(..axis),
        classes: scores[axis],
        inner: scores.count_of(axis + 1..),
    })
}

/// Refuses bottoms of a loss of Caffe's whose first axes differ, as all its losses do, whatever they make of the other axes.
///
/// # Errors
/// Names both shapes.
pub fn same_samples(scores: &Shape, labels: &Shape) -> Result<(), LayerError> {
    if scores.first() == labels.first() {
        return Ok(());
    }
    let text = format!("the first two bottoms must have the same first axis, found {scores} and {labels}");
    Err(LayerError::shape(text))
}

/// How a blob of labels names classes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Labels {
    ignored: Option<i32>,
    /// The scores around their classes; one label for each position.
    pub dims: SoftmaxDims,
    positions_per_sample: usize,
}

impl Labels {
    /// Labels of which one may mean "none".
    pub fn new(ignored: Option<i32>) -> Self {
        Self { ignored, ..Self::default() }
    }

    /// Fixes the shapes: a label for each of the scores' positions.
    ///
    /// # Errors
    /// When the axis, named by the setting `field`, is not there or the numbers differ.
    pub fn outline(
        &mut self,
        scores: &Shape,
        labels: &Shape,
        axis: i32,
        field: &str,
    ) -> Result<(), LayerError> {
        self.dims = class_dims(scores, axis, field)?;
        let positions = self.dims.positions();
        if labels.count() != positions {
            return Err(LayerError::shape(format!(
                "scores of {scores} with classes on axis {axis} need {positions} labels, found {labels}"
            )));
        }
        self.positions_per_sample = positions / scores[0].max(1);
        Ok(())
    }

    /// Fixes the shapes where all values of a sample are classes: a label for each sample.
    ///
    /// # Errors
    /// When the numbers differ.
    pub fn outline_flat(&mut self, scores: &Shape, labels: &Shape) -> Result<(), LayerError> {
        let samples = scores.first().copied().unwrap_or(1);
        if labels.count() != samples {
            return Err(LayerError::shape(format!(
                "scores of {scores} need one label a sample, found {labels}"
            )));
        }
        self.dims = SoftmaxDims { outer: samples, classes: scores.count() / samples.max(1), inner: 1 };
        self.positions_per_sample = 1;
        Ok(())
    }

    /// The labels that name a class or nothing.
    pub fn range(&self) -> LabelRange {
        LabelRange { classes: self.dims.classes, ignored: self.ignored }
    }

    /// The class that the label at `position` names; `None`: it is ignored. Fractions are cut off, as in Caffe.
    ///
    /// # Errors
    /// When there is no such class.
    pub fn class(&self, labels: &[f32], position: usize) -> Result<Option<u32>, LayerError> {
        let label = labels[position];
        let whole = label as i32;
        if !label.is_nan() && self.ignored == Some(whole) {
            return Ok(None);
        }
        if label.is_nan() || whole < 0 || whole as usize >= self.dims.classes {
            return Err(self.out_of_range(label, position));
        }
        Ok(Some(whole as u32))
    }

    /// Writes of each position what its class means to the layer; tells how many are not ignored.
    ///
    /// # Errors
    /// For the first label that names no class.
    pub fn read<T>(
        &self,
        labels: &[f32],
        to: &mut [T],
        meaning: impl Fn(Option<u32>) -> T,
    ) -> Result<usize, LayerError> {
        let mut valid = 0;
        for (position, to) in to.iter_mut().enumerate() {
            let class = self.class(labels, position)?;
            valid += usize::from(class.is_some());
            *to = meaning(class);
        }
        Ok(valid)
    }

    fn out_of_range(&self, label: f32, position: usize) -> LayerError {
        let each = self.positions_per_sample.max(1);
        let place = if each == 1 { String::new() } else { format!(", position {}", position % each) };
        let classes = self.dims.classes;
        LayerError::value(format!(
            "label {label} of sample {}{place} is out of range: there are {classes} classes, from 0",
            position / each
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scores: &[usize], axis: i32, ignored: Option<i32>) -> Labels {
        let mut labels = Labels::new(ignored);
        let dims = class_dims(&scores.into(), axis, "axis").unwrap();
        labels.outline(&scores.into(), &[dims.positions()].into(), axis, "axis").unwrap();
        labels
    }

    #[test]
    fn fractions_are_cut_and_the_ignored_is_nobody() {
        let some = labels(&[4, 3], 1, Some(-1));
        let values = [2.0, 1.9, -1.0, -0.5];
        let mut classes = [None; 4];
        assert_eq!(some.read(&values, &mut classes, |class| class), Ok(3));
        assert_eq!(classes, [Some(2), Some(1), None, Some(0)]);
    }

    #[test]
    fn labels_out_of_range_are_named() {
        let refused = |labels: &Labels, values: &[f32], at| labels.class(values, at).unwrap_err().to_string();
        let flat = labels(&[2, 10], 1, None);
        assert_eq!(
            refused(&flat, &[0.0, 25.0], 1),
            "label 25 of sample 1 is out of range: there are 10 classes, from 0"
        );
        assert!(refused(&flat, &[-1.0, 0.0], 0).contains("label -1 of sample 0"));
        assert!(refused(&labels(&[2, 10], 1, Some(0)), &[f32::NAN, 0.0], 0).contains("label NaN"));
        let map = labels(&[2, 3, 2, 2], 1, None);
        assert!(refused(&map, &[0., 0., 0., 0., 0., 3.], 5).contains("label 3 of sample 1, position 1 "));
    }

    #[test]
    fn shapes_must_fit() {
        let mut some = Labels::new(None);
        let refused = some.outline(&[2, 3, 4].into(), &[2, 3].into(), 1, "axis").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "scores of 2 x 3 x 4 with classes on axis 1 need 8 labels, found 2 x 3"
        );
        assert!(class_dims(&[2, 3].into(), 2, "axis").unwrap_err().to_string().contains("no axis 2"));
    }
}
