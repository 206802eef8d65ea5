//! Softmax of rows so short that as many as there are lanes are one block. Values stay as they lie: the largest of all
//! rows, and then the sums, or products with the gradient, are found as one register, and each value, which knows the
//! number of its row, picks what is its row's.

use super::{
    super::simd::{Asked, Each, MOST_LANES, Renew, Simd, each, exp_below_0, fold_rows, renew},
    columns::Product,
};

/// Blocks that are worked on together, step by step: what was just written across lines is not read at once.
const TOGETHER: usize = 4;
/// The most classes.
pub const SHORT: usize = 32;
/// The most values of a block.
const BLOCK: usize = SHORT * MOST_LANES;

/// Softmax of the rows of `y`.
#[inline(always)]
pub fn shares<S: Simd>(simd: S, classes: usize, x: &[f32], y: &mut [f32]) {
    in_blocks(simd, classes, [x], y, Shares);
}

/// The gradient of the rows of `dx`.
#[inline(always)]
pub fn slopes<S: Simd>(simd: S, classes: usize, from: [&[f32]; 2], dx: &mut [f32]) {
    in_blocks(simd, classes, from, dx, Slopes);
}

/// Work on up to [`TOGETHER`] blocks.
trait Work<const N: usize> {
    /// Makes `out` of `from`, which is as long; `rows` are the numbers of the rows of the values of a block, as bits.
    fn make<S: Simd>(simd: S, classes: usize, rows: &[f32], from: [&[f32]; N], out: &mut [f32]);
}

/// Makes all blocks.
#[inline(always)]
fn in_blocks<S: Simd, W: Work<N>, const N: usize>(
    simd: S,
    classes: usize,
    from: [&[f32]; N],
    out: &mut [f32],
    _: W,
) {
    let (block, mut rows) = (classes * S::LANES, [0.0; BLOCK]);
    for (i, row) in rows[..block].chunks_exact_mut(classes).enumerate() {
        row.fill(f32::from_bits(i as u32));
    }
    let (rows, wide) = (&rows[..block], TOGETHER * block);
    for (i, out) in out.chunks_mut(wide).enumerate() {
        let from = from.map(|from| &from[i * wide..][..out.len()]);
        let whole = out.len().next_multiple_of(block);
        if whole == out.len() {
            W::make(simd, classes, rows, from, out);
        } else {
            // Rows of zeros are as good as any.
            let (mut ends, mut out_end) = ([[0.0; TOGETHER * BLOCK]; N], [0.0; TOGETHER * BLOCK]);
            ends.iter_mut().zip(from).for_each(|(end, from)| end[..from.len()].copy_from_slice(from));
            W::make(simd, classes, rows, ends.each_ref().map(|end| &end[..whole]), &mut out_end[..whole]);
            out.copy_from_slice(&out_end[..out.len()]);
        }
    }
}

/// Softmax.
struct Shares;

impl Work<1> for Shares {
    #[inline(always)]
    fn make<S: Simd>(simd: S, classes: usize, rows: &[f32], [x]: [&[f32]; 1], y: &mut [f32]) {
        let (block, mut of_rows) = (rows.len(), [[0.0; MOST_LANES]; TOGETHER]);
        for (minus, x) in of_rows.iter_mut().zip(x.chunks_exact(block)) {
            let max = fold_rows::<S, true>(simd, x, classes);
            simd.write_first(minus, simd.mul(max, simd.splat(-1.0)));
        }
        for ((minus, x), y) in of_rows.iter().zip(x.chunks_exact(block)).zip(y.chunks_exact_mut(block)) {
            let asked = Asked { reads: [], writes: [y.as_ptr().wrapping_add(TOGETHER * block)] };
            each(simd, [x, rows], [y], asked, ShareOfRow { minus });
        }
        for (scale, y) in of_rows.iter_mut().zip(y.chunks_exact(block)) {
            let sum = fold_rows::<S, false>(simd, y, classes);
            simd.write_first(scale, simd.div(simd.splat(1.0), sum));
        }
        for (scale, y) in of_rows.iter().zip(y.chunks_exact_mut(block)) {
            renew(simd, [rows], [y], Asked::NOTHING, ScaledOfRow { scale });
        }
    }
}

/// e^(x + what the row's number finds).
#[derive(Clone, Copy)]
struct ShareOfRow<'a> {
    minus: &'a [f32; MOST_LANES],
}

impl Each<2, 1> for ShareOfRow<'_> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x, row]: [S::V; 2]) -> [S::V; 1] {
        [exp_below_0(simd, simd.add(x, simd.pick(simd.read(self.minus), row)))]
    }
}

/// share * what the row's number finds.
#[derive(Clone, Copy)]
struct ScaledOfRow<'a> {
    scale: &'a [f32; MOST_LANES],
}

impl Renew<1, 1> for ScaledOfRow<'_> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [row]: [S::V; 1], [share]: [S::V; 1]) -> [S::V; 1] {
        [simd.mul(share, simd.pick(simd.read(self.scale), row))]
    }
}

/// The gradient.
struct Slopes;

impl Work<2> for Slopes {
    #[inline(always)]
    fn make<S: Simd>(simd: S, classes: usize, rows: &[f32], [y, dy]: [&[f32]; 2], dx: &mut [f32]) {
        let (block, mut of_rows) = (rows.len(), [[0.0; MOST_LANES]; TOGETHER]);
        let asked = Asked { reads: [], writes: [dx.as_ptr_range().end] };
        each(simd, [y, dy], [&mut *dx], asked, Product);
        for (minus, dx) in of_rows.iter_mut().zip(dx.chunks_exact(block)) {
            let dot = fold_rows::<S, false>(simd, dx, classes);
            simd.write_first(minus, simd.mul(dot, simd.splat(-1.0)));
        }
        let blocks = y.chunks_exact(block).zip(dy.chunks_exact(block));
        for ((minus, (y, dy)), dx) in of_rows.iter().zip(blocks).zip(dx.chunks_exact_mut(block)) {
            each(simd, [y, dy, rows], [dx], Asked::NOTHING, SlopeOfRow { minus });
        }
    }
}

/// y * (dy + what the row's number finds).
#[derive(Clone, Copy)]
struct SlopeOfRow<'a> {
    minus: &'a [f32; MOST_LANES],
}

impl Each<3, 1> for SlopeOfRow<'_> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [y, dy, row]: [S::V; 3]) -> [S::V; 1] {
        [simd.mul(y, simd.add(dy, simd.pick(simd.read(self.minus), row)))]
    }
}
