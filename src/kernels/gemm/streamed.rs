//! Products of a few rows with a large matrix whose rows lie contiguous: the gradient of a small batch times the
//! weights of a fully connected layer.
//!
//! Packing that matrix would cost more than multiplying it. Instead only A is packed; the matrix is read once, where it
//! lies, some rows side by side from end to end, and C, which stays in the second-level cache, is added to: a group of
//! rows after another has sums of its own.

use std::ops::Range;

use super::{Cut, Gemm, Matrix, pack, panels, split};
use crate::kernels::parallel::{self, CHUNK};
use crate::kernels::scratch;
use crate::kernels::simd::{self, Isa, Mat, MatMut, Streams};

/// Rows of B that are read side by side: as many as the processor foresees.
const ROWS: usize = 16;
/// Columns of them that stay in the first-level cache for all rows of C.
const COLS: usize = 256;
/// Values that each row is asked for ahead.
const AHEAD: usize = 64;
/// The most rows of C: with more of them packing pays.
const MOST: usize = 64;

/// Whether a product is computed so.
pub fn serves(product: &Gemm<'_>) -> bool {
    let Gemm { m, n, k, b, alpha, beta, .. } = *product;
    b.col_stride == 1 && alpha == 1.0 && beta == 0.0 && streams(m, n, k)
}

/// Whether a product (`m x k` by `k x n`) of matrices with contiguous rows is computed so, neither scaled nor added to what
/// C holds.
pub fn streams(m: usize, n: usize, k: usize) -> bool {
    (1..=MOST).contains(&m) && n >= COLS && k >= 4 * ROWS
}

/// The block of B (`k x n`) that is one task: rows, which are summed in order, while the sums of such groups are then added in
/// order; and columns, on which no sum depends: each thread shall find some. Tasks keep to rows, as those of the forward pass
/// and the update do: what a processor's own cache has of the weights stays there.
pub fn task(k: usize, n: usize) -> (usize, usize) {
    /// Weights that no cache holds: the fewer sums, the better.
    const LARGE: usize = 1 << 21;
    /// The most columns.
    const WIDE: usize = 2048;
    let rows = if k * n < LARGE { 128 } else { 512 };
    let pieces = rayon::current_num_threads().div_ceil(k.div_ceil(rows).max(1)).min(n / COLS);
    if pieces <= n.div_ceil(WIDE) { (rows, WIDE) } else { (rows, n.div_ceil(pieces).next_multiple_of(16)) }
}

/// Multiplies on all threads of the current pool.
pub fn run_parallel(isa: Isa, product: &Gemm<'_>, c: MatMut<'_>) {
    let b = Mat::new(product.b.data, product.k, product.n, product.b.row_stride);
    with_sums(isa, product.a, product.k, c, |left, sums| {
        split(task(product.k, product.n), 0, 0, sums, &|row, col, mut sums: Sums<'_>| {
            let (rows, cols) = sums.shape();
            left.add(0..rows, b.block(row..row + rows, col..col + cols), &mut sums);
        });
    });
}

/// [`run_parallel`] on the calling thread.
pub fn run(isa: Isa, product: &Gemm<'_>, c: MatMut<'_>) {
    let b = Mat::new(product.b.data, product.k, product.n, product.b.row_stride);
    with_sums(isa, product.a, product.k, c, |left, mut rest| {
        let (group, _) = task(product.k, product.n);
        for row in (0..product.k).step_by(group) {
            let rows = group.min(product.k - row);
            let (mut sums, others) = rest.split_rows(rows);
            left.add(0..rows, b.block(row..row + rows, 0..product.n), &mut sums);
            rest = others;
        }
    });
}

/// Calls `f` with A, packed, and the sums of all groups of B's `k` rows, of which C becomes the sum. All of them must be
/// added.
pub fn with_sums(isa: Isa, a: Matrix<'_>, k: usize, mut c: MatMut<'_>, f: impl FnOnce(&Left<'_>, Sums<'_>)) {
    let (m, n) = (c.rows(), c.cols());
    let (group, _) = task(k, n);
    let groups = k.div_ceil(group);
    scratch::lend(m * k, |packed| {
        let lines = (CHUNK / (ROWS * m)).max(1) * ROWS * m;
        parallel::for_chunks_mut(packed, lines, |start, packed| {
            for (first, packed) in (start / m..).step_by(ROWS).zip(packed.chunks_mut(ROWS * m)) {
                pack::rows(isa, &a, 0..m, first..first + packed.len() / m, packed);
            }
        });
        let left = Left { isa, packed };
        if groups == 1 {
            return f(&left, Sums { group, first: 0, rows: k, sums: c.block(0..m, 0..n) });
        }
        scratch::lend(groups * m * n, |sums| {
            f(&left, Sums { group, first: 0, rows: k, sums: MatMut::new(sums, groups * m, n, n) });
            parallel::for_column_blocks(c, COLS, &|first, mut c| {
                let width = c.cols();
                for i in 0..m {
                    let row = c.row(i);
                    row.copy_from_slice(&sums[i * n + first..][..width]);
                    for group in 1..groups {
                        let more = &sums[(group * m + i) * n + first..][..width];
                        row.iter_mut().zip(more).for_each(|(c, sum)| *c += sum);
                    }
                }
            });
        });
    });
}

/// The left factor, packed.
pub struct Left<'a> {
    isa: Isa,
    /// For `ROWS` rows of B after another, for each panel of C's rows, for each row of B, one value a row of C.
    packed: &'a [f32],
}

impl Left<'_> {
    /// Adds to `sums`, which are of one group, the products of the next of its rows, which are `b`. The first `rows` overwrite
    /// what the sums hold; they must come in order.
    pub fn add(&self, rows: Range<usize>, b: Mat<'_>, sums: &mut Sums<'_>) {
        let Sums { first, ref mut sums, .. } = *sums;
        let (m, n) = (sums.rows(), sums.cols());
        for row in rows.clone().step_by(ROWS) {
            let len = ROWS.min(rows.end - row);
            let packed = &self.packed[(first + row) * m..][..len * m];
            let lines = row - rows.start..row - rows.start + len;
            for col in (0..n).step_by(COLS) {
                let cols = col..(col + COLS).min(n);
                for panel in panels(m, self.isa.tile_rows()) {
                    let factors = Streams {
                        a: &packed[panel.start * len..panel.end * len],
                        b: b.block(lines.clone(), cols.clone()),
                        add: row > 0,
                        ahead: if panel.start == 0 { AHEAD } else { 0 },
                    };
                    simd::streams(self.isa, &factors, sums.block(panel, cols.clone()));
                }
            }
        }
    }
}

/// The sums of groups of B's rows, a matrix like C for each, one above the other. They are cut as B is.
pub struct Sums<'a> {
    group: usize,
    first: usize,
    rows: usize,
    sums: MatMut<'a>,
}

impl Cut for Sums<'_> {
    fn shape(&self) -> (usize, usize) {
        (self.rows, self.sums.cols())
    }
    fn split_rows(self, at: usize) -> (Self, Self) {
        let Self { group, first, rows, sums } = self;
        assert!(at == rows || at.is_multiple_of(group), "groups stay whole");
        let m = sums.rows() / rows.div_ceil(group).max(1);
        let (top, rest) = sums.split_rows(at.div_ceil(group) * m);
        (
            Self { group, first, rows: at, sums: top },
            Self { group, first: first + at, rows: rows - at, sums: rest },
        )
    }
    fn split_cols(self, at: usize) -> (Self, Self) {
        let Self { group, first, rows, sums } = self;
        let (left, right) = sums.split_cols(at);
        (Self { group, first, rows, sums: left }, Self { group, first, rows, sums: right })
    }
}
