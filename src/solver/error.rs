//! What can end a run early.

use std::path::PathBuf;

use crate::{
    comm::CommError,
    config::{ConfigError, proto::SolverParameter},
    net::NetError,
    snapshot::SnapshotError,
};

/// What can end a run early.
#[derive(Debug, thiserror::Error)]
pub enum SolverError {
    /// A setting of the solver file.
    #[error("{message}")]
    Setting {
        /// The field: `base_lr`, `stepvalue[2]`.
        field: String,
        /// What is wrong.
        message: String,
    },
    /// A file of the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A net; `path` is the file that it came from, or nothing for one inside the solver file.
    #[error("{error}")]
    Net {
        /// Where the net came from.
        path: Option<PathBuf>,
        /// What is wrong.
        #[source]
        error: NetError,
    },
    /// The exchange with the other ranks.
    #[error(transparent)]
    Comm(#[from] CommError),
    /// The loss is no longer a number, or a weight is none though the loss does not show it.
    #[error(
        "{}: training has diverged, first in {place} (learning rate {rate}{}); {advice}",
        Self::symptom(*iter, *loss),
        norm.map_or_else(String::new, |norm| format!(", norm of the gradients {norm}"))
    )]
    Diverged {
        /// The iteration.
        iter: i32,
        /// Its loss, if that is what shows it.
        loss: Option<f32>,
        /// Its learning rate.
        rate: f32,
        /// The L2 norm of all gradients, while they are there.
        norm: Option<f64>,
        /// The first place where a value is not finite.
        place: String,
        /// What may help, or why going back does not.
        advice: &'static str,
    },
    /// A snapshot or a file of weights.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// Refuses a setting.
pub type Check = fn(&SolverParameter) -> Result<(), SolverError>;

impl SolverError {
    /// A wrong setting.
    pub fn setting(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Setting { field: field.into(), message: message.into() }
    }

    /// What shows that training has diverged.
    fn symptom(iter: i32, loss: Option<f32>) -> String {
        match loss {
            Some(loss) => format!("the loss of iteration {iter} is {loss}"),
            None => format!("before iteration {iter} a weight is no finite number, though no loss was NaN"),
        }
    }

    /// The same divergence, with the reason why it ends the run.
    pub(super) fn stays(self, reason: &'static str) -> Self {
        match self {
            Self::Diverged { iter, loss, rate, norm, place, .. } => {
                Self::Diverged { iter, loss, rate, norm, place, advice: reason }
            }
            other => other,
        }
    }
}
