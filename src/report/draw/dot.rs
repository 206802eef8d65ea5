//! Graphs in Graphviz's language, for those who lay them out themselves.

use std::fmt::Write as _;

use super::{graph::Graph, style};
use crate::net::check::Sketch;

/// The net as a text in Graphviz's language.
pub fn dot(name: &str, sketch: &Sketch) -> String {
    let graph = Graph::of(sketch);
    let mut out = format!(
        "digraph {} {{\n  label={};\n  labelloc=t;\n  node [shape=box, style=\"rounded,filled\", fontname=\"DejaVu Sans\", fontsize=11];\n  edge [color=\"#{:06x}\"];\n",
        quoted(name),
        quoted(name),
        style::EDGE
    );
    for (i, node) in graph.nodes.iter().enumerate() {
        let (fill, border) = style::colors(node.family);
        let kind = [&node.kind[..], &node.detail].join(" ");
        let mut lines = vec![node.name.clone(), kind.trim_end().to_owned()];
        lines.extend((!node.output.is_empty()).then(|| node.output.clone()));
        lines.extend(node.strips.iter().map(|(kind, _)| kind.clone()));
        lines.extend(node.chips.iter().map(|chip| format!("({chip})")));
        let label = lines.join("\n");
        let _ = writeln!(
            out,
            "  n{i} [label={}, fillcolor=\"#{fill:06x}\", color=\"#{border:06x}\"];",
            quoted(&label)
        );
    }
    for (from, to) in &graph.edges {
        let _ = writeln!(out, "  n{from} -> n{to};");
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
