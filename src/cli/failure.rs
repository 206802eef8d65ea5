//! Errors with their exit status and their place in the file.

use std::{fmt::Write as _, path::Path};

use crate::{
    comm::CommError,
    config::{ConfigError, Diagnostic, Diagnostics, NetFile, SolverFile, proto::LayerParameter},
    data::DataError,
    net::NetError,
    report::history::HistoryError,
    snapshot::{Access, SnapshotError},
    solver::SolverError,
};

/// Exit status of bad usage or configuration.
pub const CONFIG: u8 = 2;
/// Exit status of bad data.
pub const DATA: u8 = 5;
/// Exit status of a run that has diverged.
pub const DIVERGED: u8 = 4;
/// Exit status of a run that stopped early and can be resumed: EX_TEMPFAIL, what Slurm's RequeueExit takes.
pub const STOPPED: u8 = 75;
/// Exit status of a run that failed.
pub const FAILED: u8 = 1;

/// Why a command ends, and with which status.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub status: u8,
    /// The whole message, ready to print.
    pub message: String,
}

impl Failure {
    /// A failure with a message of one line, which gets `error: ` in front.
    pub fn new(status: u8, message: impl AsRef<str>) -> Self {
        Self { status, message: format!("error: {}", message.as_ref()) }
    }

    /// The message without `error: ` in front, for a list of complaints.
    pub fn into_complaint(self) -> String {
        self.message.replacen("error: ", "", 1)
    }

    /// An error with its causes.
    pub fn chain(status: u8, error: &dyn std::error::Error) -> Self {
        let mut message = format!("error: {error}");
        let mut cause = error.source();
        while let Some(next) = cause {
            let _ = write!(message, ": {next}");
            cause = next.source();
        }
        Self { status, message }
    }

    /// A complaint about a net; `file` tells where its layers stand.
    pub fn net(error: &NetError, file: Option<&NetFile>) -> Self {
        let (status, layer, origin, field, message) = match error {
            NetError::Layer { layer, origin, field, message } => {
                (CONFIG, layer, *origin, &field[..], message)
            }
            NetError::Value { layer, origin, message } => (DATA, layer, *origin, "", message),
            NetError::Output { layer, origin, message } => (FAILED, layer, *origin, "", message),
            NetError::Net(message) => {
                let Some(file) = file else { return Self::new(CONFIG, message) };
                let diagnostic = file.error("", message.clone());
                return Self { status: CONFIG, message: Diagnostics(vec![diagnostic]).to_string() };
            }
        };
        let Some(file) = file else { return Self::new(status, error.to_string()) };
        let layer = LayerParameter {
            name: Some(layer.clone()),
            cnnctl_origin: Some(origin),
            ..LayerParameter::default()
        };
        let diagnostic = file.error_at(&layer, field, message.clone());
        Self { status, message: Diagnostics(vec![diagnostic]).to_string() }
    }

    /// Complaints about a net, of which there is at least one.
    pub fn nets(errors: &[NetError], file: &NetFile) -> Self {
        let failures: Vec<Self> = errors.iter().map(|error| Self::net(error, Some(file))).collect();
        let messages: Vec<&str> = failures.iter().map(|f| &f.message[..]).collect();
        Self { status: failures.first().map_or(CONFIG, |f| f.status), message: messages.join("\n\n") }
    }

    /// A complaint about a run; the files tell where settings and layers stand.
    pub fn solver(error: &SolverError, solver: &SolverFile, nets: &[&NetFile]) -> Self {
        match error {
            SolverError::Setting { field, message } => {
                let diagnostic: Diagnostic = solver.error_at(field, message.clone());
                Self { status: CONFIG, message: Diagnostics(vec![diagnostic]).to_string() }
            }
            SolverError::Net { path, error } => {
                let named = |file: &&&NetFile| {
                    path.as_ref().is_none_or(|p| file.path().is_some_and(|f| Path::new(f) == p))
                };
                Self::net(error, nets.iter().find(named).copied())
            }
            SolverError::Diverged { .. } => Self::chain(DIVERGED, error),
            SolverError::Comm(error) => error.into(),
            SolverError::Config(error) => error.into(),
            SolverError::Snapshot(error) => error.into(),
        }
    }
}

impl From<&CommError> for Failure {
    fn from(error: &CommError) -> Self {
        let bad_start =
            matches!(error, CommError::Launch(_) | CommError::Mismatch(_) | CommError::Size { .. });
        Self::chain(if bad_start { CONFIG } else { FAILED }, error)
    }
}

impl From<CommError> for Failure {
    fn from(error: CommError) -> Self {
        (&error).into()
    }
}

impl From<&ConfigError> for Failure {
    fn from(error: &ConfigError) -> Self {
        match error {
            ConfigError::Invalid(diagnostics) => Self { status: CONFIG, message: diagnostics.to_string() },
            other => Self::chain(CONFIG, other),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        (&error).into()
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::chain(if error.is_of_output() { FAILED } else { DATA }, &error)
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        let status = match error {
            HistoryError::Read { .. } => CONFIG,
            HistoryError::Content { .. } => DATA,
        };
        Self::chain(status, &error)
    }
}

impl From<&SnapshotError> for Failure {
    fn from(error: &SnapshotError) -> Self {
        let status = match error {
            SnapshotError::Io { action: Access::Read, .. } | SnapshotError::Content { .. } => CONFIG,
            SnapshotError::Io { .. } => FAILED,
        };
        Self::chain(status, error)
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        (&error).into()
    }
}
