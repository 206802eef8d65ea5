//! The columns of a metrics table, and its rows.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde_json::Value;

use super::csv::quoted;
use crate::solver::Solver;

/// The columns: those of each line of the JSON form, then `outputs.NAME` for each output of the train net and the test nets,
/// or `outputs.NAME[I]` where it has several values. What an event does not have is left empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    timed: bool,
    /// Names and lengths.
    outputs: Vec<(String, usize)>,
}

impl Columns {
    /// Of a run.
    pub fn of(solver: &Solver, timed: bool) -> Self {
        let mut outputs: Vec<(String, usize)> = Vec::new();
        for net in solver.nets() {
            for output in net.outputs() {
                match outputs.iter_mut().find(|(name, _)| name == output.name) {
                    Some((_, len)) => *len = (*len).max(output.values.len()),
                    None => outputs.push((output.name.to_owned(), output.values.len())),
                }
            }
        }
        Self { timed, outputs }
    }

    fn fixed(&self) -> impl Iterator<Item = &'static str> {
        ["event", "iter", "epoch", "net", "loss", "lr"].into_iter().chain(self.timed.then_some("time"))
    }

    /// The first line.
    pub fn head(&self) -> String {
        let outputs = self.outputs.iter().flat_map(|(name, len)| {
            (0..*len).map(move |i| match len {
                1 => title(&format!("outputs.{name}")),
                _ => title(&format!("outputs.{name}[{i}]")),
            })
        });
        line(self.fixed().map(str::to_owned).chain(outputs))
    }

    /// The row of an event in its JSON form.
    pub fn row(&self, event: &Value) -> String {
        let outputs = self.outputs.iter().flat_map(|(name, len)| {
            let value = &event["outputs"][name];
            (0..*len).map(move |i| match value {
                Value::Array(values) => cell(values.get(i).unwrap_or(&Value::Null)),
                one => cell(if i == 0 { one } else { &Value::Null }),
            })
        });
        line(self.fixed().map(|name| cell(&event[name])).chain(outputs))
    }

    /// The iteration that a row is of.
    pub fn iteration(&self, row: &[u8]) -> Option<i64> {
        // Words and numbers of our own stand before it: none is quoted.
        std::str::from_utf8(row).ok()?.split(',').nth(1)?.parse().ok()
    }

    /// Refuses the table of another net, which the rows of this one would make unreadable.
    pub fn check(&self, path: &Path) -> Result<(), String> {
        let Ok(file) = File::open(path) else { return Ok(()) };
        let mut found = String::new();
        let read = BufReader::new(file).read_line(&mut found);
        if read.is_ok() && (found.is_empty() || !found.ends_with('\n') || found == self.head()) {
            return Ok(());
        }
        let path = path.display();
        Err(format!(
            "cannot go on with {path}: its first line is not\n    {}    so it is another run's: move it away, or choose another \
             file",
            self.head()
        ))
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut line = cells.collect::<Vec<_>>().join(",");
    line.push('\n');
    line
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        number => number.to_string(),
    }
}

/// A name that may hold anything, on one line.
fn title(name: &str) -> String {
    quoted(&name.replace(char::is_control, " "), ',')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns() -> Columns {
        Columns { timed: false, outputs: vec![("a,\"b\"\n".into(), 1), ("p".into(), 2)] }
    }

    #[test]
    fn a_row_has_a_cell_for_each_column() {
        let columns = columns();
        assert_eq!(
            columns.head(),
            "event,iter,epoch,net,loss,lr,\"outputs.a,\"\"b\"\" \",outputs.p[0],outputs.p[1]\n"
        );
        let train = json!({"event": "train", "iter": 7, "loss": "NaN", "lr": 0.5, "outputs": {"p": [1, 2]}});
        assert_eq!(columns.row(&train), "train,7,,,NaN,0.5,,1,2\n");
        let test =
            json!({"event": "test", "iter": 7, "net": 0, "epoch": 1.5, "outputs": {"a,\"b\"\n": 0.25}});
        assert_eq!(columns.row(&test), "test,7,1.5,0,,,0.25,,\n");
        assert_eq!(columns.iteration(b"train,7,,,NaN,0.5,,1,2\n"), Some(7));
        assert_eq!(columns.iteration(b"train\n"), None);
    }

    #[test]
    fn a_table_of_another_net_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.csv");
        columns().check(&path).unwrap();
        for (text, fits) in
            [("", true), (&columns().head()[..], true), ("event,it", true), ("a,b\n1,2\n", false)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(columns().check(&path).is_ok(), fits, "{text}");
        }
    }
}
