//! Snapshots of a run, and going on from them.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use super::{Event, Observer, OnNan, Solver, SolverError};
use crate::{
    config::proto::{CnnctlCarry, CnnctlState, SolverState},
    net::{Carry, LayerView, Net},
    snapshot::{self, SnapshotError, Weights},
};

/// The format of what we add to Caffe's solver state.
const VERSION: u32 = 1;

impl Solver {
    /// Writes the weights, then the state that names them.
    ///
    /// # Errors
    /// When a file cannot be written, or the weights are no numbers: the last snapshot then still stands.
    pub fn snapshot(&mut self, observer: &mut dyn Observer) -> Result<(), SolverError> {
        let start = Instant::now();
        if self.on_nan != OnNan::Continue && !self.weights_are_finite() {
            return Err(self.diverged(f32::NAN, self.last_rate));
        }
        let prefix = self.config.snapshot_prefix().to_owned();
        if !self.leads() {
            let state = snapshot::file_name(&prefix, self.iter, "solverstate");
            (self.last_state, self.saved) = (Some(state.into()), Some(self.iter));
            return Ok(());
        }
        let weights = PathBuf::from(snapshot::file_name(&prefix, self.iter, "caffemodel"));
        let bytes =
            snapshot::encode_weights(&self.train, &self.params, &self.source, self.config.snapshot_diff());
        snapshot::write_whole(&weights, &bytes)?;
        let state_path = PathBuf::from(snapshot::file_name(&prefix, self.iter, "solverstate"));
        snapshot::save_state(&state_path, &self.state(&weights, crc32fast::hash(&bytes)))?;
        (self.last_state, self.saved) = (Some(state_path.clone()), Some(self.iter));
        let event =
            Event::Snapshot { iter: self.iter, weights: &weights, state: &state_path, took: start.elapsed() };
        observer.see(self, &event);
        Ok(())
    }

    fn state(&self, weights: &Path, checksum: u32) -> SolverState {
        let arrays = self.history.len() / self.rule.histories.max(1);
        let shape = |i: usize| &self.params[i % arrays.max(1)].shape;
        let history =
            self.history.iter().enumerate().map(|(i, h)| snapshot::write_blob(shape(i), h, None)).collect();
        let nets = || std::iter::once(&self.train).chain(&self.tests);
        SolverState {
            iter: Some(self.iter),
            learned_net: Some(weights.display().to_string()),
            history,
            current_step: Some(self.current_step),
            cnnctl: Some(CnnctlState {
                version: Some(VERSION),
                solver_type: Some(self.rule.name.into()),
                seed: Some(self.seed),
                loss_window: self.losses.iter().copied().collect(),
                carry: nets().enumerate().flat_map(|(i, net)| carries(i, net)).collect(),
                net_passes: nets().map(Net::passes).collect(),
                checksum: Some(checksum),
                best: self.goal.as_ref().and_then(|g| g.best),
                tests_since_best: self.goal.as_ref().map(|g| g.since),
                rate_factor: Some(self.rate_factor),
                ..CnnctlState::default()
            }),
        }
    }

    /// Goes on from a snapshot. Gives what its file does not hold, and so starts anew.
    ///
    /// # Errors
    /// When a file cannot be read, is damaged, or belongs to another net or rule.
    pub fn restore(&mut self, path: &Path) -> Result<Vec<&'static str>, SolverError> {
        let state = snapshot::load_state(path)?;
        let fail = |message: String| SolverError::from(SnapshotError::content(path, message));
        let extra = state.cnnctl.clone().unwrap_or_default();
        if let Some(rule) = extra.solver_type.as_deref().filter(|r| *r != self.rule.name) {
            return Err(fail(format!(
                "was written by solver type `{rule}`, but the solver file says `{}`",
                self.rule.name
            )));
        }
        if state.history.len() != self.history.len() {
            let message = format!(
                "holds {} history blobs, but {} with this net needs {}: it belongs to another net or solver type",
                state.history.len(),
                self.rule.name,
                self.history.len()
            );
            return Err(fail(message));
        }
        for (i, (saved, history)) in state.history.iter().zip(&mut self.history).enumerate() {
            let blob = snapshot::read_blob(saved.clone()).map_err(|e| fail(format!("history {i}: {e}")))?;
            if blob.values.len() != history.len() {
                return Err(fail(format!(
                    "history {i} has {} values, but {} are needed",
                    blob.values.len(),
                    history.len()
                )));
            }
            history.copy_from_slice(&blob.values);
        }
        self.restore_weights(path, &state)?;
        // A run that goes back leaves the gradients of the pass that diverged.
        self.params.zero_diffs();
        self.last_state = Some(path.to_owned());
        self.iter = state.iter();
        self.current_step = state.current_step();
        if state.cnnctl.is_none() {
            return Ok(vec!["the place in the data", "random numbers", "the loss window", "the seed"]);
        }
        self.losses = extra.loss_window.iter().copied().collect();
        self.rate_factor = extra.rate_factor();
        if let Some(goal) = &mut self.goal {
            (goal.best, goal.since) = (extra.best, extra.tests_since_best());
        }
        self.take_up(&extra).map_err(fail)?;
        Ok(Vec::new())
    }

    /// Writes the weights alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_weights(&self, path: &Path) -> Result<(), SnapshotError> {
        let bytes = snapshot::encode_weights(&self.train, &self.params, &self.source, false);
        snapshot::write_whole(path, &bytes)
    }

    fn restore_weights(&mut self, path: &Path, state: &SolverState) -> Result<(), SolverError> {
        if state.learned_net().is_empty() {
            return Ok(());
        }
        let file = snapshot::locate_weights(path, state.learned_net());
        let weights = match state.cnnctl.as_ref().and_then(|c| c.checksum) {
            Some(checksum) => Weights::load_checked(&file, checksum)?,
            None => Weights::load(&file)?,
        };
        let (net, params) = (&self.train, &mut self.params);
        weights.copy_into(net, params).map_err(|error| SolverError::Net { path: None, error })?;
        Ok(())
    }

    /// Takes up what the layers of all nets carried.
    fn take_up(&mut self, extra: &CnnctlState) -> Result<(), String> {
        let nets = std::iter::once(&mut self.train).chain(&mut self.tests);
        for (i, net) in nets.enumerate() {
            net.resume_passes(extra.net_passes.get(i).copied().unwrap_or(0));
            for carry in extra.carry.iter().filter(|c| c.net() as usize == i) {
                let Some((_, layer)) = net.layers_mut().find(|(name, _)| *name == carry.layer()) else {
                    continue;
                };
                let value = Carry { consumed: carry.consumed(), values: carry.values.clone() };
                layer.resume(&value).map_err(|e| format!("layer `{}`: {e}", carry.layer()))?;
            }
        }
        Ok(())
    }
}

fn carries(net: usize, of: &Net) -> Vec<CnnctlCarry> {
    let carry = |layer: LayerView<'_>| {
        let carry = layer.layer.carry()?;
        Some(CnnctlCarry {
            net: Some(net as u32),
            layer: Some(layer.config.name().to_owned()),
            consumed: Some(carry.consumed),
            values: carry.values,
        })
    };
    of.layers().filter_map(carry).collect()
}

/// The seed that a solver state was written with: a run that goes on takes it over.
///
/// # Errors
/// When the file cannot be read.
pub fn seed_of(path: &Path) -> Result<Option<u64>, SnapshotError> {
    Ok(snapshot::load_state(path)?.cnnctl.and_then(|c| c.seed))
}
