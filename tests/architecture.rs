//! Holds the table of ARCHITECTURE.md: which module may import which.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A module of the crate and those that it may name after `crate::`.
const TABLE: &[(&str, &[&str])] = &[
    ("comm", &[]),
    ("measures", &[]),
    ("files", &[]),
    ("tensor", &[]),
    ("config", &[]),
    ("kernels", &["tensor"]),
    ("data", &["config", "files", "tensor"]),
    ("layers", &["config", "data", "kernels", "tensor"]),
    ("net", &["config", "layers", "kernels", "tensor"]),
    ("snapshot", &["config", "files", "kernels", "layers", "net", "tensor"]),
    ("solver", &["comm", "config", "kernels", "net", "snapshot", "tensor"]),
    ("report", &["config", "measures", "net", "snapshot", "solver", "tensor"]),
    (
        "cli",
        &[
            "comm", "config", "data", "files", "kernels", "layers", "measures", "net", "report", "snapshot",
            "solver", "tensor",
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

/// A module's path from the root of the crate.
type Module = Vec<String>;

/// The modules of the crate with their texts, without comments and without what is for tests alone.
fn modules(root: &Path) -> BTreeMap<Module, String> {
    let mut files = Vec::new();
    sources(root, &mut files);
    let module = |file: PathBuf| {
        let path = file.strip_prefix(root).unwrap().with_extension("");
        let mut names: Module = path.iter().map(|n| n.to_str().unwrap().to_owned()).collect();
        names.pop_if(|last| matches!(&last[..], "mod" | "lib"));
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let mut code: String = code.collect::<Vec<_>>().join("\n");
        code.truncate(code.find("mod tests {").unwrap_or(code.len()));
        // A single item that only tests see.
        while let Some(at) = code.find("#[cfg(test)]\n") {
            let end = code[at..].find([';', ',']).map_or(code.len(), |end| at + end);
            code.replace_range(at..end, "");
        }
        (names, code)
    };
    files.retain(|file| !file.ends_with("tests.rs"));
    files.into_iter().map(module).collect()
}

/// The paths that begin at a text's start: one, or those of a list in braces, and of the lists in it.
fn paths(text: &str) -> Vec<Module> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    let names = || text[..end].split("::").filter(|name| !name.is_empty()).map(str::to_owned);
    let Some(list) = text[end..].strip_prefix('{').filter(|_| text[..end].ends_with("::") || end == 0) else {
        return vec![names().filter(|name| name != "self").collect()];
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (i, c) in list.char_indices() {
        if depth == 0 && matches!(c, ',' | '}') {
            found.extend(paths(list[start..i].trim()));
            start = i + 1;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    found.into_iter().map(|rest| names().chain(rest).collect()).collect()
}

/// A path of `module` from the root of the crate, if it leads there.
fn absolute(module: &[String], path: &[String], all: &BTreeMap<Module, String>) -> Option<Module> {
    let up = path.iter().take_while(|name| *name == "super").count();
    let child = [module, &path[..1.min(path.len())]].concat();
    match path.first().map(|name| &name[..])? {
        "crate" => Some(path[1..].to_vec()),
        "super" => Some([&module[..module.len().checked_sub(up)?], &path[up..]].concat()),
        "self" => Some([module, &path[1..]].concat()),
        _ => all.contains_key(&child).then(|| [module, path].concat()),
    }
}

/// What modules take from others, by the place where it is written: names that a module gives on are found where they come
/// from.
fn imports_by_file(all: &BTreeMap<Module, String>) -> Vec<(Module, Module)> {
    let (mut given, mut used) = (BTreeMap::new(), Vec::new());
    for (module, text) in all {
        let mut rest = String::new();
        for statement in text.split_inclusive(';') {
            let reexport = statement.trim_start().split_once(" use ");
            match reexport.filter(|(head, _)| head.starts_with("pub") && !head.contains([' ', '\n'])) {
                Some((_, tree)) => {
                    for path in paths(tree).iter().filter_map(|path| absolute(module, path, all)) {
                        given.insert([&module[..], &path[path.len() - 1..]].concat(), path);
                    }
                }
                None => rest += statement,
            }
        }
        let starts = ["crate::", "super::", "self::"].iter().flat_map(|word| rest.match_indices(word));
        let starts = starts
            .filter(|(at, _)| !rest[..*at].ends_with(|c: char| c.is_alphanumeric() || c == ':' || c == '_'));
        let found =
            starts.flat_map(|(at, _)| paths(&rest[at..])).filter_map(|path| absolute(module, &path, all));
        used.extend(found.map(|path| (module.clone(), path)));
    }
    let home = |path: &Module| {
        let mut path = path.clone();
        for _ in 0..8 {
            let known = (1..=path.len()).find_map(|n| Some((n, given.get(&path[..n])?)));
            let Some((n, from)) = known else { break };
            path = [&from[..], &path[n..]].concat();
        }
        (0..=path.len()).rev().map(|n| path[..n].to_vec()).find(|path| all.contains_key(path))
    };
    used.iter().filter_map(|(module, path)| Some((module.clone(), home(path)?))).collect()
}

/// Files and folders side by side import each other in one direction only, so that each can be read with what is below it.
#[test]
fn siblings_do_not_import_each_other() {
    let all = modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut below: BTreeMap<(Module, String), BTreeSet<String>> = BTreeMap::new();
    for (from, to) in imports_by_file(&all) {
        let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
            below.entry((from[..shared].to_vec(), a.clone())).or_default().insert(b.clone());
        }
    }
    let mut tied = BTreeMap::new();
    for (folder, name) in below.keys() {
        let mut reached = BTreeSet::new();
        let mut open = vec![name];
        while let Some(here) = open.pop() {
            let next = below.get(&(folder.clone(), here.clone())).into_iter().flatten();
            open.extend(next.filter(|next| reached.insert(*next)));
        }
        if reached.contains(name) {
            tied.entry(folder.join("/")).or_insert_with(Vec::new).push(name);
        }
    }
    assert!(tied.is_empty(), "these lead back to themselves, each in its folder: {tied:?}");
}

#[test]
fn paths_are_found_in_lists_of_lists() {
    let found = paths("super::{a, b::{self, c as d, e::F}, g};").into_iter().map(|path| path.join("::"));
    assert_eq!(
        found.collect::<Vec<_>>(),
        ["super::a", "super::b", "super::b::c", "super::b::e::F", "super::g"]
    );
    assert_eq!(paths("crate::x::y(1)"), [["crate", "x", "y"]]);
}
