//! The progress display of a run, and the one way to stderr past it.
//!
//! Lines never tear the display, and a stderr that nobody reads any more never ends a run.

use std::{
    io::{self, Write},
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{general, log_format::is_terminal, outcome::Outcome, pretty, short};
use crate::solver::{Event, Solver};

/// Whether the options allow a display.
static ALLOWED: AtomicBool = AtomicBool::new(false);
/// Whether one is on the screen.
static SHOWN: AtomicBool = AtomicBool::new(false);
/// Four times a second is enough for people.
static SCREEN: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(4)));
/// The numbers change so often.
const PACE: Duration = Duration::from_millis(250);

/// Allows a display, or forbids it: with more or fewer lines than usual it would only disturb.
pub(super) fn allow(yes: bool) {
    ALLOWED.store(yes, Relaxed);
}

/// Writes lines to stderr, above the display if there is one. Errors are dropped: there is nobody left to tell.
pub(super) fn write_lines(text: &str) {
    let text = text.trim_end_matches('\n');
    super::runs::log(&console::strip_ansi_codes(text));
    if SHOWN.load(Relaxed) {
        let _ = SCREEN.println(text);
    } else {
        // One write a line: lines of several processes on one stderr stay whole.
        let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
    }
}

/// Stderr for the log, one event a write.
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_lines(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
        SHOWN.store(false, Relaxed);
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
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
    if !ALLOWED.load(Relaxed) || !is_terminal() || iter >= max {
        return None;
    }
    let bar = ProgressBar::new(count(max)).with_style(style(solver.samples_an_iteration()));
    let bar = SCREEN.add(bar);
    bar.set_position(count(iter));
    // The speed counts from here, not from iteration 0.
    bar.reset_eta();
    bar.enable_steady_tick(Duration::from_millis(500));
    SHOWN.store(true, Relaxed);
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
