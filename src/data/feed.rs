//! What fills the tops of a data layer, sample by sample; images with labels are the usual case.

use super::{DataError, Draw, Sample, Source, Transform, transform::times};
use crate::tensor::Shape;

/// Fills one sample of each top of a data layer.
pub trait Feed: Send + Sync {
    /// How many samples, as runs that a shuffle keeps together; most feeds have one run.
    fn runs(&self) -> Vec<usize>;

    /// The shape of one sample in each top, without the batch axis.
    fn shapes(&self) -> &[Shape];

    /// Fills `tops`, a slice for each of [`shapes`](Self::shapes), with the sample at `place`.
    ///
    /// A function of its arguments alone: `draw` is the only chance allowed.
    fn fill(&self, place: Place, draw: &mut Draw, tops: &mut [&mut [f32]]) -> Result<(), DataError>;

    /// The file or folder, for messages.
    fn name(&self) -> String;
}

/// Which sample is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The sample in its source.
    pub index: usize,
    /// Its position in the endless stream.
    pub position: u64,
}

/// Transformed images of a source, and their labels unless only one top is asked for.
pub struct Images {
    source: Box<dyn Source>,
    transform: Transform,
    shapes: Vec<Shape>,
    /// The transformed shape of the first sample, which all others must have too.
    image: [usize; 3],
}

impl Images {
    /// Looks at the first sample to know the shapes. `with_labels`: a second top takes the labels.
    pub fn new(source: Box<dyn Source>, transform: Transform, with_labels: bool) -> Result<Self, DataError> {
        if source.is_empty() {
            return Err(DataError::Empty { path: source.name().into() });
        }
        let first = source.read(0)?;
        let image = transform
            .output(first.shape)
            .map_err(|problem| DataError::sample(source.name().as_ref(), &first.key, problem))?;
        let mut shapes = vec![Shape::from(image)];
        if with_labels {
            shapes.push(match first.labels.len() {
                0 => {
                    let problem = "the layer has a top for labels, but the samples have none".to_owned();
                    return Err(DataError::File { path: source.name().into(), problem });
                }
                1 => Shape::default(),
                n => Shape::from([n]),
            });
        }
        Ok(Self { source, transform, shapes, image })
    }

    /// Says what is wrong with a sample that differs from the first.
    fn check(&self, sample: &Sample) -> Result<(), String> {
        let image = self.transform.output(sample.shape)?;
        if image != self.image {
            return Err(format!(
                "its shape is {}, but the first sample's is {}; `new_height` and `new_width` of an image list, or \
                 `crop_size`, make sizes equal",
                times(image),
                times(self.image)
            ));
        }
        if sample.pixels.len() != sample.shape.iter().product::<usize>() {
            return Err(format!("it has {} values, not {}", sample.pixels.len(), times(sample.shape)));
        }
        match self.shapes.get(1).map(Shape::count) {
            Some(labels) if labels != sample.labels.len() => {
                Err(format!("it has {} labels, the first sample has {labels}", sample.labels.len()))
            }
            _ => Ok(()),
        }
    }
}

impl Feed for Images {
    fn runs(&self) -> Vec<usize> {
        vec![self.source.len()]
    }

    fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    fn fill(&self, place: Place, draw: &mut Draw, tops: &mut [&mut [f32]]) -> Result<(), DataError> {
        let sample = self.source.read(place.index)?;
        self.check(&sample)
            .map_err(|problem| DataError::sample(self.source.name().as_ref(), &sample.key, problem))?;
        self.transform.apply(sample.shape, &sample.pixels, draw, tops[0]);
        if let Some(labels) = tops.get_mut(1) {
            labels.copy_from_slice(&sample.labels);
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.source.name()
    }
}
