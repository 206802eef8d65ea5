//! Which nets a solver file means.

use std::path::{Path, PathBuf};

use super::{SolverError, team};
use crate::config::{
    self, ConfigError, NetFile, SolverFile,
    proto::{NetParameter, NetState, Phase, SolverParameter},
};

/// The nets of a solver file.
pub struct NetSources {
    /// What is trained.
    pub train: NetFile,
    /// What is tested, one for each `test_iter`.
    pub tests: Vec<NetFile>,
    /// The train net with its batches divided among ranks.
    divided: Option<NetParameter>,
}

impl NetSources {
    /// Divides the batches of the train net among ranks. Snapshots hold the net as it was.
    ///
    /// # Errors
    /// Names the layer whose batch cannot be divided.
    pub fn divide_batches(&mut self, ranks: usize) -> Result<(), String> {
        let mut net = self.train.net.clone();
        team::divide_batches(&mut net, ranks)?;
        self.divided = Some(net);
        Ok(())
    }

    /// The train net as it is to be built.
    pub(super) fn train_net(&self) -> &NetParameter {
        self.divided.as_ref().unwrap_or(&self.train.net)
    }
}

/// Loads the nets that a solver file names; paths that are not found are tried beside it.
///
/// # Errors
/// When there is not just one train net, when the numbers of test nets, `test_iter` and `test_state` do not agree,
/// and when a net cannot be loaded.
pub fn net_sources(file: &SolverFile) -> Result<NetSources, SolverError> {
    let solver = &file.solver;
    let inline = |net: &NetParameter| file.inline_net(net);
    let load = |field: &str, path: &str| load(field, path, file);
    let fields = [
        ("net", solver.net.is_some()),
        ("net_param", solver.net_param.is_some()),
        ("train_net", solver.train_net.is_some()),
        ("train_net_param", solver.train_net_param.is_some()),
    ];
    let given: Vec<&str> = fields.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    if given.len() != 1 {
        let found = if given.is_empty() { "none".into() } else { given.join(" and ") };
        let message = format!(
            "one train net is needed, by net, net_param, train_net or train_net_param; found {found}"
        );
        return Err(SolverError::setting(given.last().copied().unwrap_or("net"), message));
    }
    let train = match (&solver.train_net_param, &solver.train_net, &solver.net_param, &solver.net) {
        (Some(net), ..) | (None, None, Some(net), _) => inline(net),
        (None, Some(path), ..) => load("train_net", path)?,
        (None, None, None, Some(path)) => load("net", path)?,
        (None, None, None, None) => unreachable!("counted above"),
    };
    let mut tests = Vec::new();
    for net in &solver.test_net_param {
        tests.push(inline(net));
    }
    for (i, path) in solver.test_net.iter().enumerate() {
        tests.push(load(&format!("test_net[{i}]"), path)?);
    }
    let generic = solver.net.is_some() || solver.net_param.is_some();
    // With test_epoch, a test_iter that is left out stands for the whole set.
    let implied = solver.test_epoch.is_some() && solver.test_iter.is_empty();
    if !implied {
        check_counts(solver, tests.len(), generic)?;
    }
    let wanted = if implied { tests.len().max(1) } else { solver.test_iter.len() };
    while generic && tests.len() < wanted {
        tests.push(match (&solver.net_param, &solver.net) {
            (Some(net), _) => inline(net),
            (None, Some(path)) => load("net", path)?,
            (None, None) => break,
        });
    }
    if !solver.test_state.is_empty() && solver.test_state.len() != tests.len() {
        let message =
            format!("test_state is given {} times for {} test nets", solver.test_state.len(), tests.len());
        return Err(SolverError::setting("test_state[0]", message));
    }
    if !tests.is_empty() && solver.test_interval() == 0 && solver.test_epoch.is_none() {
        let message = "there are test nets, but test_interval is not set; set it, or remove test_iter";
        return Err(SolverError::setting("test_iter[0]", message));
    }
    Ok(NetSources { train, tests, divided: None })
}

fn check_counts(solver: &SolverParameter, nets: usize, generic: bool) -> Result<(), SolverError> {
    let iters = solver.test_iter.len();
    if if generic { iters >= nets } else { iters == nets } {
        return Ok(());
    }
    let message =
        format!("test_iter is given {iters} times, but there are {nets} test nets: each needs its own");
    Err(SolverError::setting(if iters == 0 { "test_net[0]" } else { "test_iter[0]" }, message))
}

/// The net that `field` of the solver names.
fn load(field: &str, path: &str, solver: &SolverFile) -> Result<NetFile, SolverError> {
    let folder = solver.path().and_then(|p| Path::new(p).parent()).unwrap_or(Path::new(""));
    let beside = folder.join(path);
    let found = if !Path::new(path).exists() && beside.exists() { &beside } else { Path::new(path) };
    config::load_net(found).map_err(|error| match error {
        ConfigError::Invalid(_) => error.into(),
        ConfigError::Io { source, .. } => {
            let also = if beside == Path::new(path) { "" } else { ", nor beside the solver file" };
            let meant = solver.path().and_then(|file| net_meant(Path::new(file), path));
            let meant =
                meant.map_or_else(String::new, |p| format!("; `{}` is there: is it meant?", p.display()));
            SolverError::setting(field, format!("cannot read {path}{also}: {source}{meant}"))
        }
        ConfigError::Utf16 { .. } | ConfigError::Unreadable { .. } => {
            SolverError::setting(field, error.to_string())
        }
    })
}

/// The file that a solver file most likely means by the path of a net that is not there: the same path from a folder
/// further up, or the file of that name beside the solver file.
pub fn net_meant(solver: &Path, net: &str) -> Option<PathBuf> {
    let further_up = solver.ancestors().skip(2).map(|folder| folder.join(net));
    let beside = Path::new(net).file_name().map(|name| solver.with_file_name(name));
    further_up.chain(beside).find(|file| file.is_file() && file != solver)
}

/// The state of a net: the phase, then what the net says, then what the solver says.
pub fn state_of(phase: Phase, net: &NetParameter, solver: Option<&NetState>) -> NetState {
    let mut state = NetState { phase: Some(phase as i32), ..NetState::default() };
    for more in [net.state.as_ref(), solver].into_iter().flatten() {
        state.phase = more.phase.or(state.phase);
        state.level = more.level.or(state.level);
        state.stage.extend(more.stage.iter().cloned());
    }
    state
}
