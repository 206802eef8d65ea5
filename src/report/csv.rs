//! Fields of tables that commas or the like separate.

/// A field that may hold anything: in quotes where it holds quotes, the delimiter or the end of a line.
pub(super) fn quoted(text: &str, delimiter: char) -> String {
    if text.contains(['"', '\r', '\n', delimiter]) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_quotes_gets_them() {
        assert_eq!(quoted("a, \"b\"", ','), "\"a, \"\"b\"\"\"");
        assert_eq!((quoted("a, b", '\t'), quoted("a\nb", '\t')), ("a, b".into(), "\"a\nb\"".into()));
    }
}
