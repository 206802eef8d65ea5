//! A text that is being parsed: what has been read, where, and what is wrong with it.

use std::collections::HashSet;

use super::schema::{MessageType, Schema};
use super::spans::Spans;
use super::tokens::Tokens;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::source::{Source, Span};

/// After this many errors that differ the rest of the text is not looked at: it is probably no prototxt at all.
const MAX_KINDS: usize = 100;
/// The same, of errors that may be alike.
const MAX_ERRORS: usize = 1000;

/// A message that is being read.
pub(super) struct Frame {
    /// Its type.
    pub message: usize,
    /// The field that holds it, and the type's name at the top.
    pub name: Span,
    /// Its fields so far that may come only once, or must come: position and name.
    pub seen: Vec<(usize, Span)>,
    /// The value of a layer's `type`, once it is known.
    pub layer_type: Option<String>,
}

/// A text that is being parsed.
pub(super) struct Parser<'s> {
    pub source: &'s Source,
    pub schema: &'static Schema,
    pub tokens: Tokens<'s>,
    pub out: Vec<u8>,
    pub spans: Spans,
    pub frames: Vec<Frame>,
    pub diagnostics: Vec<Diagnostic>,
    /// Nonstandard spellings met: the spelling, its warning, and how often it came.
    pub spellings: Vec<(String, usize, usize)>,
    pub errors: usize,
    /// The messages of the errors.
    pub kinds: HashSet<String>,
    pub layers: usize,
    /// Set when braces do not match.
    pub broken: bool,
    /// Set when the rest of the text is not looked at, and nothing about it can be said.
    pub gave_up: bool,
    /// The words for false and true, while the value of a fork's flag is read.
    pub flag: Option<[&'static str; 2]>,
    /// Set while messages close because a brace is missing: how many stay open.
    pub unwind_to: Option<usize>,
}

impl<'s> Parser<'s> {
    pub fn new(source: &'s Source, root: usize) -> Self {
        Self {
            source,
            schema: Schema::get(),
            tokens: Tokens::new(source.text()),
            out: Vec::with_capacity(source.text().len() / 2),
            spans: Spans::new(root),
            frames: vec![Frame::new(root, Span::default())],
            diagnostics: Vec::new(),
            spellings: Vec::new(),
            errors: 0,
            kinds: HashSet::new(),
            layers: 0,
            broken: false,
            gave_up: false,
            flag: None,
            unwind_to: None,
        }
    }

    /// Notes an error.
    pub fn error(&mut self, message: impl Into<String>, at: Span, hint: Option<String>) {
        self.report(Diagnostic::error(message).at(self.source, at).hint(hint));
    }

    /// Notes what is wrong, and gives up when that is too much.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        if self.gave_up {
            return;
        }
        if diagnostic.severity == Severity::Error {
            self.errors += 1;
            self.kinds.insert(diagnostic.message.clone());
        }
        if self.errors < MAX_ERRORS && self.kinds.len() < MAX_KINDS {
            self.diagnostics.push(diagnostic);
        } else {
            let note = format!("these are {} errors; the rest of the file was not read", self.errors);
            self.diagnostics.push(diagnostic.note(note));
            self.give_up();
        }
    }

    /// Looks at no more of the text.
    pub fn give_up(&mut self) {
        self.gave_up = true;
        self.tokens.finish();
    }

    /// The type of the message that is being read.
    pub fn message(&self) -> &'static MessageType {
        self.schema.message(self.frame().message)
    }

    /// The message that is being read.
    pub fn frame(&self) -> &Frame {
        self.frames.last().expect("the top frame is never popped")
    }

    pub fn frame_mut(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the top frame is never popped")
    }
}

impl Frame {
    pub fn new(message: usize, name: Span) -> Self {
        Self { message, name, seen: Vec::new(), layer_type: None }
    }
}
