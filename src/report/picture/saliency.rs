//! Where a net looks in an image.

use super::{
    Colors, Tile,
    canvas::{Anchor, Canvas, Style},
    color::place,
    range,
};
use crate::report::draw::{
    letters::text_width,
    style::{INK, PALE},
};

const MARGIN: usize = 16;
const GAP: usize = 12;
/// The image is enlarged by a whole number to about this side.
const SIDE: usize = 224;

/// The image, a value for each of its pixels, and both laid over each other, side by side, as PNG.
///
/// # Errors
/// Says why when it is too large for memory.
pub fn saliency(image: &Tile, values: &[f32], title: &str, method: &str) -> Result<Vec<u8>, String> {
    let shown = span(values);
    let map = Tile::of_values(values, image.width, shown, Colors::Heat);
    let zoom = (SIDE / image.width.max(image.height).max(1)).max(1);
    let [w, h] = [image.width * zoom, image.height * zoom];
    let top = MARGIN + 44;
    let width = (3 * w + 2 * GAP).max(text_width(title, 15.0, true) as usize + 1);
    let mut canvas = Canvas::new(2 * MARGIN + width, top + h + MARGIN)?;
    let bold = Style { size: 15.0, bold: true, color: INK };
    canvas.text(title, [MARGIN as f32, MARGIN as f32 + 12.0], Anchor::Start, bold);
    for (i, (tile, caption)) in
        [(image, "image"), (&map, method), (&laid_over(image, &map, values, shown), "both")]
            .into_iter()
            .enumerate()
    {
        let x = MARGIN + i * (w + GAP);
        let small = Style { size: 11.0, bold: false, color: PALE };
        canvas.text(caption, [x as f32, top as f32 - 8.0], Anchor::Start, small);
        canvas.tile(tile, [x, top], zoom);
    }
    canvas.png()
}

/// From the smallest value to one that few are above: single peaks must not leave all else dark.
fn span(values: &[f32]) -> [f32; 2] {
    let [low, high] = range(values);
    let mut finite: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    finite.sort_by(f32::total_cmp);
    let most = finite.get((finite.len() as f64 * 0.995) as usize).copied().unwrap_or(high);
    // A map of but a few peaks has nothing else to show.
    [low, if most > low { most } else { high }]
}

/// The image in grey, and the map over it, the denser the higher its values are.
fn laid_over(image: &Tile, map: &Tile, values: &[f32], range: [f32; 2]) -> Tile {
    let pixels = image.pixels.iter().zip(&map.pixels).zip(values).map(|((&[r, g, b], heat), &value)| {
        let gray = 0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b);
        let density = 0.15 + 0.65 * place(value, range);
        heat.map(|h| (gray * (1.0 - density) + f32::from(h) * density).round() as u8)
    });
    Tile { pixels: pixels.collect(), ..*image }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_panels() {
        let image = Tile { width: 2, height: 1, pixels: vec![[0; 3], [255; 3]] };
        let png = saliency(&image, &[0.0, 1.0], "t", "gradient").unwrap();
        let picture = image::load_from_memory(&png).unwrap().to_rgb8();
        let zoom = SIDE / 2;
        assert_eq!(picture.dimensions().0 as usize, 2 * (2 * MARGIN + 3 * 2 * zoom + 2 * GAP));
        let at = |panel: usize, pixel: usize| {
            let x = MARGIN + panel * (2 * zoom + GAP) + pixel * zoom + zoom / 2;
            picture.get_pixel(2 * x as u32, 2 * (MARGIN + 44 + zoom / 2) as u32).0
        };
        assert_eq!([at(0, 0), at(0, 1)], [[0; 3], [255; 3]]);
        assert_eq!([at(1, 0), at(1, 1)], [Colors::Heat.at(0.0), Colors::Heat.at(1.0)]);
        assert!(at(2, 1)[0] > 200 && at(2, 0)[0] < 20);
    }

    #[test]
    fn single_peaks_do_not_darken_the_rest() {
        let mut values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        values[999] = 1e6;
        assert_eq!(span(&values), [0.0, 995.0]);
        assert_eq!((span(&[0.0, 3.0]), span(&[])), ([0.0, 3.0], [0.0, 0.0]));
        let mut peak = vec![0.0; 1000];
        peak[7] = 2.0;
        assert_eq!(span(&peak), [0.0, 2.0]);
    }
}
