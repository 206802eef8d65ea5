//! The micro-kernel of matrix multiplication: one tile of C held in registers while k runs.

use super::{Isa, Job, MatMut, Simd};

/// A tile's factors and what happens when it is stored: c = relu(alpha * a b + beta * c + bias).
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    /// Depth of the product.
    pub k: usize,
    /// `k` groups of one value per row of the tile, `a_stride` apart.
    pub a: &'a [f32],
    /// Distance between groups of `a`.
    pub a_stride: usize,
    /// `k` rows, `b_stride` apart, each readable to the end of the last register the tile's columns need.
    pub b: &'a [f32],
    /// Distance between rows of `b`.
    pub b_stride: usize,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of what `c` holds; at 0 it is not read.
    pub beta: f32,
    /// Added to each row, one value a row.
    pub bias: Option<&'a [f32]>,
    /// Whether negative results become 0.
    pub relu: bool,
}

/// Computes one tile. `c` has at most `isa.tile_rows()` rows and `isa.tile_cols()` columns.
///
/// # Panics
/// When `c` is larger than that, or `a`, `b` or `bias` too short.
pub fn multiply(isa: Isa, tile: &Tile<'_>, mut c: MatMut<'_>) {
    if c.rows() == 0 || c.cols() == 0 {
        return;
    }
    let width = c.cols().next_multiple_of(isa.lanes());
    assert!(c.rows() <= isa.tile_rows() && width <= isa.tile_cols(), "tile {} x {}", c.rows(), c.cols());
    assert!(tile.k == 0 || tile.a.len() >= (tile.k - 1) * tile.a_stride + c.rows(), "a is too short");
    assert!(tile.k == 0 || tile.b.len() >= (tile.k - 1) * tile.b_stride + width, "b is too short");
    assert!(tile.bias.is_none_or(|bias| bias.len() >= c.rows()), "bias is too short");
    let two = width > isa.lanes();
    // By reference: a copy would be read in wider pieces than it was just written, and wait for all stores before.
    let c = &mut c;
    macro_rules! rows {
        ($($mr:literal)*) => {
            match (c.rows(), two) {
                $(($mr, false) => isa.run(Fixed::<$mr, 1> { tile, c }),
                  ($mr, true) => isa.run(Fixed::<$mr, 2> { tile, c }),)*
                _ => unreachable!("no instruction set has more rows"),
            }
        };
    }
    rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

/// A tile of `MR` rows and `NV` registers a row, whose sizes `multiply` has checked.
struct Fixed<'a, 'c, const MR: usize, const NV: usize> {
    tile: &'a Tile<'a>,
    c: &'a mut MatMut<'c>,
}

impl<const MR: usize, const NV: usize> Job for Fixed<'_, '_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Kernels too large for this instruction set are never called; do not compile them.
        if MR > S::ROWS {
            return;
        }
        let Fixed { tile, c } = self;
        prefetch::<S, MR, NV>(simd, c);
        // SAFETY: `multiply` checked that `a`, `b` and `bias` are long enough, and that `c` has `MR` rows and
        // more than `(NV - 1) * LANES`, at most `NV * LANES` columns.
        unsafe {
            let (a, b) = ((tile.a.as_ptr(), tile.a_stride), (tile.b.as_ptr(), tile.b_stride));
            let sum = if tile.a_stride > MR {
                product::<S, MR, NV, true>(simd, tile.k, a, b)
            } else {
                product::<S, MR, NV, false>(simd, tile.k, a, b)
            };
            store(simd, tile, sum, c);
        }
    }
}

/// Asks for a tile's lines before its sums: its rows may lie far apart, where the processor does not foresee them.
#[inline(always)]
pub(super) fn prefetch<S: Simd, const MR: usize, const NV: usize>(simd: S, c: &mut MatMut<'_>) {
    for i in 0..MR {
        for v in 0..NV {
            simd.prefetch_to_write(c.as_mut_ptr().wrapping_add(i * c.stride() + v * S::LANES));
        }
    }
}

/// The sums over k: one broadcast value of `a` times `NV` registers of `b`, for each row. What is `FAR` from the values of
/// the next k is fetched eight ahead.
///
/// # Safety
/// `a` has `k` groups of `MR` values; `b` has `k` rows of `NV * LANES` readable values.
#[inline(always)]
unsafe fn product<S: Simd, const MR: usize, const NV: usize, const FAR: bool>(
    simd: S,
    k: usize,
    (mut a, a_stride): (*const f32, usize),
    (mut b, b_stride): (*const f32, usize),
) -> [[S::V; NV]; MR] {
    let mut sum = [[simd.splat(0.0); NV]; MR];
    for _ in 0..k {
        let mut row = [simd.splat(0.0); NV];
        for (v, lanes) in row.iter_mut().enumerate() {
            // SAFETY: row `k` of `b` has `NV * LANES` values.
            *lanes = unsafe { simd.load(b.add(v * S::LANES)) };
        }
        for (i, sums) in sum.iter_mut().enumerate() {
            // SAFETY: group `k` of `a` has `MR` values.
            let x = simd.splat(unsafe { *a.add(i) });
            for (s, &lanes) in sums.iter_mut().zip(&row) {
                *s = simd.fma(x, lanes, *s);
            }
        }
        if FAR {
            // The first and the last value of `a` may lie in two lines.
            simd.prefetch(a.wrapping_add(8 * a_stride));
            simd.prefetch(a.wrapping_add(8 * a_stride + MR - 1));
            for v in 0..NV {
                simd.prefetch(b.wrapping_add(8 * b_stride + v * S::LANES));
            }
        }
        a = a.wrapping_add(a_stride);
        b = b.wrapping_add(b_stride);
    }
    sum
}

/// Writes the tile.
///
/// # Safety
/// `c` has `MR` rows of more than `(NV - 1) * LANES` and at most `NV * LANES` columns; `bias` has `MR` values.
#[inline(always)]
unsafe fn store<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    tile: &Tile<'_>,
    sum: [[S::V; NV]; MR],
    c: &mut MatMut<'_>,
) {
    let (cols, stride, ptr) = (c.cols(), c.stride(), c.as_mut_ptr());
    let (alpha, beta) = (simd.splat(tile.alpha), simd.splat(tile.beta));
    let last = cols - (NV - 1) * S::LANES;
    for (i, sums) in sum.into_iter().enumerate() {
        let bias = simd.splat(tile.bias.map_or(0.0, |bias| bias[i]));
        for (v, s) in sums.into_iter().enumerate() {
            let n = if v + 1 == NV { last } else { S::LANES };
            // SAFETY: row `i` has `n` values from column `v * LANES` on.
            let p = unsafe { ptr.add(i * stride + v * S::LANES) };
            let mut value = simd.fma(s, alpha, bias);
            if tile.beta != 0.0 {
                // SAFETY: as above.
                value = simd.fma(unsafe { simd.load_first(p, n) }, beta, value);
            }
            if tile.relu {
                // Zero first: a value that is not a number stays one.
                value = simd.max(simd.splat(0.0), value);
            }
            // SAFETY: as above.
            unsafe { simd.store_first(p, n, value) };
        }
    }
}
