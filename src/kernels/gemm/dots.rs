//! Products of a few rows with a matrix whose columns lie contiguous, such as few images times fully connected weights:
//! a value of C is a sum along both, and the matrix is read once, from end to end.
//!
//! To broadcast the matrix's values to a register of rows would leave many of its lanes empty. Nothing is packed: the
//! sums of some rows and columns go together in registers, six and four of them where there are 32 (`simd/dots.rs`).

use super::{Gemm, slender};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Dots, Isa, MOST_LANES, MatMut, Run};

/// The most rows on any instruction set.
const ROWS: usize = MOST_LANES * 3 / 4;
/// Columns whose sums are turned round to C at a time.
const COLS: usize = 64;

/// Whether a product is computed so.
pub fn serves(isa: Isa, product: &Gemm<'_>) -> bool {
    let Gemm { m, k, a, b, .. } = *product;
    let reach = a.row_stride.saturating_mul(m).saturating_add(k);
    b.row_stride == 1
        && a.col_stride == 1
        && m <= isa.lanes() * 3 / 4
        && k >= isa.lanes()
        && reach <= u32::MAX as usize
}

/// Multiplies on the calling thread.
pub fn run(isa: Isa, product: &Gemm<'_>, c: MatMut<'_>) {
    block(isa, product, 0, c);
}

/// Multiplies, cutting columns into tasks.
pub fn run_parallel(isa: Isa, product: &Gemm<'_>, c: MatMut<'_>) {
    let cols = slender::task_cols(isa, product);
    parallel::for_column_blocks(c, cols, &|first, c| block(isa, product, first, c));
}

/// Computes the columns of C from `first` on.
fn block(isa: Isa, product: &Gemm<'_>, first: usize, mut c: MatMut<'_>) {
    let Gemm { m, k, a, b, alpha, beta, .. } = *product;
    let offsets: [u32; ROWS] = std::array::from_fn(|i| (i * a.row_stride) as u32);
    scratch::lend(COLS * m, |sums| {
        for start in (0..c.cols()).step_by(COLS) {
            let count = COLS.min(c.cols() - start);
            let sums = &mut sums[..count * m];
            sums.fill(0.0);
            let factors = Dots {
                data: a.data,
                offsets: &offsets[..m],
                runs: &[Run { from: 0, len: k }],
                top: &b.data[(first + start) * b.col_stride..],
                stride: b.col_stride,
                next: (&[], 0),
            };
            simd::dots(isa, &factors, MatMut::new(sums, count, m, m), None);
            for i in 0..m {
                let row = &mut c.row(i)[start..start + count];
                for (c, &sum) in row.iter_mut().zip(sums[i..].iter().step_by(m)) {
                    *c = alpha * sum + if beta == 0.0 { 0.0 } else { beta * *c };
                }
            }
        }
    });
}
