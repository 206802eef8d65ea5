//! From protobuf's binary format to text, as Caffe writes it: a field a line, two spaces a level.

use std::fmt::Write as _;

use prost::{Message, Name};

use super::schema::{Field, Kind, MessageType, Schema};
use super::wire::{WireType, take_bytes, take_tag, take_varint};

/// The text of a message. What a layer knows of its place in a file is left out.
pub fn print<M: Message + Name>(message: &M) -> String {
    let schema = Schema::get();
    let root = schema.message(super::message_type::<M>());
    let mut printer = Printer { schema, out: String::new(), indent: 0 };
    let whole = printer.message(&message.encode_to_vec(), root);
    debug_assert!(whole.is_some(), "prost writes what the schema says");
    printer.out
}

struct Printer {
    schema: &'static Schema,
    out: String,
    indent: usize,
}

impl Printer {
    /// Prints all fields; `None` if the bytes are not such a message.
    fn message(&mut self, mut bytes: &[u8], message: &MessageType) -> Option<()> {
        while !bytes.is_empty() {
            let (number, wire_type) = take_tag(&mut bytes)?;
            let field = message.field_numbered(number);
            match (wire_type, field) {
                (WireType::Length, field) => {
                    let length = take_varint(&mut bytes)?;
                    let value = take_bytes(&mut bytes, length)?;
                    if let Some(field) = field {
                        self.length_delimited(field, value)?;
                    }
                }
                (_, Some(field)) => self.scalar(field, &mut bytes)?,
                (_, None) => {
                    take_scalar(wire_type, &mut bytes)?;
                }
            }
        }
        Some(())
    }

    fn length_delimited(&mut self, field: &Field, mut value: &[u8]) -> Option<()> {
        match field.kind {
            Kind::Message(message) => {
                self.line(format_args!("{} {{", field.name));
                self.indent += 1;
                self.message(value, self.schema.message(message))?;
                self.indent -= 1;
                self.line(format_args!("}}"));
            }
            Kind::String => self.line(format_args!("{}: \"{}\"", field.name, escaped(value, false))),
            Kind::Bytes => self.line(format_args!("{}: \"{}\"", field.name, escaped(value, true))),
            // Numbers that are stored packed.
            _ => {
                while !value.is_empty() {
                    self.scalar(field, &mut value)?;
                }
            }
        }
        Some(())
    }

    fn scalar(&mut self, field: &Field, bytes: &mut &[u8]) -> Option<()> {
        let bits = take_scalar(WireType::of(field.kind), bytes)?;
        let name = &field.name;
        match field.kind {
            Kind::Bool => self.line(format_args!("{name}: {}", bits != 0)),
            Kind::Int32 => self.line(format_args!("{name}: {}", bits as i32)),
            Kind::Int64 => self.line(format_args!("{name}: {}", bits as i64)),
            Kind::Uint32 => self.line(format_args!("{name}: {}", bits as u32)),
            Kind::Uint64 => self.line(format_args!("{name}: {bits}")),
            Kind::Float => {
                let value = f32::from_bits(bits as u32);
                self.line(format_args!("{name}: {}", number(&format!("{value:e}"), 6)));
            }
            Kind::Double => {
                let value = f64::from_bits(bits);
                self.line(format_args!("{name}: {}", number(&format!("{value:e}"), 15)));
            }
            Kind::Enum(index) => match self.schema.enumeration(index).name(bits as i32) {
                Some(word) => self.line(format_args!("{name}: {word}")),
                None => self.line(format_args!("{name}: {}", bits as i32)),
            },
            Kind::String | Kind::Bytes | Kind::Message(_) => return None,
        }
        Some(())
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let indent = 2 * self.indent;
        writeln!(self.out, "{:indent$}{line}", "").expect("a String takes everything");
    }
}

/// The bits of a number.
fn take_scalar(wire_type: WireType, bytes: &mut &[u8]) -> Option<u64> {
    match wire_type {
        WireType::Varint => take_varint(bytes),
        WireType::Fixed32 => Some(u32::from_le_bytes(take_bytes(bytes, 4)?.try_into().ok()?).into()),
        WireType::Fixed64 => Some(u64::from_le_bytes(take_bytes(bytes, 8)?.try_into().ok()?)),
        WireType::Length => None,
    }
}

/// A number's shortest exact digits, given as Rust's `{:e}` prints them, laid out as C's `%g` would:
/// `digits` is how many it prints at most before it turns to an exponent, three more if it needs them.
fn number(scientific: &str, digits: usize) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific.to_lowercase(); // inf, -inf, NaN
    };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let exponent: i32 = exponent.parse().expect("`{:e}` prints a whole exponent");
    let all: String = mantissa.chars().filter(|&c| c != '.').collect();
    let precision = if all.len() <= digits { digits } else { digits + 3 };
    if exponent < -4 || exponent >= precision as i32 {
        let sign_of_exponent = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{sign_of_exponent}{:02}", exponent.abs());
    }
    if exponent < 0 {
        return format!("{sign}0.{}{all}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    }
    let whole = exponent as usize + 1;
    if all.len() <= whole {
        return format!("{sign}{all}{}", "0".repeat(whole - all.len()));
    }
    format!("{sign}{}.{}", &all[..whole], &all[whole..])
}

/// The inside of a quoted text. In `bytes` everything outside ASCII is escaped, in a string only what cannot
/// be seen.
fn escaped(value: &[u8], bytes: bool) -> String {
    let mut out = String::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '"' => out.push_str("\\\""),
                '\'' => out.push_str("\\'"),
                '\\' => out.push_str("\\\\"),
                ' '..='~' => out.push(c),
                c if !bytes && !c.is_ascii() => out.push(c),
                c => push_octal(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        push_octal(&mut out, chunk.invalid());
    }
    out
}

fn push_octal(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(out, "\\{byte:03o}").expect("a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::proto::{BlobProto, Datum, LayerParameter, NetParameter, PoolingParameter};
    use crate::config::text::parse;

    #[test]
    fn one_field_a_line_in_the_order_of_their_numbers() {
        let pooling = PoolingParameter { pool: Some(1), kernel_size: Some(3), ..Default::default() };
        let layer = LayerParameter {
            name: Some("pool \"1\"".into()),
            bottom: vec!["a".into(), "b".into()],
            loss_weight: vec![0.5, -1e-5],
            pooling_param: Some(pooling),
            cnnctl_origin: Some(3),
            ..Default::default()
        };
        let net = NetParameter { name: Some("n".into()), layer: vec![layer], ..Default::default() };
        let expected = "\
name: \"n\"
layer {
  name: \"pool \\\"1\\\"\"
  bottom: \"a\"
  bottom: \"b\"
  loss_weight: 0.5
  loss_weight: -1e-05
  pooling_param {
    pool: AVE
    kernel_size: 3
  }
}
";
        assert_eq!(print(&net), expected);
    }

    /// Laid out as by protobuf's printer, with the fewest digits that give the same number again.
    #[test]
    fn floats_look_as_protobuf_prints_them() {
        let cases: [(f32, &str); 13] = [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (0.00390625, "0.00390625"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (100000.0, "100000"),
            (1e6, "1e+06"),
            (16777216.0, "16777216"),
            (1234567.0, "1234567"),
            (f32::MAX, "3.4028235e+38"),
            (f32::NEG_INFINITY, "-inf"),
            (f32::NAN, "nan"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(&format!("{value:e}"), 6), expected);
        }
        assert_eq!(number(&format!("{:e}", 0.1f64 + 0.2), 15), "0.30000000000000004");
        assert_eq!(number(&format!("{:e}", 1e15f64), 15), "1e+15");
    }

    #[test]
    fn texts_and_bytes_come_back_whole() {
        let datum = Datum { data: Some((0..=255).collect()), ..Default::default() };
        let text = print(&datum);
        assert!(text.is_ascii());
        assert_eq!(parse::<Datum>("d", text).expect("a good text").message, datum);
        let net = NetParameter { name: Some("é\u{1}\"'\\\n\r\t?".into()), ..Default::default() };
        let text = print(&net);
        assert_eq!(text, "name: \"é\\001\\\"\\'\\\\\\n\\r\\t?\"\n");
        assert_eq!(parse::<NetParameter>("n", text).expect("a good text").message, net);
    }

    #[test]
    fn packed_numbers_come_a_line_each() {
        let blob = BlobProto { double_data: vec![1.0, 0.25], ..Default::default() };
        assert_eq!(print(&blob), "double_data: 1\ndouble_data: 0.25\n");
    }
}
