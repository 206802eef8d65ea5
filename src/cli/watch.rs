//! What `train` does beside training: signals, the time budget, which snapshots to keep.

use std::{path::PathBuf, time::Duration};

use crate::{
    report::{self, Journal, Reporter},
    snapshot::{self, Format},
    solver::{Action, Budget, Effect, Event, Observer, Pace, Signals, Solver, Why},
};

/// Follows a run for `train`.
pub struct Watch {
    /// Shows and records, on the rank that does.
    pub reporter: Option<Reporter>,
    /// Notes what metrics do not tell, where there are metrics.
    pub journal: Option<Journal>,
    /// The signals that the run heeds.
    pub signals: Signals,
    /// How long iterations and snapshots take.
    pub pace: Pace,
    /// When to stop.
    pub budget: Option<Budget>,
    /// How many snapshots to keep.
    pub keep: Option<usize>,
    /// How long the batch system waits between asking and killing.
    pub grace: Option<Duration>,
}

impl Watch {
    fn after_snapshot(&self, solver: &Solver) {
        if let Some(keep) = self.keep
            && let Err(error) = snapshot::prune(solver.config().snapshot_prefix(), keep, solver.iter())
        {
            report::warn(&format!("{error}: old snapshots stay"));
        }
        let stopping = self.pace.to_stop();
        if let Some(grace) = self.grace
            && stopping > grace
        {
            let (stopping, grace) = (stopping.as_secs_f64(), grace.as_secs_f64());
            report::warn(&format!(
                "an iteration and a snapshot may take {stopping:.1} s on a bad day, but the batch system kills the job \
                 {grace:.0} s after its signal (--grace): ask for an earlier one, for example with --signal=USR1@{:.0}",
                (2.0 * stopping / 60.0).ceil().max(2.0) * 60.0
            ));
        }
    }

    fn keep_best(solver: &Solver) {
        let config = solver.config();
        let path = PathBuf::from(snapshot::best_name(config.snapshot_prefix(), Format::of(config)));
        match solver.save_weights(&path) {
            Ok(()) => report::info(&format!("Best so far: saved to {}", path.display())),
            Err(error) => report::warn(&format!("{error}: the best weights are not saved")),
        }
    }
}

impl Observer for Watch {
    fn see(&mut self, solver: &Solver, event: &Event<'_>) {
        self.pace.see(event);
        if let Some(journal) = &mut self.journal {
            journal.see(solver, event);
        }
        if let Some(reporter) = &mut self.reporter {
            reporter.see(solver, event);
        }
        match event {
            Event::Snapshot { .. } => self.after_snapshot(solver),
            Event::Best { .. } if solver.leads() => Self::keep_best(solver),
            _ => {}
        }
    }

    fn wants_gradients(&self, iter: i32) -> bool {
        self.reporter.as_ref().is_some_and(|reporter| reporter.wants_gradients(iter))
    }

    fn poll(&mut self, solver: &Solver) -> Action {
        #[cfg(debug_assertions)]
        panic_on_request(solver);
        match self.signals.take() {
            Some((Effect::Stop, name)) => return Action::Stop(Why::Signal(name)),
            Some((Effect::Snapshot, _)) => return Action::Snapshot,
            _ => {}
        }
        let interval = solver.config().test_interval();
        let test_next = interval > 0 && solver.iter() % interval == 0;
        if self.budget.as_ref().is_some_and(|b| b.is_spent(&self.pace, test_next)) {
            return Action::Stop(Why::TimeBudget);
        }
        Action::Continue
    }
}

/// How long the first snapshot may take: its bytes at the pace of a busy shared file system.
pub fn first_snapshot(solver: &Solver) -> Duration {
    const BYTES_PER_SECOND: f64 = 50e6;
    let values = solver.params().iter().map(|p| p.data.len()).sum::<usize>() + solver.history_len();
    Duration::from_secs_f64((4 * values) as f64 / BYTES_PER_SECOND)
}

/// How tests see what a panic on one rank does to the others: no input should lead to one.
#[cfg(debug_assertions)]
fn panic_on_request(solver: &Solver) {
    let at = std::env::var("CNNCTL_TEST_PANIC_AT").ok().and_then(|iter| iter.parse().ok());
    assert!(at != Some(solver.iter()), "asked for by CNNCTL_TEST_PANIC_AT");
}
