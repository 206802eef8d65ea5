//! The text of a configuration file, and places in it.

use std::fmt;

/// A part of a source: bytes from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes from `start` up to, not including, `end`.
    pub fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// From the start of this one to the end of the other.
    pub fn to(self, other: Span) -> Self {
        Self { start: self.start, end: other.end }
    }
}

/// `path:line:column`, counted from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub path: String,
    /// Line, from 1.
    pub line: u32,
    /// Character of the line, from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path, self.line, self.column)
    }
}

/// A place in a source, with its line ready to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The place in bytes.
    pub span: Span,
    /// Line, from 1.
    pub line: u32,
    /// Character of the line, from 1.
    pub column: u32,
    /// The line, tabs expanded, cut to a window around the place if it is very long.
    pub excerpt: String,
    /// Characters of `excerpt` before the place.
    pub caret_start: usize,
    /// Length of the place in characters of `excerpt`, at least 1.
    pub caret_len: usize,
}

/// Text and the name of the file it came from.
#[derive(Clone, Debug)]
pub struct Source {
    path: String,
    text: String,
    line_starts: Vec<u32>,
}

/// Longest part of a line that is shown before, of, and after a place.
const WINDOW: usize = 100;

impl Source {
    /// Takes the text of the file `path`. Spans count in `u32`: the parser refuses longer texts.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let newlines = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let line_starts = std::iter::once(0).chain(newlines.map(|(i, _)| i as u32 + 1)).collect();
        Self { path: path.into(), text, line_starts }
    }

    /// The file's name.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty if the span does not fit the text.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Line and column of a byte.
    pub fn location(&self, byte: u32) -> Location {
        let (line, column) = self.line_column(byte);
        Location { path: self.path.clone(), line, column }
    }

    /// A place with its line.
    pub fn place(&self, span: Span) -> Place {
        let (line, column) = self.line_column(span.start);
        let text = self.line(line);
        let start = self.line_starts[line as usize - 1] as usize;
        let from = floor_boundary(text, (span.start as usize).saturating_sub(start));
        let to = floor_boundary(text, (span.end as usize).saturating_sub(start)).max(from);
        let before = keep_end(&text[..from]);
        let of = keep_start(&text[from..to]);
        let after = keep_start(&text[to..]);
        let caret_start = width(&before);
        let caret_len = width(&of).max(1);
        Place { span, line, column, excerpt: format!("{before}{of}{after}"), caret_start, caret_len }
    }

    fn line_column(&self, byte: u32) -> (u32, u32) {
        let line = self.line_starts.partition_point(|&start| start <= byte);
        let start = self.line_starts[line - 1];
        let column = self.slice(Span::new(start, byte)).chars().count();
        (line as u32, column as u32 + 1)
    }

    /// A line without its end.
    fn line(&self, line: u32) -> &str {
        let start = self.line_starts[line as usize - 1] as usize;
        let end = self.line_starts.get(line as usize).map_or(self.text.len(), |&next| next as usize);
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// The text with tabs expanded and other control characters made visible.
fn shown(chars: impl Iterator<Item = char>) -> String {
    let mut out = String::new();
    for c in chars {
        match c {
            '\t' => out.push_str("    "),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn keep_start(text: &str) -> String {
    match text.char_indices().nth(WINDOW) {
        Some((cut, _)) => shown(text[..cut].chars()) + "...",
        None => shown(text.chars()),
    }
}

fn keep_end(text: &str) -> String {
    match text.char_indices().rev().nth(WINDOW - 1) {
        Some((cut, _)) if cut > 0 => "...".to_owned() + &shown(text[cut..].chars()),
        _ => shown(text.chars()),
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let s = Source::new("f", "ab\r\ncé d\n");
        assert_eq!(s.location(0).to_string(), "f:1:1");
        assert_eq!(s.location(4).to_string(), "f:2:1");
        assert_eq!(s.location(8).to_string(), "f:2:4");
        assert_eq!(s.location(10).to_string(), "f:3:1");
        let p = s.place(Span::new(8, 9));
        assert_eq!((p.excerpt.as_str(), p.caret_start, p.caret_len), ("cé d", 3, 1));
    }

    #[test]
    fn places_at_the_end_and_over_several_lines_stay_in_their_line() {
        let s = Source::new("f", "name: \"a\nb\"");
        let p = s.place(Span::new(6, 11));
        assert_eq!((p.excerpt.as_str(), p.caret_start, p.caret_len), ("name: \"a", 6, 2));
        let p = s.place(Span::new(11, 11));
        assert_eq!((p.line, p.column, p.caret_len), (2, 3, 1));
        let p = Source::new("f", "").place(Span::default());
        assert_eq!((p.line, p.column, p.excerpt.as_str()), (1, 1, ""));
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let s = Source::new("f", "x".repeat(5000));
        let p = s.place(Span::new(2000, 2001));
        assert_eq!(p.excerpt.len(), 100 + 1 + 100 + 6);
        assert_eq!(p.caret_start, 103);
        assert_eq!(p.column, 2001);
    }
}
