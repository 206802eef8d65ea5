//! Charts as scenes: panels one below the other over one lower edge.

use super::{
    Chart, Curve, Kind, Panel,
    axis::{Axis, range},
};
use crate::report::{
    draw::{Anchor, Color, INK, Item, PALE, Scene, text_width},
    general,
};

const WIDTH: f32 = 880.0;
const MARGIN: f32 = 26.0;
/// Room for the numbers beside a panel.
const NUMBERS: f32 = 44.0;
const TITLE: f32 = 16.0;
const NAME: f32 = 13.0;
const SMALL: f32 = 11.0;
/// From a panel's head to its upper edge, and from its lower edge to the next head.
const HEAD: f32 = 24.0;
const BETWEEN: f32 = 30.0;
const GRID: Color = 0xe8ecf0;
const EDGE: Color = 0xaeb8c2;
/// Dots are drawn on curves with at most so many points.
const DOTS: usize = 60;

/// A rectangle in which curves are drawn.
struct Frame {
    left: f32,
    top: f32,
    width: f32,
    height: f32,
}

/// The picture of a chart.
pub fn scene(chart: &Chart) -> Scene {
    let mut items = Vec::new();
    let mut y = MARGIN;
    if !chart.title.is_empty() {
        y += TITLE;
        items.push(text([MARGIN, y], TITLE, true, INK, chart.title.clone(), Anchor::Start));
        y += 12.0;
    }
    y = legend(chart, y, &mut items);
    let height = match chart.panels.len() {
        1 => 340.0,
        2 => 220.0,
        _ => 170.0,
    };
    let labels = chart.panels.iter().flat_map(|panel| ends(chart, panel));
    let right = labels.map(|(_, label, _)| text_width(&label, SMALL, true)).fold(0f32, f32::max);
    let left = MARGIN + NUMBERS;
    let width = WIDTH - left - right.min(200.0) - 12.0 - MARGIN;
    let along = along(chart);
    let last = chart.panels.len() - 1;
    for (i, panel) in chart.panels.iter().enumerate() {
        y += NAME;
        items.push(text([MARGIN, y], NAME, true, INK, panel.name.clone(), Anchor::Start));
        y += HEAD - NAME;
        let frame = Frame { left, top: y, width, height };
        draw(chart, panel, &along, &frame, &mut items);
        y += height;
        lower_edge(&along, &frame, i == last, &mut items);
        y += if i == last { 16.0 } else { BETWEEN };
    }
    y += 18.0;
    items.push(text([left + width / 2.0, y], SMALL, false, PALE, chart.along.clone(), Anchor::Middle));
    Scene { size: [WIDTH, y + MARGIN * 0.7], items }
}

fn text(at: [f32; 2], size: f32, bold: bool, color: Color, text: String, anchor: Anchor) -> Item {
    Item::Text { at, size, bold, color, text, anchor }
}

/// The names of runs with their colours, and which line is which; gives where it ends.
fn legend(chart: &Chart, top: f32, items: &mut Vec<Item>) -> f32 {
    if chart.runs.is_empty() {
        return top;
    }
    let (mut x, mut y) = (MARGIN, top + 10.0);
    let mut entry = |name: &str, items: &mut Vec<Item>, sample: &dyn Fn([f32; 2]) -> Vec<Item>| {
        let width = 26.0 + text_width(name, SMALL, false) + 20.0;
        if x + width > WIDTH - MARGIN && x > MARGIN {
            (x, y) = (MARGIN, y + 18.0);
        }
        items.extend(sample([x, y - 4.0]));
        items.push(text([x + 26.0, y], SMALL, false, INK, name.to_owned(), Anchor::Start));
        x += width;
    };
    let line = |[x, y]: [f32; 2], width, color| Item::Line {
        points: vec![[x, y], [x + 20.0, y]],
        width,
        color,
        dash: None,
    };
    for (name, color) in &chart.runs {
        entry(name, items, &|at| vec![line(at, 3.0, *color)]);
    }
    let has = |kind| chart.panels.iter().flat_map(|p| &p.curves).any(|c| c.kind == kind);
    if has(Kind::Train) && has(Kind::Test) {
        entry("training", items, &|at| vec![line(at, 1.2, EDGE)]);
        let dot = |[x, y]: [f32; 2]| Item::Disc { at: [x + 10.0, y], radius: 2.6, color: PALE };
        entry("tests", items, &|at| vec![line(at, 2.0, PALE), dot(at)]);
    }
    y + 22.0
}

/// The scale along the lower edge.
fn along(chart: &Chart) -> Axis {
    let points = chart.panels.iter().flat_map(|p| &p.curves).flat_map(|c| &c.points);
    let (low, high) = range(points.map(|p| p[0]));
    Axis::new(low, high, 7, false)
}

/// The scale of a panel: of all its curves, but of single points only what most of them need.
fn scale(chart: &Chart, panel: &Panel) -> Axis {
    let mut values: Vec<f64> = Vec::new();
    for curve in &panel.curves {
        let mut own: Vec<f64> = curve.points.iter().map(|p| p[1]).filter(|v| v.is_finite()).collect();
        if curve.kind == Kind::Raw {
            own.sort_by(f64::total_cmp);
            let cut = own.len() / 100;
            own.truncate(own.len() - cut);
            own.drain(..cut);
        }
        values.extend(own);
    }
    let (low, high) = range(values.into_iter());
    if chart.log {
        return Axis::log(low, high);
    }
    // What is not far from 0 is shown from there.
    let low = if low > 0.0 && low < 0.4 * high { 0.0 } else { low };
    Axis::new(low, high, 5, true)
}

fn draw(chart: &Chart, panel: &Panel, along: &Axis, frame: &Frame, items: &mut Vec<Item>) {
    let scale = scale(chart, panel);
    let height = |v: f64| frame.top + frame.height * (1.0 - scale.place(v));
    for (value, label) in &scale.ticks {
        let y = height(*value);
        let points = vec![[frame.left, y], [frame.left + frame.width, y]];
        items.push(Item::Line { points, width: 1.0, color: GRID, dash: None });
        items.push(text([frame.left - 8.0, y + 4.0], SMALL, false, PALE, label.clone(), Anchor::End));
    }
    let place = |p: &[f64; 2]| [frame.left + frame.width * along.place(p[0]), height(p[1])];
    let behind = |curve: &&Curve| curve.kind == Kind::Raw;
    let order = panel.curves.iter().filter(behind).chain(panel.curves.iter().filter(|c| !behind(c)));
    for curve in order {
        let width = match curve.kind {
            Kind::Raw => 1.0,
            Kind::Train => 1.6,
            Kind::Test => 2.0,
        };
        for part in curve.points.split(|p| !p[1].is_finite()).filter(|part| !part.is_empty()) {
            let points = thinned(part.iter().map(place).collect());
            let dots = curve.kind == Kind::Test && curve.points.len() <= DOTS || points.len() == 1;
            if dots {
                let disc = |&at: &[f32; 2]| Item::Disc { at, radius: 2.6, color: curve.color };
                items.extend(points.iter().map(disc));
            }
            items.push(Item::Line { points, width, color: curve.color, dash: None });
        }
    }
    let mut labels: Vec<(f32, String, Color)> =
        ends(chart, panel).into_iter().map(|(value, label, color)| (height(value), label, color)).collect();
    spread(&mut labels, frame);
    for (y, label, color) in labels {
        items.push(text([frame.left + frame.width + 8.0, y + 4.0], SMALL, true, color, label, Anchor::Start));
    }
}

/// What stands at the right end of a panel's curves: the last value, and what curve it is.
fn ends(chart: &Chart, panel: &Panel) -> Vec<(f64, String, Color)> {
    let last = |curve: &Curve| curve.points.iter().rev().map(|p| p[1]).find(|v| v.is_finite());
    let tested = panel.curves.iter().any(|c| c.kind == Kind::Test);
    let shown = panel.curves.iter().filter(|c| match c.kind {
        Kind::Raw => false,
        // Among several runs only the tests are told, if there are any.
        Kind::Train => chart.runs.is_empty() || !tested,
        Kind::Test => true,
    });
    shown
        .filter_map(|curve| {
            let value = last(curve)?;
            let label = if chart.runs.is_empty() { format!("{} ", curve.label) } else { String::new() };
            Some((value, label + &four_digits(value), curve.color))
        })
        .collect()
}

fn four_digits(v: f64) -> String {
    let digits = if v == 0.0 { 0 } else { (3 - v.abs().log10().floor() as i32).clamp(0, 8) };
    if v.abs() >= 1e6 || v != 0.0 && v.abs() < 1e-4 { general(v) } else { format!("{v:.*}", digits as usize) }
}

/// Moves labels apart, as little as that takes.
fn spread(labels: &mut [(f32, String, Color)], frame: &Frame) {
    const LINE: f32 = 14.0;
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut least = frame.top - 4.0;
    for label in labels.iter_mut() {
        label.0 = label.0.max(least);
        least = label.0 + LINE;
    }
    let mut largest = frame.top + frame.height + 4.0;
    for label in labels.iter_mut().rev() {
        label.0 = label.0.min(largest);
        largest = label.0 - LINE;
    }
}

/// Points of which no more remain than can be told apart: of those in one column, the first, the last, the highest and the
/// lowest.
fn thinned(points: Vec<[f32; 2]>) -> Vec<[f32; 2]> {
    if points.len() < 2 * WIDTH as usize {
        return points;
    }
    let mut kept = Vec::new();
    for column in points.chunk_by(|a, b| a[0].floor() == b[0].floor()) {
        let by = |i: &usize, j: &usize| column[*i][1].total_cmp(&column[*j][1]);
        let (low, high) = ((0..column.len()).min_by(by), (0..column.len()).max_by(by));
        let mut few = [Some(0), low, high, Some(column.len() - 1)];
        few.sort();
        let mut few: Vec<usize> = few.into_iter().flatten().collect();
        few.dedup();
        kept.extend(few.into_iter().map(|i| column[i]));
    }
    kept
}

fn lower_edge(along: &Axis, frame: &Frame, numbers: bool, items: &mut Vec<Item>) {
    let bottom = frame.top + frame.height;
    let points = vec![[frame.left, bottom], [frame.left + frame.width, bottom]];
    items.push(Item::Line { points, width: 1.0, color: EDGE, dash: None });
    for (value, label) in &along.ticks {
        let x = frame.left + frame.width * along.place(*value);
        let points = vec![[x, bottom], [x, bottom + 4.0]];
        items.push(Item::Line { points, width: 1.0, color: EDGE, dash: None });
        if numbers {
            items.push(text([x, bottom + 17.0], SMALL, false, PALE, label.clone(), Anchor::Middle));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_overlap() {
        let frame = Frame { left: 0.0, top: 0.0, width: 100.0, height: 60.0 };
        let label = |y: f32| (y, String::new(), 0);
        let mut labels = [label(59.0), label(60.0), label(30.0), label(58.0)];
        spread(&mut labels, &frame);
        let places = labels.map(|l| l.0);
        assert!(places.windows(2).all(|p| p[1] - p[0] >= 14.0), "{places:?}");
        assert!(places[0] >= 0.0 && places[3] <= 64.0, "{places:?}");
    }

    #[test]
    fn many_points_keep_their_extremes() {
        let points: Vec<[f32; 2]> =
            (0..100_000).map(|i| [i as f32 / 200.0, (i * 7919 % 1000) as f32]).collect();
        let kept = thinned(points.clone());
        assert!(kept.len() <= 4 * 501 && kept.is_sorted_by(|a, b| a[0] <= b[0]), "{}", kept.len());
        assert_eq!((kept[0], *kept.last().unwrap()), (points[0], points[99_999]));
        assert!(kept.iter().any(|p| p[1] == 999.0) && kept.iter().any(|p| p[1] == 0.0));
    }

    #[test]
    fn ends_are_short_numbers() {
        let cases =
            [(0.0, "0"), (0.98611, "0.9861"), (12.3456, "12.35"), (12345.6, "12346"), (1e-7, "1e-07")];
        for (v, want) in cases {
            assert_eq!(four_digits(v), want);
        }
    }
}
