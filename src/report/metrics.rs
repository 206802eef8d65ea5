//! Metrics files: a JSON object a line, or a CSV table.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};

use super::{appender::Appender, columns::Columns};
use crate::solver::{Event, Mean, Solver};

/// An open metrics file.
pub(super) struct Metrics {
    file: Appender,
    /// Of a CSV table.
    columns: Option<Columns>,
    /// Whether each line tells when it was written.
    timed: bool,
}

impl Metrics {
    /// Opens a file for a run that starts at the solver's iteration: anew at 0, else after the lines of the iterations
    /// before it, so that a resumed run leaves one clean sequence. A name that ends in `.csv` makes a table.
    ///
    /// # Errors
    /// When it cannot be written, and when it is the table of a net with other outputs.
    pub fn open(path: &Path, timed: bool, solver: &Solver) -> Result<Self, String> {
        let iter = solver.iter();
        let table = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        let columns = table.then(|| Columns::of(solver, timed));
        if let Some(columns) = &columns
            && iter > 0
        {
            columns.check(path)?;
        }
        let mut last = None;
        let file = Appender::open(path, |file| {
            let end;
            (end, last) = if iter == 0 { (0, None) } else { end_of_earlier(file, iter, columns.as_ref())? };
            Ok(end)
        })?;
        if let Some(last) = last.filter(|last| last + 1 < i64::from(iter)) {
            tracing::warn!(
                "{} ends with iteration {last}, and the run goes on from {iter}: the lines between are lost",
                path.display()
            );
        }
        let mut metrics = Self { file, columns, timed };
        metrics.begin();
        Ok(metrics)
    }

    /// Writes a table's head where there is none.
    fn begin(&mut self) {
        if let Some(columns) = &self.columns
            && self.file.is_empty()
        {
            self.file.add(columns.head().as_bytes());
        }
    }

    /// Adds the line of an event, if it has one.
    pub fn event(&mut self, solver: &Solver, event: &Event<'_>) {
        let (iter, mut line) = match event {
            Event::Snapshot { .. } => return self.file.sync(),
            Event::RolledBack { iter, .. } => {
                let columns = self.columns.as_ref();
                self.file.cut(|file| Ok(end_of_earlier(file, *iter, columns)?.0));
                return self.begin();
            }
            Event::Train { iter, loss, rate, .. } => {
                let outputs = outputs(solver.train_net().outputs().iter().map(|o| (o.name, o.values)));
                let (loss, rate) = (number(*loss), number(*rate));
                (*iter, json!({"event": "train", "iter": iter, "loss": loss, "lr": rate, "outputs": outputs}))
            }
            Event::Test { iter, net, outputs: means, .. } => {
                let outputs = mean_outputs(means);
                (*iter, json!({"event": "test", "iter": iter, "net": net, "outputs": outputs}))
            }
            _ => return,
        };
        if let Some(epochs) = solver.epochs(iter) {
            line["epoch"] = number(epochs as f32);
        }
        if self.timed {
            line["time"] = json!((now() * 1e3).round() / 1e3);
        }
        let text = match &self.columns {
            Some(columns) => columns.row(&line),
            None => format!("{line}\n"),
        };
        self.file.add(text.as_bytes());
    }
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Where the lines of the iterations before `iter` end, and the iteration of the last of them. A line that a kill has cut short is none.
fn end_of_earlier(mut file: &File, iter: i32, columns: Option<&Columns>) -> io::Result<(u64, Option<i64>)> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let (mut end, mut last, mut line) = (0, None, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        let found = match columns {
            Some(_) if end == 0 => Some(-1),
            Some(columns) => columns.iteration(&line),
            None => serde_json::from_slice::<Value>(&line).ok().and_then(|v| v["iter"].as_i64()),
        };
        let earlier = found.is_some_and(|found| found < i64::from(iter));
        if read == 0 || !line.ends_with(b"\n") || !earlier {
            return Ok((end, last));
        }
        last = found.filter(|&found| found >= 0);
        end += read as u64;
    }
}

/// The results of `cnnctl test` as one JSON object.
pub fn test_json(batches: usize, means: &[Mean], loss: f32) -> String {
    json!({"iterations": batches, "loss": number(loss), "outputs": mean_outputs(means)}).to_string()
}

fn mean_outputs(means: &[Mean]) -> Map<String, Value> {
    outputs(means.iter().map(|m| (&m.name[..], &m.values[..])))
}

/// One value stands alone, several in a list.
fn outputs<'a>(outputs: impl Iterator<Item = (&'a str, &'a [f32])>) -> Map<String, Value> {
    let value = |values: &[f32]| match values {
        [v] => number(*v),
        _ => values.iter().copied().map(number).collect(),
    };
    outputs.map(|(name, values)| (name.to_owned(), value(values))).collect()
}

/// The shortest number that means this `f32`. JSON has no NaN and no infinity: these are strings, spelled as in
/// protobuf's JSON format, so that nobody takes a diverged run for one without a loss.
pub(super) fn number(v: f32) -> Value {
    if v.is_nan() {
        json!("NaN")
    } else if v.is_infinite() {
        json!(if v > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        v.to_string().parse::<f64>().map_or(Value::Null, Value::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_goes_on_after_its_iteration() {
        let mut file = tempfile::tempfile().unwrap();
        let lines = "{\"iter\":0}\n{\"iter\":1}\n{\"iter\":2}\n{\"iter\":3";
        io::Write::write_all(&mut file, lines.as_bytes()).unwrap();
        for (iter, kept, last) in [
            (0, "", None),
            (1, "{\"iter\":0}\n", Some(0)),
            (3, &lines[..33], Some(2)),
            (9, &lines[..33], Some(2)),
        ] {
            assert_eq!(end_of_earlier(&file, iter, None).unwrap(), (kept.len() as u64, last), "{iter}");
        }
    }

    #[test]
    fn results_are_one_object_with_short_numbers_and_named_infinities() {
        let mean = |name: &str, values: &[f32]| Mean {
            name: name.into(),
            values: values.to_vec(),
            loss_weight: 0.0,
            more_is_better: None,
        };
        let means = [mean("accuracy", &[0.1]), mean("loss", &[f32::NAN]), mean("p", &[1.0, f32::INFINITY])];
        assert_eq!(
            test_json(50, &means, f32::NEG_INFINITY),
            r#"{"iterations":50,"loss":"-Infinity","outputs":{"accuracy":0.1,"loss":"NaN","p":[1.0,"Infinity"]}}"#
        );
    }
}
