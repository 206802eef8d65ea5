//! Where the fields of a file stand.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Severity};
use super::source::{Location, Source, Span};
use super::text::Spans;
use super::upgrade;

/// A text and where its fields stand.
#[derive(Debug)]
struct SourceMap {
    source: Source,
    spans: Spans,
}

/// A file, of which the text is known unless it was binary. Makes complaints about its fields.
///
/// Fields are named by paths like `convolution_param.kernel_size`, `bottom[1]` or `param[0].lr_mult`, in
/// today's names, also where the file has old ones.
#[derive(Clone, Debug, Default)]
pub struct FileMap {
    path: Option<String>,
    map: Option<Arc<SourceMap>>,
    /// Whether the text is the inside of a single layer.
    of_layer: bool,
}

impl FileMap {
    /// Of a text.
    pub(super) fn new(source: Source, spans: Spans) -> Self {
        let path = Some(source.path().to_owned());
        Self { path, map: Some(Arc::new(SourceMap { source, spans })), of_layer: false }
    }

    /// Of a text that is the inside of a single layer.
    pub(super) fn of_layer(source: Source, spans: Spans) -> Self {
        Self { of_layer: true, ..Self::new(source, spans) }
    }

    /// Of a binary file, which has no places.
    pub(super) fn binary(path: String) -> Self {
        Self { path: Some(path), map: None, of_layer: false }
    }

    /// Whether the file is a text, and not binary or no file at all.
    pub fn is_text(&self) -> bool {
        self.map.is_some()
    }

    /// What a layer that stands at this field would have as its `cnnctl_origin`.
    pub(super) fn top_origin(&self, field: &str) -> Option<u32> {
        self.map.as_deref()?.spans.top_origin(field)
    }

    /// Whether a byte belongs to the layer with this `cnnctl_origin`.
    pub(super) fn spans_of(&self, origin: u32, byte: u32) -> bool {
        let field = self.map.as_deref().and_then(|map| map.spans.origin(origin));
        field.is_some_and(|f| (f.name.start..f.value.end).contains(&byte))
    }

    /// The file's name, if there is a file.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    pub(super) fn text(&self) -> Option<&Source> {
        self.map.as_deref().map(|map| &map.source)
    }

    /// A layer's field, or else what it would stand in: its message, or the layer.
    pub(super) fn layer_span(&self, origin: Option<u32>, field: &str) -> Option<Span> {
        let spans = &self.map.as_deref()?.spans;
        if self.of_layer {
            return outward(field).find_map(|path| spans.top(path)).map(|span| span.focus());
        }
        let origin = origin?;
        let old = |path| upgrade::old_paths(path).into_iter().find_map(|path| spans.field(origin, &path));
        let found = outward(field).find_map(|path| spans.field(origin, path).or_else(|| old(path)));
        found.or_else(|| spans.origin(origin)).map(|span| span.focus())
    }

    pub(super) fn top_span(&self, field: &str) -> Option<Span> {
        let spans = &self.map.as_deref()?.spans;
        outward(field).find_map(|path| spans.top(path)).map(|span| span.focus())
    }

    pub(super) fn complaint(&self, severity: Severity, message: String, span: Option<Span>) -> Diagnostic {
        let diagnostic = Diagnostic::new(severity, message);
        match (self.text(), span, &self.path) {
            (Some(source), Some(span), _) => diagnostic.at(source, span),
            (_, _, Some(path)) => diagnostic.in_file(path),
            _ => diagnostic,
        }
    }

    /// A complaint about a layer's field, with the layer's name, and its place where the field is on another line.
    pub(super) fn layer_complaint(
        &self,
        severity: Severity,
        name: &str,
        origin: Option<u32>,
        field: &str,
        message: &str,
    ) -> Diagnostic {
        let span = self.layer_span(origin, field);
        let (layer, here) = (self.location(self.layer_span(origin, "")), self.location(span));
        let place = match (layer, here) {
            (Some(layer), Some(here)) if layer.line != here.line => {
                format!(" ({}:{})", layer.path, layer.line)
            }
            _ => String::new(),
        };
        self.complaint(severity, format!("layer `{name}`{place}: {message}"), span)
    }

    pub(super) fn location(&self, span: Option<Span>) -> Option<Location> {
        Some(self.text()?.location(span?.start))
    }
}

/// A path, and then what is around it: `a.b.c`, `a.b`, `a`.
fn outward(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('.').map(|(around, _)| around))
}
