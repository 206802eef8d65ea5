//! The micro-kernel of convolutions of few input channels: neighbouring outputs along the lanes, each tap read where it
//! lies.
//!
//! So little is read for so many products that nothing needs to be gathered first, although most loads cross lines of the
//! cache.

use super::{Epilogue, Isa, Job, MatMut, Simd, limits::by_rows};

/// A register of outputs. Its lanes follow the plane, over the end of a line of outputs, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    /// Where lane 0 reads, before the tap's own offset.
    pub from: usize,
    /// The column of lane 0.
    pub to: usize,
    /// Lanes up to the end of a line; then `skip` lanes that are no outputs, and `rest` lanes of the next line.
    pub first: usize,
    /// See `first`.
    pub skip: usize,
    /// See `first`.
    pub rest: usize,
}

impl Spot {
    /// Writes the lanes that are outputs side by side.
    ///
    /// # Safety
    /// `first + rest` values are writable at `p`.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd>(&self, simd: S, p: *mut f32, value: S::V) {
        // SAFETY: the caller's promise.
        unsafe {
            simd.store_first(p, self.first, value);
            if self.rest > 0 {
                let start = self.first + self.skip;
                simd.store_lanes(p.wrapping_sub(self.skip), (start, start + self.rest), value);
            }
        }
    }
}

/// The factors of some rows.
#[derive(Clone, Copy, Debug)]
pub struct Direct<'a> {
    /// The planes, readable for a register from every spot and tap on.
    pub data: &'a [f32],
    /// Where each tap reads.
    pub offsets: &'a [u32],
    /// For each tap, one value a row.
    pub weights: &'a [f32],
    /// The outputs.
    pub spots: &'a [Spot],
    /// What happens to the rows before they are stored.
    pub epilogue: Epilogue<'a>,
}

/// `c[i][spot.to + x] =` the sum over taps of `weights[tap][i] * data[spot.from + x + offsets[tap]]`, then the
/// epilogue, for all outputs x of all spots.
///
/// # Panics
/// When `c` has more than `isa.tile_rows()` rows, or something is too short or reaches outside.
pub fn direct(isa: Isa, factors: &Direct<'_>, mut c: MatMut<'_>) {
    if c.rows() == 0 || factors.spots.is_empty() {
        return;
    }
    assert!(c.rows() <= isa.tile_rows(), "{} rows", c.rows());
    assert!(factors.weights.len() >= factors.offsets.len() * c.rows(), "weights are too short");
    assert!(factors.epilogue.serves(c.rows()), "settings of the epilogue are too few");
    let furthest = factors.offsets.iter().copied().max().unwrap_or(0) as usize;
    for spot in factors.spots {
        assert!(furthest + spot.from + isa.lanes() <= factors.data.len(), "spots reach outside");
        assert!(spot.first + spot.skip + spot.rest <= isa.lanes(), "lanes of a spot");
        assert!(spot.to + spot.first + spot.rest <= c.cols(), "columns of a spot");
    }
    let c = &mut c;
    by_rows!(c.rows(), MR => isa.run(Fixed::<MR> { factors, c }));
}

/// Tiles of `MR` rows, whose sizes `direct` has checked.
struct Fixed<'a, 'c, const MR: usize> {
    factors: &'a Direct<'a>,
    c: &'a mut MatMut<'c>,
}

impl<const MR: usize> Job for Fixed<'_, '_, MR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        // Kernels too large for this instruction set are never called; do not compile them.
        if const { MR > S::ROWS } {
            return;
        }
        let mut spots = self.factors.spots;
        // As many registers as stay where they are: of few rows, more, so that what is read serves as many products.
        if const { 2 * MR <= S::ROWS } {
            spots = self.tiles::<S, 4>(simd, spots);
        }
        if const { 3 * MR <= 2 * S::ROWS } {
            spots = self.tiles::<S, 3>(simd, spots);
        }
        spots = self.tiles::<S, 2>(simd, spots);
        self.tiles::<S, 1>(simd, spots);
    }
}

impl<const MR: usize> Fixed<'_, '_, MR> {
    /// Computes the outputs of `NV` registers at a time, and returns what is left.
    #[inline(always)]
    fn tiles<'s, S: Simd, const NV: usize>(&mut self, simd: S, spots: &'s [Spot]) -> &'s [Spot] {
        let (tiles, rest) = spots.as_chunks::<NV>();
        for spots in tiles {
            // SAFETY: `direct` checked that weights are long enough, that a register is readable from every spot and tap on, and
            // that the spots' columns are those of `c`.
            unsafe { tile::<S, MR, NV>(simd, self.factors, spots, self.c) };
        }
        rest
    }
}

/// Computes the outputs of `NV` registers.
///
/// # Safety
/// What [`direct`] checks.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    factors: &Direct<'_>,
    spots: &[Spot; NV],
    c: &mut MatMut<'_>,
) {
    let (stride, out) = (c.stride(), c.as_mut_ptr());
    for r in 0..MR {
        spots.iter().for_each(|s| simd.prefetch_to_write(out.wrapping_add(r * stride + s.to)));
    }
    let mut sum = [[simd.splat(0.0); NV]; MR];
    let mut weights = factors.weights.as_ptr();
    let from = spots.map(|spot| factors.data.as_ptr().wrapping_add(spot.from));
    for &offset in factors.offsets {
        let mut lanes = [simd.splat(0.0); NV];
        for v in 0..NV {
            // SAFETY: a register is readable there.
            lanes[v] = unsafe { simd.load(from[v].add(offset as usize)) };
        }
        for (r, sums) in sum.iter_mut().enumerate() {
            // SAFETY: there are `MR` weights for each tap.
            let weight = simd.splat(unsafe { *weights.add(r) });
            for v in 0..NV {
                sums[v] = simd.fma(weight, lanes[v], sums[v]);
            }
        }
        weights = weights.wrapping_add(MR);
    }
    for (r, sums) in sum.into_iter().enumerate() {
        let row = factors.epilogue.row(r);
        let bias = simd.splat(row.bias);
        let values = row.finish(simd, sums.map(|sum| simd.add(sum, bias)));
        for (value, spot) in values.into_iter().zip(spots) {
            // SAFETY: row `r` has these columns.
            unsafe { spot.store(simd, out.add(r * stride + spot.to), value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_match_the_definition() {
        let numbers = |len: usize| (0..len).map(|v| (v * 7 % 11) as f32 - 5.0).collect::<Vec<_>>();
        for isa in Isa::all() {
            let (lanes, data) = (isa.lanes(), numbers(200));
            // Whole registers, the end of a line, and what runs over it.
            let spots = [
                Spot { from: 3, to: 0, first: lanes, skip: 0, rest: 0 },
                Spot { from: 40, to: lanes, first: 1, skip: 0, rest: 0 },
                Spot { from: 60, to: lanes + 1, first: lanes - 3, skip: 1, rest: 2 },
                Spot { from: 20, to: 2 * lanes, first: lanes, skip: 0, rest: 0 },
                Spot { from: 71, to: 3 * lanes, first: 2, skip: 0, rest: 0 },
            ];
            let cols = 3 * lanes + 2;
            for (rows, taps) in (1..=isa.tile_rows()).flat_map(|rows| [0, 1, 7].map(|taps| (rows, taps))) {
                let offsets: Vec<u32> = (0..taps as u32).map(|t| t * 13 % 50).collect();
                let (weights, bias) = (numbers(taps * rows), numbers(rows));
                let standards = Epilogue::standards_for_tests(rows);
                for (count, relu) in [(1, false), (2, true), (3, false), (4, true), (5, false), (5, true)] {
                    let mut c = vec![f32::NAN; rows * (cols + 1)];
                    let bias = relu.then_some(&bias[..]);
                    let factors = Direct {
                        data: &data,
                        offsets: &offsets,
                        weights: &weights,
                        spots: &spots[..count],
                        epilogue: Epilogue { bias, standards: (count > 1).then_some(&standards[..]), relu },
                    };
                    direct(isa, &factors, MatMut::new(&mut c, rows, cols, cols + 1));
                    let mut want = vec![f32::NAN; rows * (cols + 1)];
                    for (i, spot) in (0..rows).flat_map(|i| spots[..count].iter().map(move |spot| (i, spot)))
                    {
                        let places =
                            (0..spot.first).chain(spot.first + spot.skip..spot.first + spot.skip + spot.rest);
                        for (x, place) in places.enumerate() {
                            let products = (0..taps).map(|t| {
                                weights[t * rows + i] * data[spot.from + place + offsets[t] as usize]
                            });
                            let value = factors.epilogue.plain(i, products.sum::<f32>());
                            want[i * (cols + 1) + spot.to + x] = value;
                        }
                    }
                    let same = c.iter().zip(&want).all(|(c, want)| c == want || c.is_nan() && want.is_nan());
                    assert!(same, "{rows} x {taps}, {count} on {}: {c:?} is not {want:?}", isa.name());
                }
            }
        }
    }
}
