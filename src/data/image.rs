//! Compressed images: decoded to bytes in the channel order blue, green, red, as OpenCV and so Caffe has them.

use std::{fs, io::Cursor, path::Path};

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder as _, ImageEncoder as _, ImageFormat, ImageReader, Limits,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
    metadata::Orientation,
};

use super::{Access, DataError, Pixels};

/// How many channels a compressed image is decoded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decode {
    /// As many as the file has.
    #[default]
    Native,
    /// Three.
    Color,
    /// One.
    Gray,
}

/// An image before any transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Planes one after another: blue, green, red, or grey.
    pub values: Vec<u8>,
}

impl Image {
    /// Reads a JPEG, PNG, BMP or PNM file.
    ///
    /// # Errors
    /// When the file cannot be read or decoded.
    pub fn read(path: &Path, how: Decode) -> Result<Self, DataError> {
        let bytes = fs::read(path).map_err(DataError::io(Access::Open, path))?;
        decode(&bytes, how).map_err(|problem| DataError::file(path, problem))
    }

    /// The bytes of a file of the kind that the extension of `path` names.
    ///
    /// # Errors
    /// When it names neither JPEG nor PNG, or the image has channels that the kind cannot hold.
    pub fn file_bytes(&self, path: &Path) -> Result<Vec<u8>, DataError> {
        encode(self, kind_of(path)?).map_err(|problem| DataError::file(path, problem))
    }

    /// Refuses a path that no image can be written to, for its extension names neither JPEG nor PNG.
    pub fn check_name(path: &Path) -> Result<(), DataError> {
        kind_of(path).map(drop)
    }

    pub(crate) fn into_pixels(self) -> Pixels {
        Pixels::U8(self.values)
    }
}

fn kind_of(path: &Path) -> Result<Kind, DataError> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    Kind::named(extension).ok_or_else(|| DataError::file(path, "its name must end in .png or .jpg"))
}

/// The sizes come from the file: a damaged one must not take all memory.
const MAX_BYTES: u64 = 1 << 30;

/// Decodes the bytes of a JPEG, PNG, BMP or PNM file. As OpenCV from 3.1 on, a JPEG is turned as its camera says.
pub(crate) fn decode(bytes: &[u8], how: Decode) -> Result<Image, String> {
    decode_turned(bytes, how, true)
}

/// Decodes an encoded sample: as in Caffe one that is taken as it is stays unturned, too.
pub(crate) fn decode_sample(bytes: &[u8], how: Decode) -> Result<Image, String> {
    decode_turned(bytes, how, how != Decode::Native)
}

fn decode_turned(bytes: &[u8], how: Decode, turned: bool) -> Result<Image, String> {
    let failed = |e| format!("cannot be decoded: {e}");
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| format!("cannot be decoded: {e}"))?;
    let Some(format) = reader.format() else {
        return Err("is not an image of a known kind (JPEG, PNG, BMP, PNM)".into());
    };
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    if decoder.total_bytes() > MAX_BYTES {
        let (w, h) = decoder.dimensions();
        return Err(format!("cannot be decoded: {w} x {h} pixels are more than 1 GB"));
    }
    let turn = match format {
        ImageFormat::Jpeg if turned => decoder.orientation().map_err(failed)?,
        _ => Orientation::NoTransforms,
    };
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(turn);
    Ok(planes(&image, how))
}

/// A kind of compressed image that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Jpeg,
    Png,
}

impl Kind {
    /// The kind of a file with this extension.
    pub fn named(extension: &str) -> Option<Self> {
        match ImageFormat::from_extension(extension)? {
            ImageFormat::Jpeg => Some(Self::Jpeg),
            ImageFormat::Png => Some(Self::Png),
            _ => None,
        }
    }
}

/// What the head of a compressed image says: its kind, and the channels that [`Decode::Native`] gives.
pub(crate) fn kind_and_channels(bytes: &[u8]) -> Option<(Kind, usize)> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let kind = match reader.format()? {
        ImageFormat::Jpeg => Kind::Jpeg,
        ImageFormat::Png => Kind::Png,
        _ => return None,
    };
    let color = reader.into_decoder().ok()?.color_type();
    let channels = match (color.has_color(), color.has_alpha()) {
        (_, true) => 4,
        (true, false) => 3,
        (false, false) => 1,
    };
    Some((kind, channels))
}

/// Compresses one, three or four planes; JPEG of quality 95, OpenCV's default.
pub(crate) fn encode(image: &Image, kind: Kind) -> Result<Vec<u8>, String> {
    let [c, h, w] = image.shape;
    let color = match (c, kind) {
        (1, _) => ExtendedColorType::L8,
        (3, _) => ExtendedColorType::Rgb8,
        (4, Kind::Png) => ExtendedColorType::Rgba8,
        _ => return Err(format!("{c} channels cannot be compressed as {kind:?}")),
    };
    let pixels = interleave(image);
    let (w, h) = (w as u32, h as u32);
    let mut bytes = Vec::new();
    match kind {
        Kind::Jpeg => JpegEncoder::new_with_quality(&mut bytes, 95).write_image(&pixels, w, h, color),
        Kind::Png => PngEncoder::new(&mut bytes).write_image(&pixels, w, h, color),
    }
    .map_err(|e| format!("cannot be compressed: {e}"))?;
    Ok(bytes)
}

/// Planes to interleaved pixels, blue and red exchanged: the inverse of [`split`].
fn interleave(image: &Image) -> Vec<u8> {
    let [c, h, w] = image.shape;
    let mut pixels = vec![0; c * h * w];
    for (i, plane) in image.values.chunks_exact((h * w).max(1)).enumerate() {
        let to = if c > 1 && i < 3 { 2 - i } else { i };
        for (pixel, &value) in pixels.chunks_exact_mut(c).zip(plane) {
            pixel[to] = value;
        }
    }
    pixels
}

fn planes(image: &DynamicImage, how: Decode) -> Image {
    let color = image.color();
    match how {
        Decode::Gray => gray(image),
        Decode::Native if !color.has_color() && !color.has_alpha() => gray(image),
        Decode::Native if color.has_alpha() => split(image.to_rgba8().as_raw(), image, [2, 1, 0, 3]),
        _ => split(image.to_rgb8().as_raw(), image, [2, 1, 0]),
    }
}

/// Interleaved pixels to planes, taken in the given order.
fn split<const N: usize>(pixels: &[u8], image: &DynamicImage, order: [usize; N]) -> Image {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let mut values = vec![0; N * h * w];
    if h * w > 0 {
        for (plane, from) in values.chunks_exact_mut(h * w).zip(order) {
            for (to, pixel) in plane.iter_mut().zip(pixels.chunks_exact(N)) {
                *to = pixel[from];
            }
        }
    }
    Image { shape: [N, h, w], values }
}

/// One plane: 0.299 R + 0.587 G + 0.114 B in 14-bit fixed point, as OpenCV rounds it.
fn gray(image: &DynamicImage) -> Image {
    let shape = [1, image.height() as usize, image.width() as usize];
    let values = if image.color().has_color() {
        let luma = |p: &[u8]| {
            let [r, g, b] = [p[0], p[1], p[2]].map(u32::from);
            ((4899 * r + 9617 * g + 1868 * b + (1 << 13)) >> 14) as u8
        };
        image.to_rgb8().as_raw().chunks_exact(3).map(luma).collect()
    } else {
        image.to_luma8().into_raw()
    };
    Image { shape, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn colours_come_as_blue_green_red_planes() {
        let image = image::RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let bytes = png(&image.into());
        let native = decode(&bytes, Decode::Native).unwrap();
        assert_eq!((native.shape, &native.values[..]), ([3, 1, 2], &[3, 6, 2, 5, 1, 4][..]));
        let gray = decode(&bytes, Decode::Gray).unwrap();
        assert_eq!((gray.shape, &gray.values[..]), ([1, 1, 2], &[2, 5][..]));
    }

    #[test]
    fn pnm_is_read() {
        let colors = decode(b"P6 2 1 255\n\x01\x02\x03\x04\x05\x06", Decode::Color).unwrap();
        assert_eq!((colors.shape, &colors.values[..]), ([3, 1, 2], &[3, 6, 2, 5, 1, 4][..]));
        let gray = decode(b"P5 1 2 255\n\x07\x09", Decode::Native).unwrap();
        assert_eq!((gray.shape, &gray.values[..]), ([1, 2, 1], &[7, 9][..]));
    }

    #[test]
    fn a_jpeg_is_turned_as_its_camera_says() {
        let image = Image { shape: [1, 8, 16], values: [[0; 8], [255; 8]].concat().repeat(8) };
        let plain = encode(&image, Kind::Jpeg).unwrap();
        // Big-endian TIFF, one entry: 0x0112, orientation, u16, one value: 6, a quarter turn to the right.
        let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let segment = [&[0xff, 0xe1, 0, exif.len() as u8 + 2], &exif[..]].concat();
        let turned = [&plain[..2], &segment, &plain[2..]].concat();
        let gray = decode(&turned, Decode::Gray).unwrap();
        assert_eq!(gray.shape, [1, 16, 8]);
        assert!(gray.values[0] < 20 && gray.values[15 * 8] > 235);
        assert_eq!(decode(&turned, Decode::Color).unwrap().shape, [3, 16, 8]);
        assert_eq!(decode_sample(&turned, Decode::Color).unwrap().shape, [3, 16, 8]);
        assert_eq!(decode_sample(&turned, Decode::Native).unwrap().shape, [1, 8, 16], "IMREAD_UNCHANGED");
    }

    #[test]
    fn grey_stays_one_channel_unless_asked() {
        let bytes = png(&image::GrayImage::from_raw(1, 2, vec![7, 9]).unwrap().into());
        assert_eq!(decode(&bytes, Decode::Native).unwrap().shape, [1, 2, 1]);
        assert_eq!(decode(&bytes, Decode::Color).unwrap().values, [7, 9, 7, 9, 7, 9]);
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for c in [1, 3, 4] {
            let image = Image { shape: [c, 2, 3], values: (0..c as u8 * 6).collect() };
            let bytes = encode(&image, Kind::Png).unwrap();
            assert_eq!(decode(&bytes, Decode::Native).unwrap(), image);
            assert_eq!(kind_and_channels(&bytes), Some((Kind::Png, c)));
        }
        let flat = Image { shape: [3, 8, 8], values: vec![99; 192] };
        assert_eq!(decode(&encode(&flat, Kind::Jpeg).unwrap(), Decode::Native).unwrap(), flat);
        let two = Image { shape: [2, 1, 1], values: vec![0; 2] };
        assert!(encode(&two, Kind::Jpeg).unwrap_err().contains("2 channels"));
        assert_eq!((Kind::named("JPG"), Kind::named("txt")), (Some(Kind::Jpeg), None));
    }

    #[test]
    fn damage_is_an_error() {
        assert!(decode(b"hello", Decode::Native).unwrap_err().contains("not an image"));
        let bytes = png(&image::GrayImage::new(20, 20).into());
        assert!(decode(&bytes[..40], Decode::Native).unwrap_err().contains("cannot be decoded"));
    }
}
