//! `cnnctl convert`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    Done,
    convert_imageset::ImagesetArgs,
    entries::{self, Target, in_parallel},
};
use crate::{
    data::{self, Column, Location},
    report,
};

/// Turn data sets of other formats into databases
#[derive(Args, Debug)]
pub struct ConvertArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// The binary files of CIFAR-10 or CIFAR-100
    Cifar {
        /// A file, or the folder that holds them
        source: PathBuf,
        #[command(flatten)]
        target: Target,
        /// CIFAR-10 or CIFAR-100, the latter with the fine labels
        #[arg(long, value_enum, default_value = "10", value_name = "N")]
        classes: Classes,
        /// Of a folder, take the file to test with rather than those to train with
        #[arg(long)]
        test: bool,
    },
    /// Rows of numbers in a text file, a sample on each line
    ///
    /// Commas, semicolons, tabs or blanks divide; a heading is passed over. Values that are all whole numbers from 0 to
    /// 255 become bytes.
    Csv {
        /// The text file
        source: PathBuf,
        #[command(flatten)]
        target: Target,
        /// Which number of a line is the label
        #[arg(long, value_enum, default_value = "first", value_name = "WHICH")]
        label: LabelColumn,
        /// Channels, height and width of a line's other numbers, such as 1x28x28 [default: one row of them]
        #[arg(long, value_name = "CxHxW", value_parser = sides)]
        shape: Option<[usize; 3]>,
    },
    /// Rows of HDF5 datasets
    Hdf5 {
        /// An HDF5 file, or a list of them as HDF5Data reads it
        source: PathBuf,
        #[command(flatten)]
        target: Target,
        /// The dataset of values
        #[arg(long, default_value = "data", value_name = "NAME")]
        data: String,
        /// The dataset of labels
        #[arg(long, default_value = "label", value_name = "NAME")]
        label: String,
    },
    /// The two files of MNIST and its like: images and labels, each plain or gzipped
    Idx {
        /// The images: idx3-ubyte or idx3-ubyte.gz
        images: PathBuf,
        /// The labels: idx1-ubyte or idx1-ubyte.gz
        labels: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    Imageset(ImagesetArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Classes {
    /// CIFAR-10.
    #[value(name = "10")]
    Ten,
    /// CIFAR-100.
    #[value(name = "100")]
    Hundred,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LabelColumn {
    /// The first.
    First,
    /// The last.
    Last,
    /// None: all labels are 0.
    None,
}

impl ConvertArgs {
    pub(super) fn run(self) -> Done {
        match self.from {
            From::Imageset(args) => args.run(),
            From::Cifar { source, target, classes, test } => {
                let (kind, file) = match classes {
                    Classes::Ten => ("cifar10", "test_batch.bin"),
                    Classes::Hundred => ("cifar100", "test.bin"),
                };
                let path = if test && source.is_dir() { source.join(file) } else { source };
                // Caffe's tool for CIFAR writes keys of five digits.
                write(kind, &Location { path, ..Location::default() }, &target, 5)
            }
            From::Csv { source: path, target, label, shape } => {
                let label_column = match label {
                    LabelColumn::First => Column::First,
                    LabelColumn::Last => Column::Last,
                    LabelColumn::None => Column::None,
                };
                write("csv", &Location { path, label_column, shape, ..Location::default() }, &target, 8)
            }
            From::Hdf5 { source: path, target, data, label } => {
                let datasets = (data, Some(label));
                write("hdf5", &Location { path, datasets, ..Location::default() }, &target, 8)
            }
            From::Idx { images: path, labels, target } => {
                write("idx", &Location { path, labels: Some(labels), ..Location::default() }, &target, 8)
            }
        }
    }
}

/// Writes all samples of a source under keys of so many digits.
fn write(kind: &str, location: &Location, target: &Target, digits: usize) -> Done {
    let source = entries::open(kind, location)?;
    let entries = in_parallel(source.len(), |i| data::numbered(&*source, i, digits));
    let count = target.write(entries)?;
    report::info(&format!("{count} samples are now in {}", target.db.display()));
    Ok(0)
}

/// Parses `CxHxW`.
fn sides(text: &str) -> Result<[usize; 3], String> {
    let sides: Option<Vec<usize>> = text.split(['x', ',']).map(|side| side.trim().parse().ok()).collect();
    match sides.as_deref() {
        Some(&[c, h, w]) if c > 0 && h > 0 && w > 0 => Ok([c, h, w]),
        _ => Err("expected three positive sides, such as 1x28x28".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_three() {
        assert_eq!(sides("1x28x20"), Ok([1, 28, 20]));
        assert_eq!(sides("3,2,1"), Ok([3, 2, 1]));
        assert!(sides("28x28").is_err() && sides("1x0x2").is_err() && sides("axbxc").is_err());
    }
}
