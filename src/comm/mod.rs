//! Processes that train together: who they are, and how they exchange values over MPI.
//!
//! MPI is loaded when a launcher has started several ranks, and not otherwise: the build needs none. It only moves
//! bytes. Sums are made here, in the order of the ranks, so that they do not depend on the MPI or the network.

mod bf16;
mod engine;
mod error;
pub mod launch;
mod mpi;

use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use bf16::Carry;
use engine::{Member, Order, Shared};
pub use error::CommError;
use launch::Launch;

/// This rank's end of the exchange with all others. What it is asked to do runs on a thread of its own.
pub struct Comm {
    rank: usize,
    size: usize,
    library: String,
    orders: Sender<Order>,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
    patience: Duration,
    waited: Duration,
}

/// A sum over all ranks.
pub struct Summed {
    /// The sums.
    pub values: Vec<f32>,
    /// What rounding has kept back, if the values travelled in two bytes.
    pub carry: Option<Carry>,
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
        let shared = Arc::new(Shared::default());
        let seen = shared.clone();
        let thread = thread::Builder::new()
            .name("mpi".into())
            .spawn(move || engine::run(&libraries, &welcome, &inbox, &seen))
            .map_err(|e| CommError::Load(format!("cannot start a thread: {e}")))?;
        let Member { rank, size, library } = Ticket(ready).wait(patience)?;
        let comm = Self { rank, size, library, orders, thread, shared, patience, waited: Duration::ZERO };
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

    /// How long an exchange may take.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Time spent waiting for exchanges so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Time during which sums were under way so far; what of it nobody waited for was hidden behind other work.
    pub fn summing(&self) -> Duration {
        Duration::from_nanos(self.shared.summing.load(Ordering::Relaxed))
    }

    /// Bytes that this rank has sent to the others for sums so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// A second end of this exchange. All ranks use it at the same points of their work.
    pub fn link(&self) -> Link {
        let Self { orders, shared, size, patience, .. } = self;
        Link { orders: orders.clone(), shared: shared.clone(), size: *size, patience: *patience }
    }

    /// The bytes of all ranks, in their order; all give the same number.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub fn gather(&mut self, mine: Vec<u8>) -> Result<Vec<Vec<u8>>, CommError> {
        let start = Instant::now();
        let all = self.link().gather(mine);
        self.waited += start.elapsed();
        all
    }

    /// The bytes of all ranks, one after the other, for rank 0; nothing for the others. All give the same number.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub fn collect(&mut self, mine: Vec<u8>) -> Result<Vec<u8>, CommError> {
        let ticket = self.order(|reply| Order::Collect(mine, reply));
        self.wait(ticket)
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

    /// Starts to sum `values` over all ranks; with a carry in bfloat16, which halves the bytes. Every rank starts the same
    /// sums in the same order.
    pub fn start_sum(&self, values: Vec<f32>, carry: Option<Carry>) -> Ticket<Summed> {
        self.order(|reply| Order::Sum(values, carry, reply))
    }

    /// Waits for what was started.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub fn wait<T>(&mut self, ticket: Ticket<T>) -> Result<T, CommError> {
        let start = Instant::now();
        let done = self.link().wait(ticket);
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
        order_of(&self.orders, order)
    }
}

fn order_of<T>(
    orders: &Sender<Order>,
    order: impl FnOnce(mpsc::SyncSender<Result<T, CommError>>) -> Order,
) -> Ticket<T> {
    let (reply, ticket) = mpsc::sync_channel(1);
    // A thread that is gone answers nothing, which the wait notices.
    let _ = orders.send(order(reply));
    Ticket(ticket)
}

/// Another end of an exchange, for those who need it in the midst of a pass.
pub struct Link {
    orders: Sender<Order>,
    shared: Arc<Shared>,
    size: usize,
    patience: Duration,
}

impl Link {
    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The bytes of all ranks, in their order; all give the same number.
    ///
    /// # Errors
    /// When the exchange fails or stalls.
    pub fn gather(&self, mine: Vec<u8>) -> Result<Vec<Vec<u8>>, CommError> {
        let len = mine.len();
        if len == 0 {
            return Ok(vec![Vec::new(); self.size]);
        }
        let all = self.wait(order_of(&self.orders, |reply| Order::Gather(mine, reply)))?;
        Ok(all.chunks_exact(len).map(<[u8]>::to_vec).collect())
    }

    fn wait<T>(&self, ticket: Ticket<T>) -> Result<T, CommError> {
        self.shared.awaited.store(true, Ordering::Relaxed);
        let done = ticket.wait(self.patience);
        self.shared.awaited.store(false, Ordering::Relaxed);
        done
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
