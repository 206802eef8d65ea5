//! What fills the tops of a data layer, sample by sample; images with labels are the usual case.

use super::{DataError, Draw, Sample, Source, Transform, source::times};
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

    /// Fills `tops`, made as long as it takes, with the sample at `place`, which may differ from [`shapes`](Self::shapes) in height and
    /// width, and gives its shapes.
    fn fill_any_shape(
        &self,
        place: Place,
        draw: &mut Draw,
        tops: &mut [Vec<f32>],
    ) -> Result<Vec<Shape>, DataError> {
        let mut slices: Vec<_> = tops.iter_mut().map(Vec::as_mut_slice).collect();
        self.fill(place, draw, &mut slices)?;
        Ok(self.shapes().to_vec())
    }

    /// What messages call a sample.
    fn key(&self, index: usize) -> String {
        index.to_string()
    }

    /// A bad sample that was met when the set was opened. It was passed over then, to be refused now unless such are
    /// left out.
    fn complaint(&self) -> Option<DataError> {
        None
    }

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
    /// Key and problem of the very first sample, if it cannot be read.
    unread: Option<(String, String)>,
}

/// So many samples may be bad at the start of a set.
const BAD_AT_START: usize = 100;

/// The first sample that can be read; if it is not the first of all, also key and problem of that.
fn first(source: &dyn Source) -> Result<(Sample, Option<(String, String)>), DataError> {
    let mut unread = None;
    for index in 0..source.len().min(BAD_AT_START) {
        match source.read(index) {
            Ok(sample) => return Ok((sample, unread)),
            Err(DataError::Sample { key, problem, .. }) => unread = unread.or(Some((key, problem))),
            Err(error) => return Err(error),
        }
    }
    let (key, problem) = unread.unwrap_or_default();
    Err(DataError::sample(source.name().as_ref(), key, problem))
}

impl Images {
    /// Looks at the first sample to know the shapes. `with_labels`: a second top takes the labels.
    pub fn new(source: Box<dyn Source>, transform: Transform, with_labels: bool) -> Result<Self, DataError> {
        if source.is_empty() {
            return Err(DataError::Empty { path: source.name().into() });
        }
        let (first, unread) = first(&*source)?;
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
        Ok(Self { source, transform, shapes, image, unread })
    }

    /// The sample at `index`, and the shape it becomes.
    fn read(&self, index: usize) -> Result<(Sample, [usize; 3]), DataError> {
        let sample = self.source.read(index)?;
        let image = self.check(&sample).map_err(|problem| self.bad(&sample, problem))?;
        Ok((sample, image))
    }

    fn bad(&self, sample: &Sample, problem: String) -> DataError {
        DataError::sample(self.source.name().as_ref(), &sample.key, problem)
    }

    /// The shape that a sample becomes; says what is wrong with one that does not fit.
    fn check(&self, sample: &Sample) -> Result<[usize; 3], String> {
        let image = self.transform.output(sample.shape)?;
        if image[0] != self.image[0] {
            return Err(self.differs(image));
        }
        if sample.pixels.len() != sample.shape.iter().product::<usize>() {
            return Err(format!("it has {} values, not {}", sample.pixels.len(), times(sample.shape)));
        }
        match self.shapes.get(1).map(Shape::count) {
            Some(labels) if labels != sample.labels.len() => {
                Err(format!("it has {} labels, the first sample has {labels}", sample.labels.len()))
            }
            _ => Ok(image),
        }
    }

    /// Says that an image is not as the first, and what helps.
    fn differs(&self, image: [usize; 3]) -> String {
        let help = match image[0] != self.image[0] {
            true => "`force_color` or `force_gray` in transform_param decodes all images alike",
            false => {
                "`new_height` and `new_width` of an image list, or `crop_size`, make sizes equal; with `batch_size: 1` they may differ"
            }
        };
        let (here, first) = (times(image), times(self.image));
        format!("its shape is {here}, but the first sample's is {first}; {help}")
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
        let (sample, image) = self.read(place.index)?;
        if image != self.image {
            return Err(self.bad(&sample, self.differs(image)));
        }
        self.transform.apply(sample.shape, &sample.pixels, draw, tops[0]);
        if let Some(labels) = tops.get_mut(1) {
            labels.copy_from_slice(&sample.labels);
        }
        Ok(())
    }

    fn fill_any_shape(
        &self,
        place: Place,
        draw: &mut Draw,
        tops: &mut [Vec<f32>],
    ) -> Result<Vec<Shape>, DataError> {
        let (sample, image) = self.read(place.index)?;
        let mut shapes = self.shapes.clone();
        shapes[0] = Shape::from(image);
        tops[0].resize(shapes[0].count(), 0.0);
        self.transform.apply(sample.shape, &sample.pixels, draw, &mut tops[0]);
        if let Some(labels) = tops.get_mut(1) {
            labels.copy_from_slice(&sample.labels);
        }
        Ok(shapes)
    }

    fn key(&self, index: usize) -> String {
        self.source.read(index).map_or_else(|_| index.to_string(), |sample| sample.key)
    }

    fn complaint(&self) -> Option<DataError> {
        let (key, problem) = self.unread.as_ref()?;
        Some(DataError::sample(self.source.name().as_ref(), key, problem))
    }

    fn name(&self) -> String {
        self.source.name()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Batches, OnBad, Pixels, Settings},
        *,
    };
    use crate::config::proto::Phase;

    /// Samples of these shapes and labels.
    struct Listed(Vec<([usize; 3], Vec<f32>)>);

    impl Source for Listed {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn read(&self, index: usize) -> Result<Sample, DataError> {
            let (shape, labels) = self.0[index].clone();
            let pixels = Pixels::U8(vec![index as u8; shape.iter().product()]);
            Ok(Sample { shape, pixels, labels, key: format!("k{index}") })
        }

        fn name(&self) -> String {
            "listed".into()
        }
    }

    fn images(samples: &[([usize; 3], &[f32])], with_labels: bool) -> Result<Images, DataError> {
        let samples = samples.iter().map(|(shape, labels)| (*shape, labels.to_vec())).collect();
        let transform = Transform::from_config(&Default::default(), Phase::Train)?;
        Images::new(Box::new(Listed(samples)), transform, with_labels)
    }

    #[test]
    fn labels_take_the_shape_they_have() {
        let shapes = |labels: &[f32], with| images(&[([1, 2, 2], labels)], with).unwrap().shapes().to_vec();
        let image = Shape::from([1, 2, 2]);
        assert_eq!(shapes(&[1.0], true), [image.clone(), Shape::default()]);
        assert_eq!(shapes(&[1.0, 2.0], true), [image.clone(), Shape::from([2])]);
        assert_eq!(shapes(&[], false), [image]);
    }

    #[test]
    fn what_cannot_be_fed_is_said() {
        let error = images(&[], true).err().unwrap().to_string();
        assert_eq!(error, "`listed` holds no samples");
        let error = images(&[([1, 1, 1], &[])], true).err().unwrap().to_string();
        assert!(error.contains("`listed`: the layer has a top for labels"), "{error}");
        let error = images(&[([1, 0, 1], &[])], false).err().unwrap().to_string();
        assert!(error.contains("sample `k0`") && error.contains("no pixels"), "{error}");
    }

    #[test]
    fn grey_among_colours_is_told_what_helps() {
        let error = |shape: [usize; 3]| {
            let feed = images(&[([3, 2, 2], &[]), (shape, &[])], false).unwrap();
            let (place, mut draw) = (Place { index: 1, position: 1 }, Draw::of_sample(1, 1));
            feed.fill(place, &mut draw, &mut [&mut [0.0; 12]]).unwrap_err().to_string()
        };
        let grey = error([1, 2, 2]);
        assert!(grey.contains("`force_color` or `force_gray`") && !grey.contains("new_height"), "{grey}");
        let wide = error([3, 2, 4]);
        assert!(wide.contains("`new_height`") && !wide.contains("force_color"), "{wide}");
    }

    #[test]
    fn samples_that_differ_from_the_first_are_bad() {
        let mixed: &[([usize; 3], &[f32])] =
            &[([1, 1, 1], &[5.0]), ([1, 1, 2], &[6.0]), ([1, 1, 1], &[7.0, 8.0])];
        for on_bad in [OnBad::Fail, OnBad::Skip] {
            let settings = Settings { batch_size: 3, depth: 0, on_bad, ..Default::default() };
            let mut batches = Batches::new(Box::new(images(mixed, true).unwrap()), settings).unwrap();
            let (mut data, mut label) = ([9.0; 3], [9.0; 3]);
            let outcome = batches.next(&mut [&mut data, &mut label]);
            if on_bad == OnBad::Skip {
                outcome.unwrap();
                assert_eq!((data, label, batches.bad().count()), ([0.0; 3], [5.0; 3], 3));
            } else {
                let error = outcome.unwrap_err().to_string();
                assert!(error.starts_with("sample `k1` of `listed`: its shape is 1 x 1 x 2, but"), "{error}");
            }
        }
    }
}
