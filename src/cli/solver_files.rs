//! What `cnnctl check` looks up for a solver file: its nets, its weights, the size of its tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Failure;
use crate::{
    config::{self, Diagnostic, FileKind, SolverFile, proto::SolverParameter},
    snapshot::Weights,
    solver,
};

/// The nets that a solver file with mistakes in it names, or most likely means, as far as they are there.
pub fn nets_of(path: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let parsed = config::text::parse_partly::<SolverParameter>(path.display().to_string(), text);
    let Ok(found) = parsed.map(|p| p.message) else { return vec![] };
    let named = found.net.iter().chain(&found.train_net).chain(&found.test_net);
    let mut nets: Vec<PathBuf> = Vec::new();
    for name in named {
        let beside = path.with_file_name(name);
        let here = PathBuf::from(name);
        let there = [here, beside].into_iter().find(|net| net.exists());
        let Some(net) = there.or_else(|| solver::net_meant(path, name)) else { continue };
        // A solver among them would lead on and on.
        if !nets.contains(&net) && matches!(config::file_kind(&net), Ok(FileKind::Net)) {
            nets.push(net);
        }
    }
    nets
}

/// The weights that a solver starts from, where they are at hand.
pub fn listed_weights(file: &SolverFile, found: &mut Vec<Diagnostic>) -> Vec<(PathBuf, Weights)> {
    let mut list = Vec::new();
    for (i, path) in file.weights() {
        match Weights::load(&path) {
            Ok(weights) => list.push((path, weights)),
            Err(error) => {
                let message = Failure::from(error).into_complaint();
                found.push(file.error_at(&format!("weights[{i}]"), message));
            }
        }
    }
    list
}

/// Whether a test goes once over its set.
pub fn test_size(file: &SolverFile, data: Option<(usize, usize)>, test: Option<usize>) -> Option<Diagnostic> {
    let (batch, samples) = data?;
    let i = test?;
    let iterations = usize::try_from(*file.solver.test_iter.get(i)?).ok()?;
    let seen = iterations * batch;
    let whole = samples.div_ceil(batch);
    let field = format!("test_iter[{i}]");
    if seen < samples {
        let message = format!("a test takes {iterations} x {batch} = {seen} of the {samples} samples");
        return Some(file.warning_at(&field, message).hint(format!("{whole} takes all")));
    }
    if iterations > whole {
        let message = format!("a test takes {iterations} x {batch} = {seen} samples of a set of {samples}");
        return Some(
            file.warning_at(&field, message).hint(format!("some count twice; {whole} takes each once")),
        );
    }
    None
}
