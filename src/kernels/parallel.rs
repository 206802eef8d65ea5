//! Work cut into chunks whose size depends on the shape alone, never on the number of threads.
//!
//! Every parallel loop of the crate goes through here: a chunk writes only its own part of the output, and partial sums
//! are merged in the order of their chunks. So 1 and 64 threads give the same bits.
//!
//! Loops are halved down to single chunks, so that what is left can be shared until the end. A thread that waits for
//! the other half takes other work for a while before rayon puts it to sleep ([`join`]). A loop of lenet takes 15 to
//! 400 microseconds; to wake a thread takes 5 to 30. So while a layer is at work or weights are updated one other
//! thread waits awake for the next loop ([`awake`]).

use std::{
    hint, mem,
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    time::{Duration, Instant},
};

use super::{
    scratch,
    simd::{ImagesMut, MatMut},
};

/// Elements per chunk of a loop that is bound by memory: 64 KiB of `f32`, large against the cost of a task
/// (a few microseconds), small enough that 64 threads find work in a blob of 1 Mi elements.
pub const CHUNK: usize = 16 * 1024;

/// How long a thread waits awake for the other half of a loop.
const PATIENCE: Duration = Duration::from_micros(50);
/// How long one waits awake for the next loop.
const LONG_PATIENCE: Duration = Duration::from_micros(200);

/// The chunk of a loop over `len` values: two chunks are one, as they are done before another thread is awake.
pub fn chunk_of(len: usize) -> usize {
    if len <= 2 * CHUNK { len } else { CHUNK }
}

/// Planes of `values` each in about a chunk: full registers of small ones.
pub fn planes_per_chunk(values: usize) -> usize {
    match CHUNK / values.max(1) {
        n @ 16.. => n / 16 * 16,
        n => n.max(1),
    }
}

/// Does both, `b` on another thread if one is idle.
pub fn join(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    const BEGUN: u8 = 1;
    const DONE: u8 = 2;
    let state = AtomicU8::new(0);
    rayon::join(
        || {
            a();
            // What no other thread has begun is this one's next work. Else it does what there is to do elsewhere, and would
            // sleep after some ten microseconds.
            if state.load(Ordering::Relaxed) == BEGUN {
                work_until(PATIENCE, || state.load(Ordering::Relaxed) == DONE);
            }
        },
        || {
            state.store(BEGUN, Ordering::Relaxed);
            b();
            state.store(DONE, Ordering::Relaxed);
        },
    );
}

/// Does `f`, some loops with little between them, while another thread, if one is idle, waits for them awake. It begins their
/// second halves at once, and wakes others for what those are cut into.
pub fn awake<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let Some(caller) = rayon::current_thread_index() else { return f() };
    let done = AtomicBool::new(false);
    let watch = || {
        if rayon::current_thread_index() != Some(caller) {
            work_until(LONG_PATIENCE, || done.load(Ordering::Relaxed));
        }
    };
    let whole = || {
        let result = f();
        done.store(true, Ordering::Relaxed);
        result
    };
    rayon::join(whole, watch).0
}

/// Does what there is to do for other threads until `is_done`, or until there has been nothing for as long as `patience`.
fn work_until(patience: Duration, is_done: impl Fn() -> bool) {
    let mut idle = Instant::now();
    while !is_done() && idle.elapsed() < patience {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            idle = Instant::now();
        } else {
            hint::spin_loop();
        }
    }
}

/// Calls `f(index, piece)` for pieces number `range` of what `cut(pieces, first, middle)` cuts in two. Both are
/// called through pointers, so that tasks are compiled once for each kind of pieces, and not for each loop.
fn halve<P: Send>(
    range: Range<usize>,
    pieces: P,
    cut: &(dyn Fn(P, usize, usize) -> (P, P) + Sync),
    f: &(dyn Fn(usize, P) + Sync),
) {
    match range.len() {
        0 => {}
        1 => f(range.start, pieces),
        _ => {
            let middle = range.start.midpoint(range.end);
            let (low, high) = cut(pieces, range.start, middle);
            join(|| halve(range.start..middle, low, cut, f), || halve(middle..range.end, high, cut, f));
        }
    }
}

/// Calls `f(start, chunk)` for consecutive chunks of `out`, `chunk` elements long but for the last.
pub fn for_chunks_mut<T: Send>(out: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let chunk = chunk.max(1);
    let count = out.len().div_ceil(chunk);
    for_parts(out, 0..count, &|i| i * chunk, &|i, part| f(i * chunk, part));
}

/// As [`for_chunks_mut`], but each thread's share from its last chunk to the first: what a pass over the chunks before has left
/// in the caches is met first.
pub fn for_chunks_mut_back<T: Send>(out: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let chunk = chunk.max(1);
    let share = out.len().div_ceil(chunk).div_ceil(rayon::current_num_threads()) * chunk;
    for_chunks_mut(out, share, |first, out| {
        // Number 0 is the last.
        let (len, count) = (out.len(), out.len().div_ceil(chunk));
        halve(
            0..count,
            out,
            &|out, low, middle| {
                let behind = len.min((count - low) * chunk) - (count - middle) * chunk;
                let at = out.len() - behind;
                let (before, behind) = <[T]>::split_at_mut(out, at);
                (behind, before)
            },
            &|i, part| f(first + (count - 1 - i) * chunk, part),
        );
    });
}

/// Calls `f(start, a, b)` for consecutive chunks of two outputs of equal length.
pub fn for_chunks_mut2<T: Send, U: Send>(
    a: &mut [T],
    b: &mut [U],
    chunk: usize,
    f: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    debug_assert_eq!(a.len(), b.len());
    let chunk = chunk.max(1);
    for_parts_mut(a, chunk, b, chunk, |i, a, b| f(i * chunk, a, b));
}

/// Calls `f(start, chunks)` for consecutive chunks of several outputs of equal length.
pub fn for_all_chunks_mut<T: Send, const N: usize>(
    outs: [&mut [T]; N],
    chunk: usize,
    f: impl Fn(usize, [&mut [T]; N]) + Sync,
) {
    let (len, chunk) = (outs.first().map_or(0, |out| out.len()), chunk.max(1));
    assert!(outs.iter().all(|out| out.len() == len), "outputs of equal length");
    halve(
        0..len.div_ceil(chunk),
        outs,
        &|outs, first, middle| {
            let mut cut = outs.map(|out| <[T]>::split_at_mut(out, (middle - first) * chunk));
            let high = cut.each_mut().map(|(_, high)| mem::take(high));
            (cut.map(|(low, _)| low), high)
        },
        &|i, outs| f(i * chunk, outs),
    );
}

/// Calls `f(i, a, b)` for the i-th parts of two outputs, each cut by its own length of a part; not at all where `a` is
/// empty.
pub fn for_parts_mut<T: Send, U: Send>(
    a: &mut [T],
    part_a: usize,
    b: &mut [U],
    part_b: usize,
    f: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    let (part_a, part_b) = (part_a.max(1), part_b.max(1));
    let count = a.len().div_ceil(part_a);
    assert!(count == 0 || count == b.len().div_ceil(part_b), "as many parts of one as of the other");
    halve(
        0..count,
        (a, b),
        &|(a, b), first, middle| {
            let parts = middle - first;
            let (low_a, high_a) = <[T]>::split_at_mut(a, parts * part_a);
            let (low_b, high_b) = <[U]>::split_at_mut(b, parts * part_b);
            ((low_a, low_b), (high_a, high_b))
        },
        &|i, (a, b)| f(i, a, b),
    );
}

/// Calls `f(index, part)` for the consecutive parts number `range` of `out`, of which each starts at `first(index)` of it, or of
/// what it is a part of.
pub fn for_parts<T: Send>(
    out: &mut [T],
    range: Range<usize>,
    first: &(impl Fn(usize) -> usize + Sync),
    f: &(impl Fn(usize, &mut [T]) + Sync),
) {
    halve(range, out, &|out, low, middle| <[T]>::split_at_mut(out, first(middle) - first(low)), f);
}

/// Calls `f(first, columns, own)` for consecutive groups of `group` channels: the channels' columns of a matrix, `width`
/// columns each, and the channels' own values.
pub fn for_columns_mut<T: Send>(
    matrix: Option<MatMut<'_>>,
    width: usize,
    own: &mut [T],
    group: usize,
    f: &(impl Fn(usize, Option<MatMut<'_>>, &mut [T]) + Sync),
) {
    assert!(matrix.as_ref().is_none_or(|m| m.cols() == width * own.len()), "columns for each channel");
    let group = group.max(1);
    let count = own.len().div_ceil(group);
    halve(
        0..count,
        (matrix, own),
        &|(matrix, own), first, middle| {
            let channels = (middle - first) * group;
            let (low, high) = <[T]>::split_at_mut(own, channels);
            let (left, right) = matrix.map(|m: MatMut<'_>| m.split_cols(channels * width)).unzip();
            ((left, low), (right, high))
        },
        &|i, (matrix, own)| f(i * group, matrix, own),
    );
}

/// Values that are cut between rows.
pub trait Rows: Send + Sized {
    /// How many there are.
    fn rows(&self) -> usize;

    /// The rows above `at`, and the rest.
    fn split_rows(self, at: usize) -> (Self, Self);
}

/// Values that are cut between columns.
pub trait Columns: Send + Sized {
    /// How many there are.
    fn cols(&self) -> usize;

    /// The columns left of `at`, and the rest.
    fn split_cols(self, at: usize) -> (Self, Self);
}

macro_rules! block {
    ($type:ident) => {
        impl Rows for $type<'_> {
            fn rows(&self) -> usize {
                $type::rows(self)
            }

            fn split_rows(self, at: usize) -> (Self, Self) {
                $type::split_rows(self, at)
            }
        }

        impl Columns for $type<'_> {
            fn cols(&self) -> usize {
                $type::cols(self)
            }

            fn split_cols(self, at: usize) -> (Self, Self) {
                $type::split_cols(self, at)
            }
        }
    };
}

block!(MatMut);
block!(ImagesMut);

/// Calls `f(first column, block)` for consecutive blocks of `width` columns but for the last.
pub fn for_column_blocks<B: Columns>(whole: B, width: usize, f: &(impl Fn(usize, B) + Sync)) {
    let width = width.max(1);
    let count = whole.cols().div_ceil(width);
    for_column_parts(whole, 0..count, &|i| i * width, &|i, block| f(i * width, block));
}

/// Calls `f(index, block)` for the consecutive blocks of columns number `range`, of which each starts at `first(index)` of its
/// matrix and `cols` are all.
pub fn for_column_parts<B: Columns>(
    cols: B,
    range: Range<usize>,
    first: &(impl Fn(usize) -> usize + Sync),
    f: &(impl Fn(usize, B) + Sync),
) {
    halve(range, cols, &|cols: B, low, middle| cols.split_cols(first(middle) - first(low)), f);
}

/// Calls `f(first row, block)` for consecutive blocks of `height` rows but for the last.
pub fn for_row_blocks<B: Rows>(whole: B, height: usize, f: &(impl Fn(usize, B) + Sync)) {
    let height = height.max(1);
    let count = whole.rows().div_ceil(height);
    for_row_parts(whole, 0..count, &|i| i * height, &|i, block| f(i * height, block));
}

/// Calls `f(index, block)` for the consecutive blocks of rows number `range`, of which each starts at `first(index)` of its
/// matrix and `rows` are all.
pub fn for_row_parts<B: Rows>(
    rows: B,
    range: Range<usize>,
    first: &(impl Fn(usize) -> usize + Sync),
    f: &(impl Fn(usize, B) + Sync),
) {
    halve(range, rows, &|rows: B, low, middle| rows.split_rows(first(middle) - first(low)), f);
}

/// The sum of `f(range)` over consecutive ranges of `0..len`, `chunk` long but for the last, added in order.
pub fn sum_chunks(len: usize, chunk: usize, f: impl Fn(std::ops::Range<usize>) -> f64 + Sync) -> f64 {
    let chunk = chunk.max(1);
    if len <= chunk {
        return if len == 0 { 0.0 } else { f(0..len) };
    }
    scratch::lend(2 * len.div_ceil(chunk), |parts| {
        let parts: &mut [f64] = bytemuck::cast_slice_mut(parts);
        for_chunks_mut(parts, 1, |i, part| part[0] = f(i * chunk..((i + 1) * chunk).min(len)));
        parts.iter().sum()
    })
}

#[cfg(test)]
mod tests {
    use std::{panic, sync::Mutex, thread};

    use super::*;

    #[test]
    fn chunks_cover_everything_once() {
        for len in [0, 1, 7, 8, 9, 1000] {
            let mut out = vec![0usize; len];
            for_chunks_mut(&mut out, 8, |start, part| {
                part.iter_mut().enumerate().for_each(|(i, v)| *v += start + i)
            });
            assert!(out.iter().enumerate().all(|(i, &v)| v == i));
            assert_eq!(sum_chunks(len, 8, |r| r.map(|i| i as f64).sum()), (0..len).sum::<usize>() as f64);
        }
    }

    #[test]
    fn chunks_from_the_last_cover_everything_once() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for len in [0, 1, 7, 8, 9, 1000] {
                let (mut out, order) = (vec![0usize; len], Mutex::new(Vec::new()));
                pool.install(|| {
                    for_chunks_mut_back(&mut out, 8, |start, part| {
                        order.lock().unwrap().push(start);
                        part.iter_mut().enumerate().for_each(|(i, v)| *v += start + i)
                    });
                });
                assert!(out.iter().enumerate().all(|(i, &v)| v == i));
                assert!(threads > 1 || order.into_inner().unwrap().is_sorted_by(|a, b| a > b));
            }
        }
    }

    #[test]
    fn short_loops_are_one_chunk() {
        assert_eq!([0, 1, 2 * CHUNK, 2 * CHUNK + 1].map(chunk_of), [0, 1, 2 * CHUNK, CHUNK]);
    }

    #[test]
    fn several_outputs_are_cut_alike() {
        for len in [0, 1, 7, 8, 9, 1000] {
            let (mut a, mut b, mut c) = (vec![0; len], vec![0; len], vec![0; len]);
            for_all_chunks_mut([&mut a, &mut b, &mut c], 8, |start, outs| {
                for (k, out) in outs.into_iter().enumerate() {
                    out.iter_mut().enumerate().for_each(|(i, v)| *v += 3 * (start + i) + k);
                }
            });
            for (k, out) in [a, b, c].iter().enumerate() {
                assert!(out.iter().enumerate().all(|(i, &v)| v == 3 * i + k));
            }
        }
    }

    #[test]
    fn both_are_done_however_long_one_takes() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let (mut a, mut b) = (0, 0);
        let long = 4 * PATIENCE;
        pool.install(|| join(|| a = 1, || (thread::sleep(long), b = 2).1));
        pool.install(|| join(|| (thread::sleep(long), a += 10).1, || b += 10));
        assert_eq!((a, b), (11, 12));
        let half_panics = || pool.install(|| join(|| (), || panic!("the second half")));
        assert!(panic::catch_unwind(panic::AssertUnwindSafe(half_panics)).is_err());
    }

    #[test]
    fn who_is_awake_does_its_share_and_ends() {
        let halves = || {
            let (mut a, mut b) = (None, None);
            join(|| a = rayon::current_thread_index(), || b = rayon::current_thread_index());
            (a, b)
        };
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            // However often, and however long nothing is to be done meanwhile.
            for _ in 0..100 {
                assert!(pool.install(|| awake(|| (halves(), halves()))).1.1.is_some());
            }
            pool.install(|| awake(|| thread::sleep(2 * LONG_PATIENCE)));
            let panics = || pool.install(|| awake(|| panic!("within")));
            assert!(panic::catch_unwind(panic::AssertUnwindSafe(panics)).is_err());
        }
        assert_eq!(awake(|| 1), 1);
    }

    #[test]
    fn parts_stay_together() {
        for parts in [0, 1, 2, 37] {
            let (mut a, mut b) = (vec![0; parts * 3], vec![0; parts * 2]);
            for_parts_mut(&mut a, 3, &mut b, 2, |i, a, b| {
                a.fill(i);
                b.fill(i);
            });
            assert!(a.iter().enumerate().all(|(i, &v)| v == i / 3));
            assert!(b.iter().enumerate().all(|(i, &v)| v == i / 2));
        }
    }

    #[test]
    fn parts_start_where_they_should() {
        let starts = [0, 3, 4, 7];
        let mut out = [0; 7];
        for_parts(&mut out, 0..3, &|i| starts[i], &|i, part| {
            assert_eq!(part.len(), starts[i + 1] - starts[i]);
            part.fill(i + 1);
        });
        assert_eq!(out, [1, 1, 1, 2, 3, 3, 3]);
        for_parts(&mut out, 0..0, &|_| 0, &|_, _| panic!("no part"));
    }

    #[test]
    fn columns_go_with_their_channels() {
        for channels in [0, 1, 2, 5, 16] {
            let mut data = vec![0.0; 3 * channels * 2];
            let mut own = vec![0; channels];
            let matrix = MatMut::new(&mut data, 3, channels * 2, channels * 2);
            for_columns_mut(Some(matrix), 2, &mut own, 2, &|first, matrix, own| {
                let mut matrix = matrix.unwrap();
                for (i, own) in own.iter_mut().enumerate() {
                    *own = first + i;
                    (0..3).for_each(|r| matrix.row(r)[i * 2..][..2].fill((first + i) as f32));
                }
            });
            assert!(own.iter().enumerate().all(|(i, &v)| v == i));
            assert!(data.iter().enumerate().all(|(i, &v)| v == (i / 2 % channels) as f32));
        }
    }

    #[test]
    fn rows_are_cut_where_they_should() {
        let mut data = [0; 2 * 7 * 3].map(|_| 0.0);
        let starts = [0, 3, 4, 7];
        let images = ImagesMut::new(&mut data, 2, 7, 3);
        for_row_parts(images, 0..3, &|i| starts[i], &|i, mut block| {
            assert_eq!(block.rows(), starts[i + 1] - starts[i]);
            for row in 0..block.rows() {
                (0..2).for_each(|image| block.row(image, row).fill((i + 1) as f32));
            }
        });
        let rows = [1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0];
        assert!(data.iter().enumerate().all(|(at, &v)| v == rows[at / 3 % 7]));
    }

    #[test]
    fn blocks_cover_rows_and_columns_once() {
        let mut data = [0.0; 5 * 7];
        for_row_blocks(MatMut::new(&mut data, 5, 7, 7), 2, &|row, block| {
            assert_eq!(block.rows(), 2.min(5 - row));
            for_column_blocks(block, 3, &|col, mut block| {
                for i in 0..block.rows() {
                    let start = ((row + i) * 7 + col) as f32;
                    block.row(i).iter_mut().enumerate().for_each(|(j, v)| *v += start + j as f32);
                }
            });
        });
        assert!(data.iter().enumerate().all(|(i, &v)| v == i as f32));
        for_row_blocks(MatMut::new(&mut data, 0, 7, 7), 2, &|_, _| panic!("no rows"));
    }

    #[test]
    fn sums_do_not_depend_on_the_threads() {
        let values: Vec<f32> = (0..100_000).map(|i| ((i * 7919) % 1000) as f32 * 1e-3).collect();
        let sum = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sum_chunks(values.len(), 1000, |r| values[r].iter().map(|&v| v as f64).sum()))
        };
        assert_eq!(sum(1).to_bits(), sum(3).to_bits());
    }
}
