//! The tables of Caffe's `parse_log.py`.

use super::{History, Row};
use crate::report::csv::quoted;

/// How tables are written.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// Stands between cells.
    pub delimiter: char,
}

/// The tables of training and of tests, each `None` without rows: `NumIters`, `Seconds` since the line `Solving`,
/// `LearningRate`, then a column for each output, under its name.
///
/// Other than Caffe's tool, a row has the learning rate of its own iteration and not of the one shown before; further values of an
/// output are `NAME[1]` and so on, and outputs of further test nets `NAME#1`, where Caffe's overwrites the first ones; rows that
/// lack outputs are there.
pub fn tables(history: &History, options: &TableOptions) -> [Option<String>; 2] {
    let merged = by_iteration(&history.test);
    let train: Vec<Wide<'_>> = history.train.iter().map(|row| (row, outputs(row))).collect();
    [table(&train, options), table(&merged, options)]
}

/// A row, and what stands in its columns of outputs.
type Wide<'a> = (&'a Row, Vec<(String, f64)>);

/// The tests of an iteration in one row.
fn by_iteration(tests: &[Row]) -> Vec<Wide<'_>> {
    let mut merged: Vec<Wide<'_>> = Vec::new();
    for row in tests {
        match merged.last_mut() {
            Some((first, all)) if first.iter == row.iter => all.extend(outputs(row)),
            _ => merged.push((row, outputs(row))),
        }
    }
    merged
}

/// The outputs under names that no two have in common.
fn outputs(row: &Row) -> Vec<(String, f64)> {
    let net = if row.net == 0 { String::new() } else { format!("#{}", row.net) };
    let mut named: Vec<(String, f64)> = Vec::with_capacity(row.outputs.len());
    for (i, (name, value)) in row.outputs.iter().enumerate() {
        let before = row.outputs[..i].iter().filter(|(other, _)| other == name).count();
        let number = if before == 0 { String::new() } else { format!("[{before}]") };
        named.push((format!("{name}{net}{number}"), *value));
    }
    named
}

fn table(rows: &[Wide<'_>], options: &TableOptions) -> Option<String> {
    let rows: Vec<&Wide<'_>> = rows.iter().filter(|(_, outputs)| !outputs.is_empty()).collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flat_map(|(_, outputs)| outputs) {
        if !names.contains(&&name[..]) {
            names.push(name);
        }
    }
    let delimiter = options.delimiter;
    let line = |cells: Vec<String>| cells.join(&delimiter.to_string()) + "\r\n";
    let fixed = ["NumIters", "Seconds", "LearningRate"];
    let head = fixed.iter().chain(&names).map(|name| quoted(name, delimiter)).collect();
    let lines = rows.iter().map(|(row, outputs)| {
        let known = |value: Option<f64>| float(value.unwrap_or(f64::NAN));
        let cell =
            |name: &&str| outputs.iter().find(|(n, _)| n == name).map_or(String::new(), |o| float(o.1));
        let fixed = [float(row.iter as f64), known(row.seconds), known(row.rate)];
        line(fixed.into_iter().chain(names.iter().map(cell)).collect())
    });
    (!rows.is_empty()).then(|| std::iter::once(line(head)).chain(lines).collect())
}

/// A number as Python prints it.
fn float(v: f64) -> String {
    if v.is_nan() {
        return "nan".into();
    }
    let text = format!("{v:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", digits.trim_end_matches(".0"), exponent.abs())
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_like_pythons() {
        let cases = [
            (0.0, "0.0"),
            (100.0, "100.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e16, "1e+16"),
            (1e100, "1e+100"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
            (2.30158, "2.30158"),
        ];
        for (v, want) in cases {
            assert_eq!(float(v), want);
        }
    }
}
