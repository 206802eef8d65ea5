//! `Datum`: the message that holds a sample in Caffe's databases.

use prost::Message as _;

use super::{Decode, Pixels, Sample, image};
use crate::config::proto::Datum;

/// Decodes a database value that stands alone.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_datum(value: &[u8], decode: Decode) -> Result<Sample, String> {
    sample(value, String::new(), decode).map_err(|(_, problem)| problem)
}

/// Decodes a database value; the error says what is wrong, the caller knows where.
pub(crate) fn sample(value: &[u8], key: String, decode: Decode) -> Result<Sample, (String, String)> {
    match Datum::decode(value).map_err(|e| format!("not a Datum: {e}")).and_then(|d| contents(d, decode)) {
        Ok((shape, pixels, label)) => Ok(Sample { shape, pixels, labels: vec![label], key }),
        Err(problem) => Err((key, problem)),
    }
}

fn contents(datum: Datum, decode: Decode) -> Result<([usize; 3], Pixels, f32), String> {
    let label = datum.label() as f32;
    if datum.encoded() {
        let image = image::decode_sample(datum.data(), decode)?;
        return Ok((image.shape, image.into_pixels(), label));
    }
    let sides = [datum.channels(), datum.height(), datum.width()];
    let pixels = match datum.data {
        Some(bytes) if !bytes.is_empty() => Pixels::U8(bytes),
        _ => Pixels::F32(datum.float_data),
    };
    let shape = sides.map(|side| usize::try_from(side).unwrap_or(0));
    let count = shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
    if count != Some(pixels.len()) || pixels.is_empty() {
        let [c, h, w] = sides;
        return Err(format!("its shape is {c} x {h} x {w}, but it has {} values", pixels.len()));
    }
    Ok((shape, pixels, label))
}

/// The `Datum` of a sample; the error says what a `Datum` cannot hold.
pub(crate) fn of(sample: Sample) -> Result<Datum, String> {
    let label = label(&sample.labels)?;
    let [Ok(c), Ok(h), Ok(w)] = sample.shape.map(i32::try_from) else {
        return Err(format!("its shape {:?} is too large for a Datum", sample.shape));
    };
    let datum =
        Datum { channels: Some(c), height: Some(h), width: Some(w), label: Some(label), ..Datum::default() };
    Ok(match sample.pixels {
        Pixels::U8(bytes) => Datum { data: Some(bytes), ..datum },
        Pixels::F32(values) => Datum { float_data: values, ..datum },
    })
}

/// The one label that a `Datum` can hold.
pub(crate) fn label(labels: &[f32]) -> Result<i32, String> {
    match labels {
        [label] if label.fract() == 0.0 && label.abs() <= 16_777_216.0 => Ok(*label as i32),
        [label] => Err(format!("a Datum's label is a whole number, found {label}")),
        _ => Err(format!("a Datum has one label, found {}", labels.len())),
    }
}

/// A database key as messages show it.
pub(crate) fn key_text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(datum: &Datum) -> Result<Sample, (String, String)> {
        sample(&datum.encode_to_vec(), "k".into(), Decode::Native)
    }

    #[test]
    fn bytes_come_before_floats() {
        let mut datum = Datum {
            channels: Some(1),
            height: Some(1),
            width: Some(2),
            data: Some(vec![3, 4]),
            float_data: vec![0.5, 1.5],
            label: Some(-1),
            ..Default::default()
        };
        let s = read(&datum).unwrap();
        assert_eq!((s.shape, s.pixels, s.labels), ([1, 1, 2], Pixels::U8(vec![3, 4]), vec![-1.0]));
        datum.data = None;
        assert_eq!(read(&datum).unwrap().pixels, Pixels::F32(vec![0.5, 1.5]));
    }

    #[test]
    fn shapes_must_fit() {
        let datum = Datum { channels: Some(-1), height: Some(2), width: Some(2), ..Default::default() };
        assert_eq!(read(&datum).unwrap_err().1, "its shape is -1 x 2 x 2, but it has 0 values");
        let huge = Datum { channels: Some(i32::MAX), height: Some(i32::MAX), width: Some(i32::MAX), ..datum };
        assert!(read(&huge).unwrap_err().1.contains("2147483647"));
        assert!(sample(b"\x0a\xff", "k".into(), Decode::Native).unwrap_err().1.contains("not a Datum"));
    }
}
