//! Pictures as PNG.

use tiny_skia::{FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform};

use super::{
    letters::{letters, text_width},
    scene::{Anchor, Item, Scene, curves},
    style::{Color, PAPER},
};

/// Pixels of the largest picture, 1 GiB of memory.
const MOST_PIXELS: f32 = 268_435_456.0;

/// The bytes of a PNG file.
///
/// # Errors
/// Says why when the picture is too large for memory.
pub fn render(scene: &Scene, scale: f32) -> Result<Vec<u8>, String> {
    let [width, height] = scene.size.map(|s| (s * scale).ceil());
    let pixmap = (width * height <= MOST_PIXELS).then(|| Pixmap::new(width as u32, height as u32)).flatten();
    let Some(mut pixmap) = pixmap else {
        return Err(format!("a picture of {width} x {height} pixels is too large; SVG has no such limit"));
    };
    let [r, g, b] = rgb(PAPER);
    pixmap.fill(tiny_skia::Color::from_rgba8(r, g, b, 255));
    let transform = Transform::from_scale(scale, scale);
    for item in &scene.items {
        match item {
            Item::Rect { at, size, radius, fill, border } => {
                let Some(path) = rounded(*at, *size, *radius) else { continue };
                pixmap.fill_path(&path, &paint(*fill), FillRule::Winding, transform, None);
                if let Some(border) = border {
                    let stroke = Stroke { width: 1.0, ..Stroke::default() };
                    pixmap.stroke_path(&path, &paint(*border), &stroke, transform, None);
                }
            }
            Item::Arrow { points, color } => arrow(&mut pixmap, points, *color, transform),
            Item::Line { points, width, color, dash } => {
                line(&mut pixmap, points, (*width, *dash), *color, transform);
            }
            Item::Disc { at: [x, y], radius, color } => {
                if let Some(path) = PathBuilder::from_circle(*x, *y, *radius) {
                    pixmap.fill_path(&path, &paint(*color), FillRule::Winding, transform, None);
                }
            }
            Item::Text { at, size, bold, color, text, anchor } => {
                let before = match anchor {
                    Anchor::Start => 0.0,
                    Anchor::Middle => text_width(text, *size, *bold) / 2.0,
                    Anchor::End => text_width(text, *size, *bold),
                };
                let at = [at[0] - before, at[1]];
                if let Some(path) = letters(text, at, *size, *bold) {
                    pixmap.fill_path(&path, &paint(*color), FillRule::Winding, transform, None);
                }
            }
        }
    }
    encode(&pixmap)
}

fn line(
    pixmap: &mut Pixmap,
    points: &[[f32; 2]],
    (width, dash): (f32, Option<f32>),
    color: Color,
    transform: Transform,
) {
    let Some((&[x, y], rest)) = points.split_first() else { return };
    let mut path = PathBuilder::new();
    path.move_to(x, y);
    rest.iter().for_each(|&[x, y]| path.line_to(x, y));
    let dash = dash.and_then(|d| StrokeDash::new(vec![d, d], 0.0));
    let stroke = Stroke { width, dash, line_join: LineJoin::Round, ..Stroke::default() };
    if let Some(path) = path.finish() {
        pixmap.stroke_path(&path, &paint(color), &stroke, transform, None);
    }
}

fn arrow(pixmap: &mut Pixmap, points: &[[f32; 2]], color: Color, transform: Transform) {
    let (Some(&[x, y]), Some(&[ex, ey])) = (points.first(), points.last()) else { return };
    let mut path = PathBuilder::new();
    path.move_to(x, y);
    for [a, b, c] in curves(points) {
        path.cubic_to(a[0], a[1], b[0], b[1], c[0], c[1]);
    }
    let stroke = Stroke { width: 1.5, ..Stroke::default() };
    if let Some(path) = path.finish() {
        pixmap.stroke_path(&path, &paint(color), &stroke, transform, None);
    }
    let mut head = PathBuilder::new();
    head.move_to(ex, ey);
    head.line_to(ex - 4.0, ey - 8.0);
    head.line_to(ex + 4.0, ey - 8.0);
    head.close();
    if let Some(head) = head.finish() {
        pixmap.fill_path(&head, &paint(color), FillRule::Winding, transform, None);
    }
}

fn rounded([x, y]: [f32; 2], [w, h]: [f32; 2], r: f32) -> Option<Path> {
    // A circle's quarter as a cubic curve.
    let k = r * 0.447_715;
    let mut path = PathBuilder::new();
    if r <= 0.0 {
        path.push_rect(Rect::from_xywh(x, y, w, h)?);
        return path.finish();
    }
    let (right, bottom) = (x + w, y + h);
    path.move_to(x + r, y);
    path.line_to(right - r, y);
    path.cubic_to(right - k, y, right, y + k, right, y + r);
    path.line_to(right, bottom - r);
    path.cubic_to(right, bottom - k, right - k, bottom, right - r, bottom);
    path.line_to(x + r, bottom);
    path.cubic_to(x + k, bottom, x, bottom - k, x, bottom - r);
    path.line_to(x, y + r);
    path.cubic_to(x, y + k, x + k, y, x + r, y);
    path.close();
    path.finish()
}

fn rgb(color: Color) -> [u8; 3] {
    [(color >> 16) as u8, (color >> 8) as u8, color as u8]
}

pub fn paint(color: Color) -> Paint<'static> {
    let [r, g, b] = rgb(color);
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(r, g, b, 255);
    paint
}

/// The paper is opaque, so colours need no alpha.
pub fn encode(pixmap: &Pixmap) -> Result<Vec<u8>, String> {
    let pixels: Vec<u8> = pixmap.data().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let color = image::ExtendedColorType::Rgb8;
    image::ImageEncoder::write_image(encoder, &pixels, pixmap.width(), pixmap.height(), color)
        .map_err(|e| format!("cannot make a PNG: {e}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::draw::style::INK;

    #[test]
    fn letters_leave_ink() {
        let text = Item::Text {
            at: [2.0, 18.0],
            size: 20.0,
            bold: true,
            color: INK,
            text: "W".into(),
            anchor: Anchor::Start,
        };
        let scene = Scene { size: [24.0, 24.0], items: vec![text] };
        let bytes = render(&scene, 1.0).unwrap();
        let image = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (24, 24));
        let dark = image.pixels().filter(|p| p.0[0] < 100).count();
        assert!((30..300).contains(&dark), "{dark}");
        assert!(render(&Scene { size: [1e6, 1e6], items: vec![] }, 1.0).is_err());
    }
}
