//! The micro-kernel of weight gradients of few input channels: some channels of the output's gradient times some taps, both
//! with positions along the lanes.
//!
//! Neither factor is packed: what a tap meets at neighbouring positions is contiguous in the plane, and the output's
//! gradient is read where it lies. Lanes are summed at the end of the positions.

use super::{Isa, Job, MatMut, Run, Simd};

/// The most taps of a tile, and its channels: what 32 registers hold, and what 16 do.
const MANY: (usize, usize) = (6, 4);
const FEW: (usize, usize) = (5, 2);
/// Registers set aside for the sums of a channel, and for all.
const SLOT: usize = 8;
const SLOTS: usize = MANY.1 * SLOT;

/// The factors.
#[derive(Clone, Copy, Debug)]
pub struct Dots<'a> {
    /// The planes.
    pub data: &'a [f32],
    /// Where each tap reads.
    pub offsets: &'a [u32],
    /// The positions.
    pub runs: &'a [Run],
    /// The output's gradient at the positions, a line a channel.
    pub top: &'a [f32],
    /// Distance between lines.
    pub stride: usize,
    /// The lines that come next, which are fetched meanwhile, and the distance between them.
    pub next: (&'a [f32], usize),
}

/// `c[i][t] +=` the sum over positions x of `top[i * stride + x] * data[offsets[t] + x]`; and, if asked for, `sums[i] +=`
/// the sum of `top[i * stride + x]`.
///
/// # Panics
/// When there are not as many columns as taps, not as many sums as rows, or something reaches outside.
pub fn dots(isa: Isa, factors: &Dots<'_>, c: MatMut<'_>, sums: Option<&mut [f32]>) {
    let positions: usize = factors.runs.iter().map(|r| r.len).sum();
    if c.rows() == 0 || c.cols() == 0 || positions == 0 {
        return;
    }
    assert_eq!(factors.offsets.len(), c.cols(), "one column a tap");
    assert!(sums.as_ref().is_none_or(|sums| sums.len() == c.rows()), "one sum a row");
    assert!((c.rows() - 1) * factors.stride + positions <= factors.top.len(), "lines reach outside");
    let furthest = factors.offsets.iter().copied().max().unwrap_or(0) as usize;
    let end = factors.runs.iter().map(|r| r.from + r.len).max().unwrap_or(0);
    assert!(furthest + end <= factors.data.len(), "runs reach outside");
    isa.run(Tiles { factors, c, sums });
}

struct Tiles<'a, 'c> {
    factors: &'a Dots<'a>,
    c: MatMut<'c>,
    sums: Option<&'c mut [f32]>,
}

impl Job for Tiles<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match S::LANES {
            16 => self.channels::<S, { MANY.1 }>(simd, MANY.0),
            _ => self.channels::<S, { FEW.1 }>(simd, FEW.0),
        }
    }
}

impl Tiles<'_, '_> {
    /// Tiles of `C` channels and at most `most` taps, shared out equally.
    #[inline(always)]
    fn channels<S: Simd, const C: usize>(self, simd: S, most: usize) {
        let Self { factors, mut c, mut sums } = self;
        let (channels, taps) = (c.rows(), c.cols());
        // The sum of the channel itself takes the place of one more tap.
        let all = taps + usize::from(sums.is_some());
        let groups = all.div_ceil(most);
        for first in (0..channels).step_by(C) {
            let mut tops = [factors.top.as_ptr(); C];
            for (i, top) in tops.iter_mut().enumerate() {
                // Channels that do not exist repeat the last.
                *top = factors.top[(first + i).min(channels - 1) * factors.stride..].as_ptr();
            }
            for group in 0..groups {
                let (from, to) = (group * all / groups, (group + 1) * all / groups);
                let offsets = &factors.offsets[from..to.min(taps)];
                // Each group fetches one of the lines that come next.
                let next = first + C + group.min(C - 1);
                let (ahead, line) = match next.checked_sub(channels) {
                    None => (factors.top, next * factors.stride),
                    Some(line) => (factors.next.0, line * factors.next.1),
                };
                let lines = (tops, ahead.as_ptr().wrapping_add(line));
                // SAFETY: `dots` checked that every position of every line and tap lies inside.
                let found = unsafe {
                    match (offsets.len(), to > taps) {
                        (1, false) => tile::<S, 1, C, false>(simd, factors, offsets, lines),
                        (2, false) => tile::<S, 2, C, false>(simd, factors, offsets, lines),
                        (3, false) => tile::<S, 3, C, false>(simd, factors, offsets, lines),
                        (4, false) => tile::<S, 4, C, false>(simd, factors, offsets, lines),
                        (5, false) => tile::<S, 5, C, false>(simd, factors, offsets, lines),
                        (_, false) => tile::<S, 6, C, false>(simd, factors, offsets, lines),
                        (1, true) => tile::<S, 1, C, true>(simd, factors, offsets, lines),
                        (2, true) => tile::<S, 2, C, true>(simd, factors, offsets, lines),
                        (3, true) => tile::<S, 3, C, true>(simd, factors, offsets, lines),
                        (4, true) => tile::<S, 4, C, true>(simd, factors, offsets, lines),
                        (_, true) => tile::<S, 5, C, true>(simd, factors, offsets, lines),
                    }
                };
                for (i, found) in found.chunks_exact(SLOT).enumerate().take(C.min(channels - first)) {
                    let row = &mut c.row(first + i)[from..from + offsets.len()];
                    row.iter_mut().zip(found).for_each(|(c, sum)| *c += sum);
                    if let Some(sums) = sums.as_mut().filter(|_| to > taps) {
                        sums[first + i] += found[offsets.len()];
                    }
                }
            }
        }
    }
}

/// The sums of `T` taps and `C` channels, and those of the channels if `OWN`, `SLOT` a channel, while the positions of
/// another line are fetched.
///
/// # Safety
/// There are `T` offsets; all positions of every tap and top are readable.
#[inline(always)]
unsafe fn tile<S: Simd, const T: usize, const C: usize, const OWN: bool>(
    simd: S,
    factors: &Dots<'_>,
    offsets: &[u32],
    (mut tops, mut ahead): ([*const f32; C], *const f32),
) -> [f32; SLOTS] {
    let mut sum = ([[simd.splat(0.0); T]; C], [simd.splat(0.0); C]);
    for run in factors.runs {
        let mut rows = [factors.data.as_ptr(); T];
        for (row, &offset) in rows.iter_mut().zip(offsets) {
            *row = row.wrapping_add(offset as usize + run.from);
        }
        let mut x = 0;
        // SAFETY: the caller's promise.
        unsafe {
            while x + S::LANES <= run.len {
                simd.prefetch(ahead.wrapping_add(x));
                add::<S, T, C, OWN, true>(simd, (&rows, &tops), x, S::LANES, &mut sum);
                x += S::LANES;
            }
            if x < run.len {
                add::<S, T, C, OWN, false>(simd, (&rows, &tops), x, run.len - x, &mut sum);
            }
        }
        ahead = ahead.wrapping_add(run.len);
        for top in &mut tops {
            *top = top.wrapping_add(run.len);
        }
    }
    lanes::<S, T, C>(simd, &sum.0, OWN.then_some(&sum.1))
}

/// Adds the products at `n` positions from `x` on, a `FULL` register or part of one.
///
/// # Safety
/// These positions of every row and top are readable.
#[inline(always)]
unsafe fn add<S: Simd, const T: usize, const C: usize, const OWN: bool, const FULL: bool>(
    simd: S,
    (rows, tops): (&[*const f32; T], &[*const f32; C]),
    x: usize,
    n: usize,
    (sum, own): &mut ([[S::V; T]; C], [S::V; C]),
) {
    let mut values = [simd.splat(0.0); C];
    for c in 0..C {
        // SAFETY: the caller's promise.
        values[c] =
            unsafe { if FULL { simd.load(tops[c].add(x)) } else { simd.load_first(tops[c].add(x), n) } };
        if OWN {
            own[c] = simd.add(own[c], values[c]);
        }
    }
    for (t, row) in rows.iter().enumerate() {
        // SAFETY: the caller's promise.
        let tap = unsafe { if FULL { simd.load(row.add(x)) } else { simd.load_first(row.add(x), n) } };
        for c in 0..C {
            sum[c][t] = simd.fma(values[c], tap, sum[c][t]);
        }
    }
}

/// The sums of the lanes: neighbours are added until a register holds one sum of each of as many as it has lanes.
#[inline(always)]
fn lanes<S: Simd, const T: usize, const C: usize>(
    simd: S,
    sum: &[[S::V; T]; C],
    own: Option<&[S::V; C]>,
) -> [f32; SLOTS] {
    let mut registers = [simd.splat(0.0); SLOTS];
    for (slots, sums) in registers.chunks_exact_mut(SLOT).zip(sum) {
        slots[..T].copy_from_slice(sums);
    }
    if let Some(own) = own {
        registers.chunks_exact_mut(SLOT).zip(own).for_each(|(slots, &own)| slots[T] = own);
    }
    let (mut count, mut width) = (C * SLOT, S::LANES);
    while width > 1 {
        for i in 0..count / 2 {
            let (even, odd) = simd.unzip(registers[2 * i], registers[2 * i + 1]);
            registers[i] = simd.add(even, odd);
        }
        (count, width) = (count / 2, width / 2);
    }
    let mut sums = [0.0; SLOTS];
    for (sums, &register) in sums.chunks_exact_mut(S::LANES).zip(&registers[..count]) {
        // SAFETY: the chunk has a register's values.
        unsafe { simd.store(sums.as_mut_ptr(), register) };
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_match_the_definition() {
        let numbers = |len: usize| (0..len).map(|v| (v * 7 % 11) as f32 - 5.0).collect::<Vec<_>>();
        let runs = [Run { from: 3, len: 37 }, Run { from: 50, len: 5 }, Run { from: 60, len: 16 }];
        let positions: Vec<usize> = runs.iter().flat_map(|r| r.from..r.from + r.len).collect();
        let (stride, data) = (positions.len() + 3, numbers(200));
        for (isa, rows) in Isa::all().flat_map(|isa| [1, 2, 3, 4, 9].map(|rows| (isa, rows))) {
            for taps in (1..=17).chain([25, 27]) {
                let offsets: Vec<u32> = (0..taps as u32).map(|t| t * 13 % 100).collect();
                let top = numbers((rows - 1) * stride + positions.len());
                let mut c = vec![1.0; rows * (taps + 1)];
                let factors =
                    Dots { data: &data, offsets: &offsets, runs: &runs, top: &top, stride, next: (&[], 0) };
                let mut sums = vec![1.0; rows];
                dots(isa, &factors, MatMut::new(&mut c, rows, taps, taps + 1), None);
                let without = std::mem::replace(&mut c, vec![1.0; rows * (taps + 1)]);
                dots(isa, &factors, MatMut::new(&mut c, rows, taps, taps + 1), Some(&mut sums));
                assert_eq!(c, without);
                for (i, got) in sums.into_iter().enumerate() {
                    let want = 1.0 + top[i * stride..][..positions.len()].iter().sum::<f32>();
                    assert_eq!(got, want, "{rows} x {taps} on {}", isa.name());
                }
                for (i, row) in c.chunks_exact(taps + 1).enumerate() {
                    for (&offset, &got) in offsets.iter().zip(row) {
                        let products = positions
                            .iter()
                            .enumerate()
                            .map(|(x, p)| top[i * stride + x] * data[offset as usize + p]);
                        assert_eq!(got, 1.0 + products.sum::<f32>(), "{rows} x {taps} on {}", isa.name());
                    }
                    assert_eq!(row[taps], 1.0);
                }
            }
        }
    }
}
