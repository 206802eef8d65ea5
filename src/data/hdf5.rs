//! `HDF5Data`: rows of named datasets, from the files of a list.
//!
//! Caffe keeps a whole file in memory. Here files are read in blocks of rows, so that neither a file nor the set needs to fit; a
//! shuffle mixes the blocks, and the rows within each.

use std::{
    fs,
    io::{self, ErrorKind, Read as _},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use hdf5_pure::{Dataset, Datatype, DatatypeByteOrder, File};

use super::{Access, DataError, Draw, Feed, Location, Pixels, Place, Sample, Source};
use crate::tensor::{Shape, f32_of_half};

/// Values in a block, all tops together: 64 MB.
const BLOCK: usize = 16 << 20;
/// Values that a dataset may have: 16 TB. A damaged shape should not be taken for an order.
const MAX_VALUES: usize = 1 << 42;
/// Blocks in memory: batches straddle the end of one and the start of the next.
const KEPT: usize = 2;

/// The datasets of a list of HDF5 files; each top is the dataset of its name.
pub struct Tables {
    list: PathBuf,
    names: Vec<String>,
    /// Of a row of each dataset, in the first file.
    shapes: Vec<Shape>,
    /// Whether rows of other files may have other shapes.
    any_shape: bool,
    blocks: Vec<Block>,
    kept: Mutex<Vec<(usize, Arc<Rows>)>>,
}

/// Some rows of one file.
struct Block {
    path: Arc<Path>,
    /// Of a row of each dataset.
    shapes: Arc<[Shape]>,
    rows: Range<usize>,
    /// The number of its first row among all.
    first: usize,
}

/// The values of a block, a list for each top.
type Rows = Vec<Vec<f32>>;

impl Tables {
    /// Opens the files that `list` names, one on a line, and checks that they fit together.
    pub fn open(list: &Path, names: &[String]) -> Result<Self, DataError> {
        Self::with_block(list, names, false, BLOCK)
    }

    /// [`open`](Self::open), of files whose rows may be of other shapes than those of the first.
    pub fn open_any_shape(list: &Path, names: &[String]) -> Result<Self, DataError> {
        Self::with_block(list, names, true, BLOCK)
    }

    fn with_block(list: &Path, names: &[String], any_shape: bool, values: usize) -> Result<Self, DataError> {
        if names.is_empty() {
            return Err(DataError::Setting("HDF5Data needs a top: each names a dataset".into()));
        }
        let text = read_list(list)?;
        let mut tables = Self { any_shape, ..Self::empty(list, names) };
        for path in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            tables.add_file(Path::new(path), values)?;
        }
        match tables.blocks.is_empty() {
            true => Err(DataError::Empty { path: list.to_owned() }),
            false => Ok(tables),
        }
    }

    fn empty(list: &Path, names: &[String]) -> Self {
        Self {
            list: list.to_owned(),
            names: names.to_vec(),
            shapes: Vec::new(),
            any_shape: false,
            blocks: Vec::new(),
            kept: Mutex::default(),
        }
    }

    /// One file instead of a list.
    fn of_file(path: &Path, names: &[String]) -> Result<Self, DataError> {
        let mut tables = Self::empty(path, names);
        tables.add_file(path, BLOCK)?;
        Ok(tables)
    }

    fn add_file(&mut self, path: &Path, block: usize) -> Result<(), DataError> {
        let mut rows = None;
        let mut shapes = Vec::new();
        for (name, dataset) in self.names.iter().zip(self.datasets(path)?) {
            let shape = dataset.shape().map_err(|e| DataError::file(path, e.to_string()))?;
            let axes: Option<Vec<_>> = shape.iter().map(|&axis| usize::try_from(axis).ok()).collect();
            let Some([count, row @ ..]) = axes.as_deref() else {
                return Err(DataError::file(path, format!("dataset `{name}` is a single value, not rows")));
            };
            let (first, rows) = (&self.names[0], *rows.get_or_insert(*count));
            if *count != rows {
                let problem = format!("dataset `{name}` has {count} rows, `{first}` has {rows}");
                return Err(DataError::file(path, problem));
            }
            shapes.push(Shape::from(row));
        }
        if self.shapes.is_empty() {
            self.shapes.clone_from(&shapes);
        } else if let Some(i) = (0..shapes.len()).find(|&i| shapes[i] != self.shapes[i] && !self.any_shape) {
            let (name, here, before) = (&self.names[i], &shapes[i], &self.shapes[i]);
            let problem = format!(
                "a row of `{name}` is {here}, but {before} in the files before; with `batch_size: 1` they may differ"
            );
            return Err(DataError::file(path, problem));
        }
        let rows = rows.unwrap_or(0);
        let values = |shape: &Shape| shape.iter().try_fold(rows.max(1), |n, &axis| n.checked_mul(axis));
        if shapes.iter().any(|shape| values(shape).is_none_or(|n| n > MAX_VALUES)) {
            let problem = format!("damaged: {rows} rows of {} are beyond all memory", shapes[0]);
            return Err(DataError::file(path, problem));
        }
        self.cut(path.into(), shapes.into(), rows, block);
        Ok(())
    }

    /// Cuts the rows of a file into blocks of about `values` values.
    fn cut(&mut self, path: Arc<Path>, shapes: Arc<[Shape]>, rows: usize, values: usize) {
        let row: usize = shapes.iter().map(Shape::count).sum();
        let step = (values / row.max(1)).max(1);
        for start in (0..rows).step_by(step) {
            let first = self.blocks.last().map_or(0, |b| b.first + b.rows.len());
            let rows = start..rows.min(start + step);
            self.blocks.push(Block { path: path.clone(), shapes: shapes.clone(), rows, first });
        }
    }

    fn datasets(&self, path: &Path) -> Result<Vec<Dataset>, DataError> {
        let bad = |problem: String| DataError::file(path, problem);
        // The crate's own error for a missing file does not name it.
        drop(fs::File::open(path).map_err(DataError::io(Access::Open, path))?);
        let file = File::open_streaming(path).map_err(|e| bad(format!("not a readable HDF5 file: {e}")))?;
        let open = |name: &String| {
            file.dataset(name).map_err(|e| match file.root().datasets() {
                Ok(there) if !name.contains('/') && !there.contains(name) => {
                    bad(format!("it has no dataset `{name}`; there are: {}", there.join(", ")))
                }
                _ => bad(format!("dataset `{name}`: {e}")),
            })
        };
        self.names.iter().map(open).collect()
    }

    fn block(&self, number: usize) -> Result<Arc<Rows>, DataError> {
        // Held while reading: others would want the same block.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rows)) = kept.iter().find(|(n, _)| *n == number) {
            return Ok(rows.clone());
        }
        if kept.len() == KEPT {
            kept.remove(0);
        }
        let rows = Arc::new(self.read(&self.blocks[number])?);
        kept.push((number, rows.clone()));
        Ok(rows)
    }

    /// The number of the block that has row `index`.
    fn number(&self, index: usize) -> usize {
        self.blocks.partition_point(|block| block.first <= index) - 1
    }

    fn copy_row(&self, index: usize, tops: &mut [&mut [f32]]) -> Result<(), DataError> {
        let number = self.number(index);
        let rows = self.block(number)?;
        let row = index - self.blocks[number].first;
        for (top, values) in tops.iter_mut().zip(rows.iter()) {
            top.copy_from_slice(&values[row * top.len()..(row + 1) * top.len()]);
        }
        Ok(())
    }

    fn read(&self, block: &Block) -> Result<Rows, DataError> {
        let (start, count) = (block.rows.start as u64, block.rows.len() as u64);
        let datasets = self.datasets(&block.path)?;
        let tops = self.names.iter().zip(&*block.shapes).zip(datasets);
        tops.map(|((name, shape), dataset)| {
            let values = read_rows(&dataset, start, count)
                .map_err(|e| DataError::file(&block.path, unreadable(name, &e.to_string())))?;
            let expected = shape.count() * block.rows.len();
            if values.len() != expected {
                let problem = format!("dataset `{name}`: {} values read, {expected} expected", values.len());
                return Err(DataError::file(&block.path, problem));
            }
            Ok(values)
        })
        .collect()
    }
}

/// Reads some rows as f32, which the crate does not of numbers of 16 bits, numpy's float16.
fn read_rows(dataset: &Dataset, start: u64, count: u64) -> Result<Vec<f32>, hdf5_pure::Error> {
    let Datatype::FloatingPoint { size: 2, byte_order, layout } = dataset.datatype()? else {
        return dataset.read_f32_rows(start, count);
    };
    if (layout.exponent_location, layout.exponent_size, layout.exponent_bias) != (10, 5, 15) {
        return dataset.read_f32_rows(start, count);
    }
    let number = match byte_order {
        DatatypeByteOrder::BigEndian => u16::from_be_bytes,
        _ => u16::from_le_bytes,
    };
    let bytes = dataset.read_raw_rows(start, count)?;
    Ok(bytes.chunks_exact(2).map(|pair| f32_of_half(number([pair[0], pair[1]]))).collect())
}

/// Reads the list that `source` names.
fn read_list(list: &Path) -> Result<String, DataError> {
    let refuse = |found| {
        let expected = "`source` is a text file that lists HDF5 files, one on a line";
        DataError::file(list, format!("{expected}; this is {found}"))
    };
    if is_hdf5(list).map_err(DataError::io(Access::Open, list))? {
        return Err(refuse("an HDF5 file itself"));
    }
    fs::read_to_string(list).map_err(|e| match e.kind() {
        ErrorKind::InvalidData => refuse("no text"),
        _ => DataError::io(Access::Open, list)(e),
    })
}

fn is_hdf5(path: &Path) -> io::Result<bool> {
    let mut magic = [0; 8];
    Ok(fs::File::open(path)?.read_exact(&mut magic).is_ok() && magic == *b"\x89HDF\r\n\x1a\n")
}

/// Opens a file, or the files of a list, as samples: one dataset holds values, another labels.
pub(crate) fn open(location: &Location) -> Result<Box<dyn Source>, DataError> {
    let (values, labels) = location.datasets.clone();
    let names: Vec<_> = std::iter::once(values).chain(labels).collect();
    let path = &location.path;
    let is_file = is_hdf5(path).map_err(DataError::io(Access::Open, path))?;
    let tables = if is_file { Tables::of_file(path, &names)? } else { Tables::open(path, &names)? };
    let shape = match tables.shapes[0][..] {
        [] => [1, 1, 1],
        [w] => [1, 1, w],
        [h, w] => [1, h, w],
        [c, h, w] => [c, h, w],
        _ => return Err(DataError::file(path, format!("rows of {} are no images", tables.shapes[0]))),
    };
    Ok(Box::new(Samples { tables, shape }))
}

/// Rows of datasets as samples.
struct Samples {
    tables: Tables,
    shape: [usize; 3],
}

impl Source for Samples {
    fn len(&self) -> usize {
        self.tables.blocks.last().map_or(0, |block| block.first + block.rows.len())
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let mut tops: Vec<_> = self.tables.shapes.iter().map(|shape| vec![0.0; shape.count()]).collect();
        let mut slices: Vec<_> = tops.iter_mut().map(Vec::as_mut_slice).collect();
        self.tables.copy_row(index, &mut slices)?;
        let labels = if tops.len() > 1 { tops.swap_remove(1) } else { Vec::new() };
        Ok(Sample {
            shape: self.shape,
            pixels: Pixels::F32(tops.swap_remove(0)),
            labels,
            key: index.to_string(),
        })
    }

    fn name(&self) -> String {
        self.tables.name()
    }
}

fn unreadable(name: &str, reason: &str) -> String {
    let hint = match reason.contains("data layout version") {
        true => "; HDF5 2 wrote it in its newest form, write it without libver='latest'",
        false => "",
    };
    format!("dataset `{name}`: {reason}{hint}")
}

impl Feed for Tables {
    fn runs(&self) -> Vec<usize> {
        self.blocks.iter().map(|block| block.rows.len()).collect()
    }

    fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    fn fill(&self, place: Place, _: &mut Draw, tops: &mut [&mut [f32]]) -> Result<(), DataError> {
        self.copy_row(place.index, tops)
    }

    fn fill_any_shape(
        &self,
        place: Place,
        _: &mut Draw,
        tops: &mut [Vec<f32>],
    ) -> Result<Vec<Shape>, DataError> {
        let shapes = &self.blocks[self.number(place.index)].shapes;
        tops.iter_mut().zip(&**shapes).for_each(|(top, shape)| top.resize(shape.count(), 0.0));
        let mut slices: Vec<_> = tops.iter_mut().map(Vec::as_mut_slice).collect();
        self.copy_row(place.index, &mut slices)?;
        Ok(shapes.to_vec())
    }

    fn name(&self) -> String {
        self.list.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use hdf5_pure::{FileBuilder, FloatingPointLayout};

    use super::{
        super::{Batches, Settings},
        *,
    };

    /// Files of 3 and 4 rows: `x` of 2 numbers and `y`, stored as f64 and i32, counting up.
    fn files(folder: &Path) -> PathBuf {
        for (name, rows) in [("a.h5", 0..3), ("b.h5", 3..7)] {
            let mut file = FileBuilder::new();
            let x: Vec<f64> = rows.clone().flat_map(|r| [f64::from(r), f64::from(r) + 0.5]).collect();
            file.create_dataset("x").with_f64_data(&x).with_shape(&[rows.len() as u64, 2]);
            let y: Vec<i32> = rows.collect();
            file.create_dataset("y").with_i32_data(&y).with_shape(&[y.len() as u64]);
            file.create_dataset("short").with_i32_data(&[1]).with_shape(&[1]);
            file.write(folder.join(name)).unwrap();
        }
        list(folder, &["a.h5", "b.h5"])
    }

    fn list(folder: &Path, names: &[&str]) -> PathBuf {
        let path = folder.join("list.txt");
        let lines: Vec<_> = names.iter().map(|n| folder.join(n).display().to_string()).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        path
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn rows_follow_each_other_over_blocks_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let list = files(folder.path());
        // Two rows a block.
        let tables = Tables::with_block(&list, &names(&["x", "y"]), false, 6).unwrap();
        assert_eq!(tables.runs(), [2, 1, 2, 2]);
        let mut batches =
            Batches::new(Box::new(tables), Settings { batch_size: 5, ..Default::default() }).unwrap();
        assert_eq!(batches.shapes(), [Shape::from([5, 2]), Shape::from([5])]);
        let (mut x, mut y) = ([0.0; 10], [0.0; 5]);
        for expected in [[0.0, 1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 0.0, 1.0, 2.0]] {
            batches.next(&mut [&mut x, &mut y]).unwrap();
            assert_eq!(y, expected);
            assert!((0..5).all(|i| x[2 * i] == y[i] && x[2 * i + 1] == y[i] + 0.5));
        }
    }

    #[test]
    fn numbers_of_sixteen_bits_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let layout = FloatingPointLayout {
            bit_offset: 0,
            bit_precision: 16,
            exponent_location: 10,
            exponent_size: 5,
            mantissa_location: 0,
            mantissa_size: 10,
            exponent_bias: 15,
        };
        let kind = Datatype::FloatingPoint { size: 2, byte_order: DatatypeByteOrder::LittleEndian, layout };
        let bytes = [0x3c00u16, 0xc000, 0x3800].iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let mut file = FileBuilder::new();
        file.create_dataset("x").with_raw_data(kind, bytes, 3);
        file.write(folder.path().join("half.h5")).unwrap();
        let tables = Tables::open(&list(folder.path(), &["half.h5"]), &names(&["x"])).unwrap();
        assert_eq!(tables.block(0).unwrap()[0], [1.0, -2.0, 0.5]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = files(folder.path());
        let open = |list: &Path, tops: &[&str]| Tables::open(list, &names(tops)).err().unwrap().to_string();
        let error = open(&path, &["x", "z"]);
        assert!(error.contains("a.h5`: it has no dataset `z`; there are: "), "{error}");
        let error = open(&path, &["x", "short"]);
        assert!(error.contains("dataset `short` has 1 rows, `x` has 3"), "{error}");
        let error = open(&list(folder.path(), &["a.h5", "none.h5"]), &["x"]);
        assert!(error.contains("cannot open") && error.contains("none.h5"), "{error}");
        let error = open(&folder.path().join("a.h5"), &["x"]);
        assert!(error.contains("a.h5`: `source` is a text file that lists HDF5 files"), "{error}");
        assert!(error.ends_with("this is an HDF5 file itself"), "{error}");
        fs::write(&path, [0xff]).unwrap();
        assert!(open(&path, &["x"]).ends_with("this is no text"));
        fs::write(&path, "\n").unwrap();
        assert!(open(&path, &["x"]).contains("holds no samples"));
        let whole = fs::read(folder.path().join("a.h5")).unwrap();
        for len in [0, 8, 100, whole.len() / 2] {
            fs::write(folder.path().join("cut.h5"), &whole[..len]).unwrap();
            let tables = Tables::open(&list(folder.path(), &["cut.h5"]), &names(&["x", "y"]));
            let outcome = tables.and_then(|t| t.block(0).map(drop));
            let error = outcome.err().unwrap_or_else(|| panic!("cut to {len} bytes")).to_string();
            assert!(error.contains("cut.h5"), "{len}: {error}");
        }
    }

    #[test]
    fn rows_are_samples_of_a_file_or_of_a_list() {
        let folder = tempfile::tempdir().unwrap();
        let list = files(folder.path());
        let datasets = ("x".to_owned(), Some("y".to_owned()));
        for (path, rows, last) in [(folder.path().join("b.h5"), 4, 6.0), (list, 7, 6.0)] {
            let source =
                super::open(&Location { path, datasets: datasets.clone(), ..Default::default() }).unwrap();
            let sample = source.read(rows - 1).unwrap();
            assert_eq!((source.len(), sample.shape, sample.labels), (rows, [1, 1, 2], vec![last]));
            assert_eq!(sample.pixels, Pixels::F32(vec![last, last + 0.5]));
        }
    }
}
