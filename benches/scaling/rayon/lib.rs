//! Stands in for rayon to find out how work divides: runs every task on the calling thread and takes its processor time.
//!
//! `benches/scaling.py` builds cnnctl with it. When the outermost `install` ends, a line for each parallel loop goes to the file
//! that `SCALING_LOG` names: what was run, nanoseconds of serial work before it, and nanoseconds of each of its tasks. A loop inside a
//! task adds its tasks to those of the outer loop. It knows as much of rayon as cnnctl uses.
#![allow(missing_docs, reason = "rayon documents it")]

use std::{any::type_name, cell::RefCell, fmt, fs::File, io::Write as _};

/// The loops of this thread so far.
struct Trace {
    depth: usize,
    mark: u64,
    serial: u64,
    tasks: Vec<u64>,
    lines: Vec<String>,
}

thread_local! {
    static TRACE: RefCell<Trace> =
        const { RefCell::new(Trace { depth: 0, mark: 0, serial: 0, tasks: Vec::new(), lines: Vec::new() }) };
}

/// Nanoseconds that this thread has run.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is there to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl Trace {
    /// Adds a task of `spent` nanoseconds; what takes less than a microsecond, most often to cut the loop, goes with the task before,
    /// if that is short, too.
    fn add(&mut self, spent: u64) {
        match self.tasks.last_mut() {
            Some(last) if spent < 1000 && *last < 20_000 => *last += spent,
            _ => self.tasks.push(spent),
        }
    }
}

/// A loop begins; what an outer task has done so far counts as a task.
fn enter() {
    TRACE.with_borrow_mut(|t| {
        let spent = now() - t.mark;
        if t.depth == 0 {
            t.serial = spent
        } else {
            t.add(spent)
        }
        t.depth += 1;
        t.mark = now();
    });
}

/// A task is done.
fn done() {
    TRACE.with_borrow_mut(|t| {
        t.add(now() - t.mark);
        t.mark = now();
    });
}

/// A loop ends.
fn leave(name: &str) {
    TRACE.with_borrow_mut(|t| {
        t.depth -= 1;
        if t.depth == 0 {
            let tasks: Vec<String> = t.tasks.drain(..).map(|task| task.to_string()).collect();
            t.lines.push(format!("{name}\t{}\t{}", t.serial, tasks.join(" ")));
            t.mark = now();
        }
    });
}

pub fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB,
{
    enter();
    let a = a();
    done();
    let b = b();
    done();
    leave(type_name::<A>());
    (a, b)
}

pub struct BroadcastContext;

pub fn broadcast<R>(f: impl Fn(BroadcastContext) -> R) -> Vec<R> {
    vec![f(BroadcastContext)]
}

/// Those that are simulated.
pub fn current_num_threads() -> usize {
    std::env::var("SCALING_THREADS").ok().and_then(|threads| threads.parse().ok()).unwrap_or(1)
}

/// None: no other thread waits awake for loops.
pub fn current_thread_index() -> Option<usize> {
    None
}

/// What [`yield_now`] did.
#[derive(PartialEq, Eq)]
pub enum Yield {
    Executed,
    Idle,
}

/// There is never another task.
pub fn yield_now() -> Option<Yield> {
    Some(Yield::Idle)
}

#[derive(Debug)]
pub struct ThreadPoolBuildError;

impl fmt::Display for ThreadPoolBuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("never")
    }
}

impl std::error::Error for ThreadPoolBuildError {}

#[derive(Default)]
pub struct ThreadPoolBuilder;

impl ThreadPoolBuilder {
    pub fn new() -> Self {
        Self
    }

    pub fn num_threads(self, _: usize) -> Self {
        self
    }

    pub fn build(self) -> Result<ThreadPool, ThreadPoolBuildError> {
        Ok(ThreadPool)
    }
}

pub struct ThreadPool;

impl ThreadPool {
    /// Runs `f` and writes the log.
    pub fn install<R>(&self, f: impl FnOnce() -> R) -> R {
        TRACE.with_borrow_mut(|t| t.mark = now());
        let result = f();
        if let Some(path) = std::env::var_os("SCALING_LOG") {
            let lines = TRACE.with_borrow_mut(|t| std::mem::take(&mut t.lines));
            let written =
                File::create(path).and_then(|mut file| file.write_all((lines.join("\n") + "\n").as_bytes()));
            written.expect("the log can be written");
        }
        result
    }
}
