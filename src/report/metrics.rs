//! The metrics file: a JSON object a line.

use std::{fs::File, io::Write as _, path::Path};

use serde_json::{Map, Value, json};

use crate::solver::{Event, Solver};

/// An open metrics file.
pub struct Metrics {
    file: File,
    path: String,
}

impl Metrics {
    /// Starts a file anew.
    pub fn create(path: &Path) -> Result<Self, String> {
        let shown = path.display().to_string();
        let file = File::create(path).map_err(|e| format!("cannot write {shown}: {e}"))?;
        Ok(Self { file, path: shown })
    }

    /// Adds the line of an event, if it has one.
    pub fn event(&mut self, solver: &Solver, event: &Event<'_>) {
        let line = match event {
            Event::Train { iter, loss, rate, .. } => {
                let outputs = outputs(solver.train_net().outputs().iter().map(|o| (o.name, o.values)));
                json!({"event": "train", "iter": iter, "loss": loss, "lr": rate, "outputs": outputs})
            }
            Event::Test { iter, net, outputs: means, .. } => {
                let outputs = outputs(means.iter().map(|m| (&m.name[..], &m.values[..])));
                json!({"event": "test", "iter": iter, "net": net, "outputs": outputs})
            }
            _ => return,
        };
        // Each line goes out at once and whole: whoever follows the file never waits, and a kill cuts no line.
        if let Err(error) = self.file.write_all(format!("{line}\n").as_bytes()) {
            tracing::warn!("cannot write {}: {error}", self.path);
        }
    }
}

/// One value stands alone, several in a list.
fn outputs<'a>(outputs: impl Iterator<Item = (&'a str, &'a [f32])>) -> Map<String, Value> {
    outputs
        .map(|(name, values)| (name.to_owned(), if let [v] = values { json!(v) } else { json!(values) }))
        .collect()
}
