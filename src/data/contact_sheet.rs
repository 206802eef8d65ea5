//! Samples side by side in one picture, to see what a set holds.

use super::{Image, Pixels, Sample};

/// Smaller samples are enlarged by a whole number to about this side, larger ones scaled down to twice it.
const SIDE: usize = 48;
/// Pixels between samples.
const GAP: usize = 2;

/// A picture of the samples in rows, as near to a square as their number allows.
///
/// `rgb` says that colours come in the order red, green, blue and not blue, green, red. Bytes that all stay below 128 are
/// brightened.
pub fn contact_sheet(samples: &[Sample], rgb: bool) -> Image {
    let brightest = samples.iter().map(|sample| brightest(&sample.pixels)).max().unwrap_or(0);
    let gain = 255u8.checked_div(brightest).unwrap_or(1);
    let pictures: Vec<_> = samples.iter().filter_map(|sample| picture(sample, gain, rgb)).collect();
    let side = |axis: usize| pictures.iter().map(|p| p.shape[axis]).max().unwrap_or(0) + GAP;
    let (cell_h, cell_w) = (side(1), side(2));
    let columns = (pictures.len() as f64).sqrt().ceil().max(1.0) as usize;
    let (h, w) = (pictures.len().div_ceil(columns).max(1) * cell_h + GAP, columns * cell_w + GAP);
    let mut sheet = Image { shape: [3, h, w], values: vec![96; 3 * h * w] };
    for (i, picture) in pictures.iter().enumerate() {
        let (top, left) = (GAP + i / columns * cell_h, GAP + i % columns * cell_w);
        let [_, rows, width] = picture.shape;
        for (j, row) in picture.values.chunks_exact(width).enumerate() {
            let (channel, y) = (j / rows, j % rows);
            let at = (channel * h + top + y) * w + left;
            sheet.values[at..at + width].copy_from_slice(row);
        }
    }
    sheet
}

/// The largest byte; numbers use the whole range.
fn brightest(pixels: &Pixels) -> u8 {
    match pixels {
        Pixels::U8(values) => values.iter().copied().max().unwrap_or(0),
        Pixels::F32(_) => u8::MAX,
    }
}

/// Three channels of bytes, scaled; `None` without pixels.
fn picture(sample: &Sample, gain: u8, rgb: bool) -> Option<Image> {
    let [c, h, w] = sample.shape;
    if h * w == 0 || sample.pixels.len() != c * h * w {
        return None;
    }
    let mut values = bytes(&sample.pixels);
    values.iter_mut().for_each(|v| *v *= gain);
    let planes: Vec<_> = values.chunks_exact(h * w).collect();
    let order = match (c, rgb) {
        (..3, _) => [0; 3],
        (_, true) => [2, 1, 0],
        (_, false) => [0, 1, 2],
    };
    let image = Image { shape: [3, h, w], values: order.map(|plane| planes[plane]).concat() };
    let longest = h.max(w);
    if longest > 2 * SIDE {
        let scaled = |side: usize| (side * 2 * SIDE / longest).max(1);
        return Some(image.scaled(scaled(h), scaled(w)));
    }
    Some(enlarged(&image, (SIDE / longest).max(1)))
}

/// The values as bytes; numbers are stretched over the whole range.
fn bytes(pixels: &Pixels) -> Vec<u8> {
    match pixels {
        Pixels::U8(values) => values.clone(),
        Pixels::F32(values) => {
            let finite = || values.iter().copied().filter(|v| v.is_finite());
            let (low, high) = (finite().fold(f32::MAX, f32::min), finite().fold(f32::MIN, f32::max));
            let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
            values.iter().map(|v| ((v - low) * scale) as u8).collect()
        }
    }
}

/// Every pixel as a square of `by x by`.
fn enlarged(image: &Image, by: usize) -> Image {
    let [c, h, w] = image.shape;
    let mut values = Vec::with_capacity(c * h * w * by * by);
    for row in image.values.chunks_exact(w) {
        let wide: Vec<u8> = row.iter().flat_map(|&v| std::iter::repeat_n(v, by)).collect();
        (0..by).for_each(|_| values.extend_from_slice(&wide));
    }
    Image { shape: [c, h * by, w * by], values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(shape: [usize; 3], pixels: Pixels) -> Sample {
        Sample { shape, pixels, labels: vec![], key: String::new() }
    }

    #[test]
    fn small_samples_are_enlarged_and_stand_in_rows() {
        let one = sample([1, 1, 2], Pixels::U8(vec![20, 40]));
        let sheet = contact_sheet(&[one.clone(), one.clone(), one], false);
        let [c, h, w] = sheet.shape;
        assert_eq!((c, h, w), (3, 2 * (24 + GAP) + GAP, 2 * (48 + GAP) + GAP));
        let at = |y: usize, x: usize| sheet.values[y * w + x];
        assert_eq!((at(0, 0), at(GAP, GAP), at(GAP + 23, GAP + 24)), (96, 120, 240), "six times as bright");
        assert_eq!((at(h - GAP - 1, GAP), at(h - GAP - 1, w - GAP - 1)), (120, 96), "three of four places");
    }

    #[test]
    fn large_samples_shrink_and_colours_keep_their_order() {
        let image = sample([3, 300, 150], Pixels::U8([[1u8; 45_000], [2; 45_000], [203; 45_000]].concat()));
        let corner = |sheet: &Image| {
            let size = sheet.shape[1] * sheet.shape[2];
            [0, 1, 2].map(|c| sheet.values[c * size + GAP * sheet.shape[2] + GAP])
        };
        let sheet = contact_sheet(std::slice::from_ref(&image), false);
        assert_eq!(sheet.shape, [3, 96 + 2 * GAP, 48 + 2 * GAP]);
        assert_eq!(corner(&sheet), [1, 2, 203]);
        assert_eq!(corner(&contact_sheet(&[image], true)), [203, 2, 1]);
    }

    #[test]
    fn numbers_are_stretched_and_odd_ones_do_no_harm() {
        assert_eq!(bytes(&Pixels::F32(vec![-1.0, 0.0, 1.0, f32::NAN])), [0, 127, 255, 0]);
        assert_eq!(bytes(&Pixels::F32(vec![5.0, 5.0])), [0, 0]);
        assert_eq!(contact_sheet(&[], false).shape, [3, 2 * GAP, 2 * GAP]);
        let empty = sample([1, 0, 0], Pixels::U8(vec![]));
        assert_eq!(contact_sheet(&[empty], false).shape, [3, 2 * GAP, 2 * GAP]);
    }
}
