//! One run on several ranks: what the command line has to do with it.

use std::{num::NonZeroUsize, str::FromStr, thread, time::Duration};

use clap::{Args, ValueEnum};

use super::{Done, Failure};
use crate::{
    comm::{
        Aborter, Comm,
        launch::{self, Launch},
    },
    report,
    solver::{Gradients, Team},
};

/// How several ranks exchange gradients.
#[derive(Args, Debug)]
pub struct ExchangeArgs {
    /// With several ranks: send gradients only when all are there, rather than while the rest is being computed
    #[arg(long)]
    no_overlap: bool,
    /// With several ranks: how gradients travel; bf16 halves the bytes, and adds what rounding keeps back to the gradients of
    /// the next step
    #[arg(long, value_enum, default_value = "f32", value_name = "TYPE")]
    gradients: GradientsArg,
}

impl ExchangeArgs {
    /// The ranks of `comm`, which exchange gradients so.
    pub fn team(&self, comm: Comm) -> Team {
        let gradients = match self.gradients {
            GradientsArg::F32 => Gradients::F32,
            GradientsArg::Bf16 => Gradients::Bf16,
        };
        Team::new(comm, !self.no_overlap, gradients)
    }
}

/// How gradients travel.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum GradientsArg {
    /// As they are.
    F32,
    /// In two bytes.
    Bf16,
}

/// The ranks that a launcher has started, if it was more than one.
///
/// # Errors
/// When several copies were started that cannot work together.
pub fn launched() -> Result<Option<Launch>, Failure> {
    Ok(launch::detect(|name| std::env::var(name).ok())?)
}

/// Threads to compute on if nobody says how many: the machine's processors are shared among its ranks, unless the launcher
/// has bound each to its own.
pub fn threads(launch: Option<&Launch>) -> usize {
    let Some(local) = launch.and_then(|l| l.local_size) else { return 0 };
    let usable = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let bound = usable < processors();
    if bound { usable } else { (usable / local.max(1)).max(1) }
}

/// The machine's processors, whether this process may use them or not.
fn processors() -> usize {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let ranges = online.trim().split(',').filter_map(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        Some(to.parse::<usize>().ok()? + 1 - from.parse::<usize>().ok()?)
    });
    ranges.sum()
}

/// Does `work` alone, or as one of the ranks that a launcher has started. When it fails on one, or panics there, all ranks end with
/// its status: the others would wait for it.
///
/// # Errors
/// When MPI cannot be loaded or is not the launcher's, and those of `work`.
pub fn together(
    launch: Option<&Launch>,
    patience: Duration,
    work: impl FnOnce(Option<Comm>) -> Done,
) -> Done {
    let Some(launch) = launch else { return work(None) };
    let comm = Comm::join(launch, patience)?;
    report::info(&format!("Running on {} ranks over {}", comm.size(), comm.library()));
    let last = AbortOnPanic(comm.aborter());
    let done = work(Some(comm));
    if let Err(failure) = &done {
        report::complain(&format!("rank {}: {}", launch.rank, failure.message));
        last.0.abort(failure.status);
    }
    done
}

/// What rank 0 has found, on every rank.
///
/// # Errors
/// When the exchange fails or stalls.
pub fn of_rank_0<T: ToString + FromStr>(
    comm: &mut Option<Comm>,
    found: Option<T>,
) -> Result<Option<T>, Failure> {
    let Some(comm) = comm else { return Ok(found) };
    let bytes = comm.broadcast(found.map(|f| f.to_string()).unwrap_or_default().into_bytes())?;
    Ok(String::from_utf8_lossy(&bytes).parse().ok().filter(|_| !bytes.is_empty()))
}

/// Exit status of a program that has panicked.
const PANICKED: u8 = 101;

/// Ends all ranks if this one panics.
struct AbortOnPanic(Aborter);

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.abort(PANICKED);
        }
    }
}
