//! Charts for a terminal, of dots in Braille's letters.

use std::fmt::Write as _;

use super::{
    Chart, Curve, Kind,
    axis::{Axis, range},
};

/// Lines of a panel.
const LINES: usize = 12;
/// Letters for the numbers beside a panel.
const NUMBERS: usize = 9;

/// A chart so many letters wide; in colours if `colored`.
pub fn text(chart: &Chart, width: usize, colored: bool) -> String {
    let columns = width.saturating_sub(NUMBERS + 1).clamp(20, 300);
    let mut out = String::new();
    let paint = |number: usize, text: &str| match colored {
        true => format!("\u{1b}[{}m{text}\u{1b}[0m", [34, 31, 32, 35, 33, 36, 37][number % 7]),
        false => text.to_owned(),
    };
    if !chart.title.is_empty() {
        let _ = writeln!(out, "{}", chart.title);
    }
    let all = || chart.panels.iter().flat_map(|panel| &panel.curves).filter(|c| c.kind != Kind::Raw);
    let (low, high) = range(all().flat_map(|c| &c.points).map(|p| p[0]));
    let along = Axis::new(low, high, 5, false);
    for panel in &chart.panels {
        let curves: Vec<&Curve> = panel.curves.iter().filter(|c| c.kind != Kind::Raw).collect();
        let (low, high) = range(curves.iter().flat_map(|c| &c.points).map(|p| p[1]));
        let scale = if chart.log { Axis::log(low, high) } else { Axis::new(low, high, 4, true) };
        let names = curves.iter().enumerate().map(|(i, curve)| {
            let last = curve.points.last().map_or(f64::NAN, |p| p[1]);
            paint(i, &format!("{} {}", name(chart, curve), crate::report::general(last)))
        });
        let _ = writeln!(out, "\n{}: {}", panel.name, names.collect::<Vec<_>>().join("  "));
        let grid = grid(&curves, &along, &scale, columns);
        for (line, cells) in grid.chunks(columns).enumerate() {
            // The label of the tick that lies on this line, if there is one.
            let on = |v: f64| ((1.0 - scale.place(v)) * (LINES - 1) as f32).round() as usize == line;
            let label = scale.ticks.iter().find(|(v, _)| on(*v)).map_or("", |(_, label)| label);
            let cells: String = cells
                .iter()
                .map(|cell| match cell.dots {
                    0 => " ".to_owned(),
                    dots => paint(
                        cell.curve,
                        &char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' ').to_string(),
                    ),
                })
                .collect();
            let _ = writeln!(out, "{label:>NUMBERS$} {}", cells.trim_end());
        }
    }
    let _ = writeln!(out, "{:NUMBERS$} {}", "", lower_edge(&along, columns));
    let _ = writeln!(out, "{:NUMBERS$} {:^columns$}", "", chart.along);
    out.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// A curve's run, or what it is of its only run.
fn name<'a>(chart: &'a Chart, curve: &'a Curve) -> &'a str {
    let run = chart.runs.iter().find(|(_, color)| *color == curve.color);
    run.map_or(&curve.label, |(name, _)| name)
}

/// Two by four dots, and whose they are.
#[derive(Clone, Copy, Default)]
struct Cell {
    dots: u8,
    curve: usize,
}

fn grid(curves: &[&Curve], along: &Axis, scale: &Axis, columns: usize) -> Vec<Cell> {
    /// The bits of Braille's dots, by line and column.
    const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
    let mut grid = vec![Cell::default(); columns * LINES];
    let (width, height) = (2 * columns - 1, 4 * LINES - 1);
    for (number, curve) in curves.iter().enumerate() {
        let mut set = |x: usize, y: usize| {
            let cell = &mut grid[y / 4 * columns + x / 2];
            cell.dots |= DOTS[y % 4][x % 2];
            cell.curve = number;
        };
        let place = |p: &[f64; 2]| {
            let (x, y) = (along.place(p[0]), 1.0 - scale.place(p[1]));
            [(x * width as f32).round() as usize, (y * height as f32).round() as usize]
        };
        for part in curve.points.split(|p| !p[1].is_finite()).filter(|part| !part.is_empty()) {
            let [mut x, mut y] = place(&part[0]);
            set(x, y);
            for [to_x, to_y] in part[1..].iter().map(place) {
                let steps = to_x.abs_diff(x).max(to_y.abs_diff(y)).max(1);
                for step in 1..=steps {
                    let between = |a: usize, b: usize| {
                        (a as f64 + (b as f64 - a as f64) * step as f64 / steps as f64).round() as usize
                    };
                    set(between(x, to_x), between(y, to_y));
                }
                (x, y) = (to_x, to_y);
            }
        }
    }
    grid
}

/// The numbers along the lower edge, each under its place.
fn lower_edge(along: &Axis, columns: usize) -> String {
    let mut line = vec![' '; columns];
    let mut free = 0;
    for (value, label) in &along.ticks {
        let middle = (along.place(*value) * (columns - 1) as f32).round() as usize;
        let start = middle.saturating_sub(label.len() / 2).min(columns.saturating_sub(label.len()));
        if start >= free && start + label.len() <= columns {
            label.chars().enumerate().for_each(|(i, c)| line[start + i] = c);
            free = start + label.len() + 1;
        }
    }
    line.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::Panel;

    #[test]
    fn a_line_goes_from_corner_to_corner() {
        let curve = Curve {
            label: "train".into(),
            color: 0,
            kind: Kind::Train,
            points: vec![[0.0, 0.0], [10.0, 4.0]],
        };
        let panel = Panel { name: "loss".into(), curves: vec![curve] };
        let chart = Chart {
            title: "a".into(),
            along: "iteration".into(),
            runs: vec![],
            panels: vec![panel],
            log: false,
        };
        let text = text(&chart, 40, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["a", "", "loss: train 4"]);
        assert!(lines[3].starts_with("        4 ") && lines[14].starts_with("        0 "), "{text}");
        assert_eq!(lines[3].chars().count(), 40);
        // The highest dot on the right, the lowest on the left.
        let dots = |letter: Option<char>| u32::from(letter.unwrap()) - 0x2800;
        assert!(
            dots(lines[3].chars().last()) & 0x08 > 0 && dots(lines[14].chars().nth(10)) & 0x40 > 0,
            "{text}"
        );
        assert_eq!(lines[15].trim(), "0     2     4    6     8    10");
        assert_eq!(lines.len(), 17);
    }
}
