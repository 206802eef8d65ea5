//! `transform_param`: crop, flip, subtract the mean, scale.
//!
//! y = (x - mean) * scale, where x is the pixel under the crop window and mean is the mean image's value at x's
//! own place, the channel's value, or 0.

use super::{DataError, Decode, Draw, Pixels, augment::Augment, mean::Mean, source::times};
use crate::config::proto::{Phase, TransformationParameter};

/// A checked `transform_param` for one phase.
#[derive(Clone, Debug)]
pub struct Transform {
    scale: f32,
    mean: Mean,
    mirror: bool,
    /// Side of the square cut out; 0 keeps the image.
    crop: usize,
    /// At a random place, else from the centre.
    random_crop: bool,
    decode: Decode,
    augment: Option<Augment>,
}

impl Transform {
    /// Checks `param` and reads its mean file.
    pub fn from_config(param: &TransformationParameter, phase: Phase) -> Result<Self, DataError> {
        if param.force_color() && param.force_gray() {
            return setting("transform_param: force_color and force_gray exclude each other");
        }
        let mean = Mean::from_config(param)?;
        let augment = Augment::from_config(param, phase)?;
        if matches!(mean, Mean::Image { .. }) && augment.as_ref().is_some_and(Augment::moves) {
            return setting(
                "transform_param: random_area, random_aspect and random_rotation need mean_value, not mean_file",
            );
        }
        Ok(Self {
            scale: param.scale(),
            mean,
            augment,
            mirror: param.mirror(),
            crop: param.crop_size() as usize,
            random_crop: phase == Phase::Train,
            decode: match (param.force_color(), param.force_gray()) {
                (true, _) => Decode::Color,
                (_, true) => Decode::Gray,
                _ => Decode::Native,
            },
        })
    }

    /// How compressed images are to be decoded.
    pub fn decode(&self) -> Decode {
        self.decode
    }

    /// Side of the crop, 0 without one.
    pub(crate) fn crop(&self) -> usize {
        self.crop
    }

    /// The factor after the mean.
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }

    /// Whether to flip one in two.
    pub(crate) fn mirror(&self) -> bool {
        self.mirror
    }

    /// What is subtracted.
    pub(crate) fn mean(&self) -> &Mean {
        &self.mean
    }

    /// The shape that a sample of `shape` becomes; says why when the sample does not fit.
    pub fn output(&self, shape: [usize; 3]) -> Result<[usize; 3], String> {
        let [c, h, w] = shape;
        if shape.contains(&0) {
            return Err(format!("it has no pixels: {}", times(shape)));
        }
        self.mean.check_image(shape)?;
        match self.crop {
            0 => Ok(shape),
            crop if crop > h || crop > w => {
                Err(format!("it is {h} x {w}, smaller than the crop_size {crop}"))
            }
            crop => Ok([c, crop, crop]),
        }
    }

    /// Writes the transformed sample to `out`, which is as long as [`output`](Self::output) says.
    pub fn apply(&self, shape: [usize; 3], pixels: &Pixels, draw: &mut Draw, out: &mut [f32]) {
        let [_, h, w] = shape;
        let (rows, columns) = if self.crop == 0 { (h, w) } else { (self.crop, self.crop) };
        let flip = self.mirror && draw.coin();
        let (top, left) = if self.random_crop {
            (draw.below(h - rows + 1), draw.below(w - columns + 1))
        } else {
            ((h - rows) / 2, (w - columns) / 2)
        };
        let window = Window { h, w, top, left, rows, columns };
        match &self.augment {
            None => self.normalized(pixels, window, out),
            Some(augment) => self.augmented(augment, pixels, window, draw, out),
        }
        if flip {
            out.chunks_exact_mut(columns).for_each(<[f32]>::reverse);
        }
    }

    /// Writes the part of `size` rows and columns whose corner is at `corner` to `out`: no chance and no crop of its own,
    /// but mean and scale.
    pub fn apply_at(
        &self,
        shape: [usize; 3],
        pixels: &Pixels,
        [top, left]: [usize; 2],
        [rows, columns]: [usize; 2],
        out: &mut [f32],
    ) {
        self.normalized(pixels, Window { h: shape[1], w: shape[2], top, left, rows, columns }, out);
    }

    /// Takes each channel's mean in place of a mean image, which then fits images of any size.
    pub fn flatten_mean(&mut self) {
        self.mean.flatten();
    }

    fn augmented(&self, augment: &Augment, pixels: &Pixels, win: Window, draw: &mut Draw, out: &mut [f32]) {
        let to = [win.rows, win.columns];
        let c = out.len() / (win.rows * win.columns);
        let shape = [c, win.h, win.w];
        if augment.moves() {
            let part = augment.part([win.h, win.w], to, draw);
            match pixels {
                Pixels::U8(values) => part.sample(values, shape, to, out),
                Pixels::F32(values) => part.sample(values, shape, to, out),
            }
        } else {
            match pixels {
                Pixels::U8(values) => copy(values, win, out),
                Pixels::F32(values) => copy(values, win, out),
            }
        }
        augment.recolor(out, c, matches!(pixels, Pixels::U8(_)), draw);
        for (i, row) in out.chunks_exact_mut(win.columns).enumerate() {
            self.normalize_row(i, win, row);
        }
        augment.cut_out(out, to, draw);
    }

    /// Subtracts the mean from row `i` of a window, and scales, in place.
    fn normalize_row(&self, i: usize, win: Window, row: &mut [f32]) {
        if let Mean::Image { values, .. } = &self.mean {
            for (x, mean) in row.iter_mut().zip(&values[win.row(i)]) {
                *x = (*x - mean) * self.scale;
            }
        } else {
            let mean = self.mean.of_channel(i / win.rows);
            row.iter_mut().for_each(|x| *x = (*x - mean) * self.scale);
        }
    }

    /// The pixels of a window with the mean subtracted, scaled.
    fn normalized(&self, pixels: &Pixels, win: Window, out: &mut [f32]) {
        match pixels {
            Pixels::U8(values) => self.rows(values, win, out),
            Pixels::F32(values) => self.rows(values, win, out),
        }
    }

    fn rows<T: Copy + Into<f32>>(&self, pixels: &[T], win: Window, out: &mut [f32]) {
        let scale = self.scale;
        for (i, row) in out.chunks_exact_mut(win.columns).enumerate() {
            let range = win.row(i);
            let source = &pixels[range.clone()];
            if let Mean::Image { values, .. } = &self.mean {
                for ((to, &x), &mean) in row.iter_mut().zip(source).zip(&values[range]) {
                    *to = (x.into() - mean) * scale;
                }
            } else {
                let mean = self.mean.of_channel(i / win.rows);
                for (to, &x) in row.iter_mut().zip(source) {
                    *to = (x.into() - mean) * scale;
                }
            }
        }
    }
}

/// The part of an `h x w` image that is kept.
#[derive(Clone, Copy)]
struct Window {
    h: usize,
    w: usize,
    top: usize,
    left: usize,
    rows: usize,
    columns: usize,
}

impl Window {
    /// Where row `i` of the window, counted through all channels, stands in the image.
    fn row(self, i: usize) -> std::ops::Range<usize> {
        let (channel, y) = (i / self.rows, i % self.rows);
        let from = (channel * self.h + self.top + y) * self.w + self.left;
        from..from + self.columns
    }
}

fn copy<T: Copy + Into<f32>>(pixels: &[T], win: Window, out: &mut [f32]) {
    for (i, row) in out.chunks_exact_mut(win.columns).enumerate() {
        for (to, &x) in row.iter_mut().zip(&pixels[win.row(i)]) {
            *to = x.into();
        }
    }
}

fn setting<T>(problem: &str) -> Result<T, DataError> {
    Err(DataError::Setting(problem.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use prost::Message as _;

    use super::{super::random::Purpose, *};
    use crate::config::proto::BlobProto;

    fn transform(param: TransformationParameter, phase: Phase) -> Transform {
        Transform::from_config(&param, phase).unwrap()
    }

    fn apply(t: &Transform, shape: [usize; 3], pixels: &Pixels, position: u64) -> Vec<f32> {
        let out = t.output(shape).unwrap();
        let mut values = vec![f32::NAN; out.iter().product()];
        t.apply(shape, pixels, &mut Draw::new(1, Purpose::Transform, position), &mut values);
        values
    }

    #[test]
    fn subtracts_then_scales() {
        let param =
            TransformationParameter { scale: Some(0.5), mean_value: vec![1.0, 2.0], ..Default::default() };
        let t = transform(param, Phase::Train);
        let pixels = Pixels::U8(vec![1, 3, 2, 6]);
        assert_eq!(apply(&t, [2, 1, 2], &pixels, 0), [0.0, 1.0, 0.0, 2.0]);
    }

    #[test]
    fn test_crops_the_centre_and_rounds_down() {
        let param = TransformationParameter { crop_size: Some(1), ..Default::default() };
        let t = transform(param, Phase::Test);
        let pixels = Pixels::F32((0..8).map(|v| v as f32).collect());
        assert_eq!(t.output([1, 2, 4]), Ok([1, 1, 1]));
        assert_eq!(apply(&t, [1, 2, 4], &pixels, 0), [1.0]);
    }

    #[test]
    fn train_crops_everywhere_and_mirrors_half_in_both_phases() {
        let crop = TransformationParameter { crop_size: Some(2), ..Default::default() };
        let t = transform(crop, Phase::Train);
        let pixels = Pixels::U8((0..12).collect());
        let mut corners: Vec<_> = (0..200).map(|p| apply(&t, [1, 3, 4], &pixels, p)[0] as u8).collect();
        corners.sort_unstable();
        corners.dedup();
        assert_eq!(corners, [0, 1, 2, 4, 5, 6]);

        let flip = TransformationParameter { mirror: Some(true), ..Default::default() };
        for phase in [Phase::Train, Phase::Test] {
            let t = transform(flip.clone(), phase);
            let pixels = Pixels::U8(vec![1, 2, 3]);
            let flipped = (0..200).filter(|&p| apply(&t, [1, 1, 3], &pixels, p) == [3.0, 2.0, 1.0]).count();
            assert!((70..130).contains(&flipped), "{flipped}");
        }
    }

    #[test]
    fn augmented_samples_are_still_centred_and_scaled() {
        let param = TransformationParameter {
            crop_size: Some(4),
            mean_value: vec![7.0],
            scale: Some(2.0),
            random_area: Some(0.3),
            random_rotation: Some(30.0),
            random_cutout: Some(1),
            ..Default::default()
        };
        let t = transform(param, Phase::Train);
        for position in 0..20 {
            let out = apply(&t, [3, 9, 5], &Pixels::U8(vec![17; 135]), position);
            assert_eq!(out.iter().filter(|&&v| v == 0.0).count(), 3, "one pixel in each plane");
            assert!(out.iter().all(|&v| v == 0.0 || (v - 20.0).abs() < 1e-3), "{out:?}");
        }
    }

    #[test]
    fn parts_are_taken_as_asked_and_a_flat_mean_fits_any_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mean");
        let mean = BlobProto {
            num: Some(1),
            channels: Some(2),
            height: Some(1),
            width: Some(2),
            data: vec![1.0, 3.0, 10.0, 20.0],
            ..Default::default()
        };
        fs::write(&path, mean.encode_to_vec()).unwrap();
        let param = TransformationParameter {
            mean_file: Some(path.display().to_string()),
            scale: Some(2.0),
            ..Default::default()
        };
        let mut t = transform(param, Phase::Test);
        let mut out = [0.0; 2];
        t.apply_at([2, 1, 2], &Pixels::U8(vec![5, 6, 7, 8]), [0, 1], [1, 1], &mut out);
        assert_eq!(out, [6.0, -24.0]);
        assert!(t.output([2, 3, 3]).is_err());
        t.flatten_mean();
        assert_eq!(t.output([2, 3, 3]), Ok([2, 3, 3]));
        t.apply_at([2, 1, 2], &Pixels::F32(vec![5.0, 6.0, 7.0, 8.0]), [0, 0], [1, 1], &mut out);
        assert_eq!(out, [6.0, -16.0]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let both = TransformationParameter {
            mean_file: Some("m".into()),
            mean_value: vec![1.0],
            ..Default::default()
        };
        let error = Transform::from_config(&both, Phase::Test).unwrap_err().to_string();
        assert_eq!(error, "transform_param: mean_file and mean_value exclude each other");
        let crop = TransformationParameter { crop_size: Some(5), ..Default::default() };
        assert_eq!(
            transform(crop, Phase::Test).output([1, 4, 6]),
            Err("it is 4 x 6, smaller than the crop_size 5".into())
        );
        let values = TransformationParameter { mean_value: vec![1.0, 2.0], ..Default::default() };
        assert!(transform(values, Phase::Test).output([3, 1, 1]).unwrap_err().contains("3 channels"));
    }
}
