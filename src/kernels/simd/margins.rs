//! Copies of rows between margins.

use super::Simd;

/// Rows copied before the next registers of them: masks are made once for so many.
const ROWS: usize = 8;

/// Each row of `out`, `pitch` long, = `before` zeros, the first `width` of `from`'s values, and zeros; rows of `from` lie `distance`
/// apart.
///
/// # Panics
/// When something reaches outside.
#[inline(always)]
pub fn pad_rows<S: Simd>(
    simd: S,
    (from, distance): (&[f32], usize),
    (before, width): (usize, usize),
    out: &mut [f32],
    pitch: usize,
) {
    let rows = out.len() / pitch.max(1);
    assert!(before + width <= pitch, "a row and its margins");
    assert!(rows == 0 || (rows - 1) * distance + width <= from.len(), "rows reach outside");
    for row in (0..rows).step_by(ROWS) {
        for x in (0..pitch).step_by(S::LANES) {
            let n = S::LANES.min(pitch - x);
            let first = before.saturating_sub(x).min(n);
            let end = (before + width).saturating_sub(x).clamp(first, n);
            for row in row..rows.min(row + ROWS) {
                let from = from.as_ptr().wrapping_add(row * distance + x).wrapping_sub(before);
                // SAFETY: these lanes lie inside the row of `from`; `out` has `n` values of its row from `x` on.
                unsafe {
                    let values = simd.load_lanes(from, (first, end));
                    simd.store_first(out.as_mut_ptr().add(row * pitch + x), n, values);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Isa, Job};

    struct Pad<'a>(&'a [f32], usize, (usize, usize), &'a mut [f32], usize);

    impl Job for Pad<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            pad_rows(simd, (self.0, self.1), self.2, self.3, self.4);
        }
    }

    #[test]
    fn rows_lie_between_zeros() {
        let from: Vec<f32> = (1..1000).map(|v| v as f32).collect();
        for (isa, rows) in Isa::all().flat_map(|isa| [0, 1, 8, 11].map(|rows| (isa, rows))) {
            for (before, width, after) in
                [(0, 1, 0), (2, 28, 2), (17, 3, 20), (1, 0, 1), (3, 15, 0), (0, 33, 1)]
            {
                let (pitch, distance) = (before + width + after, width + 5);
                let mut out = vec![f32::NAN; rows * pitch];
                isa.run(Pad(&from, distance, (before, width), &mut out, pitch));
                for (i, &v) in out.iter().enumerate() {
                    let x = (i % pitch).wrapping_sub(before);
                    let want = if x < width { from[i / pitch * distance + x] } else { 0.0 };
                    assert_eq!(v, want, "{i} of {rows} x {pitch} on {}", isa.name());
                }
            }
        }
    }
}
