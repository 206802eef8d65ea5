//! House rules that no compiler knows.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lines of a file without its tests: more than this, and it wants to be two.
const LONGEST: usize = 400;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// All Rust files under the folders, with their texts.
fn texts(folders: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    folders.iter().for_each(|f| files(&root.join(f), &mut found));
    found.sort();
    found
        .into_iter()
        .map(|p| (p.strip_prefix(root).unwrap().display().to_string(), fs::read_to_string(&p).unwrap()))
        .collect()
}

#[test]
fn every_file_opens_with_what_it_is() {
    for (path, text) in texts(&["src", "tests", "benches"]) {
        assert!(text.starts_with("//! "), "{path} does not open with a `//!` line");
    }
}

#[test]
fn no_file_is_too_long() {
    for (path, text) in texts(&["src"]) {
        let lines = text.lines().take_while(|l| l.trim() != "#[cfg(test)]" || l.starts_with(' ')).count();
        assert!(lines <= LONGEST, "{path} has {lines} lines before its tests, at most {LONGEST}");
    }
}

#[test]
fn unsafe_code_stays_in_its_corner() {
    for (path, text) in texts(&["src"]) {
        let mut code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
        let found = code.any(|l| l.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "unsafe"));
        let corner = ["src/kernels/simd", "src/comm/mpi.rs"].iter().any(|c| path.starts_with(c));
        assert!(!found || corner, "{path} has unsafe code");
    }
}

#[test]
fn nothing_is_left_for_later() {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    for (path, text) in texts(&["src", "tests", "benches"]) {
        for word in words {
            assert!(!text.contains(word), "{path} has a {word}");
        }
        for (i, line) in text.lines().enumerate() {
            assert!(line.trim_end() == line, "{path}:{} ends in blanks", i + 1);
        }
    }
}

#[test]
fn every_layer_is_named_as_its_file() {
    for (path, text) in texts(&["src/layers"]) {
        let Some(name) = text.split("name: \"").nth(1).and_then(|r| r.split('"').next()) else { continue };
        if !text.contains("pub const KIND: Kind") {
            continue;
        }
        let plain = |s: &str| s.to_lowercase().replace('_', "");
        let file = path.rsplit('/').next().unwrap().trim_end_matches(".rs").to_owned();
        assert_eq!(plain(&file), plain(name), "{path} holds the layer {name}");
    }
}

/// Cargo does not look for tests by itself, as `main.rs` is one program of nearly all.
#[test]
fn every_file_of_tests_is_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [main, manifest] = ["tests/main.rs", "Cargo.toml"].map(|f| fs::read_to_string(root.join(f)).unwrap());
    for entry in fs::read_dir(root.join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|e| e == "rs") || path.join("mod.rs").exists() {
            let run = main.lines().any(|l| l == format!("mod {stem};"))
                || manifest.contains(&format!("path = \"tests/{stem}.rs\""));
            assert!(run, "{} is in neither tests/main.rs nor Cargo.toml", path.display());
        }
    }
}
