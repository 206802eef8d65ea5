//! Curves of one class against the rest.

use super::canvas::{Anchor, Canvas, Style, fitting};
use crate::report::draw::style::{Color, EDGE, INK, PALE};

/// A curve with its name and the area below.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is of.
    pub name: String,
    /// From (0, 0) to (1, 1).
    pub points: Vec<[f64; 2]>,
    /// The area below.
    pub area: f64,
}

/// Told apart by most eyes.
const COLORS: [Color; 10] =
    [0x3a76c4, 0xd47f22, 0x459a55, 0xc74443, 0x7d55c0, 0x8c6239, 0xb84a86, 0x708195, 0xa9a416, 0x2a9590];
const SIDE: f32 = 360.0;
const CORNER: [f32; 2] = [74.0, 50.0];

/// The picture of the curves, as PNG. The legend names as many as it has colours for, the smallest areas first: there is most
/// to see.
///
/// # Errors
/// Says why when it cannot be made.
pub fn roc(lines: &[Line], title: &str) -> Result<Vec<u8>, String> {
    let mut canvas = Canvas::new(640, 470)?;
    let [left, top] = CORNER;
    let part = part(lines);
    let place = |[x, y]: [f64; 2]| [left + (x / part) as f32 * SIDE, top + ((1.0 - y) / part) as f32 * SIDE];
    let small = |color| Style { size: 11.0, bold: false, color };
    let title = if part < 1.0 { format!("{title}, the upper left corner") } else { title.to_owned() };
    canvas.text(&title, [18.0, 30.0], Anchor::Start, Style { size: 15.0, bold: true, color: INK });
    let digits = if part < 0.1 {
        3
    } else if part < 1.0 {
        2
    } else {
        1
    };
    for i in 0..=5 {
        let x = part * f64::from(i) / 5.0;
        let y = 1.0 - part + x;
        let grid = if i == 0 { EDGE } else { 0xe8ecf1 };
        canvas.line(&[place([x, 1.0 - part]), place([x, 1.0])], 1.0, grid);
        canvas.line(&[place([0.0, y]), place([part, y])], 1.0, grid);
        let ([px, bottom], [_, py]) = (place([x, 1.0 - part]), place([0.0, y]));
        canvas.text(&format!("{x:.digits$}"), [px, bottom + 16.0], Anchor::Middle, small(PALE));
        canvas.text(&format!("{y:.digits$}"), [left - 8.0, py + 4.0], Anchor::End, small(PALE));
    }
    canvas.text("false positive rate", [left + SIDE / 2.0, top + SIDE + 36.0], Anchor::Middle, small(INK));
    canvas.text_upwards("true positive rate", [20.0, top + SIDE / 2.0], Anchor::Middle, small(INK));
    if part == 1.0 {
        canvas.line(&[place([0.0, 0.0]), place([1.0, 1.0])], 1.0, EDGE);
    }
    let mut order: Vec<&Line> = lines.iter().collect();
    order.sort_by(|a, b| a.area.total_cmp(&b.area));
    for (i, line) in order.iter().enumerate().rev() {
        let color = COLORS.get(i).copied().unwrap_or(0xcfd6de);
        let points: Vec<[f32; 2]> = clipped(&line.points, part).into_iter().map(place).collect();
        canvas.line(&points, 1.6, color);
    }
    legend(&mut canvas, &order);
    canvas.png()
}

/// Side of the upper left corner that is shown: all, unless the curves only differ there.
fn part(lines: &[Line]) -> f64 {
    let least = lines.iter().map(|line| line.area).fold(1.0, f64::min);
    match least {
        _ if lines.is_empty() || least < 0.99 => 1.0,
        ..0.999 => 0.1,
        _ => 0.02,
    }
}

/// What of a rising line is in the upper left corner of this side.
fn clipped(points: &[[f64; 2]], part: f64) -> Vec<[f64; 2]> {
    let mut inside = Vec::new();
    for pair in points.windows(2) {
        let ([ax, ay], [bx, by]) = (pair[0], pair[1]);
        // From which to which share of the way it is inside.
        let from = if ay < 1.0 - part { (1.0 - part - ay) / (by - ay) } else { 0.0 };
        let to = if bx > part { (part - ax) / (bx - ax) } else { 1.0 };
        if from <= to && (0.0..=1.0).contains(&from) && (0.0..=1.0).contains(&to) {
            inside.extend([from, to].map(|t| [ax + (bx - ax) * t, ay + (by - ay) * t]));
        }
    }
    inside
}

fn legend(canvas: &mut Canvas, order: &[&Line]) {
    let x = CORNER[0] + SIDE + 24.0;
    let mut y = CORNER[1] + 10.0;
    canvas.text("area below", [x, y], Anchor::Start, Style { size: 11.0, bold: true, color: INK });
    for (line, color) in order.iter().zip(COLORS) {
        y += 20.0;
        canvas.line(&[[x, y - 4.0], [x + 16.0, y - 4.0]], 3.0, color);
        let small = Style { size: 11.0, bold: false, color: INK };
        canvas.text(&format!("{:.5}", line.area), [x + 23.0, y], Anchor::Start, small);
        canvas.text(&fitting(&line.name, 11.0, 90.0), [x + 76.0, y], Anchor::Start, small);
    }
    if order.len() > COLORS.len() {
        let more = format!("and {} more, in grey", order.len() - COLORS.len());
        canvas.text(&more, [x, y + 22.0], Anchor::Start, Style { size: 11.0, bold: false, color: PALE });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_where_they_belong() {
        let line = Line { name: "a".into(), points: vec![[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]], area: 0.9 };
        let image = image::load_from_memory(&roc(&[line], "t").unwrap()).unwrap().to_rgb8();
        let at = |x: f32, y: f32| image.get_pixel((2.0 * x) as u32, (2.0 * y) as u32).0;
        let blue = [0x3a, 0x76, 0xc4];
        assert_eq!(at(CORNER[0], CORNER[1] + SIDE / 2.0), blue);
        assert_eq!(at(CORNER[0] + SIDE / 2.0, CORNER[1]), blue);
        assert_ne!(at(CORNER[0] + SIDE / 2.0, CORNER[1] + SIDE / 2.0), blue);
        let parts =
            [0.9, 0.99, 0.9995].map(|area| part(&[Line { name: String::new(), points: vec![], area }]));
        assert_eq!(parts, [1.0, 0.1, 0.02]);
        let many: Vec<Line> =
            (0..30).map(|i| Line { name: i.to_string(), points: vec![], area: 0.5 }).collect();
        assert!(roc(&many, "t").is_ok() && roc(&[], "").is_ok());
    }
    #[test]
    fn lines_are_cut_at_the_corner() {
        let points = [[0.0, 0.0], [0.0, 0.5], [0.5, 1.0], [1.0, 1.0]];
        assert_eq!(clipped(&points, 1.0).first(), Some(&[0.0, 0.0]));
        assert_eq!(clipped(&points, 0.25), [[0.25, 0.75], [0.25, 0.75]]);
        assert_eq!(
            clipped(&[[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 0.25),
            [[0.0, 0.75], [0.0, 1.0], [0.0, 1.0], [0.25, 1.0]]
        );
        assert_eq!(clipped(&[[0.0, 0.0], [1.0, 1.0]], 0.25), [[0.0; 2]; 0]);
    }
}
