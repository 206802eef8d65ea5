//! Logs of training, in Caffe's words.

use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::Value;

use super::{History, Row, stamp::Clock};

/// Reads a log line by line.
pub struct LogReader {
    history: History,
    clock: Clock,
    /// When the run began.
    start: Option<f64>,
    /// When the last line with a time was written.
    now: Option<f64>,
    iter: Option<i64>,
    /// The test net that is running or has run last.
    net: usize,
    rate: Option<f64>,
}

impl LogReader {
    /// For a file that was changed last at a time.
    pub fn new(changed: Option<SystemTime>) -> Self {
        Self {
            history: History::default(),
            clock: Clock::new(changed),
            start: None,
            now: None,
            iter: None,
            net: 0,
            rate: None,
        }
    }

    /// Takes in a line.
    pub fn add(&mut self, number: usize, line: &str) {
        let object = line.starts_with('{').then(|| serde_json::from_str::<Value>(line).ok()).flatten();
        let json = object.as_ref().and_then(|o| Some((o["message"].as_str()?, o["timestamp"].as_str()?)));
        let message = match json {
            Some((message, time)) => {
                self.now = time.parse::<Timestamp>().ok().map(|t| t.as_microsecond() as f64 / 1e6);
                message
            }
            None => {
                self.clock.look(line);
                self.now = self.clock.glog(line).or(self.now);
                line
            }
        };
        if self.start.is_none() {
            self.start = self.now;
        }
        if message.contains("Solving") && self.history.train.is_empty() && self.history.test.is_empty() {
            self.start = self.now;
        }
        if let Some((iter, rest)) = iteration(message) {
            self.iteration(number, iter, rest);
        } else if let Some(rest) = after(message, "Train net output #") {
            self.output(rest, false);
        } else if let Some(rest) = after(message, "Test net output #") {
            self.output(rest, true);
        } else if let Some(rest) = after(message, "Test loss: ") {
            let loss = leading_number(rest);
            let row = self.test_row();
            row.into_iter().for_each(|row| row.loss = loss);
        }
    }

    /// A line that names an iteration.
    fn iteration(&mut self, number: usize, iter: i64, rest: &str) {
        if let Some(net) = after(rest, "Testing net (#") {
            self.net = net.split(')').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            self.go_back(number, iter, true);
            let net = self.net;
            self.history.test.retain(|row| row.iter < iter || row.net < net);
        } else if let Some(loss) = after(rest, "loss = ").and_then(leading_number) {
            self.go_back(number, iter, false);
            self.iter = Some(iter);
            let row = Row { loss: Some(loss), ..self.new_row() };
            self.history.train.push(row);
        } else if let Some(rate) = after(rest, "lr = ").and_then(leading_number) {
            self.rate = Some(rate);
            let rows = [&mut self.history.train, &mut self.history.test];
            let same = rows.into_iter().flat_map(|rows| rows.iter_mut().rev().take_while(|r| r.iter == iter));
            same.for_each(|row| row.rate = Some(rate));
        }
        self.iter = Some(iter);
    }

    /// When a run goes back to its very beginning, its time begins anew.
    fn go_back(&mut self, number: usize, iter: i64, tests: bool) {
        let before = self.history.turns.len();
        self.history.go_back(iter, tests, number);
        let none = self.history.train.is_empty() && self.history.test.iter().all(|row| row.iter == iter);
        if self.history.turns.len() > before && none {
            (self.start, self.rate) = (self.now, None);
        }
    }

    fn new_row(&self) -> Row {
        Row { iter: self.iter.unwrap_or(0), seconds: self.seconds(), rate: self.rate, ..Row::default() }
    }

    /// From the start to the last line.
    fn seconds(&self) -> Option<f64> {
        self.now.zip(self.start).map(|(now, start)| ((now - start) * 1e6).round() / 1e6)
    }

    /// `3: name = 0.5 (* 1 = 0.5 loss)`.
    fn output(&mut self, text: &str, test: bool) {
        let Some((name, value)) = text.split_once(": ").and_then(|(_, rest)| rest.split_once(" = ")) else {
            return;
        };
        let Some(value) = leading_number(value) else { return };
        let seconds = self.seconds();
        let row = if test { self.test_row() } else { self.train_row() };
        let Some(row) = row else { return };
        if row.outputs.is_empty() {
            row.seconds = seconds;
        }
        row.outputs.push((name.to_owned(), value));
    }

    /// The row of the iteration that is being told of.
    fn train_row(&mut self) -> Option<&mut Row> {
        let iter = self.iter?;
        if self.history.train.last().is_none_or(|row| row.iter != iter) {
            let row = self.new_row();
            self.history.train.push(row);
        }
        self.history.train.last_mut()
    }

    /// The row of the test that is being told of.
    fn test_row(&mut self) -> Option<&mut Row> {
        let (iter, net) = (self.iter?, self.net);
        if self.history.test.last().is_none_or(|row| (row.iter, row.net) != (iter, net)) {
            let row = Row { net, ..self.new_row() };
            self.history.test.push(row);
        }
        self.history.test.last_mut()
    }

    /// The run. The first test comes before the learning rate is told.
    pub fn finish(mut self) -> History {
        for rows in [&mut self.history.train, &mut self.history.test] {
            let first = rows.iter().find_map(|row| row.rate).or(self.rate);
            rows.iter_mut().take_while(|row| row.rate.is_none()).for_each(|row| row.rate = first);
        }
        self.history
    }
}

/// What follows `what`.
fn after<'a>(text: &'a str, what: &str) -> Option<&'a str> {
    text.find(what).map(|at| &text[at + what.len()..])
}

/// The number of `Iteration 12`, wherever it stands, and what follows.
fn iteration(message: &str) -> Option<(i64, &str)> {
    message.match_indices("Iteration ").find_map(|(at, word)| {
        let rest = &message[at + word.len()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        Some((rest[..digits].parse().ok()?, &rest[digits..]))
    })
}

/// The number that a text begins with, `nan` and `-inf` included.
fn leading_number(text: &str) -> Option<f64> {
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, ',' | ')' | ';')).unwrap_or(text.len());
    text[..end].parse().ok()
}
