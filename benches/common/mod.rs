//! What the benches share: the machine's multiply-add peak and copy bandwidth, and the best of many short runs.
#![allow(dead_code, reason = "each bench uses a part")]

use std::time::{Duration, Instant};

use cnnctl::{
    kernels::{
        elementwise,
        simd::{Isa, Job, Simd},
    },
    tensor::Buffer,
};

/// Many independent chains of multiply-adds, nothing else.
struct Chains {
    rounds: usize,
}

impl Job for Chains {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        // Two pipes times a latency of four or five, within the sixteen registers of AVX2.
        const CHAINS: usize = 12;
        let start = Instant::now();
        let (x, y) = (simd.splat(std::hint::black_box(0.999)), simd.splat(std::hint::black_box(0.001)));
        let mut sums = [simd.splat(0.5); CHAINS];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = simd.fma(*sum, x, y);
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        std::hint::black_box(sums);
        (2 * CHAINS * S::LANES * self.rounds) as f64 / seconds
    }
}

/// Floating-point operations per second that the threads of the current pool can do at best, right after `f` has kept them
/// busy for 5 ms: a processor that multiplies what it loads lowers its clock for some milliseconds, which registers alone
/// do not make it do.
pub fn peak_after(mut f: impl FnMut()) -> f64 {
    let round = || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(5) {
            f();
        }
        rayon::broadcast(|_| Isa::best().run(Chains { rounds: 200_000 })).iter().sum()
    };
    std::iter::repeat_with(round).take(5).fold(0.0, f64::max)
}

/// The best time of one call: called until `for_time` is spent, at least three times.
pub fn best(for_time: Duration, mut f: impl FnMut()) -> f64 {
    f();
    let start = Instant::now();
    let (mut best, mut calls) = (f64::INFINITY, 0);
    while calls < 3 || start.elapsed() < for_time {
        let call = Instant::now();
        f();
        best = best.min(call.elapsed().as_secs_f64());
        calls += 1;
    }
    best
}

/// The best processor time of one call on this thread, in batches of about a millisecond: other processes on the
/// machine count less than they do on the wall clock.
pub fn best_alone(for_time: Duration, mut f: impl FnMut()) -> f64 {
    let once = best(Duration::ZERO, &mut f);
    let calls = (1e-3 / once).ceil().max(1.0) as usize;
    let start = Instant::now();
    let (mut best, mut batches) = (f64::INFINITY, 0);
    while batches < 3 || start.elapsed() < for_time {
        let (wall, cpu) = (Instant::now(), thread_time());
        (0..calls).for_each(|_| f());
        let wall = wall.elapsed().as_secs_f64();
        let spent = cpu.and_then(|cpu| Some(thread_time()? - cpu)).unwrap_or(wall);
        best = best.min(spent / calls as f64);
        batches += 1;
    }
    best
}

/// Seconds this thread has run, where the system says so.
fn thread_time() -> Option<f64> {
    // The kernel brings its count up to date when the thread yields.
    std::thread::yield_now();
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(line.split(' ').next()?.parse::<f64>().ok()? * 1e-9)
}

/// Values in [-1, 1) without a short period, in memory as blobs have it.
pub fn values(len: usize, seed: u32) -> Buffer {
    filled(len, |i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed * 97) >> 8) as f32 / 8_388_608.0 - 1.0)
}

/// The values `f(i)`, in memory as blobs have it.
pub fn filled(len: usize, f: impl Fn(u32) -> f32) -> Buffer {
    let mut values = Buffer::zeroed(len);
    values.iter_mut().zip(0..).for_each(|(value, i)| *value = f(i));
    values
}

/// Whether the command line asks for `name`: no words ask for all, any word is a part of a name.
pub fn wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|a| !a.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|w| name.contains(&w))
}

/// A pool of `threads` threads.
pub fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started")
}

/// Prints the header of [`memory_row`].
pub fn memory_header(what: &str) {
    println!("{what}: best times, and the share of the time a copy of as many bytes takes");
    println!(
        "{:28} {:>9} {:>9} {:>7} {:>5} {:>9} {:>7} {:>5}",
        "", "MB moved", "us", "GB/s", "1T", "us 2T", "GB/s", "2T"
    );
}

/// Times `f`, which must read and write `values` values, beside copies of as many: on one thread by its processor time, on
/// two by the clock.
pub fn memory_row(name: &str, values: usize, mut f: impl FnMut() + Send) {
    if !wanted(name) {
        return;
    }
    let time = Duration::from_millis(100);
    let (from, mut to) = (filled(values / 2, |_| 1.0), Buffer::zeroed(values / 2));
    let mut copies = [f64::INFINITY; 2];
    let mut times = [f64::INFINITY; 2];
    // In turns, so that both see the same weather on the machine.
    for _ in 0..3 {
        let (one, two) = (pool(1), pool(2));
        copies[0] = copies[0].min(one.install(|| best_alone(time, || elementwise::copy(&from, &mut to))));
        times[0] = times[0].min(one.install(|| best_alone(time, &mut f)));
        copies[1] = copies[1].min(two.install(|| best(time, || elementwise::copy(&from, &mut to))));
        times[1] = times[1].min(two.install(|| best(time, &mut f)));
    }
    let bytes = (4 * values) as f64;
    let [(one, one_share), (two, two_share)] = [0, 1].map(|i| (times[i], copies[i] / times[i]));
    println!(
        "{name:28} {:9.2} {:9.1} {:7.1} {one_share:5.2} {:9.1} {:7.1} {two_share:5.2}",
        bytes / 1e6,
        one * 1e6,
        bytes / one / 1e9,
        two * 1e6,
        bytes / two / 1e9,
    );
}
