//! Matrix multiplication: C = alpha * A B + beta * C, C row-major, A and B with any strides.
//!
//! Blocks of A and B are packed so that the micro-kernel of `simd` reads memory in order; README.md explains the
//! blocking. k is summed in blocks of `DEPTH`, in order, whatever the cut of C: so the bits of C do not depend on
//! the number of threads, nor on which entry is called.

use super::simd::{self, Isa, MatMut};
use super::{parallel, scratch};

mod blocks;
mod cut;
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
/// Rows of a packed block of A: it stays in the second-level cache.
const BLOCK_ROWS: usize = 256;
/// Values of a packed block of B, which stays in the second-level cache, too.
const BLOCK: usize = 1 << 18;
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
    if slender::serves(isa, product) {
        return slender::run(isa, product, slender::task_cols(isa, product), c);
    }
    if streamed::serves(product) {
        return streamed::run_parallel(isa, product, c);
    }
    let task = task_size(product);
    if task.0 < product.m && task.1 < product.n {
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

/// Columns of a packed block of B, more where it has fewer rows: then C is written in longer pieces.
fn block_cols(k: usize) -> usize {
    (BLOCK / k.clamp(1, DEPTH)).min(BLOCK_COLS)
}

/// The block of C that one task computes. It depends on the shape alone.
fn task_size(product: &Gemm<'_>) -> (usize, usize) {
    /// Fewer columns would read B in pieces too short to be fetched ahead.
    const LEAST_COLS: usize = 256;
    let (mut rows, mut cols) = (BLOCK_ROWS, block_cols(product.k));
    loop {
        let tasks = product.m.div_ceil(rows) * product.n.div_ceil(cols);
        let work = rows.min(product.m) * cols.min(product.n) * product.k;
        if tasks >= TASKS || work <= WORK || (rows <= 64 && cols <= LEAST_COLS) {
            return (rows, cols);
        }
        if cols > LEAST_COLS.max(2 * rows.min(product.m)) || rows <= 64 { cols /= 2 } else { rows /= 2 }
    }
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
    let (m, n) = (c.rows(), c.cols());
    if m == 0 || n == 0 {
        return;
    }
    let a_len = m.min(BLOCK_ROWS) * DEPTH.min(product.k);
    let wide = block_cols(product.k);
    let b_len = n.min(wide).next_multiple_of(isa.lanes()) * DEPTH.min(product.k);
    scratch::lend(a_len + b_len, |scratch| {
        let (a, b) = scratch.split_at_mut(a_len);
        // One round even at k = 0, which scales C by beta.
        for depth in (0..product.k.max(1)).step_by(DEPTH) {
            let k = DEPTH.min(product.k - depth);
            let beta = if depth == 0 { product.beta } else { 1.0 };
            for j in (0..n).step_by(wide) {
                let cols = j..(j + wide).min(n);
                pack::columns(isa, &product.b, depth..depth + k, col + cols.start..col + cols.end, b);
                for i in (0..m).step_by(BLOCK_ROWS) {
                    let rows = i..(i + BLOCK_ROWS).min(m);
                    pack::rows(isa, &product.a, row + rows.start..row + rows.end, depth..depth + k, a);
                    tiles(isa, &Packed { k, a, b }, (product.alpha, beta), c.block(rows, cols.clone()));
                }
            }
        }
    });
}

/// A packed block of A and one of B.
struct Packed<'a> {
    k: usize,
    a: &'a [f32],
    b: &'a [f32],
}

/// Multiplies packed blocks.
fn tiles(isa: Isa, packed: &Packed<'_>, (alpha, beta): (f32, f32), mut c: MatMut<'_>) {
    let Packed { k, a, b } = *packed;
    let (m, n) = (c.rows(), c.cols());
    for rows in pack::panels(m, isa.tile_rows()) {
        // Along the rows of C, which then stream through the cache.
        for j in (0..n).step_by(isa.tile_cols()) {
            let cols = j..(j + isa.tile_cols()).min(n);
            let width = cols.len().next_multiple_of(isa.lanes());
            let tile = simd::Tile {
                k,
                a: &a[rows.start * k..rows.end * k],
                a_stride: rows.len(),
                b: &b[j * k..(j + width) * k],
                b_stride: width,
                alpha,
                beta,
                bias: None,
                relu: false,
            };
            simd::multiply(isa, &tile, c.block(rows.clone(), cols));
        }
    }
}

#[cfg(test)]
mod tests;
