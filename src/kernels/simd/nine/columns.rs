//! What three taps of a row meet: registers of neighbouring outputs, loaded from rows without margins.

use super::Nine;
use crate::kernels::simd::Simd;

/// Writes the first `n` lanes.
///
/// # Safety
/// `n` values are writable at `p`.
#[inline(always)]
pub unsafe fn store<S: Simd>(simd: S, p: *mut f32, n: usize, v: S::V) {
    // SAFETY: the caller's promise.
    unsafe { if n == S::LANES { simd.store(p, v) } else { simd.store_first(p, n, v) } }
}

/// Reads the first `n` lanes; the others are 0.
///
/// # Safety
/// `n` values are readable at `p`.
#[inline(always)]
pub unsafe fn load<S: Simd>(simd: S, p: *const f32, n: usize) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { if n == S::LANES { simd.load(p) } else { simd.load_first(p, n) } }
}

/// A register of outputs of a row, and which columns of the input they meet.
#[derive(Clone, Copy)]
pub struct Columns {
    /// The first output.
    pub x: usize,
    /// Number of outputs.
    pub n: usize,
    pad: usize,
    /// Columns of the input.
    width: usize,
    /// Whether all columns that a full register meets lie inside.
    pub inside: bool,
}

impl Columns {
    #[inline(always)]
    pub fn new<S: Simd, const STRIDE: usize>(nine: &Nine, x: usize) -> Self {
        let (n, pad, width) = (S::LANES.min(nine.output[1] - x), nine.pad[1], nine.input[1]);
        let inside = x * STRIDE >= pad && x * STRIDE + STRIDE * S::LANES + 2 <= width + pad;
        Self { x, n, pad, width, inside: inside && n == S::LANES }
    }

    /// What the three taps of a row of the input meet.
    ///
    /// # Safety
    /// `row` has `width` values; `INSIDE` is `inside`.
    #[inline(always)]
    pub unsafe fn load<S: Simd, const STRIDE: usize, const INSIDE: bool>(
        self,
        simd: S,
        row: *const f32,
    ) -> [S::V; 3] {
        // SAFETY: `INSIDE` says that full registers lie inside, else counts say how many values do.
        unsafe {
            match (STRIDE, INSIDE) {
                (1, true) => {
                    let p = row.add(self.x - self.pad);
                    [simd.load(p), simd.load(p.add(1)), simd.load(p.add(2))]
                }
                (1, false) => {
                    [self.edge::<S>(simd, row, 0), self.edge::<S>(simd, row, 1), self.edge::<S>(simd, row, 2)]
                }
                (_, true) => {
                    let p = row.add(2 * self.x - 1);
                    let (a, b) = simd.unzip(simd.load(p), simd.load(p.add(S::LANES)));
                    let (c, _) = simd.unzip(simd.load(p.add(2)), simd.load(p.add(S::LANES + 2)));
                    [a, b, c]
                }
                (_, false) => self.edges_of_pairs(simd, row),
            }
        }
    }

    /// What tap `t` meets where the kernel moves by one and the row may end.
    ///
    /// # Safety
    /// `row` has `width` values.
    #[inline(always)]
    unsafe fn edge<S: Simd>(self, simd: S, row: *const f32, t: usize) -> S::V {
        // Lane i reads column x + i + t - pad.
        let first = self.pad.saturating_sub(self.x + t);
        let end = (self.width + self.pad).saturating_sub(self.x + t).min(self.n);
        let from = row.wrapping_add(self.x + t).wrapping_sub(self.pad);
        // SAFETY: these lanes lie inside the row.
        unsafe { simd.load_lanes(from, (first.min(end), end)) }
    }

    /// What the taps meet where the kernel moves by two, a zero lies before the row, and the row may end.
    ///
    /// # Safety
    /// `row` has `width` values.
    #[inline(always)]
    unsafe fn edges_of_pairs<S: Simd>(self, simd: S, row: *const f32) -> [S::V; 3] {
        // SAFETY: `pair` reads what lies below `width`.
        unsafe {
            if self.x == 0 {
                let (even, odd) = self.pair(simd, row, 0);
                return [simd.shift(odd), even, odd];
            }
            let (a, b) = self.pair(simd, row, 2 * self.x - 1);
            let (c, _) = self.pair(simd, row, 2 * self.x + 1);
            [a, b, c]
        }
    }

    /// The `n` values at `from`, `from + 2`, ..., and those between them; zeros beyond the row.
    ///
    /// # Safety
    /// `row` has `width` values.
    #[inline(always)]
    unsafe fn pair<S: Simd>(self, simd: S, row: *const f32, from: usize) -> (S::V, S::V) {
        let from = from.min(self.width);
        let all = (2 * self.n).min(self.width - from);
        let first = all.min(S::LANES);
        // SAFETY: `from + all <= width`.
        unsafe {
            let p = row.add(from);
            simd.unzip(simd.load_first(p, first), simd.load_first(p.add(first), all - first))
        }
    }
}
