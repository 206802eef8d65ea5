//! `cnnctl check`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    Done, Failure,
    failure::CONFIG,
    mend, output,
    shape::parse_shape,
    solver_files::{listed_weights, nets_of, test_size},
    state::StateArgs,
    weights,
};
use crate::{
    config::{
        self, ConfigError, Diagnostic, FileKind, NetFile, Severity, SolverFile,
        proto::{NetParameter, NetState, Phase},
    },
    net::check::{self as net_check, Finding, Keeper, Sketch, View},
    report::{self, Tally},
    snapshot::{Fate, Match, Weights},
    solver::{self, SolverError},
    tensor::Shape,
};

/// Check nets and solvers, and explain all that is wrong with them
///
/// Looks at text and binary files, of Caffe's present format and of its earlier ones. A solver is checked together with
/// the nets that it names. The exit status is 2 if there are errors.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Nets and solvers; what a file is shows in its content
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to give the complaints
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
    /// Write what is beyond doubt into the files named here: spellings, words, quotes, old forms. A word
    /// that is only like another, as SELU is like ELU, stays
    #[arg(long)]
    fix: bool,
    /// End with status 2 for warnings, too
    #[arg(long)]
    deny_warnings: bool,
    /// The shape of a data layer's blob, in place of what its data or its settings say; for example data=64,3,32,32
    #[arg(long, value_name = "BLOB=N,C,H,W", value_parser = parse_shape)]
    shape: Vec<(String, Shape)>,
    /// Match these weights with the net's layers; several files are laid over each other
    #[arg(long, value_delimiter = ',', value_parser = weights::parser(), value_name = "FILE,...")]
    weights: Vec<PathBuf>,
    #[command(flatten)]
    state: StateArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    /// As a compiler does.
    Text,
    /// One JSON object.
    Json,
}

/// A spelling is complained of once, however often it stands in a file: mending takes as many rounds.
const MOST_ROUNDS: usize = 1000;

impl CheckArgs {
    pub(super) fn run(self) -> Done {
        let mut checker = Checker {
            view: View { shapes: self.shape.into_iter().collect::<HashMap<_, _>>(), ..View::default() },
            state: self.state,
            weights: self
                .weights
                .iter()
                .map(|p| Ok((p.clone(), Weights::load(p)?)))
                .collect::<Result<_, Failure>>()?,
            tables: Vec::new(),
            done: Vec::new(),
            found: Vec::new(),
        };
        for path in &self.files {
            if self.fix {
                fix(&mut checker, path)?;
            }
            checker.file(path);
        }
        let tally = Tally::of(&checker.found);
        let text = match self.format {
            Format::Text => {
                let tables = checker.tables.iter().map(|(title, m)| report::match_table(title, m));
                tables.fold(report::diagnostics_text(&checker.found), |text, table| text + &table)
            }
            Format::Json => report::diagnostics_json(&checker.found, tally, &checker.tables),
        };
        output::print(&text)?;
        if self.format == Format::Text {
            let mut paths: Vec<&str> = checker.done.iter().map(|(path, _)| &path[..]).collect();
            paths.sort_unstable();
            paths.dedup();
            report::complain(&tally.line(paths.len().max(self.files.len())));
        }
        Ok(if tally.errors > 0 || (self.deny_warnings && tally.warnings > 0) { CONFIG } else { 0 })
    }
}

/// Mends a file until nothing is left that can be; what was found on the way is forgotten.
fn fix(checker: &mut Checker, path: &Path) -> Result<(), Failure> {
    let (found, done) = (checker.found.clone(), checker.done.clone());
    let mut mended = 0;
    for _ in 0..MOST_ROUNDS {
        (checker.found, checker.done) = (Vec::new(), Vec::new());
        checker.file(path);
        let edits = mend::mend(path, &checker.found)?;
        mended += edits;
        if edits == 0 {
            break;
        }
    }
    if mended > 0 {
        report::info(&format!("Mended {} in {mended} places", path.display()));
    }
    if mend::renew(path)? {
        report::info(&format!("Wrote {} anew in today's form, without its comments", path.display()));
    }
    checker.tables.clear();
    (checker.found, checker.done) = (found, done);
    Ok(())
}

/// Checks files, each once.
struct Checker {
    view: View,
    state: StateArgs,
    weights: Vec<(PathBuf, Weights)>,
    /// How weights match, with what they are of.
    tables: Vec<(String, Vec<Match>)>,
    /// Nets that have been checked, with the states.
    done: Vec<(String, Vec<NetState>)>,
    found: Vec<Diagnostic>,
}

impl Checker {
    fn file(&mut self, path: &Path) {
        match config::file_kind(path) {
            Ok(FileKind::Net) => match config::load_net_partly(path) {
                Ok(file) => self.net(&file),
                Err(error) => self.unusable(error),
            },
            Ok(FileKind::Layer) => match fs::read_to_string(path) {
                Ok(text) => match config::layer_from_text(path.display().to_string(), text) {
                    Ok(file) => self.net(&file),
                    Err(error) => self.found.extend(error.0),
                },
                Err(source) => self.unusable(ConfigError::Io { path: path.into(), source }),
            },
            Ok(FileKind::Solver) => match config::load_solver_partly(path) {
                Ok(file) => self.solver(&file),
                Err(error) => {
                    self.unusable(error);
                    nets_of(path).iter().for_each(|net| self.file(net));
                }
            },
            Err(error) => self.unusable(error),
        }
    }

    fn unusable(&mut self, error: ConfigError) {
        match error {
            ConfigError::Invalid(diagnostics) => self.found.extend(diagnostics.0),
            other => self.found.push(Diagnostic::error(Failure::from(&other).into_complaint())),
        }
    }

    /// A net by itself, in the states that it seems to be made for.
    fn net(&mut self, file: &NetFile) {
        let states = net_check::states(&file.net, self.state.level, &self.state.stage);
        let mut found = file.warnings.clone();
        let Some(spoilt) = file.spoilt() else {
            self.take(file.path(), states, found);
            return;
        };
        let guessed_stages = net_check::guesses_stages(&file.net, &self.state.stage);
        let view = View { spoilt, guessed_stages, ..self.view.clone() };
        found.extend(upgraded(file));
        let findings = net_check::check(&file.net, &states, &view).findings;
        found.extend(findings.into_iter().map(|f| placed(file, &file.net, f)));
        let given = std::mem::take(&mut self.weights);
        let all: Vec<_> = states.iter().map(|state| (file, state)).collect();
        found.extend(self.weigh(&all, &given));
        self.weights = given;
        self.take(file.path(), states, found);
    }

    fn solver(&mut self, file: &SolverFile) {
        let mut found = file.warnings.clone();
        found.extend(solver::check(file));
        let sources = match solver::net_sources(file) {
            Ok(sources) => sources,
            Err(error) => {
                let no_net_is_wrong = matches!(error, SolverError::Setting { .. });
                let nets = net_error(file, error);
                let (here, elsewhere) = nets.into_iter().partition(|d| d.path.as_deref() == file.path());
                found.extend::<Vec<_>>(here);
                self.take(file.path(), vec![], found);
                self.found.extend::<Vec<_>>(elsewhere);
                // What is wrong stands in the solver: nets that are there are looked at all the same.
                if let Some(path) = file.path().filter(|_| no_net_is_wrong) {
                    nets_of(Path::new(path)).iter().for_each(|net| self.file(net));
                }
                return;
            }
        };
        let s = &file.solver;
        let state = solver::state_of(Phase::Train, &sources.train.net, s.train_state.as_ref());
        let mut groups = vec![Group { file: &sources.train, states: vec![state], tests: vec![None] }];
        for (i, test) in sources.tests.iter().enumerate() {
            let state = solver::state_of(Phase::Test, &test.net, s.test_state.get(i));
            match groups.iter_mut().find(|g| g.file.path() == test.path() && g.file.net == test.net) {
                Some(group) => {
                    group.states.push(state);
                    group.tests.push(Some(i));
                }
                None => groups.push(Group { file: test, states: vec![state], tests: vec![Some(i)] }),
            }
        }
        let view = View { random_start: s.weights.is_empty(), ..self.view.clone() };
        let mut nets = Vec::new();
        let given = std::mem::take(&mut self.weights);
        let listed = if given.is_empty() { listed_weights(file, &mut found) } else { vec![] };
        let weights = if given.is_empty() { &listed } else { &given };
        let all: Vec<_> = groups.iter().flat_map(|g| g.states.iter().map(|state| (g.file, state))).collect();
        nets.push((sources.train.path().map(str::to_owned), vec![], self.weigh(&all, weights)));
        self.weights = given;
        for Group { file: net, states, tests } in groups {
            let checked = net_check::check(&net.net, &states, &view);
            for (data, test) in checked.data.iter().zip(&tests) {
                found.extend(test_size(file, *data, *test));
            }
            let mut here = net.warnings.clone();
            here.extend(upgraded(net));
            let never = net_check::never_met(&net.net, &states);
            let findings = checked.findings.into_iter().chain(never);
            here.extend(findings.map(|f| placed(net, &net.net, f)));
            nets.push((net.path().map(str::to_owned), states, here));
        }
        self.take(file.path(), vec![], found);
        for (path, states, found) in nets {
            self.take(path.as_deref(), states, found);
        }
    }

    /// Matches weights with nets that share parameters, the first of which is the main one; complains of those that do
    /// not fit.
    fn weigh(&mut self, nets: &[(&NetFile, &NetState)], weights: &[(PathBuf, Weights)]) -> Vec<Diagnostic> {
        let (mut found, mut keepers, mut files) = (Vec::new(), Vec::<Keeper>::new(), Vec::new());
        let Some(&(main, _)) = nets.first().filter(|_| !weights.is_empty()) else { return found };
        for &(file, state) in nets {
            let sketch = Sketch::new(&file.net, state, &self.view, &mut Vec::new());
            let own = |keeper: &Keeper| keepers.iter().all(|known| known.layer != keeper.layer);
            let new: Vec<Keeper> = sketch.keepers().into_iter().filter(own).collect();
            files.resize(files.len() + new.len(), file);
            keepers.extend(new);
        }
        for (path, weights) in weights {
            let matches = weights.matches(&keepers);
            for (m, file) in matches.iter().zip(&files).filter(|(m, _)| m.fate == Fate::Differs) {
                let Some(layer) = file.net.layer.iter().find(|l| l.name() == m.layer) else { continue };
                let message = format!("the weights in {} have another shape", path.display());
                let shapes =
                    |list: &[Shape]| list.iter().map(Shape::to_string).collect::<Vec<_>>().join(", ");
                let hint = "to learn this layer anew, give it another name".to_owned();
                let note = format!("{} in the net, {} in the file", shapes(&m.net), shapes(&m.file));
                found.push(file.error_at(layer, "name", message).hint(hint).note(note));
            }
            if !matches.iter().any(|m| matches!(m.fate, Fate::Loaded | Fate::Unchecked)) {
                let message = format!("no layer finds its weights in {}", path.display());
                found.push(Diagnostic { severity: Severity::Warning, ..main.error("", message) });
            }
            let title = format!("{} in {}", path.display(), main.path().unwrap_or("the net"));
            self.tables.push((title, matches));
        }
        found
    }

    /// Takes the complaints about a file over, in the order of the file, unless it has been checked in these states.
    fn take(&mut self, path: Option<&str>, states: Vec<NetState>, mut found: Vec<Diagnostic>) {
        let key = (path.unwrap_or("").to_owned(), states);
        if self.done.contains(&key) {
            return;
        }
        self.done.push(key);
        found.sort_by_key(|d| d.place.as_ref().map(|p| p.span.start));
        found.retain(|d| !self.found.contains(d));
        found.dedup();
        self.found.extend(found);
    }
}

/// A net of a solver with the states in which it is used.
struct Group<'f> {
    file: &'f NetFile,
    states: Vec<NetState>,
    /// For each state, the number of the test net.
    tests: Vec<Option<usize>>,
}

/// A finding with its place.
fn placed(file: &NetFile, net: &NetParameter, finding: Finding) -> Diagnostic {
    let Finding { severity, layer, field, message, hint, notes, fix, .. } = finding;
    let diagnostic = match layer.and_then(|i| net.layer.get(i)) {
        Some(layer) => file.complain(severity, layer, &field, message),
        None => Diagnostic { severity, ..file.error(&field, message) },
    };
    let fix = fix.map(|word| format!("\"{word}\""));
    Diagnostic { notes: [diagnostic.notes.clone(), notes].concat(), ..diagnostic.hint(hint).fix(fix) }
}

/// A note of the old forms in a file.
fn upgraded(file: &NetFile) -> Option<Diagnostic> {
    let first = file.upgrades.first()?;
    let all = file.upgrades.join(", ");
    let note = file.error(
        "",
        format!("the file has old forms: {}", if file.upgrades.len() == 1 { first } else { &all[..] }),
    );
    let note = Diagnostic { severity: Severity::Note, ..note };
    Some(note.hint("they are upgraded on reading; `--fix` writes them anew".to_owned()))
}

/// What keeps the nets of a solver from being loaded.
fn net_error(file: &SolverFile, error: SolverError) -> Vec<Diagnostic> {
    match error {
        SolverError::Setting { field, message } => {
            let (message, hint) = config::message_and_hint(&message);
            vec![file.error_at(&field, message).hint(hint.map(str::to_owned))]
        }
        SolverError::Config(ConfigError::Invalid(diagnostics)) => diagnostics.0,
        other => vec![Diagnostic::error(other.to_string())],
    }
}
