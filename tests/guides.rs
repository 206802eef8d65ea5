//! The guides in `docs`: their commands run, and the messages that they explain exist.

use std::{fs, os::unix, path::Path, process::Command};

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// A block with a name or a kind behind its language: `(language, rest, text)`.
fn blocks(text: &str) -> Vec<(&str, &str, &str)> {
    let fenced = text.split("\n```").skip(1).step_by(2);
    let split = fenced.map(|block| block.split_once('\n').unwrap_or((block, "")));
    split
        .map(|(head, body)| {
            let (language, rest) = head.split_once(' ').unwrap_or((head, ""));
            (language, rest, body)
        })
        .collect()
}

/// A folder with the repository's models and digits, where 1200 iterations are 60.
fn workshop() -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for name in ["models", "data"] {
        unix::fs::symlink(root.join(name), folder.path().join(name)).unwrap();
    }
    fs::create_dir(folder.path().join("solvers")).unwrap();
    for name in ["digits.prototxt", "age_net.prototxt"] {
        let text = fs::read_to_string(root.join("solvers").join(name)).unwrap();
        fs::write(folder.path().join("solvers").join(name), fewer_iterations(&text)).unwrap();
    }
    folder
}

fn fewer_iterations(text: &str) -> String {
    text.replace("1200", "60").replace("snapshot: 600", "snapshot: 30").replace("iter_600", "iter_30")
}

/// Runs the `sh` blocks of a page in order, with its named files; what stands in `output` blocks must be printed.
fn follow(page: &str) {
    let folder = workshop();
    let program = Path::new(env!("CARGO_BIN_EXE_cnnctl")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let text = document(page);
    let (mut printed, mut ran) = (None, 0);
    for (language, rest, body) in blocks(&text) {
        match (language, rest) {
            ("prototxt", name) if !name.is_empty() => fs::write(folder.path().join(name), body).unwrap(),
            ("sh", "") => {
                let output = Command::new("sh")
                    .args(["-ec", &fewer_iterations(body)])
                    .current_dir(folder.path())
                    .env("PATH", &path)
                    .env_remove("RUST_LOG")
                    .output()
                    .unwrap();
                let all = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap()).concat();
                assert!(output.status.success(), "{page}:\n{body}\n{all}");
                printed = Some(all);
                ran += 1;
            }
            ("sh", _) => printed = None,
            ("output", _) => {
                let Some(printed) = &printed else { continue };
                for line in body.lines().map(|line| line.trim_matches([' ', '.'])) {
                    assert!(printed.contains(line), "{page} shows\n{line}\nbut this is printed:\n{printed}");
                }
            }
            _ => {}
        }
    }
    assert!(ran >= 7, "{page} has {ran} blocks to run");
}

#[test]
fn first_steps_can_be_followed() {
    follow("first-steps.md");
}

#[test]
fn the_course_can_be_followed() {
    follow("course.md");
}

/// The dashboard's page has single commands, which each start from what the ones before have left.
#[test]
fn the_commands_of_the_dashboard_run() {
    let folder = workshop();
    let run = |command: &str| {
        let mut words = command.split_whitespace().skip(1).collect::<Vec<_>>();
        if words[0] == "dashboard" {
            // It would serve until it is stopped: that it takes these options must do.
            words.push("--help");
        }
        let mut program = Command::new(env!("CARGO_BIN_EXE_cnnctl"));
        let output = program.args(words).current_dir(folder.path()).env_remove("RUST_LOG").output().unwrap();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    let page = document("dashboard.md");
    let commands: Vec<_> = page.lines().filter(|line| line.starts_with("    cnnctl ")).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    let (train, rest): (Vec<_>, Vec<_>) = commands.iter().partition(|c| c.contains("cnnctl train"));
    train.into_iter().for_each(&run);
    // Whatever runs it compares, these are there.
    for name in ["a", "b"] {
        fs::copy(folder.path().join("runs/digits.jsonl"), folder.path().join(format!("runs/{name}.jsonl")))
            .unwrap();
    }
    rest.into_iter().for_each(run);
    for name in ["runs/digits.jsonl", "digits.html", "compared.html"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

/// The program's text with strings of several lines joined.
fn source(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &source(&path);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let mut pieces = text.split("\\\n");
            all += pieces.next().unwrap();
            pieces.for_each(|piece| all += piece.trim_start());
        }
    }
    all
}

#[test]
fn messages_that_are_explained_exist() {
    let text = document("troubleshooting.md");
    let source = source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let messages: Vec<_> = text.split("**`").skip(1).map(|rest| rest.split("`**").next().unwrap()).collect();
    assert!(messages.len() > 25, "{messages:?}");
    for message in messages {
        for part in message.split("...").map(|part| part.trim_matches([' ', ':', ','])) {
            assert!(source.contains(part), "no message has `{part}`");
        }
    }
}

#[test]
fn every_page_is_found_from_the_readme() {
    let contents = document("README.md");
    let front = document("../README.md");
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let linked = contents.contains(&format!("]({name})")) || front.contains(&format!("](docs/{name})"));
        assert!(linked || !name.ends_with(".md"), "no table of contents names docs/{name}");
    }
}
