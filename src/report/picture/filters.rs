//! Filters side by side, without words.

use std::io::Cursor;

use image::{ImageFormat, Rgba, RgbaImage};

use super::{Colors, Tile, around_zero};

/// Filters of more channels do not get a row of their own.
const ROW: usize = 64;

/// Filters `N x C x H x W` as PNG, with its width and height: of three channels in colour, blue first as Caffe keeps them,
/// of others a grey picture for each channel, at most `most` pictures. Each filter has its own range, with 0 in the middle; a
/// value takes `zoom` pixels each way, and transparent lines of one pixel stand between.
///
/// # Errors
/// When there is nothing to show, or no PNG can be made of it.
pub fn filters(
    values: &[f32],
    [n, c, h, w]: [usize; 4],
    most: usize,
    zoom: usize,
) -> Result<(Vec<u8>, [u32; 2]), String> {
    if n * c * h * w * most * zoom == 0 {
        return Err("no values".into());
    }
    let tiles: Vec<Tile> =
        values.chunks_exact(c * h * w).flat_map(|f| tiles(f, h * w, w)).take(most).collect();
    // Rows of whole filters where they have several channels.
    let near = ((tiles.len() * h) as f64 / w as f64).sqrt().ceil() as usize;
    let whole = if c == 3 || c > ROW { near } else { c * (near / c).max(1) };
    let columns = whole.clamp(1, tiles.len());
    let [across, down] = [w, h].map(|side| side * zoom + 1);
    let [width, height] =
        [columns * across - 1, tiles.len().div_ceil(columns) * down - 1].map(|side| side as u32);
    let mut picture = RgbaImage::new(width, height);
    for (i, tile) in tiles.iter().enumerate() {
        let [left, top] = [i % columns * across, i / columns * down];
        for (y, x) in (0..h * zoom).flat_map(|y| (0..w * zoom).map(move |x| (y, x))) {
            let [r, g, b] = tile.pixels[y / zoom * w + x / zoom];
            picture.put_pixel((left + x) as u32, (top + y) as u32, Rgba([r, g, b, 255]));
        }
    }
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).map_err(|e| format!("cannot make a PNG: {e}"))?;
    Ok((png.into_inner(), [width, height]))
}

fn tiles(filter: &[f32], plane: usize, width: usize) -> Vec<Tile> {
    let range = around_zero(filter);
    let planes: Vec<&[f32]> = filter.chunks_exact(plane).collect();
    match planes[..] {
        [blue, green, red] => vec![Tile::of_planes([red, green, blue], width, range)],
        _ => planes.into_iter().map(|plane| Tile::of_values(plane, width, range, Colors::Gray)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(shape: [usize; 4], zoom: usize, value: impl Fn(usize) -> f32) -> image::DynamicImage {
        let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
        let (png, size) = filters(&values, shape, 400, zoom).unwrap();
        let picture = image::load_from_memory(&png).unwrap();
        assert_eq!(size, [picture.width(), picture.height()]);
        picture
    }

    #[test]
    fn filters_stand_side_by_side_in_their_own_ranges() {
        let one = picture([4, 1, 2, 2], 1, |i| if i < 4 { i as f32 - 2.0 } else { 0.0 }).to_luma_alpha8();
        assert_eq!((one.width(), one.height()), (5, 5));
        let at = |x, y| one.get_pixel(x, y).0;
        assert_eq!([at(0, 0), at(1, 0), at(0, 1), at(1, 1)], [[0, 255], [64, 255], [128, 255], [191, 255]]);
        let others = [[0, 0], [128, 255], [128, 255]];
        assert_eq!([at(2, 0), at(3, 0), at(4, 4)], others, "a line, and filters of nothing");
    }

    #[test]
    fn three_channels_are_colours_with_blue_first() {
        let one = picture([1, 3, 1, 1], 24, |i| [1.0, 0.0, -1.0][i]).to_rgb8();
        assert_eq!((one.width(), one.height()), (24, 24));
        assert!(one.pixels().all(|pixel| pixel.0 == [0, 128, 255]));
        let wide = picture([3, 2, 2, 3], 1, |_| f32::NAN).to_luma8();
        assert_eq!((wide.width(), wide.height()), (7, 8), "two channels a row");
        assert!(filters(&[], [0, 3, 1, 1], 9, 1).is_err());
    }
}
