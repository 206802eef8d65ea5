//! Matrix multiplication: C = alpha * A B + beta * C, C row-major, A and B with any strides.
//!
//! Blocks of A and B are packed so that the micro-kernel of `simd` reads memory in order; README.md has the blocks, and
//! the ways of other shapes. k is summed in blocks of `DEPTH`, in order, whatever the cut of C: so the bits of C do not
//! depend on the number of threads, nor on which entry is called, and [`gemm_parallel`] may give each thread one equal
//! block of C, as large and as square as can be.

use super::simd::{self, Isa, MatMut};
use super::{parallel, scratch};

mod blocks;
mod cut;
mod dots;
pub(super) mod pack;
mod slender;
mod streamed;

pub(super) use blocks::gemm_blocks;
pub(super) use cut::Cut;
use cut::split;
pub(super) use pack::panels;
pub use streamed::streams;
pub(super) use streamed::with_sums;

/// Rows of a block of k: a tile's sums then take long enough to outweigh that C is read and written once more for each block.
pub const DEPTH: usize = 512;
/// Values of a packed block of B: it stays in the second-level cache, beside what of A and C streams through.
const BLOCK: usize = 1 << 17;
/// The most columns of such a block.
const BLOCK_COLS: usize = 8192;

/// A matrix to read: element (i, j) is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// The values.
    pub data: &'a [f32],
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of contiguous values, `row_stride` apart.
    pub fn row_major(data: &'a [f32], row_stride: usize) -> Self {
        Self { data, row_stride, col_stride: 1 }
    }

    /// The same values with rows and columns swapped.
    pub fn transposed(self) -> Self {
        Self { data: self.data, row_stride: self.col_stride, col_stride: self.row_stride }
    }

    /// Whether `rows x cols` elements lie inside the data.
    fn holds(&self, rows: usize, cols: usize) -> bool {
        rows == 0
            || cols == 0
            || (rows - 1) * self.row_stride + (cols - 1) * self.col_stride < self.data.len()
    }
}

/// A product: C (`m x n`) = `alpha` * A (`m x k`) * B (`k x n`) + `beta` * C.
#[derive(Clone, Copy, Debug)]
pub struct Gemm<'a> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// The left factor.
    pub a: Matrix<'a>,
    /// The right factor.
    pub b: Matrix<'a>,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of what C holds; at 0 C is not read, so it may hold anything.
    pub beta: f32,
    /// Distance between rows of C.
    pub c_stride: usize,
}

impl<'a> Gemm<'a> {
    /// C = A B, with the rows of C one after another.
    pub fn new(m: usize, n: usize, k: usize, a: Matrix<'a>, b: Matrix<'a>) -> Self {
        Self { m, n, k, a, b, alpha: 1.0, beta: 0.0, c_stride: n }
    }
}

/// Multiplies on the calling thread.
///
/// # Panics
/// When a slice is shorter than its matrix, or rows of C overlap.
pub fn gemm(product: &Gemm<'_>, c: &mut [f32]) {
    let (isa, c) = (Isa::best(), checked(product, c));
    if dots::serves(isa, product) {
        return dots::run(isa, product, c);
    }
    if slender::serves(isa, product) {
        return slender::run(isa, product, product.n, c);
    }
    if streamed::serves(product) {
        return streamed::run(isa, product, c);
    }
    block(isa, product, 0, 0, c);
}

/// Multiplies, cutting C into blocks for all threads of the current pool. Same bits as [`gemm`].
///
/// # Panics
/// When a slice is shorter than its matrix, or rows of C overlap.
pub fn gemm_parallel(product: &Gemm<'_>, c: &mut [f32]) {
    let (isa, c) = (Isa::best(), checked(product, c));
    if dots::serves(isa, product) {
        return dots::run_parallel(isa, product, c);
    }
    if slender::serves(isa, product) {
        return slender::run(isa, product, slender::task_cols(isa, product), c);
    }
    if streamed::serves(product) {
        return streamed::run_parallel(isa, product, c);
    }
    let task = task_size(isa, product);
    if packs_again(product, task) {
        return shared(isa, product, task, c);
    }
    split(task, 0, 0, c, &|row, col, c: MatMut<'_>| block(isa, product, row, col, c));
}

fn checked<'c>(product: &Gemm<'_>, c: &'c mut [f32]) -> MatMut<'c> {
    checked_factors(product);
    MatMut::new(c, product.m, product.n, product.c_stride)
}

fn checked_factors(product: &Gemm<'_>) {
    let Gemm { m, n, k, a, b, .. } = *product;
    assert!(a.holds(m, k), "a is shorter than {m} x {k}");
    assert!(b.holds(k, n), "b is shorter than {k} x {n}");
}

/// Enough tasks for every thread of a large machine to find work.
const TASKS: usize = 64;
/// Multiply-adds that outweigh a task's start and the packing it repeats.
const WORK: usize = 1 << 21;
/// Rows or columns that cost as much as packing one.
const PACKING: usize = 10;
/// The most rows of A that are packed at a time.
const TALL: usize = 4096;

/// Columns of a packed block of B, more where it has fewer rows: then C is written in longer pieces.
fn block_cols(k: usize) -> usize {
    (BLOCK / k.clamp(1, DEPTH)).min(BLOCK_COLS)
}

/// The block of C that one task computes: whole tiles, one task a thread, cut so that it is done soonest, what it packs
/// counted.
fn task_size(isa: Isa, product: &Gemm<'_>) -> (usize, usize) {
    let Gemm { m, n, k, .. } = *product;
    let work = m.saturating_mul(n).saturating_mul(k);
    let tasks = (work / WORK).clamp(1, rayon::current_num_threads());
    let cut = |len: usize, pieces: usize, tile: usize| len.div_ceil(pieces).next_multiple_of(tile).max(1);
    let sizes = (1..=tasks).map(|down| {
        let (rows, cols) = (cut(m, down, isa.tile_rows()), cut(n, tasks.div_ceil(down), isa.tile_cols()));
        (rows.min(TALL), cols)
    });
    let rounds = |&(rows, cols): &(usize, usize)| (m.div_ceil(rows) * n.div_ceil(cols)).div_ceil(tasks);
    let cost = |size: &(usize, usize)| rounds(size) * (size.0 * size.1 + PACKING * (size.0 + size.1));
    sizes.min_by_key(cost).expect("there is a task")
}

/// Whether tasks of that size would pack so much more than once that packing before them pays.
fn packs_again(product: &Gemm<'_>, (rows, cols): (usize, usize)) -> bool {
    let Gemm { m, n, .. } = *product;
    // There may be neither rows nor columns.
    let again = || m * (n.div_ceil(cols) - 1) + n * (m.div_ceil(rows) - 1);
    m > rows && n > cols && PACKING * again() > m * n / 64
}

/// Packs each block of k of both factors once for all tasks: each of many would pack the same.
fn shared(isa: Isa, product: &Gemm<'_>, task: (usize, usize), mut c: MatMut<'_>) {
    let Gemm { m, n, k, ref a, ref b, alpha, beta, .. } = *product;
    let task = (task.0, task.1.next_multiple_of(isa.tile_cols()));
    let width = n.next_multiple_of(isa.lanes());
    scratch::lend((m + width) * DEPTH.min(k), |scratch| {
        for depth in (0..k.max(1)).step_by(DEPTH) {
            let len = DEPTH.min(k - depth);
            let (packed_a, packed_b) = scratch[..(m + width) * len].split_at_mut(m * len);
            parallel::for_chunks_mut(packed_a, task.0 * len, |start, packed| {
                let rows = start / len..(start + packed.len()) / len;
                pack::rows(isa, a, rows, depth..depth + len, packed);
            });
            parallel::for_chunks_mut(packed_b, task.1 * len, |start, packed| {
                let cols = start / len..((start + packed.len()) / len).min(n);
                pack::columns(isa, b, depth..depth + len, cols, packed);
            });
            let beta = if depth == 0 { beta } else { 1.0 };
            split(task, 0, 0, c.block(0..m, 0..n), &|row, col, c: MatMut<'_>| {
                let packed = Packed { k: len, a: &packed_a[row * len..], b: &packed_b[col * len..] };
                tiles(isa, &packed, (alpha, beta), c);
            });
        }
    });
}

/// Computes the block `c` of C whose first element is (`row`, `col`).
fn block(isa: Isa, product: &Gemm<'_>, row: usize, col: usize, mut c: MatMut<'_>) {
    let Gemm { k, ref a, ref b, alpha, beta, .. } = *product;
    let (m, n) = (c.rows(), c.cols());
    if m == 0 || n == 0 {
        return;
    }
    let wide = block_cols(k);
    let width = n.min(wide).next_multiple_of(isa.lanes());
    scratch::lend((m + width) * DEPTH.min(k), |scratch| {
        let (packed_a, packed_b) = scratch.split_at_mut(m * DEPTH.min(k));
        // One round even at k = 0, which scales C by beta.
        for depth in (0..k.max(1)).step_by(DEPTH) {
            let depth = depth..(depth + DEPTH).min(k);
            let beta = if depth.start == 0 { beta } else { 1.0 };
            pack::rows(isa, a, row..row + m, depth.clone(), packed_a);
            for j in (0..n).step_by(wide) {
                let cols = j..(j + wide).min(n);
                pack::columns(isa, b, depth.clone(), col + cols.start..col + cols.end, packed_b);
                let packed = Packed { k: depth.len(), a: packed_a, b: packed_b };
                tiles(isa, &packed, (alpha, beta), c.block(0..m, cols));
            }
        }
    });
}

/// A packed block of A and one of B.
pub(super) struct Packed<'a> {
    /// Columns of A, rows of B.
    pub k: usize,
    /// As [`pack::rows`] leaves it.
    pub a: &'a [f32],
    /// As [`pack::columns`] leaves it.
    pub b: &'a [f32],
}

/// Multiplies packed blocks: c = alpha * a b + beta * c.
pub(super) fn tiles(isa: Isa, packed: &Packed<'_>, (alpha, beta): (f32, f32), mut c: MatMut<'_>) {
    let Packed { k, a, b } = *packed;
    let (m, n) = (c.rows(), c.cols());
    for rows in pack::panels(m, isa.tile_rows()) {
        // Along the rows of C, which then stream through the cache.
        let tiles = simd::Tiles {
            k,
            a: &a[rows.start * k..rows.end * k],
            a_stride: rows.len(),
            a_row: 1,
            b: simd::Columns::Panels(b),
            alpha,
            beta,
            epilogue: simd::Epilogue::default(),
        };
        simd::multiply(isa, &tiles, c.block(rows, 0..n));
    }
}

#[cfg(test)]
mod tests;
