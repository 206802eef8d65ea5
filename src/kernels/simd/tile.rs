//! The micro-kernel of matrix multiplication: a row of tiles of C, each held in registers while k runs. Its columns end in a
//! masked register, so little arithmetic is wasted.

mod place;
mod product;
mod soon;

use std::ops::Range;

use super::{Epilogue, ImagesMut, Isa, Job, MatMut, Simd, limits::by_rows};
pub use soon::Next;

use place::{Place, store, store_whole};
use product::{product, product_of_rows};
use soon::Soon;

/// The columns of the right factor.
#[derive(Clone, Copy, Debug)]
pub enum Columns<'a> {
    /// For each panel of `isa.tile_cols()` columns `k` rows, one after the other, whose columns fill whole registers.
    Panels(&'a [f32]),
    /// At most so many columns: `k` rows, so far apart, each readable to the end of the last register.
    Rows(&'a [f32], usize),
}

/// The factors of a row of tiles, and what happens when they are stored: c = epilogue(alpha * a b + beta * c).
#[derive(Clone, Copy, Debug)]
pub struct Tiles<'a> {
    /// Depth of the product.
    pub k: usize,
    /// `k` groups of one value per row of C, `a_stride` apart; or the rows, `a_row` apart, with a stride of one.
    pub a: &'a [f32],
    /// Distance between groups of `a`.
    pub a_stride: usize,
    /// Distance between the values of a group.
    pub a_row: usize,
    /// The right factor.
    pub b: Columns<'a>,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of what `c` holds; at 0 it is not read.
    pub beta: f32,
    /// What happens before it is stored.
    pub epilogue: Epilogue<'a>,
}

impl<'a> Tiles<'a> {
    /// Those of some of the rows.
    fn rows(&self, rows: Range<usize>) -> Self {
        // Without steps there may be no values.
        let a = self.a.get(rows.start * self.a_row..).unwrap_or_default();
        Self { a, epilogue: self.epilogue.rows(rows), ..*self }
    }
}

/// Computes a row of tiles. `c` has at most `isa.tile_rows()` rows.
///
/// # Panics
/// When `c` has more, or `a`, `b` or the epilogue's settings are too short.
pub fn multiply(isa: Isa, tiles: &Tiles<'_>, mut c: MatMut<'_>) {
    let (at, stride, cols) = (c.as_mut_ptr(), c.stride(), c.cols());
    run(isa, tiles, Next::default(), [c.rows(), cols], Place::of_matrix(at, stride, cols));
}

/// [`multiply`] for any number of rows and a tile's columns: tiles follow each other down.
///
/// # Panics
/// When `c` has more than `isa.tile_cols()` columns, or `a`, `b` or the epilogue's settings are too short.
pub fn multiply_down(isa: Isa, tiles: &Tiles<'_>, c: MatMut<'_>) {
    let (rows, cols) = (c.rows(), c.cols());
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(cols <= isa.tile_cols(), "tiles of {cols} columns");
    check(isa, tiles, [rows, cols]);
    // Equal tiles, the longer first.
    let count = rows.div_ceil(isa.tile_rows());
    let longer = rows % count * (rows / count + 1);
    let (tall, others) = c.split_rows(longer);
    down(isa, tiles, rows / count + 1, tall);
    down(isa, &tiles.rows(longer..rows), rows / count, others);
}

/// Computes `c` by tiles of `rows` rows.
fn down(isa: Isa, tiles: &Tiles<'_>, rows: usize, mut c: MatMut<'_>) {
    if c.rows() > 0 {
        let c = &mut c;
        by_rows!(rows, MR => isa.run(Down::<MR> { tiles, c }));
    }
}

/// [`multiply`] for `rows` of the images' blocks, and `cols`, which are counted over images. What is `next` is fetched
/// meanwhile. Where something lies beside `c`, what is stored is 0 where that is not above 0.
///
/// # Panics
/// When a range reaches outside, something lies beside `c` and beta is 0, and as `multiply` does.
pub fn multiply_across(
    isa: Isa,
    tiles: &Tiles<'_>,
    next: Next<'_>,
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
        first: c.cols() - col,
        others: c.cols(),
        hop: c.image_stride() - c.cols(),
        beside: c.beside_ptr(image, rows.start).map(|p| p.wrapping_add(col)),
    };
    run(isa, tiles, next, [rows.len(), cols.len()], place);
}

/// Computes `rows x cols` values; all of their place is writable.
fn run(isa: Isa, tiles: &Tiles<'_>, next: Next<'_>, [rows, cols]: [usize; 2], place: Place) {
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(rows <= isa.tile_rows(), "tiles of {rows} rows");
    check(isa, tiles, [rows, cols]);
    let cleared = place.beside.is_some();
    assert!(!cleared || tiles.beta != 0.0 && tiles.epilogue.standards.is_none(), "plain sums are cleared");
    by_rows!(rows, MR => isa.run(Fixed::<MR> { tiles, next, cols, place }));
}

/// Refuses factors that are too short for `rows x cols` sums.
fn check(isa: Isa, tiles: &Tiles<'_>, [rows, cols]: [usize; 2]) {
    let width = cols.next_multiple_of(isa.lanes());
    assert!(tiles.a_row == 1 || tiles.a_stride == 1, "a lies group by group, or row by row");
    let last = tiles.k.saturating_sub(1) * tiles.a_stride + (rows - 1) * tiles.a_row;
    assert!(tiles.k == 0 || last < tiles.a.len(), "a is too short");
    let enough = match tiles.b {
        Columns::Panels(b) => tiles.k * width <= b.len(),
        Columns::Rows(b, stride) => {
            assert!(width <= isa.tile_cols(), "rows of b of {cols} columns");
            tiles.k == 0 || (tiles.k - 1) * stride + width <= b.len()
        }
    };
    assert!(enough, "b is too short");
    assert!(tiles.epilogue.serves(rows), "settings of the epilogue are too few");
}

/// Tiles of `MR` rows, whose sizes `run` has checked.
struct Fixed<'a, const MR: usize> {
    tiles: &'a Tiles<'a>,
    next: Next<'a>,
    cols: usize,
    place: Place,
}

impl<const MR: usize> Job for Fixed<'_, MR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Kernels too large for this instruction set are never called; do not compile them.
        if const { MR > S::ROWS } {
            return;
        }
        let Fixed { tiles, next, cols, mut place } = self;
        let (mut b, stride) = match tiles.b {
            Columns::Panels(b) => (b.as_ptr(), None),
            Columns::Rows(b, stride) => (b.as_ptr(), Some(stride)),
        };
        let mut soon = Soon::new(next.rows, cols.div_ceil(2 * S::LANES));
        let mut left = cols;
        while left > 0 {
            let cols = left.min(2 * S::LANES);
            let next = if cols == left { next.values } else { &[] };
            soon.fetch(simd);
            // SAFETY: `run` checked that `a` and `b` are long enough; its caller vouches for the place.
            unsafe {
                if cols > S::LANES {
                    let b = (b, stride.unwrap_or(2 * S::LANES));
                    tile::<S, MR, 2>(simd, tiles, b, next, (cols, &place));
                } else {
                    tile::<S, MR, 1>(simd, tiles, (b, stride.unwrap_or(S::LANES)), next, (cols, &place));
                }
            }
            left -= cols;
            if left > 0 {
                (b, place) = (b.wrapping_add(tiles.k * 2 * S::LANES), place.after(cols));
            }
        }
    }
}

/// Tiles of `MR` rows, one below the other, whose sizes `multiply_down` has checked.
struct Down<'a, 'c, const MR: usize> {
    tiles: &'a Tiles<'a>,
    c: &'a mut MatMut<'c>,
}

impl<const MR: usize> Job for Down<'_, '_, MR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if const { MR > S::ROWS } {
            return;
        }
        let (rows, cols, stride, at) = (self.c.rows(), self.c.cols(), self.c.stride(), self.c.as_mut_ptr());
        let (b, b_stride) = match self.tiles.b {
            Columns::Panels(b) => (b.as_ptr(), cols.next_multiple_of(S::LANES)),
            Columns::Rows(b, stride) => (b.as_ptr(), stride),
        };
        for first in (0..rows).step_by(MR) {
            let tiles = self.tiles.rows(first..first + MR);
            let place = Place::of_matrix(at.wrapping_add(first * stride), stride, cols);
            // SAFETY: `multiply_down` checked that `a` and `b` are long enough; the rows are those of `c`.
            unsafe {
                if cols > S::LANES {
                    tile::<S, MR, 2>(simd, &tiles, (b, b_stride), &[], (cols, &place));
                } else {
                    tile::<S, MR, 1>(simd, &tiles, (b, b_stride), &[], (cols, &place));
                }
            }
        }
    }
}

/// A tile of `MR` rows and `NV` registers a row.
///
/// # Safety
/// `a` has `k` groups of `MR` values, or as many rows of `k` values; `b` has `k` rows of `NV * LANES` values; all of the place
/// is writable.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    tiles: &Tiles<'_>,
    b: (*const f32, usize),
    next: &[f32],
    (cols, place): (usize, &Place),
) {
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
    let a = tiles.a.as_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = if tiles.a_row > 1 {
            product_of_rows::<S, MR, NV>(simd, tiles.k, (a, tiles.a_row), b)
        } else if tiles.a_stride > MR {
            product::<S, MR, NV, true>(simd, tiles.k, (a, tiles.a_stride), b, next)
        } else {
            product::<S, MR, NV, false>(simd, tiles.k, (a, tiles.a_stride), b, next)
        };
        if tiles.alpha != 1.0 {
            let alpha = simd.splat(tiles.alpha);
            sum.as_flattened_mut().iter_mut().for_each(|s| *s = simd.mul(*s, alpha));
        }
        if let Some(bias) = tiles.epilogue.bias {
            for (sums, &bias) in sum.iter_mut().zip(&bias[..MR]) {
                let bias = simd.splat(bias);
                sums.iter_mut().for_each(|s| *s = simd.add(*s, bias));
            }
        }
        let (add, standard) = (tiles.beta != 0.0, tiles.epilogue.standards.is_some());
        if cols == NV * S::LANES && cols <= place.first && place.beside.is_none() {
            return match (add, standard) {
                (false, false) => store_whole::<S, MR, NV, false, false>(simd, tiles, &sum, place),
                (true, false) => store_whole::<S, MR, NV, true, false>(simd, tiles, &sum, place),
                (false, true) => store_whole::<S, MR, NV, false, true>(simd, tiles, &sum, place),
                (true, true) => store_whole::<S, MR, NV, true, true>(simd, tiles, &sum, place),
            };
        }
        // A copy, for the sums of whole tiles never to leave their registers.
        let (sum, place) = (&{ sum }, (cols, place));
        match (add, standard, place.1.beside.is_some()) {
            (false, false, _) => store::<S, MR, NV, false, false, false>(simd, tiles, sum, place),
            (true, false, false) => store::<S, MR, NV, true, false, false>(simd, tiles, sum, place),
            (true, false, true) => store::<S, MR, NV, true, false, true>(simd, tiles, sum, place),
            (false, true, _) => store::<S, MR, NV, false, true, false>(simd, tiles, sum, place),
            (true, true, _) => store::<S, MR, NV, true, true, false>(simd, tiles, sum, place),
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
                    let (b, epilogue) = (Columns::Rows(&b, isa.tile_cols()), Epilogue::default());
                    let tiles = Tiles { k: K, a: &a, a_stride, a_row, b, alpha: 1.0, beta: 0.0, epilogue };
                    let mut c = vec![f32::NAN; m * n];
                    multiply(isa, &tiles, MatMut::new(&mut c, m, n, n));
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
    fn tiles_follow_each_other_down() {
        const K: usize = 5;
        for isa in Isa::all() {
            for (m, n) in (1..=3 * isa.tile_rows() + 1)
                .flat_map(|m| [1, isa.lanes(), isa.tile_cols() - 1].map(|n| (m, n)))
            {
                let numbers = |len: usize| (0..len).map(|v| (v * 7 % 11) as f32 - 5.0).collect::<Vec<_>>();
                let (a, b, bias) = (numbers(K * (m + 2)), numbers(K * 40), numbers(m));
                let tiles = Tiles {
                    k: K,
                    a: &a,
                    a_stride: m + 2,
                    a_row: 1,
                    b: Columns::Rows(&b, 40),
                    alpha: 2.0,
                    beta: 1.0,
                    epilogue: Epilogue { bias: Some(&bias), ..Epilogue::default() },
                };
                let mut c = vec![1.0; m * (n + 1)];
                multiply_down(isa, &tiles, MatMut::new(&mut c, m, n, n + 1));
                for (at, c) in c.into_iter().enumerate() {
                    let (i, j) = (at / (n + 1), at % (n + 1));
                    let sum = || (0..K).map(|k| a[i + k * (m + 2)] * b[j + k * 40]).sum::<f32>();
                    let want = if j == n { 1.0 } else { 2.0 * sum() + bias[i] + 1.0 };
                    assert_eq!(c, want, "{m} x {n} on {}", isa.name());
                }
            }
        }
    }

    #[test]
    fn columns_go_to_their_images() {
        for isa in Isa::all() {
            let (m, wide, lanes) = (isa.tile_rows(), isa.tile_cols(), isa.lanes());
            let sizes = [wide, wide + lanes, 3 * wide + 3];
            for (n, area) in sizes
                .into_iter()
                .flat_map(|n| [1, 3, lanes - 1, lanes + 1, wide, 2 * wide + lanes].map(move |area| (n, area)))
            {
                // The sums are 1, 2, 3 and so on in each row, a half of each from the second k, and begin in the second image.
                let mut b = vec![];
                for panel in (0..n).step_by(wide) {
                    let cols = panel..n.next_multiple_of(lanes).min(panel + wide);
                    b.extend((0..2).flat_map(|_| cols.clone().map(|j| 0.5 * j as f32)));
                }
                let (ones, standards) = (vec![1.0; 2 * m], Epilogue::standards_for_tests(m));
                let bias = Some(&ones[..]);
                for (standards, relu, beta, cleared) in [
                    (None, false, 2.0, false),
                    (None, false, 2.0, true),
                    (None, true, 0.0, false),
                    (Some(&standards[..]), false, 0.0, false),
                    (Some(&standards), true, 2.0, false),
                ] {
                    let epilogue = Epilogue { bias, standards, relu };
                    let (a, a_stride, b) = (&ones, m, Columns::Panels(&b));
                    let tiles = Tiles { k: 2, a, a_stride, a_row: 1, b, alpha: 1.0, beta, epilogue };
                    let (images, start) = (n.div_ceil(area) + 2, area + area / 2);
                    let mut data = vec![0.5; images * (m + 1) * area];
                    let beside: Vec<f32> =
                        (0..data.len()).map(|at| [1.0, -1.0, 0.0, f32::NAN, 2.0][at % 5]).collect();
                    let beside = cleared.then_some(&beside[..]);
                    let mut c = ImagesMut::new(&mut data, images, m + 1, area).where_above_0(beside);
                    multiply_across(isa, &tiles, Next::default(), &mut c, 1..m + 1, start..start + n);
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
