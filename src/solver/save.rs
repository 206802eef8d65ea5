//! Snapshots of a run, and going on from them.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use prost::Message as _;

use super::{
    Event, Goal, Observer, OnNan, Solver, SolverError,
    identity::{self, Resumed},
    lr_policy::Progress,
};
use crate::{
    config::proto::{CnnctlCarry, CnnctlState, SolverState},
    kernels::simd::Isa,
    net::{LayerView, Net, NetError},
    snapshot::{self, Array, BlobValues, Copied, Format, SnapshotError, Weights, WeightsToSave},
};

/// What a run has saved.
#[derive(Default)]
pub(super) struct Saved {
    /// The last snapshot that was written or taken up.
    pub state: Option<PathBuf>,
    /// The checksum of the one that was taken up, with its arrays.
    pub head: Option<u32>,
    /// The checksum of what rounding had kept back then, if anything was saved.
    pub residuals: Option<u32>,
    /// The iteration of the last snapshot that was written, or taken up from where this run would write it.
    pub iter: Option<i32>,
    /// The iteration of the weights that were written last, with a state or without.
    pub weights: Option<i32>,
    /// Whether a snapshot was asked for during a test, when none can be written.
    pub wanted: bool,
}

impl Solver {
    /// Whether this iteration has been saved.
    pub(super) fn is_saved(&self) -> bool {
        self.saved.iter == Some(self.iter)
    }

    /// Writes the weights, then the state that names them.
    ///
    /// # Errors
    /// When a file cannot be written, or the weights are no numbers: the last snapshot then still stands.
    pub fn snapshot(&mut self, observer: &mut dyn Observer) -> Result<(), SolverError> {
        let _span = tracing::debug_span!("snapshot", iter = self.iter).entered();
        let start = Instant::now();
        if self.on_nan != OnNan::Continue && !self.weights_are_finite() {
            return Err(self.diverged(None, self.last_rate));
        }
        let format = Format::of(&self.config);
        let (weights, state) = (self.snapshot_path("caffemodel"), self.snapshot_path("solverstate"));
        self.saved.residuals = match &mut self.team {
            Some(team) => team.save_carries(&snapshot::residuals_beside(&state))?,
            None => None,
        };
        if !self.leads() {
            (self.saved.state, self.saved.iter) = (Some(state), Some(self.iter));
            return Ok(());
        }
        let written = self.to_save(self.config.snapshot_diff()).save(&weights, format)?;
        self.saved.weights = Some(self.iter);
        snapshot::save_state(&state, format, &self.state(&weights, written.checksum), &self.arrays())?;
        (self.saved.state, self.saved.iter) = (Some(state.clone()), Some(self.iter));
        let took = start.elapsed();
        let event =
            Event::Snapshot { iter: self.iter, weights: &weights, state: &state, format, written, took };
        observer.see(self, &event);
        Ok(())
    }

    /// Removes the weights of a snapshot whose state could not be written: alone they only fill the disk further.
    /// Those of an earlier run, which stay where they could not be replaced, are not this one's to remove.
    pub(super) fn discard_half(&self) {
        let state = self.snapshot_path("solverstate");
        if self.leads() && !state.exists() {
            // What cannot be removed harms nobody.
            if self.saved.weights == Some(self.iter) {
                let _ = std::fs::remove_file(self.snapshot_path("caffemodel"));
            }
            let _ = std::fs::remove_file(snapshot::residuals_beside(&state));
        }
    }

    /// The file of this iteration's snapshot of a kind: `caffemodel` or `solverstate`.
    pub(super) fn snapshot_path(&self, kind: &str) -> PathBuf {
        let (prefix, format) = (self.config.snapshot_prefix(), Format::of(&self.config));
        snapshot::file_name(prefix, self.iter, kind, format).into()
    }

    fn to_save(&self, diff: bool) -> WeightsToSave<'_> {
        WeightsToSave { net: &self.train, params: &self.params, source: &self.source, diff }
    }

    /// The rule's arrays, which have the parameters' shapes.
    fn arrays(&self) -> Vec<Array<'_>> {
        let shapes = self.params.iter().take(self.history_arrays()).map(|param| &param.shape).cycle();
        shapes.zip(&self.history).map(|(shape, data)| Array { shape, data, diff: None }).collect()
    }

    /// Everything but the arrays.
    fn state(&self, weights: &Path, checksum: u32) -> SolverState {
        let mut state = SolverState {
            iter: Some(self.iter),
            learned_net: Some(weights.display().to_string()),
            history: Vec::new(),
            current_step: Some(self.progress.current_step),
            cnnctl: Some(CnnctlState {
                version: Some(snapshot::VERSION),
                solver_type: Some(self.rule.name.into()),
                seed: Some(self.seed),
                loss_window: self.losses.iter().copied().collect(),
                net_passes: self.nets().map(Net::passes).collect(),
                checksum: Some(checksum),
                best: self.goal.as_ref().and_then(|g| g.best),
                tests_since_best: self.goal.as_ref().map(|g| g.since),
                goal: self.goal.as_ref().map(Goal::text),
                rate_factor: Some(self.rate_factor),
                least_loss: Some(self.progress.least_loss),
                last_event: Some(self.progress.last_event),
                net_hash: Some(self.net_digest()),
                solver_hash: Some(identity::of_solver(&self.config, self.policy)),
                residuals: self.saved.residuals,
                isa: Some(Isa::best().key().into()),
                ..CnnctlState::default()
            }),
            cnnctl_checksum: None,
        };
        state.cnnctl.iter_mut().for_each(|extra| self.save_carried(extra));
        state
    }

    fn net_digest(&self) -> Vec<u8> {
        identity::of_net(&self.to_save(false).source_bytes())
    }

    /// Goes on from a snapshot. Gives what its file does not hold, and so starts anew, and what has changed since.
    ///
    /// # Errors
    /// When a file cannot be read, is damaged, or belongs to another net or rule.
    pub fn restore(&mut self, path: &Path) -> Result<Resumed, SolverError> {
        let snapshot::State { head: state, history } = snapshot::load_state(path)?;
        let fail = |message: String| SolverError::from(SnapshotError::content(path, message));
        let extra = state.cnnctl.clone().unwrap_or_default();
        if let Some(rule) = extra.solver_type.as_deref().filter(|r| *r != self.rule.name) {
            return Err(fail(format!(
                "was written by solver type `{rule}`, but the solver file says `{}`",
                self.rule.name
            )));
        }
        let mut hash = crc32fast::Hasher::new();
        hash.update(&state.encode_to_vec());
        self.restore_history(history).map_err(fail)?;
        for array in self.history.iter().filter(|_| self.hidden.shard.count > 1) {
            let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
            array.chunks(1 << 14).for_each(|values| hash.update(&bytes(values)));
        }
        self.saved.head = Some(hash.finalize());
        self.restore_weights(path, &state)?;
        // A run that goes back leaves the gradients of the pass that diverged.
        self.params.zero_diffs();
        self.saved.state = Some(path.to_owned());
        self.saved.residuals = extra.residuals;
        if let Some(team) = &mut self.team {
            // This run has written it; what cannot be read is not worth ending it.
            let _without = team.take_up_carries(path, extra.residuals)?;
        }
        self.iter = state.iter();
        // A snapshot of this run's own is whole, and needs no second writing.
        let is_own = state.cnnctl.is_some() && path == self.snapshot_path("solverstate");
        self.saved.iter = is_own.then_some(self.iter);
        self.progress = Progress {
            current_step: state.current_step(),
            least_loss: extra.least_loss.unwrap_or(f32::MAX),
            last_event: extra.last_event(),
            ..Progress::default()
        };
        if state.cnnctl.is_none() {
            return Ok(Resumed { lost: identity::NOT_IN_CAFFE.to_vec(), ..Resumed::default() });
        }
        self.losses = extra.loss_window.iter().copied().collect();
        self.rate_factor = extra.rate_factor();
        let same = |goal: &&mut Goal| extra.goal.as_ref().is_none_or(|then| *then == goal.text());
        if let Some(own) = self.goal.as_mut().filter(same) {
            (own.best, own.since) = (extra.best, extra.tests_since_best());
        }
        let hidden_of = self.take_up(&extra).map_err(fail)?;
        Ok(Resumed { changed: self.changed_since(extra), hidden_of, ..Resumed::default() })
    }

    /// Takes up the rule's arrays.
    fn restore_history(&mut self, history: Vec<BlobValues>) -> Result<(), String> {
        if history.len() != self.history.len() {
            return Err(format!(
                "holds {} history blobs, but {} with this net needs {}: it belongs to another net or solver type",
                history.len(),
                self.rule.name,
                self.history.len()
            ));
        }
        let owners = self.params.iter().take(self.history_arrays()).cycle();
        for ((i, (blob, history)), owner) in
            history.into_iter().zip(&mut self.history).enumerate().zip(owners)
        {
            if blob.values.len() != history.len() {
                let (layer, number) = &owner.owner;
                return Err(format!(
                    "history {i}, of parameter {number} of layer `{layer}`, has {} values, but {} are needed for {}: it \
                     belongs to another net",
                    blob.values.len(),
                    history.len(),
                    owner.shape
                ));
            }
            *history = blob.values.into_buffer();
        }
        Ok(())
    }

    /// What of the things that a run depends on is no longer as it was then.
    fn changed_since(&self, then: CnnctlState) -> Vec<&'static str> {
        let goal = self.goal.as_ref().map(Goal::text).unwrap_or_default();
        let settings = identity::of_solver(&self.config, self.policy);
        let digests = [
            ("the net", self.net_digest(), then.net_hash),
            ("what training depends on in the solver", settings, then.solver_hash),
            (
                "what --keep-best follows",
                goal.into(),
                then.goal.filter(|_| self.goal.is_some()).map(String::into_bytes),
            ),
            (identity::ROUNDING, Isa::best().key().into(), then.isa.map(String::into_bytes)),
        ];
        let changed =
            digests.into_iter().filter(|(_, now, then)| then.as_ref().is_some_and(|then| then != now));
        changed.map(|(what, ..)| what).collect()
    }

    /// Writes the weights alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_weights(&self, path: &Path) -> Result<(), SnapshotError> {
        self.to_save(false).save(path, Format::of(&self.config)).map(drop)
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

    /// Copies weights into all nets, as Caffe does: also into layers that only test nets have. After a resume these alone
    /// want them, for snapshots hold the train net.
    ///
    /// # Errors
    /// When a layer has parameters of another number or shape; with the number of the test net, if it is one.
    pub fn copy_weights(
        &mut self,
        weights: Weights,
        resumed: bool,
    ) -> Result<Copied, (Option<usize>, NetError)> {
        let tests = self.tests.iter().map(|test| &test.net);
        let nets: Vec<&Net> = std::iter::once(&self.train).chain(tests).collect();
        let copied = weights.copy_into_all(&nets, usize::from(resumed), &mut self.params);
        copied.map_err(|(net, error)| (net.checked_sub(1), error))
    }

    /// Whether a test net has parameters that the train net does not have.
    pub fn has_test_parameters(&self) -> bool {
        let trained = self.train.layers().flat_map(|layer| layer.params).max().map_or(0, |&last| last + 1);
        self.params.len() > trained
    }
}

/// What the layers of a net carry on this rank.
pub(super) fn carries(net: usize, of: &Net) -> Vec<CnnctlCarry> {
    let carry = |layer: LayerView<'_>| {
        let carry = layer.layer.carry()?;
        Some(CnnctlCarry {
            net: Some(net as u32),
            layer: Some(layer.config.name().to_owned()),
            consumed: Some(carry.consumed),
            values: carry.values,
            rank: None,
        })
    };
    of.layers().filter_map(carry).collect()
}

/// The seed that a solver state was written with: a run that goes on takes it over.
///
/// # Errors
/// When the file cannot be read.
pub fn seed_of(path: &Path) -> Result<Option<u64>, SnapshotError> {
    Ok(snapshot::load_state(path)?.head.cnnctl.and_then(|c| c.seed))
}
