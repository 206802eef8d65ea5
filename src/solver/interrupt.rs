//! Signals: each only sets a flag, which the solver reads after the iteration.
//!
//! Batch systems send TERM, sometimes twice and with CONT, before they kill; a second TERM is no "abort now". Only a
//! second INT, from a person at a keyboard, ends the process at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ},
    flag,
};

/// Exit status of a run that a second INT ends at once: 128 + 2, as shells count.
const KILLED_BY_INT: i32 = 130;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write a snapshot and stop.
    Stop,
    /// Write a snapshot and go on.
    Snapshot,
    /// Nothing.
    Nothing,
}

/// The signals that a run heeds.
pub struct Signals {
    stop: Arc<AtomicUsize>,
    snapshot: Arc<AtomicUsize>,
}

impl Signals {
    /// Heeds signals from now on: TERM, USR1, USR2 and XCPU stop the run, INT and HUP do what is asked, XFSZ does nothing.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn heed(sigint: Effect, sighup: Effect) -> io::Result<Self> {
        let signals = Self { stop: Arc::default(), snapshot: Arc::default() };
        let chosen = [SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU].map(|s| (s, Effect::Stop));
        if sigint == Effect::Stop {
            // The first INT arms the second.
            let armed = Arc::new(AtomicBool::new(false));
            flag::register_conditional_shutdown(SIGINT, KILLED_BY_INT, Arc::clone(&armed))?;
            flag::register(SIGINT, armed)?;
        }
        for (signal, effect) in chosen.into_iter().chain([(SIGINT, sigint), (SIGHUP, sighup)]) {
            let flag = match effect {
                Effect::Stop => Arc::clone(&signals.stop),
                Effect::Snapshot => Arc::clone(&signals.snapshot),
                Effect::Nothing => Arc::default(),
            };
            flag::register_usize(signal, flag, signal as usize)?;
        }
        // A limit on the size of files (`ulimit -f`) would kill the run; heeded, it is an error of that one write.
        flag::register(SIGXFSZ, Arc::default())?;
        Ok(signals)
    }

    /// What the signals since the last call ask for, and the name of one; a wish to stop stays.
    pub fn take(&self) -> Option<(Effect, &'static str)> {
        match (self.stop.load(SeqCst), self.snapshot.swap(0, SeqCst)) {
            (0, 0) => None,
            (0, signal) => Some((Effect::Snapshot, name(signal))),
            (signal, _) => Some((Effect::Stop, name(signal))),
        }
    }
}

fn name(signal: usize) -> &'static str {
    i32::try_from(signal).ok().and_then(signal_hook::low_level::signal_name).unwrap_or("a signal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_set_flags() {
        let signals = Signals::heed(Effect::Snapshot, Effect::Snapshot).unwrap();
        assert_eq!(signals.take(), None);
        signal_hook::low_level::raise(SIGHUP).unwrap();
        assert_eq!(signals.take(), Some((Effect::Snapshot, "SIGHUP")));
        assert_eq!(signals.take(), None);
        signal_hook::low_level::raise(SIGTERM).unwrap();
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert_eq!(signals.take(), Some((Effect::Stop, "SIGTERM")));
        assert_eq!(signals.take(), Some((Effect::Stop, "SIGTERM")));
    }
}
