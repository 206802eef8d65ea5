//! One channel's filter: the micro-kernels of depthwise convolution, forward and for its weights.
//!
//! Outputs are computed a register in each of several rows at a time. Of a column of the kernel some taps follow one another so
//! that a row of the plane serves several rows of outputs: it is read once for all of them.

use super::{Epilogue, Isa, Job, Simd};

/// The most taps of a pass.
pub const PASS: usize = 5;
/// The most rows of a tile: the sides of most images are multiples of seven.
const ROWS: usize = 7;
/// Rows of a tile where there are fewer.
const FEW: usize = 4;

/// The body for each row that a tile meets: a loop so long would not be unrolled, and sums lie in memory.
macro_rules! for_rows {
    ($r:ident < $rows:expr => $body:block) => {
        for_rows!($r < $rows => $body, 0 1 2 3 4 5 6 7 8 9 10)
    };
    ($r:ident < $rows:expr => $body:block, $($row:literal)*) => {
        $(if $row < $rows {
            let $r: usize = $row;
            $body
        })*
    };
}

/// Taps of each column of the kernel of which tap t meets for output row y what tap 0 meets for output row y + t.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Where tap 0 reads, before the column's own offset.
    pub from: usize,
    /// The number of the weight of tap 0 of the first column.
    pub weight: usize,
    /// Number of taps, at most [`PASS`].
    pub taps: usize,
}

/// Rows of outputs that share rows of the plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Where the first row reads.
    pub from: usize,
    /// Where it lies in the output.
    pub to: usize,
    /// Number of rows.
    pub rows: usize,
}

/// A filter over planes.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// The planes, readable for whole registers of a row.
    pub data: &'a [f32],
    /// Where each column of the kernel reads.
    pub columns: &'a [u32],
    /// The taps of each column.
    pub passes: &'a [Pass],
    /// Distance of weights between taps of a pass, and between columns.
    pub steps: [isize; 2],
    /// The outputs.
    pub blocks: &'a [Block],
    /// Values of a row of outputs.
    pub width: usize,
    /// Distance of rows of a block in the plane, and in the output.
    pub pitches: [usize; 2],
}

impl Filter<'_> {
    /// The number of the weight of tap `tap` of a pass and column `column`.
    #[inline(always)]
    fn weight(&self, pass: &Pass, tap: usize, column: usize) -> usize {
        pass.weight.wrapping_add_signed(tap as isize * self.steps[0] + column as isize * self.steps[1])
    }

    /// Panics unless everything lies inside the planes, `weights` weights and `outputs` outputs.
    fn check(&self, lanes: usize, weights: usize, outputs: usize) {
        let last = self.columns.len().saturating_sub(1);
        for pass in self.passes {
            assert!((1..=PASS).contains(&pass.taps), "taps of a pass");
            // Numbers grow or fall along both, so the corners hold the least and the largest; one below 0 is very large.
            let corners = [(0, 0), (0, last), (pass.taps - 1, 0), (pass.taps - 1, last)];
            assert!(corners.iter().all(|&(t, c)| self.weight(pass, t, c) < weights), "a weight for each tap");
        }
        let [pitch, to_pitch] = self.pitches;
        let furthest = self.passes.iter().map(|p| p.from + (p.taps - 1) * pitch).max().unwrap_or(0)
            + self.columns.iter().copied().max().unwrap_or(0) as usize;
        let wide = self.width.next_multiple_of(lanes);
        for block in self.blocks {
            assert!(block.rows > 0, "a block has rows");
            let rest = block.rows - 1;
            assert!(block.from + rest * pitch + furthest + wide <= self.data.len(), "taps reach outside");
            assert!(block.to + rest * to_pitch + self.width <= outputs, "outputs lie inside");
        }
    }
}

/// Each output = the sum over taps of weights times what lies in the planes, then the epilogue of row `row`.
///
/// # Panics
/// When taps have no weight, the row no settings, or something reaches outside.
pub fn filter(
    isa: Isa,
    filter: &Filter<'_>,
    weights: &[f32],
    (epilogue, row): (&Epilogue<'_>, usize),
    out: &mut [f32],
) {
    filter.check(isa.lanes(), weights.len(), out.len());
    isa.run(Apply { filter, weights, epilogue, row, out });
}

struct Apply<'a> {
    filter: &'a Filter<'a>,
    weights: &'a [f32],
    epilogue: &'a Epilogue<'a>,
    row: usize,
    out: &'a mut [f32],
}

impl Job for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        for block in self.filter.blocks {
            // SAFETY: `filter` has checked the block.
            unsafe {
                match block.rows {
                    ROWS.. => self.rows::<S, ROWS>(simd, block),
                    FEW.. => self.rows::<S, FEW>(simd, block),
                    _ => self.rows::<S, 1>(simd, block),
                }
            }
        }
    }
}

impl Apply<'_> {
    /// A block, `R` rows at a time. The last may be computed twice.
    ///
    /// # Safety
    /// What [`Filter::check`] checks; the block has `R` rows or more.
    #[inline(always)]
    unsafe fn rows<S: Simd, const R: usize>(&mut self, simd: S, block: &Block) {
        let ([pitch, to_pitch], width) = (self.filter.pitches, self.filter.width);
        for y in (0..block.rows).step_by(R) {
            let y = y.min(block.rows - R);
            let (from, to) = (block.from + y * pitch, block.to + y * to_pitch);
            for x in (0..width).step_by(S::LANES) {
                // SAFETY: the caller's promise.
                unsafe { self.tile::<S, R>(simd, from + x, to + x, S::LANES.min(width - x)) };
            }
        }
    }

    /// A register of `n` outputs in each of `R` rows.
    ///
    /// # Safety
    /// As for [`Apply::rows`]: these registers lie inside the data, and the outputs inside the output.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize>(&mut self, simd: S, from: usize, to: usize, n: usize) {
        let row = self.epilogue.row(self.row);
        let mut sums = [simd.splat(row.bias); R];
        for pass in self.filter.passes {
            // SAFETY: the caller's promise.
            unsafe {
                sums = match pass.taps {
                    1 => self.pass::<S, R, 1>(simd, pass, from, sums),
                    2 => self.pass::<S, R, 2>(simd, pass, from, sums),
                    3 => self.pass::<S, R, 3>(simd, pass, from, sums),
                    4 => self.pass::<S, R, 4>(simd, pass, from, sums),
                    _ => self.pass::<S, R, PASS>(simd, pass, from, sums),
                };
            }
        }
        let out = self.out.as_mut_ptr().wrapping_add(to);
        for (r, sum) in row.finish(simd, sums).into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { simd.store_first(out.add(r * self.filter.pitches[1]), n, sum) };
        }
    }

    /// Adds the products of a pass of `T` taps.
    ///
    /// # Safety
    /// As for [`Apply::tile`].
    #[inline(always)]
    unsafe fn pass<S: Simd, const R: usize, const T: usize>(
        &self,
        simd: S,
        pass: &Pass,
        from: usize,
        mut sums: [S::V; R],
    ) -> [S::V; R] {
        let (pitch, [tap_step, column_step]) = (self.filter.pitches[0], self.filter.steps);
        let data = self.filter.data.as_ptr().wrapping_add(from + pass.from);
        let mut weights = self.weights.as_ptr().wrapping_add(pass.weight);
        for &column in self.filter.columns {
            let mut taps = [simd.splat(0.0); T];
            for (t, tap) in taps.iter_mut().enumerate() {
                // SAFETY: the tap has a weight.
                *tap = simd.splat(unsafe { *weights.wrapping_offset(t as isize * tap_step) });
            }
            let data = data.wrapping_add(column as usize);
            for_rows!(r < R + T - 1 => {
                // SAFETY: a register is readable there.
                let values = unsafe { simd.load(data.wrapping_add(r * pitch)) };
                for (o, sum) in sums.iter_mut().enumerate() {
                    if let Some(&tap) = taps.get(r.wrapping_sub(o)) {
                        *sum = simd.fma(tap, values, *sum);
                    }
                }
            });
            weights = weights.wrapping_offset(column_step);
        }
        sums
    }
}

/// Adds to the `isa.lanes()` values of each weight's sum, which are to be added up, the sum over outputs of what its tap meets
/// times `top`.
///
/// # Panics
/// When taps have no sum, or something reaches outside.
pub fn correlate(isa: Isa, filter: &Filter<'_>, top: &[f32], sums: &mut [f32]) {
    filter.check(isa.lanes(), sums.len() / isa.lanes(), top.len());
    isa.run(Correlate { filter, top, sums });
}

/// What `correlate` has checked.
struct Correlate<'a> {
    filter: &'a Filter<'a>,
    top: &'a [f32],
    sums: &'a mut [f32],
}

impl Job for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        for pass in self.filter.passes {
            // SAFETY: `correlate` has checked the pass.
            unsafe {
                match pass.taps {
                    1 => self.pass::<S, 1, 4>(simd, pass),
                    2 => self.pass::<S, 2, 3>(simd, pass),
                    3 => self.pass::<S, 3, 3>(simd, pass),
                    4 => self.pass::<S, 4, 2>(simd, pass),
                    _ => self.pass::<S, PASS, 2>(simd, pass),
                }
            }
        }
    }
}

impl Correlate<'_> {
    /// The sums of a pass of `T` taps, `C` columns at a time; where fewer are left the last stands for the others.
    ///
    /// # Safety
    /// What [`Filter::check`] checks.
    #[inline(always)]
    unsafe fn pass<S: Simd, const T: usize, const C: usize>(&mut self, simd: S, pass: &Pass) {
        let columns = self.filter.columns;
        for first in (0..columns.len()).step_by(C) {
            let mut offsets = [0; C];
            for (i, offset) in offsets.iter_mut().enumerate() {
                *offset = pass.from + columns[(first + i).min(columns.len() - 1)] as usize;
            }
            // SAFETY: the caller's promise.
            let sums = unsafe { self.sums::<S, T, C>(simd, &offsets) };
            for (column, sums) in (first..columns.len()).zip(sums) {
                for (t, sum) in sums.into_iter().enumerate() {
                    let total = &mut self.sums[self.filter.weight(pass, t, column) * S::LANES..][..S::LANES];
                    simd.write_first(total, simd.add(simd.read(total), sum));
                }
            }
        }
    }

    /// The sums over all outputs of `T` taps of `C` columns.
    ///
    /// # Safety
    /// As for [`Correlate::pass`].
    #[inline(always)]
    unsafe fn sums<S: Simd, const T: usize, const C: usize>(
        &self,
        simd: S,
        offsets: &[usize; C],
    ) -> [[S::V; T]; C] {
        let (filter, [pitch, to_pitch]) = (self.filter, self.filter.pitches);
        let mut sums = [[simd.splat(0.0); T]; C];
        for block in filter.blocks {
            for x in (0..filter.width).step_by(S::LANES) {
                let n = S::LANES.min(filter.width - x);
                let mut y = 0;
                while y < block.rows {
                    let data = filter.data.as_ptr().wrapping_add(block.from + y * pitch + x);
                    let top = self.top.as_ptr().wrapping_add(block.to + y * to_pitch + x);
                    let (data, top) = ((data, pitch), (top, to_pitch, n));
                    // SAFETY: the caller's promise.
                    unsafe {
                        (sums, y) = match block.rows - y {
                            ROWS.. => (tile::<S, T, C, ROWS>(simd, data, offsets, top, sums), y + ROWS),
                            _ => (tile::<S, T, C, 1>(simd, data, offsets, top, sums), y + 1),
                        };
                    }
                }
            }
        }
        sums
    }
}

/// Adds a register of `n` outputs in each of `R` rows to the sums of `T` taps of `C` columns.
///
/// # Safety
/// Registers that the taps meet are readable, and `n` values of each row of `top`.
#[inline(always)]
unsafe fn tile<S: Simd, const T: usize, const C: usize, const R: usize>(
    simd: S,
    (data, pitch): (*const f32, usize),
    offsets: &[usize; C],
    (top, top_pitch, n): (*const f32, usize, usize),
    mut sums: [[S::V; T]; C],
) -> [[S::V; T]; C] {
    let mut tops = [simd.splat(0.0); R];
    for (r, values) in tops.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *values = unsafe { simd.load_first(top.wrapping_add(r * top_pitch), n) };
    }
    for c in 0..C {
        let (data, sums) = (data.wrapping_add(offsets[c]), &mut sums[c]);
        for_rows!(r < R + T - 1 => {
            // SAFETY: the caller's promise.
            let values = unsafe { simd.load(data.wrapping_add(r * pitch)) };
            for (o, &top) in tops.iter().enumerate() {
                if let Some(sum) = sums.get_mut(r.wrapping_sub(o)) {
                    *sum = simd.fma(values, top, *sum);
                }
            }
        });
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_and_correlations_match_the_definition() {
        let numbers = |len: usize| (0..len).map(|v| (v * 7 % 11) as f32 - 5.0).collect::<Vec<_>>();
        let (data, all, pitches) = (numbers(9000), [0, 3, 1, 7, 2, 4], [200, 301]);
        for (isa, rows, width) in
            Isa::all().flat_map(|isa| [1, 2, 3, 5, 7, 11].map(|rows| (isa, rows, 9 * rows + 1)))
        {
            for (columns, passes) in (1..=6).flat_map(|columns| [1, 2, 7].map(|passes| (columns, passes))) {
                let columns = &all[..columns];
                // Weights of each pass follow one another, its taps from the last to the first.
                let passes: Vec<Pass> = (0..passes)
                    .map(|i| Pass { from: 13 * i, weight: PASS * 6 * i + 4 * 6, taps: 1 + i % PASS })
                    .collect();
                let (weights, area) = (numbers(passes.len() * PASS * 6), (rows - 1) * pitches[1] + width);
                let blocks = [Block { from: 5, to: 0, rows }, Block { from: 5000, to: area, rows: 1 }];
                let steps = [-6, 1];
                let whole =
                    Filter { data: &data, columns, passes: &passes, steps, blocks: &blocks, width, pitches };
                let standards = Epilogue::standards_for_tests(2);
                let epilogue =
                    Epilogue { bias: Some(&[0.0, -60.0]), standards: Some(&standards), relu: rows > 2 };
                let len = area + width;
                let (mut got, mut want) = (vec![f32::NAN; len], vec![f32::NAN; len]);
                filter(isa, &whole, &weights, (&epilogue, 1), &mut got);
                let (top, mut sums) = (numbers(len), vec![0.0; weights.len() * isa.lanes()]);
                correlate(isa, &whole, &top, &mut sums);
                let mut totals = vec![0.0; weights.len()];
                for (block, y) in blocks.iter().flat_map(|b| (0..b.rows).map(move |y| (b, y))) {
                    for x in 0..width {
                        let (mut sum, to) = (0.0, block.to + y * pitches[1] + x);
                        for pass in &passes {
                            for (t, c) in (0..pass.taps).flat_map(|t| (0..columns.len()).map(move |c| (t, c)))
                            {
                                let at =
                                    block.from + pass.from + (y + t) * pitches[0] + x + columns[c] as usize;
                                let weight = pass.weight - 6 * t + c;
                                sum += weights[weight] * data[at];
                                totals[weight] += top[to] * data[at];
                            }
                        }
                        want[to] = epilogue.plain(1, sum);
                    }
                }
                let what = format!("{rows} rows, {} passes on {}", passes.len(), isa.name());
                assert!(got.iter().zip(&want).all(|(g, w)| g == w || g.is_nan() && w.is_nan()), "{what}");
                let sums: Vec<f32> = sums.chunks_exact(isa.lanes()).map(|sum| sum.iter().sum()).collect();
                assert_eq!(sums, totals, "{what}");
            }
        }
    }
}
