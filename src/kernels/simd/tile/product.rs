//! The sums of a tile.

use crate::kernels::simd::{LINE, Left, Simd};

/// Rows of B that are fetched ahead, where they are.
const AHEAD: usize = 16;

/// The sums over k: one broadcast value of `a` times `NV` registers of `b`, for each row. What is `FAR` from the values of
/// the next k is fetched eight ahead; else a register of `next` for each k, or if there is none and a row of `b` is one line of
/// the cache, rows of `b`: with few rows of sums little time passes until the next is needed.
///
/// # Safety
/// `a` has `k` groups of `MR` values; `b` has `k` rows of `NV * LANES` readable values.
#[inline(always)]
pub unsafe fn product<S: Simd, const MR: usize, const NV: usize, const FAR: bool>(
    simd: S,
    k: usize,
    (mut a, a_stride): (*const f32, usize),
    (mut b, b_stride): (*const f32, usize),
    next: &[f32],
) -> [[S::V; NV]; MR] {
    let mut sum = [[simd.splat(0.0); NV]; MR];
    let ahead = (!next.is_empty()).then_some(next.as_ptr());
    // SAFETY: the caller's promise.
    if unsafe { simd.add_steps(&mut sum, k, Left::Groups(a, a_stride), (b, b_stride), ahead) } {
        return sum;
    }
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
pub unsafe fn product_of_rows<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    k: usize,
    (a, a_row): (*const f32, usize),
    (mut b, b_stride): (*const f32, usize),
) -> [[S::V; NV]; MR] {
    let mut sum = [[simd.splat(0.0); NV]; MR];
    let rows: [*const f32; MR] = std::array::from_fn(|i| a.wrapping_add(i * a_row));
    // SAFETY: the caller's promise.
    if unsafe { simd.add_steps(&mut sum, k, Left::Rows(rows), (b, b_stride), None) } {
        return sum;
    }
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
