//! Single values: numbers, words and texts.

use super::hints::{self, Refusal};
use super::lexer::Token;
use super::parser::Parser;
use super::schema::{Field, Kind};
use super::tokens::Literal;
use super::wire::{self, WireType};
use crate::config::diagnostic::Diagnostic;
use crate::config::source::Span;
use crate::config::{aliases, forks};

impl<'s> Parser<'s> {
    /// Reads the value of a field that is no message and writes it; `None` after an error.
    pub fn scalar(&mut self, field: &Field, name: Span) -> Option<Span> {
        if self.tokens.next.token == Token::Text && matches!(field.kind, Kind::String | Kind::Bytes) {
            return self.text(field);
        }
        if self.tokens.next.token == Token::Text && field.name == "engine" {
            // Intel Caffe's form. Caffe's own words may stand in quotes there, too.
            let span = self.tokens.next.span;
            self.tokens.skip_value();
            self.fork_engine(self.source.slice(span).trim_matches(['"', '\'']));
            return Some(span);
        }
        if matches!(field.kind, Kind::String | Kind::Bytes)
            && let Some(span) = self.tokens.take_bare()
        {
            let Refusal { message, hint, fix } =
                hints::not_quoted(self.message(), field, self.source.slice(span));
            self.report(Diagnostic::error(message).at(self.source, span).hint(hint).fix(fix));
            return None;
        }
        let Some((literal, span)) = self.literal() else {
            self.not_a_value(field, name);
            return None;
        };
        match self.write_literal(field, literal) {
            Ok(()) => Some(span),
            Err(Refusal { message, hint, fix }) => {
                self.report(Diagnostic::error(message).at(self.source, span).hint(hint).fix(fix));
                None
            }
        }
    }

    /// The flag that comes next, if one does, maybe with a colon before it.
    pub fn coming_flag(&self) -> Option<bool> {
        let lexeme = if self.tokens.at(b':') { self.tokens.peek_second() } else { self.tokens.next };
        let text = self.source.slice(lexeme.span);
        bool_value(Literal { token: lexeme.token, negative: false, text }).map(|value| value == 1)
    }

    fn literal(&mut self) -> Option<(Literal<'s>, Span)> {
        let start = self.tokens.next.span;
        let negative = self.tokens.at(b'-');
        let lexeme = if negative { self.tokens.peek_second() } else { self.tokens.next };
        if self.tokens.at_new_field() || !matches!(lexeme.token, Token::Word | Token::Integer | Token::Float)
        {
            return None;
        }
        if negative {
            self.tokens.bump();
        }
        self.tokens.bump();
        let text = self.source.slice(lexeme.span);
        Some((Literal { token: lexeme.token, negative, text }, start.to(lexeme.span)))
    }

    fn write_literal(&mut self, field: &Field, literal: Literal<'s>) -> Result<(), Refusal> {
        let value = match field.kind {
            Kind::Float | Kind::Double => {
                let value = number(literal).ok_or_else(|| hints::wrong_kind(field, literal))?;
                self.put_number(field, value);
                return Ok(());
            }
            Kind::Bool => bool_value(literal).ok_or_else(|| hints::wrong_kind(field, literal))?,
            Kind::Int32 => integer(field, literal, i32::MIN.into(), i32::MAX.into())?,
            Kind::Int64 => integer(field, literal, i64::MIN.into(), i64::MAX.into())?,
            Kind::Uint32 => integer(field, literal, 0, u32::MAX.into())?,
            Kind::Uint64 => integer(field, literal, 0, u64::MAX.into())?,
            Kind::Enum(index) => self.enum_number(field, literal, index)?,
            Kind::String | Kind::Bytes | Kind::Message(_) => {
                return Err(hints::wrong_kind(field, literal));
            }
        };
        wire::put_tag(&mut self.out, field.number, WireType::Varint);
        wire::put_varint(&mut self.out, value);
        Ok(())
    }

    fn put_number(&mut self, field: &Field, value: f64) {
        wire::put_tag(&mut self.out, field.number, WireType::of(field.kind));
        match field.kind {
            // As protobuf does: by way of double, and too large a number is infinite.
            Kind::Float => self.out.extend_from_slice(&(value as f32).to_le_bytes()),
            _ => self.out.extend_from_slice(&value.to_le_bytes()),
        }
    }

    fn enum_number(&mut self, field: &Field, literal: Literal<'_>, index: usize) -> Result<u64, Refusal> {
        let values = self.schema.enumeration(index);
        if let Some(words) = self.flag.take() {
            let yes = bool_value(literal).ok_or_else(|| hints::wrong_flag(literal))?;
            return Ok(values.number(words[usize::from(yes != 0)]).unwrap_or(0) as u64);
        }
        if field.name == "engine" && forks::is_engine(literal.text) {
            self.fork_engine(literal.text);
            return Ok(0);
        }
        let number = if literal.token == Token::Word && !literal.negative {
            values.number(literal.text).ok_or_else(|| hints::unknown_word(field, values, literal.text))?
        } else {
            let number = integer(field, literal, i32::MIN.into(), i32::MAX.into())? as i32;
            values.name(number).ok_or_else(|| hints::unknown_word(field, values, &number.to_string()))?;
            number
        };
        if self.message().name == "V1LayerParameter" && field.name == "type" {
            let name = values.name(number).and_then(aliases::layer_type);
            self.frame_mut().layer_type = name.map(str::to_owned);
        }
        Ok(number as u64)
    }

    /// Reads adjacent texts as one.
    fn text(&mut self, field: &Field) -> Option<Span> {
        let start = self.tokens.next.span;
        let mut span = start;
        let mut bytes = Vec::new();
        let mut good = true;
        while self.tokens.next.token == Token::Text {
            span = self.tokens.bump().span;
            let inner = Span::new(span.start + 1, span.end - 1);
            if let Err((at, why)) = unescape(self.source.slice(inner), &mut bytes) {
                let at = inner.start + at as u32;
                self.error(why, Span::new(at, at + 2), None);
                good = false;
            }
        }
        let span = start.to(span);
        if field.kind == Kind::String {
            match String::from_utf8(bytes) {
                Ok(text) => bytes = self.standard_text(field, text, span).into_bytes(),
                Err(_) => {
                    self.error(format!("the text of `{}` is not UTF-8", field.name), span, None);
                    return None;
                }
            }
        }
        wire::put_tag(&mut self.out, field.number, WireType::Length);
        wire::put_bytes(&mut self.out, &bytes);
        good.then_some(span)
    }

    /// The text as Caffe would spell it: of all texts, only layer types have other spellings.
    fn standard_text(&mut self, field: &Field, text: String, span: Span) -> String {
        if self.message().name != "LayerParameter" || field.name != "type" {
            return text;
        }
        let standard = match aliases::layer_type(&text) {
            Some(standard) => {
                self.warn_spelling(&text, standard, span);
                standard.to_owned()
            }
            None => text,
        };
        self.frame_mut().layer_type = Some(standard.clone());
        standard
    }
}

/// The magnitude of an unsigned integer: decimal, octal or hexadecimal.
fn magnitude(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok();
    }
    let octal = text.len() > 1 && text.starts_with('0');
    u64::from_str_radix(text, if octal { 8 } else { 10 }).ok()
}

/// The integer as the varint that stores it.
fn integer(field: &Field, literal: Literal<'_>, least: i128, most: i128) -> Result<u64, Refusal> {
    if literal.token != Token::Integer || (literal.negative && least == 0) {
        return Err(hints::wrong_kind(field, literal));
    }
    let value = magnitude(literal.text).map(i128::from);
    let value = value.map(|value| if literal.negative { -value } else { value });
    match value.filter(|value| (least..=most).contains(value)) {
        Some(value) => Ok(value as u64),
        None => Err(Refusal {
            message: format!("the number is out of range for `{}`", field.name),
            hint: Some(format!("it takes {least} to {most}")),
            fix: None,
        }),
    }
}

fn bool_value(literal: Literal<'_>) -> Option<u64> {
    match literal.token {
        _ if literal.negative => None,
        Token::Word => match literal.text {
            "true" | "True" | "t" => Some(1),
            "false" | "False" | "f" => Some(0),
            _ => None,
        },
        Token::Integer => magnitude(literal.text).filter(|&value| value <= 1),
        _ => None,
    }
}

fn number(literal: Literal<'_>) -> Option<f64> {
    let text = literal.text;
    let value = match literal.token {
        Token::Word if text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("infinity") => {
            f64::INFINITY
        }
        Token::Word if text.eq_ignore_ascii_case("nan") => f64::NAN,
        // Octal and hexadecimal are for integers only.
        Token::Integer if text.len() > 1 && text.starts_with('0') => return None,
        Token::Integer => text.parse().ok()?,
        Token::Float => text.trim_end_matches(['f', 'F']).parse().ok()?,
        _ => return None,
    };
    Some(if literal.negative { -value } else { value })
}

/// Appends what the inside of a quoted text means; or where its first bad escape stands, and why it is bad.
fn unescape(text: &str, out: &mut Vec<u8>) -> Result<(), (usize, &'static str)> {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let offset = text.len() - rest.len() + at;
        let used = escape(&rest[at + 1..], out).map_err(|why| (offset, why))?;
        rest = &rest[at + 1 + used..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(())
}

/// Appends what the escape after a backslash means; how many bytes of the text it took.
fn escape(text: &str, out: &mut Vec<u8>) -> Result<usize, &'static str> {
    let bytes = text.as_bytes();
    let simple = match bytes.first() {
        Some(b'a') => 0x07,
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'v') => 0x0b,
        Some(&c @ (b'\\' | b'?' | b'\'' | b'"')) => c,
        Some(b'0'..=b'7') => return Ok(digits(bytes, 0, 3, 8, out)),
        Some(b'x' | b'X') => match digits(bytes, 1, 2, 16, out) {
            1 => return Err("`\\x` must be followed by hexadecimal digits"),
            used => return Ok(used),
        },
        Some(b'u') => return unicode(text, 4, out),
        Some(b'U') => return unicode(text, 8, out),
        _ => return Err("unknown escape; a backslash itself is written `\\\\`"),
    };
    out.push(simple);
    Ok(1)
}

/// Appends the byte that up to `most` digits from `start` on give; where they end.
fn digits(bytes: &[u8], start: usize, most: usize, radix: u32, out: &mut Vec<u8>) -> usize {
    let values = bytes[start..].iter().take(most).map_while(|&b| char::from(b).to_digit(radix));
    let (count, value) = values.fold((0, 0), |(count, value), digit| (count + 1, value * radix + digit));
    if count > 0 {
        out.push(value as u8);
    }
    start + count
}

/// Appends the character that `\uXXXX` or `\UXXXXXXXX` names; two of the former may be a surrogate pair.
fn unicode(text: &str, length: usize, out: &mut Vec<u8>) -> Result<usize, &'static str> {
    const WRONG: &str = "`\\u` takes four hexadecimal digits and `\\U` eight, that name a character";
    let code = |text: &str| {
        let digits = text.get(1..1 + length).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        u32::from_str_radix(digits?, 16).ok()
    };
    let first = code(text).ok_or(WRONG)?;
    let mut used = 1 + length;
    let mut value = first;
    if (0xd800..0xdc00).contains(&first) && length == 4 {
        let second = text[used..].strip_prefix('\\').filter(|t| t.starts_with('u')).and_then(code);
        let second = second.filter(|s| (0xdc00..0xe000).contains(s)).ok_or(WRONG)?;
        value = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        used = 2 * used + 1;
    }
    let character = char::from_u32(value).ok_or(WRONG)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(used)
}
