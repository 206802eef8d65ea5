//! Runs as their files tell of them: logs of Caffe and of cnnctl, metrics files, tables of `parse-log`.

mod log;
mod parse_log;
mod stamp;
mod table;

pub use parse_log::{TableOptions, tables};

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, ErrorKind},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::metrics_line::{MetricsLine, Number, Values};

/// What is known of an iteration, or of a test at an iteration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The iteration.
    pub iter: i64,
    /// Passes over the train net's data set so far.
    pub epoch: Option<f64>,
    /// Seconds since the run began.
    pub seconds: Option<f64>,
    /// Which test net.
    pub net: usize,
    /// The learning rate.
    pub rate: Option<f64>,
    /// The total loss: in a log of training, the smoothed one.
    pub loss: Option<f64>,
    /// Names and values of the outputs; a name stands several times where an output has several values.
    pub outputs: Vec<(String, f64)>,
}

/// A run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Iterations, in order.
    pub train: Vec<Row>,
    /// Tests, in order of iterations and nets.
    pub test: Vec<Row>,
    /// Where the run was taken up again at an earlier iteration than it had come to: what it said of that iteration and later
    /// ones before is left out.
    pub turns: Vec<Turn>,
}

/// A place in a log where the run goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The line, from 1.
    pub line: usize,
    /// The iteration that it had come to.
    pub from: i64,
    /// The iteration that it goes on from.
    pub to: i64,
}

/// Why a file gives no run.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file system says no.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It tells of no run, or is broken.
    #[error("{}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        message: String,
    },
}

impl History {
    /// Reads a log, a metrics file or a table; the content tells which.
    ///
    /// # Errors
    /// Names the file, and the line where a metrics file is broken.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        let fail = |message: String| HistoryError::Content { path: path.to_owned(), message };
        let unread = |source| HistoryError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(unread)?;
        let changed = file.metadata().and_then(|m| m.modified()).ok();
        let test_table = path.extension().is_some_and(|e| e == "test");
        let mut reader = Reader::Unknown { test_table };
        let (mut lines, mut bytes) = (BufReader::new(file), Vec::new());
        for number in 1.. {
            bytes.clear();
            match lines.read_until(b'\n', &mut bytes) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(unread(e)),
            }
            let whole = bytes.ends_with(b"\n");
            let line = String::from_utf8_lossy(&bytes);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.trim().is_empty() {
                continue;
            }
            if let Reader::Unknown { .. } = reader {
                reader = reader.for_first(line, changed).map_err(fail)?;
                if let Reader::Table(_) = reader {
                    continue;
                }
            }
            match reader.add(number, line) {
                // A kill has cut the last line short, or it is still being written.
                Err(_) if !whole => break,
                other => other.map_err(|message| fail(format!("line {number}: {message}")))?,
            }
        }
        let history = reader.finish();
        if history.train.is_empty() && history.test.is_empty() {
            return Err(fail(
                "tells of no iteration: neither a log of `caffe train` or `cnnctl train`, nor their metrics"
                    .into(),
            ));
        }
        Ok(history)
    }

    /// Forgets what was said of iteration `iter` and later ones in `train`, and of later ones in `test`, or the other way
    /// round.
    fn go_back(&mut self, iter: i64, tests: bool, line: usize) {
        let from = self.train.iter().chain(&self.test).map(|row| row.iter).max();
        let Some(from) = from.filter(|&from| from >= iter) else { return };
        let before = self.train.len() + self.test.len();
        // A test comes before the iteration of its number, but the last one comes after.
        self.train.retain(|row| row.iter < iter || tests && row.iter == iter);
        self.test.retain(|row| row.iter <= iter);
        // The test and the iteration of a number are one turn.
        let told = self.turns.last().is_some_and(|turn| turn.to == iter && from == iter);
        if self.train.len() + self.test.len() < before && !told {
            self.turns.push(Turn { line, from, to: iter });
        }
    }
}

/// What reads a file, line by line.
enum Reader {
    Unknown { test_table: bool },
    Log(Box<log::LogReader>),
    Metrics(History),
    Table(table::TableReader),
}

impl Reader {
    /// By the first line.
    fn for_first(self, line: &str, changed: Option<std::time::SystemTime>) -> Result<Self, String> {
        let Self::Unknown { test_table } = self else { return Ok(self) };
        if let Some(table) = table::TableReader::of(line, test_table) {
            return Ok(Self::Table(table));
        }
        let object = line.trim_start().starts_with('{').then(|| serde_json::from_str::<Value>(line).ok());
        if object.flatten().is_some_and(|object| object["event"].is_string()) {
            return Ok(Self::Metrics(History::default()));
        }
        Ok(Self::Log(Box::new(log::LogReader::new(changed))))
    }

    fn add(&mut self, number: usize, line: &str) -> Result<(), String> {
        match self {
            Self::Unknown { .. } => Ok(()),
            Self::Log(log) => {
                log.add(number, line);
                Ok(())
            }
            Self::Metrics(history) => metrics_line(history, line),
            Self::Table(table) => table.add(line),
        }
    }

    fn finish(self) -> History {
        let mut history = match self {
            Self::Unknown { .. } => History::default(),
            Self::Log(log) => log.finish(),
            Self::Metrics(history) => history,
            Self::Table(table) => table.finish(),
        };
        from_start(&mut history);
        history
    }
}

/// Makes seconds count from the first row, where they are times of day.
fn from_start(history: &mut History) {
    const A_YEAR: f64 = 365.0 * 86_400.0;
    let rows = || history.train.iter().chain(&history.test);
    let start = rows().filter_map(|row| row.seconds).fold(f64::INFINITY, f64::min);
    if start.is_finite() && start > A_YEAR {
        let rows = history.train.iter_mut().chain(&mut history.test);
        rows.for_each(|row| row.seconds = row.seconds.map(|s| s - start));
    }
}

/// A line of a metrics file in JSON.
fn metrics_line(history: &mut History, line: &str) -> Result<(), String> {
    let line = MetricsLine::parse(line.as_bytes())?;
    let number = |number: Option<Number>| number.map(|n| n.0);
    let mut outputs = Vec::new();
    for (name, values) in line.outputs {
        match values {
            Values::One(v) => outputs.push((name, v.0)),
            Values::Many(all) => outputs.extend(all.iter().map(|v| (name.clone(), v.0))),
        }
    }
    let rows = match &line.event[..] {
        "train" => &mut history.train,
        "test" => &mut history.test,
        _ => return Ok(()),
    };
    rows.push(Row {
        iter: line.iter,
        epoch: number(line.epoch),
        seconds: number(line.time),
        net: line.net as usize,
        rate: number(line.lr),
        loss: number(line.loss),
        outputs,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<History, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        History::read(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn metrics_lines_are_rows() {
        let text = r#"{"event":"train","iter":0,"loss":"NaN","lr":0.5,"epoch":0,"outputs":{"p":[1,2],"loss":2.5},"time":2e9}
{"event":"test","iter":4,"net":1,"outputs":{"accuracy":0.25},"time":2000000003.5}
{"event":"train","iter":5"#;
        let history = read("m.jsonl", text).unwrap();
        let [train] = &history.train[..] else { panic!("{history:?}") };
        assert!(train.loss.unwrap().is_nan());
        assert_eq!((train.rate, train.epoch, train.seconds), (Some(0.5), Some(0.0), Some(0.0)));
        let outputs = [("loss", 2.5), ("p", 1.0), ("p", 2.0)].map(|(n, v)| (n.to_owned(), v));
        assert_eq!(train.outputs, outputs);
        assert_eq!((history.test[0].net, history.test[0].seconds), (1, Some(3.5)));
    }

    #[test]
    fn broken_lines_are_named() {
        let error = read("m.jsonl", "{\"event\":\"train\",\"iter\":0}\n{]\n{\"iter\":1}\n").unwrap_err();
        assert!(error.contains("m.jsonl: line 2: no line of metrics"), "{error}");
        let error = read("m.jsonl", "{\"event\":\"train\"}\n").unwrap_err();
        assert!(error.contains("line 1: no line of metrics: missing field `iter`"), "{error}");
        for text in ["", "\n\n", "some text\n", "\u{0}\u{1}"] {
            assert!(read("x", text).unwrap_err().contains("tells of no iteration"), "{text:?}");
        }
    }
}
