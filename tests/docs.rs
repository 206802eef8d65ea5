//! What the documentation shows works, and it leaves nothing out.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path};

use cnnctl::{
    config::{Severity, load_solver},
    solver::{check, lr_policy, rules},
};

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// The blocks of a Markdown text in this language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    text.split(&start[..]).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn solvers_that_are_shown_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let text = document("solvers.md");
    let shown = blocks(&text, "prototxt");
    assert!(shown.len() > 3);
    for block in shown {
        let path = folder.path().join("solver.prototxt");
        fs::write(&path, block).unwrap();
        let file = load_solver(&path).unwrap_or_else(|e| panic!("{e}\n{block}"));
        assert!(file.warnings.is_empty(), "{block}");
        // That a folder for snapshots is not there yet is no fault.
        let odd = check(&file).into_iter().find(|d| d.severity != Severity::Note);
        assert!(odd.is_none(), "{}\n{block}", odd.unwrap());
    }
}

#[test]
fn every_rule_and_policy_is_told_with_what_it_reads() {
    let text = document("solvers.md");
    let row = |name: &str| {
        let start = format!("| `{name}` |");
        text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no row of {name}"))
    };
    let rules = rules::RULES.iter().map(|rule| (rule.name, rule.reads));
    for (name, reads) in rules.chain(lr_policy::POLICIES.iter().map(|policy| (policy.name, policy.reads))) {
        let row = row(name);
        for field in reads.iter().filter(|_| !row.contains("see below")) {
            assert!(row.contains(&format!("`{field}`")), "the row of {name} lacks {field}");
        }
    }
}
