//! Hundreds of mistakes in real nets, each of which `cnnctl check` must find, and in the right line.
//!
//! Every net of `models/` is printed with a field a line; then one line is changed as a person might get it wrong.
//! Changes that leave another valid net, such as a dropped `stride`, are not among them. The right line is the changed
//! one, or, where a line is missing or two blobs are mixed up, one of the layer's.

use std::{collections::BTreeMap, fs, ops::RangeInclusive, path::Path, process::Command};

use cnnctl::config::{load_net, text::print};

/// A mistake made in one place.
struct Mutation {
    kind: &'static str,
    text: String,
    /// Where the complaint may stand, in lines from 1.
    lines: RangeInclusive<usize>,
    /// What was done, for messages.
    what: String,
}

/// A net, a field a line.
struct Lines(Vec<String>);

/// A layer: its lines, from its opening to its closing brace, from 0.
#[derive(Clone, Copy)]
struct Block(usize, usize);

impl Lines {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut start = None;
        for (i, line) in self.0.iter().enumerate() {
            match &line[..] {
                "layer {" => start = Some(i),
                "}" => blocks.extend(start.take().map(|start| Block(start, i))),
                _ => {}
            }
        }
        blocks
    }

    fn layer_type(&self, block: Block) -> &str {
        let line = self.0[block.0..block.1].iter().find_map(|l| l.strip_prefix("  type: \""));
        line.map_or("", |t| t.trim_end_matches('"'))
    }

    fn with(&self, at: usize, line: String) -> String {
        let mut lines = self.0.clone();
        lines[at] = line;
        lines.join("\n") + "\n"
    }

    fn without(&self, at: usize) -> String {
        let mut lines = self.0.clone();
        lines.remove(at);
        lines.join("\n") + "\n"
    }

    fn after(&self, at: usize, line: &str) -> String {
        let mut lines = self.0.clone();
        lines.insert(at + 1, line.to_owned());
        lines.join("\n") + "\n"
    }
}

/// `kernel_size: 5` in its parts.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.trim().split_once(": ")?;
    Some((name, value))
}

/// A word with a typing error; which one depends on `turn`.
fn misspelt(word: &str, turn: usize) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let at = 1 + turn % (letters.len() - 2);
    match turn % 4 {
        0 if letters[at] != letters[at + 1] => letters.swap(at, at + 1),
        1 => {
            letters.remove(at);
        }
        2 => letters.insert(at, letters[at]),
        _ => letters[at] = if letters[at] == 'x' { 'y' } else { 'x' },
    }
    letters.into_iter().collect()
}

/// Values that no net can have there.
fn out_of_range(name: &str, layer: &str) -> &'static [&'static str] {
    match (name, layer) {
        ("num_output", _) => &["0", "-5", "5000000000"],
        ("kernel_size", "Convolution") => &["0", "30000", "-1"],
        ("kernel_size", "Pooling") => &["0", "30000"],
        ("stride", _) => &["0", "-2"],
        ("pad", "Pooling") => &["100", "-1"],
        ("pad", _) => &["-1"],
        ("group", _) => &["0", "7"],
        ("dropout_ratio", _) => &["1.5", "-0.5"],
        ("local_size", "LRN") => &["4", "0"],
        ("lr_mult", _) | ("decay_mult", _) => &["-1"],
        ("batch_size", _) => &["0", "-1"],
        ("axis", _) => &["9"],
        ("eps", _) => &["-1"],
        ("scale", "Data") => &["0"],
        _ => &[],
    }
}

/// Every mistake that can be made in a net.
fn mutations(lines: &Lines) -> Vec<Mutation> {
    let mut all = Vec::new();
    let mut turn = 0;
    for block in lines.blocks() {
        let layer = lines.layer_type(block).to_owned();
        let whole = block.0 + 1..=block.1 + 1;
        for at in block.0..=block.1 {
            turn += 1;
            let line = &lines.0[at];
            let indent = &line[..line.len() - line.trim_start().len()];
            let mut add = |kind, text, lines: RangeInclusive<usize>, what: String| {
                all.push(Mutation { kind, text, lines, what: format!("{what} (line {})", at + 1) });
            };
            let here = at + 1..=at + 1;
            if let Some(name) = line.trim().strip_suffix(" {").filter(|_| at > block.0) {
                let wrong = misspelt(name, turn);
                add("misspelt", lines.with(at, format!("{indent}{wrong} {{")), here.clone(), wrong);
            }
            let Some((name, value)) = field(line) else { continue };
            if name.len() > 3 && name != "name" {
                let wrong = misspelt(name, turn);
                add("misspelt", lines.with(at, format!("{indent}{wrong}: {value}")), here.clone(), wrong);
                let capital = name[..1].to_uppercase() + &name[1..];
                add("misspelt", lines.with(at, format!("{indent}{capital}: {value}")), here.clone(), capital);
            }
            if value.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
                let wrong = value.to_lowercase();
                add("enum", lines.with(at, format!("{indent}{name}: {wrong}")), here.clone(), wrong);
                let wrong = misspelt(&format!("{value}_"), turn);
                add("enum", lines.with(at, format!("{indent}{name}: {wrong}")), here.clone(), wrong);
                add(
                    "enum",
                    lines.with(at, format!("{indent}{name}: \"{value}\"")),
                    here.clone(),
                    "quoted".into(),
                );
            }
            if value.parse::<f64>().is_ok() {
                add(
                    "type",
                    lines.with(at, format!("{indent}{name}: \"{value}\"")),
                    here.clone(),
                    "quoted".into(),
                );
                add("type", lines.with(at, format!("{indent}{name}: many")), here.clone(), "a word".into());
                add(
                    "type",
                    lines.with(at, format!("{indent}{name} {value}")),
                    here.clone(),
                    "no colon".into(),
                );
                let once = !["kernel_size", "stride", "pad", "dilation", "dim", "stepvalue"].contains(&name);
                if once || layer == "Pooling" {
                    add("duplicate", lines.after(at, line), at + 1..=at + 2, format!("{name} twice"));
                }
            }
            for wrong in out_of_range(name, &layer) {
                let what = format!("{name}: {wrong}");
                add("range", lines.with(at, format!("{indent}{what}")), here.clone(), what);
            }
            match name {
                "type" if indent == "  " => {
                    let plain = value.trim_matches('"');
                    for wrong in [misspelt(plain, turn), plain.to_lowercase()] {
                        if wrong != plain {
                            let text = lines.with(at, format!("  type: \"{wrong}\""));
                            add("layer type", text, here.clone(), wrong);
                        }
                    }
                    add(
                        "layer type",
                        lines.with(at, format!("  type: {plain}")),
                        here.clone(),
                        "unquoted".into(),
                    );
                    add("dropped", lines.without(at), whole.clone(), "type".into());
                }
                "type" => {
                    let wrong = misspelt(value.trim_matches('"'), turn);
                    add("filler", lines.with(at, format!("{indent}type: \"{wrong}\"")), here.clone(), wrong);
                }
                "bottom" => {
                    let wrong = misspelt(&format!("{}_", value.trim_matches('"')), turn);
                    add("bottom", lines.with(at, format!("  bottom: \"{wrong}\"")), here.clone(), wrong);
                    if !["Concat", "Eltwise", "Silence"].contains(&&layer[..]) {
                        add("dropped", lines.without(at), whole.clone(), "bottom".into());
                        add("bottom", lines.after(at, line), whole.clone(), "bottom twice".into());
                    }
                    if value != "\"label\"" && lines.0.iter().any(|l| l == "  top: \"label\"") {
                        let text = lines.with(at, "  bottom: \"label\"".into());
                        add("bottom", text, whole.clone(), "label for a bottom".into());
                    }
                }
                "top" if !layer.ends_with("Loss") && layer != "Data" => {
                    add("dropped", lines.without(at), whole.clone(), "top".into());
                }
                "num_output" | "batch_size" | "source" => {
                    add("dropped", lines.without(at), whole.clone(), name.into());
                    if name == "num_output" {
                        let text = lines.without(at).lines().fold(String::new(), |mut text, l| {
                            text += l;
                            text.push('\n');
                            text
                        });
                        let mut moved: Vec<&str> = text.lines().collect();
                        let inside = format!("  {}", line.trim());
                        moved.insert(block.0 + 1, &inside);
                        let here = block.0 + 2..=block.0 + 2;
                        add("misplaced", moved.join("\n") + "\n", here, "num_output in the layer".into());
                    }
                }
                "kernel_size" | "dropout_ratio" | "local_size" | "pool" => {
                    if name == "kernel_size" {
                        add("dropped", lines.without(at), whole.clone(), name.into());
                    }
                    let mut moved = lines.0.clone();
                    let inside = format!("  {}", moved.remove(at).trim());
                    moved.insert(block.0 + 1, inside);
                    let here = block.0 + 2..=block.0 + 2;
                    add("misplaced", moved.join("\n") + "\n", here, format!("{name} in the layer"));
                }
                "lr_mult" => {
                    let text = lines.after(block.0, &format!("  {}", line.trim()));
                    let here = block.0 + 2..=block.0 + 2;
                    add("misplaced", text, here, "lr_mult in the layer".into());
                }
                _ => {}
            }
        }
        let strays: &[&str] = match &layer[..] {
            "Convolution" => &["pooling_param", "inner_product_param"],
            "Pooling" => &["convolution_param", "lrn_param"],
            "ReLU" => &["dropout_param", "elu_param"],
            "InnerProduct" => &["convolution_param"],
            "Softmax" | "SoftmaxWithLoss" => &["accuracy_param"],
            "Data" | "Input" => &["hdf5_data_param"],
            _ => &["relu_param"],
        };
        for stray in strays.iter().filter(|_| layer != "ReLU" || turn % 2 == 0) {
            let here = block.0 + 2..=block.0 + 2;
            let text = lines.after(block.0, &format!("  {stray} {{ }}"));
            all.push(Mutation { kind: "stray", text, lines: here, what: format!("{stray} in {layer}") });
        }
    }
    all
}

/// The shapes of data that is not at hand.
const SHAPES: &[(&str, &str)] = &[
    ("cifar10_full", "data=100,3,32,32"),
    ("cifar10_quick", "data=100,3,32,32"),
    ("lenet", "data=64,1,28,28"),
    ("locally_connected", "data=100,3,24,24"),
];

/// The lines of complaints by file name.
type Complaints = BTreeMap<String, Vec<usize>>;

fn check(folder: &Path, shape: Option<&str>) -> Complaints {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnnctl"));
    command.args(["check", "--format", "json", "--threads", "1"]).args(&files);
    command.args(shape.iter().flat_map(|s| ["--shape", s]));
    let output = command.output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = Complaints::new();
    for d in json["diagnostics"].as_array().unwrap().iter().filter(|d| d["severity"] != "note") {
        let file = Path::new(d["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
        found.entry(file).or_default().push(d["line"].as_u64().unwrap_or(0) as usize);
    }
    found
}

#[test]
fn nineteen_mistakes_of_twenty_are_found_in_the_right_line() {
    /// So many of each kind in each net.
    const EACH: usize = 2;
    let mut score: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut missed = Vec::new();
    let mut models: Vec<_> = fs::read_dir("models").unwrap().map(|e| e.unwrap().path()).collect();
    models.retain(|path| path.is_dir());
    models.sort();
    for (number, path) in models.iter().flat_map(|m| ["train_val", "deploy"].map(|f| m.join(f))).enumerate() {
        let path = path.with_extension("prototxt");
        let folder = tempfile::tempdir().unwrap();
        let text = print(&load_net(&path).unwrap().net);
        fs::write(folder.path().join("0.prototxt"), &text).unwrap();
        let lines = Lines(text.lines().map(str::to_owned).collect());
        let mut by_kind: BTreeMap<&str, Vec<Mutation>> = BTreeMap::new();
        mutations(&lines).into_iter().for_each(|m| by_kind.entry(m.kind).or_default().push(m));
        let mut chosen = Vec::new();
        for list in by_kind.into_values() {
            // Spread over the net, starting elsewhere in each.
            let step = (list.len() / EACH).max(1);
            let skip = number * 7 % step;
            chosen.extend(list.into_iter().skip(skip).step_by(step).take(EACH));
        }
        for (i, mutation) in chosen.iter().enumerate() {
            fs::write(folder.path().join(format!("{}.prototxt", i + 1)), &mutation.text).unwrap();
        }
        let model = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let shape = SHAPES.iter().find(|(name, _)| *name == model).map(|(_, shape)| *shape);
        let found = check(folder.path(), shape);
        assert_eq!(found.get("0.prototxt"), None, "{} is clean before the changes", path.display());
        for (i, mutation) in chosen.iter().enumerate() {
            let complaints = found.get(&format!("{}.prototxt", i + 1)).cloned().unwrap_or_default();
            let hit = complaints.iter().any(|line| mutation.lines.contains(line));
            let (hits, all) = score.entry(mutation.kind).or_default();
            *hits += usize::from(hit);
            *all += 1;
            if !hit {
                let what = format!("{}: {}, {}", path.display(), mutation.kind, mutation.what);
                missed.push(format!("{what}: expected {:?}, found {complaints:?}", mutation.lines));
            }
        }
    }
    let (hits, all) = score.values().fold((0, 0), |(h, a), (hits, all)| (h + hits, a + all));
    let report: Vec<String> =
        score.iter().map(|(kind, (hits, all))| format!("{kind} {hits}/{all}")).collect();
    let report = format!("{hits} of {all} found: {}\nmissed:\n{}", report.join(", "), missed.join("\n"));
    println!("{report}");
    assert!(all >= 300, "only {all} mutations");
    assert!(hits * 100 >= all * 95, "{report}");
}
