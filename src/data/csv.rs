//! Rows of numbers in a text file: a sample on each line, with its label first, last, or nowhere.
//!
//! Commas, semicolons, tabs or blanks divide; a first line that is not all numbers is a heading. The values are bytes if all of
//! them, in the whole file, are whole numbers from 0 to 255.

use std::{fs, ops::Range, path::PathBuf};

use super::{Access, Column, DataError, Location, Pixels, Sample, Source};

pub(crate) fn open(location: &Location) -> Result<Box<dyn Source>, DataError> {
    let path = &location.path;
    let bytes = fs::read(path).map_err(DataError::io(Access::Open, path))?;
    let text = String::from_utf8(bytes).map_err(|e| DataError::file(path, format!("not text: {e}")))?;
    let mut rows = Vec::new();
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if !line.trim().is_empty() && (number > 0 || parse(line).is_ok()) {
            rows.push((number + 1, at..at + line.len()));
        }
        at += line.len();
    }
    let mut csv = Csv {
        path: path.clone(),
        text,
        rows,
        label: location.label_column,
        shape: location.shape.unwrap_or_default(),
        bytes: true,
    };
    if location.shape.is_none() && !csv.rows.is_empty() {
        csv.shape = [1, 1, csv.row(0)?.0.len()];
    }
    // Better now than after an hour of training.
    for row in 0..csv.rows.len() {
        csv.bytes &= csv.row(row)?.0.iter().all(|v| v.fract() == 0.0 && (0.0..=255.0).contains(v));
    }
    Ok(Box::new(csv))
}

struct Csv {
    path: PathBuf,
    text: String,
    /// The number of each line, and where it stands.
    rows: Vec<(usize, Range<usize>)>,
    label: Column,
    /// All zeros until the first row is known.
    shape: [usize; 3],
    bytes: bool,
}

impl Csv {
    /// Values and label of a row.
    fn row(&self, index: usize) -> Result<(Vec<f32>, Option<f32>), DataError> {
        let (line, range) = &self.rows[index];
        let bad = |problem| DataError::sample(&self.path, format!("line {line}"), problem);
        let mut values = parse(&self.text[range.clone()]).map_err(bad)?;
        let label = match self.label {
            Column::First => Some(values.remove(0)),
            Column::Last => values.pop(),
            Column::None => None,
        };
        let expected = self.shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
        if self.shape == [0; 3] && !values.is_empty() || expected == Some(values.len()) && expected != Some(0)
        {
            return Ok((values, label));
        }
        let [c, h, w] = self.shape;
        Err(bad(format!("it has {} values beside the label, not {c} x {h} x {w}", values.len())))
    }
}

/// The numbers of a line; there is at least one.
fn parse(line: &str) -> Result<Vec<f32>, String> {
    let line = line.trim_matches(['\r', '\n', ' ']);
    let divider = [',', ';', '\t'].into_iter().find(|&d| line.contains(d)).unwrap_or(' ');
    let cells = line.split(divider).map(|cell| cell.trim_matches([' ', '"']));
    let cells = cells.filter(|cell| divider != ' ' || !cell.is_empty());
    cells.map(|cell| cell.parse().map_err(|_| format!("`{cell}` is not a number"))).collect()
}

impl Source for Csv {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let (values, label) = self.row(index)?;
        let pixels = match self.bytes {
            true => Pixels::U8(values.into_iter().map(|v| v as u8).collect()),
            false => Pixels::F32(values),
        };
        let key = format!("line {}", self.rows[index].0);
        Ok(Sample { shape: self.shape, pixels, labels: label.into_iter().collect(), key })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str, change: impl Fn(&mut Location)) -> Result<Box<dyn Source>, DataError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let mut location = Location { path: file.path().into(), ..Location::default() };
        change(&mut location);
        open(&location)
    }

    fn refusal(text: &str, shape: Option<[usize; 3]>) -> String {
        source(text, |l| l.shape = shape).err().unwrap().to_string()
    }

    #[test]
    fn headings_blank_lines_and_dividers() {
        let csv = source("label,a,b\r\n3, 0,255\n\n4,1,2", |_| {}).unwrap();
        let sample = csv.read(1).unwrap();
        assert_eq!((csv.len(), sample.shape, &sample.key[..]), (2, [1, 1, 2], "line 4"));
        assert_eq!((sample.pixels, sample.labels), (Pixels::U8(vec![1, 2]), vec![4.0]));
        let last = |l: &mut Location| {
            (l.label_column, l.shape) = (Column::Last, Some([2, 1, 1]));
        };
        let sample = source("0.5  -1 \"7\"\n", last).unwrap().read(0).unwrap();
        assert_eq!((sample.shape, sample.labels), ([2, 1, 1], vec![7.0]));
        assert_eq!(sample.pixels, Pixels::F32(vec![0.5, -1.0]));
        let none = source("1\t256", |l| l.label_column = Column::None).unwrap().read(0).unwrap();
        assert_eq!((none.pixels, none.labels), (Pixels::F32(vec![1.0, 256.0]), vec![]));
    }

    #[test]
    fn bad_rows_are_named() {
        assert!(refusal("1,2\n1,x\n", None).contains("sample `line 2`"));
        assert!(refusal("1,2\n1,2,3\n", None).contains("2 values beside the label, not 1 x 1 x 1"));
        assert!(refusal("1,2,3\n", Some([1, 2, 2])).contains("not 1 x 2 x 2"));
        assert!(refusal("1\n", None).contains("0 values"));
        assert!(refusal("1,2\n", Some([usize::MAX, 2, 2])).contains("1 values"));
        assert!(source("", |_| {}).unwrap().is_empty());
        assert!(source("a,b\n", |_| {}).unwrap().is_empty());
    }
}
