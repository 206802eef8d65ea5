//! Work cut into chunks whose size depends on the shape alone, never on the number of threads.
//!
//! Every parallel loop of the crate goes through here: a chunk writes only its own part of the output, and
//! partial sums are merged in the order of their chunks. So 1 and 64 threads give the same bits.

use rayon::prelude::*;

use std::ops::Range;

use super::{
    gemm::scratch,
    simd::{ImagesMut, MatMut},
};

/// Elements per chunk of a loop that is bound by memory: 64 KiB of `f32`, large against the cost of a task
/// (a few microseconds), small enough that 64 threads find work in a blob of 1 Mi elements.
pub const CHUNK: usize = 16 * 1024;

/// Planes of `values` each in about a chunk: full registers of small ones.
pub fn planes_per_chunk(values: usize) -> usize {
    match CHUNK / values.max(1) {
        n @ 16.. => n / 16 * 16,
        n => n.max(1),
    }
}

/// Calls `f(start, chunk)` for consecutive chunks of `out`, `chunk` elements long but for the last.
pub fn for_chunks_mut<T: Send>(out: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let chunk = chunk.max(1);
    if out.len() <= chunk {
        if !out.is_empty() {
            f(0, out);
        }
        return;
    }
    out.par_chunks_mut(chunk).enumerate().for_each(|(i, part)| f(i * chunk, part));
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
    if a.len() <= chunk {
        if !a.is_empty() {
            f(0, a, b);
        }
        return;
    }
    a.par_chunks_mut(chunk)
        .zip(b.par_chunks_mut(chunk))
        .enumerate()
        .for_each(|(i, (a, b))| f(i * chunk, a, b));
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
    if a.is_empty() {
        return;
    }
    let (part_a, part_b) = (part_a.max(1), part_b.max(1));
    assert_eq!(a.len().div_ceil(part_a), b.len().div_ceil(part_b), "as many parts of one as of the other");
    if a.len() <= part_a {
        return f(0, a, b);
    }
    a.par_chunks_mut(part_a).zip(b.par_chunks_mut(part_b)).enumerate().for_each(|(i, (a, b))| f(i, a, b));
}

/// Calls `f(index, part)` for the consecutive parts number `range` of `out`, of which each starts at `first(index)` of it, or of
/// what it is a part of.
pub fn for_parts<T: Send>(
    out: &mut [T],
    range: Range<usize>,
    first: &(impl Fn(usize) -> usize + Sync),
    f: &(impl Fn(usize, &mut [T]) + Sync),
) {
    if range.len() <= 1 {
        return range.for_each(|index| f(index, out));
    }
    let middle = range.start.midpoint(range.end);
    let (low, high) = out.split_at_mut(first(middle) - first(range.start));
    rayon::join(
        || for_parts(low, range.start..middle, first, f),
        || for_parts(high, middle..range.end, first, f),
    );
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
    fn halve<T: Send>(
        first: usize,
        matrix: Option<MatMut<'_>>,
        own: &mut [T],
        (width, group): (usize, usize),
        f: &(impl Fn(usize, Option<MatMut<'_>>, &mut [T]) + Sync),
    ) {
        if own.len() <= group {
            if !own.is_empty() {
                f(first, matrix, own);
            }
            return;
        }
        let half = own.len().div_ceil(group) / 2 * group;
        let (low, high) = own.split_at_mut(half);
        let (left, right) = matrix.map(|m| m.split_cols(half * width)).unzip();
        rayon::join(
            || halve(first, left, low, (width, group), f),
            || halve(first + half, right, high, (width, group), f),
        );
    }
    assert!(matrix.as_ref().is_none_or(|m| m.cols() == width * own.len()), "columns for each channel");
    halve(0, matrix, own, (width, group.max(1)), f);
}

/// Calls `f(first column, block)` for consecutive blocks of `width` columns but for the last.
pub fn for_column_blocks(matrix: MatMut<'_>, width: usize, f: &(impl Fn(usize, MatMut<'_>) + Sync)) {
    fn halve(first: usize, matrix: MatMut<'_>, width: usize, f: &(impl Fn(usize, MatMut<'_>) + Sync)) {
        if matrix.cols() <= width {
            return f(first, matrix);
        }
        let half = matrix.cols().div_ceil(width) / 2 * width;
        let (left, right) = matrix.split_cols(half);
        rayon::join(|| halve(first, left, width, f), || halve(first + half, right, width, f));
    }
    if matrix.cols() > 0 {
        halve(0, matrix, width.max(1), f);
    }
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

/// Calls `f(index, block)` for the consecutive blocks of rows number `range`, of which each starts at `first(index)` of its
/// matrix and `rows` are all.
pub fn for_row_blocks(
    mut rows: ImagesMut<'_>,
    range: Range<usize>,
    first: &(impl Fn(usize) -> usize + Sync),
    f: &(impl Fn(usize, ImagesMut<'_>) + Sync),
) {
    if range.len() <= 1 {
        return range.for_each(|index| f(index, rows.again()));
    }
    let middle = range.start.midpoint(range.end);
    let (top, rest) = rows.split_rows(first(middle) - first(range.start));
    rayon::join(
        || for_row_blocks(top, range.start..middle, first, f),
        || for_row_blocks(rest, middle..range.end, first, f),
    );
}

#[cfg(test)]
mod tests {
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
        for_row_blocks(images, 0..3, &|i| starts[i], &|i, mut block| {
            assert_eq!(block.rows(), starts[i + 1] - starts[i]);
            for row in 0..block.rows() {
                (0..2).for_each(|image| block.row(image, row).fill((i + 1) as f32));
            }
        });
        let rows = [1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0];
        assert!(data.iter().enumerate().all(|(at, &v)| v == rows[at / 3 % 7]));
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
