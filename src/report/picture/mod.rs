//! Pictures of what a net has learned and how it errs, as PNG.

mod canvas;
mod color;
mod confusion;
mod filters;
mod roc;
mod saliency;
mod tiles;

pub use color::Colors;
pub use confusion::confusion;
pub use filters::filters;
pub use roc::{Line, roc};
pub use saliency::saliency;
pub use tiles::{Sheet, tiles};

/// A small picture of whole pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row.
    pub pixels: Vec<[u8; 3]>,
}

impl Tile {
    /// Of a value for each pixel in `colors`; the extremes are those of `range`.
    pub fn of_values(values: &[f32], width: usize, range: [f32; 2], colors: Colors) -> Self {
        let pixels = values.iter().map(|&v| colors.at(color::place(v, range))).collect();
        Self { width, height: values.len() / width.max(1), pixels }
    }

    /// Of planes of red, green and blue, stretched from `range` over all brightnesses.
    pub fn of_planes(planes: [&[f32]; 3], width: usize, range: [f32; 2]) -> Self {
        let byte = |v: f32| (color::place(v, range) * 255.0).round() as u8;
        let pixels = (0..planes[0].len()).map(|i| planes.map(|plane| byte(plane[i]))).collect();
        Self { width, height: planes[0].len() / width.max(1), pixels }
    }
}

/// The smallest and the largest of some values that are numbers; 0 and 0 without any.
pub fn range<'a>(values: impl IntoIterator<Item = &'a f32>) -> [f32; 2] {
    let finite = values.into_iter().copied().filter(|v| v.is_finite());
    finite
        .fold(None, |range: Option<[f32; 2]>, v| Some(range.map_or([v, v], |[l, h]| [l.min(v), h.max(v)])))
        .unwrap_or_default()
}

/// The range around 0 that holds some values; from -1 to 1 if all are 0.
pub fn around_zero<'a>(values: impl IntoIterator<Item = &'a f32>) -> [f32; 2] {
    let [low, high] = range(values);
    let most = if low == high && low == 0.0 { 1.0 } else { high.max(-low) };
    [-most, most]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_leave_out_what_is_no_number() {
        assert_eq!(range(&[2.0, f32::NAN, -1.0, f32::INFINITY]), [-1.0, 2.0]);
        assert_eq!(around_zero(&[2.0, -1.0]), [-2.0, 2.0]);
        assert_eq!(around_zero(&[-3.0, -1.0]), [-3.0, 3.0]);
        assert_eq!((range(&[]), around_zero(&[0.0])), ([0.0, 0.0], [-1.0, 1.0]));
    }

    #[test]
    fn planes_become_pixels() {
        let tile = Tile::of_planes([&[0.0, 2.0], &[1.0, 1.0], &[2.0, f32::NAN]], 1, [0.0, 2.0]);
        assert_eq!((tile.width, tile.height), (1, 2));
        assert_eq!(tile.pixels, [[0, 128, 255], [255, 128, 0]]);
    }
}
