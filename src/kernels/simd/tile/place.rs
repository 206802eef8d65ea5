//! Where tiles of sums go, and how they are written there: their columns may be those of several images.

use super::Tiles;
use crate::kernels::simd::{Simd, Standard, standardize};

/// Where tiles go.
#[derive(Clone, Copy)]
pub struct Place {
    /// The first value, and the distance between rows.
    pub at: *mut f32,
    pub stride: usize,
    /// How many columns the first image has from there on, and each of the others, and how much further than its columns an
    /// image lies from the last.
    pub first: usize,
    pub others: usize,
    pub hop: usize,
    /// What lies beside the first value; all that does lies as the tiles do.
    pub beside: Option<*const f32>,
}

impl Place {
    /// A row of tiles of a matrix, of `cols` columns.
    #[inline(always)]
    pub fn of_matrix(at: *mut f32, stride: usize, cols: usize) -> Self {
        Self { at, stride, first: cols, others: cols, hop: 0, beside: None }
    }

    /// The place `cols` columns further.
    #[inline(always)]
    pub fn after(self, mut cols: usize) -> Self {
        let (mut step, mut first) = (0, self.first);
        while cols >= first {
            (step, cols, first) = (step + first + self.hop, cols - first, self.others);
        }
        let (step, first) = (step + cols, first - cols);
        Self {
            at: self.at.wrapping_add(step),
            first,
            beside: self.beside.map(|p| p.wrapping_add(step)),
            ..self
        }
    }
}

/// What is stored of a sum in row `row`: not less than the floor, with `STANDARD` by the row's setting first.
#[inline(always)]
fn finished<S: Simd, const STANDARD: bool>(
    simd: S,
    standards: &[Standard],
    row: usize,
    value: S::V,
    floor: S::V,
) -> S::V {
    if STANDARD {
        let [_, y] = standardize(simd, standards[row].map(|setting| simd.splat(setting)), value);
        // The bits of a rectifier by itself.
        return simd.where_at_most(y, floor, floor, y);
    }
    // The floor first: a value that is not a number stays one.
    simd.max(floor, value)
}

/// Writes a tile of whole registers of one image: `ADD` what `c` holds, and by its `STANDARD`s. Of few products that takes a
/// good part of the time.
///
/// # Safety
/// All of the place is writable in `MR` rows.
#[inline(always)]
pub unsafe fn store_whole<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const ADD: bool,
    const STANDARD: bool,
>(
    simd: S,
    tiles: &Tiles<'_>,
    sum: &[[S::V; NV]; MR],
    place: &Place,
) {
    let beta = simd.splat(tiles.beta);
    let floor = simd.splat(if tiles.epilogue.relu { 0.0 } else { f32::NEG_INFINITY });
    let standards = tiles.epilogue.standards.map_or(&[][..], |standards| &standards[..MR]);
    for (i, sums) in sum.iter().enumerate() {
        for (v, &value) in sums.iter().enumerate() {
            let (p, mut value) = (place.at.wrapping_add(i * place.stride + v * S::LANES), value);
            // SAFETY: the register is columns of row `i`.
            unsafe {
                if ADD {
                    value = simd.fma(simd.load(p), beta, value);
                }
                simd.store(p, finished::<S, STANDARD>(simd, standards, i, value, floor));
            }
        }
    }
}

/// Writes a tile of `cols` columns, image by image: `ADD` what `c` holds, and by its `STANDARD`s; with `CLEAR`, 0 where what lies
/// beside is not above 0. Nothing here but loads and stores depends on branches.
///
/// # Safety
/// All of the place is writable in `MR` rows; with `CLEAR`, something lies beside it.
#[inline(always)]
pub unsafe fn store<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const ADD: bool,
    const STANDARD: bool,
    const CLEAR: bool,
>(
    simd: S,
    tiles: &Tiles<'_>,
    sum: &[[S::V; NV]; MR],
    (cols, place): (usize, &Place),
) {
    let Place { mut at, stride, first, others, hop, beside } = *place;
    let mut beside = beside.unwrap_or(at);
    let beta = simd.splat(tiles.beta);
    let floor = simd.splat(if tiles.epilogue.relu { 0.0 } else { f32::NEG_INFINITY });
    let standards = tiles.epilogue.standards.map_or(&[][..], |standards| &standards[..MR]);
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
                    simd.store_lanes(p, lanes, finished::<S, STANDARD>(simd, standards, i, value, floor));
                }
            }
        }
        (at, beside) = (at.wrapping_add(hop), beside.wrapping_add(hop));
        (start, end) = (end, cols.min(end + others));
    }
}
