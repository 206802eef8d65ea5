//! The progress display of a run.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::{general, outcome::Outcome, pretty, screen, short};
use crate::solver::{Event, Solver};

/// The numbers change so often.
const PACE: Duration = Duration::from_millis(250);

/// The display of a training run: how far it is and how fast in one line, what it does in another.
#[derive(Default)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    /// When the numbers last changed.
    changed: Option<Instant>,
    /// What the last test said.
    test: String,
}

impl Progress {
    /// Shows an event.
    pub fn event(&mut self, solver: &Solver, event: &Event<'_>, outcome: &Outcome) {
        if matches!(event, Event::Start) {
            self.bar = start(solver);
        }
        let Some(bar) = &self.bar else { return };
        match event {
            Event::Train { iter, smoothed, rate, .. } => {
                bar.set_position(count(*iter) + 1);
                if self.changed.is_some_and(|at| at.elapsed() < PACE) {
                    return;
                }
                self.changed = Some(Instant::now());
                let (loss, rate) = (general(f64::from(*smoothed)), general(f64::from(*rate)));
                let epoch = solver.epochs(iter + 1);
                let epoch = epoch.map_or(String::new(), |epoch| format!("epoch {epoch:.2}  "));
                let waiting = (100.0 * outcome.waiting(solver)).round();
                let waiting = format!("waiting for data {waiting}%");
                bar.set_message(format!("{epoch}loss {loss}  lr {rate}  {waiting}{}", self.test));
            }
            Event::TestStart { iter, net } => {
                bar.set_message(format!("testing net #{net} at iteration {iter}"))
            }
            Event::Test { iter, outputs, .. } => {
                let outputs: Vec<String> =
                    outputs.iter().map(|m| pretty::output(&m.name, &m.values)).collect();
                self.test = format!("  |  test at {iter}: {}", outputs.join(", "));
                self.changed = None;
            }
            Event::End(_) => self.end(),
            _ => {}
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            screen::clear(&bar);
        }
    }
}

/// A run that fails leaves no display behind.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.bar.is_some() {
            self.end();
        }
    }
}

fn start(solver: &Solver) -> Option<ProgressBar> {
    let (iter, max) = (solver.iter(), solver.config().max_iter());
    if !screen::takes_display() || iter >= max {
        return None;
    }
    let bar = ProgressBar::new(count(max)).with_style(style(solver.samples_an_iteration()));
    let bar = screen::show(bar);
    bar.set_position(count(iter));
    // The speed counts from here, not from iteration 0.
    bar.reset_eta();
    bar.enable_steady_tick(Duration::from_millis(500));
    Some(bar)
}

fn count(iter: i32) -> u64 {
    u64::try_from(iter).unwrap_or(0)
}

fn style(samples: Option<f64>) -> ProgressStyle {
    let template = "{bar:24.cyan/dim} {pos}/{len}  {speed}  {eta} left\n{wide_msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━╸─").with_key(
        "speed",
        move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let speed = state.per_sec();
            let _ = write!(out, "{} it/s", short(speed));
            if let Some(samples) = samples {
                let _ = write!(out, "  {} samples/s", short(speed * samples));
            }
        },
    )
}
