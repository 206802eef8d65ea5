//! Processes that train together: who they are, and how they exchange values over MPI.
//!
//! MPI is loaded when a launcher has started several ranks, and not otherwise: the build needs none. It only moves
//! bytes. Sums are made here, in the order of the ranks, so that they do not depend on the MPI or the network.

mod engine;
mod error;
pub mod launch;
mod mpi;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use engine::{Member, Order};
pub use error::CommError;
use launch::Launch;

/// This rank's end of the exchange with all others. What it is asked to do runs on a thread of its own.
pub struct Comm {
    rank: usize,
    size: usize,
    library: String,
    orders: Sender<Order>,
    thread: JoinHandle<()>,
    /// Whether somebody waits for the thread.
    awaited: Arc<AtomicBool>,
    patience: Duration,
    waited: Duration,
}

/// Something under way.
pub struct Ticket<T>(Receiver<Result<T, CommError>>);

impl<T> Ticket<T> {
    fn wait(self, patience: Duration) -> Result<T, CommError> {
        self.0.recv_timeout(patience).unwrap_or_else(|e| match e {
            RecvTimeoutError::Timeout => Err(CommError::Stalled(patience)),
            RecvTimeoutError::Disconnected => Err(CommError::Gone),
        })
    }
}

/// How long a launcher may take to pass on what a rank has said.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long an abort may take.
const ABORT: Duration = Duration::from_secs(10);

impl Comm {
    /// Loads MPI and joins the ranks that the launcher has started.
    ///
    /// An exchange that takes longer than `patience` is given up as [`CommError::Stalled`]: MPI itself waits for ever
    /// when a link is cut.
    ///
    /// # Errors
    /// When MPI cannot be loaded, or sees another number of ranks than the launcher has started.
    pub fn join(launch: &Launch, patience: Duration) -> Result<Self, CommError> {
        let (orders, inbox) = mpsc::channel();
        let (welcome, ready) = mpsc::sync_channel(1);
        let libraries = launch.libraries();
        let awaited = Arc::new(AtomicBool::new(false));
        let seen = awaited.clone();
        let thread = thread::Builder::new()
            .name("mpi".into())
            .spawn(move || engine::run(&libraries, &welcome, &inbox, &seen))
            .map_err(|e| CommError::Load(format!("cannot start a thread: {e}")))?;
        let Member { rank, size, library } = Ticket(ready).wait(patience)?;
        let comm = Self { rank, size, library, orders, thread, awaited, patience, waited: Duration::ZERO };
        if launch.size != size {
            let library = comm.library.clone();
            return Err(CommError::Size { launched: launch.size, joined: size, library });
        }
        Ok(comm)
    }

    /// This rank, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// What the MPI calls itself.
    pub fn library(&self) -> &str {
        &self.library
    }

    /// Time spent waiting for exchanges so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The bytes of all ranks, in their order; all give the same number.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub fn gather(&mut self, mine: Vec<u8>) -> Result<Vec<Vec<u8>>, CommError> {
        let len = mine.len();
        if len == 0 {
            return Ok(vec![Vec::new(); self.size]);
        }
        let ticket = self.order(|reply| Order::Gather(mine, reply));
        let all = self.wait(ticket)?;
        Ok(all.chunks_exact(len).map(<[u8]>::to_vec).collect())
    }

    /// Rank 0's bytes, for all ranks.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub fn broadcast(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, CommError> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes().to_vec();
        let len = self.order(|reply| Order::Broadcast(len, reply));
        let len = self.wait(len)?;
        let len = len.try_into().map_or(0, u64::from_le_bytes) as usize;
        let mut all = if self.rank == 0 { bytes } else { vec![0; len] };
        // MPI counts in 32 bits.
        for piece in all.chunks_mut(1 << 28) {
            let ticket = self.order(|reply| Order::Broadcast(piece.to_vec(), reply));
            piece.copy_from_slice(&self.wait(ticket)?[..]);
        }
        Ok(all)
    }

    /// Starts to sum `values` over all ranks. Every rank starts the same sums in the same order.
    pub fn start_sum(&self, values: Vec<f32>) -> Ticket<Vec<f32>> {
        self.order(|reply| Order::Sum(values, reply))
    }

    /// Waits for what was started.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub fn wait<T>(&mut self, ticket: Ticket<T>) -> Result<T, CommError> {
        let start = Instant::now();
        self.awaited.store(true, Ordering::Relaxed);
        let done = ticket.wait(self.patience);
        self.awaited.store(false, Ordering::Relaxed);
        self.waited += start.elapsed();
        done
    }

    /// Leaves the other ranks in good order. One that does not is taken for dead by the launcher.
    pub fn leave(self) {
        let _ = self.orders.send(Order::Leave);
        let _ = self.thread.join();
    }

    /// What ends all ranks, for whoever has lost sight of this.
    pub fn aborter(&self) -> Aborter {
        Aborter(self.orders.clone())
    }

    fn order<T>(&self, order: impl FnOnce(mpsc::SyncSender<Result<T, CommError>>) -> Order) -> Ticket<T> {
        let (reply, ticket) = mpsc::sync_channel(1);
        // A thread that is gone answers nothing, which the wait notices.
        let _ = self.orders.send(order(reply));
        Ticket(ticket)
    }
}

/// Ends the whole job.
pub struct Aborter(Sender<Order>);

impl Aborter {
    /// Ends all ranks, this one too, with an exit status.
    pub fn abort(&self, status: u8) {
        // Launchers lose what a rank has said last if it dies at once.
        thread::sleep(LAST_WORDS);
        if self.0.send(Order::Abort(i32::from(status))).is_ok() {
            thread::sleep(ABORT);
        }
    }
}
