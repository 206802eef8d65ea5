//! The micro-kernels of fast convolution along one axis, by eight products at the eight points of [`super::winograd`]: three taps down
//! a column give six outputs, five give four.

use super::winograd::{Map, input, sums, values};
use super::{Epilogue, Isa, Job, MOST_COLS, MOST_ROWS, MatMut, Simd, Spot, limits::by_rows, past::LINE};

/// Points, and so the lines that a tile reads.
pub const POINTS: usize = 8;
/// Taps down a column of the kernel, of which there are micro-kernels.
pub const HEIGHTS: [usize; 2] = [3, 5];

/// Lines of outputs of a tile whose kernel is so high.
pub const fn outputs(height: usize) -> usize {
    POINTS + 1 - height
}

/// What `map` makes of each of `len` columns of lines: line i is read at `from.0[i * from.1..]` and written at
/// `to.0[i * to.1..]`.
///
/// # Panics
/// When a line reaches outside, or `map` is neither of the input nor of the taps of a column.
pub fn transform_lines(
    isa: Isa,
    map: Map,
    (from, distance): (&[f32], usize),
    (to, place): (&mut [f32], usize),
    len: usize,
) {
    let reads = match map {
        Map::Input => POINTS,
        Map::Values(height) if HEIGHTS.contains(&height) => height,
        map => panic!("{map:?} down columns"),
    };
    assert!((reads - 1) * distance + len <= from.len(), "lines reach outside what is read");
    assert!((POINTS - 1) * place + len <= to.len(), "lines reach outside what is written");
    isa.run(Lines { map, from, distance, to, place, len });
}

struct Lines<'a> {
    map: Map,
    from: &'a [f32],
    distance: usize,
    to: &'a mut [f32],
    place: usize,
    len: usize,
}

impl Job for Lines<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (from, to) = (self.from.as_ptr(), self.to.as_mut_ptr());
        macro_rules! columns {
            ($map:ident, $reads:expr) => {
                for x in (0..self.len).step_by(S::LANES) {
                    let n = S::LANES.min(self.len - x);
                    let mut column = [simd.splat(0.0); $reads];
                    for (i, v) in column.iter_mut().enumerate() {
                        // SAFETY: `transform_lines` checked that `len` values of so many lines lie inside.
                        *v = unsafe { simd.load_first(from.add(i * self.distance + x), n) };
                    }
                    let column: [S::V; POINTS] = $map(simd, column);
                    for (i, v) in column.into_iter().enumerate() {
                        // SAFETY: as above.
                        unsafe { simd.store_first(to.add(i * self.place + x), n, v) };
                    }
                }
            };
        }
        match self.map {
            Map::Input => columns!(input, POINTS),
            Map::Values(3) => columns!(values, 3),
            _ => columns!(values, 5),
        }
    }
}

/// The factors of some rows.
#[derive(Clone, Copy, Debug)]
pub struct Toom<'a> {
    /// Taps down a column of the kernel: one of [`HEIGHTS`].
    pub height: usize,
    /// The lines at the points, readable for a register from every spot and tap on.
    pub data: &'a [f32],
    /// Distance between points.
    pub point: usize,
    /// Where each column of the kernel reads.
    pub offsets: &'a [u32],
    /// At each point, for each column of the kernel, one value a row.
    pub weights: &'a [f32],
    /// Where tiles side by side read and write; they are not cut.
    pub spots: &'a [Spot],
    /// Distance between lines of outputs.
    pub width: usize,
    /// What happens to the rows before they are stored.
    pub epilogue: Epilogue<'a>,
}

/// `c[i][spot.to + j * width + x] =` sum j < [`outputs`] of what the products at the points make of column x of a spot, then
/// the epilogue, where that is a column of `c`.
///
/// # Panics
/// When `c` has more than `isa.tile_rows()` rows, or something is too short or reaches outside.
pub fn toom(isa: Isa, factors: &Toom<'_>, mut c: MatMut<'_>) {
    let Toom { height, data, point, offsets, weights, spots, epilogue, .. } = *factors;
    if c.rows() == 0 || spots.is_empty() {
        return;
    }
    assert!(c.rows() <= isa.tile_rows(), "{} rows", c.rows());
    assert!(HEIGHTS.contains(&height), "{height} taps down a column");
    assert!(weights.len() >= POINTS * offsets.len() * c.rows(), "weights are too short");
    assert!(epilogue.serves(c.rows()), "settings of the epilogue are too few");
    let furthest = offsets.iter().copied().max().unwrap_or(0) as usize + (POINTS - 1) * point;
    for spot in spots {
        assert!(furthest + spot.from + isa.lanes() <= data.len(), "spots reach outside");
        assert!(spot.first <= isa.lanes() && spot.rest == 0, "lanes of a spot");
    }
    let c = &mut c;
    by_rows!(c.rows(), MR => isa.run(Fixed::<MR> { factors, c }));
}

/// Tiles of `MR` rows, whose sizes `toom` has checked.
struct Fixed<'a, 'c, const MR: usize> {
    factors: &'a Toom<'a>,
    c: &'a mut MatMut<'c>,
}

/// Products at all points: for each point and row two registers.
#[repr(align(64))]
struct Products([[[f32; MOST_COLS]; MOST_ROWS]; POINTS]);

impl<const MR: usize> Job for Fixed<'_, '_, MR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Kernels too large for this instruction set are never called; do not compile them.
        if const { MR > S::ROWS } {
            return;
        }
        let Self { factors, c } = self;
        let mut products = Products([[[0.0; MOST_COLS]; MOST_ROWS]; POINTS]);
        let (pairs, last) = factors.spots.as_chunks::<2>();
        // SAFETY: `toom` checked that weights are long enough, and that a register is readable from every spot
        // and tap on; `c` has `MR` rows.
        unsafe {
            for pair in pairs {
                multiply::<S, MR, 2>(simd, factors, pair, c, &mut products);
                store::<S, MR, 2>(simd, factors, pair, c, &products);
            }
            if let [spot] = last {
                multiply::<S, MR, 1>(simd, factors, &[*spot], c, &mut products);
                store::<S, MR, 1>(simd, factors, &[*spot], c, &products);
            }
        }
    }
}

/// The products of `NV` registers at all points, while the lines of `c` that they are for are asked for.
///
/// # Safety
/// What [`toom`] checks.
#[inline(always)]
unsafe fn multiply<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    factors: &Toom<'_>,
    spots: &[Spot; NV],
    c: &mut MatMut<'_>,
    products: &mut Products,
) {
    let (mut weights, outputs) = (factors.weights.as_ptr(), outputs(factors.height));
    for (p, products) in products.0.iter_mut().enumerate() {
        let from = spots.map(|spot| factors.data.as_ptr().wrapping_add(p * factors.point + spot.from));
        let mut sum = [[simd.splat(0.0); NV]; MR];
        for line in (p..NV * outputs).step_by(POINTS) {
            let to = spots[line / outputs].to + line % outputs * factors.width;
            for r in 0..MR {
                let at = c.as_mut_ptr().wrapping_add(r * c.stride() + to);
                simd.prefetch_to_write(at);
                if NV * S::LANES == LINE {
                    // Of the next registers, too, as so few products take less time than memory does.
                    simd.prefetch_to_write(at.wrapping_add(LINE));
                }
            }
        }
        for &offset in factors.offsets {
            let mut lanes = [simd.splat(0.0); NV];
            for v in 0..NV {
                // SAFETY: a register is readable there.
                lanes[v] = unsafe { simd.load(from[v].add(offset as usize)) };
            }
            for (r, sums) in sum.iter_mut().enumerate() {
                // SAFETY: there are `MR` weights for each point and column.
                let weight = simd.splat(unsafe { *weights.add(r) });
                for v in 0..NV {
                    sums[v] = simd.fma(weight, lanes[v], sums[v]);
                }
            }
            weights = weights.wrapping_add(MR);
        }
        for (sums, row) in sum.into_iter().zip(products) {
            for (v, s) in sums.into_iter().enumerate() {
                simd.write_first(&mut row[v * S::LANES..][..S::LANES], s);
            }
        }
    }
}

/// Writes what the products make.
///
/// # Safety
/// `c` has `MR` rows.
#[inline(always)]
unsafe fn store<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    factors: &Toom<'_>,
    spots: &[Spot; NV],
    c: &mut MatMut<'_>,
    products: &Products,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match factors.height {
            3 => store_lines::<S, MR, NV, { outputs(3) }>(simd, factors, spots, c, products),
            _ => store_lines::<S, MR, NV, { outputs(5) }>(simd, factors, spots, c, products),
        }
    }
}

/// As [`store`], `LINES` of outputs.
///
/// # Safety
/// `c` has `MR` rows.
#[inline(always)]
unsafe fn store_lines<S: Simd, const MR: usize, const NV: usize, const LINES: usize>(
    simd: S,
    factors: &Toom<'_>,
    spots: &[Spot; NV],
    c: &mut MatMut<'_>,
    products: &Products,
) {
    let (cols, stride, out) = (c.cols(), c.stride(), c.as_mut_ptr());
    for r in 0..MR {
        let row = factors.epilogue.row(r);
        let bias = simd.splat(row.bias);
        for (v, spot) in spots.iter().enumerate() {
            let mut column = [simd.splat(0.0); POINTS];
            for (p, value) in column.iter_mut().enumerate() {
                *value = simd.read(&products.0[p][r][v * S::LANES..][..S::LANES]);
            }
            let column: [S::V; LINES] = sums(simd, column);
            let column = row.finish(simd, column.map(|value| simd.add(value, bias)));
            for (j, value) in column.into_iter().enumerate() {
                let col = spot.to + j * factors.width;
                let n = cols.saturating_sub(col).min(spot.first);
                // SAFETY: row `r` has `n` values from this column on.
                unsafe { simd.store_first(out.wrapping_add(r * stride + col), n, value) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|v| (v * 7 % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn outputs_match_the_definition() {
        // Lines of outputs by two tiles, the last not whole, three columns of the kernel, one register, one and a part, two.
        let (kernel, tiles) = (3, 2);
        for (isa, height) in Isa::all().flat_map(|isa| HEIGHTS.map(|height| (isa, height))) {
            let (of_tile, lines) = (outputs(height), 2 * outputs(height) - 2);
            let widths = [isa.lanes(), isa.lanes() + 3, 2 * isa.lanes()];
            for (width, rows) in widths.into_iter().flat_map(|w| (1..=isa.tile_rows()).map(move |r| (w, r))) {
                let pitch = width + kernel - 1;
                let plane = numbers((tiles * of_tile + height - 1) * pitch);
                let point = tiles * pitch;
                let mut data = vec![0.0; POINTS * point + isa.lanes()];
                for t in 0..tiles {
                    let from = (&plane[t * of_tile * pitch..], pitch);
                    transform_lines(isa, Map::Input, from, (&mut data[t * pitch..], point), pitch);
                }
                // One value a row, for each column and line.
                let (weights, bias) = (numbers(height * kernel * rows), numbers(rows));
                let mut packed = vec![0.0; POINTS * kernel * rows];
                let from = (&weights[..], kernel * rows);
                let to = (&mut packed[..], kernel * rows);
                transform_lines(isa, Map::Values(height), from, to, kernel * rows);
                let spots: Vec<Spot> = (0..tiles)
                    .flat_map(|t| (0..width).step_by(isa.lanes()).map(move |x| (t, x)))
                    .map(|(t, x)| Spot {
                        from: t * pitch + x,
                        to: t * of_tile * width + x,
                        first: isa.lanes().min(width - x),
                        ..Spot::default()
                    })
                    .collect();
                let (standards, relu) = (Epilogue::standards_for_tests(rows), rows % 2 == 0);
                let factors = Toom {
                    height,
                    data: &data,
                    point,
                    offsets: &[0, 1, 2],
                    weights: &packed,
                    spots: &spots,
                    width,
                    epilogue: Epilogue {
                        bias: Some(&bias),
                        standards: (rows % 3 == 0).then_some(&standards[..]),
                        relu,
                    },
                };
                let cols = lines * width;
                let mut c = vec![-1.0; rows * (cols + 1)];
                toom(isa, &factors, MatMut::new(&mut c, rows, cols, cols + 1));
                for (r, c) in c.chunks_exact(cols + 1).enumerate() {
                    assert_eq!(c[cols], -1.0);
                    for (i, &got) in c[..cols].iter().enumerate() {
                        let taps = (0..height).flat_map(|y| (0..kernel).map(move |x| (y, x)));
                        let products = taps.map(|(y, x)| {
                            plane[(i / width + y) * pitch + i % width + x]
                                * weights[(y * kernel + x) * rows + r]
                        });
                        let want = factors.epilogue.plain(r, products.sum::<f32>());
                        assert!(
                            (got - want).abs() < 1e-3,
                            "{got}, not {want}, {rows} rows on {}",
                            isa.name()
                        );
                    }
                }
            }
        }
    }
}
