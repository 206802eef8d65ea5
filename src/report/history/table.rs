//! Tables of runs: our metrics as CSV, and what `parse-log` and Caffe's `parse_log.py` write.

use super::{History, Row};

/// Reads a table row by row.
pub struct TableReader {
    columns: Vec<Column>,
    history: History,
    /// For a table of `parse-log`: whether it is one of tests.
    of_parse_log: Option<bool>,
}

/// What a column holds.
enum Column {
    Event,
    Iter,
    Epoch,
    Net,
    Loss,
    Rate,
    Seconds,
    Output(String),
}

impl TableReader {
    /// The reader for a table with this first line, if it is one of ours.
    pub fn of(head: &str, test_table: bool) -> Option<Self> {
        let names = cells(head);
        let parse_log = names.starts_with(&["NumIters".to_owned(), "Seconds".to_owned()]);
        if !parse_log && !names.starts_with(&["event".to_owned(), "iter".to_owned()]) {
            return None;
        }
        let columns = names.into_iter().map(|name| match (&name[..], parse_log) {
            ("event", false) => Column::Event,
            ("iter", false) | ("NumIters", true) => Column::Iter,
            ("epoch", false) => Column::Epoch,
            ("net", false) => Column::Net,
            ("loss", false) | ("TrainingLoss", true) => Column::Loss,
            ("lr", false) | ("LearningRate", true) => Column::Rate,
            ("time", false) | ("Seconds", true) => Column::Seconds,
            _ => Column::Output(plain(name.strip_prefix("outputs.").unwrap_or(&name))),
        });
        let of_parse_log = parse_log.then_some(test_table);
        Some(Self { columns: columns.collect(), history: History::default(), of_parse_log })
    }

    /// Takes in a row.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn add(&mut self, line: &str) -> Result<(), String> {
        let cells = cells(line);
        if cells.len() != self.columns.len() {
            return Err(format!("{} cells for {} columns", cells.len(), self.columns.len()));
        }
        let mut row = Row { iter: -1, ..Row::default() };
        let mut test = self.of_parse_log.unwrap_or(false);
        for (column, cell) in self.columns.iter().zip(&cells) {
            let number = cell.parse::<f64>().ok();
            if number.is_none() && !cell.is_empty() && !matches!(column, Column::Event) {
                return Err(format!("`{cell}` is no number"));
            }
            match column {
                Column::Event => test = cell == "test",
                Column::Iter => row.iter = number.map_or(-1, |n| n as i64),
                Column::Epoch => row.epoch = number,
                Column::Net => row.net = number.map_or(0, |n| n as usize),
                Column::Loss => row.loss = number,
                Column::Rate => row.rate = number,
                Column::Seconds => row.seconds = number.filter(|s| s.is_finite()),
                Column::Output(name) => row.outputs.extend(number.map(|v| (name.clone(), v))),
            }
        }
        if row.iter < 0 {
            return Err("no iteration".into());
        }
        if test {
            self.history.test.push(row)
        } else {
            self.history.train.push(row)
        }
        Ok(())
    }

    /// The run.
    pub fn finish(self) -> History {
        self.history
    }
}

/// A column's name without the number of the value.
fn plain(name: &str) -> String {
    let numbered = name.strip_suffix(']').and_then(|name| name.rsplit_once('['));
    let numbered = numbered.filter(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    numbered.map_or(name, |(name, _)| name).to_owned()
}

/// The cells of a line of CSV.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    cells.push(cell);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_metrics() {
        let head =
            "event,iter,epoch,net,loss,lr,outputs.accuracy,\"outputs.a,\"\"b\",outputs.p[0],outputs.p[1]";
        let mut table = TableReader::of(head, false).unwrap();
        table.add("train,3,0.5,,NaN,0.1,,,,").unwrap();
        table.add("test,4,0.75,1,,,0.5,7,1,2").unwrap();
        assert_eq!(table.add("test,4").unwrap_err(), "2 cells for 10 columns");
        assert_eq!(table.add("test,x,,,,,,,,").unwrap_err(), "`x` is no number");
        let history = table.finish();
        assert!(history.train[0].loss.unwrap().is_nan());
        let outputs = [("accuracy", 0.5), ("a,\"b", 7.0), ("p", 1.0), ("p", 2.0)];
        let test = Row {
            iter: 4,
            epoch: Some(0.75),
            net: 1,
            outputs: outputs.map(|(n, v)| (n.to_owned(), v)).into(),
            ..Row::default()
        };
        assert_eq!(history.test, [test]);
    }

    #[test]
    fn tables_of_parse_log() {
        let mut table = TableReader::of("NumIters,Seconds,LearningRate,accuracy", true).unwrap();
        table.add("100.0,nan,0.01,0.5").unwrap();
        let history = table.finish();
        let outputs = vec![("accuracy".to_owned(), 0.5)];
        assert_eq!(history.test, [Row { iter: 100, rate: Some(0.01), outputs, ..Row::default() }]);
        assert!(TableReader::of("a,b,c", true).is_none());
    }
}
