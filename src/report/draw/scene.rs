//! Rectangles, curves and texts: a picture before it has a format.

use super::{
    graph::{Graph, Node},
    layout::{Input, layout},
    letters::text_width,
    style::{self, Color, FAMILIES},
};

/// What is drawn, in order.
#[derive(Clone, Debug)]
pub enum Item {
    Rect {
        at: [f32; 2],
        size: [f32; 2],
        radius: f32,
        fill: Color,
        border: Option<Color>,
    },
    /// Through points, by cubic curves that leave and arrive vertically; with a head at the end.
    Arrow {
        points: Vec<[f32; 2]>,
        color: Color,
    },
    /// Straight from point to point; with dashes and gaps of a length, if it has one.
    Line {
        points: Vec<[f32; 2]>,
        width: f32,
        color: Color,
        dash: Option<f32>,
    },
    Disc {
        at: [f32; 2],
        radius: f32,
        color: Color,
    },
    Text {
        at: [f32; 2],
        size: f32,
        bold: bool,
        color: Color,
        text: String,
        anchor: Anchor,
    },
}

/// Which part of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Scene {
    pub size: [f32; 2],
    pub items: Vec<Item>,
}

/// The cubic curves through points: two control points and an end for each, leaving and arriving vertically.
pub fn curves(points: &[[f32; 2]]) -> Vec<[[f32; 2]; 3]> {
    points
        .windows(2)
        .map(|pair| {
            let [[ax, ay], [bx, by]] = [pair[0], pair[1]];
            let bend = (by - ay) * 0.5;
            [[ax, ay + bend], [bx, by - bend], [bx, by]]
        })
        .collect()
}

const MARGIN: f32 = 28.0;
const TITLE: f32 = 58.0;
const LINE: f32 = 17.0;
const NAME: f32 = 13.0;
const SMALL: f32 = 11.0;
const PAD: f32 = 12.0;
const STRIP: f32 = 18.0;
const CHIP: f32 = 20.0;

/// The picture of a graph.
pub fn of(name: &str, graph: &Graph) -> Scene {
    let sizes: Vec<[f32; 2]> = graph.nodes.iter().map(size).collect();
    let placed = layout(&Input { sizes: &sizes, edges: &graph.edges, gap: [26.0, 34.0] });
    let mut items = Vec::new();
    let legend = legend(graph);
    let width = placed.size[0].max(legend.1).max(text_width(name, 20.0, true) + 20.0);
    let shift = [MARGIN + (width - placed.size[0]) / 2.0, MARGIN + TITLE + legend.2];
    let moved = |p: [f32; 2]| [p[0] + shift[0], p[1] + shift[1]];
    arrows(graph, &sizes, &placed.centres, &placed.ways, &moved, &mut items);
    for (node, (centre, size)) in graph.nodes.iter().zip(placed.centres.iter().zip(&sizes)) {
        let centre = moved(*centre);
        draw(node, [centre[0] - size[0] / 2.0, centre[1] - size[1] / 2.0], *size, &mut items);
    }
    let plain = |at, size, bold, color, text: String| Item::Text {
        at,
        size,
        bold,
        color,
        text,
        anchor: Anchor::Start,
    };
    items.push(plain([MARGIN, MARGIN + 18.0], 20.0, true, style::INK, name.to_owned()));
    let facts = format!("{} layers, {} parameters", graph.layers, count(graph.parameters));
    items.push(plain([MARGIN, MARGIN + 38.0], SMALL, false, style::PALE, facts));
    items.extend(legend.0);
    Scene { size: [width + 2.0 * MARGIN, placed.size[1] + 2.0 * MARGIN + TITLE + legend.2], items }
}

/// `6,998,552` as `7.00 M`.
fn count(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.1} thousand", n as f64 / 1e3),
        _ => format!("{:.2} million", n as f64 / 1e6),
    }
}

/// The lines below a box's name.
fn lines(node: &Node) -> Vec<String> {
    let kind =
        if node.detail.is_empty() { node.kind.clone() } else { format!("{} {}", node.kind, node.detail) };
    let output = (!node.output.is_empty()).then(|| format!("\u{2192} {}", node.output));
    std::iter::once(kind).chain(output).collect()
}

fn size(node: &Node) -> [f32; 2] {
    let lines = lines(node);
    let texts = lines.iter().map(|l| text_width(l, SMALL, false));
    let widest = texts.fold(text_width(&node.name, NAME, true), f32::max);
    let chips: f32 = node.chips.iter().map(|c| text_width(c, SMALL, false) + 22.0).sum();
    let height = PAD + LINE * (1 + lines.len()) as f32 + PAD * 0.6 + STRIP * node.strips.len() as f32;
    let above = if node.chips.is_empty() { 0.0 } else { CHIP };
    [(widest + 2.0 * PAD).max(chips).max(104.0), height + above]
}

/// A box with its name, its lines, its strips below and its chips above.
fn draw(node: &Node, at: [f32; 2], size: [f32; 2], items: &mut Vec<Item>) {
    let (fill, border) = style::colors(node.family);
    let [x, mut y] = at;
    let mut height = size[1];
    let text = |at, size, bold, color, text: String| Item::Text {
        at,
        size,
        bold,
        color,
        text,
        anchor: Anchor::Middle,
    };
    let middle = x + size[0] / 2.0;
    if !node.chips.is_empty() {
        // Tabs that stand out above the box.
        let (chip, edge) = style::colors(style::Family::Data);
        let mut left = x + 8.0;
        for label in &node.chips {
            let width = text_width(label, SMALL, false) + 14.0;
            let rect = [width, CHIP + 8.0];
            items.push(Item::Rect { at: [left, y], size: rect, radius: 5.0, fill: chip, border: Some(edge) });
            items.push(text([left + width / 2.0, y + 14.0], SMALL, false, style::INK, label.clone()));
            left += width + 6.0;
        }
        y += CHIP;
        height -= CHIP;
    }
    items.push(Item::Rect { at: [x, y], size: [size[0], height], radius: 7.0, fill, border: Some(border) });
    let mut base = y + PAD + 10.0;
    items.push(text([middle, base], NAME, true, style::INK, node.name.clone()));
    for line in lines(node) {
        base += LINE;
        items.push(text([middle, base], SMALL, false, style::PALE, line));
    }
    let mut top = y + height - STRIP * node.strips.len() as f32 - 1.0;
    for (kind, family) in &node.strips {
        let (fill, border) = style::colors(*family);
        let rect = [size[0] - 8.0, STRIP - 4.0];
        items.push(Item::Rect { at: [x + 4.0, top], size: rect, radius: 4.0, fill, border: Some(border) });
        items.push(text([middle, top + 11.0], 10.0, false, style::INK, kind.clone()));
        top += STRIP;
    }
}

/// The arrows, each to a place of its own on its box's upper side.
fn arrows(
    graph: &Graph,
    sizes: &[[f32; 2]],
    centres: &[[f32; 2]],
    ways: &[Vec<[f32; 2]>],
    moved: &dyn Fn([f32; 2]) -> [f32; 2],
    items: &mut Vec<Item>,
) {
    for (e, &(from, to)) in graph.edges.iter().enumerate() {
        // Arrows to one box arrive in the order in which they come from.
        let before = |e: usize| ways[e].last().map_or(centres[graph.edges[e].0][0], |p| p[0]);
        let mut rivals: Vec<usize> = (0..graph.edges.len()).filter(|&i| graph.edges[i].1 == to).collect();
        rivals.sort_by(|&a, &b| before(a).total_cmp(&before(b)));
        let place = rivals.iter().position(|&i| i == e).unwrap_or(0) as f32;
        let spread = (sizes[to][0] * 0.6 / rivals.len().max(1) as f32).min(26.0);
        let x = centres[to][0] + (place - (rivals.len() as f32 - 1.0) / 2.0) * spread;
        let start = [centres[from][0], centres[from][1] + sizes[from][1] / 2.0];
        let chips = if graph.nodes[to].chips.is_empty() { 0.0 } else { CHIP };
        let end = [x, centres[to][1] - sizes[to][1] / 2.0 + chips];
        let points = std::iter::once(start).chain(ways[e].iter().copied()).chain([end]).map(moved).collect();
        items.push(Item::Arrow { points, color: style::EDGE });
    }
}

/// What the colours mean, for those that are used: items, width and height.
fn legend(graph: &Graph) -> (Vec<Item>, f32, f32) {
    let mut items = Vec::new();
    let used =
        |family| graph.nodes.iter().any(|n| n.family == family || n.strips.iter().any(|s| s.1 == family));
    let mut x = MARGIN;
    let y = MARGIN + TITLE - 8.0;
    for &(_, name, fill, border) in FAMILIES.iter().filter(|row| used(row.0)) {
        items.push(Item::Rect { at: [x, y], size: [14.0, 14.0], radius: 4.0, fill, border: Some(border) });
        let at = [x + 20.0, y + 11.0];
        let text = name.to_owned();
        items.push(Item::Text {
            at,
            size: SMALL,
            bold: false,
            color: style::PALE,
            text,
            anchor: Anchor::Start,
        });
        x += 20.0 + text_width(name, SMALL, false) + 18.0;
    }
    let height = if items.is_empty() { 0.0 } else { 34.0 };
    (items, x - MARGIN, height)
}
