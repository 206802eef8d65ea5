//! Cuts the text format into tokens, by the rules of protobuf's own tokenizer.

use crate::config::source::Span;

/// What a token is. Its text is the source under its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name or a word: `[A-Za-z_][A-Za-z0-9_]*`.
    Word,
    /// A whole number without sign: decimal, octal (`017`) or hexadecimal (`0x1f`).
    Integer,
    /// A number with a point, an exponent or a trailing `f`.
    Float,
    /// A text in quotes, still with its escapes.
    Text,
    /// Any other single character.
    Symbol(u8),
    /// Something that cannot be a token, and why.
    Bad(&'static str),
    /// The end of the text.
    End,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexeme {
    pub token: Token,
    pub span: Span,
    /// Whether it is the first token of its line: a good place to go on after an error.
    pub starts_line: bool,
}

/// A position in a text. Copying it is how the parser looks further ahead.
#[derive(Clone, Copy)]
pub(crate) struct Lexer<'s> {
    text: &'s [u8],
    at: usize,
}

impl<'s> Lexer<'s> {
    pub fn new(text: &'s str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text: text.as_bytes(), at }
    }

    /// Goes to the end of the text.
    pub fn finish(&mut self) {
        self.at = self.text.len();
    }

    fn peek(&self) -> u8 {
        self.peek_at(0)
    }

    /// The byte `ahead` of here; 0, which is no part of any token, beyond the end.
    fn peek_at(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn skip_while(&mut self, test: impl Fn(u8) -> bool) -> usize {
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|&byte| !test(byte)).unwrap_or(rest.len());
        self.at += len;
        len
    }

    /// Skips white space and comments; whether a line began meanwhile.
    fn skip_blank(&mut self) -> bool {
        let mut new_line = self.at == 0;
        loop {
            match self.peek() {
                b'\n' => {
                    new_line = true;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'#' => {
                    self.skip_while(|byte| byte != b'\n');
                }
                _ => return new_line,
            }
        }
    }

    /// The next token. At the end of the text it is `End`, again and again.
    pub fn next(&mut self) -> Lexeme {
        let starts_line = self.skip_blank();
        let start = self.at;
        let token = match self.peek() {
            _ if start >= self.text.len() => Token::End,
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => {
                self.skip_while(is_word);
                Token::Word
            }
            b'0'..=b'9' => self.number(),
            b'.' if self.peek_at(1).is_ascii_digit() => self.number(),
            quote @ (b'"' | b'\'') => self.quoted(quote),
            symbol @ 0x21..=0x7e => {
                self.at += 1;
                Token::Symbol(symbol)
            }
            0x80.. => {
                self.skip_while(|byte| byte >= 0x80);
                Token::Bad("letters outside ASCII may stand only in quotes and comments")
            }
            _ => {
                self.at += 1;
                Token::Bad("a control character")
            }
        };
        Lexeme { token, span: Span::new(start as u32, self.at as u32), starts_line }
    }

    fn number(&mut self) -> Token {
        let token = self.digits();
        // Whatever is glued to a number belongs to the complaint about it.
        if self.skip_while(|byte| is_word(byte) || byte == b'.') > 0 && !matches!(token, Token::Bad(_)) {
            return Token::Bad("a number and a word need a space between them");
        }
        token
    }

    fn digits(&mut self) -> Token {
        if self.peek() == b'0' && matches!(self.peek_at(1), b'x' | b'X') {
            self.at += 2;
            if self.skip_while(|byte| byte.is_ascii_hexdigit()) == 0 {
                return Token::Bad("`0x` must be followed by hexadecimal digits");
            }
            return Token::Integer;
        }
        if self.peek() == b'0' && self.peek_at(1).is_ascii_digit() {
            self.skip_while(|byte| matches!(byte, b'0'..=b'7'));
            return match self.peek() {
                b'0'..=b'9' => Token::Bad("a number with a leading zero is octal: only digits 0 to 7"),
                b'.' | b'e' | b'E' => Token::Bad("an octal number (leading zero) must be whole"),
                _ => Token::Integer,
            };
        }
        self.skip_while(|byte| byte.is_ascii_digit());
        let mut token = Token::Integer;
        if self.peek() == b'.' {
            self.at += 1;
            self.skip_while(|byte| byte.is_ascii_digit());
            token = Token::Float;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            if self.skip_while(|byte| byte.is_ascii_digit()) == 0 {
                return Token::Bad("`e` must be followed by an exponent");
            }
            token = Token::Float;
        }
        if matches!(self.peek(), b'f' | b'F') {
            self.at += 1;
            token = Token::Float;
        }
        if self.peek() == b'.' {
            return Token::Bad("a number has one decimal point, and none after the exponent");
        }
        token
    }

    fn quoted(&mut self, quote: u8) -> Token {
        self.at += 1;
        loop {
            self.skip_while(|byte| byte != quote && byte != b'\\' && byte != b'\n');
            match self.peek() {
                byte if byte == quote => {
                    self.at += 1;
                    return Token::Text;
                }
                b'\\' if !matches!(self.peek_at(1), b'\n' | 0) => self.at += 2,
                b'\\' => self.at += 1,
                _ => return Token::Bad("a text in quotes must end on its line"),
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<(Token, &str)> {
        let mut lexer = Lexer::new(text);
        let next = || {
            let lexeme = lexer.next();
            let text = &text[lexeme.span.start as usize..lexeme.span.end as usize];
            (lexeme.token != Token::End).then_some((lexeme.token, text))
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn words_numbers_texts_and_symbols() {
        use Token::{Float, Integer, Symbol, Text, Word};
        let text = "a_1: -0x1F 017 0 1. .5 1e-4 1f 2.5E+3F \"a\\\"b\" 'c' {}<# end";
        let expected = [
            (Word, "a_1"),
            (Symbol(b':'), ":"),
            (Symbol(b'-'), "-"),
            (Integer, "0x1F"),
            (Integer, "017"),
            (Integer, "0"),
            (Float, "1."),
            (Float, ".5"),
            (Float, "1e-4"),
            (Float, "1f"),
            (Float, "2.5E+3F"),
            (Text, "\"a\\\"b\""),
            (Text, "'c'"),
            (Symbol(b'{'), "{"),
            (Symbol(b'}'), "}"),
            (Symbol(b'<'), "<"),
        ];
        assert_eq!(tokens(text), expected);
    }

    #[test]
    fn bad_tokens_are_taken_whole() {
        for bad in ["08", "0x", "1e", "1.5.2", "1layer", "07.5", "\"open", "'open\\", "é", "\u{1}"] {
            let found = tokens(bad);
            assert!(matches!(found[..], [(Token::Bad(_), text)] if text == bad), "{bad}: {found:?}");
        }
        assert!(matches!(tokens("\"a\nb")[..], [(Token::Bad(_), "\"a"), (Token::Word, "b")]));
    }

    #[test]
    fn knows_where_lines_begin_and_skips_a_byte_order_mark() {
        let mut lexer = Lexer::new("\u{feff}a b # c\r\n d");
        let starts: Vec<bool> = (0..4).map(|_| lexer.next().starts_line).collect();
        assert_eq!(starts, [false, false, true, false]);
    }
}
