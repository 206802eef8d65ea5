//! A time budget: stop while there is still time to write the last snapshot.

use std::time::{Duration, Instant};

use super::Event;

/// How long a run's iterations, tests and snapshots take: the longest of each so far.
pub struct Pace {
    last: Instant,
    /// Tests and snapshots apart.
    iteration: Duration,
    snapshot: Duration,
    /// A round of tests.
    test: Duration,
    testing: Option<Instant>,
}

impl Pace {
    /// A run whose first snapshot is expected to take `snapshot`, until one has been seen.
    pub fn new(snapshot: Duration) -> Self {
        let zero = Duration::ZERO;
        Self { last: Instant::now(), iteration: zero, snapshot, test: zero, testing: None }
    }

    /// Measures; to be told of every event.
    pub fn see(&mut self, event: &Event<'_>) {
        let now = Instant::now();
        match event {
            Event::TestStart { .. } => self.testing = Some(self.testing.unwrap_or(now)),
            Event::Train { .. } => {
                if let Some(start) = self.testing.take() {
                    self.test = self.test.max(now - start);
                } else {
                    self.iteration = self.iteration.max(now - self.last);
                }
            }
            Event::Snapshot { took, .. } => self.snapshot = self.snapshot.max(*took),
            _ => {}
        }
        self.last = now;
    }

    /// The time to allow between the wish to stop and the end: an iteration and a snapshot, twice the longest seen,
    /// because a shared file system has worse days.
    pub fn to_stop(&self) -> Duration {
        2 * (self.iteration + self.snapshot)
    }
}

/// A budget of wall-clock time.
pub struct Budget {
    start: Instant,
    limit: Duration,
}

impl Budget {
    /// A budget that began at `start`, when the process did.
    pub fn new(start: Instant, limit: Duration) -> Self {
        Self { start, limit }
    }

    /// Whether another iteration, and then a snapshot, may no longer fit; `test_next` if tests come first.
    pub fn is_spent(&self, pace: &Pace, test_next: bool) -> bool {
        let test = if test_next { pace.test } else { Duration::ZERO };
        self.start.elapsed() + pace.to_stop() + test > self.limit
    }
}

/// Reads `3h55m`, `90m`, `45s`, `1d2h`, or Slurm's `HH:MM:SS` and `MM:SS`; a bare number counts minutes, as Slurm's.
///
/// # Errors
/// Says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a time like 3h55m, 90s or 03:55:00, found `{text}`");
    let number = |s: &str| s.parse::<u64>().map_err(|_| wrong());
    let seconds = |units: &[(u64, u64)]| {
        let add = |sum: u64, &(n, unit): &(u64, u64)| n.checked_mul(unit).and_then(|s| sum.checked_add(s));
        units.iter().try_fold(0, add).ok_or_else(wrong)
    };
    if text.contains(':') {
        let (days, clock) = match text.split_once('-') {
            Some((days, clock)) => (number(days)?, clock),
            None => (0, text),
        };
        let parts = clock.split(':').map(number).collect::<Result<Vec<_>, _>>()?;
        let [h, m, s] = match parts[..] {
            [m, s] => [0, m, s],
            [h, m, s] => [h, m, s],
            _ => return Err(wrong()),
        };
        return Ok(Duration::from_secs(seconds(&[(days, 86_400), (h, 3_600), (m, 60), (s, 1)])?));
    }
    if let Ok(minutes) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds(&[(minutes, 60)])?));
    }
    let mut units = Vec::new();
    let mut digits = String::new();
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                digits.push(c);
                continue;
            }
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return Err(wrong()),
        };
        units.push((number(&std::mem::take(&mut digits))?, unit));
    }
    if !digits.is_empty() || units.is_empty() {
        return Err(wrong());
    }
    Ok(Duration::from_secs(seconds(&units)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_spellings() {
        let cases = [
            ("3h55m", 14_100),
            ("90s", 90),
            ("1d2h", 93_600),
            ("03:55:00", 14_100),
            ("2:30", 150),
            ("5", 300),
            ("1-00:00:01", 86_401),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "h", "3x", "3h5", "1:2:3:4", "-1", "99999999999999999999d", "18446744073709551615h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_budget_keeps_room_for_the_snapshot() {
        let budget = Budget::new(Instant::now(), Duration::from_secs(100));
        let mut pace = Pace::new(Duration::from_secs(20));
        assert!(!budget.is_spent(&pace, false));
        pace.test = Duration::from_secs(200);
        assert!(!budget.is_spent(&pace, false) && budget.is_spent(&pace, true));
        pace.iteration = Duration::from_secs(31);
        assert_eq!(pace.to_stop(), Duration::from_secs(102));
        assert!(budget.is_spent(&pace, false));
    }
}
