//! Where every field of a text stands.
//!
//! One flat table, a node per field in the order of the text; a node knows where its subtree ends, so the
//! children of a message are found by hopping. 24 bytes a field keeps large nets cheap, and nothing is hashed.

use super::schema::{Kind, Schema};
use crate::config::source::Span;

/// Where a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpan {
    /// The field's name.
    pub name: Span,
    /// Its value. Of a message: from the opening to the closing brace.
    pub value: Span,
    /// Whether the value is a message.
    pub is_message: bool,
}

impl FieldSpan {
    /// What to underline: the value, or the name if the value is a message.
    pub fn focus(&self) -> Span {
        if self.is_message { self.name } else { self.value }
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    name: Span,
    value: Span,
    /// Position of the field in its message type.
    field: u16,
    /// Type of the value if it is a message, else `SCALAR`.
    message: u16,
    /// Index after the subtree.
    next: u32,
}

const SCALAR: u16 = u16::MAX;

impl Node {
    fn span(&self) -> FieldSpan {
        FieldSpan { name: self.name, value: self.value, is_message: self.message != SCALAR }
    }
}

/// The places of all fields of one text.
///
/// Fields are named by paths like `convolution_param.kernel_size`, `bottom[1]` or `param[0].lr_mult`; without
/// an index the first of several is meant.
#[derive(Clone, Debug)]
pub struct Spans {
    root: usize,
    nodes: Vec<Node>,
}

impl Spans {
    /// An empty table for a text that holds a message of type `root`.
    pub(super) fn new(root: usize) -> Self {
        Self { root, nodes: Vec::new() }
    }

    /// Notes a field whose value is still to come; the result goes to `close`.
    pub(super) fn open(&mut self, field: usize, kind: Kind, name: Span) -> usize {
        let message = if let Kind::Message(message) = kind { message as u16 } else { SCALAR };
        self.nodes.push(Node { name, value: name, field: field as u16, message, next: 0 });
        self.nodes.len() - 1
    }

    /// The `cnnctl_origin` of a layer at the field that was opened last.
    pub(super) fn newest_origin(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// Everything noted since `open` is part of that field's value.
    pub(super) fn close(&mut self, node: usize, value: Span) {
        self.nodes[node].value = value;
        self.nodes[node].next = self.nodes.len() as u32;
    }

    /// A layer's place, by its `cnnctl_origin`.
    pub fn origin(&self, origin: u32) -> Option<FieldSpan> {
        Some(self.nodes.get((origin as usize).checked_sub(1)?)?.span())
    }

    /// A field of the layer with this `cnnctl_origin`.
    pub fn field(&self, origin: u32, path: &str) -> Option<FieldSpan> {
        let index = (origin as usize).checked_sub(1)?;
        let node = self.nodes.get(index)?;
        self.find(index + 1..node.next as usize, node.message, path).map(|i| self.nodes[i].span())
    }

    /// A field of the whole text, for example of a solver.
    pub fn top(&self, path: &str) -> Option<FieldSpan> {
        self.find(0..self.nodes.len(), self.root as u16, path).map(|i| self.nodes[i].span())
    }

    /// What a layer that stands at this field would have as its `cnnctl_origin`.
    pub(crate) fn top_origin(&self, path: &str) -> Option<u32> {
        self.find(0..self.nodes.len(), self.root as u16, path).map(|i| i as u32 + 1)
    }

    fn find(&self, mut range: std::ops::Range<usize>, mut message: u16, path: &str) -> Option<usize> {
        let mut found = None;
        for step in path.split('.') {
            let (name, skip) = split_index(step)?;
            if message == SCALAR {
                return None;
            }
            let field = Schema::get().message(message as usize).position(name)? as u16;
            let index = self.children(range).filter(|&i| self.nodes[i].field == field).nth(skip)?;
            range = index + 1..self.nodes[index].next as usize;
            message = self.nodes[index].message;
            found = Some(index);
        }
        found
    }

    fn children(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = usize> {
        let first = Some(range.start).filter(|&i| i < range.end);
        std::iter::successors(first, move |&i| Some(self.nodes[i].next as usize).filter(|&n| n < range.end))
    }
}

/// `bottom[1]` into `bottom` and 1.
fn split_index(step: &str) -> Option<(&str, usize)> {
    match step.strip_suffix(']').and_then(|s| s.split_once('[')) {
        Some((name, index)) => Some((name, index.parse().ok()?)),
        None => Some((step, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::proto::NetParameter;
    use crate::config::text::parse;

    #[test]
    fn fields_are_found_by_path() {
        let text = "name: 'n'\nlayer { bottom: ['a', 'b'] bottom: 'c' param { } param { lr_mult: 2 } }\n\
                    layer { convolution_param { kernel_size: 3 } convolution_param_x: 1 }";
        let text = text.replace(" convolution_param_x: 1", "");
        let parsed = parse::<NetParameter>("net", text.as_str()).expect("a good text");
        let shown = |span: Option<FieldSpan>| span.map(|s| parsed.source.slice(s.focus()).to_owned());
        let field =
            |layer: usize, path| shown(parsed.spans.field(parsed.message.layer[layer].cnnctl_origin(), path));
        assert_eq!(shown(parsed.spans.top("name")).as_deref(), Some("'n'"));
        assert_eq!(shown(parsed.spans.top("layer[1]")).as_deref(), Some("layer"));
        assert_eq!(field(0, "bottom").as_deref(), Some("'a'"));
        assert_eq!(field(0, "bottom[1]").as_deref(), Some("'b'"));
        assert_eq!(field(0, "bottom[2]").as_deref(), Some("'c'"));
        assert_eq!(field(0, "bottom[3]"), None);
        assert_eq!(field(0, "param[1].lr_mult").as_deref(), Some("2"));
        assert_eq!(field(0, "param[0].lr_mult"), None);
        assert_eq!(field(1, "convolution_param.kernel_size").as_deref(), Some("3"));
        assert_eq!(field(1, "bottom"), None);
        assert_eq!(field(1, "bottom.nothing"), None);
        assert_eq!(field(1, "nothing"), None);
        assert_eq!(parsed.spans.field(0, "bottom"), None);
        assert_eq!(parsed.spans.field(u32::MAX, "bottom"), None);
    }
}
