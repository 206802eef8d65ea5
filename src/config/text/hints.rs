//! What to write instead: the messages about wrong names and wrong values.

use super::lexer::{Lexeme, Token};
use super::parser::Parser;
use super::schema::{EnumType, Field, Kind, MessageType, Schema};
use super::tokens::Literal;
use crate::config::diagnostic::Diagnostic;
use crate::config::source::Span;
use crate::config::suggest::{did_you_mean, surely_meant};
use crate::config::{aliases, forks};

/// Fields of `layers`, the layers of 2014, and what stands for them in `layer`.
const OLD_FIELDS: [(&str, &str); 3] = [
    ("blob_share_mode", "param { share_mode: ... }"),
    ("blobs_lr", "param { lr_mult: ... }"),
    ("weight_decay", "param { decay_mult: ... }"),
];

/// More owners than this are no hint.
const MAX_OWNERS: usize = 3;

/// About a field of nobody's.
const UNHEARD_OF: &str = "neither Caffe nor a fork that is known has it";

/// Why a literal is no value for its field.
#[derive(Default)]
pub(super) struct Refusal {
    pub message: String,
    pub hint: Option<String>,
    /// What to write in its place.
    pub fix: Option<String>,
}

/// What to do about a field that the innermost message does not have, and what to write if that is beyond doubt.
pub(super) fn unknown_field(parser: &Parser<'_>, spelling: &str) -> (Option<String>, Option<String>) {
    let message = parser.message();
    if let Some(hint) = foreign_settings(parser, spelling) {
        return (Some(hint.to_owned()), None);
    }
    let around = old_or_around(parser, spelling);
    let names = || message.fields().map(|f| f.name.as_str());
    let close = did_you_mean(spelling, names()).filter(|_| around.is_none());
    let hint = around
        .or_else(|| close.map(|name| format!("did you mean `{name}`?")))
        .unwrap_or_else(|| UNHEARD_OF.to_owned());
    let plural = spelling.strip_suffix('s').unwrap_or(spelling);
    let fix = close.and_then(|_| surely_meant(spelling, names()).or_else(|| surely_meant(plural, names())));
    (Some(hint), fix.map(str::to_owned))
}

/// What to use in place of the layer that is being read, if its type is a fork's.
pub(super) fn of_fork_layer(parser: &Parser<'_>) -> Option<&'static str> {
    forks::layer(parser.frame().layer_type.as_deref()?).map(|(_, instead)| instead)
}

/// About the settings of a layer that only others have: no name is close to them.
fn foreign_settings(parser: &Parser<'_>, spelling: &str) -> Option<&'static str> {
    let stem = spelling.strip_suffix("_param")?.replace('_', "");
    let own = parser.frame().layer_type.as_ref().is_some_and(|t| t.eq_ignore_ascii_case(&stem));
    let slip = surely_meant(spelling, parser.message().fields().map(|f| f.name.as_str())).is_some();
    of_fork_layer(parser).or(own.then_some(UNHEARD_OF)).filter(|_| !slip)
}

/// An old form of a field, or one that belongs elsewhere.
fn old_or_around(parser: &Parser<'_>, spelling: &str) -> Option<String> {
    let message = parser.message();
    if message.name == "LayerParameter"
        && let Some((_, new)) = OLD_FIELDS.iter().find(|(old, _)| *old == spelling)
    {
        return Some(format!("an old form; write `{new}`"));
    }
    other_file(parser, spelling).or_else(|| belongs_to(parser, spelling))
}

/// A fork, or several, in a sentence: `the fork SSD`, `several forks`.
pub(super) fn forks_name(name: &str) -> String {
    match name {
        "several forks" => name.to_owned(),
        name if name.contains(" and ") => format!("the forks {name}"),
        name => format!("the fork {name}"),
    }
}

/// A fork's flag that is neither true nor false.
pub(super) fn wrong_flag(literal: Literal<'_>) -> Refusal {
    let message = format!("this takes true or false, not `{}`", clipped(literal.text));
    Refusal { message, ..Refusal::default() }
}

/// The message nearby that has such a field: one around this one, or one inside either.
fn belongs_to(parser: &Parser<'_>, spelling: &str) -> Option<String> {
    let (_, around) = parser.frames.split_last()?;
    for (i, frame) in around.iter().enumerate().rev() {
        if parser.schema.message(frame.message).position(spelling).is_some() {
            let name = if i == 0 {
                "the top level".to_owned()
            } else {
                format!("`{}`", parser.source.slice(frame.name))
            };
            return Some(format!("belongs to {name}, outside of {}", parser.frame_name()));
        }
    }
    let layer_type = parser.frames.iter().rev().find_map(|frame| frame.layer_type.as_deref());
    parser.frames.iter().rev().find_map(|frame| {
        let owners = owners(parser.schema, parser.schema.message(frame.message), spelling);
        choose(owners, layer_type).map(|owner| format!("belongs to {owner}"))
    })
}

/// Fields of `message` that are messages with such a field.
fn owners<'m>(schema: &Schema, message: &'m MessageType, spelling: &str) -> Vec<&'m str> {
    let owns =
        |f: &&Field| matches!(f.kind, Kind::Message(m) if schema.message(m).position(spelling).is_some());
    let mut owners: Vec<&str> = message.fields().filter(owns).map(|f| f.name.as_str()).collect();
    if owners.contains(&"layer") {
        owners.retain(|&owner| owner != "layers");
    }
    owners
}

/// The one that fits the layer's type, or all of them if they are few.
fn choose(owners: Vec<&str>, layer_type: Option<&str>) -> Option<String> {
    let fits = |owner: &&str| {
        let stem = owner.trim_end_matches("_param").replace('_', "");
        layer_type.is_some_and(|t| t.eq_ignore_ascii_case(&stem))
    };
    if let Some(owner) = owners.iter().copied().find(fits) {
        return Some(format!("`{owner}`"));
    }
    (1..=MAX_OWNERS).contains(&owners.len()).then(|| {
        let quoted: Vec<String> = owners.iter().map(|owner| format!("`{owner}`")).collect();
        either(&quoted)
    })
}

/// A solver given as a net, or a net given as a solver.
fn other_file(parser: &Parser<'_>, spelling: &str) -> Option<String> {
    let [top] = &parser.frames[..] else { return None };
    let (other, what) = match parser.schema.message(top.message).name.as_str() {
        "NetParameter" => ("caffe.SolverParameter", "a solver"),
        "SolverParameter" => ("caffe.NetParameter", "a net"),
        _ => return None,
    };
    let other = parser.schema.message(parser.schema.message_named(other)?);
    other.position(spelling).map(|_| format!("this is a field of {what}: is it the right file?"))
}

/// A number or word where another kind of value belongs.
pub(super) fn wrong_kind(field: &Field, literal: Literal<'_>) -> Refusal {
    let sign = if literal.negative { "-" } else { "" };
    let message =
        format!("`{}` takes {}, not `{sign}{}`", field.name, field.kind.expected(), clipped(literal.text));
    let fix = match field.kind {
        Kind::Bool => match literal.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some("true".to_owned()),
            "false" | "no" | "off" => Some("false".to_owned()),
            _ => None,
        },
        Kind::Float | Kind::Double if literal.token == Token::Integer => {
            let hint = Some("octal and hexadecimal are for whole numbers only".to_owned());
            return Refusal { message, hint, fix: None };
        }
        _ => literal
            .text
            .split_once('.')
            .filter(|(_, fraction)| fraction.bytes().all(|b| b == b'0'))
            .map(|(whole, _)| format!("{sign}{whole}")),
    };
    Refusal { message, hint: fix.as_ref().map(|fix| format!("write `{fix}`")), fix }
}

/// A word or number that an enum does not have.
pub(super) fn unknown_word(field: &Field, values: &EnumType, word: &str) -> Refusal {
    const MOST_LISTED: usize = 6;
    let message = format!("`{}` has no value `{}`", field.name, clipped(word));
    let of_fork = forks::word(&field.name, word);
    let names: Vec<String> = values.values.iter().map(|(name, _)| name.clone()).collect();
    let fix = surely_meant(word, names.iter().map(String::as_str)).map(str::to_owned);
    let hint = match did_you_mean(word, names.iter().map(String::as_str)) {
        _ if of_fork.is_some() => of_fork.map(str::to_owned),
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if names.len() <= MOST_LISTED => Some(format!("it takes {}", either(&names))),
        None => None,
    };
    Refusal { message, hint, fix }
}

/// A bare word, or a path, where a text in quotes belongs.
pub(super) fn not_quoted(message: &MessageType, field: &Field, bare: &str) -> Refusal {
    let refusal = format!("`{}` takes {}, not `{}`", field.name, field.kind.expected(), clipped(bare));
    let mut text = bare;
    if message.name == "LayerParameter" && field.name == "type" {
        text = aliases::layer_type(text).unwrap_or(text);
    }
    let number = text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains('/');
    let comment = text.starts_with("/*") || text.starts_with("//");
    let right = !number && !comment && !text.contains(['"', '\'']);
    let text = text.replace('\\', "\\\\");
    let hint = right.then(|| format!("write `\"{}\"`", clipped(&text)));
    Refusal { message: refusal, hint, fix: right.then(|| format!("\"{text}\"")) }
}

/// `a`, `a or b`, `a, b or c`.
fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

impl Parser<'_> {
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

    /// Warns of an engine of a fork's, once.
    pub fn fork_engine(&mut self, word: &str) {
        let message = format!("the engine `{}` is a fork's", clipped(word));
        let warning = Diagnostic::warning(message).at(self.source, self.tokens.last);
        self.warn_once("engine", warning.hint("it is ignored, as all engines are".to_owned()));
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

    /// Complains about a token that cannot begin a value of the field, and skips the value.
    pub fn not_a_value(&mut self, field: &Field, name: Span) {
        let takes = field.kind.expected();
        let found = self.tokens.next;
        match found.token {
            Token::Bad(why) => self.error(why, found.span, None),
            Token::End | Token::Symbol(b'}' | b'>' | b']' | b',' | b';') => self.no_value(field, name),
            Token::Word if self.tokens.at_new_field() => self.no_value(field, name),
            Token::Symbol(b'[') => {
                let hint = format!("it takes {takes}, once");
                self.error(format!("`{}` takes no list", field.name), found.span, Some(hint));
            }
            Token::Symbol(b'{' | b'<') => {
                self.error(format!("`{}` takes {takes}, not fields in braces", field.name), found.span, None);
            }
            _ => {
                let shown = self.shown(found);
                let fix = self.unquoted(field, &shown);
                let hint = fix.as_ref().map(|word| format!("write `{word}`, without quotes"));
                let hint = hint.or_else(|| self.todays_type(field, found));
                let message = format!("`{}` takes {takes}, not {shown}", field.name);
                self.report(Diagnostic::error(message).at(self.source, found.span).hint(hint).fix(fix));
            }
        }
        self.tokens.skip_value();
    }

    fn no_value(&mut self, field: &Field, name: Span) {
        let hint = format!("it takes {}", field.kind.expected());
        self.error(format!("`{}` has no value", field.name), name, Some(hint));
    }

    /// A text in quotes that would be right without them.
    fn unquoted(&self, field: &Field, shown: &str) -> Option<String> {
        let word = shown.trim_matches(['`', '"', '\'']);
        let right = match field.kind {
            Kind::Enum(index) => self.schema.enumeration(index).number(word).is_some(),
            Kind::Bool => matches!(word, "true" | "false"),
            Kind::String | Kind::Bytes | Kind::Message(_) => false,
            _ => word.parse::<f64>().is_ok(),
        };
        right.then(|| word.to_owned())
    }

    /// About a type in quotes, as in `layer`, that stands in `layers`.
    fn todays_type(&self, field: &Field, found: Lexeme) -> Option<String> {
        let Kind::Enum(index) = field.kind else { return None };
        if found.token != Token::Text || self.message().name != "V1LayerParameter" || field.name != "type" {
            return None;
        }
        let word = self.source.slice(found.span).trim_matches(['"', '\'']);
        let mut names = self.schema.enumeration(index).values.iter().map(|(name, _)| name);
        let old = names.find(|name| aliases::layer_type(name) == Some(word));
        let old = old.map_or_else(String::new, |name| format!("`{name}`, or "));
        Some(format!("write {old}`layer` in place of `layers`"))
    }

    /// Complains about a missing colon; whether a value follows all the same.
    pub fn expect_colon(&mut self, field: &Field, name: Span) -> bool {
        let value =
            matches!(self.tokens.next.token, Token::Text | Token::Word | Token::Integer | Token::Float)
                || self.tokens.at(b'-');
        if value && !self.tokens.at_new_field() {
            let end = Span::new(name.end, name.end);
            self.error(format!("`{}` needs a `:` before its value", field.name), end, None);
            return true;
        }
        if self.tokens.at(b'[') && field.repeated {
            self.error(format!("`{}` needs a `:` before its list", field.name), self.tokens.next.span, None);
            return true;
        }
        self.not_a_value(field, name);
        false
    }
}

/// A word that is short enough for a message.
pub(super) fn clipped(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_owned(),
    }
}
