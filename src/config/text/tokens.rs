//! The tokens of a text, one taken after the other, and ways to skip those that make no sense.

use super::lexer::{Lexeme, Lexer, Token};
use crate::config::source::Span;

/// A number or a word, perhaps with a minus before it.
#[derive(Clone, Copy)]
pub(super) struct Literal<'s> {
    pub token: Token,
    pub negative: bool,
    /// Without the minus.
    pub text: &'s str,
}

/// A text as tokens.
pub(super) struct Tokens<'s> {
    lexer: Lexer<'s>,
    /// The token that comes next.
    pub next: Lexeme,
    /// The token that was taken last.
    pub last: Span,
}

impl<'s> Tokens<'s> {
    pub fn new(text: &'s str) -> Self {
        let mut lexer = Lexer::new(text);
        let next = lexer.next();
        Self { lexer, next, last: Span::default() }
    }

    /// Takes the next token.
    pub fn bump(&mut self) -> Lexeme {
        self.last = self.next.span;
        std::mem::replace(&mut self.next, self.lexer.next())
    }

    /// The token after the next one.
    pub fn peek_second(&self) -> Lexeme {
        self.lexer.clone().next()
    }

    /// Whether this symbol comes next.
    pub fn at(&self, symbol: u8) -> bool {
        self.next.token == Token::Symbol(symbol)
    }

    /// Takes the symbol if it comes next; whether it did.
    pub fn take(&mut self, symbol: u8) -> bool {
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

    /// Skips to the next line that begins with a word, or to the end of this message.
    pub fn recover(&mut self) {
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

    /// Takes what stands bare where a text in quotes belongs, up to white space, a bracket or a separator: a path is
    /// more than its first word.
    pub fn take_bare(&mut self) -> Option<Span> {
        let first = self.next;
        let begins = matches!(
            first.token,
            Token::Word | Token::Integer | Token::Float | Token::Symbol(b'.' | b'/' | b'~')
        );
        if !begins || self.at_new_field() {
            return None;
        }
        self.bump();
        let ends = |token| {
            matches!(token, Token::End | Token::Symbol(b'{' | b'}' | b'[' | b']' | b'<' | b'>' | b',' | b';'))
        };
        while self.next.span.start == self.last.end && !ends(self.next.token) {
            self.bump();
        }
        Some(first.span.to(self.last))
    }

    /// Drops the rest of the text.
    pub fn finish(&mut self) {
        self.lexer.finish();
        self.next = self.lexer.next();
    }
}
