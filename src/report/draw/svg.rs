//! Pictures as SVG.

use std::fmt::Write as _;

use super::{
    scene::{Anchor, Item, Scene, curves},
    style::{Color, PAPER},
};

/// The text of an SVG file.
pub fn render(scene: &Scene) -> String {
    let [w, h] = scene.size;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w:.0}\" height=\"{h:.0}\" viewBox=\"0 0 {w:.0} {h:.0}\" \
         font-family=\"DejaVu Sans, Verdana, Geneva, sans-serif\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"{}\"/>\n",
        hex(PAPER)
    );
    for item in &scene.items {
        match item {
            Item::Rect { at: [x, y], size: [w, h], radius, fill, border } => {
                let stroke = border.map_or(String::new(), |c| format!(" stroke=\"{}\"", hex(c)));
                let _ = writeln!(
                    out,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"{radius}\" fill=\"{}\"{stroke}/>",
                    hex(*fill)
                );
            }
            Item::Arrow { points, color } => {
                let color = hex(*color);
                let _ = writeln!(
                    out,
                    "<path d=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>\n<path d=\"{}\" fill=\"{color}\"/>",
                    curve(points),
                    head(points)
                );
            }
            Item::Line { points, width, color, dash } => {
                let points: Vec<String> = points.iter().map(|[x, y]| format!("{x:.2},{y:.2}")).collect();
                let dash = dash.map_or(String::new(), |d| format!(" stroke-dasharray=\"{d}\""));
                let _ = writeln!(
                    out,
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" \
                     stroke-linejoin=\"round\"{dash}/>",
                    points.join(" "),
                    hex(*color)
                );
            }
            Item::Disc { at: [x, y], radius, color } => {
                let _ = writeln!(
                    out,
                    "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius}\" fill=\"{}\"/>",
                    hex(*color)
                );
            }
            Item::Text { at: [x, y], size, bold, color, text, anchor } => {
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                let weight = if *bold { " font-weight=\"bold\"" } else { "" };
                let _ = writeln!(
                    out,
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\"{anchor}{weight} fill=\"{}\">{}</text>",
                    hex(*color),
                    escaped(text)
                );
            }
        }
    }
    out.push_str("</svg>\n");
    out
}

fn curve(points: &[[f32; 2]]) -> String {
    let Some([x, y]) = points.first() else { return String::new() };
    let mut path = format!("M{x:.1} {y:.1}");
    for [a, b, c] in curves(points) {
        let _ = write!(path, " C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}", a[0], a[1], b[0], b[1], c[0], c[1]);
    }
    path
}

fn head(points: &[[f32; 2]]) -> String {
    let Some([x, y]) = points.last() else { return String::new() };
    format!("M{x:.1} {y:.1} l-4 -8 h8 z")
}

fn hex(color: Color) -> String {
    format!("#{color:06x}")
}

/// A text that may hold anything.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
