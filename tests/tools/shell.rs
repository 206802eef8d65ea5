//! Completions and manual pages.

use std::fs;

use super::run;

const COMMANDS: [&str; 6] = ["train", "test", "check", "time", "export", "dashboard"];

#[test]
fn every_shell_learns_all_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (status, script, _) = run(folder.path(), &["completions", shell]);
        assert_eq!(status, 0);
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
    assert_eq!(run(folder.path(), &["completions", "csh"]).0, 2);
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &["man", "pages/man1"]).0, 0);
    let page = |name: &str| fs::read_to_string(folder.path().join(format!("pages/man1/{name}.1"))).unwrap();
    assert!(COMMANDS.iter().all(|command| page("cnnctl").contains(command)));
    assert!(COMMANDS.iter().all(|command| page(&format!("cnnctl-{command}")).starts_with(".ie \\n(.g")));
    assert!(page("cnnctl-train").contains("solver"));
    fs::write(folder.path().join("file"), "").unwrap();
    assert_eq!(run(folder.path(), &["man", "file"]).0, 1);
}
