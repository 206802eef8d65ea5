//! What a file is, by its content.

use std::fs;
use std::path::Path;

use prost::Message;

use super::load::ConfigError;
use super::proto::{NetParameter, SolverParameter};
use super::text;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A net.
    Net,
    /// A solver.
    Solver,
    /// The inside of a layer, as text.
    Layer,
}

/// What a file most likely is, by its content.
pub fn file_kind(path: impl AsRef<Path>) -> Result<FileKind, ConfigError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|source| ConfigError::Io { path: path.into(), source })?;
    if super::load::is_binary(&bytes) {
        let solver = SolverParameter::decode(bytes.as_slice()).is_ok();
        let net = NetParameter::decode(bytes.as_slice());
        let holds =
            net.as_ref().is_ok_and(|n| !n.layer.is_empty() || !n.layers.is_empty() || !n.input.is_empty());
        return Ok(if holds || !solver { FileKind::Net } else { FileKind::Solver });
    }
    Ok(match text::kind_of(&String::from_utf8_lossy(&bytes)) {
        text::TextKind::Net => FileKind::Net,
        text::TextKind::Solver => FileKind::Solver,
        text::TextKind::Layer => FileKind::Layer,
    })
}
