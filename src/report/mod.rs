//! What people see: log lines, progress bars, tables and metrics files.
//!
//! This module alone prints. Data goes to stdout, the rest to stderr.

mod log;
mod metrics;
mod number;

pub use log::{complain, copied, info, lost_at_resume, start_log, warn_all};
pub use number::general;

use std::path::Path;

use crate::solver::{Action, Event, Observer, Solver};

/// Follows a run: the log, and the metrics file if there is one.
pub struct Reporter {
    metrics: Option<metrics::Metrics>,
}

impl Reporter {
    /// Follows a run that starts at iteration `iter`.
    ///
    /// # Errors
    /// Says why when the metrics file cannot be written.
    pub fn new(metrics: Option<&Path>, _iter: i32) -> Result<Self, String> {
        let metrics = metrics.map(metrics::Metrics::create).transpose()?;
        Ok(Self { metrics })
    }
}

impl Observer for Reporter {
    fn see(&mut self, solver: &Solver, event: &Event<'_>) {
        log::event(solver, event);
        if let Some(metrics) = &mut self.metrics {
            metrics.event(solver, event);
        }
    }

    fn poll(&mut self, _: &Solver) -> Action {
        Action::Continue
    }
}

/// A seed for a run that asks for none, from the clock.
pub fn new_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = now.as_nanos() as u64 ^ u64::from(std::process::id()) << 40;
    info(&format!("random_seed is not set: this run takes {seed}"));
    seed
}
