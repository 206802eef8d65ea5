//! `cnnctl dataset`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use super::{
    Done, Failure,
    entries::{self, guess, in_parallel, source_kinds},
    failure::DATA,
    output,
};
use crate::{
    data::{self, Location, Pixels, Sample, Source},
    report::{self, Align, Table, general},
    snapshot::write_whole,
};

/// Look into data sets
#[derive(Args, Debug)]
pub struct DatasetArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Info(InfoArgs),
}

/// Show how many samples a set has, their shapes, values and labels, and what they look like
///
/// Reads every sample: those that cannot be read are named, and end the command with status 5.
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// The database, or another set
    path: PathBuf,
    /// The file of labels, where it is a separate one
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// The kind of set [default: what the path looks like]
    #[arg(long, ignore_case = true, value_parser = source_kinds())]
    backend: Option<String>,
    /// Text before each path of a list: a folder with a slash at its end
    #[arg(long, alias = "root_folder", default_value = "", hide_default_value = true, value_name = "TEXT")]
    root_folder: String,
    /// Write a picture of some samples, as PNG
    #[arg(long, value_name = "FILE.png")]
    contact_sheet: Option<PathBuf>,
    /// How many samples the picture shows, evenly from the whole set
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    show: u16,
    /// The colours come in the order red, green, blue, as in databases made of CIFAR's files
    #[arg(long)]
    rgb: bool,
}

impl DatasetArgs {
    pub(super) fn run(self) -> Done {
        match self.what {
            What::Info(args) => args.run(),
        }
    }
}

/// Labels that are listed one by one: more of them are summed up.
const LISTED: usize = 1000;

/// What is known of a set after reading it.
#[derive(Default)]
struct Facts {
    shapes: BTreeMap<[usize; 3], u64>,
    /// By the bits of the labels, so that any number can be a key; see [`ordered`].
    labels: BTreeMap<Vec<u32>, u64>,
    low: f64,
    high: f64,
    sum: f64,
    values: u64,
    bad: u64,
}

impl InfoArgs {
    fn run(self) -> Done {
        self.contact_sheet.as_deref().map_or(Ok(()), output::check_image)?;
        let kind = self.backend.clone().unwrap_or_else(|| guess(&self.path).to_owned());
        let location = Location {
            path: self.path.clone(),
            labels: self.labels.clone(),
            root_folder: self.root_folder.clone(),
            ..Location::default()
        };
        let source = entries::open(&kind, &location)?;
        let mut facts = Facts { low: f64::MAX, high: f64::MIN, ..Facts::default() };
        for sample in in_parallel(source.len(), |i| source.read(i)) {
            match sample {
                Ok(sample) => facts.add(&sample),
                Err(error) => {
                    report::warn(&error.with_reason());
                    facts.bad += 1;
                }
            }
        }
        output::print(&facts.show(&kind, source.len()))?;
        if let Some(path) = &self.contact_sheet {
            self.picture(&*source, &kind, path)?;
        }
        match facts.bad {
            0 => Ok(0),
            bad => Err(Failure::new(DATA, format!("{bad} of {} samples cannot be read", source.len()))),
        }
    }

    fn picture(&self, source: &dyn Source, kind: &str, path: &Path) -> Result<(), Failure> {
        let shown = usize::from(self.show).min(source.len());
        let samples: Vec<_> =
            in_parallel(shown, |i| source.read(i * source.len() / shown)).filter_map(Result::ok).collect();
        let sheet = data::contact_sheet(&samples, self.rgb || kind.starts_with("cifar"));
        let bytes = sheet.file_bytes(path)?;
        write_whole(path, &bytes)?;
        report::info(&format!("{} samples are shown in {}", samples.len(), path.display()));
        Ok(())
    }
}

impl Facts {
    fn add(&mut self, sample: &Sample) {
        *self.shapes.entry(sample.shape).or_default() += 1;
        *self.labels.entry(sample.labels.iter().map(|&label| ordered(label)).collect()).or_default() += 1;
        let mut values = |value: f64| {
            self.low = self.low.min(value);
            self.high = self.high.max(value);
            self.sum += value;
        };
        match &sample.pixels {
            Pixels::U8(pixels) => pixels.iter().for_each(|&v| values(v.into())),
            Pixels::F32(pixels) => pixels.iter().for_each(|&v| values(v.into())),
        }
        self.values += sample.pixels.len() as u64;
    }

    fn show(&self, kind: &str, samples: usize) -> String {
        let mut out = format!("kind     {kind}\nsamples  {samples}\n");
        for ([c, h, w], count) in &self.shapes {
            out += &format!("shape    {c} x {h} x {w}, {count} times\n");
        }
        if self.values > 0 {
            let mean = self.sum / self.values as f64;
            let [low, high, mean] = [self.low, self.high, mean].map(general);
            out += &format!("values   from {low} to {high}, mean {mean}\n");
        }
        out + &self.histogram()
    }

    /// The labels and how often each comes.
    fn histogram(&self) -> String {
        if self.labels.keys().all(Vec::is_empty) {
            return "labels   none\n".into();
        }
        if self.labels.len() > LISTED {
            return format!("labels   {} different ones\n", self.labels.len());
        }
        let (total, most) =
            (self.labels.values().sum::<u64>().max(1), self.labels.values().max().copied().unwrap_or(1));
        let mut table = Table::new(&[
            ("label", Align::Right),
            ("samples", Align::Right),
            ("share", Align::Right),
            ("", Align::Left),
        ]);
        for (label, &count) in &self.labels {
            let label: Vec<_> = label.iter().map(|&bits| general(f64::from(unordered(bits)))).collect();
            let share = format!("{:.1}%", 100.0 * count as f64 / total as f64);
            let bar = "#".repeat((40 * count / most) as usize);
            table.row([label.join(" "), count.to_string(), share, bar]);
        }
        format!("\n{}", table.plain())
    }
}

/// The bits of a number, so that greater numbers have greater bits.
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn unordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_order() {
        let values = [f32::MIN, -2.5, -0.0, 0.0, 1.0, 10.0, f32::INFINITY];
        let bits = values.map(ordered);
        assert!(bits.is_sorted());
        assert_eq!(bits.map(unordered), values);
    }

    #[test]
    fn kinds_are_guessed() {
        for (path, kind) in [
            ("a.npy", "npy"),
            ("a.npz:x", "npy"),
            ("t10k-images-idx3-ubyte", "idx"),
            ("d/x-images-idx3-ubyte.gz", "idx"),
            ("a.h5", "hdf5"),
            ("list.txt", "image_list"),
        ] {
            assert_eq!(guess(Path::new(path)), kind, "{path}");
        }
    }
}
