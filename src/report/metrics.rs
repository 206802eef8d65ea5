//! The metrics file: a JSON object a line.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::Path,
};

use serde_json::{Map, Value, json};

use crate::solver::{Event, Mean, Solver};

/// An open metrics file.
pub struct Metrics {
    file: File,
    path: String,
    /// How long the file is, in whole lines.
    end: u64,
    /// Lines that could not be written yet.
    waiting: Vec<u8>,
    /// Whether the last attempt failed.
    failing: bool,
}

/// As much is kept for a disk that may have room again later.
const WAITING: usize = 1 << 26;

impl Metrics {
    /// Opens a file for a run that starts at iteration `iter`: anew at 0, else after the lines of the iterations
    /// before it, so that a resumed run leaves one clean sequence.
    pub fn open(path: &Path, iter: i32) -> Result<Self, String> {
        let shown = path.display().to_string();
        let open = || {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
            let end = if iter == 0 { 0 } else { end_of_earlier(&file, iter)? };
            file.set_len(end)?;
            Ok((file, end))
        };
        match open() {
            Ok((file, end)) => Ok(Self { file, path: shown, end, waiting: Vec::new(), failing: false }),
            Err::<_, io::Error>(e) => Err(format!("cannot write {shown}: {e}")),
        }
    }

    /// Adds the line of an event, if it has one.
    pub fn event(&mut self, solver: &Solver, event: &Event<'_>) {
        let line = match event {
            // What a snapshot goes on from must not be lost when the machine goes down.
            Event::Snapshot { .. } => {
                let _ = self.file.sync_data();
                return;
            }
            Event::RolledBack { iter, .. } => {
                self.cut(*iter);
                return;
            }
            Event::Train { iter, loss, rate, .. } => {
                let outputs = outputs(solver.train_net().outputs().iter().map(|o| (o.name, o.values)));
                let (loss, rate) = (number(*loss), number(*rate));
                json!({"event": "train", "iter": iter, "loss": loss, "lr": rate, "outputs": outputs})
            }
            Event::Test { iter, net, outputs: means, .. } => {
                let outputs = mean_outputs(means);
                json!({"event": "test", "iter": iter, "net": net, "outputs": outputs})
            }
            _ => return,
        };
        if self.waiting.len() < WAITING {
            self.waiting.extend_from_slice(format!("{line}\n").as_bytes());
        }
        self.write();
    }

    /// Each line goes out at once and whole: whoever follows the file never waits, and a kill cuts no line. What a
    /// full disk does not take waits for the next line; training goes on.
    fn write(&mut self) {
        let written = self.file.write_all_at(&self.waiting, self.end);
        if written.is_ok() {
            self.end += self.waiting.len() as u64;
            self.waiting.clear();
        }
        if let Err(error) = &written
            && !self.failing
        {
            tracing::warn!("cannot write {}: {error}: its lines wait for better times", self.path);
        }
        self.failing = written.is_err();
    }

    /// Takes back the lines from iteration `iter` on: the run has gone back there.
    fn cut(&mut self, iter: i32) {
        let cut = || {
            let end = end_of_earlier(&self.file, iter)?.min(self.end);
            self.file.set_len(end)?;
            Ok(end)
        };
        match cut() {
            Ok(end) => (self.end, self.waiting) = (end, Vec::new()),
            Err::<_, io::Error>(error) => tracing::warn!("cannot cut back {}: {error}", self.path),
        }
    }
}

/// What still waits when a run ends is lost, and said so.
impl Drop for Metrics {
    fn drop(&mut self) {
        if !self.waiting.is_empty() {
            let _ = self.file.set_len(self.end);
            tracing::warn!("the last lines of {} could not be written", self.path);
        }
    }
}

/// Where the lines of the iterations before `iter` end. A line that a kill has cut short is none.
fn end_of_earlier(mut file: &File, iter: i32) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let (mut end, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        let earlier =
            serde_json::from_slice::<Value>(&line).is_ok_and(|v| v["iter"].as_i64() < Some(i64::from(iter)));
        if read == 0 || !line.ends_with(b"\n") || !earlier {
            return Ok(end);
        }
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
fn number(v: f32) -> Value {
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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.jsonl");
        let lines = "{\"iter\":0}\n{\"iter\":1}\n{\"iter\":2}\n{\"iter\":3";
        for (iter, kept) in [(0, ""), (1, "{\"iter\":0}\n"), (3, &lines[..33]), (9, &lines[..33])] {
            std::fs::write(&path, lines).unwrap();
            Metrics::open(&path, iter).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), kept, "{iter}");
        }
    }

    #[test]
    fn results_are_one_object_with_short_numbers_and_named_infinities() {
        let mean = |name: &str, values: &[f32]| Mean {
            name: name.into(),
            values: values.to_vec(),
            loss_weight: 0.0,
        };
        let means = [mean("accuracy", &[0.1]), mean("loss", &[f32::NAN]), mean("p", &[1.0, f32::INFINITY])];
        assert_eq!(
            test_json(50, &means, f32::NEG_INFINITY),
            r#"{"iterations":50,"loss":"-Infinity","outputs":{"accuracy":0.1,"loss":"NaN","p":[1.0,"Infinity"]}}"#
        );
    }
}
