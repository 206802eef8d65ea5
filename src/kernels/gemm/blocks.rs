//! A product block by block: each is used while it is in the cache, and C as a whole never exists.

use std::ops::Range;

use super::{Cut, Gemm, block, checked_factors, split, streamed};
use crate::kernels::scratch;
use crate::kernels::simd::{Isa, MatMut};

/// The most rows of a block, and its values: it stays in the second-level cache, and its rows are long, so that what stands
/// beside them streams from memory.
const ROWS: usize = 64;
const AREA: usize = 1 << 17;

/// Multiplies (`beta` is not used), block by block, and calls `f` with each block, its rows one after another, what stands
/// beside it and further blocks of these columns, and which rows of that the block's are. Blocks that share such a piece
/// come in order. Same bits as [`super::gemm`].
///
/// # Panics
/// When a factor is shorter than its matrix, or what stands beside has not the shape of C.
pub fn gemm_blocks<C: Cut>(
    product: &Gemm<'_>,
    beside: C,
    f: impl Fn(&mut [f32], &mut C, Range<usize>) + Sync,
) {
    checked_factors(product);
    assert_eq!(beside.shape(), (product.m, product.n), "what stands beside C");
    let (isa, product) = (Isa::best(), Gemm { beta: 0.0, ..*product });
    let rows = product.m.clamp(1, ROWS);
    let (group, cols) = streamed::task(product.m, product.n);
    split((group, cols.min(AREA / rows)), 0, 0, beside, &|row, col, mut beside: C| {
        let (all, cols) = beside.shape();
        scratch::lend(rows.min(all) * cols, |c| {
            for first in (0..all).step_by(rows) {
                let len = rows.min(all - first);
                let c = &mut c[..len * cols];
                block(isa, &product, row + first, col, MatMut::new(c, len, cols, cols));
                f(c, &mut beside, first..first + len);
            }
        });
    });
}
