//! AVX-512: 16 lanes, 32 registers, masks for the edges.

use std::arch::x86_64::*;

use super::{
    Job, Lines, SQRT_HALF, Simd,
    functions::ROUND,
    x86::{instructions, requests},
};

/// Proof that the processor has AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// `None` where the processor (or the system's saving of registers) lacks it, or what is built is without it.
    pub fn new() -> Option<Self> {
        let has = !cfg!(without_avx512)
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }

    /// Runs `job` compiled with these instructions.
    #[inline]
    pub fn run<J: Job>(self, job: J) -> J::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn inner<J: Job>(simd: Avx512, job: J) -> J::Output {
            job.run(simd)
        }
        if cfg!(without_avx512) {
            unreachable!("`new` made none");
        }
        // SAFETY: `self` exists only where `new` found the features.
        unsafe { inner(self, job) }
    }
}

/// (ln(1 + r) - r) / r^2 where 1 + r is in each sixteenth from 1 to 3/2, then in each half of one from 3/4 to 1: polynomials that have
/// its values at Chebyshev's points, the highest power first.
#[rustfmt::skip]
static LN_TAILS: [[f32; 16]; 4] = [
    [
        0.180_637_48, 0.148_369_28, 0.123_143_7, 0.103_167_84, 0.087_164_946, 0.074_210_05, 0.063_622_52, 0.054_894_477,
        0.484_598_28, 0.424_739_4, 0.374_082_36, 0.330_950_38, 0.294_017_08, 0.262_224_64, 0.234_722_67, 0.210_822_58,
    ],
    [
        -0.249_262_18, -0.243_331_33, -0.233_960_09, -0.222_790_08, -0.210_838_56, -0.198_732_45, -0.186_852_05, -0.175_420_64,
        -0.131_288_5, -0.170_645_43, -0.199_200_72, -0.219_468_68, -0.233_359_87, -0.242_335_8, -0.247_521_13, -0.249_785_93,
    ],
    [
        0.333_324_22, 0.332_945_2, 0.331_772_48, 0.329_680_77, 0.326_697_7, 0.322_920_44, 0.318_471_58, 0.313_476_62,
        0.353_517_6, 0.344_884_66, 0.339_512_94, 0.336_333_04, 0.334_586_95, 0.333_738_36, 0.333_409_13, 0.333_334_68,
    ],
    [
        -0.499_999_97, -0.499_991_6, -0.499_942_15, -0.499_811, -0.499_562_14, -0.499_168_63, -0.498_612_67, -0.497_884_54,
        -0.498_756_38, -0.499_388_13, -0.499_725_34, -0.499_891_9, -0.499_965_25, -0.499_992_13, -0.499_999_17, -0.5,
    ],
];

#[inline(always)]
fn mask(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1u32 << n) - 1) as __mmask16
}

// SAFETY of every block below: the token exists only where the instructions do; pointers are the caller's promise.
impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const FUSED: bool = true;
    const ROWS: usize = 14;

    instructions! { __m512:
        fma(a, b, c) = _mm512_fmadd_ps;
        mul(a, b) = _mm512_mul_ps;
        add(a, b) = _mm512_add_ps;
        max(a, b) = _mm512_max_ps;
        div(a, b) = _mm512_div_ps;
        sqrt(a) = _mm512_sqrt_ps;
        min(a, b) = _mm512_min_ps;
        and_bits(a, b) = _mm512_and_ps;
        xor_bits(a, b) = _mm512_xor_ps;
    }

    requests! {
        prefetch = _MM_HINT_T0;
        prefetch_to_second = _MM_HINT_T1;
        prefetch_to_write = _MM_HINT_ET0;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn with_sign_of(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe {
            _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xd8>(
                _mm512_castps_si512(a),
                _mm512_castps_si512(b),
                _mm512_set1_epi32(i32::MIN),
            ))
        }
    }
    #[inline(always)]
    fn where_greater(self, a: __m512, b: __m512, i: __m512, j: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), j, i) }
    }
    #[inline(always)]
    fn where_at_most(self, a: __m512, b: __m512, i: __m512, j: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe {
            // The other way round: a mask that must be turned costs a step, and `i` is most often the same for all lanes.
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(a, b), i, j)
        }
    }
    #[inline(always)]
    fn where_equal(self, a: __m512, b: __m512, i: __m512, j: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), j, i) }
    }
    #[inline(always)]
    fn equal_bits(self, a: __m512, b: __m512) -> u32 {
        // SAFETY: see above.
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b).into() }
    }
    #[inline(always)]
    fn inverse_fourth_root_guess(self, x: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let quarter = _mm512_srli_epi32::<2>(_mm512_castps_si512(x));
            _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_set1_epi32(0x4f58_6000), quarter))
        }
    }
    #[inline(always)]
    fn power_of_two(self, shifted: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(shifted))) }
    }
    #[inline(always)]
    fn times_power_of_two(self, a: __m512, k: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_scalef_ps(a, _mm512_sub_ps(k, _mm512_set1_ps(ROUND))) }
    }
    #[inline(always)]
    fn ends_of_power(self, x: __m512, y: __m512, at_0: f32, at_infinity: f32) -> __m512 {
        // Four bits each, from the last on: two kinds of NaN, 0, 1, -infinity, infinity, below 0, above. 0 takes y, 1 x, 2 NaN.
        let [zero, infinity] = [at_0, at_infinity].map(|end| if end == 0.0 { 8 } else { 5 });
        let table = 0x0200_0011 | zero << 8 | infinity << 16 | infinity << 20;
        // SAFETY: see above.
        unsafe { _mm512_fixupimm_ps::<0>(y, x, _mm512_set1_epi32(table)) }
    }
    #[inline(always)]
    fn ln(self, x: __m512) -> __m512 {
        // x = 2^k (1 + r) with r from -1/4 to 1/2; zeros, infinities and what is below 0 come out by themselves.
        // SAFETY: see above.
        unsafe {
            let m = _mm512_getmant_ps::<_MM_MANT_NORM_P75_1P5, _MM_MANT_SIGN_NAN>(x);
            let k = _mm512_sub_ps(_mm512_getexp_ps(x), _mm512_getexp_ps(m));
            let r = _mm512_sub_ps(m, _mm512_set1_ps(1.0));
            let sixteenth = _mm512_srli_epi32::<19>(_mm512_castps_si512(m));
            let mut tail = _mm512_setzero_ps();
            for (i, factors) in LN_TAILS.iter().enumerate() {
                let factor = _mm512_permutexvar_ps(sixteenth, _mm512_loadu_ps(factors.as_ptr()));
                tail = if i == 0 { factor } else { _mm512_fmadd_ps(tail, r, factor) };
            }
            let y = _mm512_fmadd_ps(_mm512_mul_ps(r, r), tail, r);
            _mm512_fmadd_ps(k, _mm512_set1_ps(std::f32::consts::LN_2), y)
        }
    }
    #[inline(always)]
    fn add_bits(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b))) }
    }
    #[inline(always)]
    fn turn_bits<const N: u32>(self, a: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_castsi512_ps(_mm512_rolv_epi32(_mm512_castps_si512(a), _mm512_set1_epi32(N as i32))) }
    }
    #[inline(always)]
    fn where_set(self, bits: u32, i: __m512, j: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mask_blend_ps(bits as __mmask16, j, i) }
    }
    #[inline(always)]
    fn split_by_sqrt_half(self, x: __m512) -> (__m512, __m512) {
        // SAFETY: see above.
        unsafe {
            let x = _mm512_castps_si512(x);
            let k = _mm512_srai_epi32::<23>(_mm512_sub_epi32(x, _mm512_set1_epi32(SQRT_HALF)));
            let m = _mm512_sub_epi32(x, _mm512_slli_epi32::<23>(k));
            (_mm512_cvtepi32_ps(k), _mm512_castsi512_ps(m))
        }
    }
    #[inline(always)]
    fn shift(self, v: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let (v, zero) = (_mm512_castps_si512(v), _mm512_setzero_si512());
            _mm512_castsi512_ps(_mm512_alignr_epi32::<15>(v, zero))
        }
    }
    #[inline(always)]
    fn pick(self, v: __m512, numbers: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_permutexvar_ps(_mm512_castps_si512(numbers), v) }
    }
    #[inline(always)]
    fn pick_or_0(self, v: __m512, numbers: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_permutex2var_ps(v, _mm512_castps_si512(numbers), _mm512_setzero_ps()) }
    }
    #[inline(always)]
    fn pick_two(self, a: __m512, b: __m512, numbers: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_permutex2var_ps(a, _mm512_castps_si512(numbers), b) }
    }
    #[inline(always)]
    fn unzip(self, a: __m512, b: __m512) -> (__m512, __m512) {
        // SAFETY: see above.
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        }
    }
    #[inline(always)]
    fn zip(self, a: __m512, b: __m512) -> (__m512, __m512) {
        // SAFETY: see above.
        unsafe {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            (_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b))
        }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn stream(self, p: *mut f32, v: Self::V) {
        // SAFETY: see above; the caller promised `LANES` values, and where they begin.
        unsafe { _mm512_stream_ps(p, v) }
    }
    #[inline(always)]
    fn fence(self) {
        // SAFETY: it only waits.
        unsafe { _mm_sfence() }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> __m512 {
        // SAFETY: see above; masked lanes are not touched.
        unsafe { _mm512_maskz_loadu_ps(mask(n), p) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: __m512) {
        // SAFETY: see above; masked lanes are not touched.
        unsafe { _mm512_mask_storeu_ps(p, mask(n), v) }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, p: *const f32, (first, end): (usize, usize)) -> __m512 {
        // SAFETY: see above; masked lanes are not touched.
        unsafe { _mm512_maskz_loadu_ps(mask(end) & !mask(first), p) }
    }
    #[inline(always)]
    unsafe fn store_lanes(self, p: *mut f32, (first, end): (usize, usize), v: __m512) {
        // SAFETY: see above; masked lanes are not touched.
        unsafe { _mm512_mask_storeu_ps(p, mask(end) & !mask(first), v) }
    }
    #[inline(always)]
    unsafe fn store_bytes_first(self, p: *mut u8, n: usize, v: __m512) {
        // SAFETY: see above; masked lanes are not touched.
        unsafe {
            let bytes = _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(v));
            _mm_mask_storeu_epi8(p.cast(), mask(n), bytes);
        }
    }
    #[inline(always)]
    unsafe fn add_where(self, a: __m512, b: __m512, p: *const u8, number: u8) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let taken = _mm_cmpeq_epi8_mask(_mm_loadu_si128(p.cast()), _mm_set1_epi8(number as i8));
            _mm512_mask_add_ps(a, taken, a, b)
        }
    }
    #[inline(always)]
    unsafe fn transpose(self, from: Lines, rows: usize, cols: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: see above; loads and stores touch what the caller promised.
        unsafe {
            // Loops, not closures: intrinsics are inlined only into code that is itself compiled for them.
            let mut row = [_mm512_setzero_ps(); 16];
            if (rows, cols) == (16, 16) {
                for (i, row) in row.iter_mut().enumerate() {
                    *row = _mm512_loadu_ps(from.at.add(i * from.stride));
                }
            } else {
                for (i, row) in row.iter_mut().enumerate() {
                    *row = from.load(self, i, rows, cols);
                }
            }
            // Lane l of group 4i + c: column 4l + c of rows 4i to 4i + 3.
            let mut group = [_mm512_setzero_pd(); 16];
            for i in (0..16).step_by(4) {
                let low = _mm512_castps_pd(_mm512_unpacklo_ps(row[i], row[i + 1]));
                let high = _mm512_castps_pd(_mm512_unpackhi_ps(row[i], row[i + 1]));
                let low2 = _mm512_castps_pd(_mm512_unpacklo_ps(row[i + 2], row[i + 3]));
                let high2 = _mm512_castps_pd(_mm512_unpackhi_ps(row[i + 2], row[i + 3]));
                group[i] = _mm512_unpacklo_pd(low, low2);
                group[i + 1] = _mm512_unpackhi_pd(low, low2);
                group[i + 2] = _mm512_unpacklo_pd(high, high2);
                group[i + 3] = _mm512_unpackhi_pd(high, high2);
            }
            let mut column = [_mm512_setzero_ps(); 16];
            for c in 0..4 {
                let (g0, g1) = (_mm512_castpd_ps(group[c]), _mm512_castpd_ps(group[4 + c]));
                let (g2, g3) = (_mm512_castpd_ps(group[8 + c]), _mm512_castpd_ps(group[12 + c]));
                let (low, low2) =
                    (_mm512_shuffle_f32x4::<0x44>(g0, g1), _mm512_shuffle_f32x4::<0x44>(g2, g3));
                let (high, high2) =
                    (_mm512_shuffle_f32x4::<0xee>(g0, g1), _mm512_shuffle_f32x4::<0xee>(g2, g3));
                column[c] = _mm512_shuffle_f32x4::<0x88>(low, low2);
                column[4 + c] = _mm512_shuffle_f32x4::<0xdd>(low, low2);
                column[8 + c] = _mm512_shuffle_f32x4::<0x88>(high, high2);
                column[12 + c] = _mm512_shuffle_f32x4::<0xdd>(high, high2);
            }
            for (j, &v) in column.iter().enumerate() {
                if j < cols {
                    _mm512_storeu_ps(to.add(j * to_stride), v);
                }
            }
        }
    }
}
