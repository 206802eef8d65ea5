//! The progress bar of a run, and the one way to stderr past it.
//!
//! Lines never tear the bar, and a stderr that nobody reads any more never ends a run.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::general;
use crate::solver::{Event, Solver};

/// Whether the options allow a bar.
static ALLOWED: AtomicBool = AtomicBool::new(false);
/// Whether a bar is on the screen.
static SHOWN: AtomicBool = AtomicBool::new(false);
static SCREEN: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Allows a bar, or forbids it: with more or fewer lines than usual it would only disturb.
pub(super) fn allow(yes: bool) {
    ALLOWED.store(yes, Relaxed);
}

/// Writes lines to stderr, above the bar if there is one. Errors are dropped: there is nobody left to tell.
pub(super) fn write_lines(text: &str) {
    let text = text.trim_end_matches('\n');
    super::runs::log(text);
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

/// The bar of a training run.
#[derive(Default)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Shows an event.
    pub fn event(&mut self, solver: &Solver, event: &Event<'_>) {
        match (event, &self.0) {
            (Event::Start, _) => *self = Self::start(solver.iter(), solver.config().max_iter()),
            (Event::Train { iter, smoothed, rate, .. }, Some(bar)) => {
                let (loss, rate) = (general(f64::from(*smoothed)), general(f64::from(*rate)));
                bar.set_message(format!("loss {loss}  lr {rate}"));
                bar.set_position(count(*iter) + 1);
            }
            (Event::TestStart { net, .. }, Some(bar)) => bar.set_message(format!("testing net #{net}")),
            (Event::End(_), Some(_)) => self.end(),
            _ => {}
        }
    }

    fn start(iter: i32, max: i32) -> Self {
        if !ALLOWED.load(Relaxed) || !io::stderr().is_terminal() || iter >= max {
            return Self(None);
        }
        let bar = SCREEN.add(ProgressBar::new(count(max)).with_style(style()));
        bar.set_position(count(iter));
        // The speed counts from here, not from iteration 0.
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(200));
        SHOWN.store(true, Relaxed);
        Self(Some(bar))
    }

    fn end(&mut self) {
        SHOWN.store(false, Relaxed);
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

/// A run that fails leaves no bar behind.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.end();
        }
    }
}

fn count(iter: i32) -> u64 {
    u64::try_from(iter).unwrap_or(0)
}

fn style() -> ProgressStyle {
    let template = "{bar:24} {pos}/{len}  {speed}, {eta} left  {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ").with_key("speed", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{} it/s", super::number::short(state.per_sec()));
    })
}
