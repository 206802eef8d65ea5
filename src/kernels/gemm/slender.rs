//! Products of some rows with a matrix whose columns lie contiguous: a batch times the weights of a fully connected
//! layer.
//!
//! Packing that matrix would cost as much as multiplying it with a few rows. Instead its values are read where they
//! lie, once, from end to end, each broadcast to all rows of A, which are packed side by side: C is computed as its
//! transpose, a tile's rows of columns at a time. Where the rows of A are more than one tile the next columns are asked
//! for meanwhile.

use super::{DEPTH, Gemm, TASKS, WORK, pack, panels};
use crate::kernels::parallel;
use crate::kernels::scratch;
use crate::kernels::simd::{self, Epilogue, Isa, MOST_ROWS, MatMut, Outer, Run, Transposed};

/// The most rows of A, in tiles, and where columns are long enough to outweigh that C is written across its lines.
const TILES: usize = 2;
const MORE_TILES: usize = 4;
const LONG: usize = 512;

/// Panels of columns whose sums are stored at a time: C is then written in long pieces.
const GROUP: usize = 8;

/// Whether a product is computed so.
pub fn serves(isa: Isa, product: &Gemm<'_>) -> bool {
    let Gemm { m, n, k, b, .. } = *product;
    // Beside what packing costs, which is as much as ten rows.
    let padding_pays = m <= isa.lanes() || m + 10 >= m.next_multiple_of(isa.lanes());
    let tiles = if k < LONG { TILES } else { MORE_TILES };
    let reach = b.col_stride.saturating_mul(isa.tile_rows()).saturating_add(k);
    b.row_stride == 1
        && m <= tiles * isa.tile_cols()
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
        let chunk = DEPTH * width;
        let pack = |start: usize, packed: &mut [f32]| {
            let depth = start / width..(start + packed.len()) / width;
            pack::columns(isa, &a.transposed(), depth, 0..m, packed);
        };
        if cols < n {
            parallel::for_chunks_mut(packed, chunk, pack);
        } else {
            // One task does everything.
            packed.chunks_mut(chunk.max(1)).enumerate().for_each(|(i, packed)| pack(i * chunk, packed));
        }
        let packed = &*packed;
        parallel::for_column_blocks(c, cols, &|first, c| block(isa, product, packed, first, c));
    });
}

/// Computes the columns of C from `first` on.
fn block(isa: Isa, product: &Gemm<'_>, packed: &[f32], first: usize, mut c: MatMut<'_>) {
    let Gemm { m, k, b, alpha, beta, .. } = *product;
    let width = m.next_multiple_of(isa.lanes());
    if beta != 0.0 && beta != 1.0 {
        (0..m).for_each(|i| c.row(i).iter_mut().for_each(|c| *c *= beta));
    }
    let offsets: [u32; MOST_ROWS] = std::array::from_fn(|i| (i * b.col_stride) as u32);
    let group = GROUP * isa.tile_rows();
    scratch::lend(c.cols().min(group) * width, |sums| {
        for start in (0..c.cols()).step_by(group) {
            let group = start..c.cols().min(start + group);
            let sums = &mut sums[..group.len() * width];
            for cols in panels(group.len(), isa.tile_rows()) {
                let data = &b.data[(first + start + cols.start) * b.col_stride..];
                let sums = &mut sums[cols.start * width..cols.end * width];
                panel(isa, k, (data, b.col_stride), &offsets[..cols.len()], packed, sums);
            }
            if alpha != 1.0 {
                sums.iter_mut().for_each(|sum| *sum *= alpha);
            }
            let how = Transposed { stride: width, add: beta != 0.0, epilogue: Epilogue::default() };
            simd::transpose(isa, sums, how, c.block(0..m, group));
        }
    });
}

/// The sums of a panel of columns, whose values are `stride` apart in `data`: for each column a value a row.
fn panel(
    isa: Isa,
    k: usize,
    (data, stride): (&[f32], usize),
    offsets: &[u32],
    packed: &[f32],
    sums: &mut [f32],
) {
    let width = sums.len() / offsets.len();
    for depth in (0..k).step_by(DEPTH) {
        let len = DEPTH.min(k - depth);
        let packed = &packed[depth * width..][..len * width];
        // Columns come once for all tiles. The next are fewer than a register has lanes, so one a step will do.
        let next = offsets.len() * stride + depth * isa.lanes();
        let ahead = if width > isa.tile_cols() { data.get(next..).unwrap_or_default() } else { &[] };
        for at in (0..width).step_by(isa.tile_cols()) {
            let some = isa.tile_cols().min(width - at);
            let factors = Outer {
                data,
                offsets,
                runs: &[Run { from: depth, len }],
                b: &packed[at * len..][..some * len],
                add: depth > 0,
                longest: None,
                next: if at == 0 { ahead } else { &[] },
            };
            simd::outer(isa, &factors, MatMut::new(&mut sums[at..], offsets.len(), some, width));
        }
    }
}
