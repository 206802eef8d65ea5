//! Threads that read ahead: what they make is delivered in order, an error or a panic in its place.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use super::DataError;

/// Threads that make things one after the other ahead of their use. Dropping it ends and joins them.
pub struct Crew<T> {
    queue: Arc<Queue<T>>,
    threads: Vec<JoinHandle<()>>,
}

/// Things are numbered from 0; at most `depth` are in work or ready.
struct Queue<T> {
    depth: usize,
    state: Mutex<State<T>>,
    /// A thing became ready.
    ready: Condvar,
    /// A place became free, or the queue was closed.
    room: Condvar,
}

struct State<T> {
    /// The number of the thing at the front of `made`: so many have been delivered.
    delivered: u64,
    /// In work (`None`) or done, in order.
    made: VecDeque<Option<Result<T, DataError>>>,
    /// Those whose memory is to be used again.
    spare: Vec<T>,
    closed: bool,
}

impl<T: Send + 'static> Crew<T> {
    /// Starts threads that hold at most `depth` things ready; `make` makes one by its number, in the memory of one that was
    /// given back, if there is one.
    pub fn start<F>(depth: usize, make: F) -> Result<Self, DataError>
    where
        F: Fn(u64, Option<T>) -> Result<T, DataError> + Clone + Send + 'static,
    {
        let state = State { delivered: 0, made: VecDeque::new(), spare: Vec::new(), closed: false };
        let queue = Queue { depth, state: Mutex::new(state), ready: Condvar::new(), room: Condvar::new() };
        let queue = Arc::new(queue);
        let mut crew = Self { queue, threads: Vec::new() };
        let workers = thread::available_parallelism().map_or(1, usize::from).min(depth);
        for _ in 0..workers {
            let (make, queue) = (make.clone(), crew.queue.clone());
            let work = move || queue.work(make);
            match thread::Builder::new().name("data".into()).spawn(work) {
                Ok(thread) => crew.threads.push(thread),
                Err(_) if !crew.threads.is_empty() => break,
                Err(e) => {
                    return Err(DataError::Setting(format!("cannot start a thread to read ahead: {e}")));
                }
            }
        }
        Ok(crew)
    }

    /// The next one, waiting for it. It always comes: a worker that took a number delivers it, even when it fails.
    pub fn take(&self) -> Result<T, DataError> {
        let mut state = self.queue.lock();
        loop {
            if let Some(Some(_)) = state.made.front() {
                state.delivered += 1;
                self.queue.room.notify_one();
                if let Some(Some(made)) = state.made.pop_front() {
                    return made;
                }
            }
            state = self.queue.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes one back that is of no more use, for its memory.
    pub fn give_back(&self, used: T) {
        self.queue.lock().spare.push(used);
    }
}

impl<T> Drop for Crew<T> {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.room.notify_all();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of `make`; there is nothing to learn from the join.
            let _ = thread.join();
        }
    }
}

impl<T> Queue<T> {
    /// The state is whole after every statement, so a poisoned lock is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, make: impl Fn(u64, Option<T>) -> Result<T, DataError>) {
        while let Some((number, spare)) = self.claim() {
            let outcome = catch_unwind(AssertUnwindSafe(|| make(number, spare)))
                .unwrap_or_else(|panic| Err(DataError::Panicked(reason(&*panic))));
            let mut state = self.lock();
            let at = (number - state.delivered) as usize;
            if let Some(place) = state.made.get_mut(at) {
                *place = Some(outcome);
            }
            self.ready.notify_one();
        }
    }

    /// The number of the next one to make, and a spare one if there is any; `None` when the queue is closed.
    fn claim(&self) -> Option<(u64, Option<T>)> {
        let mut state = self.lock();
        while !state.closed {
            if state.made.len() < self.depth {
                let number = state.delivered + state.made.len() as u64;
                state.made.push_back(None);
                return Some((number, state.spare.pop()));
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

/// The text of a panic.
fn reason(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
        .to_owned()
}
