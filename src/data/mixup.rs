//! Mixup: each training sample is a mean of two, and so are its labels.
//!
//! y = s * a + (1 - s) * b, where s is drawn from Beta(alpha, alpha) and b is any other sample of the set. Labels that name
//! classes can be mixed only as one value for each class.
//! Reference: Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization.

use super::{DataError, Draw, Feed, Images, Place};
use crate::{
    config::proto::{Phase, TransformationParameter},
    tensor::Shape,
};

/// Images, mixed, and with labels by class if the settings say so.
struct Mixed {
    images: Images,
    shapes: Vec<Shape>,
    /// 0 mixes nothing.
    alpha: f32,
    /// Values of a label; 0 leaves labels as they are.
    classes: usize,
}

/// The images as `random_mixup` and `label_classes` want them.
pub(crate) fn mixed(
    images: Images,
    param: &TransformationParameter,
    phase: Phase,
) -> Result<Box<dyn Feed>, DataError> {
    let (alpha, classes) = (param.random_mixup(), param.label_classes() as usize);
    let setting = |problem: String| Err(DataError::Setting(format!("transform_param: {problem}")));
    if alpha != 0.0 && !(0.01..=100.0).contains(&alpha) {
        return setting(format!("random_mixup {alpha} is not between 0.01 and 100, nor 0"));
    }
    let mut shapes = images.shapes().to_vec();
    match shapes.get_mut(1) {
        Some(label) if classes > 0 && !label.is_empty() => {
            return setting(format!("label_classes needs samples of one label, not of {label}"));
        }
        Some(label) if classes > 0 => *label = Shape::from([classes]),
        Some(label) if alpha > 0.0 && label.is_empty() => {
            return setting("random_mixup needs label_classes: a mean of two classes is none".into());
        }
        _ => {}
    }
    let alpha = if phase == Phase::Train { alpha } else { 0.0 };
    if alpha == 0.0 && classes == 0 {
        return Ok(Box::new(images));
    }
    Ok(Box::new(Mixed { images, shapes, alpha, classes }))
}

impl Mixed {
    /// Fills the image; gives the labels.
    fn sample(&self, place: Place, draw: &mut Draw, image: &mut [f32]) -> Result<Vec<f32>, DataError> {
        match self.images.shapes().get(1) {
            Some(label) => {
                let mut labels = vec![0.0; label.count()];
                self.images.fill(place, draw, &mut [image, &mut labels])?;
                Ok(labels)
            }
            None => self.images.fill(place, draw, &mut [image]).map(|()| Vec::new()),
        }
    }

    /// Adds the sample's labels, so much of them, to `out`.
    fn add_labels(&self, index: usize, labels: &[f32], share: f32, out: &mut [f32]) -> Result<(), DataError> {
        if self.classes == 0 {
            out.iter_mut().zip(labels).for_each(|(out, label)| *out += share * label);
            return Ok(());
        }
        let label = labels.first().copied().unwrap_or(f32::NAN);
        match out.get_mut(label as usize) {
            Some(out) if label >= 0.0 => {
                *out += share;
                Ok(())
            }
            _ => {
                let problem =
                    format!("its label is {label}, but label_classes says {}, from 0", self.classes);
                Err(DataError::sample(self.images.name().as_ref(), self.images.key(index), problem))
            }
        }
    }
}

impl Feed for Mixed {
    fn runs(&self) -> Vec<usize> {
        self.images.runs()
    }

    fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    fn fill(&self, place: Place, draw: &mut Draw, tops: &mut [&mut [f32]]) -> Result<(), DataError> {
        let labels = self.sample(place, draw, tops[0])?;
        let mut share = 1.0;
        let mut other = None;
        if self.alpha > 0.0 {
            let len: usize = self.runs().iter().sum();
            share = draw.beta(self.alpha);
            let index = (place.index + 1 + draw.below(len.saturating_sub(1))) % len;
            let mut image = vec![0.0; tops[0].len()];
            let labels = self.sample(Place { index, ..place }, draw, &mut image)?;
            tops[0].iter_mut().zip(&image).for_each(|(a, b)| *a = share * *a + (1.0 - share) * b);
            other = Some((index, labels));
        }
        let Some(out) = tops.get_mut(1) else { return Ok(()) };
        out.fill(0.0);
        self.add_labels(place.index, &labels, share, out)?;
        match other {
            Some((index, labels)) => self.add_labels(index, &labels, 1.0 - share, out),
            None => Ok(()),
        }
    }

    fn key(&self, index: usize) -> String {
        self.images.key(index)
    }

    fn complaint(&self) -> Option<DataError> {
        self.images.complaint()
    }

    fn name(&self) -> String {
        self.images.name()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Pixels, Sample, Source, Transform, random::Purpose},
        *,
    };

    /// Samples with one pixel, 100 times their label; the label is the number.
    struct Numbers(usize, usize);

    impl Source for Numbers {
        fn len(&self) -> usize {
            self.0
        }

        fn read(&self, index: usize) -> Result<Sample, DataError> {
            let pixels = Pixels::F32(vec![100.0 * index as f32]);
            Ok(Sample {
                shape: [1, 1, 1],
                pixels,
                labels: vec![index as f32; self.1],
                key: format!("k{index}"),
            })
        }

        fn name(&self) -> String {
            "numbers".into()
        }
    }

    fn feed(source: Numbers, alpha: f32, classes: u32, phase: Phase) -> Result<Box<dyn Feed>, DataError> {
        let param = TransformationParameter {
            random_mixup: Some(alpha),
            label_classes: Some(classes),
            ..Default::default()
        };
        let transform = Transform::from_config(&param, phase)?;
        mixed(Images::new(Box::new(source), transform, true)?, &param, phase)
    }

    fn read(feed: &dyn Feed, index: usize, position: u64) -> Result<(f32, Vec<f32>), DataError> {
        let (mut image, mut label) = ([0.0], vec![9.0; feed.shapes()[1].count()]);
        let mut draw = Draw::new(5, Purpose::Transform, position);
        feed.fill(Place { index, position }, &mut draw, &mut [&mut image, &mut label])?;
        Ok((image[0], label))
    }

    #[test]
    fn images_and_labels_are_mixed_alike() {
        let feed = feed(Numbers(4, 1), 1.0, 4, Phase::Train).unwrap();
        assert_eq!(feed.shapes()[1], Shape::from([4]));
        let mut partners = [0; 4];
        let mut shares = 0.0;
        for position in 0..400 {
            let (image, label) = read(&*feed, 1, position).unwrap();
            assert!((label.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let mean: f32 = label.iter().enumerate().map(|(class, share)| 100.0 * class as f32 * share).sum();
            assert!((mean - image).abs() < 1e-3, "{image} {label:?}");
            (0..4).for_each(|class| partners[class] += usize::from(class != 1 && label[class] > 0.0));
            shares += label[1];
        }
        assert!(
            partners[1] == 0 && [0, 2, 3].iter().all(|&c| (90..180).contains(&partners[c])),
            "{partners:?}"
        );
        assert!((170.0..230.0).contains(&shares), "{shares}");
        assert_eq!(read(&*feed, 1, 7).unwrap(), read(&*feed, 1, 7).unwrap());
    }

    #[test]
    fn tests_see_one_class_and_labels_that_are_numbers_are_averaged() {
        let test = feed(Numbers(4, 1), 1.0, 4, Phase::Test).unwrap();
        assert_eq!(read(&*test, 2, 0).unwrap(), (200.0, vec![0.0, 0.0, 1.0, 0.0]));
        let numbers = feed(Numbers(2, 2), 100.0, 0, Phase::Train).unwrap();
        let (image, label) = read(&*numbers, 0, 0).unwrap();
        assert!(
            label[0] == label[1] && (image / 100.0 - label[0]).abs() < 1e-6 && (0.3..0.7).contains(&label[0])
        );
        let plain = feed(Numbers(2, 1), 0.0, 0, Phase::Train).unwrap();
        assert_eq!(read(&*plain, 1, 3).unwrap(), (100.0, vec![1.0]));
        let alone = feed(Numbers(1, 1), 1.0, 1, Phase::Train).unwrap();
        assert_eq!(read(&*alone, 0, 0).unwrap(), (0.0, vec![1.0]));
    }

    #[test]
    fn settings_and_labels_are_checked() {
        let refuse = |alpha, classes, labels| {
            feed(Numbers(3, labels), alpha, classes, Phase::Train).err().unwrap().to_string()
        };
        assert!(refuse(-1.0, 3, 1).contains("random_mixup -1 is not between"));
        assert!(refuse(1.0, 0, 1).contains("needs label_classes"));
        assert!(refuse(1.0, 3, 2).contains("samples of one label"));
        let few = feed(Numbers(3, 1), 0.0, 2, Phase::Train).unwrap();
        let error = read(&*few, 2, 0).unwrap_err().to_string();
        assert_eq!(error, "sample `k2` of `numbers`: its label is 2, but label_classes says 2, from 0");
    }
}
