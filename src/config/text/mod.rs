//! Protobuf's text format, in which nets and solvers are written.
//!
//! The parser works over the compiled schema and writes protobuf's binary format, which prost decodes; the
//! printer goes the other way. Both accept and produce what protobuf's own do; beyond them, the parser reports
//! all errors of a text, keeps the place of every field, and knows some spellings that are not Caffe's.

mod fields;
mod grammar;
mod hints;
mod kind;
mod lexer;
mod parser;
mod print;
mod schema;
mod spans;
mod spellings;
#[cfg(test)]
mod tests;
mod tokens;
mod values;
mod wire;

use prost::{Message, Name};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::source::Source;
use parser::Parser;
use schema::Schema;

pub use fields::{nan_fields, set_fields};
pub use kind::{TextKind, kind_of};
pub use print::print;
pub use spans::{FieldSpan, Spans};

/// Longest text that is parsed.
const MAX_BYTES: usize = 1 << 30;

/// What a text says.
#[derive(Clone, Debug)]
pub struct Parsed<M> {
    /// The message; layers in it know their place by `cnnctl_origin`.
    pub message: M,
    /// The text.
    pub source: Source,
    /// Where its fields stand.
    pub spans: Spans,
    /// What is odd about it, though it could be read.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a message from the text of the file `path`.
pub fn parse<M: Message + Name + Default>(
    path: impl Into<String>,
    text: impl Into<String>,
) -> Result<Parsed<M>, Diagnostics> {
    let parsed = parse_partly(path, text)?;
    let diagnostics = Diagnostics(parsed.warnings);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    Ok(Parsed { warnings: diagnostics.0, ..parsed })
}

/// Reads what can be read of a text with errors in it, which are then among its warnings; unless its braces do not match.
pub fn parse_partly<M: Message + Name + Default>(
    path: impl Into<String>,
    text: impl Into<String>,
) -> Result<Parsed<M>, Diagnostics> {
    let (path, text) = (path.into(), text.into());
    if text.len() > MAX_BYTES {
        let message = format!("a text of {} bytes is too long: at most {MAX_BYTES}", text.len());
        return Err(Diagnostic::error(message).in_file(path).into());
    }
    let source = Source::new(path, text);
    let root = message_type::<M>();
    let output = Parser::new(&source, root).parse();
    let diagnostics = Diagnostics(output.diagnostics);
    if output.broken {
        return Err(diagnostics);
    }
    let message = M::decode(output.wire.as_slice());
    match message {
        Ok(message) => Ok(Parsed { message, source, spans: output.spans, warnings: diagnostics.0 }),
        Err(_) if diagnostics.has_errors() => Err(diagnostics),
        Err(error) => {
            Err(Diagnostic::error(format!("the text is well-formed, but its message is not: {error}"))
                .in_file(source.path())
                .into())
        }
    }
}

fn message_type<M: Name>() -> usize {
    let name = M::full_name();
    Schema::get().message_named(&name).expect("every generated message is in the schema")
}
