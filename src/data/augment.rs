//! Random changes of training images beyond Caffe's crop and mirror: area, aspect, angle, colours, and a square cut out.
//!
//! They come before the mean is subtracted, in the phase TRAIN alone; the square, after it, is 0 and so the mean.

use super::{DataError, Draw};
use crate::config::proto::{Phase, TransformationParameter};

/// Checked settings, of which at least one changes something.
#[derive(Clone, Debug)]
pub(crate) struct Augment {
    area: f32,
    aspect: f32,
    rotation: f32,
    brightness: f32,
    contrast: f32,
    saturation: f32,
    cutout: usize,
}

/// Shares of blue, green and red in what the eye takes for brightness.
const LUMA: [f32; 3] = [0.114, 0.587, 0.299];

impl Augment {
    /// `None` if nothing is to be changed.
    pub fn from_config(param: &TransformationParameter, phase: Phase) -> Result<Option<Self>, DataError> {
        let refuse = |field: &str, value: f32, range: &str| {
            Err(DataError::Setting(format!("transform_param: {field} {value} is not {range}")))
        };
        let (area, aspect, rotation) = (param.random_area(), param.random_aspect(), param.random_rotation());
        if !(area > 0.0 && area <= 1.0) {
            return refuse("random_area", area, "above 0 and at most 1");
        }
        if !(1.0..=100.0).contains(&aspect) {
            return refuse("random_aspect", aspect, "between 1 and 100");
        }
        if !(0.0..=180.0).contains(&rotation) {
            return refuse("random_rotation", rotation, "between 0 and 180 degrees");
        }
        let (brightness, contrast, saturation) =
            (param.random_brightness(), param.random_contrast(), param.random_saturation());
        for (field, value) in [
            ("random_brightness", brightness),
            ("random_contrast", contrast),
            ("random_saturation", saturation),
        ] {
            if !(0.0..=100.0).contains(&value) {
                return refuse(field, value, "between 0 and 100");
            }
        }
        let cutout = param.random_cutout() as usize;
        let all = Self { area, aspect, rotation, brightness, contrast, saturation, cutout };
        let changes = all.moves() || all.recolors() || cutout > 0;
        Ok((phase == Phase::Train && changes).then_some(all))
    }

    /// Whether pixels change their places.
    pub fn moves(&self) -> bool {
        self.resizes() || self.rotation > 0.0
    }

    fn resizes(&self) -> bool {
        self.area < 1.0 || self.aspect > 1.0
    }

    fn recolors(&self) -> bool {
        [self.brightness, self.contrast, self.saturation].iter().any(|&v| v > 0.0)
    }

    /// A random part of an image of `[h, w]`, to be scaled to `[rows, columns]`.
    pub fn part(&self, [h, w]: [usize; 2], to: [usize; 2], draw: &mut Draw) -> Part {
        let (image, to) = ([h as f32, w as f32], to.map(|n| n as f32));
        let [height, width] = if self.resizes() {
            let area = image[0] * image[1] * between(draw, self.area, 1.0);
            let bound = self.aspect.ln();
            let ratio = to[1] / to[0] * between(draw, -bound, bound).exp();
            [(area / ratio).sqrt().min(image[0]), (area * ratio).sqrt().min(image[1])]
        } else {
            to
        };
        let centre = [
            height / 2.0 + draw.unit() * (image[0] - height),
            width / 2.0 + draw.unit() * (image[1] - width),
        ];
        let angle = between(draw, -self.rotation, self.rotation).to_radians();
        Part { centre, size: [height, width], angle }
    }

    /// Changes the colours of `channels` planes; values that were bytes stay in their range.
    pub fn recolor(&self, patch: &mut [f32], channels: usize, bytes: bool, draw: &mut Draw) {
        if !self.recolors() || patch.is_empty() {
            return;
        }
        let [brightness, contrast, saturation] =
            [self.brightness, self.contrast, self.saturation].map(|most| between(draw, -most, most) + 1.0);
        let weights = if channels == 3 { LUMA.to_vec() } else { vec![1.0 / channels as f32; channels] };
        let plane = patch.len() / channels;
        let grey = |patch: &[f32], i: usize| -> f32 {
            weights.iter().enumerate().map(|(c, weight)| weight * patch[c * plane + i]).sum()
        };
        let mean = (0..plane).map(|i| f64::from(grey(patch, i))).sum::<f64>() / plane as f64;
        let mean = mean as f32 * brightness.max(0.0);
        for i in 0..plane {
            let own = grey(patch, i) * brightness.max(0.0);
            for c in 0..channels {
                let value = &mut patch[c * plane + i];
                let bright = *value * brightness.max(0.0);
                let coloured = own + (bright - own) * saturation.max(0.0);
                *value = mean + (coloured - mean) * contrast.max(0.0);
                if bytes {
                    *value = value.clamp(0.0, 255.0);
                }
            }
        }
    }

    /// Sets a square about a random place to 0 in planes of `[rows, columns]`.
    pub fn cut_out(&self, patch: &mut [f32], [rows, columns]: [usize; 2], draw: &mut Draw) {
        if self.cutout == 0 || rows * columns == 0 {
            return;
        }
        let side = |at: usize, len: usize| {
            let start = at.saturating_sub(self.cutout / 2);
            start..(at + self.cutout - self.cutout / 2).min(len)
        };
        let (ys, xs) = (side(draw.below(rows), rows), side(draw.below(columns), columns));
        for plane in patch.chunks_exact_mut(rows * columns) {
            for y in ys.clone() {
                plane[y * columns..][xs.clone()].fill(0.0);
            }
        }
    }
}

fn between(draw: &mut Draw, low: f32, high: f32) -> f32 {
    low + (high - low) * draw.unit()
}

/// A turned rectangle of an image, `[height, width]` about its centre, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    centre: [f32; 2],
    size: [f32; 2],
    angle: f32,
}

impl Part {
    /// Scales the part of `[c, h, w]` pixels to planes of `[rows, columns]`, bilinear; outside the image its border goes on.
    pub fn sample<T: Copy + Into<f32>>(
        &self,
        pixels: &[T],
        [channels, h, w]: [usize; 3],
        [rows, columns]: [usize; 2],
        out: &mut [f32],
    ) {
        let (sin, cos) = self.angle.sin_cos();
        let step = [self.size[0] / rows as f32, self.size[1] / columns as f32];
        for y in 0..rows {
            let v = (y as f32 + 0.5 - rows as f32 / 2.0) * step[0];
            for x in 0..columns {
                let u = (x as f32 + 0.5 - columns as f32 / 2.0) * step[1];
                let (top, bottom, down) = neighbours(self.centre[0] + u * sin + v * cos - 0.5, h);
                let (left, right, across) = neighbours(self.centre[1] + u * cos - v * sin - 0.5, w);
                for c in 0..channels {
                    let at = |y: usize, x: usize| -> f32 { pixels[(c * h + y) * w + x].into() };
                    let above = at(top, left) + (at(top, right) - at(top, left)) * across;
                    let below = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * across;
                    out[(c * rows + y) * columns + x] = above + (below - above) * down;
                }
            }
        }
    }
}

/// The pixels before and after a place on an axis, and how far it is from the first to the second.
fn neighbours(at: f32, len: usize) -> (usize, usize, f32) {
    let at = at.clamp(0.0, (len - 1) as f32);
    let first = at as usize;
    (first, (first + 1).min(len - 1), at - first as f32)
}

#[cfg(test)]
mod tests {
    use super::{super::random::Purpose, *};

    fn draw(position: u64) -> Draw {
        Draw::new(5, Purpose::Transform, position)
    }

    fn augment(param: TransformationParameter) -> Augment {
        Augment::from_config(&param, Phase::Train).unwrap().unwrap()
    }

    fn close(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3)
    }

    #[test]
    fn a_part_is_scaled_and_turned() {
        let pixels: Vec<u8> = vec![1, 2, 3, 4, 5, 6];
        let mut out = [0.0; 6];
        let whole = Part { centre: [1.0, 1.5], size: [2.0, 3.0], angle: 0.0 };
        whole.sample(&pixels, [1, 2, 3], [2, 3], &mut out);
        assert!(close(&out, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "{out:?}");
        Part { angle: std::f32::consts::PI, ..whole }.sample(&pixels, [1, 2, 3], [2, 3], &mut out);
        assert!(close(&out, &[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]), "{out:?}");
        // A quarter turn: what stands right of the centre comes from below it.
        let square = Part { centre: [1.0, 1.0], size: [2.0, 2.0], angle: std::f32::consts::FRAC_PI_2 };
        square.sample(&[1u8, 2, 3, 4], [1, 2, 2], [2, 2], &mut out[..4]);
        assert!(close(&out[..4], &[2.0, 4.0, 1.0, 3.0]), "{out:?}");
        whole.sample(&pixels, [1, 2, 3], [1, 1], &mut out[..1]);
        assert!(close(&out[..1], &[3.5]), "{out:?}");
    }

    #[test]
    fn parts_keep_to_the_image_and_its_shares() {
        let a = augment(TransformationParameter {
            random_area: Some(0.25),
            random_aspect: Some(2.0),
            ..Default::default()
        });
        for position in 0..200 {
            let Part { centre, size, angle } = a.part([20, 40], [8, 8], &mut draw(position));
            let area = size[0] * size[1] / 800.0;
            assert!((0.17..=1.0001).contains(&area), "{size:?}");
            assert_eq!(angle, 0.0);
            for (axis, len) in [20.0, 40.0].into_iter().enumerate() {
                let half = size[axis] / 2.0;
                assert!(centre[axis] - half > -1e-3 && centre[axis] + half < len + 1e-3);
            }
        }
    }

    #[test]
    fn colours_change_as_asked() {
        let bright = augment(TransformationParameter { random_brightness: Some(0.5), ..Default::default() });
        let mut patch = [10.0, 20.0, 200.0];
        bright.recolor(&mut patch, 1, true, &mut draw(1));
        let factor = patch[0] / 10.0;
        assert!((0.5..=1.5).contains(&factor) && factor != 1.0);
        assert!(close(&patch, &[10.0 * factor, 20.0 * factor, (200.0 * factor).min(255.0)]));

        let grey = augment(TransformationParameter { random_saturation: Some(0.9), ..Default::default() });
        let mut patch = [50.0, 50.0, 50.0];
        grey.recolor(&mut patch, 3, true, &mut draw(2));
        assert!(close(&patch, &[50.0; 3]), "grey has no colour to change: {patch:?}");

        let contrast = augment(TransformationParameter { random_contrast: Some(0.9), ..Default::default() });
        let mut patch = [90.0, 110.0];
        contrast.recolor(&mut patch, 1, true, &mut draw(3));
        assert!((patch[0] + patch[1] - 200.0).abs() < 1e-2 && patch[0] != 90.0, "the mean stays: {patch:?}");
    }

    #[test]
    fn the_square_is_cut_from_all_planes() {
        let a = augment(TransformationParameter { random_cutout: Some(2), ..Default::default() });
        for position in 0..50 {
            let mut patch = [1.0; 2 * 12];
            a.cut_out(&mut patch, [3, 4], &mut draw(position));
            assert_eq!(patch[..12], patch[12..]);
            let zeros = patch[..12].iter().filter(|&&v| v == 0.0).count();
            assert!([1, 2, 4].contains(&zeros), "whole, or cut at a border: {zeros}");
        }
    }

    #[test]
    fn settings_are_checked_and_test_is_left_alone() {
        let rotate = TransformationParameter { random_rotation: Some(10.0), ..Default::default() };
        assert!(Augment::from_config(&rotate, Phase::Test).unwrap().is_none());
        assert!(Augment::from_config(&Default::default(), Phase::Train).unwrap().is_none());
        for (param, field) in [
            (TransformationParameter { random_area: Some(0.0), ..Default::default() }, "random_area 0"),
            (TransformationParameter { random_aspect: Some(0.5), ..Default::default() }, "random_aspect 0.5"),
            (
                TransformationParameter { random_contrast: Some(f32::NAN), ..Default::default() },
                "random_contrast",
            ),
        ] {
            let error = Augment::from_config(&param, Phase::Train).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
