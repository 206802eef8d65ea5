//! What Slurm tells a job about itself, in its environment.

use std::{
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::report;

/// Slurm's KillWait, unless its administrator has changed it.
const KILL_WAIT: Duration = Duration::from_secs(30);

/// Whether Slurm has put the job back in the queue before.
pub fn is_restart() -> bool {
    number("SLURM_RESTART_COUNT").is_some_and(|n| n > 0)
}

/// How long Slurm waits between its signal and the kill.
pub fn grace() -> Option<Duration> {
    env::var_os("SLURM_JOB_ID").map(|_| KILL_WAIT)
}

/// The time until Slurm ends the job: it sends no signal before, and ends the job as TIMEOUT, which nothing requeues.
pub fn time_left() -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let left = left(number("SLURM_JOB_END_TIME")?, now.as_secs())?;
    report::info(&format!("Slurm ends this job in {} min: stopping in time", left.as_secs() / 60));
    Some(left)
}

/// The time from `now` to `end`. An end that has passed is none: the clocks of the hosts may differ.
fn left(end: u64, now: u64) -> Option<Duration> {
    end.checked_sub(now).filter(|&s| s > 0).map(Duration::from_secs)
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_in_the_past_is_none() {
        assert_eq!(left(110, 100), Some(Duration::from_secs(10)));
        assert_eq!(left(100, 100), None);
        assert_eq!(left(90, 100), None);
    }
}
