//! Complaints about configuration files, for people and for machines.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Align, Table};
use crate::{
    config::{Diagnostic, Severity, folded},
    snapshot::{Fate, Match},
    tensor::Shape,
};

/// How many there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
}

impl Tally {
    /// Counts.
    pub fn of(diagnostics: &[Diagnostic]) -> Self {
        let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
        Self { errors: count(Severity::Error), warnings: count(Severity::Warning) }
    }

    /// As the last line shows it: `1 error, 2 warnings in 3 files`.
    pub fn line(self, files: usize) -> String {
        let number = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let found = match self {
            Self { errors: 0, warnings: 0 } => "no errors, no warnings".to_owned(),
            Self { errors: 0, warnings } => number(warnings, "warning"),
            Self { errors, warnings: 0 } => number(errors, "error"),
            Self { errors, warnings } => {
                format!("{}, {}", number(errors, "error"), number(warnings, "warning"))
            }
        };
        format!("{found} in {}", number(files, "file"))
    }
}

/// The diagnostics as text, a blank line after each; many alike once.
pub fn diagnostics_text(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in folded(diagnostics) {
        let _ = write!(text, "{diagnostic}\n\n");
    }
    text
}

/// What becomes of each layer when weights are copied.
pub fn match_table(title: &str, matches: &[Match]) -> String {
    let columns = [
        ("layer", Align::Left),
        ("weights", Align::Left),
        ("in the net", Align::Left),
        ("in the file", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for m in matches {
        table.row([m.layer.clone(), m.fate.name().to_owned(), shapes(&m.net), shapes(&m.file)]);
    }
    let count = |fate| matches.iter().filter(|m| m.fate == fate).count();
    format!(
        "{title}:\n\n{}\n{} loaded, {} missing, {} differ, {} unused{}{}\n\n",
        table.plain(),
        count(Fate::Loaded),
        count(Fate::Missing),
        count(Fate::Differs),
        count(Fate::Unused),
        match count(Fate::Shared) {
            0 => String::new(),
            n => format!(", {n} shared with layers above"),
        },
        match count(Fate::Unchecked) {
            0 => String::new(),
            n => format!(", {n} not checked, as shapes are not known"),
        }
    )
}

fn shapes(shapes: &[Shape]) -> String {
    shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(", ")
}

/// The diagnostics, and how weights match, as one JSON object.
pub fn diagnostics_json(
    diagnostics: &[Diagnostic],
    tally: Tally,
    weights: &[(String, Vec<Match>)],
) -> String {
    #[derive(Serialize)]
    struct Whole<'d> {
        diagnostics: Vec<One<'d>>,
        #[serde(flatten)]
        tally: Tally,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        weights: Vec<serde_json::Value>,
    }
    let layer = |m: &Match| {
        let (net, file) = (shapes(&m.net), shapes(&m.file));
        serde_json::json!({ "layer": m.layer, "weights": m.fate.name(), "net": net, "file": file })
    };
    let table = |(title, matches): &(String, Vec<Match>)| serde_json::json!({ "of": title, "layers": matches.iter().map(layer).collect::<Vec<_>>() });
    let whole = Whole {
        diagnostics: diagnostics.iter().map(One::of).collect(),
        tally,
        weights: weights.iter().map(table).collect(),
    };
    let text = serde_json::to_string_pretty(&whole).unwrap_or_default();
    format!("{text}\n")
}

/// A diagnostic, as editors take it: lines and columns from 1, the end not included.
#[derive(Serialize)]
struct One<'d> {
    severity: String,
    message: &'d str,
    file: Option<&'d str>,
    line: Option<u32>,
    column: Option<u32>,
    end_column: Option<u32>,
    help: Option<&'d str>,
    /// What to write in place of the columns, where that is beyond doubt.
    fix: Option<&'d str>,
    notes: &'d [String],
}

impl<'d> One<'d> {
    fn of(d: &'d Diagnostic) -> Self {
        let place = d.place.as_ref();
        Self {
            severity: d.severity.to_string(),
            message: &d.message,
            file: d.path.as_deref(),
            line: place.map(|p| p.line),
            column: place.map(|p| p.column),
            end_column: place.map(|p| p.column + p.caret_len as u32),
            help: d.hint.as_deref(),
            fix: d.fix.as_deref(),
            notes: &d.notes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let line = |errors, warnings, files| Tally { errors, warnings }.line(files);
        assert_eq!(line(0, 0, 1), "no errors, no warnings in 1 file");
        assert_eq!(line(1, 2, 3), "1 error, 2 warnings in 3 files");
        assert_eq!(line(0, 1, 2), "1 warning in 2 files");
    }

    #[test]
    fn json_has_a_place_or_null() {
        let text = diagnostics_json(&[Diagnostic::warning("odd").in_file("f")], Tally::default(), &[]);
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["diagnostics"][0]["file"], "f");
        assert!(json["diagnostics"][0]["line"].is_null());
        assert_eq!(json["errors"], 0);
    }
}
