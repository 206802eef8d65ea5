//! Configuration: Caffe's schema, the protobuf text format, upgrades of old files, and checks.
//!
//! Data moves one way: text or binary file -> message of [`proto`] -> [`upgrade`]d message, with the place of
//! every field at hand for whatever is found wrong later.

mod aliases;
mod diagnostic;
mod file_map;
mod forks;
mod kind;
mod load;
pub mod proto;
mod source;
mod suggest;
pub mod text;
pub mod upgrade;

pub use diagnostic::{Diagnostic, Diagnostics, Severity, folded};
pub use file_map::FileMap;
pub use forks::layer as fork_layer;
pub use kind::{FileKind, file_kind};
pub use load::{
    ConfigError, NetFile, SolverFile, is_binary, layer_from_text, load_net, load_net_partly, load_solver,
    load_solver_partly, net_from_param, net_from_text, solver_from_text,
};
pub use source::{Location, Place, Source, Span};
pub use suggest::{did_you_mean, message_and_hint, or_did_you_mean, surely_meant};
