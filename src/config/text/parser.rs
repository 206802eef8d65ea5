//! From text to protobuf's binary format.
//!
//! The parser never gives up at an error: it notes it, skips to the next likely field, and goes on. Its
//! recursion is as deep as messages nest in the schema, since what no field allows is skipped by counting
//! braces.

use super::hints;
use super::lexer::{Lexeme, Lexer, Token};
use super::schema::{Field, Kind, MessageType, Schema};
use super::spans::Spans;
use super::wire;
use crate::config::aliases;
use crate::config::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::config::source::{Source, Span};

/// After this many errors the rest of the text is not looked at: it is probably no prototxt at all.
const MAX_ERRORS: usize = 100;

/// What a text without errors gives.
pub(super) struct Output {
    pub wire: Vec<u8>,
    pub spans: Spans,
    pub warnings: Vec<Diagnostic>,
}

/// A message that is being read.
pub(super) struct Frame {
    /// Its type.
    pub message: usize,
    /// The field that holds it, and the type's name at the top.
    pub name: Span,
    /// Its fields so far that may come only once, or must come: position and name.
    seen: Vec<(usize, Span)>,
    /// The value of a layer's `type`, once it is known.
    pub layer_type: Option<String>,
}

pub(super) struct Parser<'s> {
    pub source: &'s Source,
    pub schema: &'static Schema,
    lexer: Lexer<'s>,
    /// The token that comes next.
    pub next: Lexeme,
    /// The token that was taken last.
    last: Span,
    pub out: Vec<u8>,
    pub spans: Spans,
    pub frames: Vec<Frame>,
    pub diagnostics: Vec<Diagnostic>,
    /// Nonstandard spellings met: the spelling, its warning, and how often it came.
    spellings: Vec<(String, usize, usize)>,
    errors: usize,
    /// Set while messages close because a brace is missing: how many stay open.
    unwind_to: Option<usize>,
}

impl<'s> Parser<'s> {
    pub fn new(source: &'s Source, root: usize) -> Self {
        let mut lexer = Lexer::new(source.text());
        let next = lexer.next();
        Self {
            source,
            schema: Schema::get(),
            lexer,
            next,
            last: Span::default(),
            out: Vec::with_capacity(source.text().len() / 2),
            spans: Spans::new(root),
            frames: vec![Frame::new(root, Span::default())],
            diagnostics: Vec::new(),
            spellings: Vec::new(),
            errors: 0,
            unwind_to: None,
        }
    }

    pub fn parse(mut self) -> Result<Output, Diagnostics> {
        self.fields(None);
        self.check_required(self.last);
        for (spelling, warning, count) in &self.spellings {
            if *count > 1 {
                let note = format!("`{spelling}` stands in {count} places");
                self.diagnostics[*warning].notes.push(note);
            }
        }
        if self.errors > 0 {
            self.diagnostics.sort_by_key(|d| d.place.as_ref().map(|p| p.span.start));
            return Err(Diagnostics(self.diagnostics));
        }
        Ok(Output { wire: self.out, spans: self.spans, warnings: self.diagnostics })
    }

    // Tokens

    pub fn bump(&mut self) -> Lexeme {
        self.last = self.next.span;
        std::mem::replace(&mut self.next, self.lexer.next())
    }

    pub fn peek_second(&self) -> Lexeme {
        self.lexer.clone().next()
    }

    pub fn at(&self, symbol: u8) -> bool {
        self.next.token == Token::Symbol(symbol)
    }

    fn take(&mut self, symbol: u8) -> bool {
        let found = self.at(symbol);
        if found {
            self.bump();
        }
        found
    }

    /// Whether the next token looks like the beginning of a new field rather than a value.
    pub fn at_new_field(&self) -> bool {
        self.next.token == Token::Word
            && self.next.starts_line
            && matches!(self.peek_second().token, Token::Symbol(b':' | b'{' | b'<'))
    }

    // Errors

    pub fn error(&mut self, message: impl Into<String>, at: Span, hint: Option<String>) {
        self.report(Diagnostic::error(message).at(self.source, at).hint(hint));
    }

    pub fn report(&mut self, diagnostic: Diagnostic) {
        if self.errors == MAX_ERRORS {
            return;
        }
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if self.errors < MAX_ERRORS {
            self.diagnostics.push(diagnostic);
        } else {
            let note = format!("these are {MAX_ERRORS} errors; the rest of the file was not read");
            self.diagnostics.push(diagnostic.note(note));
            self.lexer.finish();
            self.next = self.lexer.next();
        }
    }

    /// Skips to the next line that begins with a word, or to the end of this message.
    fn recover(&mut self) {
        loop {
            match self.next.token {
                Token::Word if self.next.starts_line => return,
                Token::End | Token::Symbol(b'}' | b'>') => return,
                Token::Symbol(b'{' | b'<' | b'[') => self.skip_brackets(),
                _ => {
                    self.bump();
                }
            }
        }
    }

    /// Skips a bracket and everything up to the one that closes it.
    fn skip_brackets(&mut self) {
        let mut depth = 0usize;
        loop {
            match self.bump().token {
                Token::Symbol(b'{' | b'<' | b'[') => depth += 1,
                Token::Symbol(b'}' | b'>' | b']') => depth -= 1,
                Token::End => return,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Skips what stands where a value should, whatever it is.
    pub fn skip_value(&mut self) {
        match self.next.token {
            Token::Symbol(b'{' | b'<' | b'[') => self.skip_brackets(),
            Token::Text => {
                while self.next.token == Token::Text {
                    self.bump();
                }
            }
            Token::Symbol(b'-') => {
                self.bump();
                if matches!(self.next.token, Token::Word | Token::Integer | Token::Float | Token::Bad(_)) {
                    self.bump();
                }
            }
            Token::Word if self.at_new_field() => {}
            Token::End | Token::Symbol(b'}' | b'>' | b']' | b',' | b';') => {}
            _ => {
                self.bump();
            }
        }
    }

    // Grammar

    pub fn message(&self) -> &'static MessageType {
        self.schema.message(self.frame().message)
    }

    pub fn frame(&self) -> &Frame {
        self.frames.last().expect("the top frame is never popped")
    }

    pub fn frame_mut(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the top frame is never popped")
    }

    /// Reads fields up to the closing brace, which it takes, or to the end of the text.
    fn fields(&mut self, brace: Option<(Span, u8)>) {
        loop {
            match self.unwind_to {
                Some(depth) if depth < self.frames.len() => return,
                _ => self.unwind_to = None,
            }
            match (self.next.token, brace) {
                (Token::Word, _) => self.field(),
                (Token::End, None) => return,
                (Token::End, Some((open, _))) => {
                    let message = format!("{} is never closed", self.frame_name());
                    self.error(message, open, Some("no brace below matches this one".to_owned()));
                    return;
                }
                (Token::Symbol(found @ (b'}' | b'>')), Some((_, close))) => {
                    let span = self.bump().span;
                    if found != close {
                        let message = format!("expected `{}`, found `{}`", close as char, found as char);
                        self.error(message, span, None);
                    }
                    return;
                }
                (Token::Symbol(b'}' | b'>'), None) => {
                    let span = self.bump().span;
                    self.error("nothing is open here that this brace could close", span, None);
                }
                _ => self.not_a_field(),
            }
        }
    }

    fn not_a_field(&mut self) {
        let found = self.bump();
        let hint = match found.token {
            Token::Bad(why) => Some(why.to_owned()),
            Token::Symbol(b'[') => Some("Caffe's messages have no extensions".to_owned()),
            Token::Symbol(b'/') => Some("a comment begins with `#`".to_owned()),
            Token::Symbol(b';' | b',') => Some("one separator after a field is enough".to_owned()),
            _ => None,
        };
        self.error(format!("expected the name of a field, found {}", self.shown(found)), found.span, hint);
        self.recover();
    }

    fn field(&mut self) {
        let name = self.next.span;
        let Some(position) = self.resolve(name) else {
            self.unknown_field(name);
            return;
        };
        self.bump();
        let field = self.message().field_at(position);
        self.note_seen(position, field, name);
        let colon = self.take(b':');
        match field.kind {
            Kind::Message(message) => {
                self.values(position, field, name, |parser| parser.nested(field, message, name));
            }
            _ if colon || self.expect_colon(field, name) => {
                self.values(position, field, name, |parser| parser.scalar(field, name));
            }
            _ => {}
        }
        self.end_field();
    }

    /// Takes the separator that may follow a field.
    fn end_field(&mut self) {
        if self.unwind_to.is_none() && !self.take(b';') {
            self.take(b',');
        }
    }

    /// The field of this name, also under a nonstandard spelling.
    fn resolve(&mut self, name: Span) -> Option<usize> {
        let spelling = self.source.slice(name);
        if let Some(position) = self.message().position(spelling) {
            return Some(position);
        }
        let standard = aliases::field(spelling)?;
        let position = self.message().position(standard)?;
        self.warn_spelling(spelling, standard, name);
        Some(position)
    }

    /// Warns of a nonstandard spelling, once for each spelling.
    pub fn warn_spelling(&mut self, spelling: &str, standard: &str, at: Span) {
        if let Some(known) = self.spellings.iter_mut().find(|(s, ..)| s == spelling) {
            known.2 += 1;
            return;
        }
        self.spellings.push((spelling.to_owned(), self.diagnostics.len(), 1));
        let message = format!("`{spelling}` is not Caffe's spelling");
        let hint = format!("read as `{standard}`, the standard name");
        self.report(Diagnostic::warning(message).at(self.source, at).hint(hint));
    }

    fn note_seen(&mut self, position: usize, field: &Field, name: Span) {
        if field.repeated {
            return;
        }
        let first = self.frame().seen.iter().find(|(p, _)| *p == position).map(|&(_, first)| first);
        match first {
            None => self.frame_mut().seen.push((position, name)),
            Some(first) => {
                let message = format!("`{}` is given twice in {}", field.name, self.frame_name());
                let hint = format!("it may come once, and is already in line {}", self.line(first));
                self.error(message, name, Some(hint));
            }
        }
    }

    /// Reads one value, or a list of them in brackets where the field may come several times.
    fn values(
        &mut self,
        position: usize,
        field: &Field,
        name: Span,
        read: impl Fn(&mut Self) -> Option<Span>,
    ) {
        let one = |parser: &mut Self| {
            let node = parser.spans.open(position, field.kind, name);
            let start = parser.next.span;
            let value = read(parser);
            parser.spans.close(node, value.unwrap_or(start));
        };
        if !field.repeated || !self.at(b'[') {
            one(self);
            return;
        }
        let open = self.bump().span;
        if self.take(b']') {
            return;
        }
        loop {
            one(self);
            if self.unwind_to.is_some() || self.take(b']') {
                return;
            }
            if !self.take(b',') {
                let message = format!("the list of `{}` needs `,` or `]` here", field.name);
                let hint =
                    format!("found {}; the list begins in line {}", self.shown(self.next), self.line(open));
                self.error(message, self.next.span, Some(hint));
                self.recover();
                return;
            }
        }
    }

    /// Reads a message in braces; its node in `spans` is the newest.
    fn nested(&mut self, field: &Field, message: usize, name: Span) -> Option<Span> {
        let close = match self.next.token {
            Token::Symbol(b'{') => b'}',
            Token::Symbol(b'<') => b'>',
            _ => {
                self.not_a_value(field, name);
                return None;
            }
        };
        let open = self.bump().span;
        let start = wire::begin_message(&mut self.out, field.number);
        if let Some(number) = self.schema.message(message).origin {
            wire::put_tag(&mut self.out, number, wire::WireType::Varint);
            wire::put_varint(&mut self.out, u64::from(self.spans.newest_origin()));
        }
        self.frames.push(Frame::new(message, name));
        self.fields(Some((open, close)));
        if self.unwind_to.is_none() {
            self.check_required(name);
        }
        self.frames.pop();
        wire::end_message(&mut self.out, start);
        Some(open.to(self.last))
    }

    fn check_required(&mut self, at: Span) {
        for &position in &self.message().required {
            if !self.frame().seen.iter().any(|(p, _)| *p == position) {
                let field = self.message().field_at(position);
                let message = format!("{} lacks `{}`", self.frame_name(), field.name);
                self.error(message, at, Some("the field must be given".to_owned()));
            }
        }
    }

    fn unknown_field(&mut self, name: Span) {
        if self.unwind_for(name) {
            return;
        }
        self.bump();
        let spelling = self.source.slice(name);
        let message = format!("unknown field `{}` in {}", clipped(spelling), self.frame_name());
        let hint = hints::unknown_field(self, spelling);
        self.error(message, name, hint);
        if self.take(b':') || !matches!(self.next.token, Token::Word | Token::Bad(_)) {
            self.skip_value();
        }
        self.end_field();
    }

    /// A layer where none can be is not a wrong name but a brace that is missing above: closes down to the
    /// message that can hold it, and leaves it to be read there.
    fn unwind_for(&mut self, name: Span) -> bool {
        let spelling = self.source.slice(name);
        let holds_layers = |frame: &Frame| {
            let field = self.schema.message(frame.message).field(spelling);
            matches!(field.map(|f| f.kind), Some(Kind::Message(m)) if self.schema.message(m).origin.is_some())
        };
        let Some(holder) = self.frames.iter().rposition(holds_layers) else { return false };
        let open = self.frame().name;
        let message = format!("`{spelling}` cannot stand in {}", self.frame_name());
        let hint =
            format!("is a `}}` missing above? {} opens in line {}", self.frame_name(), self.line(open));
        self.error(message, name, Some(hint));
        self.unwind_to = Some(holder + 1);
        true
    }

    // Words for messages

    /// The message that is being read, for people.
    pub fn frame_name(&self) -> String {
        match &self.frames[..] {
            [top] => match self.schema.message(top.message).name.as_str() {
                "NetParameter" => "a net".to_owned(),
                "SolverParameter" => "a solver".to_owned(),
                other => format!("`{other}`"),
            },
            _ => format!("`{}`", self.source.slice(self.frame().name)),
        }
    }

    pub fn line(&self, at: Span) -> u32 {
        self.source.location(at.start).line
    }

    /// A token, for people.
    pub fn shown(&self, lexeme: Lexeme) -> String {
        match lexeme.token {
            Token::End => "the end of the file".to_owned(),
            _ => format!("`{}`", clipped(self.source.slice(lexeme.span))),
        }
    }
}

/// A word that is short enough for a message.
pub(super) fn clipped(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_owned(),
    }
}

impl Frame {
    fn new(message: usize, name: Span) -> Self {
        Self { message, name, seen: Vec::new(), layer_type: None }
    }
}
