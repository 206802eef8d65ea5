//! Complaints about a configuration file: what is wrong, where it stands, what to write instead.
//!
//! ```text
//! error: unknown field `kernal_size` in `convolution_param`
//!   --> net.prototxt:12:5
//!    |
//! 12 |     kernal_size: 5
//!    |     ^^^^^^^^^^^ did you mean `kernel_size`?
//! ```

use std::{collections::HashMap, fmt};

use super::source::{Place, Source, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not say what its author means.
    Warning,
    /// Something to know, with nothing wrong.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// One complaint. It carries the line that it shows, so it can be kept and printed without its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in lower case and without a full stop.
    pub message: String,
    /// The file, if it came from one.
    pub path: Option<String>,
    /// Where in the file, if that is known: binary files have no places.
    pub place: Option<Place>,
    /// What to do about it; stands beside the caret.
    pub hint: Option<String>,
    /// More to know, one line each.
    pub notes: Vec<String>,
    /// What to write at the place, where that is beyond doubt.
    pub fix: Option<String>,
}

impl Diagnostic {
    /// A complaint about no place in particular.
    pub fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            message: message.into(),
            path: None,
            place: None,
            hint: None,
            notes: Vec::new(),
            fix: None,
        }
    }

    /// An error about no place in particular.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    /// A warning about no place in particular.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    /// The same, about the file of this name.
    pub fn in_file(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The same, about this part of the source.
    pub fn at(mut self, source: &Source, span: Span) -> Self {
        self.path = Some(source.path().to_owned());
        self.place = Some(source.place(span));
        self
    }

    /// The same, with a hint beside the caret.
    pub fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same, with what to write at the place.
    pub fn fix(mut self, fix: impl Into<Option<String>>) -> Self {
        self.fix = fix.into();
        self
    }

    /// The same, with one more line below.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The message without the layer that it is about.
    fn kind(&self) -> &str {
        let layer = self.message.strip_prefix("layer `");
        layer.and_then(|rest| rest.split_once(": ")).map_or(&self.message, |(_, what)| what)
    }
}

/// For people: of many alike in one file the first, with a note of the lines of the others.
pub fn folded(diagnostics: &[Diagnostic]) -> Vec<Diagnostic> {
    const MANY: usize = 4;
    const MOST_LINES: usize = 20;
    let key = |d: &Diagnostic| {
        d.place.as_ref()?;
        Some((d.severity, d.path.clone(), d.kind().to_owned(), d.hint.clone(), d.notes.clone()))
    };
    let mut alike: HashMap<_, Vec<usize>> = HashMap::new();
    for (i, d) in diagnostics.iter().enumerate() {
        if let Some(key) = key(d) {
            alike.entry(key).or_default().push(i);
        }
    }
    let mut shown: Vec<Option<Diagnostic>> = diagnostics.iter().cloned().map(Some).collect();
    for group in alike.values().filter(|group| group.len() >= MANY) {
        let (first, others) = (group[0], &group[1..]);
        let mut lines: Vec<u32> =
            others.iter().filter_map(|&i| shown[i].take()?.place).map(|place| place.line).collect();
        lines.dedup();
        let mut list: Vec<String> = lines.iter().take(MOST_LINES).map(u32::to_string).collect();
        list.extend((lines.len() > MOST_LINES).then(|| "...".to_owned()));
        let note = format!("{} more like this, in lines {}", others.len(), list.join(", "));
        shown[first] = shown[first].take().map(|d| d.note(note));
    }
    shown.into_iter().flatten().collect()
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.message)?;
        let gutter = self.place.as_ref().map_or(0, |place| place.line.to_string().len());
        match (&self.path, &self.place) {
            (Some(path), Some(place)) => {
                write!(f, "\n{:gutter$}--> {path}:{}:{}", "", place.line, place.column)?;
                write!(f, "\n{:gutter$} |", "")?;
                write!(f, "\n{} | {}", place.line, place.excerpt)?;
                let (indent, carets) = (place.caret_start, "^".repeat(place.caret_len));
                write!(f, "\n{:gutter$} | {:indent$}{carets}", "", "")?;
                if let Some(hint) = &self.hint {
                    write!(f, " {hint}")?;
                }
            }
            (path, _) => {
                if let Some(path) = path {
                    write!(f, "\n--> {path}")?;
                }
                if let Some(hint) = &self.hint {
                    write!(f, "\n{:gutter$} = help: {hint}", "")?;
                }
            }
        }
        for note in &self.notes {
            write!(f, "\n{:gutter$} = note: {note}", "")?;
        }
        Ok(())
    }
}

/// All complaints about a file, in the order of the file. Never empty when it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in folded(&self.0).iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source::new("net.prototxt", "a: 1\n\tkernal_size: 5\n")
    }

    #[test]
    fn points_at_the_span_with_its_hint_and_notes() {
        let d = Diagnostic::error("unknown field `kernal_size`")
            .at(&source(), Span::new(6, 17))
            .hint("did you mean `kernel_size`?".to_owned())
            .note("it is an old name");
        let expected = "\
error: unknown field `kernal_size`
 --> net.prototxt:2:2
  |
2 |     kernal_size: 5
  |     ^^^^^^^^^^^ did you mean `kernel_size`?
  = note: it is an old name";
        assert_eq!(d.to_string(), expected);
    }

    #[test]
    fn many_alike_are_shown_once() {
        let at = |line: u32, message: &str| {
            let text = "x\n".repeat(40);
            let start = 2 * (line - 1);
            Diagnostic::warning(message).at(&Source::new("net", text), Span::new(start, start + 1))
        };
        let few: Vec<_> = (1..4).map(|line| at(line, "layer `a`: odd")).collect();
        assert_eq!(folded(&few), few);
        let mut many: Vec<_> = (1..5).map(|line| at(line, &format!("layer `{line}` (net:1): odd"))).collect();
        many.insert(2, at(9, "layer `a`: other"));
        let shown = folded(&many);
        assert_eq!(shown[0], many[0].clone().note("3 more like this, in lines 2, 3, 4"));
        assert_eq!(shown[1..], many[2..3]);
        let many: Vec<_> = (1..40).map(|line| at(line, "odd")).collect();
        let note = folded(&many)[0].notes.concat();
        assert!(note.starts_with("38 more") && note.ends_with("20, 21, ..."), "{note}");
    }

    #[test]
    fn without_a_place_only_the_file_is_named() {
        let d = Diagnostic::warning("odd").in_file("net.caffemodel").hint("do it".to_owned());
        assert_eq!(d.to_string(), "warning: odd\n--> net.caffemodel\n = help: do it");
    }

    #[test]
    fn a_list_is_separated_by_blank_lines() {
        let list = Diagnostics(vec![Diagnostic::warning("one"), Diagnostic::error("two")]);
        assert_eq!(list.to_string(), "warning: one\n\nerror: two");
        assert!(list.has_errors());
        assert!(!Diagnostics(vec![Diagnostic::warning("one")]).has_errors());
    }
}
