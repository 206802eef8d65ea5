//! AVX2 with FMA: 8 lanes, 16 registers.

mod parts;
mod steps;

use std::arch::x86_64::*;

use parts::{mask, store_pieces, turned};

use super::{
    Job, LINE, Left, Lines, SQRT_HALF, Simd,
    x86::{instructions, requests},
};

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Fma(());

impl Fma {
    /// `None` where the processor lacks them.
    pub fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// Runs `job` compiled with these instructions.
    #[inline]
    pub fn run<J: Job>(self, job: J) -> J::Output {
        #[target_feature(enable = "avx2,fma")]
        fn inner<J: Job>(simd: Fma, job: J) -> J::Output {
            job.run(simd)
        }
        // SAFETY: `self` exists only where `new` found the features.
        unsafe { inner(self, job) }
    }
}

// SAFETY of every block below: the token exists only where the instructions do; pointers are the caller's promise.
impl Simd for Fma {
    type V = __m256;
    const LANES: usize = 8;
    const FUSED: bool = true;
    const ROWS: usize = 6;

    instructions! { __m256:
        fma(a, b, c) = _mm256_fmadd_ps;
        mul(a, b) = _mm256_mul_ps;
        add(a, b) = _mm256_add_ps;
        max(a, b) = _mm256_max_ps;
        div(a, b) = _mm256_div_ps;
        sqrt(a) = _mm256_sqrt_ps;
        min(a, b) = _mm256_min_ps;
        and_bits(a, b) = _mm256_and_ps;
        xor_bits(a, b) = _mm256_xor_ps;
    }

    #[inline(always)]
    unsafe fn add_steps<const MR: usize, const NV: usize>(
        self,
        sum: &mut [[__m256; NV]; MR],
        k: usize,
        left: Left<MR>,
        right: (*const f32, usize),
        next: Option<*const f32>,
    ) -> bool {
        if const { NV != 2 || MR < 4 || MR > Self::ROWS } {
            return false;
        }
        // SAFETY: see above; there are two registers a row.
        unsafe {
            let sum = &mut *std::ptr::from_mut(sum).cast::<[[__m256; 2]; MR]>();
            match (left, next) {
                (Left::Groups(a, step), Some(next)) => {
                    steps::add_groups::<MR, true, false>(sum, k, (a, step), right, next)
                }
                (Left::Groups(a, step), None) if right.1 == LINE => {
                    steps::add_groups::<MR, false, true>(sum, k, (a, step), right, a)
                }
                (Left::Groups(a, step), None) => {
                    steps::add_groups::<MR, false, false>(sum, k, (a, step), right, a)
                }
                (Left::Rows(a), Some(next)) => steps::add_rows::<MR, true>(sum, k, a, right, next),
                (Left::Rows(a), None) => steps::add_rows::<MR, false>(sum, k, a, right, a[0]),
            }
        }
        true
    }

    requests! {
        prefetch = _MM_HINT_T0;
        prefetch_to_second = _MM_HINT_T1;
        prefetch_to_write = _MM_HINT_ET0;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn with_sign_of(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            {
                let sign = _mm256_set1_ps(-0.0);
                _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b))
            }
        }
    }
    #[inline(always)]
    fn where_greater(self, a: __m256, b: __m256, i: __m256, j: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_blendv_ps(j, i, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
    }
    #[inline(always)]
    fn where_at_most(self, a: __m256, b: __m256, i: __m256, j: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_blendv_ps(j, i, _mm256_cmp_ps::<_CMP_LE_OQ>(a, b)) }
    }
    #[inline(always)]
    fn where_equal(self, a: __m256, b: __m256, i: __m256, j: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_blendv_ps(j, i, _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)) }
    }
    #[inline(always)]
    fn equal_bits(self, a: __m256, b: __m256) -> u32 {
        // SAFETY: see above.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)) as u32 }
    }
    #[inline(always)]
    fn inverse_fourth_root_guess(self, x: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let quarter = _mm256_srli_epi32::<2>(_mm256_castps_si256(x));
            _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_set1_epi32(0x4f58_6000), quarter))
        }
    }
    #[inline(always)]
    fn power_of_two(self, shifted: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(shifted))) }
    }
    #[inline(always)]
    fn add_bits(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b))) }
    }
    #[inline(always)]
    fn turn_bits<const N: u32>(self, a: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let a = _mm256_castps_si256(a);
            // Whole bytes are moved at once.
            let turned = match N {
                8 => _mm256_shuffle_epi8(
                    a,
                    _mm256_setr_epi32(
                        0x0201_0003,
                        0x0605_0407,
                        0x0a09_080b,
                        0x0e0d_0c0f,
                        0x0201_0003,
                        0x0605_0407,
                        0x0a09_080b,
                        0x0e0d_0c0f,
                    ),
                ),
                16 => _mm256_shuffle_epi8(
                    a,
                    _mm256_setr_epi32(
                        0x0100_0302,
                        0x0504_0706,
                        0x0908_0b0a,
                        0x0d0c_0f0e,
                        0x0100_0302,
                        0x0504_0706,
                        0x0908_0b0a,
                        0x0d0c_0f0e,
                    ),
                ),
                _ => {
                    let (left, right) = (_mm_cvtsi32_si128(N as i32), _mm_cvtsi32_si128(32 - N as i32));
                    _mm256_or_si256(_mm256_sll_epi32(a, left), _mm256_srl_epi32(a, right))
                }
            };
            _mm256_castsi256_ps(turned)
        }
    }
    #[inline(always)]
    fn where_set(self, bits: u32, i: __m256, j: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits as i32), lanes), lanes);
            _mm256_blendv_ps(j, i, _mm256_castsi256_ps(set))
        }
    }
    #[inline(always)]
    fn split_by_sqrt_half(self, x: __m256) -> (__m256, __m256) {
        // SAFETY: see above.
        unsafe {
            let x = _mm256_castps_si256(x);
            let k = _mm256_srai_epi32::<23>(_mm256_sub_epi32(x, _mm256_set1_epi32(SQRT_HALF)));
            let m = _mm256_sub_epi32(x, _mm256_slli_epi32::<23>(k));
            (_mm256_cvtepi32_ps(k), _mm256_castsi256_ps(m))
        }
    }
    #[inline(always)]
    fn shift(self, v: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let before = _mm256_castps_si256(_mm256_permute2f128_ps::<0x08>(v, v));
            _mm256_castsi256_ps(_mm256_alignr_epi8::<12>(_mm256_castps_si256(v), before))
        }
    }
    #[inline(always)]
    fn pick(self, v: __m256, numbers: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_permutevar8x32_ps(v, _mm256_castps_si256(numbers)) }
    }
    #[inline(always)]
    fn pick_or_0(self, v: __m256, numbers: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let known = _mm256_cmpgt_epi32(_mm256_set1_epi32(8), _mm256_castps_si256(numbers));
            _mm256_and_ps(self.pick(v, numbers), _mm256_castsi256_ps(known))
        }
    }
    #[inline(always)]
    fn pick_two(self, a: __m256, b: __m256, numbers: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            // The bit of 8 becomes the sign.
            let second = _mm256_slli_epi32::<28>(_mm256_castps_si256(numbers));
            _mm256_blendv_ps(self.pick(a, numbers), self.pick(b, numbers), _mm256_castsi256_ps(second))
        }
    }
    #[inline(always)]
    fn unzip(self, a: __m256, b: __m256) -> (__m256, __m256) {
        // SAFETY: see above.
        unsafe {
            let low = _mm256_permute2f128_ps::<0x20>(a, b);
            let high = _mm256_permute2f128_ps::<0x31>(a, b);
            (_mm256_shuffle_ps::<0x88>(low, high), _mm256_shuffle_ps::<0xdd>(low, high))
        }
    }
    #[inline(always)]
    fn zip(self, a: __m256, b: __m256) -> (__m256, __m256) {
        // SAFETY: see above.
        unsafe {
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn stream(self, p: *mut f32, v: Self::V) {
        // SAFETY: see above; the caller promised `LANES` values, and where they begin.
        unsafe { _mm256_stream_ps(p, v) }
    }
    #[inline(always)]
    fn fence(self) {
        // SAFETY: it only waits.
        unsafe { _mm_sfence() }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> __m256 {
        // SAFETY: see above; masked lanes are not touched.
        unsafe { _mm256_maskload_ps(p, mask(n)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: __m256) {
        // SAFETY: see above; no more than `n` values are written.
        unsafe { if n >= 8 { _mm256_storeu_ps(p, v) } else { store_pieces(p, n, v) } }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, p: *const f32, (first, end): (usize, usize)) -> __m256 {
        // SAFETY: see above; masked lanes are not touched.
        unsafe { _mm256_maskload_ps(p, _mm256_andnot_si256(mask(first), mask(end))) }
    }
    #[inline(always)]
    unsafe fn store_lanes(self, p: *mut f32, (first, end): (usize, usize), v: __m256) {
        // SAFETY: see above; these lanes alone are written.
        unsafe {
            if first == 0 {
                self.store_first(p, end, v);
            } else {
                store_pieces(p.wrapping_add(first), end.saturating_sub(first), turned(first, v));
            }
        }
    }
    #[inline(always)]
    unsafe fn store_bytes_first(self, p: *mut u8, n: usize, v: __m256) {
        // SAFETY: see above; `n` bytes are written.
        unsafe {
            // The lowest byte of each lane, gathered in either half.
            let whole = _mm256_cvttps_epi32(v);
            let low = _mm256_shuffle_epi8(whole, _mm256_set1_epi32(0x0c08_0400));
            let halves = _mm256_permutevar8x32_epi32(low, _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4));
            let bytes = _mm_cvtsi128_si64(_mm256_castsi256_si128(halves)) as u64;
            match n {
                8 => p.cast::<u64>().write_unaligned(bytes),
                4.. => {
                    p.cast::<u32>().write_unaligned(bytes as u32);
                    p.add(n - 4).cast::<u32>().write_unaligned((bytes >> (8 * (n - 4))) as u32);
                }
                _ => (0..n).for_each(|i| *p.add(i) = (bytes >> (8 * i)) as u8),
            }
        }
    }
    #[inline(always)]
    unsafe fn add_where(self, a: __m256, b: __m256, p: *const u8, number: u8) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let equal = _mm_cmpeq_epi8(_mm_loadl_epi64(p.cast()), _mm_set1_epi8(number as i8));
            let taken = _mm256_castsi256_ps(_mm256_cvtepi8_epi32(equal));
            _mm256_add_ps(a, _mm256_and_ps(taken, b))
        }
    }
    #[inline(always)]
    unsafe fn transpose(self, from: Lines, rows: usize, cols: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: see above; loads and stores touch what the caller promised.
        unsafe {
            // Loops, not closures: intrinsics are inlined only into code that is itself compiled for them.
            let mut row = [_mm256_setzero_ps(); 8];
            for (i, row) in row.iter_mut().enumerate() {
                *row = from.load(self, i, rows, cols);
            }
            // Lane l of group 4i + c: column 4l + c of rows 4i to 4i + 3.
            let mut group = [_mm256_setzero_pd(); 8];
            for i in (0..8).step_by(4) {
                let low = _mm256_castps_pd(_mm256_unpacklo_ps(row[i], row[i + 1]));
                let high = _mm256_castps_pd(_mm256_unpackhi_ps(row[i], row[i + 1]));
                let low2 = _mm256_castps_pd(_mm256_unpacklo_ps(row[i + 2], row[i + 3]));
                let high2 = _mm256_castps_pd(_mm256_unpackhi_ps(row[i + 2], row[i + 3]));
                group[i] = _mm256_unpacklo_pd(low, low2);
                group[i + 1] = _mm256_unpackhi_pd(low, low2);
                group[i + 2] = _mm256_unpacklo_pd(high, high2);
                group[i + 3] = _mm256_unpackhi_pd(high, high2);
            }
            let mut column = [_mm256_setzero_ps(); 8];
            for c in 0..4 {
                let (low, high) = (_mm256_castpd_ps(group[c]), _mm256_castpd_ps(group[4 + c]));
                column[c] = _mm256_permute2f128_ps::<0x20>(low, high);
                column[4 + c] = _mm256_permute2f128_ps::<0x31>(low, high);
            }
            for (j, &v) in column.iter().enumerate() {
                if j < cols {
                    _mm256_storeu_ps(to.add(j * to_stride), v);
                }
            }
        }
    }
}
