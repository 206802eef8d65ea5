//! Holds the table of ARCHITECTURE.md: which module may import which.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A module of the crate and those that it may name after `crate::`.
const TABLE: &[(&str, &[&str])] = &[
    ("comm", &[]),
    ("measures", &[]),
    ("tensor", &[]),
    ("config", &[]),
    ("kernels", &["tensor"]),
    ("data", &["config", "tensor"]),
    ("layers", &["config", "data", "kernels", "tensor"]),
    ("net", &["config", "layers", "kernels", "tensor"]),
    ("snapshot", &["config", "kernels", "layers", "net", "tensor"]),
    ("solver", &["comm", "config", "kernels", "net", "snapshot", "tensor"]),
    ("report", &["config", "measures", "net", "snapshot", "solver", "tensor"]),
    (
        "cli",
        &[
            "comm", "config", "data", "kernels", "layers", "measures", "net", "report", "snapshot", "solver",
            "tensor",
        ],
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The modules that a text names after `crate::`, alone or in a list in braces.
fn imports(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let name = |s: &str| -> String { s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut fresh = true;
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => fresh = true,
                c if depth == 0 && fresh && c.is_alphabetic() => {
                    names.insert(name(&list[i..]));
                    fresh = false;
                }
                _ => {}
            }
        }
    }
    names
}

#[test]
fn modules_import_only_downward() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(module, "lib" | "main") {
            continue;
        }
        let (_, may) = TABLE
            .iter()
            .find(|(m, _)| *m == module)
            .unwrap_or_else(|| panic!("{module} is not in the table"));
        let text = fs::read_to_string(&file).unwrap();
        for import in imports(&text) {
            if import != module && !may.contains(&import.as_str()) {
                wrong.push(format!("{} imports {import}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the table of ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_alone_and_in_lists() {
    let found = imports(
        "use crate::net::Net; use crate::{config::{self, proto::X}, tensor::Shape}; crate::kernels::f()",
    );
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["config", "kernels", "net", "tensor"]);
}

#[test]
fn the_document_has_the_same_table() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    for (module, may) in TABLE {
        let may = if may.is_empty() { "nothing of ours".into() } else { may.join(", ") };
        let row = format!("| {module} | {may} |");
        assert!(text.contains(&row), "ARCHITECTURE.md lacks the row {row}");
    }
}
