//! The micro-kernel of matrix multiplication: one tile of C held in registers while k runs. Its columns end in a masked
//! register, so little arithmetic is wasted.

use std::ops::Range;

use super::{Epilogue, ImagesMut, Isa, Job, LINE, MatMut, Simd, limits::by_rows, standardize};

/// Rows of B that are fetched ahead, where they are.
const AHEAD: usize = 16;

/// A tile's factors and what happens when it is stored: c = epilogue(alpha * a b + beta * c).
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    /// Depth of the product.
    pub k: usize,
    /// `k` groups of one value per row of the tile, `a_stride` apart; or the rows, `a_row` apart, with a stride of one.
    pub a: &'a [f32],
    /// Distance between groups of `a`.
    pub a_stride: usize,
    /// Distance between the values of a group.
    pub a_row: usize,
    /// `k` rows, `b_stride` apart, each readable to the end of the last register the tile's columns need.
    pub b: &'a [f32],
    /// Distance between rows of `b`.
    pub b_stride: usize,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of what `c` holds; at 0 it is not read.
    pub beta: f32,
    /// What happens before it is stored.
    pub epilogue: Epilogue<'a>,
}

/// Computes one tile. `c` has at most `isa.tile_rows()` rows and `isa.tile_cols()` columns.
///
/// # Panics
/// When `c` is larger than that, or `a`, `b` or the epilogue's settings too short.
pub fn multiply(isa: Isa, tile: &Tile<'_>, mut c: MatMut<'_>) {
    let (at, stride, cols) = (c.as_mut_ptr(), c.stride(), c.cols());
    run(
        isa,
        tile,
        &[],
        c.rows(),
        &Place { at, stride, cols, first: cols, others: cols, hop: 0, beside: None },
    );
}

/// [`multiply`] for `rows` of the images' blocks, and `cols`, which are counted over images. Of `next`, which will be read
/// after that, as many registers as the product is deep are fetched meanwhile. Where something lies beside `c`, what is stored
/// is 0 where that is not above 0.
///
/// # Panics
/// When a range reaches outside, something lies beside `c` and beta is 0, and as `multiply` does.
pub fn multiply_across(
    isa: Isa,
    tile: &Tile<'_>,
    next: &[f32],
    c: &mut ImagesMut<'_>,
    rows: Range<usize>,
    cols: Range<usize>,
) {
    if rows.is_empty() || cols.is_empty() {
        return;
    }
    assert!(rows.end <= c.rows(), "rows {rows:?} of {}", c.rows());
    assert!(cols.end <= c.images() * c.cols(), "columns {cols:?}");
    let (image, col) = (cols.start / c.cols(), cols.start % c.cols());
    let place = Place {
        at: c.row_ptr(image, rows.start).wrapping_add(col),
        stride: c.stride(),
        cols: cols.len(),
        first: c.cols() - col,
        others: c.cols(),
        hop: c.image_stride() - c.cols(),
        beside: c.beside_ptr(image, rows.start).map(|p| p.wrapping_add(col)),
    };
    run(isa, tile, next, rows.len(), &place);
}

/// Where a tile goes.
struct Place {
    /// Its first value, and the distance between rows.
    at: *mut f32,
    stride: usize,
    /// Its columns; how many the first image has, and each of the others, and how much further than its columns an image
    /// lies from the last.
    cols: usize,
    first: usize,
    others: usize,
    hop: usize,
    /// What lies beside the first value; all that does lies as the tile does.
    beside: Option<*const f32>,
}

/// Computes a tile of `rows` rows; all of its place is writable.
fn run(isa: Isa, tile: &Tile<'_>, next: &[f32], rows: usize, place: &Place) {
    if rows == 0 || place.cols == 0 {
        return;
    }
    let width = place.cols.next_multiple_of(isa.lanes());
    assert!(rows <= isa.tile_rows() && width <= isa.tile_cols(), "tile {rows} x {}", place.cols);
    assert!(tile.a_row == 1 || tile.a_stride == 1, "a lies group by group, or row by row");
    let last = tile.k.saturating_sub(1) * tile.a_stride + (rows - 1) * tile.a_row;
    assert!(tile.k == 0 || last < tile.a.len(), "a is too short");
    assert!(tile.k == 0 || tile.b.len() >= (tile.k - 1) * tile.b_stride + width, "b is too short");
    assert!(tile.epilogue.serves(rows), "settings of the epilogue are too few");
    let cleared = place.beside.is_some();
    assert!(!cleared || tile.beta != 0.0 && tile.epilogue.standards.is_none(), "plain sums are cleared");
    let two = width > isa.lanes();
    // By reference: a copy would be read in wider pieces than it was just written, and wait for all stores before.
    if two {
        by_rows!(rows, MR => isa.run(Fixed::<MR, 2> { tile, next, place }))
    } else {
        by_rows!(rows, MR => isa.run(Fixed::<MR, 1> { tile, next, place }))
    }
}

/// A tile of `MR` rows and `NV` registers a row, whose sizes `run` has checked.
struct Fixed<'a, const MR: usize, const NV: usize> {
    tile: &'a Tile<'a>,
    next: &'a [f32],
    place: &'a Place,
}

impl<const MR: usize, const NV: usize> Job for Fixed<'_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Kernels too large for this instruction set are never called; do not compile them.
        if const { MR > S::ROWS } {
            return;
        }
        let Fixed { tile, next, place } = self;
        let Place { at, stride, first, hop, .. } = *place;
        for v in 0..NV {
            // Of the image that the register begins in, or the one after the first.
            let hops = if v * S::LANES < first { 0 } else { hop };
            prefetch::<S, MR>(simd, at.wrapping_add(hops + v * S::LANES), stride);
            if let Some(beside) = place.beside {
                for i in 0..MR {
                    simd.prefetch(beside.wrapping_add(hops + v * S::LANES + i * stride));
                }
            }
        }
        // SAFETY: `run` checked that `a` and `b` are long enough; its caller vouches for the place.
        unsafe {
            let (a, b) = ((tile.a.as_ptr(), tile.a_stride), (tile.b.as_ptr(), tile.b_stride));
            let mut sum = if tile.a_row > 1 {
                product_of_rows::<S, MR, NV>(simd, tile.k, (a.0, tile.a_row), b)
            } else if tile.a_stride > MR {
                product::<S, MR, NV, true>(simd, tile.k, a, b, next)
            } else {
                product::<S, MR, NV, false>(simd, tile.k, a, b, next)
            };
            if tile.alpha != 1.0 {
                let alpha = simd.splat(tile.alpha);
                sum.as_flattened_mut().iter_mut().for_each(|s| *s = simd.mul(*s, alpha));
            }
            if let Some(bias) = tile.epilogue.bias {
                for (sums, &bias) in sum.iter_mut().zip(&bias[..MR]) {
                    let bias = simd.splat(bias);
                    sums.iter_mut().for_each(|s| *s = simd.add(*s, bias));
                }
            }
            match (tile.beta == 0.0, tile.epilogue.standards.is_some(), place.beside.is_some()) {
                (true, false, _) => store::<S, MR, NV, false, false, false>(simd, tile, &sum, place),
                (false, false, false) => store::<S, MR, NV, true, false, false>(simd, tile, &sum, place),
                (false, false, true) => store::<S, MR, NV, true, false, true>(simd, tile, &sum, place),
                (true, true, _) => store::<S, MR, NV, false, true, false>(simd, tile, &sum, place),
                (false, true, _) => store::<S, MR, NV, true, true, false>(simd, tile, &sum, place),
            }
        }
    }
}

/// Asks for the lines of `MR` rows before their sums: they may lie far apart, where the processor does not foresee them.
#[inline(always)]
pub(super) fn prefetch<S: Simd, const MR: usize>(simd: S, c: *const f32, stride: usize) {
    for i in 0..MR {
        simd.prefetch_to_write(c.wrapping_add(i * stride));
    }
}

/// The sums over k: one broadcast value of `a` times `NV` registers of `b`, for each row. What is `FAR` from the values of
/// the next k is fetched eight ahead; else a register of `next` for each k, or if there is none and a row of `b` is one line of
/// the cache, rows of `b`: with few rows of sums little time passes until the next is needed.
///
/// # Safety
/// `a` has `k` groups of `MR` values; `b` has `k` rows of `NV * LANES` readable values.
#[inline(always)]
unsafe fn product<S: Simd, const MR: usize, const NV: usize, const FAR: bool>(
    simd: S,
    k: usize,
    (mut a, a_stride): (*const f32, usize),
    (mut b, b_stride): (*const f32, usize),
    next: &[f32],
) -> [[S::V; NV]; MR] {
    let mut sum = [[simd.splat(0.0); NV]; MR];
    let (mut next, step) = match next {
        [] if NV * S::LANES <= LINE => (b.wrapping_add(AHEAD * b_stride), b_stride),
        // The same line of `a` again and again, which costs nothing.
        [] => (a, 0),
        _ => (next.as_ptr(), S::LANES),
    };
    for _ in 0..k {
        let mut row = [simd.splat(0.0); NV];
        for (v, lanes) in row.iter_mut().enumerate() {
            // SAFETY: row `k` of `b` has `NV * LANES` values.
            *lanes = unsafe { simd.load(b.add(v * S::LANES)) };
        }
        for (i, sums) in sum.iter_mut().enumerate() {
            // SAFETY: group `k` of `a` has `MR` values.
            let x = simd.splat(unsafe { *a.add(i) });
            for v in 0..NV {
                sums[v] = simd.fma(x, row[v], sums[v]);
            }
        }
        if FAR {
            // The first and the last value of `a` may lie in two lines.
            simd.prefetch(a.wrapping_add(8 * a_stride));
            simd.prefetch(a.wrapping_add(8 * a_stride + MR - 1));
            for v in 0..NV {
                simd.prefetch(b.wrapping_add(8 * b_stride + v * S::LANES));
            }
        } else {
            simd.prefetch(next);
            next = next.wrapping_add(step);
        }
        a = a.wrapping_add(a_stride);
        b = b.wrapping_add(b_stride);
    }
    sum
}

/// The same of contiguous rows of `a`, `a_row` apart.
///
/// # Safety
/// `a` has `MR` rows of `k` values; `b` has `k` rows of `NV * LANES` readable values.
#[inline(always)]
unsafe fn product_of_rows<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    k: usize,
    (a, a_row): (*const f32, usize),
    (mut b, b_stride): (*const f32, usize),
) -> [[S::V; NV]; MR] {
    let mut sum = [[simd.splat(0.0); NV]; MR];
    let rows: [*const f32; MR] = std::array::from_fn(|i| a.wrapping_add(i * a_row));
    for x in 0..k {
        let mut row = [simd.splat(0.0); NV];
        for (v, lanes) in row.iter_mut().enumerate() {
            // SAFETY: row `x` of `b` has `NV * LANES` values.
            *lanes = unsafe { simd.load(b.add(v * S::LANES)) };
        }
        for (i, sums) in sum.iter_mut().enumerate() {
            // SAFETY: each row of `a` has `k` values.
            let a = simd.splat(unsafe { *rows[i].add(x) });
            for v in 0..NV {
                sums[v] = simd.fma(a, row[v], sums[v]);
            }
        }
        b = b.wrapping_add(b_stride);
    }
    sum
}

/// Writes a tile, image by image: `ADD` what `c` holds, and by its `STANDARD`s. What can be done before is done, and nothing here but loads and stores depends on branches: so
/// all sums stay in registers.
///
/// # Safety
/// All of the place is writable in `MR` rows; with `CLEAR`, something lies beside it.
#[inline(always)]
unsafe fn store<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const ADD: bool,
    const STANDARD: bool,
    const CLEAR: bool,
>(
    simd: S,
    tile: &Tile<'_>,
    sum: &[[S::V; NV]; MR],
    place: &Place,
) {
    let Place { mut at, stride, cols, first, others, hop, beside } = *place;
    let mut beside = beside.unwrap_or(at);
    let beta = simd.splat(tile.beta);
    let floor = simd.splat(if tile.epilogue.relu { 0.0 } else { f32::NEG_INFINITY });
    let standards =
        tile.epilogue.standards.filter(|_| STANDARD).map_or(&[][..], |standards| &standards[..MR]);
    let zero = simd.splat(0.0);
    let (mut start, mut end) = (0, first.min(cols));
    while start < cols {
        for v in 0..NV {
            let before = v * S::LANES;
            let lanes =
                (start.saturating_sub(before).min(S::LANES), end.saturating_sub(before).min(S::LANES));
            if lanes.0 == lanes.1 {
                continue;
            }
            for (i, sums) in sum.iter().enumerate() {
                let p = at.wrapping_add(i * stride + before);
                let mut value = sums[v];
                // SAFETY: the lanes are columns of row `i`.
                unsafe {
                    if ADD {
                        value = simd.fma(simd.load_lanes(p, lanes), beta, value);
                    }
                    if CLEAR {
                        let beside = simd.load_lanes(beside.wrapping_add(i * stride + before), lanes);
                        value = simd.where_greater(beside, zero, value, zero);
                    }
                    if STANDARD {
                        let [_, y] =
                            standardize(simd, standards[i].map(|setting| simd.splat(setting)), value);
                        // The bits of a rectifier by itself.
                        simd.store_lanes(p, lanes, simd.where_at_most(y, floor, floor, y));
                    } else {
                        // The floor first: a value that is not a number stays one.
                        simd.store_lanes(p, lanes, simd.max(floor, value));
                    }
                }
            }
        }
        (at, beside) = (at.wrapping_add(hop), beside.wrapping_add(hop));
        (start, end) = (end, cols.min(end + others));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_may_lie_together() {
        const K: usize = 5;
        for isa in Isa::all() {
            let n = isa.tile_cols();
            let value = |i: usize, k: usize| (i * 7 + k * 3) as f32 % 11.0 - 5.0;
            let b: Vec<f32> = (0..K * n).map(|at| value(at % n, at / n)).collect();
            for (m, n) in (1..=isa.tile_rows()).flat_map(|m| [1, n].map(|n| (m, n))) {
                let mut products = [false, true].into_iter().map(|by_rows| {
                    let (a_stride, a_row) = if by_rows { (1, K + 2) } else { (m, 1) };
                    let mut a = vec![f32::NAN; (K - 1) * a_stride + (m - 1) * a_row + 1];
                    for (i, k) in (0..m).flat_map(|i| (0..K).map(move |k| (i, k))) {
                        a[i * a_row + k * a_stride] = value(i, 2 * k);
                    }
                    let epilogue = Epilogue::default();
                    let b_stride = isa.tile_cols();
                    let tile = Tile {
                        k: K,
                        a: &a,
                        a_stride,
                        a_row,
                        b: &b,
                        b_stride,
                        alpha: 1.0,
                        beta: 0.0,
                        epilogue,
                    };
                    let mut c = vec![f32::NAN; m * n];
                    multiply(isa, &tile, MatMut::new(&mut c, m, n, n));
                    c
                });
                let [packed, rows] = [products.next(), products.next()].map(Option::unwrap);
                let want = |i: usize, j: usize| (0..K).map(|k| value(i, 2 * k) * value(j, k)).sum::<f32>();
                assert!(
                    packed.iter().enumerate().all(|(at, &c)| c == want(at / n, at % n)),
                    "{}",
                    isa.name()
                );
                assert_eq!(packed, rows, "{} {m} x {n}", isa.name());
            }
        }
    }

    #[test]
    fn columns_go_to_their_images() {
        for isa in Isa::all() {
            let (m, n) = (isa.tile_rows(), isa.tile_cols());
            for area in [1, 3, isa.lanes() - 1, isa.lanes() + 1, n] {
                // The tile holds 1, 2, 3 and so on in each row, and begins in the second image.
                let b: Vec<f32> = (0..n).map(|j| j as f32).collect();
                let (ones, standards) = (vec![1.0; m], Epilogue::standards_for_tests(m));
                let bias = Some(&ones[..]);
                for (standards, relu, beta, cleared) in [
                    (None, false, 2.0, false),
                    (None, false, 2.0, true),
                    (None, true, 0.0, false),
                    (Some(&standards[..]), false, 0.0, false),
                    (Some(&standards), true, 2.0, false),
                ] {
                    let epilogue = Epilogue { bias, standards, relu };
                    let tile = Tile {
                        k: 1,
                        a: &ones,
                        a_stride: m,
                        a_row: 1,
                        b: &b,
                        b_stride: n,
                        alpha: 1.0,
                        beta,
                        epilogue,
                    };
                    let (images, start) = (n.div_ceil(area) + 2, area + area / 2);
                    let mut data = vec![0.5; images * (m + 1) * area];
                    let beside: Vec<f32> =
                        (0..data.len()).map(|at| [1.0, -1.0, 0.0, f32::NAN, 2.0][at % 5]).collect();
                    let beside = cleared.then_some(&beside[..]);
                    let mut c = ImagesMut::new(&mut data, images, m + 1, area).where_above_0(beside);
                    multiply_across(isa, &tile, &[], &mut c, 1..m + 1, start..start + n);
                    for (at, value) in data.into_iter().enumerate() {
                        let (image, row, col) = (at / area / (m + 1), at / area % (m + 1), at % area);
                        let col = (image * area + col).checked_sub(start).filter(|&col| row > 0 && col < n);
                        let kept = beside.is_none_or(|beside| beside[at] > 0.0);
                        let want = |col: usize| {
                            if kept { epilogue.plain(row - 1, col as f32 + 0.5 * beta) } else { 0.0 }
                        };
                        assert_eq!(value, col.map_or(0.5, want), "{} {area} {at}", isa.name());
                    }
                }
            }
        }
    }
}
