//! Products of a few rows with a large matrix whose columns lie contiguous: a small batch times the weights of a fully
//! connected layer.
//!
//! Packing that matrix would cost as much as multiplying it. Instead its values are read where they lie, once, each
//! broadcast to all rows of A, which are packed side by side: C is computed as its transpose.

use super::{DEPTH, Gemm, TASKS, WORK, pack, panels, scratch};
use crate::kernels::parallel;
use crate::kernels::simd::{self, Isa, MatMut, Outer, Run};

/// The most rows and columns of a tile on any instruction set.
const MAX_ROWS: usize = 14;
const MAX_COLS: usize = 32;

/// Whether a product is computed so.
pub fn serves(isa: Isa, product: &Gemm<'_>) -> bool {
    let Gemm { m, n, k, b, .. } = *product;
    // Beside what packing costs, which is as much as ten rows.
    let padding_pays = m <= isa.lanes() || m + 10 >= m.next_multiple_of(isa.lanes());
    let reach = b.col_stride.saturating_mul(isa.tile_rows()).saturating_add(k);
    b.row_stride == 1
        && m <= isa.tile_cols()
        && padding_pays
        && n >= isa.tile_rows()
        && k >= isa.lanes()
        && reach <= u32::MAX as usize
}

/// Columns of C that one task computes. It depends on the shape alone.
pub fn task_cols(isa: Isa, product: &Gemm<'_>) -> usize {
    let work = WORK.div_ceil((product.m * product.k).max(1));
    product.n.div_ceil(TASKS).max(work).next_multiple_of(isa.tile_rows())
}

/// Multiplies, `cols` columns of C in a task.
pub fn run(isa: Isa, product: &Gemm<'_>, cols: usize, c: MatMut<'_>) {
    let Gemm { m, n, k, a, .. } = *product;
    let width = m.next_multiple_of(isa.lanes());
    scratch::lend(k * width, |packed| {
        // Where one task does everything it packs alone, too.
        let chunk = if cols < n { DEPTH * width } else { k * width };
        parallel::for_chunks_mut(packed, chunk, |start, packed| {
            let depth = start / width..(start + packed.len()) / width;
            pack::columns(isa, &a.transposed(), depth, 0..m, packed);
        });
        let packed = &*packed;
        parallel::for_column_blocks(c, cols, &|first, c| block(isa, product, packed, first, c));
    });
}

/// Computes the columns of C from `first` on.
fn block(isa: Isa, product: &Gemm<'_>, packed: &[f32], first: usize, mut c: MatMut<'_>) {
    let Gemm { m, k, b, alpha, beta, .. } = *product;
    let width = m.next_multiple_of(isa.lanes());
    for cols in panels(c.cols(), isa.tile_rows()) {
        let data = &b.data[(first + cols.start) * b.col_stride..];
        let offsets: [u32; MAX_ROWS] = std::array::from_fn(|i| (i * b.col_stride) as u32);
        let mut sums = [0.0; MAX_ROWS * MAX_COLS];
        for depth in (0..k).step_by(DEPTH) {
            let len = DEPTH.min(k - depth);
            let factors = Outer {
                data,
                offsets: &offsets[..cols.len()],
                runs: &[Run { from: depth, len }],
                b: &packed[depth * width..][..len * width],
                add: depth > 0,
                longest: None,
                next: &[],
            };
            simd::outer(isa, &factors, MatMut::new(&mut sums, cols.len(), m, MAX_COLS));
        }
        for i in 0..m {
            let row = &mut c.row(i)[cols.clone()];
            for (c, sums) in row.iter_mut().zip(sums.chunks_exact(MAX_COLS)) {
                // At 0 C may hold anything.
                let old = if beta == 0.0 { 0.0 } else { beta * *c };
                *c = alpha * sums[i] + old;
            }
        }
    }
}
