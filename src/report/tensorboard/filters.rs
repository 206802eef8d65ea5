//! The filters that look at the data itself, as pictures.

use std::collections::HashSet;

use super::proto::summary;
use crate::net::{Net, Param, Params};

/// Pixels between filters.
const GAP: usize = 1;
/// A filter is at least so many pixels wide, as far as whole pixels go.
const LEAST: usize = 24;
/// More are not shown.
const MOST: usize = 1024;

/// The weights of convolutions that no layer with weights comes before, with their layers' names.
pub fn first<'a>(net: &'a Net, params: &'a Params) -> Vec<(&'a str, &'a Param)> {
    let mut untouched: HashSet<usize> = HashSet::new();
    let mut found = Vec::new();
    for layer in net.layers() {
        if !layer.bottoms.iter().all(|bottom| untouched.contains(bottom)) {
            continue;
        }
        let Some(&weights) = layer.params.first() else {
            untouched.extend(layer.tops);
            continue;
        };
        let kind = layer.kind.name.ends_with("Convolution") || layer.kind.name == "ConvolutionDepthwise";
        if kind && layer.kind.name != "Deconvolution" && params[weights].shape.len() == 4 {
            found.push((layer.config.name(), &params[weights]));
        }
    }
    found
}

/// Filters `N x C x H x W` side by side: in colour, blue first, if they have three channels, else a grey picture for each
/// channel. Grey stands for 0, and the largest value of a filter is white or black.
///
/// # Errors
/// When no PNG can be made of it.
pub fn picture(filters: &Param) -> Result<summary::Image, String> {
    let &[n, c, h, w] = &filters.shape[..] else { return Err("not N x C x H x W".into()) };
    let (tiles, channels) = if c == 3 { (n, 3) } else { (n * c, 1) };
    let (tiles, area) = (tiles.min(MOST), h * w);
    if tiles * area == 0 {
        return Err("no values".into());
    }
    let columns = if channels == 1 && c > 1 { c } else { (tiles as f64).sqrt().ceil() as usize };
    let columns = columns.min(64);
    let zoom = LEAST.div_ceil(w.max(h));
    let cell = [w * zoom + GAP, h * zoom + GAP];
    let [width, height] = [columns * cell[0] + GAP, tiles.div_ceil(columns) * cell[1] + GAP];
    let mut pixels = vec![255u8; width * height * channels];
    for (i, tile) in filters.data.chunks_exact(area * channels).take(tiles).enumerate() {
        let [left, top] = [i % columns * cell[0] + GAP, i / columns * cell[1] + GAP];
        let filter = i * channels / c * c * area;
        let largest = filters.data[filter..filter + c * area].iter().fold(0f32, |m, v| m.max(v.abs()));
        for (y, x) in (0..h * zoom).flat_map(|y| (0..w * zoom).map(move |x| (y, x))) {
            for channel in 0..channels {
                // Blue, green, red in the filter; red, green, blue in the picture.
                let value = tile[(channels - 1 - channel) * area + y / zoom * w + x / zoom];
                let shade = if largest > 0.0 { value / largest } else { 0.0 };
                pixels[((top + y) * width + left + x) * channels + channel] = (127.5 + 127.5 * shade) as u8;
            }
        }
    }
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let color = if channels == 3 { image::ExtendedColorType::Rgb8 } else { image::ExtendedColorType::L8 };
    image::ImageEncoder::write_image(encoder, &pixels, width as u32, height as u32, color)
        .map_err(|e| format!("cannot make a PNG: {e}"))?;
    Ok(summary::Image {
        height: height as i32,
        width: width as i32,
        colorspace: channels as i32,
        encoded_image_string: bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Buffer, Shape};

    fn param(sides: [usize; 4], values: &[f32]) -> Param {
        Param {
            owner: ("conv".into(), 0),
            name: String::new(),
            shape: Shape::from(sides),
            data: Buffer::of(values),
            diff: Buffer::default(),
            lr_mult: 1.0,
            decay_mult: 1.0,
            learned: true,
        }
    }

    #[test]
    fn colours_and_greys() {
        // One filter of one pixel: blue 1, green 0, red -1.
        let colour = picture(&param([1, 3, 1, 1], &[1.0, 0.0, -1.0])).unwrap();
        assert_eq!((colour.width, colour.height, colour.colorspace), (26, 26, 3));
        let image = image::load_from_memory(&colour.encoded_image_string).unwrap().to_rgb8();
        assert_eq!(image.get_pixel(12, 12).0, [0, 127, 255]);
        assert_eq!(image.get_pixel(0, 0).0, [255; 3]);
        // Two filters of two channels: a row each.
        let grey = picture(&param([2, 2, 1, 1], &[1.0, -0.5, 0.0, 0.0])).unwrap();
        let image = image::load_from_memory(&grey.encoded_image_string).unwrap().to_luma8();
        let at = [[12, 12], [37, 12], [12, 37]].map(|[x, y]| image.get_pixel(x, y).0[0]);
        assert_eq!(at, [255, 63, 127]);
        assert!(picture(&param([0, 3, 1, 1], &[])).is_err());
    }
}
