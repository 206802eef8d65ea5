//! The images of a list as `Datum`s, raw or compressed: what `convert_imageset` puts into its databases.

use std::path::Path;

use super::{
    DataError, Draw, Entry, Location, Source as _, datum,
    image::{self, Image},
    image_list::ImageList,
    random::Purpose,
};
use crate::config::proto::Datum;

/// How a `Datum` holds an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As bytes, plane after plane.
    Raw,
    /// Compressed, in the kind that the file's name tells.
    AsNamed,
    /// Compressed as JPEG of quality 95.
    Jpeg,
    /// Compressed as PNG.
    Png,
}

/// A list of images that is to become a database.
pub struct Imageset {
    list: ImageList,
    location: Location,
    encoding: Encoding,
    /// The line for each entry.
    order: Vec<usize>,
}

impl Imageset {
    /// Reads the list. With a seed for `shuffle` its lines come in random order.
    ///
    /// # Errors
    /// When the list cannot be read, or a line is not a path and a label.
    pub fn open(location: Location, encoding: Encoding, shuffle: Option<u64>) -> Result<Self, DataError> {
        let list = ImageList::open(&location)?;
        let mut order: Vec<_> = (0..list.len()).collect();
        if let Some(seed) = shuffle {
            Draw::new(seed, Purpose::Order, 0).shuffle(&mut order);
        }
        Ok(Self { list, location, encoding, order })
    }

    /// How many lines.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True without lines.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The entry at `index` of the order, under Caffe's key `00000042_path`, and the image's shape.
    ///
    /// # Errors
    /// When the image cannot be read, or the label is not a whole number.
    pub fn entry(&self, index: usize) -> Result<(Entry, [usize; 3]), DataError> {
        let (path, labels) = self.list.entry(self.order[index])?;
        let bad = |problem| DataError::sample(&self.location.path, path, problem);
        let bytes = self.list.bytes(path).map_err(bad)?;
        let image = image::decode(&bytes, self.location.decode).map_err(bad)?;
        let image = match self.location.resize {
            Some((h, w)) => image.scaled(h, w),
            None => image,
        };
        let (shape, label) = (image.shape, datum::label(&labels).map_err(bad)?);
        let datum = match self.kind(path) {
            None => raw(image, label),
            Some(kind) => {
                let kind = kind.map_err(bad)?;
                let data = match self.is_good_as_it_is(&bytes, &image, kind) {
                    true => bytes,
                    false => image::encode(&image, kind).map_err(bad)?,
                };
                Datum { data: Some(data), label: Some(label), encoded: Some(true), ..Datum::default() }
            }
        };
        Ok(((format!("{index:08}_{path}"), datum), shape))
    }

    /// An error about an entry, named as in the list.
    pub fn bad(&self, (key, _): &Entry, problem: String) -> DataError {
        let path = key.split_once('_').map_or(&key[..], |(_, path)| path);
        DataError::sample(&self.location.path, path, problem)
    }

    /// The kind to compress to, if any.
    fn kind(&self, path: &str) -> Option<Result<image::Kind, String>> {
        match self.encoding {
            Encoding::Raw => None,
            Encoding::Jpeg => Some(Ok(image::Kind::Jpeg)),
            Encoding::Png => Some(Ok(image::Kind::Png)),
            Encoding::AsNamed => {
                let extension = Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or_default();
                let unknown = "its name does not tell how to compress it, by JPEG or PNG";
                Some(image::Kind::named(extension).ok_or_else(|| unknown.to_owned()))
            }
        }
    }

    /// Whether the file's own bytes, decoded as they are, give `image`.
    fn is_good_as_it_is(&self, bytes: &[u8], image: &Image, kind: image::Kind) -> bool {
        self.location.resize.is_none() && image::kind_and_channels(bytes) == Some((kind, image.shape[0]))
    }
}

/// As Caffe writes it: `encoded` is there, and false.
fn raw(image: Image, label: i32) -> Datum {
    let [channels, height, width] = image.shape.map(|side| Some(side as i32));
    Datum {
        channels,
        height,
        width,
        data: Some(image.values),
        label: Some(label),
        encoded: Some(false),
        ..Datum::default()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::Decode;

    /// A folder with `a b.png` (grey), `c.JPG` and `d.bmp` (colour), and their list.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let save = |name: &str, image: ::image::DynamicImage, format| {
            image.save_with_format(folder.path().join(name), format).unwrap();
        };
        let grey = ::image::GrayImage::from_fn(4, 2, |x, y| ::image::Luma([(x * 40 + y) as u8]));
        let rgb = ::image::RgbImage::from_fn(4, 2, |x, _| ::image::Rgb([x as u8 * 50, 100, 7]));
        save("a b.png", grey.into(), ::image::ImageFormat::Png);
        save("c.JPG", rgb.clone().into(), ::image::ImageFormat::Jpeg);
        save("d.bmp", rgb.into(), ::image::ImageFormat::Bmp);
        fs::write(folder.path().join("list"), "a b.png 3\nc.JPG -1\nd.bmp 2\n").unwrap();
        folder
    }

    fn location(folder: &Path, decode: Decode) -> Location {
        let root_folder = format!("{}/", folder.display());
        Location { path: folder.join("list"), root_folder, decode, ..Location::default() }
    }

    #[test]
    fn raw_datums_are_caffes() {
        let folder = folder();
        let set = Imageset::open(location(folder.path(), Decode::Color), Encoding::Raw, None).unwrap();
        let ((key, datum), shape) = set.entry(0).unwrap();
        assert_eq!((&key[..], shape), ("00000000_a b.png", [3, 2, 4]));
        assert_eq!((datum.channels, datum.height, datum.width), (Some(3), Some(2), Some(4)));
        assert_eq!((datum.label, datum.encoded), (Some(3), Some(false)));
        assert_eq!(datum.data(), [0, 40, 80, 120, 1, 41, 81, 121].repeat(3));
    }

    #[test]
    fn files_are_kept_when_nothing_changes_and_compressed_anew_otherwise() {
        let folder = folder();
        let path = folder.path();
        let grey = Imageset::open(location(path, Decode::Gray), Encoding::AsNamed, None).unwrap();
        let data = |set: &Imageset, index| set.entry(index).unwrap().0.1.data.unwrap();
        assert_eq!(data(&grey, 0), fs::read(path.join("a b.png")).unwrap());
        let jpeg = data(&grey, 1);
        assert_eq!(image::kind_and_channels(&jpeg), Some((image::Kind::Jpeg, 1)));
        assert!(grey.entry(2).unwrap_err().to_string().contains("sample `d.bmp`"));
        let color = Imageset::open(location(path, Decode::Color), Encoding::Png, None).unwrap();
        assert_eq!(image::kind_and_channels(&data(&color, 0)), Some((image::Kind::Png, 3)));
        let ((_, datum), _) = color.entry(2).unwrap();
        assert_eq!((datum.channels, datum.label, datum.encoded), (None, Some(2), Some(true)));
        let bmp = image::decode(&fs::read(path.join("d.bmp")).unwrap(), Decode::Color).unwrap();
        assert_eq!(image::decode(datum.data(), Decode::Native).unwrap(), bmp, "PNG loses nothing");
        let scaled = Location { resize: Some((1, 2)), ..location(path, Decode::Gray) };
        let scaled = Imageset::open(scaled, Encoding::AsNamed, None).unwrap();
        assert_eq!(image::decode(&data(&scaled, 0), Decode::Native).unwrap().shape, [1, 1, 2]);
    }

    #[test]
    fn a_shuffle_is_the_seeds_and_numbers_follow_the_new_order() {
        let folder = folder();
        fs::write(folder.path().join("list"), "a b.png 1\n".repeat(20) + &"c.JPG 2\n".repeat(20)).unwrap();
        let labels = |seed| {
            let set = Imageset::open(location(folder.path(), Decode::Color), Encoding::Raw, seed).unwrap();
            let entries: Vec<_> = (0..set.len()).map(|i| set.entry(i).unwrap().0).collect();
            assert!(entries.is_sorted_by_key(|(key, _)| key[..8].to_owned()));
            entries.iter().map(|(_, datum)| datum.label()).collect::<Vec<_>>()
        };
        assert!(labels(None).is_sorted());
        assert!(!labels(Some(1)).is_sorted());
        assert_eq!(labels(Some(1)), labels(Some(1)));
        assert_ne!(labels(Some(1)), labels(Some(2)));
    }
}
