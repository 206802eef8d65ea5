//! From text to protobuf's binary format.
//!
//! The parser never gives up at an error: it notes it, skips to the next likely field, and goes on. Its
//! recursion is as deep as messages nest in the schema, since what no field allows is skipped by counting
//! braces.

use super::hints::{self, clipped};
use super::lexer::Token;
use super::parser::{Frame, Parser};
use super::schema::{Field, Kind};
use super::spans::Spans;
use super::wire;
use crate::config::diagnostic::Diagnostic;
use crate::config::forks;
use crate::config::source::Span;

/// A layer takes kilobytes in memory, whatever it takes in the text. Real nets have some thousands at most.
const MAX_LAYERS: usize = 1 << 16;

/// What a text gives.
pub(super) struct Output {
    pub wire: Vec<u8>,
    pub spans: Spans,
    /// Errors too, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether it is not clear which braces belong together, or the text was not read to its end: then little can be
    /// said of what the rest means.
    pub broken: bool,
}

impl Parser<'_> {
    /// Reads the whole text.
    pub fn parse(mut self) -> Output {
        self.fields(None);
        self.check_required(self.tokens.last);
        for (spelling, warning, count) in &self.spellings {
            if let Some(warning) = self.diagnostics.get_mut(*warning).filter(|_| *count > 1) {
                warning.notes.push(format!("`{spelling}` stands in {count} places"));
            }
        }
        if self.errors > 0 {
            self.diagnostics.sort_by_key(|d| d.place.as_ref().map(|p| p.span.start));
        }
        let broken = self.broken || self.gave_up;
        Output { wire: self.out, spans: self.spans, diagnostics: self.diagnostics, broken }
    }

    /// Reads fields up to the closing brace, which it takes, or to the end of the text.
    fn fields(&mut self, brace: Option<(Span, u8)>) {
        loop {
            match self.unwind_to {
                Some(depth) if depth < self.frames.len() => return,
                _ => self.unwind_to = None,
            }
            match (self.tokens.next.token, brace) {
                (Token::Word, _) => self.field(),
                (Token::End, None) => return,
                (Token::End, Some((open, _))) => {
                    self.broken = true;
                    let message = format!("{} is never closed", self.frame_name());
                    self.error(message, open, Some("no brace below matches this one".to_owned()));
                    return;
                }
                (Token::Symbol(found @ (b'}' | b'>')), Some((_, close))) => {
                    let span = self.tokens.bump().span;
                    if found != close {
                        self.broken = true;
                        let message = format!("expected `{}`, found `{}`", close as char, found as char);
                        self.error(message, span, None);
                    }
                    return;
                }
                (Token::Symbol(b'}' | b'>'), None) => {
                    let span = self.tokens.bump().span;
                    self.broken = true;
                    self.error("nothing is open here that this brace could close", span, None);
                }
                _ => self.not_a_field(),
            }
        }
    }

    fn not_a_field(&mut self) {
        let found = self.tokens.bump();
        let hint = match found.token {
            Token::Bad(why) => Some(why.to_owned()),
            Token::Symbol(b'[') => Some("Caffe's messages have no extensions".to_owned()),
            Token::Symbol(b'/') => Some("a comment begins with `#`".to_owned()),
            Token::Symbol(b';' | b',') => Some("one separator after a field is enough".to_owned()),
            _ => None,
        };
        self.error(format!("expected the name of a field, found {}", self.shown(found)), found.span, hint);
        self.tokens.recover();
    }

    fn field(&mut self) {
        let name = self.tokens.next.span;
        let Some(position) = self.resolve(name) else {
            self.unknown_field(name);
            return;
        };
        self.tokens.bump();
        let field = self.message().field_at(position);
        self.note_seen(position, field, name);
        let colon = self.tokens.take(b':');
        match field.kind {
            Kind::Message(message) => {
                self.values(position, name, |parser| parser.nested(field, message, name));
            }
            _ if colon || self.expect_colon(field, name) => {
                self.values(position, name, |parser| parser.scalar(field, name));
            }
            _ => {}
        }
        self.end_field();
    }

    /// Takes the separator that may follow a field.
    fn end_field(&mut self) {
        self.flag = None;
        if self.unwind_to.is_none() && !self.tokens.take(b';') {
            self.tokens.take(b',');
        }
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
                let mut hint = format!("it may come once, and is already in line {}", self.line(first));
                let by_axis = matches!(&field.name[..], "kernel_size" | "stride" | "pad");
                if by_axis && self.message().name == "PoolingParameter" {
                    hint += &format!("; `{}s` takes one for each axis", field.name);
                }
                self.error(message, name, Some(hint));
            }
        }
    }

    /// Reads one value with `read`, or a list of them in brackets where the field may come several times.
    fn values(&mut self, position: usize, name: Span, read: impl Fn(&mut Self) -> Option<Span>) {
        let field = self.message().field_at(position);
        let one = |parser: &mut Self| {
            let node = parser.spans.open(position, field.kind, name);
            let start = parser.tokens.next.span;
            let value = read(parser);
            parser.spans.close(node, value.unwrap_or(start));
            value.is_some()
        };
        if !field.repeated || !self.tokens.at(b'[') {
            one(self);
            return;
        }
        let open = self.tokens.bump().span;
        if self.tokens.take(b']') {
            return;
        }
        loop {
            let good = one(self);
            if self.unwind_to.is_some() || self.tokens.take(b']') {
                return;
            }
            if self.tokens.take(b',') {
                continue;
            }
            if good {
                let message = format!("the list of `{}` needs `,` or `]` here", field.name);
                let (found, line) = (self.shown(self.tokens.next), self.line(open));
                let hint = format!("found {found}; the list begins in line {line}");
                self.error(message, self.tokens.next.span, Some(hint));
            }
            self.tokens.recover();
            return;
        }
    }

    /// Reads a message in braces; its node in `spans` is the newest.
    fn nested(&mut self, field: &Field, message: usize, name: Span) -> Option<Span> {
        let close = match self.tokens.next.token {
            Token::Symbol(b'{') => b'}',
            Token::Symbol(b'<') => b'>',
            _ => {
                self.not_a_value(field, name);
                return None;
            }
        };
        let open = self.tokens.bump().span;
        let start = wire::begin_message(&mut self.out, field.number);
        if let Some(number) = self.schema.message(message).origin {
            wire::put_tag(&mut self.out, number, wire::WireType::Varint);
            wire::put_varint(&mut self.out, u64::from(self.spans.newest_origin()));
            self.count_layer(name);
        }
        self.frames.push(Frame::new(message, name));
        self.fields(Some((open, close)));
        if self.unwind_to.is_none() {
            self.check_required(name);
        }
        self.frames.pop();
        wire::end_message(&mut self.out, start);
        Some(open.to(self.tokens.last))
    }

    fn count_layer(&mut self, name: Span) {
        self.layers += 1;
        if self.layers == MAX_LAYERS + 1 {
            self.error(format!("more than {MAX_LAYERS} layers"), name, None);
            self.give_up();
        }
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
        self.tokens.bump();
        let spelling = self.source.slice(name);
        match forks::field(&self.message().name, spelling) {
            Some(fork) => self.fork_field(fork, spelling, name),
            None => {
                let message = format!("unknown field `{}` in {}", clipped(spelling), self.frame_name());
                let (hint, fix) = hints::unknown_field(self, spelling);
                self.report(Diagnostic::error(message).at(self.source, name).hint(hint).fix(fix));
            }
        }
        if self.tokens.take(b':') || !matches!(self.tokens.next.token, Token::Word | Token::Bad(_)) {
            self.tokens.skip_value();
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
        self.broken = true;
        self.unwind_to = Some(holder + 1);
        true
    }
}
