//! A sheet to draw on.

use tiny_skia::{FillRule, PathBuilder, Pixmap, Rect, Stroke, Transform};

use super::Tile;
use crate::report::draw::{
    letters::{letters, text_width},
    png::{encode, paint},
    style::{Color, PAPER},
};

/// Pixels for each unit of length.
pub const SCALE: usize = 2;

/// Pixels of the largest picture, 1 GiB of memory.
const MOST_PIXELS: usize = 268_435_456;

/// A sheet, measured in units from its upper left corner.
pub struct Canvas {
    pixmap: Pixmap,
}

/// Where a text is in relation to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub size: f32,
    pub bold: bool,
    pub color: Color,
}

impl Canvas {
    /// A white sheet.
    ///
    /// # Errors
    /// Says why when it is too large for memory.
    pub fn new(width: usize, height: usize) -> Result<Self, String> {
        let [w, h] = [width, height].map(|side| side.max(1).saturating_mul(SCALE));
        let pixmap = (w.saturating_mul(h) <= MOST_PIXELS).then(|| Pixmap::new(w as u32, h as u32)).flatten();
        let mut pixmap = pixmap.ok_or_else(|| format!("a picture of {w} x {h} pixels is too large"))?;
        pixmap.fill(solid(PAPER));
        Ok(Self { pixmap })
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, at: [f32; 2], size: [f32; 2], color: Color) {
        if let Some(rect) = Rect::from_xywh(at[0], at[1], size[0], size[1]) {
            self.pixmap.fill_rect(rect, &paint(color), scale(), None);
        }
    }

    /// Draws a line through points.
    pub fn line(&mut self, points: &[[f32; 2]], width: f32, color: Color) {
        let mut path = PathBuilder::new();
        for (i, &[x, y]) in points.iter().enumerate() {
            if i == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        if let Some(path) = path.finish() {
            let stroke = Stroke { width, line_join: tiny_skia::LineJoin::Round, ..Stroke::default() };
            self.pixmap.stroke_path(&path, &paint(color), &stroke, scale(), None);
        }
    }

    /// Writes a text on the base line at `at`.
    pub fn text(&mut self, text: &str, at: [f32; 2], anchor: Anchor, style: Style) {
        self.write(text, at, anchor, style, scale());
    }

    /// Writes a text that runs upwards.
    pub fn text_upwards(&mut self, text: &str, at: [f32; 2], anchor: Anchor, style: Style) {
        let turned = Transform::from_row(0.0, -1.0, 1.0, 0.0, at[0], at[1]).post_concat(scale());
        self.write(text, [0.0, 0.0], anchor, style, turned);
    }

    fn write(&mut self, text: &str, at: [f32; 2], anchor: Anchor, style: Style, transform: Transform) {
        let Style { size, bold, color } = style;
        let part = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => 0.5,
            Anchor::End => 1.0,
        };
        let at = [at[0] - part * text_width(text, size, bold), at[1]];
        if let Some(path) = letters(text, at, size, bold) {
            self.pixmap.fill_path(&path, &paint(color), FillRule::Winding, transform, None);
        }
    }

    /// Puts a tile at `at`, `zoom` units for each of its pixels, which stay squares.
    pub fn tile(&mut self, tile: &Tile, at: [usize; 2], zoom: usize) {
        let (zoom, width) = (zoom * SCALE, self.pixmap.width() as usize);
        let [left, top] = at.map(|p| p * SCALE);
        let pixels = self.pixmap.pixels_mut();
        for y in 0..tile.height * zoom {
            for x in 0..tile.width * zoom {
                let [r, g, b] = tile.pixels[y / zoom * tile.width + x / zoom];
                let opaque = tiny_skia::ColorU8::from_rgba(r, g, b, 255).premultiply();
                if let Some(pixel) = (left + x < width).then(|| pixels.get_mut((top + y) * width + left + x))
                {
                    pixel.into_iter().for_each(|pixel| *pixel = opaque);
                }
            }
        }
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// Says why when it cannot be made.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        encode(&self.pixmap)
    }
}

fn scale() -> Transform {
    Transform::from_scale(SCALE as f32, SCALE as f32)
}

fn solid(color: Color) -> tiny_skia::Color {
    let [r, g, b] = [16, 8, 0].map(|shift| (color >> shift & 0xff) as u8);
    tiny_skia::Color::from_rgba8(r, g, b, 255)
}

/// The text, or as much of its start as fits with an ellipsis.
pub fn fitting(text: &str, size: f32, width: f32) -> String {
    if text_width(text, size, false) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if text_width(&kept, size, false) + text_width("...", size, false) > width {
            kept.pop();
            break;
        }
    }
    kept + "..."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::draw::style::INK;

    fn decoded(canvas: &Canvas) -> image::RgbImage {
        image::load_from_memory(&canvas.png().unwrap()).unwrap().to_rgb8()
    }

    #[test]
    fn tiles_keep_their_pixels() {
        let mut canvas = Canvas::new(10, 6).unwrap();
        let tile = Tile { width: 2, height: 1, pixels: vec![[255, 0, 0], [0, 0, 255]] };
        canvas.tile(&tile, [1, 2], 2);
        let image = decoded(&canvas);
        assert_eq!(image.dimensions(), (20, 12));
        let at = |x: u32, y: u32| image.get_pixel(x, y).0;
        assert_eq!(
            [at(1, 4), at(2, 4), at(5, 7), at(6, 4), at(9, 7), at(10, 7)],
            [[255; 3], [255, 0, 0], [255, 0, 0], [0, 0, 255], [0, 0, 255], [255; 3]]
        );
        // What is outside is left out.
        canvas.tile(&tile, [9, 5], 2);
        assert_eq!(decoded(&canvas).get_pixel(19, 11).0, [255, 0, 0]);
    }

    #[test]
    fn texts_turn() {
        let ink = |upwards: bool| {
            let mut canvas = Canvas::new(60, 60).unwrap();
            let style = Style { size: 14.0, bold: true, color: INK };
            match upwards {
                true => canvas.text_upwards("WWWW", [30.0, 55.0], Anchor::Start, style),
                false => canvas.text("WWWW", [5.0, 30.0], Anchor::Start, style),
            }
            let image = decoded(&canvas);
            let dark: Vec<_> =
                image.enumerate_pixels().filter(|(.., p)| p.0[0] < 128).map(|(x, y, _)| [x, y]).collect();
            let span = |axis: usize| {
                dark.iter().map(|p| p[axis]).max().unwrap() - dark.iter().map(|p| p[axis]).min().unwrap()
            };
            [span(0), span(1)]
        };
        let [flat, upright] = [ink(false), ink(true)];
        assert!(flat[0] > 2 * flat[1] && upright[1] > 2 * upright[0], "{flat:?} {upright:?}");
        assert!(flat[0].abs_diff(upright[1]) < 3);
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(fitting("cat", 10.0, 100.0), "cat");
        let cut = fitting("a very long name of a class", 10.0, 60.0);
        assert!(
            cut.ends_with("...") && cut.starts_with("a ve") && text_width(&cut, 10.0, false) <= 60.0,
            "{cut}"
        );
        assert!(Canvas::new(1 << 20, 1 << 20).is_err());
    }
}
