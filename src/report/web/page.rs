//! The page's files, and the page in a file of its own.

use std::{collections::BTreeMap, time::SystemTime};

use serde::Serialize;

use super::{
    answers::{Known, newest},
    pictures,
};
use crate::report::runs::{Run, Runs, Series, Summary, entry::seconds};

/// The page.
pub const HTML: &str = include_str!("assets/index.html");
/// Its looks.
pub const CSS: &str = include_str!("assets/style.css");
/// What it does.
pub const JS: &str = include_str!("assets/app.js");
/// Its icon.
pub const ICON: &str = include_str!("assets/icon.svg");

/// How a report begins: it asks nobody for anything, and browsers hold it to that.
const REPORT_HEAD: &str = include_str!("assets/report-head.html");
/// A curve has so many points in a report, which cannot ask for more.
const POINTS: usize = 2000;

/// What a report holds.
#[derive(Serialize)]
struct Data<'a> {
    title: &'a str,
    /// When it was written, in seconds since 1970.
    written: f64,
    runs: Vec<Whole>,
}

/// A run with all that there is to see of it.
#[derive(Serialize)]
struct Whole {
    summary: Summary,
    series: Series,
    detail: Known,
    /// Pictures by name, as addresses that hold them.
    pictures: BTreeMap<&'static str, String>,
}

/// The page of these runs, as they are now, in one file that needs nothing else.
pub fn single_file(runs: &mut Runs, title: &str) -> String {
    runs.refresh();
    let written = seconds(SystemTime::now());
    let data = Data { title, written, runs: runs.iter().map(whole).collect() };
    // Data that no HTML parser takes for an end of itself.
    let data = serde_json::to_string(&data).unwrap_or_default().replace('<', "\\u003c");
    let icon = address("image/svg+xml", ICON.as_bytes());
    // Texts of the page first: they must not be looked for in data.
    HTML.replacen("<meta charset=\"utf-8\">\n", REPORT_HEAD, 1)
        .replacen("href=\"icon.svg\"", &format!("href=\"{icon}\""), 1)
        .replacen("<link rel=\"stylesheet\" href=\"style.css\">", &format!("<style>\n{CSS}</style>"), 1)
        .replacen("<script src=\"app.js\" defer></script>\n", "", 1)
        .replacen(
            "</body>",
            &format!(
                "<script id=\"data\" type=\"application/json\">{data}</script>\n<script>\n{JS}</script>\n</body>"
            ),
            1,
        )
}

fn whole(run: &Run) -> Whole {
    let detail = run.detail();
    let filters = newest(&detail.snapshots).and_then(|snapshot| pictures::filters(&snapshot.path));
    let mut shown = BTreeMap::new();
    if let Some(svg) = run.start().and_then(pictures::graph) {
        shown.insert("graph", address("image/svg+xml", svg.as_bytes()));
    }
    if let Some(filters) = &filters {
        shown.insert("filters", address("image/png", &filters.png));
    }
    Whole {
        summary: run.summary(),
        series: run.series(&(i32::MIN..=i32::MAX), POINTS),
        detail: Known::new(detail, filters.as_ref()),
        pictures: shown,
    }
}

/// An address that holds what it points at.
fn address(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", base64(bytes))
}

/// Bytes in the 64 characters of RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfb]), "//77");
    }

    #[test]
    fn the_file_needs_no_other_and_data_does_not_end_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let evil = "</script><script>alert(1)</script></body>";
        let line = format!("{{\"event\":\"train\",\"iter\":0,\"loss\":1,\"outputs\":{{\"{evil}\":2}}}}\n");
        std::fs::write(&path, line).unwrap();
        let page = single_file(&mut Runs::new(vec![path]).unwrap(), evil);
        assert!(
            !page.contains("src=\"app") && !page.contains("href=\"style") && !page.contains("href=\"icon")
        );
        assert!(page.contains("<style>\n/* The looks") && page.contains("default-src 'none'"));
        assert_eq!(page.matches("</script>").count(), 2, "its own");
        assert!(page.trim_end().ends_with("</html>") && page.contains("\\u003c/script>"));
    }
}
