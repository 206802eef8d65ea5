//! `cnnctl convert imageset`.

use std::path::PathBuf;

use clap::Args;

use super::{
    Done, Failure,
    entries::{OnBadSample, Target, in_parallel},
    failure::CONFIG,
};
use crate::{
    data::{DataError, Decode, Encoding, Entry, Imageset, Location},
    report,
};

/// The images that a list names, as Caffe's convert_imageset takes them
#[derive(Args, Debug)]
pub struct ImagesetArgs {
    /// The text before each path of the list: a folder with a slash at its end
    root: String,
    /// The list: a path and a whole number, its label, on each line
    list: PathBuf,
    #[command(flatten)]
    target: Target,
    /// Treat images as grey ones
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    gray: bool,
    /// Write the lines of the list in random order
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    shuffle: bool,
    /// The seed of the random order
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Width that images are scaled to
    #[arg(long, alias = "resize_width", default_value_t = 0, value_name = "W")]
    resize_width: u32,
    /// Height that images are scaled to
    #[arg(long, alias = "resize_height", default_value_t = 0, value_name = "H")]
    resize_height: u32,
    /// Check that all images have the same size
    #[arg(long, alias = "check_size", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    check_size: bool,
    /// Keep images compressed: files as they are where nothing has to change
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    encoded: bool,
    /// Compress all images as png or jpg; implies --encoded [default: by the file's name]
    #[arg(long, alias = "encode_type", default_value = "", hide_default_value = true, value_parser = ["", "png", "jpg", "jpeg"], value_name = "KIND")]
    encode_type: String,
    /// What to do with an image that cannot be used; Caffe skips
    #[arg(long, alias = "on_bad_sample", value_enum, default_value = "fail", value_name = "WHAT")]
    on_bad_sample: OnBadSample,
}

impl ImagesetArgs {
    pub(super) fn run(self) -> Done {
        let set = self.open()?;
        report::info(&format!("A total of {} images.", set.len()));
        if set.is_empty() {
            return Err(DataError::Empty { path: self.list.clone() }.into());
        }
        let mut first = None;
        let entries =
            in_parallel(set.len(), |i| set.entry(i)).map(|entry| self.check(&set, entry?, &mut first));
        let mut skipped = 0;
        let entries = entries.filter(|entry| match entry {
            Err(error @ DataError::Sample { .. }) if self.on_bad_sample == OnBadSample::Skip => {
                report::warn(&format!("left out: {error}"));
                skipped += 1;
                false
            }
            _ => true,
        });
        let count = self.target.write(entries)?;
        report::info(&format!("{count} images are now in {}", self.target.db.display()));
        if skipped > 0 {
            report::warn(&format!("{skipped} bad images were left out"));
        }
        Ok(0)
    }

    fn open(&self) -> Result<Imageset, Failure> {
        let (h, w) = (self.resize_height, self.resize_width);
        let resize = match (h, w) {
            (0, 0) => None,
            (0, _) | (_, 0) => {
                return Err(Failure::new(CONFIG, "set both --resize-height and --resize-width, or none"));
            }
            _ if u64::from(h) * u64::from(w) > 1 << 30 => {
                return Err(Failure::new(
                    CONFIG,
                    format!("--resize-height {h} by --resize-width {w} is too large"),
                ));
            }
            (h, w) => Some((h as usize, w as usize)),
        };
        let location = Location {
            path: self.list.clone(),
            root_folder: self.root.clone(),
            decode: if self.gray { Decode::Gray } else { Decode::Color },
            resize,
            ..Location::default()
        };
        let encoding = match (&self.encode_type[..], self.encoded) {
            ("", false) => Encoding::Raw,
            ("", true) => Encoding::AsNamed,
            ("png", _) => Encoding::Png,
            _ => Encoding::Jpeg,
        };
        Ok(Imageset::open(location, encoding, self.shuffle.then_some(self.seed))?)
    }

    /// Refuses an image of another size than the first one's, if that was asked for.
    fn check(
        &self,
        set: &Imageset,
        (entry, shape): (Entry, [usize; 3]),
        first: &mut Option<[usize; 3]>,
    ) -> Result<Entry, DataError> {
        let [c, h, w] = *first.get_or_insert(shape);
        if self.check_size && shape != [c, h, w] {
            let [c2, h2, w2] = shape;
            let problem = format!("its size is {c2} x {h2} x {w2}, but the first image's is {c} x {h} x {w}");
            return Err(set.bad(&entry, problem));
        }
        Ok(entry)
    }
}
