//! `ImageData`: image files named by a list, a path and its labels on each line.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{Access, DataError, Location, Sample, Source, image};

pub(crate) fn open(location: &Location) -> Result<Box<dyn Source>, DataError> {
    Ok(Box::new(ImageList::open(location)?))
}

/// A list whose lines all parse.
pub(crate) struct ImageList {
    text: String,
    /// The lines that are not blank.
    lines: Vec<Range<usize>>,
    location: Location,
}

fn lines(text: &str) -> Vec<Range<usize>> {
    let mut start = 0;
    let ranges = text.split_inclusive('\n').map(|line| {
        start += line.len();
        start - line.len()..start
    });
    ranges.filter(|range| !text[range.clone()].trim().is_empty()).collect()
}

impl ImageList {
    pub fn open(location: &Location) -> Result<Self, DataError> {
        let path = &location.path;
        let bytes = fs::read(path).map_err(DataError::io(Access::Open, path))?;
        let text = String::from_utf8(bytes).map_err(|e| DataError::file(path, format!("not text: {e}")))?;
        let list = Self { lines: lines(&text), text, location: location.clone() };
        // Better now than after an hour of training.
        (0..list.lines.len()).try_for_each(|line| list.entry(line).map(drop))?;
        Ok(list)
    }

    /// The path and the labels of a line. Only the last blanks divide, so a path may have some.
    pub fn entry(&self, line: usize) -> Result<(&str, Vec<f32>), DataError> {
        let text = self.text[self.lines[line].clone()].trim();
        parse(text, self.location.label_count)
            .map_err(|problem| DataError::sample(&self.location.path, format!("line {}", line + 1), problem))
    }

    /// The bytes of an image file.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        // Caffe joins the two as text, so a root without a slash at its end is a prefix.
        let file = PathBuf::from(format!("{}{path}", self.location.root_folder));
        fs::read(&file).map_err(|e| {
            let root = &self.location.root_folder;
            let slash = !root.is_empty() && !root.ends_with('/') && Path::new(root).is_dir();
            let hint = if slash { "; the folder before it needs a slash at its end" } else { "" };
            format!("cannot open `{}`: {e}{hint}", file.display())
        })
    }

    fn load(&self, path: &str) -> Result<image::Image, String> {
        let bytes = self.bytes(path)?;
        let image = image::decode(&bytes, self.location.decode)?;
        Ok(match self.location.resize {
            Some((h, w)) => image.scaled(h, w),
            None => image,
        })
    }
}

/// Splits `labels` numbers from the end of a line.
pub(crate) fn parse(line: &str, labels: usize) -> Result<(&str, Vec<f32>), String> {
    let mut rest = line;
    let mut values = Vec::with_capacity(labels);
    for _ in 0..labels {
        let Some((before, label)) = rest.rsplit_once([' ', '\t']) else {
            return Err(format!("`{line}` is not a path with {labels} labels after it"));
        };
        let value: f32 = label.parse().map_err(|_| format!("the label `{label}` is not a number"))?;
        values.push(value);
        rest = before.trim_end();
    }
    values.reverse();
    match rest {
        "" => Err(format!("`{line}` has no path")),
        path => Ok((path, values)),
    }
}

impl Source for ImageList {
    fn len(&self) -> usize {
        self.lines.len()
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let (path, labels) = self.entry(index)?;
        let image =
            self.load(path).map_err(|problem| DataError::sample(&self.location.path, path, problem))?;
        Ok(Sample { shape: image.shape, pixels: image.into_pixels(), labels, key: path.to_owned() })
    }

    fn name(&self) -> String {
        self.location.path.display().to_string()
    }
}

/// The checked `new_height` and `new_width`.
pub(crate) fn size(h: u32, w: u32) -> Result<Option<(usize, usize)>, DataError> {
    match (h, w) {
        (0, 0) => Ok(None),
        (0, _) | (_, 0) => {
            Err(DataError::Setting("image_data_param: set both new_height and new_width, or none".into()))
        }
        // An image of this size has a gigabyte; a larger one is a slip.
        _ if u64::from(h) * u64::from(w) > 1 << 30 => {
            Err(DataError::Setting(format!("image_data_param: new_height {h} x new_width {w} is too large")))
        }
        (h, w) => Ok(Some((h as usize, w as usize))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(folder: &Path, text: &str) -> Location {
        let path = folder.join("list.txt");
        fs::write(&path, text).unwrap();
        let root_folder = format!("{}/", folder.display());
        Location { path, root_folder, ..Default::default() }
    }

    #[test]
    fn lines_split_at_the_last_blank() {
        assert_eq!(parse("a b.png 3", 1), Ok(("a b.png", vec![3.0])));
        assert_eq!(parse("a.png\t-1  0.5", 2), Ok(("a.png", vec![-1.0, 0.5])));
        assert!(parse("a.png", 1).unwrap_err().contains("not a path with 1 labels"));
        assert!(parse("a.png cat", 1).unwrap_err().contains("`cat` is not a number"));
        assert!(parse(" 3", 1).is_err());
    }

    #[test]
    fn reads_and_scales_images() {
        let folder = tempfile::tempdir().unwrap();
        ::image::GrayImage::from_raw(2, 2, vec![0, 4, 8, 12])
            .unwrap()
            .save(folder.path().join("a b.png"))
            .unwrap();
        let mut at = list(folder.path(), "a b.png 3\r\n\na b.png 4");
        at.resize = Some((1, 1));
        let source = open(&at).unwrap();
        assert_eq!(source.len(), 2);
        let sample = source.read(1).unwrap();
        assert_eq!((sample.shape, sample.labels, &sample.key[..]), ([1, 1, 1], vec![4.0], "a b.png"));
        assert_eq!(sample.pixels, super::super::Pixels::U8(vec![6]));
    }

    #[test]
    fn errors_name_list_line_and_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("text.png"), "hello").unwrap();
        let source = open(&list(folder.path(), "none.png 0\ntext.png 1\n")).unwrap();
        let error = source.read(0).unwrap_err().to_string();
        assert!(
            error.contains("sample `none.png` of") && error.contains("list.txt`: cannot open"),
            "{error}"
        );
        assert!(!error.contains("slash"), "{error}");
        let bare = Location {
            root_folder: folder.path().display().to_string(),
            ..list(folder.path(), "text.png 1\n")
        };
        let error = open(&bare).unwrap().read(0).unwrap_err().to_string();
        assert!(error.contains("needs a slash at its end"), "{error}");
        let error = source.read(1).unwrap_err().to_string();
        assert!(error.contains("`text.png`") && error.contains("is not an image"), "{error}");
        let error = open(&list(folder.path(), "a.png 0\nb.png x\n")).err().unwrap().to_string();
        assert!(error.contains("line 2") && error.contains("`x` is not a number"), "{error}");
        assert!(open(&list(folder.path(), "\n")).unwrap().is_empty());
    }

    #[test]
    fn sizes_come_in_pairs() {
        assert_eq!(size(0, 0).unwrap(), None);
        assert_eq!(size(2, 3).unwrap(), Some((2, 3)));
        assert!(size(2, 0).is_err() && size(u32::MAX, u32::MAX).is_err());
    }
}
