//! Colours for values.

use crate::report::draw::style::Color;

/// Which colours stand for values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// Black to white.
    Gray,
    /// Dark violet over green to yellow, equally bright steps for equal steps of value.
    Viridis,
    /// Blue below 0, white at 0, red above, for a range around 0.
    Signed,
    /// Black over red to light yellow.
    Heat,
    /// White to dark blue.
    Ink,
}

/// From the lowest to the highest, at equal distances.
fn stops(colors: Colors) -> &'static [Color] {
    match colors {
        Colors::Gray => &[0x000000, 0xffffff],
        Colors::Viridis => &[
            0x440154, 0x482878, 0x3e4a89, 0x31688e, 0x26828e, 0x1f9e89, 0x35b779, 0x6dcd59, 0xb4de2c,
            0xfde725,
        ],
        Colors::Signed => &[
            0x053061, 0x2166ac, 0x4393c3, 0x92c5de, 0xd1e5f0, 0xf7f7f7, 0xfddbc7, 0xf4a582, 0xd6604d,
            0xb2182b, 0x67001f,
        ],
        Colors::Heat => &[0x000004, 0x420a68, 0x932667, 0xdd513a, 0xfca50a, 0xfcffa4],
        Colors::Ink => &[0xffffff, 0xdbe7f5, 0xa9c9e8, 0x6aa3d6, 0x3878b4, 0x1d4f8a, 0x12305c],
    }
}

impl Colors {
    /// The colour at `place`, from 0 to 1.
    pub fn at(self, place: f32) -> [u8; 3] {
        let stops = stops(self);
        let along = place.clamp(0.0, 1.0) * (stops.len() - 1) as f32;
        let low = (along as usize).min(stops.len() - 2);
        mix(stops[low], stops[low + 1], along - low as f32)
    }
}

/// So much of the way from one colour to another.
pub fn mix(from: Color, to: Color, part: f32) -> [u8; 3] {
    [16, 8, 0].map(|shift| {
        let [a, b] = [from, to].map(|color| (color >> shift & 0xff) as f32);
        (a + (b - a) * part).round() as u8
    })
}

/// Where a value lies in a range, from 0 to 1; 0 for what is no number, and if the range is but a point.
pub fn place(value: f32, [low, high]: [f32; 2]) -> f32 {
    match () {
        () if value.is_nan() || high <= low => 0.0,
        () => ((value - low) / (high - low)).clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_from_the_first_to_the_last() {
        assert_eq!(Colors::Gray.at(0.5), [128; 3]);
        assert_eq!((Colors::Signed.at(0.5), Colors::Signed.at(2.0)), ([0xf7; 3], [0x67, 0, 0x1f]));
        assert_eq!(Colors::Viridis.at(-1.0), [0x44, 0x01, 0x54]);
        let brightness =
            |c: [u8; 3]| 0.299 * f32::from(c[0]) + 0.587 * f32::from(c[1]) + 0.114 * f32::from(c[2]);
        for colors in [Colors::Gray, Colors::Viridis, Colors::Heat] {
            let steps: Vec<f32> = (0..=20).map(|i| brightness(colors.at(i as f32 / 20.0))).collect();
            assert!(steps.windows(2).all(|s| s[0] < s[1]), "{colors:?} {steps:?}");
        }
    }

    #[test]
    fn places() {
        assert_eq!([-1.0, 0.0, 1.0, 9.0].map(|v| place(v, [0.0, 2.0])), [0.0, 0.0, 0.5, 1.0]);
        assert_eq!((place(3.0, [3.0, 3.0]), place(f32::NAN, [0.0, 1.0])), (0.0, 0.0));
    }
}
