//! The one way to stderr, past the progress display if there is one.
//!
//! Lines never tear the display, and a stderr that nobody reads any more never ends a run.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

/// Whether the options allow a display.
static ALLOWED: AtomicBool = AtomicBool::new(false);
/// Whether one is on the screen.
static SHOWN: AtomicBool = AtomicBool::new(false);
/// Four times a second is enough for people.
static SCREEN: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(4)));

/// Whether people look at stderr, in a terminal that can move its cursor.
pub(super) fn is_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Allows a display, or forbids it: with more or fewer lines than usual it would only disturb.
pub(super) fn allow_display(yes: bool) {
    ALLOWED.store(yes, Relaxed);
}

/// Whether a display may be shown.
pub(super) fn takes_display() -> bool {
    ALLOWED.load(Relaxed) && is_terminal()
}

/// Shows a bar as the display; lines are written above it from now on.
pub(super) fn show(bar: ProgressBar) -> ProgressBar {
    SHOWN.store(true, Relaxed);
    SCREEN.add(bar)
}

/// Takes the display away.
pub(super) fn clear(bar: &ProgressBar) {
    SHOWN.store(false, Relaxed);
    bar.finish_and_clear();
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
