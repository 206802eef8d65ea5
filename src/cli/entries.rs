//! Where conversions write to, and the entries that they write, made on all threads.

use std::path::{Path, PathBuf};

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::Failure;
use crate::{
    data::{self, DataError, Entry, Location, Source},
    kernels::parallel,
    report,
};

/// The database to make.
#[derive(Args, Debug)]
pub struct Target {
    /// The folder to make; one that is there already is left alone
    pub db: PathBuf,
    /// The kind of database
    #[arg(long, default_value = "lmdb", ignore_case = true, value_parser = kinds())]
    pub backend: String,
}

/// What to do with samples that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnBadSample {
    /// End with status 5.
    Fail,
    /// Name them, count them, and go on.
    Skip,
}

/// The kinds of databases that can be written.
pub fn kinds() -> impl TypedValueParser<Value = String> {
    any_case(data::WRITERS.iter().map(|(name, _)| *name).collect())
}

/// The kinds of sets that can be read.
pub fn source_kinds() -> impl TypedValueParser<Value = String> {
    any_case(data::SOURCES.iter().map(|(name, _)| *name).collect())
}

/// These names, which prototxts have in upper case; wants `ignore_case`.
fn any_case(names: Vec<&'static str>) -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::from(names).map(|name| name.to_lowercase())
}

/// The kind of set that a path looks like.
pub fn guess(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let name = path.to_string_lossy();
    match extension {
        _ if path.join("data.mdb").exists() => "lmdb",
        _ if path.join("CURRENT").exists() => "leveldb",
        _ if path.join("data_batch_1.bin").exists() => "cifar10",
        _ if path.is_dir() => "lmdb",
        "mdb" => "lmdb",
        "npy" | "npz" => "npy",
        _ if name.contains(".npz:") => "npy",
        "h5" | "hdf5" => "hdf5",
        "csv" | "tsv" => "csv",
        _ if name.contains("idx") && name.contains("ubyte") => "idx",
        "bin" => "cifar10",
        _ => "image_list",
    }
}

/// Opens a set of this kind, which must hold samples.
pub fn open(kind: &str, location: &Location) -> Result<Box<dyn Source>, Failure> {
    let source = data::open_source(kind, location)?;
    if source.is_empty() {
        return Err(DataError::Empty { path: location.path.clone() }.into());
    }
    Ok(source)
}

impl Target {
    /// Writes a new database of all entries, and counts them.
    pub fn write(&self, entries: impl Iterator<Item = Result<Entry, DataError>>) -> Result<usize, Failure> {
        let mut done = 0;
        let counted = entries.inspect(|_| {
            done += 1;
            if done % 1000 == 0 {
                report::info(&format!("Processed {done} files."));
            }
        });
        Ok(data::write_database(counted, &self.backend, &self.db)?)
    }
}

/// Entries made at once: enough for many threads, few enough to hold.
const AT_ONCE: usize = 128;

/// `make(0)`, `make(1)` and so on, in order, made on all threads.
pub fn in_parallel<T: Send>(count: usize, make: impl Fn(usize) -> T + Sync) -> impl Iterator<Item = T> {
    (0..count).step_by(AT_ONCE).flat_map(move |start| {
        let mut made: Vec<Option<T>> = (start..count.min(start + AT_ONCE)).map(|_| None).collect();
        parallel::for_chunks_mut(&mut made, 1, |i, place| place[0] = Some(make(start + i)));
        made.into_iter().flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays() {
        for count in [0, 1, AT_ONCE, 3 * AT_ONCE + 1] {
            assert!(in_parallel(count, |i| i).eq(0..count));
        }
    }
}
