//! The micro-kernel of weight gradients: a few taps of the input times many channels of the output's gradient, summed
//! over positions.
//!
//! Unlike in matrix multiplication neither factor needs a matrix of taps: each tap's values are read where they lie in
//! the plane, one broadcast at a time.

use super::tile::prefetch;
use super::{Isa, Job, MatMut, Simd, limits::by_rows};

/// Neighbouring positions: a tap's values are contiguous over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Where the first position's values start, before the tap's own offset.
    pub from: usize,
    /// Number of positions.
    pub len: usize,
}

/// The factors of a tile.
#[derive(Clone, Copy, Debug)]
pub struct Outer<'a> {
    /// The planes.
    pub data: &'a [f32],
    /// Where each row's tap reads.
    pub offsets: &'a [u32],
    /// The positions, in the order of the rows of `b`.
    pub runs: &'a [Run],
    /// One group of values per position, as wide as the registers that the tile's columns need.
    pub b: &'a [f32],
    /// Whether to add to what `c` holds, or else overwrite it.
    pub add: bool,
    /// Positions of a run that are summed before their sum is added: shorter sums are nearer. `None`: all of all runs.
    pub longest: Option<usize>,
    /// What will be read next: as many registers of it as there are positions are fetched meanwhile.
    pub next: &'a [f32],
}

/// `c[r][j] (+)=` the sum over positions x of `data[offsets[r] + x] * b[x][j]`.
///
/// # Panics
/// When `c` has more than `isa.tile_rows()` rows or `isa.tile_cols()` columns, or something reaches outside.
pub fn outer(isa: Isa, factors: &Outer<'_>, c: MatMut<'_>) {
    outer_ahead(isa, factors, 0, c);
}

/// [`outer`] that fetches other rows meanwhile instead of `next`: for each position of a run a register of what lies `ahead` of
/// the run's first row; nothing where that is 0.
///
/// # Panics
/// As `outer` does.
pub fn outer_ahead(isa: Isa, factors: &Outer<'_>, ahead: usize, mut c: MatMut<'_>) {
    if c.rows() == 0 || c.cols() == 0 {
        return;
    }
    let width = c.cols().next_multiple_of(isa.lanes());
    assert!(c.rows() <= isa.tile_rows() && width <= isa.tile_cols(), "tile {} x {}", c.rows(), c.cols());
    assert_eq!(factors.offsets.len(), c.rows(), "one offset a row");
    let positions: usize = factors.runs.iter().map(|r| r.len).sum();
    assert!(factors.b.len() >= positions * width, "b is too short");
    let furthest = factors.offsets.iter().copied().max().unwrap_or(0) as usize;
    let end = factors.runs.iter().map(|r| r.from + r.len).max().unwrap_or(0);
    assert!(positions == 0 || furthest + end <= factors.data.len(), "runs reach outside");
    let two = width > isa.lanes();
    // By reference: a copy would be read in wider pieces than it was just written, and wait for all stores before.
    let c = &mut c;
    if two {
        by_rows!(c.rows(), MR => isa.run(Fixed::<MR, 2> { factors, ahead, c }))
    } else {
        by_rows!(c.rows(), MR => isa.run(Fixed::<MR, 1> { factors, ahead, c }))
    }
}

/// A tile of `MR` rows and `NV` registers a row, whose sizes `outer` has checked.
struct Fixed<'a, 'c, const MR: usize, const NV: usize> {
    factors: &'a Outer<'a>,
    ahead: usize,
    c: &'a mut MatMut<'c>,
}

impl<const MR: usize, const NV: usize> Job for Fixed<'_, '_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Kernels too large for this instruction set are never called; do not compile them.
        if const { MR > S::ROWS } {
            return;
        }
        let Fixed { factors, ahead, c } = self;
        for v in 0..NV {
            prefetch::<S, MR>(simd, c.as_mut_ptr().wrapping_add(v * S::LANES), c.stride());
        }
        let mut sum = [[simd.splat(0.0); NV]; MR];
        let (mut b, mut add) = (factors.b.as_ptr(), factors.add);
        let mut next = if factors.next.is_empty() { b } else { factors.next.as_ptr() };
        let step = if factors.next.is_empty() && ahead == 0 { 0 } else { S::LANES };
        let runs = if factors.runs.is_empty() { &[Run::default()] } else { factors.runs };
        for (index, run) in runs.iter().enumerate() {
            let rows: [*const f32; MR] = std::array::from_fn(|r| {
                factors.data.as_ptr().wrapping_add(factors.offsets[r] as usize + run.from)
            });
            if ahead > 0 {
                next = rows[0].wrapping_add(ahead);
            }
            let mut x = 0_usize;
            loop {
                let end = run.len.min(x.saturating_add(factors.longest.unwrap_or(usize::MAX)));
                while x < end {
                    let mut lanes = [simd.splat(0.0); NV];
                    for (v, lanes) in lanes.iter_mut().enumerate() {
                        // SAFETY: `outer` checked that `b` has `NV * LANES` values for each position.
                        *lanes = unsafe { simd.load(b.add(v * S::LANES)) };
                    }
                    for (i, sums) in sum.iter_mut().enumerate() {
                        // SAFETY: `outer` checked that every tap of every run lies inside `data`.
                        let value = simd.splat(unsafe { *rows[i].add(x) });
                        for v in 0..NV {
                            sums[v] = simd.fma(value, lanes[v], sums[v]);
                        }
                    }
                    simd.prefetch(next);
                    (b, next, x) = (b.wrapping_add(NV * S::LANES), next.wrapping_add(step), x + 1);
                }
                if factors.longest.is_some() || index + 1 == runs.len() {
                    // SAFETY: `c` has `MR` rows of `cols` columns.
                    unsafe { flush(simd, &mut sum, add, c) };
                    add = true;
                }
                if x == run.len {
                    break;
                }
            }
        }
    }
}

/// Adds the sums to `c`, or overwrites it, and makes them 0.
///
/// # Safety
/// `c` has `MR` rows, and more than `(NV - 1) * LANES`, at most `NV * LANES` columns.
#[inline(always)]
unsafe fn flush<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    sum: &mut [[S::V; NV]; MR],
    add: bool,
    c: &mut MatMut<'_>,
) {
    let (stride, out) = (c.stride(), c.as_mut_ptr());
    let last = c.cols() - (NV - 1) * S::LANES;
    for (r, sums) in sum.iter_mut().enumerate() {
        for (v, s) in sums.iter_mut().enumerate() {
            let n = if v + 1 == NV { last } else { S::LANES };
            // SAFETY: row `r < MR` of `c` has `n` values from column `v * LANES` on.
            unsafe {
                let p = out.add(r * stride + v * S::LANES);
                let old = if add { simd.load_first(p, n) } else { simd.splat(0.0) };
                simd.store_first(p, n, simd.add(old, *s));
            }
            *s = simd.splat(0.0);
        }
    }
}
