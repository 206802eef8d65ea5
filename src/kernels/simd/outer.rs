//! The micro-kernel of weight gradients: taps of the input times many channels of the output's gradient, summed over
//! positions, a column of tiles at a time.
//!
//! Unlike in matrix multiplication neither factor needs a matrix of taps: each tap's values are read where they lie in
//! the plane, one broadcast at a time.

use super::tile::prefetch;
use super::{Isa, Job, Left, MatMut, Simd, limits::by_rows};

/// Neighbouring positions: a tap's values are contiguous over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Where the first position's values start, before the tap's own offset.
    pub from: usize,
    /// Number of positions.
    pub len: usize,
}

/// The factors of a column of tiles.
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
    /// What will be read next: each tile fetches as many more registers of it as there are positions, to its end.
    pub next: &'a [f32],
}

/// `c[r][j] (+)=` the sum over positions x of `data[offsets[r] + x] * b[x][j]`.
///
/// # Panics
/// When `c` has more than `isa.tile_cols()` columns, or something reaches outside.
pub fn outer(isa: Isa, factors: &Outer<'_>, c: MatMut<'_>) {
    outer_ahead(isa, factors, 0, c);
}

/// [`outer`] that fetches other rows meanwhile instead of `next`: for each position of a run a register of what lies `ahead` of
/// the run's first row; nothing where that is 0.
///
/// # Panics
/// As `outer` does.
pub fn outer_ahead(isa: Isa, factors: &Outer<'_>, ahead: usize, c: MatMut<'_>) {
    if c.rows() == 0 || c.cols() == 0 {
        return;
    }
    let width = c.cols().next_multiple_of(isa.lanes());
    assert!(width <= isa.tile_cols(), "tiles of {} columns", c.cols());
    assert_eq!(factors.offsets.len(), c.rows(), "one offset a row");
    let positions: usize = factors.runs.iter().map(|r| r.len).sum();
    assert!(factors.b.len() >= positions * width, "b is too short");
    let furthest = factors.offsets.iter().copied().max().unwrap_or(0) as usize;
    let end = factors.runs.iter().map(|r| r.from + r.len).max().unwrap_or(0);
    assert!(positions == 0 || furthest + end <= factors.data.len(), "runs reach outside");
    // Equal tiles, the longer first.
    let count = c.rows().div_ceil(isa.tile_rows());
    let (rows, longer) = (c.rows() / count, c.rows() % count);
    let (offsets, others) = factors.offsets.split_at(longer * (rows + 1));
    let (tall, c) = c.split_rows(offsets.len());
    let next = &factors.next[(longer * positions * isa.lanes()).min(factors.next.len())..];
    let depths = (positions, ahead);
    tiles(isa, &Outer { offsets, ..*factors }, depths, rows + 1, tall);
    tiles(isa, &Outer { offsets: others, next, ..*factors }, depths, rows, c);
}

/// Computes `c` by tiles of `rows` rows.
fn tiles(isa: Isa, factors: &Outer<'_>, (positions, ahead): (usize, usize), rows: usize, mut c: MatMut<'_>) {
    if c.rows() == 0 {
        return;
    }
    let two = c.cols() > isa.lanes();
    let c = &mut c;
    if two {
        by_rows!(rows, MR => isa.run(Fixed::<MR, 2> { factors, positions, ahead, c }))
    } else {
        by_rows!(rows, MR => isa.run(Fixed::<MR, 1> { factors, positions, ahead, c }))
    }
}

/// Tiles of `MR` rows and `NV` registers a row, whose sizes `outer` has checked.
struct Fixed<'a, 'c, const MR: usize, const NV: usize> {
    factors: &'a Outer<'a>,
    positions: usize,
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
        let Fixed { factors, positions, ahead, c } = self;
        let (stride, cols, mut out) = (c.stride(), c.cols(), c.as_mut_ptr());
        let mut next = factors.next;
        for offsets in factors.offsets.as_chunks::<MR>().0 {
            // SAFETY: `outer` checked the factors; `c` has as many rows as there are offsets.
            unsafe { tile::<S, MR, NV>(simd, factors, (offsets, next), ahead, (out, stride, cols)) };
            out = out.wrapping_add(MR * stride);
            next = &next[(positions * S::LANES).min(next.len())..];
        }
    }
}

/// A tile of `MR` rows and `NV` registers a row, which fetches what is `next`, or `ahead`.
///
/// # Safety
/// Every tap of every run lies inside the data, `b` has `NV * LANES` values for each position, and `c` has `MR` rows,
/// `stride` apart, and more than `(NV - 1) * LANES`, at most `NV * LANES` columns.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    factors: &Outer<'_>,
    (offsets, next): (&[u32; MR], &[f32]),
    ahead: usize,
    (out, stride, cols): (*mut f32, usize, usize),
) {
    for v in 0..NV {
        prefetch::<S, MR>(simd, out.wrapping_add(v * S::LANES), stride);
    }
    let mut sum = [[simd.splat(0.0); NV]; MR];
    let (mut b, mut add) = (factors.b.as_ptr(), factors.add);
    let step = if next.is_empty() && ahead == 0 { 0 } else { S::LANES };
    let mut next = if next.is_empty() { b } else { next.as_ptr() };
    let runs = if factors.runs.is_empty() { &[Run::default()] } else { factors.runs };
    for (index, run) in runs.iter().enumerate() {
        let rows: [*const f32; MR] =
            offsets.map(|offset| factors.data.as_ptr().wrapping_add(offset as usize + run.from));
        if ahead > 0 {
            next = rows[0].wrapping_add(ahead);
        }
        let mut x = 0_usize;
        loop {
            let end = run.len.min(x.saturating_add(factors.longest.unwrap_or(usize::MAX)));
            let (steps, from) = (end - x, rows.map(|row| row.wrapping_add(x)));
            // SAFETY: the caller's promise.
            if unsafe { simd.add_steps(&mut sum, steps, Left::Rows(from), (b, NV * S::LANES), Some(next)) } {
                (b, next, x) = (b.wrapping_add(steps * NV * S::LANES), next.wrapping_add(steps * step), end);
            }
            while x < end {
                let mut lanes = [simd.splat(0.0); NV];
                for (v, lanes) in lanes.iter_mut().enumerate() {
                    // SAFETY: the caller's promise.
                    *lanes = unsafe { simd.load(b.add(v * S::LANES)) };
                }
                for (i, sums) in sum.iter_mut().enumerate() {
                    // SAFETY: the caller's promise.
                    let value = simd.splat(unsafe { *rows[i].add(x) });
                    for v in 0..NV {
                        sums[v] = simd.fma(value, lanes[v], sums[v]);
                    }
                }
                simd.prefetch(next);
                (b, next, x) = (b.wrapping_add(NV * S::LANES), next.wrapping_add(step), x + 1);
            }
            if factors.longest.is_some() || index + 1 == runs.len() {
                // SAFETY: the caller's promise.
                unsafe { flush(simd, &mut sum, add, (out, stride, cols)) };
                add = true;
            }
            if x == run.len {
                break;
            }
        }
    }
}

/// Adds the sums to `c`, or overwrites it, and makes them 0.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn flush<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    sum: &mut [[S::V; NV]; MR],
    add: bool,
    (out, stride, cols): (*mut f32, usize, usize),
) {
    let last = cols - (NV - 1) * S::LANES;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_tiles_match_the_definition() {
        let numbers = |len: usize| (0..len).map(|v| (v * 7 % 11) as f32 - 5.0).collect::<Vec<_>>();
        let (data, runs) = (numbers(200), [Run { from: 3, len: 5 }, Run { from: 40, len: 2 }]);
        for isa in Isa::all() {
            for (rows, cols) in (1..=3 * isa.tile_rows() + 1)
                .flat_map(|rows| [1, isa.lanes(), isa.lanes() + 1, isa.tile_cols()].map(|cols| (rows, cols)))
            {
                let (width, offsets) = (cols.next_multiple_of(isa.lanes()), 0..rows as u32);
                let (b, offsets) = (numbers(7 * width), offsets.map(|r| r * 13 % 150).collect::<Vec<_>>());
                for (add, longest) in [(false, None), (true, None), (true, Some(3))] {
                    let next = &data[..50];
                    let factors =
                        Outer { data: &data, offsets: &offsets, runs: &runs, b: &b, add, longest, next };
                    let mut c = vec![1.0; rows * (cols + 1)];
                    outer(isa, &factors, MatMut::new(&mut c, rows, cols, cols + 1));
                    for (r, c) in c.chunks_exact(cols + 1).enumerate() {
                        assert_eq!(c[cols], 1.0, "beside");
                        for (j, &c) in c[..cols].iter().enumerate() {
                            let positions = runs.iter().flat_map(|run| run.from..run.from + run.len);
                            let sum: f32 = positions
                                .enumerate()
                                .map(|(x, at)| data[offsets[r] as usize + at] * b[x * width + j])
                                .sum();
                            let want = sum + if add { 1.0 } else { 0.0 };
                            assert_eq!(c, want, "{rows} x {cols} on {}", isa.name());
                        }
                    }
                }
            }
        }
    }
}
