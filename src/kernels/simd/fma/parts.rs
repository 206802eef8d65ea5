//! Parts of registers.

use std::arch::x86_64::*;

/// A lane's sign bit is set, and so the lane is moved, where its number is below `n`: a window into ones and zeros.
#[inline(always)]
pub(super) fn mask(n: usize) -> __m256i {
    static WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let start = 8 - n.min(8);
    // SAFETY: `start + 8 <= 16`; the token of the caller proves AVX.
    unsafe { _mm256_loadu_si256(WINDOW.as_ptr().add(start).cast()) }
}

/// The lanes from the `n`-th on, fewer than eight, and those before behind them.
#[inline(always)]
pub(super) fn turned(n: usize, v: __m256) -> __m256 {
    // Of a number the last three bits count.
    static WINDOW: [i32; 15] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
    // SAFETY: `7 + 8 <= 15`; the token of the caller proves AVX2.
    unsafe { _mm256_permutevar8x32_ps(v, _mm256_loadu_si256(WINDOW.as_ptr().add(n.min(7)).cast())) }
}

/// The first `n` lanes, fewer than eight, by four, two and one: a masked store takes Zen 3 twelve cycles, these take three or four.
///
/// # Safety
/// The processor has AVX; `p` has `n` writable values.
#[inline(always)]
pub(super) unsafe fn store_pieces(mut p: *mut f32, n: usize, v: __m256) {
    // SAFETY: the caller's promise; each piece begins where the one before ends.
    unsafe {
        let mut rest = _mm256_castps256_ps128(v);
        if n & 4 != 0 {
            _mm_storeu_ps(p, rest);
            rest = _mm256_extractf128_ps::<1>(v);
            p = p.add(4);
        }
        if n & 2 != 0 {
            _mm_storel_epi64(p.cast(), _mm_castps_si128(rest));
            rest = _mm_movehl_ps(rest, rest);
            p = p.add(2);
        }
        if n & 1 != 0 {
            _mm_store_ss(p, rest);
        }
    }
}
