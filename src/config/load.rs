//! Files of nets and solvers: read, upgraded, and ready to say where each field stands.

use std::path::{Path, PathBuf};
use std::{fs, io};

use prost::{Message, Name};
use thiserror::Error;

use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::file_map::FileMap;
use super::proto::{LayerParameter, NetParameter, SolverParameter};
use super::source::{Location, Source, Span};
use super::text;
use super::upgrade::{self, Complaint, Upgraded};

/// Why a file of a net or a solver cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file says something wrong. The text is complete: it needs no `error:` before it.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
    /// The file is a text in two bytes a letter, as some programs of Windows save it.
    #[error("{} is UTF-16; save it as UTF-8", path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// The file is no text, and no message in protobuf's binary format either.
    #[error("{} is neither a text nor a binary {kind}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What it should be: `net` or `solver`.
        kind: &'static str,
        /// What is wrong with it as a binary file.
        source: prost::DecodeError,
    },
}

/// A net, in today's form, and the file it came from.
#[derive(Clone, Debug)]
pub struct NetFile {
    /// The net, unfiltered.
    pub net: NetParameter,
    /// The file.
    pub file: FileMap,
    /// What is odd about it, though it can be used.
    pub warnings: Vec<Diagnostic>,
    /// The old forms that were upgraded.
    pub upgrades: Vec<&'static str>,
}

impl NetFile {
    /// The file's name, if there is a file.
    pub fn path(&self) -> Option<&str> {
        self.file.path()
    }

    /// Where a layer's field stands, or else the layer. An empty `field` means the layer.
    pub fn locate(&self, layer: &LayerParameter, field: &str) -> Option<Location> {
        self.file.location(self.file.layer_span(layer.cnnctl_origin, field))
    }

    /// An error about a layer's field, or about the layer if `field` is empty or not in the text. The message
    /// gets the layer's name before it.
    pub fn error_at(&self, layer: &LayerParameter, field: &str, message: impl Into<String>) -> Diagnostic {
        self.complain(Severity::Error, layer, field, message.into())
    }

    /// A warning, else as `error_at`.
    pub fn warning_at(&self, layer: &LayerParameter, field: &str, message: impl Into<String>) -> Diagnostic {
        self.complain(Severity::Warning, layer, field, message.into())
    }

    /// The layers, by their place in the net, that errors among the warnings stand in; none if an error stands in no
    /// layer, so that layers may be missing.
    pub fn spoilt(&self) -> Option<Vec<usize>> {
        let errors = self.warnings.iter().filter(|d| d.severity == Severity::Error);
        errors
            .map(|d| {
                let at = d.place.as_ref()?.span.start;
                let holds = |l: &LayerParameter| l.cnnctl_origin.is_some_and(|o| self.file.spans_of(o, at));
                self.net.layer.iter().position(holds)
            })
            .collect()
    }

    /// An error about a field of the net itself, or about the whole file if `field` is not in the text.
    pub fn error(&self, field: &str, message: impl Into<String>) -> Diagnostic {
        self.file.complaint(Severity::Error, message.into(), self.file.top_span(field))
    }

    /// A complaint about a layer's field, else as `error_at`.
    pub fn complain(
        &self,
        severity: Severity,
        layer: &LayerParameter,
        field: &str,
        message: String,
    ) -> Diagnostic {
        self.file.layer_complaint(severity, layer.name(), layer.cnnctl_origin, field, &message)
    }
}

/// A solver, in today's form, and the file it came from.
#[derive(Clone, Debug)]
pub struct SolverFile {
    /// The solver.
    pub solver: SolverParameter,
    /// The file.
    pub file: FileMap,
    /// What is odd about it, though it can be used.
    pub warnings: Vec<Diagnostic>,
    /// The old forms that were upgraded.
    pub upgrades: Vec<&'static str>,
}

impl SolverFile {
    /// The file's name, if there is a file.
    pub fn path(&self) -> Option<&str> {
        self.file.path()
    }

    /// Where a field stands.
    pub fn locate(&self, field: &str) -> Option<Location> {
        self.file.location(self.file.top_span(field))
    }

    /// An error about a field, or about the whole file if the field is not in the text.
    pub fn error_at(&self, field: &str, message: impl Into<String>) -> Diagnostic {
        self.file.complaint(Severity::Error, message.into(), self.file.top_span(field))
    }

    /// A warning, else as `error_at`.
    pub fn warning_at(&self, field: &str, message: impl Into<String>) -> Diagnostic {
        self.file.complaint(Severity::Warning, message.into(), self.file.top_span(field))
    }

    /// A net that stands inside the solver, `net_param` and its like, as a file of its own.
    pub fn inline_net(&self, net: &NetParameter) -> NetFile {
        NetFile { net: net.clone(), file: self.file.clone(), warnings: Vec::new(), upgrades: Vec::new() }
    }

    /// The files of weights that training starts from, each with the number of the setting that lists it.
    pub fn weights(&self) -> impl Iterator<Item = (usize, PathBuf)> {
        let listed = self.solver.weights.iter().enumerate();
        listed.flat_map(|(i, list)| list.split(',').map(move |path| (i, PathBuf::from(path.trim()))))
    }

    /// What the names of snapshots begin with: `snapshot_prefix`, where a directory gets the solver file's
    /// stem; without it the solver file's path without its extension. What ends in `/` is a directory whether it is
    /// there yet or not: the first run makes it, and the second must find the same names.
    pub fn snapshot_prefix(&self) -> PathBuf {
        let path = Path::new(self.path().unwrap_or("solver"));
        match &self.solver.snapshot_prefix {
            None => path.with_extension(""),
            Some(prefix) if prefix.ends_with('/') || Path::new(prefix).is_dir() => {
                Path::new(prefix).join(path.file_stem().unwrap_or_default())
            }
            Some(prefix) => prefix.into(),
        }
    }
}

/// Reads a net from a text or binary file; its content tells which it is.
pub fn load_net(path: impl AsRef<Path>) -> Result<NetFile, ConfigError> {
    let path = path.as_ref();
    match read(path, "net")? {
        Content::Text(text, warning) => {
            let mut file = net_from_text(shown(path), text)?;
            file.warnings.splice(0..0, warning.map(|w| *w));
            Ok(file)
        }
        Content::Binary(net) => Ok(net_file(net, FileMap::binary(shown(path)), vec![])?),
    }
}

/// Reads what can be read of a net with errors in it, which are then among its warnings.
pub fn load_net_partly(path: impl AsRef<Path>) -> Result<NetFile, ConfigError> {
    let path = path.as_ref();
    let Content::Text(text, warning) = read::<NetParameter>(path, "net")? else { return load_net(path) };
    let parsed = text::parse_partly::<NetParameter>(shown(path), text)?;
    let known = warning.map(|w| *w).into_iter().chain(parsed.warnings);
    match net_file(parsed.message, FileMap::new(parsed.source, parsed.spans), vec![]) {
        Ok(file) => Ok(NetFile { warnings: known.chain(file.warnings).collect(), ..file }),
        Err(more) => Err(Diagnostics(known.chain(more.0).collect()).into()),
    }
}

/// Reads a net from the text of the file `path`.
pub fn net_from_text(path: impl Into<String>, text: impl Into<String>) -> Result<NetFile, Diagnostics> {
    let parsed = text::parse::<NetParameter>(path, text)?;
    let file = FileMap::new(parsed.source, parsed.spans);
    net_file(parsed.message, file, parsed.warnings)
}

/// Takes a net that comes from no file of its own, for example one that was kept in a snapshot.
pub fn net_from_param(net: NetParameter) -> Result<NetFile, Diagnostics> {
    net_file(net, FileMap::default(), vec![])
}

/// Reads a solver from a text or binary file; its content tells which it is.
pub fn load_solver(path: impl AsRef<Path>) -> Result<SolverFile, ConfigError> {
    let file = load_solver_partly(path)?;
    Ok(SolverFile { warnings: without_errors(file.warnings)?, ..file })
}

/// Reads a solver that may have numbers in it that are none: the errors are then among its warnings.
pub fn load_solver_partly(path: impl AsRef<Path>) -> Result<SolverFile, ConfigError> {
    let path = path.as_ref();
    match read(path, "solver")? {
        Content::Text(text, warning) => {
            let parsed = text::parse::<SolverParameter>(shown(path), text)?;
            let file = FileMap::new(parsed.source, parsed.spans);
            let mut file = solver_file(parsed.message, file, parsed.warnings)?;
            file.warnings.splice(0..0, warning.map(|w| *w));
            Ok(file)
        }
        Content::Binary(solver) => Ok(solver_file(solver, FileMap::binary(shown(path)), vec![])?),
    }
}

/// Reads a solver from the text of the file `path`.
pub fn solver_from_text(path: impl Into<String>, text: impl Into<String>) -> Result<SolverFile, Diagnostics> {
    let parsed = text::parse::<SolverParameter>(path, text)?;
    let file = FileMap::new(parsed.source, parsed.spans);
    let file = solver_file(parsed.message, file, parsed.warnings)?;
    Ok(SolverFile { warnings: without_errors(file.warnings)?, ..file })
}

/// Reads a single layer from a text that holds what would stand between a layer's braces, as listings in books do.
pub fn layer_from_text(path: impl Into<String>, text: impl Into<String>) -> Result<NetFile, Diagnostics> {
    let parsed = text::parse::<LayerParameter>(path, text)?;
    let file = FileMap::of_layer(parsed.source, parsed.spans);
    let net = NetParameter { layer: vec![parsed.message], ..Default::default() };
    Ok(NetFile { net, file, warnings: parsed.warnings, upgrades: Vec::new() })
}

enum Content<M> {
    /// A text, and a warning about its encoding.
    Text(String, Option<Box<Diagnostic>>),
    Binary(M),
}

fn read<M: Message + Name + Default>(path: &Path, kind: &'static str) -> Result<Content<M>, ConfigError> {
    let bytes = fs::read(path).map_err(|source| ConfigError::Io { path: path.into(), source })?;
    // The byte order mark: no protobuf message begins so, for 7 is no wire type.
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(ConfigError::Utf16 { path: path.into() });
    }
    if is_binary(&bytes) {
        let message = M::decode(bytes.as_slice());
        return message.map(Content::Binary).map_err(|source| ConfigError::Unreadable {
            path: path.into(),
            kind,
            source,
        });
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Content::Text(text, None),
        Err(error) => {
            let at = error.utf8_error().valid_up_to() as u32;
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let source = Source::new(shown(path), text.as_str());
            let warning = Diagnostic::warning("the file is not UTF-8").at(&source, Span::new(at, at));
            let hint = "letters like this one are lost".to_owned();
            Content::Text(text, Some(Box::new(warning.hint(hint))))
        }
    })
}

/// Whether the bytes are no text: tags and lengths of protobuf's format are control characters soon enough.
pub fn is_binary(bytes: &[u8]) -> bool {
    const LOOKED_AT: usize = 8192;
    bytes
        .iter()
        .take(LOOKED_AT)
        .any(|&byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | 0x0b | 0x0c | b'\r'))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn net_file(mut net: NetParameter, file: FileMap, warnings: Vec<Diagnostic>) -> Result<NetFile, Diagnostics> {
    if !file.is_text() {
        forget_origins(&mut net);
    }
    let (mut net, upgrades, mut warnings) = finish(upgrade::upgrade_net(net), &file, warnings)?;
    // Binary nets come from programs, and may hold weights: what they are is not for this file to say.
    if file.is_text() {
        warnings.extend(net.layer.iter().flat_map(|layer| {
            let complain = |path: String| {
                let message = format!("`{}` must be a number, found NaN", last_name(&path));
                file.layer_complaint(Severity::Error, layer.name(), layer.cnnctl_origin, &path, &message)
            };
            text::nan_fields(layer).into_iter().map(complain)
        }));
    }
    let warnings = without_errors(warnings)?;
    place_input_layer(&mut net, &file, "input");
    Ok(NetFile { net, file, warnings, upgrades })
}

/// The solver; numbers that are none are errors among its warnings.
fn solver_file(
    mut solver: SolverParameter,
    file: FileMap,
    warnings: Vec<Diagnostic>,
) -> Result<SolverFile, Diagnostics> {
    if !file.is_text() {
        nets(&mut solver).for_each(|(_, net)| forget_origins(net));
    }
    let (mut solver, upgrades, mut warnings) = finish(upgrade::upgrade_solver(solver), &file, warnings)?;
    warnings.extend(text::nan_fields(&solver).into_iter().map(|path| {
        let message = format!("`{}` must be a number, found NaN", last_name(&path));
        file.complaint(Severity::Error, message, file.top_span(&path))
    }));
    nets(&mut solver).for_each(|(path, net)| place_input_layer(net, &file, &format!("{path}.input")));
    Ok(SolverFile { solver, file, warnings, upgrades })
}

/// The upgraded message, unless a complaint is an error; complaints get their places.
fn finish<M>(
    done: Upgraded<M>,
    file: &FileMap,
    mut warnings: Vec<Diagnostic>,
) -> Result<(M, Vec<&'static str>, Vec<Diagnostic>), Diagnostics> {
    warnings.extend(done.complaints.into_iter().map(|complaint| located(complaint, file)));
    Ok((done.message, done.applied, without_errors(warnings)?))
}

/// The complaints, if none is an error.
fn without_errors(complaints: Vec<Diagnostic>) -> Result<Vec<Diagnostic>, Diagnostics> {
    let all = Diagnostics(complaints);
    if all.has_errors() { Err(all) } else { Ok(all.0) }
}

/// The field that a path ends in: `negative_slope` of `relu_param.negative_slope`.
fn last_name(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, name)| name)
}

fn located(complaint: Complaint, file: &FileMap) -> Diagnostic {
    let Complaint { severity, message, field, layer, hint } = complaint;
    let diagnostic = match layer {
        None => file.complaint(severity, message, file.top_span(&field)),
        Some(layer) => file.layer_complaint(severity, &layer.name, layer.origin, &field, &message),
    };
    diagnostic.hint(hint)
}

/// The nets inside a solver, with the paths of their fields.
fn nets(solver: &mut SolverParameter) -> impl Iterator<Item = (String, &mut NetParameter)> {
    let tests = solver.test_net_param.iter_mut().enumerate();
    let train = solver.train_net_param.iter_mut().map(|net| ("train_net_param".to_owned(), net));
    let both = solver.net_param.iter_mut().map(|net| ("net_param".to_owned(), net));
    both.chain(train).chain(tests.map(|(i, net)| (format!("test_net_param[{i}]"), net)))
}

/// The Input layer that stands for `input` fields points at the first of them.
fn place_input_layer(net: &mut NetParameter, file: &FileMap, field: &str) {
    let origin = file.top_origin(field);
    if let Some(layer) = net.layer.first_mut().filter(|layer| layer.cnnctl_origin.is_none()) {
        layer.cnnctl_origin = origin;
    }
}

/// Places that a binary file claims mean nothing here.
fn forget_origins(net: &mut NetParameter) {
    net.layer.iter_mut().for_each(|layer| layer.cnnctl_origin = None);
    net.layers.iter_mut().for_each(|layer| layer.cnnctl_origin = None);
}
