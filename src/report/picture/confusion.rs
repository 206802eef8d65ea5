//! A confusion matrix in colours.

use super::{
    Colors,
    canvas::{Anchor, Canvas, Style, fitting},
};
use crate::{
    measures::Confusion,
    report::draw::{
        letters::text_width,
        style::{Color, INK, PALE},
    },
};

const MARGIN: f32 = 18.0;
/// Where the letters of class names end.
const LONGEST_NAME: f32 = 120.0;
/// More classes than this have no numbers and no names: nobody could read them.
const READABLE: usize = 40;

/// The picture of a confusion matrix, as PNG: a row for each true class, whose colours show how its samples were taken.
///
/// # Errors
/// Says why when it is too large for memory.
pub fn confusion(matrix: &Confusion, names: &[String], title: &str) -> Result<Vec<u8>, String> {
    let classes = matrix.classes();
    let readable = classes <= READABLE;
    let cell = match classes {
        ..=12 => 40.0,
        13..=READABLE => 28.0,
        _ => (900.0 / classes as f32).floor().max(1.0),
    };
    let widest =
        if readable { names.iter().map(|n| text_width(n, 11.0, false)).fold(14.0, f32::max) } else { 0.0 };
    let widest = widest.min(LONGEST_NAME);
    // Names on top stand upright if they are wider than a cell.
    let upright = widest > cell - 4.0;
    let above = if upright { widest } else { 11.0 };
    let side = cell * classes as f32;
    let corner = [MARGIN + 22.0 + widest + 8.0, MARGIN + 42.0 + above + 10.0];
    let width = (corner[0] + side + 78.0).max(2.0 * MARGIN + text_width(title, 15.0, true));
    let mut canvas = Canvas::new(width as usize, (corner[1] + side + MARGIN) as usize)?;
    let small = |color| Style { size: 11.0, bold: false, color };
    canvas.text(title, [MARGIN, MARGIN + 12.0], Anchor::Start, Style { size: 15.0, bold: true, color: INK });
    let centre = |axis: usize| corner[axis] + side / 2.0;
    canvas.text("taken for", [centre(0), MARGIN + 34.0], Anchor::Middle, small(PALE));
    canvas.text_upwards("true class", [MARGIN + 10.0, centre(1)], Anchor::Middle, small(PALE));
    for (label, row) in matrix.rows().enumerate() {
        let support: u64 = row.iter().sum();
        let y = corner[1] + label as f32 * cell;
        for (seen, &count) in row.iter().enumerate() {
            let share = if support == 0 { 0.0 } else { count as f32 / support as f32 };
            let x = corner[0] + seen as f32 * cell;
            // The root lets rare mistakes be seen.
            let [r, g, b] = Colors::Ink.at(share.sqrt());
            let color = Color::from(r) << 16 | Color::from(g) << 8 | Color::from(b);
            let line = if readable { 1.0 } else { 0.0 };
            canvas.fill(
                [x, y],
                [cell - line, cell - line],
                if count == 0 && readable { 0xf3f5f8 } else { color },
            );
            if readable && count > 0 {
                let size = if count > 9999 || cell < 30.0 { 8.5 } else { 11.0 };
                let color = if share.sqrt() > 0.55 { 0xffffff } else { INK };
                let style = Style { size, bold: label == seen, color };
                let at = [x + cell / 2.0 - 0.5, y + cell / 2.0 + size * 0.36];
                canvas.text(&count.to_string(), at, Anchor::Middle, style);
            }
        }
        if readable {
            let name = fitting(names.get(label).map_or("", |n| n), 11.0, LONGEST_NAME);
            canvas.text(&name, [corner[0] - 8.0, y + cell / 2.0 + 4.0], Anchor::End, small(INK));
            let middle = corner[0] + (label as f32 + 0.5) * cell;
            match upright {
                true => {
                    canvas.text_upwards(&name, [middle + 4.0, corner[1] - 8.0], Anchor::Start, small(INK))
                }
                false => canvas.text(&name, [middle, corner[1] - 8.0], Anchor::Middle, small(INK)),
            }
        }
    }
    scale(&mut canvas, [corner[0] + side + 18.0, corner[1]], side.clamp(80.0, 260.0));
    canvas.png()
}

/// What the colours mean.
fn scale(canvas: &mut Canvas, at: [f32; 2], height: f32) {
    let steps = 64;
    for i in 0..steps {
        let part = 1.0 - (i as f32 + 0.5) / steps as f32;
        let [r, g, b] = Colors::Ink.at(part.sqrt());
        let color = Color::from(r) << 16 | Color::from(g) << 8 | Color::from(b);
        canvas.fill(
            [at[0], at[1] + height * i as f32 / steps as f32],
            [10.0, height / steps as f32 + 0.5],
            color,
        );
    }
    for percent in [0, 10, 25, 50, 100] {
        let y = at[1] + height * (1.0 - percent as f32 / 100.0);
        canvas.line(&[[at[0] + 10.0, y], [at[0] + 14.0, y]], 1.0, PALE);
        let style = Style { size: 10.0, bold: false, color: PALE };
        canvas.text(&format!("{percent}%"), [at[0] + 17.0, y + 3.5], Anchor::Start, style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(classes: usize) -> image::RgbImage {
        let labels: Vec<usize> = (0..classes).collect();
        let names: Vec<String> = labels.iter().map(usize::to_string).collect();
        let matrix = Confusion::of(classes, &labels, &labels);
        image::load_from_memory(&confusion(&matrix, &names, "t").unwrap()).unwrap().to_rgb8()
    }

    #[test]
    fn the_diagonal_is_dark() {
        let image = picture(3);
        let dark = image.enumerate_pixels().filter(|(.., p)| p.0 == Colors::Ink.at(1.0));
        let places: Vec<_> = dark.map(|(x, y, _)| (x, y)).collect();
        // Three cells of 39 x 39 units, less the digit in each.
        assert!((3 * 70 * 70..=3 * 78 * 78 + 400).contains(&places.len()), "{}", places.len());
        assert!(picture(50).width() < 2400 && picture(30).width() > image.width());
    }

    #[test]
    fn nothing_is_no_panic() {
        assert!(confusion(&Confusion::of(0, &[], &[]), &[], "").is_ok());
        assert!(confusion(&Confusion::of(2, &[], &[]), &[], "").is_ok());
    }
}
