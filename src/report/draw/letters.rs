//! Letters from two small fonts of our own: how wide a text is, and its outlines.

use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, OutlineBuilder};

const PLAIN: &[u8] = include_bytes!("sans.ttf");
const BOLD: &[u8] = include_bytes!("sans-bold.ttf");

fn face(bold: bool) -> Face<'static> {
    Face::parse(if bold { BOLD } else { PLAIN }, 0).expect("the fonts are part of the program")
}

/// How wide a text is.
pub fn text_width(text: &str, size: f32, bold: bool) -> f32 {
    let face = face(bold);
    text.chars().map(|c| advance(&face, c)).sum::<f32>() * size / f32::from(face.units_per_em())
}

fn advance(face: &Face<'_>, c: char) -> f32 {
    let glyph = face.glyph_index(c).or_else(|| face.glyph_index('?'));
    glyph.and_then(|g| face.glyph_hor_advance(g)).map_or(0.0, f32::from)
}

/// The outlines of a text that begins at `at`, on its base line.
pub fn letters(text: &str, at: [f32; 2], size: f32, bold: bool) -> Option<Path> {
    let face = face(bold);
    let scale = size / f32::from(face.units_per_em());
    let mut pen = Pen { path: PathBuilder::new(), x: at[0], y: at[1], scale };
    for c in text.chars() {
        if let Some(glyph) = face.glyph_index(c).or_else(|| face.glyph_index('?')) {
            face.outline_glyph(glyph, &mut pen);
        }
        pen.x += advance(&face, c) * scale;
    }
    pen.path.finish()
}

/// Puts the outlines of letters where they belong.
struct Pen {
    path: PathBuilder,
    x: f32,
    y: f32,
    scale: f32,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_widths() {
        assert_eq!(text_width("", 10.0, false), 0.0);
        assert!(text_width("mmm", 10.0, false) > 2.0 * text_width("iii", 10.0, false));
        assert!(text_width("abc", 10.0, true) > text_width("abc", 10.0, false));
        // A letter that the font does not have is drawn as a question mark.
        assert_eq!(text_width("\u{4e2d}", 10.0, false), text_width("?", 10.0, false));
    }
}
