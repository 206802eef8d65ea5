//! The micro-kernel of products with a matrix that is read once, where it lies: a few of its rows at a time, side by side.

use super::{Isa, Job, Mat, MatMut, Simd, limits::by_rows};

/// The factors.
#[derive(Clone, Copy, Debug)]
pub struct Streams<'a> {
    /// For each row of B one value for each row of C.
    pub a: &'a [f32],
    /// The rows of B.
    pub b: Mat<'a>,
    /// Whether to add to what `c` holds, or else overwrite it.
    pub add: bool,
    /// How much further than each value of `b` lies one that will be read soon and is fetched meanwhile; 0: none.
    pub ahead: usize,
}

/// `c (+)= a b`. Each value of C is summed in the order of the rows of B, and goes on from what it holds.
///
/// # Panics
/// When `c` has more than `isa.tile_rows()` rows, or a factor has another size.
pub fn streams(isa: Isa, factors: &Streams<'_>, c: MatMut<'_>) {
    let (rows, cols) = (c.rows(), c.cols());
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(rows <= isa.tile_rows(), "{rows} rows");
    assert!(factors.a.len() >= factors.b.rows() * rows, "a is too short");
    assert_eq!(factors.b.cols(), cols, "as many columns of b");
    by_rows!(rows, MR => isa.run(Fixed::<MR> { factors, c }));
}

/// A panel of `MR` rows of C, whose sizes `streams` has checked.
struct Fixed<'a, 'c, const MR: usize> {
    factors: &'a Streams<'a>,
    c: MatMut<'c>,
}

impl<const MR: usize> Job for Fixed<'_, '_, MR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Kernels too large for this instruction set are never called; do not compile them.
        if const { MR > S::ROWS } {
            return;
        }
        let Self { factors, mut c } = self;
        let (cols, stride, b, to) = (c.cols(), c.stride(), factors.b.as_ptr(), c.as_mut_ptr());
        let mut col = 0;
        // SAFETY: `streams` checked the factors, and `c` has these columns.
        unsafe {
            while col + 2 * S::LANES <= cols {
                tile::<S, MR, true>(simd, factors, b.add(col), (to.add(col), stride), 2 * S::LANES);
                col += 2 * S::LANES;
            }
            if col < cols {
                tile::<S, MR, false>(simd, factors, b.add(col), (to.add(col), stride), cols - col);
            }
        }
    }
}

/// Two registers a row, of which `cols` columns exist: all if `FULL`.
///
/// # Safety
/// `a` has a group of `MR` values for each row of `b`; the columns are readable there and writable in `MR` rows of `c`.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const FULL: bool>(
    simd: S,
    factors: &Streams<'_>,
    b: *const f32,
    (c, stride): (*mut f32, usize),
    cols: usize,
) {
    let lanes = |v: usize| cols.saturating_sub(v * S::LANES).min(S::LANES);
    let load = |row: *const f32, v: usize| {
        let p = row.wrapping_add(v * S::LANES);
        // SAFETY: the columns of `b` and `c`.
        unsafe { if FULL { simd.load(p) } else { simd.load_first(p, lanes(v)) } }
    };
    let mut sum = [[simd.splat(0.0); 2]; MR];
    if factors.add {
        for (i, sums) in sum.iter_mut().enumerate() {
            let row = c.wrapping_add(i * stride);
            *sums = [load(row, 0), load(row, 1)];
        }
    }
    let (mut a, mut b) = (factors.a.as_ptr(), b);
    for _ in 0..factors.b.rows() {
        let row = [load(b, 0), load(b, 1)];
        if factors.ahead > 0 {
            (0..2).for_each(|v| simd.prefetch(b.wrapping_add(factors.ahead + v * S::LANES)));
        }
        for (i, sums) in sum.iter_mut().enumerate() {
            // SAFETY: each group of `a` has `MR` values.
            let x = simd.splat(unsafe { *a.add(i) });
            *sums = [simd.fma(x, row[0], sums[0]), simd.fma(x, row[1], sums[1])];
        }
        (a, b) = (a.wrapping_add(MR), b.wrapping_add(factors.b.stride()));
    }
    for (i, sums) in sum.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            let p = c.wrapping_add(i * stride + v * S::LANES);
            // SAFETY: the columns of `c`.
            unsafe { if FULL { simd.store(p, sum) } else { simd.store_first(p, lanes(v), sum) } }
        }
    }
}
