//! What the solver tells, and what it asks.

use std::{path::Path, time::Duration};

use super::{Ending, Goal, Mean, Solver, SolverError};
use crate::{
    comm::CommError,
    snapshot::{Format, SnapshotError, Written},
};

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Training begins, at the solver's iteration.
    Start,
    /// Gradients are there and the update follows (see [`Observer::wants_gradients`]); the train net holds the outputs of its last pass.
    Train {
        /// The iteration, from 0.
        iter: i32,
        /// The loss before the update: the mean over `iter_size` passes.
        loss: f32,
        /// The mean over `average_loss` iterations.
        smoothed: f32,
        /// The learning rate of the update.
        rate: f32,
        /// How many steps of the rate are behind, if this iteration is the first after another one.
        stepped: Option<i32>,
        /// Whether `display` asks to show it.
        shown: bool,
    },
    /// Where a training pass is, told only if `debug_info` asks for it, and `display` in this iteration.
    Debug(Stage),
    /// A layer of a test net has run forward, told only if `debug_info` asks for it.
    DebugTest {
        /// Which test net.
        net: usize,
        /// Which layer.
        layer: usize,
    },
    /// A test net is about to run.
    TestStart {
        /// The iteration.
        iter: i32,
        /// Which test net.
        net: usize,
    },
    /// A test net has run.
    Test {
        /// The iteration.
        iter: i32,
        /// Which test net.
        net: usize,
        /// The means of its outputs.
        outputs: &'a [Mean],
        /// The mean loss, if `test_compute_loss` asks for it.
        loss: Option<f32>,
    },
    /// A snapshot has been written.
    Snapshot {
        /// The iteration.
        iter: i32,
        /// The file of weights.
        weights: &'a Path,
        /// The solver state.
        state: &'a Path,
        /// The format of both.
        format: Format,
        /// What the file of weights has come to.
        written: Written,
        /// How long it took.
        took: Duration,
    },
    /// A snapshot on the way could not be written; the last one still stands, and training goes on.
    SnapshotFailed {
        /// Why.
        error: &'a SnapshotError,
    },
    /// A test gave the best value so far of the output that is followed.
    Best {
        /// The output and its value.
        goal: &'a Goal,
    },
    /// Training has diverged and goes back to an earlier snapshot.
    RolledBack {
        /// What happened.
        error: &'a SolverError,
        /// The iteration it goes on from.
        iter: i32,
        /// The factor of the learning rate from now on.
        rate_factor: f64,
    },
    /// The loss after the last update.
    Last {
        /// The iteration.
        iter: i32,
        /// The smoothed loss.
        loss: f32,
    },
    /// Training ends.
    End(Ending),
    /// The other ranks no longer answer: the last finished iteration is saved, and the run ends.
    Lost {
        /// How that was noticed.
        error: &'a CommError,
    },
}

/// A point of a training pass at which blobs or parameters can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// This layer of the train net has run forward.
    Forward(usize),
    /// This layer has run backward.
    Backward(usize),
    /// All layers have run backward: the parameters' diffs are complete.
    Gradients,
    /// The parameters are updated, and their diffs hold the steps that were subtracted.
    Update,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on.
    Continue,
    /// Write a snapshot and go on.
    Snapshot,
    /// Write a snapshot and stop.
    Stop(Why),
}

/// Why a run stops before `max_iter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A signal of this name.
    Signal(&'static str),
    /// The time budget is spent.
    TimeBudget,
    /// The output that is followed no longer gets better.
    Patience,
    /// Other ranks of the run no longer answer.
    Lost,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Signal(name) => write!(f, "{name} received"),
            Why::TimeBudget => f.write_str("the time budget is spent"),
            Why::Lost => f.write_str("other ranks no longer answer"),
            Why::Patience => f.write_str("the followed test output no longer gets better"),
        }
    }
}

/// Whoever follows a run.
pub trait Observer {
    /// Told of everything that happens.
    fn see(&mut self, solver: &Solver, event: &Event<'_>);

    /// Asked before iteration `iter` whether [`Event::Train`] shall find the diffs of all parameters. If not, those that
    /// can be used at once are never stored, and their parameters are up to date by then.
    fn wants_gradients(&self, _iter: i32) -> bool {
        false
    }

    /// Asked after every iteration, and between the batches of a test.
    fn poll(&mut self, _solver: &Solver) -> Action {
        Action::Continue
    }
}

/// Follows nothing.
impl Observer for () {
    fn see(&mut self, _: &Solver, _: &Event<'_>) {}
}
