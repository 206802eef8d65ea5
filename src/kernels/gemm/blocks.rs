//! A product block by block: each is used while it is in the cache, and C as a whole never exists.

use super::{Gemm, block, checked_factors, scratch, split};
use crate::kernels::simd::{Isa, MatMut};

/// The most rows of a block, and its values.
const ROWS: usize = 128;
const AREA: usize = 1 << 18;

/// What is cut as C is: a matrix of its shape, or two such.
pub trait Cut: Send + Sized {
    /// Rows and columns.
    fn shape(&self) -> (usize, usize);
    /// The rows above `at`, and the rest.
    fn split_rows(self, at: usize) -> (Self, Self);
    /// The columns left of `at`, and the rest.
    fn split_cols(self, at: usize) -> (Self, Self);
}

impl Cut for MatMut<'_> {
    fn shape(&self) -> (usize, usize) {
        (self.rows(), self.cols())
    }
    fn split_rows(self, at: usize) -> (Self, Self) {
        MatMut::split_rows(self, at)
    }
    fn split_cols(self, at: usize) -> (Self, Self) {
        MatMut::split_cols(self, at)
    }
}

impl<A: Cut, B: Cut> Cut for (A, B) {
    fn shape(&self) -> (usize, usize) {
        assert_eq!(self.0.shape(), self.1.shape(), "matrices that are cut together");
        self.0.shape()
    }
    fn split_rows(self, at: usize) -> (Self, Self) {
        let ((a, c), (b, d)) = (self.0.split_rows(at), self.1.split_rows(at));
        ((a, b), (c, d))
    }
    fn split_cols(self, at: usize) -> (Self, Self) {
        let ((a, c), (b, d)) = (self.0.split_cols(at), self.1.split_cols(at));
        ((a, b), (c, d))
    }
}

/// Multiplies (`beta` is not used), block by block, and calls `f` with each block, its rows one after another, and what
/// stands `beside` it. Same bits as [`super::gemm`].
///
/// # Panics
/// When a factor is shorter than its matrix, or what stands beside has not the shape of C.
pub fn gemm_blocks<C: Cut>(product: &Gemm<'_>, beside: C, f: impl Fn(&mut [f32], C) + Sync) {
    checked_factors(product);
    assert_eq!(beside.shape(), (product.m, product.n), "what stands beside C");
    let (isa, product) = (Isa::best(), Gemm { beta: 0.0, ..*product });
    let task = block_size(&product);
    split(task, 0, 0, beside, &|row, col, beside: C| {
        let (rows, cols) = beside.shape();
        scratch::lend(rows * cols, |c| {
            block(isa, &product, row, col, MatMut::new(c, rows, cols, cols));
            f(c, beside);
        });
    });
}

/// The block of C that one task computes. It stays in the second-level cache, and its rows are long: what stands beside
/// them then streams from memory.
fn block_size(product: &Gemm<'_>) -> (usize, usize) {
    let rows = product.m.clamp(1, ROWS);
    (rows, AREA / rows)
}
