//! What `cnnctl check --fix` writes.

use std::{fs, path::Path};

use super::{Failure, failure::FAILED};
use crate::{
    config::{self, Diagnostic, FileKind, text},
    snapshot::write_whole,
};

/// Writes the fixes of these complaints into the file; how many there were.
///
/// # Errors
/// When the file cannot be read or written.
pub fn mend(path: &Path, found: &[Diagnostic]) -> Result<usize, Failure> {
    let name = path.display().to_string();
    let mut edits: Vec<(usize, usize, &str)> = found
        .iter()
        .filter(|d| d.path.as_deref() == Some(&name))
        .filter_map(|d| {
            let span = d.place.as_ref()?.span;
            Some((span.start as usize, span.end as usize, d.fix.as_deref()?))
        })
        .collect();
    if edits.is_empty() {
        return Ok(0);
    }
    let failed = |e| Failure::new(FAILED, format!("cannot read {name}: {e}"));
    let text = fs::read_to_string(path).map_err(failed)?;
    edits.sort_unstable();
    edits.dedup();
    let (new, count) = apply(&text, &edits);
    if new == text {
        return Ok(0);
    }
    write_whole(path, new.as_bytes())?;
    Ok(count)
}

/// The text with parts replaced; of edits that overlap the first counts.
fn apply(text: &str, edits: &[(usize, usize, &str)]) -> (String, usize) {
    let mut new = String::with_capacity(text.len());
    let (mut from, mut count) = (0, 0);
    for &(start, end, with) in edits {
        if start < from || end <= start {
            continue;
        }
        let Some(kept) = text.get(from..start) else { continue };
        new.push_str(kept);
        new.push_str(with);
        (from, count) = (end, count + 1);
    }
    new.push_str(text.get(from..).unwrap_or(""));
    (new, count)
}

/// Writes a file with old forms anew in today's; whether there was anything to do.
///
/// # Errors
/// When the file cannot be written.
pub fn renew(path: &Path) -> Result<bool, Failure> {
    // What cannot be read stays as it is: the check says why.
    let new = match config::file_kind(path) {
        Ok(FileKind::Net) => config::load_net(path)
            .ok()
            .filter(|f| f.file.is_text() && !f.upgrades.is_empty())
            .map(|f| text::print(&f.net)),
        Ok(FileKind::Solver) => config::load_solver(path)
            .ok()
            .filter(|f| f.file.is_text() && !f.upgrades.is_empty())
            .map(|f| text::print(&f.solver)),
        _ => None,
    };
    let Some(new) = new else { return Ok(false) };
    write_whole(path, new.as_bytes())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_made_from_front_to_back_without_overlap() {
        let edits = [(0, 1, "x"), (2, 4, "long"), (3, 5, "lost"), (6, 6, "none")];
        assert_eq!(apply("abcdefg", &edits), ("xblongefg".to_owned(), 2));
        assert_eq!(apply("abc", &[]), ("abc".to_owned(), 0));
    }
}
