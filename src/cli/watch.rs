//! What `train` does beside training: signals, the time budget, which snapshots to keep.

use std::{path::PathBuf, time::Duration};

use crate::{
    report::{self, Reporter},
    snapshot,
    solver::{Action, Budget, Effect, Event, Observer, Signals, Solver, Why},
};

/// Follows a run for `train`.
pub struct Watch {
    /// Shows and records, on the rank that does.
    pub reporter: Option<Reporter>,
    /// The signals that the run heeds.
    pub signals: Signals,
    /// When to stop.
    pub budget: Option<Budget>,
    /// How many snapshots to keep.
    pub keep: Option<usize>,
    /// How long the batch system waits between asking and killing.
    pub grace: Option<Duration>,
}

impl Watch {
    fn after_snapshot(&self, solver: &Solver, took: Duration) {
        if let Some(keep) = self.keep
            && let Err(error) = snapshot::prune(solver.config().snapshot_prefix(), keep)
        {
            report::warn(&format!("{error}: old snapshots stay"));
        }
        if let Some(grace) = self.grace
            && took * 2 > grace
        {
            let (took, grace) = (took.as_secs_f64(), grace.as_secs_f64());
            report::warn(&format!(
                "a snapshot took {took:.1} s, but the batch system may kill the job {grace:.0} s after its signal: ask \
                 for an earlier one, for example with --signal=USR1@120"
            ));
        }
    }

    fn keep_best(solver: &Solver) {
        let path = PathBuf::from(format!("{}_best.caffemodel", solver.config().snapshot_prefix()));
        match solver.save_weights(&path) {
            Ok(()) => report::info(&format!("Best so far: saved to {}", path.display())),
            Err(error) => report::warn(&format!("{error}: the best weights are not saved")),
        }
    }
}

impl Observer for Watch {
    fn see(&mut self, solver: &Solver, event: &Event<'_>) {
        if let Some(budget) = &mut self.budget {
            budget.see(event);
        }
        if let Some(reporter) = &mut self.reporter {
            reporter.see(solver, event);
        }
        match event {
            Event::Snapshot { took, .. } => self.after_snapshot(solver, *took),
            Event::Best { .. } if solver.leads() => Self::keep_best(solver),
            _ => {}
        }
    }

    fn poll(&mut self, solver: &Solver) -> Action {
        match self.signals.take() {
            Some((Effect::Stop, name)) => return Action::Stop(Why::Signal(name)),
            Some((Effect::Snapshot, _)) => return Action::Snapshot,
            _ => {}
        }
        let interval = solver.config().test_interval();
        let test_next = interval > 0 && solver.iter() % interval == 0;
        if self.budget.as_ref().is_some_and(|b| b.is_spent(test_next)) {
            return Action::Stop(Why::TimeBudget);
        }
        Action::Continue
    }
}
