//! Pictures of nets: SVG, PNG and Graphviz's dot.
//!
//! A net becomes a graph of boxes, a layered layout gives each its place, and a scene of rectangles, curves
//! and texts is what the formats have in common.

mod dot;
mod graph;
mod layout;
pub(super) mod letters;
pub(super) mod png;
mod scene;
pub(super) mod style;
mod svg;

pub use dot::dot;
pub(super) use letters::text_width;
pub(super) use png::render as scene_png;
pub(super) use scene::{Anchor, Item, Scene};
pub(super) use style::{Color, INK, PALE};
pub(super) use svg::render as scene_svg;

use crate::net::check::Sketch;

/// The picture of a net as SVG.
pub fn svg(name: &str, sketch: &Sketch) -> String {
    svg::render(&scene::of(name, &graph::Graph::of(sketch)))
}

/// The picture of a net as PNG, `scale` times as large as the SVG.
///
/// # Errors
/// Says why when the picture is too large for memory.
pub fn png(name: &str, sketch: &Sketch, scale: f32) -> Result<Vec<u8>, String> {
    png::render(&scene::of(name, &graph::Graph::of(sketch)), scale)
}
