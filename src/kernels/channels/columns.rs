//! Channels of which each image has one value: all are one stretch, and images are rows, which are gone over from end
//! to end: 64 columns of each would be 256 bytes, far apart.
//!
//! Some rows, about a chunk of values, are summed in `f32`, and these sums are added in order. Results are made from
//! the last images on, which the sums have just read.

use std::array;

use super::{
    super::{
        elementwise::vectorized,
        parallel::{CHUNK, chunk_of, for_chunks_mut, for_chunks_mut_back},
        scratch,
        simd::{Isa, Job, Simd, store_columns, sum_columns},
    },
    Sums, Terms,
};

/// The most rows whose values are summed in `f32`, and the fewest: their sums are few beside them.
const MOST_ROWS: usize = 64;
const LEAST_ROWS: usize = 16;
/// Columns whose sums of all rows are taken together.
const TOGETHER: usize = 256;

/// out = terms(settings of the column, values of the blobs) in rows of `width`.
pub fn apply<const P: usize, const B: usize>(
    width: usize,
    settings: [&[f32]; P],
    blobs: [&[f32]; B],
    out: &mut [f32],
    terms: impl Terms<P, B>,
) {
    let rows = chunk_of(out.len()) / width.max(1);
    for_chunks_mut_back(out, rows.max(1) * width, |start, out| {
        let rows = blobs.map(|blob| &blob[start..][..out.len()]);
        Isa::best().run(Store { width, settings, rows, out, terms });
    });
}

struct Store<'a, T, const P: usize, const B: usize> {
    width: usize,
    settings: [&'a [f32]; P],
    rows: [&'a [f32]; B],
    out: &'a mut [f32],
    terms: T,
}

impl<T: Terms<P, B>, const P: usize, const B: usize> Job for Store<'_, T, P, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        store_columns(simd, self.width, self.settings, self.rows, self.out, self.terms);
    }
}

/// Calls `keep(own, sums)` with the sums of each column of rows that are as long as `own`. Some rows at a time are summed in `f32`.
pub fn sums<T: Send, const P: usize, const B: usize, const N: usize>(
    own: &mut [T],
    settings: [&[f32]; P],
    blobs: [&[f32]; B],
    terms: impl Sums<P, B, N>,
    keep: impl Fn(&mut T, [f64; N]) + Sync,
) {
    let (width, len) = (own.len(), blobs.first().map_or(0, |blob| blob.len()));
    if width == 0 {
        return;
    }
    let block = (CHUNK / width).clamp(LEAST_ROWS, MOST_ROWS) * width;
    let together = (chunk_of(len) / block).max(1);
    scratch::lend(len.div_ceil(block) * N * width, |parts| {
        for_chunks_mut(parts, together * N * width, |start, parts| {
            for (i, sums) in parts.chunks_exact_mut(N * width).enumerate() {
                let first = (start / (N * width) + i) * block;
                let rows = blobs.map(|blob| &blob[first..blob.len().min(first + block)]);
                Isa::best().run(Sum::<_, P, B, N> { width, settings, rows, sums, terms });
            }
        });
        for_chunks_mut(own, TOGETHER, |first, own| {
            let mut totals = [[0.0; TOGETHER]; N];
            for (i, part) in parts.chunks_exact(width).enumerate() {
                let totals = &mut totals[i % N][..own.len()];
                vectorized(|| {
                    totals.iter_mut().zip(&part[first..]).for_each(|(total, &v)| *total += f64::from(v))
                });
            }
            vectorized(|| {
                for (i, own) in own.iter_mut().enumerate() {
                    keep(own, array::from_fn(|k| totals[k][i]));
                }
            });
        });
    });
}

struct Sum<'a, T, const P: usize, const B: usize, const N: usize> {
    width: usize,
    settings: [&'a [f32]; P],
    rows: [&'a [f32]; B],
    sums: &'a mut [f32],
    terms: T,
}

impl<T: Sums<P, B, N>, const P: usize, const B: usize, const N: usize> Job for Sum<'_, T, P, B, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        sum_columns(simd, self.width, self.settings, self.rows, self.sums, self.terms);
    }
}
