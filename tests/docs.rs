//! What the documentation shows works, and it leaves nothing out.

use std::{fs, os::unix, path::Path, process::Command};

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

#[test]
fn commands_that_look_inside_a_net_work() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["data", "models"] {
        let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        unix::fs::symlink(there, folder.path().join(name)).unwrap();
    }
    // A short training will do.
    let solver =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("solvers/digits.prototxt")).unwrap();
    fs::create_dir(folder.path().join("solvers")).unwrap();
    fs::write(folder.path().join("solvers/digits.prototxt"), solver.replace("1200", "60")).unwrap();
    let text = document("looking-inside.md").replace("1200", "60").replace("\\\n", "");
    let commands: Vec<&str> = blocks(&text, "sh").into_iter().flat_map(str::lines).collect();
    assert!(commands.len() > 7, "{commands:?}");
    for command in commands {
        let mut words = command.split_whitespace();
        assert_eq!(words.next(), Some("cnnctl"), "{command}");
        let mut program = Command::new(env!("CARGO_BIN_EXE_cnnctl"));
        let output = program.args(words).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    // Every picture that they promise is there.
    for picture in ["confusion", "roc", "worst", "filters", "conv2", "conv1", "occlusion", "why_not_eight"] {
        let bytes = fs::read(folder.path().join(format!("{picture}.png"))).unwrap();
        assert!(image::load_from_memory(&bytes).is_ok(), "{picture}");
    }
}
