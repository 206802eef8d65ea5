//! Loops over runs of values that share their settings. Lengths are checked once a run, and what is done with registers
//! is a type, so that no loop depends on what the compiler makes of it: a plane of 7 x 7 is four registers, and all
//! around them counts.

use std::ops::Range;

use super::{LINE, NUMBERS, Simd, begins_line};

/// A number made of one value of each of `B` blobs and the `P` settings of its channel.
pub trait Terms<const P: usize, const B: usize>: Copy + Send + Sync {
    /// The numbers for a register of values. Must be `#[inline(always)]`.
    fn of<S: Simd>(self, simd: S, settings: [S::V; P], values: [S::V; B]) -> S::V;
}

/// `N` sums of numbers made so.
pub trait Sums<const P: usize, const B: usize, const N: usize>: Copy + Send + Sync {
    /// The sums with the numbers of a register of values. Must be `#[inline(always)]`.
    fn add<S: Simd>(self, simd: S, settings: [S::V; P], values: [S::V; B], sums: [S::V; N]) -> [S::V; N];
}

/// Values of a run that is written past the caches: planes so large are of blobs that are no longer near when they are read.
const FAR: usize = 2048;
/// The most sums of a term that go their own ways.
const WAYS: usize = 4;
/// Rows that are worked on side by side where columns have settings of their own, and columns whose settings and sums are near.
const ROWS: usize = 4;
const NEAR: usize = 512;
/// How far along its row what will be written is asked for then: what is in the same columns of many rows may be too much for one set
/// of the first-level cache.
const AHEAD: usize = 64;

/// Lane by lane, the sums over runs. Meanwhile what will be written, if that is known, is asked for, as far as the runs go, and
/// what is read at the distance `next`, if there is one, is to wait in the second-level cache.
///
/// # Panics
/// When runs differ in length.
#[inline(always)]
pub fn sum_terms<S: Simd, const P: usize, const B: usize, const N: usize>(
    simd: S,
    settings: [S::V; P],
    runs: [&[f32]; B],
    (soon, next): (Option<*const f32>, Option<usize>),
    terms: impl Sums<P, B, N>,
) -> [S::V; N] {
    let len = length(runs);
    let (whole, rest) = (len - len % S::LANES, len % S::LANES);
    // As many as hide how long an addition takes: several terms do so by themselves.
    let ways = WAYS.div_ceil(N * N);
    let mut sums = [[simd.splat(0.0); N]; WAYS];
    let mut at = 0;
    while at + ways * S::LANES <= whole {
        for sums in &mut sums[..ways] {
            ask(simd, runs, (soon, next), at);
            // SAFETY: whole registers end within the runs.
            let values = unsafe { load(simd, runs, at) };
            *sums = terms.add(simd, settings, values, *sums);
            at += S::LANES;
        }
    }
    let [mut total, others @ ..] = sums;
    if whole >= ways * S::LANES {
        for others in &others[..ways - 1] {
            for i in 0..N {
                total[i] = simd.add(total[i], others[i]);
            }
        }
    }
    while at < whole {
        ask(simd, runs, (soon, next), at);
        // SAFETY: as above.
        let values = unsafe { load(simd, runs, at) };
        total = terms.add(simd, settings, values, total);
        at += S::LANES;
    }
    if rest > 0 {
        ask(simd, runs, (soon, next), at);
        // SAFETY: `rest` values follow.
        let values = unsafe { load_first(simd, runs, at, rest) };
        let (end, numbers) = (simd.splat(rest as f32), simd.read(&NUMBERS));
        let with = terms.add(simd, settings, values, total);
        for (total, with) in total.iter_mut().zip(with) {
            *total = simd.where_greater(end, numbers, with, *total);
        }
    }
    total
}

/// `out` becomes the terms of runs as long as itself. What is written `ahead` values on is asked for, if it is not written past
/// the caches, and what is read at the
/// distance `next`, if there is one, is to wait in the second-level cache.
///
/// # Panics
/// When a run is not as long as `out`.
#[inline(always)]
pub fn store_terms<S: Simd, const P: usize, const B: usize>(
    simd: S,
    settings: [S::V; P],
    runs: [&[f32]; B],
    out: &mut [f32],
    (ahead, next): (usize, Option<usize>),
    terms: impl Terms<P, B>,
) {
    let len = length(runs);
    assert!(out.len() == len, "a value for each of a run");
    let (whole, rest) = (len - len % S::LANES, len % S::LANES);
    let far = goes_past(len) && begins_line(out.as_ptr());
    let soon = (!far).then(|| out.as_ptr().wrapping_add(ahead));
    let mut at = 0;
    while at < len {
        ask(simd, runs, (soon, next), at);
        // SAFETY: whole registers end within the runs and `out`, which begins a line if it is far; behind them are `rest` more
        // values.
        unsafe {
            if at < whole {
                let v = terms.of(simd, settings, load(simd, runs, at));
                let to = out.as_mut_ptr().add(at);
                if far { simd.stream(to, v) } else { simd.store(to, v) }
            } else {
                let v = terms.of(simd, settings, load_first(simd, runs, at, rest));
                simd.store_first(out.as_mut_ptr().add(at), rest, v);
            }
        }
        at += S::LANES;
    }
    if far {
        simd.fence();
    }
}

/// `out` becomes the terms of rows of `width` values, whose columns have settings of their own.
///
/// # Panics
/// When rows are cut short, or are not as many as those of `out`.
#[inline(always)]
pub fn store_columns<S: Simd, const P: usize, const B: usize>(
    simd: S,
    width: usize,
    settings: [&[f32]; P],
    rows: [&[f32]; B],
    out: &mut [f32],
    terms: impl Terms<P, B>,
) {
    let len = check_rows(width, settings, rows);
    assert!(out.len() == len, "a value for each of the rows");
    for (columns, first) in pieces(width, len) {
        let (end, whole) = (len.min(first + ROWS * width), columns.end - columns.len() % S::LANES);
        // SAFETY: from `column` on rows of blobs and `out`, which end at `end`, have so many values, and so have settings.
        unsafe {
            for column in (columns.start..whole).step_by(S::LANES) {
                let group = Group { column, lanes: S::LANES, at: first + column, end, width };
                group.store(simd, settings, rows, out, terms);
            }
            if whole < columns.end {
                let group =
                    Group { column: whole, lanes: columns.end - whole, at: first + whole, end, width };
                group.store(simd, settings, rows, out, terms);
            }
        }
    }
}

/// `sums`, `N` rows, become the sums over the columns of rows of `width` values, whose columns have settings of their own.
///
/// # Panics
/// When rows are cut short.
#[inline(always)]
pub fn sum_columns<S: Simd, const P: usize, const B: usize, const N: usize>(
    simd: S,
    width: usize,
    settings: [&[f32]; P],
    rows: [&[f32]; B],
    sums: &mut [f32],
    terms: impl Sums<P, B, N>,
) {
    let len = check_rows(width, settings, rows);
    assert!(sums.len() == N * width, "sums for each column");
    sums.fill(0.0);
    for (columns, first) in pieces(width, len) {
        let (end, whole) = (len.min(first + ROWS * width), columns.end - columns.len() % S::LANES);
        // SAFETY: from `column` on rows of blobs, which end at `end`, and of sums have so many values, and so have settings.
        unsafe {
            for column in (columns.start..whole).step_by(S::LANES) {
                let group = Group { column, lanes: S::LANES, at: first + column, end, width };
                group.sum(simd, settings, rows, sums, terms);
            }
            if whole < columns.end {
                let group =
                    Group { column: whole, lanes: columns.end - whole, at: first + whole, end, width };
                group.sum(simd, settings, rows, sums, terms);
            }
        }
    }
}

/// A register of columns of some rows.
struct Group {
    column: usize,
    /// How many columns it has: a constant where it is full, so that nothing is masked.
    lanes: usize,
    /// Where the first row has them, and where the last ends.
    at: usize,
    end: usize,
    width: usize,
}

impl Group {
    /// `out` becomes the terms of rows.
    ///
    /// # Safety
    /// All have so many values there.
    #[inline(always)]
    unsafe fn store<S: Simd, const P: usize, const B: usize>(
        self,
        simd: S,
        settings: [&[f32]; P],
        rows: [&[f32]; B],
        out: &mut [f32],
        terms: impl Terms<P, B>,
    ) {
        let Self { column, lanes, mut at, end, width } = self;
        // Not beyond the end: to ask for what is not there takes longer than to wait.
        let soon = out.as_ptr().wrapping_add(AHEAD.min(out.len() - 1 - (end - width + column)));
        // SAFETY: the caller's promise.
        unsafe {
            let settings = load_first(simd, settings, column, lanes);
            while at < end {
                simd.prefetch_to_write(soon.wrapping_add(at));
                let (v, to) =
                    (terms.of(simd, settings, load_first(simd, rows, at, lanes)), out.as_mut_ptr().add(at));
                if lanes == S::LANES {
                    simd.store(to, v)
                } else {
                    simd.store_first(to, lanes, v)
                }
                at += width;
            }
        }
    }

    /// Adds the terms of rows to the rows of `sums`.
    ///
    /// # Safety
    /// All have so many values there.
    #[inline(always)]
    unsafe fn sum<S: Simd, const P: usize, const B: usize, const N: usize>(
        self,
        simd: S,
        settings: [&[f32]; P],
        rows: [&[f32]; B],
        sums: &mut [f32],
        terms: impl Sums<P, B, N>,
    ) {
        let Self { column, lanes, mut at, end, width } = self;
        // SAFETY: the caller's promise.
        unsafe {
            let settings = load_first(simd, settings, column, lanes);
            let mut now = [simd.splat(0.0); N];
            for (k, now) in now.iter_mut().enumerate() {
                [*now] = load_first(simd, [&*sums], k * width + column, lanes);
            }
            while at < end {
                now = terms.add(simd, settings, load_first(simd, rows, at, lanes), now);
                at += width;
            }
            for (k, now) in now.into_iter().enumerate() {
                let to = sums.as_mut_ptr().add(k * width + column);
                if lanes == S::LANES { simd.store(to, now) } else { simd.store_first(to, lanes, now) }
            }
        }
    }
}

/// Cuts rows of `width` values, `len` in all, so that what belongs to columns stays near: columns, and where some rows begin.
#[inline(always)]
fn pieces(width: usize, len: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
    (0..width).step_by(NEAR).flat_map(move |near| {
        (0..len).step_by(ROWS * width).map(move |first| (near..width.min(near + NEAR), first))
    })
}

/// How long all blobs are, which must be rows of `width` values.
#[inline(always)]
fn check_rows<const P: usize, const B: usize>(
    width: usize,
    settings: [&[f32]; P],
    rows: [&[f32]; B],
) -> usize {
    let len = length(rows);
    assert!(len == 0 || len.is_multiple_of(width), "whole rows");
    assert!(settings.iter().all(|of_all| of_all.len() == width), "settings for each column");
    len
}

/// Whether runs of `len` values are written past the caches, where they begin with a line: those that are lines do.
pub fn goes_past(len: usize) -> bool {
    len >= FAR && len.is_multiple_of(LINE)
}

/// How long all runs are.
#[inline(always)]
fn length<const B: usize>(runs: [&[f32]; B]) -> usize {
    let len = runs.first().map_or(0, |run| run.len());
    assert!(runs.iter().all(|run| run.len() == len), "runs of one length");
    len
}

/// Asks for lines where one begins: to write at `soon`, and to read at the distance `next`, before long.
#[inline(always)]
fn ask<S: Simd, const B: usize>(
    simd: S,
    runs: [&[f32]; B],
    (soon, next): (Option<*const f32>, Option<usize>),
    at: usize,
) {
    if !at.is_multiple_of(LINE) {
        return;
    }
    if let Some(soon) = soon {
        simd.prefetch_to_write(soon.wrapping_add(at));
    }
    if let Some(next) = next {
        runs.iter().for_each(|run| simd.prefetch_to_second(run.as_ptr().wrapping_add(at + next)));
    }
}

/// A register of each run.
///
/// # Safety
/// Runs have `LANES` values from `at` on.
#[inline(always)]
unsafe fn load<S: Simd, const B: usize>(simd: S, runs: [&[f32]; B], at: usize) -> [S::V; B] {
    let mut values = [simd.splat(0.0); B];
    for b in 0..B {
        // SAFETY: the caller's promise.
        values[b] = unsafe { simd.load(runs[b].as_ptr().add(at)) };
    }
    values
}

/// The first `n` lanes of a register of each run; the others are 0.
///
/// # Safety
/// Runs have `n` values from `at` on.
#[inline(always)]
unsafe fn load_first<S: Simd, const B: usize>(simd: S, runs: [&[f32]; B], at: usize, n: usize) -> [S::V; B] {
    let mut values = [simd.splat(0.0); B];
    for b in 0..B {
        // SAFETY: the caller's promise.
        values[b] = unsafe {
            let p = runs[b].as_ptr().add(at);
            if n == S::LANES { simd.load(p) } else { simd.load_first(p, n) }
        };
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Isa, Job};
    use crate::tensor::Buffer;

    /// s * a + b, and sums of multiples of it.
    #[derive(Clone, Copy)]
    struct Multiples;

    impl Terms<1, 2> for Multiples {
        #[inline(always)]
        fn of<S: Simd>(self, simd: S, [s]: [S::V; 1], [a, b]: [S::V; 2]) -> S::V {
            simd.add(simd.mul(s, a), b)
        }
    }

    impl<const N: usize> Sums<1, 2, N> for Multiples {
        #[inline(always)]
        fn add<S: Simd>(
            self,
            simd: S,
            settings: [S::V; 1],
            values: [S::V; 2],
            mut sums: [S::V; N],
        ) -> [S::V; N] {
            let v = Terms::of(self, simd, settings, values);
            for (i, sum) in sums.iter_mut().enumerate() {
                (0..=i).for_each(|_| *sum = simd.add(*sum, v));
            }
            sums
        }
    }

    /// Sums of whole numbers, which are exact in any order.
    struct Sum<'a, const N: usize>([&'a [f32]; 2]);

    impl<const N: usize> Job for Sum<'_, N> {
        type Output = [f32; N];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [f32; N] {
            let sums: [S::V; N] = sum_terms(simd, [simd.splat(3.0)], self.0, (None, Some(7)), Multiples);
            let mut totals = [0.0; N];
            for (total, sum) in totals.iter_mut().zip(sums) {
                let mut lanes = [0.0; 16];
                simd.write_first(&mut lanes, sum);
                *total = lanes.iter().sum();
            }
            totals
        }
    }

    struct Store<'a>([&'a [f32]; 2], &'a mut [f32]);

    impl Job for Store<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            store_terms(simd, [simd.splat(3.0)], self.0, self.1, (128, Some(7)), Multiples);
        }
    }

    /// By columns, whose settings are the numbers from 0 on: values and sums.
    struct Columns<'a>(usize, [&'a [f32]; 2], &'a mut [f32], &'a mut [f32]);

    impl Job for Columns<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Columns(width, rows, out, sums) = self;
            let settings: Vec<f32> = (0..width).map(|i| i as f32).collect();
            store_columns(simd, width, [&settings], rows, out, Multiples);
            sum_columns::<S, 1, 2, 2>(simd, width, [&settings], rows, sums, Multiples);
        }
    }

    #[test]
    fn columns_have_settings_of_their_own() {
        for isa in Isa::all() {
            for (count, width) in [(0, 0), (1, 0), (0, 3), (3, 1), (1, 7), (9, 16), (13, 49), (4, 64)] {
                let len = count * width;
                let a: Vec<f32> = (0..len).map(|i| (i % 7) as f32).collect();
                let b: Vec<f32> = (0..len).map(|i| 5.0 - (i % 11) as f32).collect();
                let (mut out, mut sums) = (vec![f32::NAN; len], vec![f32::NAN; 2 * width]);
                isa.run(Columns(width, [&a, &b], &mut out, &mut sums));
                assert!((0..len).all(|i| out[i] == (i % width) as f32 * a[i] + b[i]));
                for column in 0..width {
                    let sum: f32 = out.iter().skip(column).step_by(width).sum();
                    assert_eq!([sums[column], sums[width + column]], [sum, 2.0 * sum]);
                }
            }
        }
    }

    #[test]
    fn runs_of_any_length_are_summed_and_stored() {
        for isa in Isa::all() {
            for len in [0, 1, 3, 7, 15, 16, 17, 49, 64, 129, 200, 2048, 3136, 3137] {
                let a: Vec<f32> = (0..len).map(|i| (i % 7) as f32).collect();
                let b: Vec<f32> = (0..len).map(|i| 5.0 - (i % 11) as f32).collect();
                let want: Vec<f32> = a.iter().zip(&b).map(|(a, b)| 3.0 * a + b).collect();
                // Aligned, so that long runs are written past the caches.
                let (sum, mut out) = (want.iter().sum::<f32>(), Buffer::of(&vec![f32::NAN; len]));
                assert_eq!(isa.run(Sum([&a, &b])), [sum]);
                assert_eq!(isa.run(Sum([&a, &b])), [sum, 2.0 * sum]);
                assert_eq!(isa.run(Sum([&a, &b])), [sum, 2.0 * sum, 3.0 * sum, 4.0 * sum]);
                isa.run(Store([&a, &b], &mut out));
                assert_eq!(out[..], want);
            }
        }
    }
}
