//! Pictures that the page shows: the net as a graph, and the filters that look at the input.

use std::{io::Cursor, path::Path};

use image::{GrayAlphaImage, ImageFormat, LumaA, Rgba, RgbaImage};

use crate::{
    config::{
        self,
        proto::{LayerParameter, NetParameter, NetState, Phase},
    },
    net::check::{Sketch, View, states},
    report::{draw, runs::entry::Start},
    snapshot::{BlobValues, Weights},
};

/// As many filters are shown.
const FILTERS: usize = 400;
/// The side of a filter that is shown, at most.
const SIDE: usize = 64;

/// The net of a run as a graph, as SVG; none if nothing is known of it.
pub fn graph(start: &Start) -> Option<String> {
    let mut net = config::net_from_text("", &start.net[..]).ok()?.net;
    net.layer.iter_mut().for_each(keep_closed);
    let shapes = start.shapes.iter().map(|(name, shape)| (name.clone(), shape.clone().into())).collect();
    let view = View { shapes, ..View::default() };
    let sketch = Sketch::new(&net, &state(&net), &view, &mut Vec::new());
    Some(draw::svg(net.name(), &sketch))
}

/// Training, unless the net only knows testing.
fn state(net: &NetParameter) -> NetState {
    let trains = states(net, 0, &[]).into_iter().find(|state| state.phase() == Phase::Train);
    trains.unwrap_or_else(|| NetState { phase: Some(Phase::Test as i32), ..NetState::default() })
}

/// Leaves a layer without its data, which nobody opens for a picture: the shapes are known.
fn keep_closed(layer: &mut LayerParameter) {
    let closed = || Some("(closed)".to_owned());
    if let Some(p) = &mut layer.data_param {
        p.source = closed();
    }
    if let Some(p) = &mut layer.image_data_param {
        p.source = closed();
    }
    if let Some(p) = &mut layer.hdf5_data_param {
        p.source = closed();
    }
    if let Some(p) = &mut layer.window_data_param {
        p.source = closed();
    }
}

/// The filters of the first layer that has some.
#[derive(Clone, Debug, PartialEq)]
pub struct Filters {
    /// The layer.
    pub layer: String,
    /// How many there are, of how many channels, rows and columns.
    pub shape: [usize; 4],
    /// The picture, as PNG: filters side by side, a pixel a value, with transparent lines of one pixel between them.
    pub png: Vec<u8>,
}

/// The filters of the first layer of a file of weights that has some; none if no layer has, or the file cannot be read.
///
/// Filters of three channels are shown in colour, blue first as Caffe keeps them; of others, the channels one after the
/// other. Each filter has its own range, with 0 in the middle.
pub fn filters(weights: &Path) -> Option<Filters> {
    let layers = Weights::load(weights).ok()?.layers;
    layers.iter().find_map(|layer| {
        let blob = layer.blobs.first()?.as_ref()?;
        let shape: [usize; 4] = blob.shape.to_vec().try_into().ok()?;
        let [n, c, h, w] = shape;
        let shown = n > 0 && c > 0 && (2..=SIDE).contains(&h) && (2..=SIDE).contains(&w);
        let png = if shown { mosaic(blob, shape)? } else { return None };
        Some(Filters { layer: layer.name.clone(), shape, png })
    })
}

fn mosaic(blob: &BlobValues, [n, c, h, w]: [usize; 4]) -> Option<Vec<u8>> {
    let colour = c == 3;
    let planes = if colour { n } else { n * c };
    let shown = planes.min(FILTERS);
    // Rows of whole filters where they have several channels.
    let near = ((shown * h) as f64 / w as f64).sqrt().ceil() as usize;
    let columns = if colour || c == 1 || c > 64 { near } else { c * (near / c).max(1) }.clamp(1, shown);
    let size = [columns * (w + 1) - 1, shown.div_ceil(columns) * (h + 1) - 1].map(|side| side as u32);
    let plane = h * w;
    let mut png = Cursor::new(Vec::new());
    let at = |i: usize, y: usize, x: usize| {
        ((i % columns * (w + 1) + x) as u32, (i / columns * (h + 1) + y) as u32)
    };
    let pixels = || (0..h).flat_map(move |y| (0..w).map(move |x| (y, x)));
    if colour {
        let mut picture = RgbaImage::new(size[0], size[1]);
        for (i, filter) in blob.values.chunks_exact(3 * plane).take(shown).enumerate() {
            let most = largest(filter);
            for (y, x) in pixels() {
                let value = |channel: usize| gray(filter[channel * plane + y * w + x], most);
                let (px, py) = at(i, y, x);
                picture.put_pixel(px, py, Rgba([value(2), value(1), value(0), 255]));
            }
        }
        picture.write_to(&mut png, ImageFormat::Png).ok()?;
    } else {
        let mut picture = GrayAlphaImage::new(size[0], size[1]);
        let mut most = 0.0;
        for (i, values) in blob.values.chunks_exact(plane).take(shown).enumerate() {
            if i % c == 0 {
                most = largest(&blob.values[i * plane..(i + c) * plane]);
            }
            for (y, x) in pixels() {
                let (px, py) = at(i, y, x);
                picture.put_pixel(px, py, LumaA([gray(values[y * w + x], most), 255]));
            }
        }
        picture.write_to(&mut png, ImageFormat::Png).ok()?;
    }
    Some(png.into_inner())
}

/// The largest magnitude.
fn largest(values: &[f32]) -> f32 {
    values.iter().filter(|v| v.is_finite()).fold(0.0, |most, v| most.max(v.abs()))
}

/// From black for `-most` over gray for 0 to white for `most`.
fn gray(value: f32, most: f32) -> u8 {
    if most > 0.0 && value.is_finite() { (127.5 + 127.5 * value / most).round() as u8 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Shape;

    fn picture(shape: [usize; 4], value: impl Fn(usize) -> f32) -> image::DynamicImage {
        let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
        let blob = BlobValues { shape: Shape::from(shape.to_vec()), legacy: false, values: values.into() };
        image::load_from_memory(&mosaic(&blob, shape).unwrap()).unwrap()
    }

    #[test]
    fn filters_stand_side_by_side_in_their_own_ranges() {
        let one = picture([4, 1, 2, 2], |i| if i < 4 { i as f32 - 2.0 } else { 0.0 }).to_luma_alpha8();
        assert_eq!((one.width(), one.height()), (5, 5));
        let at = |x, y| one.get_pixel(x, y).0;
        assert_eq!([at(0, 0), at(1, 0), at(0, 1), at(1, 1)], [[0, 255], [64, 255], [128, 255], [191, 255]]);
        assert_eq!(
            [at(2, 0), at(3, 0), at(4, 4)],
            [[0, 0], [128, 255], [128, 255]],
            "a line, and filters of nothing"
        );
    }

    #[test]
    fn three_channels_are_colours_with_blue_first() {
        let one = picture([1, 3, 2, 2], |i| if i < 4 { 1.0 } else { -1.0 }).to_rgb8();
        assert_eq!(one.get_pixel(0, 0).0, [0, 0, 255]);
        let wide = picture([3, 2, 2, 3], |_| f32::NAN).to_luma8();
        assert_eq!((wide.width(), wide.height()), (7, 8), "two channels a row");
    }
}
