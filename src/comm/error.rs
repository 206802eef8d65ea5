//! What can go wrong between ranks.

use std::time::Duration;

/// What can go wrong between ranks.
#[derive(Debug, thiserror::Error)]
pub enum CommError {
    /// The launcher's environment contradicts itself, or does not start MPI programs.
    #[error("{0}")]
    Launch(String),
    /// MPI is not there, or is none that we know.
    #[error("cannot load MPI: {0}")]
    Load(String),
    /// The MPI that was loaded is not the launcher's: each process would train for itself.
    #[error(
        "the launcher has started {launched} ranks, but {library} sees {joined}: the launcher and this library belong to \
         different MPIs (with srun, try --mpi=pmi2 or --mpi=pmix; CNNCTL_MPI_LIB names another library)"
    )]
    Size {
        /// Ranks that the launcher has started.
        launched: usize,
        /// Ranks that MPI sees.
        joined: usize,
        /// What the library calls itself.
        library: String,
    },
    /// A function of MPI failed.
    #[error("{function} failed: {reason}")]
    Call {
        /// Its name.
        function: &'static str,
        /// What MPI says.
        reason: String,
    },
    /// Nothing has come for long: a rank hangs, or a link is cut.
    #[error("nothing has come from the other ranks for {:.0} s: one of them hangs, or a link is cut", .0.as_secs_f64())]
    Stalled(Duration),
    /// The thread that talks to MPI has ended.
    #[error("the exchange with the other ranks has ended")]
    Gone,
    /// Ranks do not train the same.
    #[error("{0}")]
    Mismatch(String),
}
