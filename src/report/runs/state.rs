//! Whether a run goes on, and how it has ended.

use serde::Serialize;

use super::entry::How;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A process is training.
    Running,
    /// It came to its end.
    Done,
    /// It stopped early and can go on.
    Stopped,
    /// It ended with an error.
    Failed,
    /// Its process is gone without a word: killed, or its machine went down.
    Died,
    /// It does not go on; how it ended is not known, for it has no journal.
    Ended,
}

/// What tells whether a process still trains.
#[derive(Clone, Copy, Debug)]
pub struct Signs {
    /// Whether it holds its lock, if that can be told.
    pub locked: Option<bool>,
    /// Whether it runs on this host: locks of others may not be seen from here.
    pub here: bool,
    /// Seconds since it last wrote something.
    pub silent: f64,
}

/// A process that trains here and has lost its lock is given so long, in seconds, for its last words.
const LAST_WORDS: f64 = 5.0;
/// One whose lock cannot be seen, to be heard of.
const PATIENCE: f64 = 120.0;

impl Signs {
    fn alive(self) -> bool {
        match self.locked {
            Some(true) => true,
            Some(false) if self.here => self.silent < LAST_WORDS,
            _ => self.silent < PATIENCE,
        }
    }
}

/// How a run stands that has said how it ended.
pub fn ended(how: How) -> State {
    match how {
        How::Done => State::Done,
        How::Stopped => State::Stopped,
        How::Failed => State::Failed,
    }
}

/// How a run stands whose journal has no end.
pub fn without_end(signs: Signs) -> State {
    if signs.alive() { State::Running } else { State::Died }
}

/// How a run stands of which there is only a metrics file.
pub fn state_of_metrics(signs: Signs) -> State {
    if signs.locked == Some(true) || signs.silent < PATIENCE { State::Running } else { State::Ended }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_silence_without_a_lock_is_death() {
        let signs = |locked, here, silent| Signs { locked, here, silent };
        for (signs, alive) in [
            (signs(Some(true), true, 1e6), true),
            (signs(Some(false), true, 1.0), true),
            (signs(Some(false), true, 6.0), false),
            (signs(Some(false), false, 6.0), true),
            (signs(Some(false), false, 200.0), false),
            (signs(None, true, 6.0), true),
            (signs(None, true, 200.0), false),
        ] {
            let want = if alive { State::Running } else { State::Died };
            assert_eq!(without_end(signs), want, "{signs:?}");
        }
        assert_eq!(state_of_metrics(signs(Some(false), true, 300.0)), State::Ended);
    }
}
