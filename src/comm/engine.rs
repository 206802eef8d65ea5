//! The thread that talks to MPI: it alone calls its functions, so any level of thread support will do.
//!
//! Everything is non-blocking and polled, so that several sums can be under way while the layers compute, and so that an
//! abort is heard at any time.

use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Carry, CommError, Summed, bf16,
    mpi::{Channel, Mpi, Pending},
};

type Reply<T> = SyncSender<Result<T, CommError>>;

/// What the thread is asked to do.
pub enum Order {
    /// The bytes of all ranks in their order; all give the same number.
    Gather(Vec<u8>, Reply<Vec<u8>>),
    /// The bytes of all ranks in their order, on rank 0 alone.
    Collect(Vec<u8>, Reply<Vec<u8>>),
    /// The bytes of rank 0.
    Broadcast(Vec<u8>, Reply<Vec<u8>>),
    /// The sum over all ranks; with a carry, of values in two bytes.
    Sum(Vec<f32>, Option<Carry>, Reply<Summed>),
    /// The end of all ranks.
    Abort(i32),
    /// The end of this one.
    Leave,
}

/// What both threads look at.
#[derive(Default)]
pub struct Shared {
    /// Whether somebody waits for an answer.
    pub awaited: AtomicBool,
    /// For how many nanoseconds sums have been under way.
    pub summing: AtomicU64,
    /// How many bytes this rank has sent to the others for sums.
    pub sent: AtomicU64,
}

/// What MPI says of this process.
pub struct Member {
    pub rank: usize,
    pub size: usize,
    pub library: String,
}

/// Joins, then serves orders until it is told to leave, or nobody can send any more.
pub fn run(libraries: &[String], welcome: &Reply<Member>, orders: &Receiver<Order>, shared: &Shared) {
    let mpi = match Mpi::start(libraries) {
        Ok(mpi) => mpi,
        Err(error) => return drop(welcome.send(Err(error))),
    };
    let member = Member { rank: mpi.rank(), size: mpi.size(), library: mpi.library() };
    if welcome.send(Ok(member)).is_ok() && serve(&mpi, orders, shared) {
        mpi.leave();
    }
}

/// Serves until the orders end; tells whether this rank leaves in good order.
fn serve(mpi: &Mpi, orders: &Receiver<Order>, shared: &Shared) -> bool {
    let mut sums: VecDeque<Sum> = VecDeque::new();
    let mut waits: VecDeque<Moving> = VecDeque::new();
    let mut idle = 0;
    let mut since = None;
    loop {
        let busy = !(sums.is_empty() && waits.is_empty());
        let order = if busy {
            match orders.try_recv() {
                Ok(order) => Some(order),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return false,
            }
        } else {
            match orders.recv_timeout(Duration::from_secs(3600)) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        };
        if order.is_some() {
            idle = 0;
        }
        match order {
            Some(Order::Abort(status)) => mpi.abort(status),
            Some(Order::Leave) => return !busy,
            Some(Order::Gather(bytes, reply)) => {
                begin(&mut waits, reply, || mpi.all_gather(Channel::First, bytes))
            }
            Some(Order::Collect(bytes, reply)) => begin(&mut waits, reply, || mpi.collect(bytes)),
            Some(Order::Broadcast(bytes, reply)) => begin(&mut waits, reply, || mpi.broadcast(bytes)),
            Some(Order::Sum(values, carry, reply)) => match Sum::begin(mpi, values, carry, &reply, shared) {
                Ok(sum) => sums.push_back(sum),
                Err(error) => drop(reply.send(Err(error))),
            },
            None => {}
        }
        let before = idle;
        if !sums.is_empty() && since.is_none() {
            since = Some(Instant::now());
        }
        advance_sums(mpi, &mut sums, &mut idle, shared);
        if sums.is_empty()
            && let Some(start) = since.take()
        {
            shared.summing.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        while let Some(done) = waits.front_mut().and_then(|m| m.poll(mpi)) {
            if let Some(moving) = waits.pop_front() {
                let _ = moving.reply.send(done);
            }
            idle = 0;
        }
        if busy && idle == before {
            idle += 1;
            rest(idle, shared.awaited.load(Ordering::Relaxed));
        }
    }
}

/// MPI moves bytes only when it is polled: without a pause while somebody waits for them, and now and then while the layers
/// compute, to leave them the processor.
fn rest(idle: u32, awaited: bool) {
    match idle {
        0..200 => thread::yield_now(),
        _ if awaited => thread::yield_now(),
        _ => thread::sleep(Duration::from_micros(50)),
    }
}

/// Bytes under way, and who waits for them.
struct Moving {
    pending: Pending<u8>,
    reply: Reply<Vec<u8>>,
}

impl Moving {
    fn poll(&mut self, mpi: &Mpi) -> Option<Result<Vec<u8>, CommError>> {
        self.pending.poll(mpi).map(|done| done.map(|()| self.pending.take()))
    }
}

fn begin(
    waits: &mut VecDeque<Moving>,
    reply: Reply<Vec<u8>>,
    start: impl FnOnce() -> Result<Pending<u8>, CommError>,
) {
    match start() {
        Ok(pending) => waits.push_back(Moving { pending, reply }),
        Err(error) => drop(reply.send(Err(error))),
    }
}

/// A sum under way: every rank gets one part of the values of all others, sums it in the order of the ranks, and sends the
/// result to all. Each rank sends 2 (n - 1) / n of its values, the least that any method needs.
struct Sum {
    len: usize,
    /// If values travel in two bytes: what rounding keeps back, of the parts and of the result.
    carry: Option<Carry>,
    stage: Stage,
    reply: Reply<Summed>,
}

enum Stage {
    /// This rank's part comes from all others.
    Parts(Moved),
    /// The part is summed, but an earlier sum has not sent its result yet: all ranks keep one order.
    Summed(Vec<f32>),
    /// The summed parts go to all.
    Results(Moved),
}

/// Values under way, in four bytes or in two.
enum Moved {
    Whole(Pending<f32>),
    Rounded(Pending<u16>),
}

impl Moved {
    fn poll(&mut self, mpi: &Mpi) -> Option<Result<(), CommError>> {
        match self {
            Self::Whole(pending) => pending.poll(mpi),
            Self::Rounded(pending) => pending.poll(mpi),
        }
    }

    fn take(&mut self) -> Vec<f32> {
        match self {
            Self::Whole(pending) => pending.take(),
            Self::Rounded(pending) => bf16::widen_all(&pending.take()),
        }
    }
}

impl Sum {
    fn begin(
        mpi: &Mpi,
        mut values: Vec<f32>,
        mut carry: Option<Carry>,
        reply: &Reply<Summed>,
        shared: &Shared,
    ) -> Result<Self, CommError> {
        let len = values.len();
        let part = len.div_ceil(mpi.size());
        let parts = match &mut carry {
            None => {
                values.resize(part * mpi.size(), 0.0);
                Moved::Whole(mpi.all_to_all(values)?)
            }
            Some(carry) => {
                let mut rounded = bf16::round_all(&values, &mut carry.sent);
                rounded.resize(part * mpi.size(), 0);
                Moved::Rounded(mpi.all_to_all(rounded)?)
            }
        };
        let sum = Self { len, carry, stage: Stage::Parts(parts), reply: reply.clone() };
        sum.count(part, mpi, shared);
        Ok(sum)
    }

    /// Sends this rank's part of the sum to all.
    fn send(&mut self, part: Vec<f32>, mpi: &Mpi, shared: &Shared) -> Result<(), CommError> {
        self.count(part.len(), mpi, shared);
        self.stage = Stage::Results(match &mut self.carry {
            None => Moved::Whole(mpi.all_gather(Channel::Second, part)?),
            Some(carry) => {
                let rounded = bf16::round_all(&part, &mut carry.summed);
                Moved::Rounded(mpi.all_gather(Channel::Second, rounded)?)
            }
        });
        Ok(())
    }

    /// Counts that every other rank is sent so many values.
    fn count(&self, values: usize, mpi: &Mpi, shared: &Shared) {
        let width = if self.carry.is_some() { size_of::<u16>() } else { size_of::<f32>() };
        shared.sent.fetch_add((values * width * (mpi.size() - 1)) as u64, Ordering::Relaxed);
    }
}

/// Moves every sum on as far as it can go, in order.
fn advance_sums(mpi: &Mpi, sums: &mut VecDeque<Sum>, idle: &mut u32, shared: &Shared) {
    let mut earlier_sent = true;
    let mut failed = None;
    for (i, sum) in sums.iter_mut().enumerate() {
        match advance(mpi, sum, earlier_sent, shared) {
            Ok(moved) if moved => *idle = 0,
            Ok(_) => {}
            Err(error) => {
                failed = Some((i, error));
                break;
            }
        }
        earlier_sent &= matches!(sum.stage, Stage::Results(_));
    }
    if let Some((i, error)) = failed
        && let Some(sum) = sums.remove(i)
    {
        let _ = sum.reply.send(Err(error));
    }
    while let Some(Sum { stage: Stage::Results(moved), len, carry, .. }) = sums.front_mut() {
        let Some(done) = moved.poll(mpi) else { break };
        let done = done.map(|()| {
            let mut values = moved.take();
            values.truncate(*len);
            Summed { values, carry: carry.take() }
        });
        if let Some(sum) = sums.pop_front() {
            let _ = sum.reply.send(done);
        }
        *idle = 0;
    }
}

fn advance(mpi: &Mpi, sum: &mut Sum, earlier_sent: bool, shared: &Shared) -> Result<bool, CommError> {
    let mut moved = false;
    if let Stage::Parts(parts) = &mut sum.stage
        && let Some(done) = parts.poll(mpi)
    {
        done?;
        sum.stage = Stage::Summed(in_rank_order(&parts.take(), mpi.size()));
        moved = true;
    }
    if earlier_sent && let Stage::Summed(part) = &mut sum.stage {
        let part = std::mem::take(part);
        sum.send(part, mpi, shared)?;
        moved = true;
    }
    Ok(moved)
}

/// The sum of `ranks` equal parts, the first plus the second plus the third and so on.
fn in_rank_order(parts: &[f32], ranks: usize) -> Vec<f32> {
    let len = parts.len() / ranks.max(1);
    let mut sum = parts[..len].to_vec();
    for part in parts.chunks_exact(len.max(1)).skip(1) {
        sum.iter_mut().zip(part).for_each(|(s, v)| *s += v);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_summed_in_the_order_of_the_ranks() {
        // (1 + 1e8) - 1e8 is 0 in f32; any other order gives 1.
        let parts = [1.0, 5.0, 1e8, 6.0, -1e8, 7.0];
        assert_eq!(in_rank_order(&parts, 3), [0.0, 18.0]);
        assert_eq!(in_rank_order(&[], 4), [0.0; 0]);
        assert_eq!(in_rank_order(&[2.0, 3.0], 1), [2.0, 3.0]);
    }
}
