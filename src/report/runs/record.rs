//! What a journal has told.

use std::collections::VecDeque;

use super::{
    entry::{Entry, How, Start},
    follow::Sink,
};

/// As many lines of the log are kept.
const LOG: usize = 500;
/// The speed is that of this many notes of the time.
const RECENT: usize = 20;

/// What a journal has told.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What was known when the last process began.
    pub start: Option<Start>,
    /// When the first one began, in seconds since 1970.
    pub first: Option<f64>,
    /// How many have trained, one after the other.
    pub processes: u32,
    /// How the last one has ended, and why.
    pub end: Option<(How, String)>,
    /// Iterations and the seconds of training that they took, both rising. Pauses do not count, nor does what was lost.
    pub ticks: Vec<(i32, f64)>,
    /// The last lines of the log.
    pub log: VecDeque<String>,
    /// Seconds of training before this process, and when it began.
    base: (f64, f64),
}

impl Record {
    /// Seconds of training in all.
    pub fn seconds(&self) -> f64 {
        self.ticks.last().map_or(0.0, |&(_, seconds)| seconds)
    }

    /// Iterations a second, lately.
    pub fn speed(&self) -> Option<f64> {
        let recent = &self.ticks[self.ticks.len().saturating_sub(RECENT)..];
        let (&(from, start), &(to, end)) = (recent.first()?, recent.last()?);
        (end - start > 0.0).then(|| f64::from(to - from) / (end - start))
    }

    /// Has trained to `iter` by now.
    fn tick(&mut self, iter: i32, time: f64) {
        let (base, start) = self.base;
        // A clock that was set back must not set the curve back.
        let seconds = (base + (time - start).max(0.0)).max(self.seconds());
        self.go_back(iter);
        self.ticks.push((iter, seconds));
    }

    /// Forgets what comes at and after an iteration.
    fn go_back(&mut self, iter: i32) {
        let kept = self.ticks.partition_point(|&(i, _)| i < iter);
        self.ticks.truncate(kept);
    }
}

impl Sink for Record {
    fn restart(&mut self) {
        *self = Self::default();
    }

    /// Lines that are none of a journal are passed over.
    fn line(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(Entry::Start(start)) => {
                let there = self.ticks.iter().rfind(|&&(i, _)| i <= start.iter);
                let base = there.map_or(0.0, |&(_, seconds)| seconds);
                self.go_back(start.iter);
                self.ticks.push((start.iter, base));
                self.base = (base, start.time);
                self.first.get_or_insert(start.time);
                self.processes += 1;
                self.end = None;
                self.start = Some(*start);
            }
            Ok(Entry::At { time, iter }) => self.tick(iter, time),
            Ok(Entry::Log { text }) => {
                self.log.extend(text.lines().map(str::to_owned));
                self.log.drain(..self.log.len().saturating_sub(LOG));
            }
            Ok(Entry::End { time, iter, how, why }) => {
                self.tick(iter, time);
                self.end = Some((how, why));
            }
            Ok(Entry::Unknown) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lines: &[&str]) -> Record {
        let mut record = Record::default();
        lines.iter().for_each(|line| record.line(line.as_bytes()));
        record
    }

    #[test]
    fn pauses_and_lost_work_do_not_count_as_training() {
        let record = record(&[
            r#"{"event":"start","time":100,"iter":0,"max_iter":50}"#,
            r#"{"event":"at","time":110,"iter":10}"#,
            r#"{"event":"at","time":120,"iter":20}"#,
            r#"{"event":"start","time":1000,"iter":10,"max_iter":60}"#,
            r#"{"event":"at","time":1005,"iter":15}"#,
            r#"{"event":"news"}"#,
            r#"{"event":"end","time":1010,"iter":20,"how":"stopped","why":"TERM received"}"#,
            "{\"event\":\"lo",
        ]);
        assert_eq!(record.ticks, [(0, 0.0), (10, 10.0), (15, 15.0), (20, 20.0)]);
        assert_eq!((record.first, record.processes, record.seconds()), (Some(100.0), 2, 20.0));
        assert_eq!(record.speed(), Some(1.0));
        assert_eq!(record.end, Some((How::Stopped, "TERM received".to_owned())));
        assert_eq!(record.start.unwrap().max_iter, 60);
    }

    #[test]
    fn the_log_is_a_tail_and_time_never_runs_back() {
        let mut record = record(&[
            r#"{"event":"start","time":100,"iter":0}"#,
            r#"{"event":"at","time":110,"iter":5}"#,
            r#"{"event":"at","time":90,"iter":6}"#,
        ]);
        assert_eq!(record.ticks, [(0, 0.0), (5, 10.0), (6, 10.0)]);
        for i in 0..LOG {
            record.line(format!(r#"{{"event":"log","text":"{i}\nmore"}}"#).as_bytes());
        }
        assert_eq!((record.log.len(), record.log[0].as_str()), (LOG, "250"));
    }
}
