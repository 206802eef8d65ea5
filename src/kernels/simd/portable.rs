//! Plain Rust over arrays of four values, which LLVM turns into SSE2 or NEON registers.

use super::{Lines, SQRT_HALF, Simd};

/// Runs everywhere.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

#[inline(always)]
fn zip(a: [f32; 4], b: [f32; 4], f: impl Fn(f32, f32) -> f32) -> [f32; 4] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    // Without an FMA instruction `mul_add` is a library call per value.
    const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));
    const ROWS: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    fn fma(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        if Self::FUSED {
            [
                a[0].mul_add(b[0], c[0]),
                a[1].mul_add(b[1], c[1]),
                a[2].mul_add(b[2], c[2]),
                a[3].mul_add(b[3], c[3]),
            ]
        } else {
            self.add(self.mul(a, b), c)
        }
    }
    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn div(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn sqrt(self, a: [f32; 4]) -> [f32; 4] {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    fn min(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn with_sign_of(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, f32::copysign)
    }
    #[inline(always)]
    fn where_greater(self, a: [f32; 4], b: [f32; 4], i: [f32; 4], j: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|l| if a[l] > b[l] { i[l] } else { j[l] })
    }
    #[inline(always)]
    fn where_at_most(self, a: [f32; 4], b: [f32; 4], i: [f32; 4], j: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|l| if a[l] <= b[l] { i[l] } else { j[l] })
    }
    #[inline(always)]
    fn where_equal(self, a: [f32; 4], b: [f32; 4], i: [f32; 4], j: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|l| if a[l] == b[l] { i[l] } else { j[l] })
    }
    #[inline(always)]
    fn equal_bits(self, a: [f32; 4], b: [f32; 4]) -> u32 {
        (0..4).map(|l| u32::from(a[l] == b[l]) << l).sum()
    }
    #[inline(always)]
    fn inverse_fourth_root_guess(self, x: [f32; 4]) -> [f32; 4] {
        x.map(|x| f32::from_bits(0x4f58_6000 - (x.to_bits() >> 2)))
    }
    #[inline(always)]
    fn power_of_two(self, shifted: [f32; 4]) -> [f32; 4] {
        shifted.map(|v| f32::from_bits(v.to_bits() << 23))
    }
    #[inline(always)]
    fn add_bits(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| f32::from_bits(a.to_bits().wrapping_add(b.to_bits())))
    }
    #[inline(always)]
    fn and_bits(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| f32::from_bits(a.to_bits() & b.to_bits()))
    }
    #[inline(always)]
    fn xor_bits(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| f32::from_bits(a.to_bits() ^ b.to_bits()))
    }
    #[inline(always)]
    fn turn_bits<const N: u32>(self, a: [f32; 4]) -> [f32; 4] {
        a.map(|a| f32::from_bits(a.to_bits().rotate_left(N)))
    }
    #[inline(always)]
    fn where_set(self, bits: u32, i: [f32; 4], j: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|l| if bits >> l & 1 == 1 { i[l] } else { j[l] })
    }
    #[inline(always)]
    fn split_by_sqrt_half(self, x: [f32; 4]) -> ([f32; 4], [f32; 4]) {
        let k = x.map(|x| (x.to_bits() as i32).wrapping_sub(SQRT_HALF) >> 23);
        let m = std::array::from_fn(|i| f32::from_bits(x[i].to_bits().wrapping_sub((k[i] << 23) as u32)));
        (k.map(|k| k as f32), m)
    }
    #[inline(always)]
    fn shift(self, v: [f32; 4]) -> [f32; 4] {
        [0.0, v[0], v[1], v[2]]
    }
    #[inline(always)]
    fn pick(self, v: [f32; 4], numbers: [f32; 4]) -> [f32; 4] {
        numbers.map(|i| v[i.to_bits() as usize % 4])
    }
    #[inline(always)]
    fn pick_or_0(self, v: [f32; 4], numbers: [f32; 4]) -> [f32; 4] {
        numbers.map(|i| v.get(i.to_bits() as usize).copied().unwrap_or(0.0))
    }
    #[inline(always)]
    fn pick_two(self, a: [f32; 4], b: [f32; 4], numbers: [f32; 4]) -> [f32; 4] {
        numbers.map(|i| if i.to_bits() & 4 == 0 { a } else { b }[i.to_bits() as usize % 4])
    }
    #[inline(always)]
    fn unzip(self, a: [f32; 4], b: [f32; 4]) -> ([f32; 4], [f32; 4]) {
        ([a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]])
    }
    #[inline(always)]
    fn zip(self, a: [f32; 4], b: [f32; 4]) -> ([f32; 4], [f32; 4]) {
        ([a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]])
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> [f32; 4] {
        // SAFETY: four values are readable; an array has the alignment of its elements.
        unsafe { p.cast::<[f32; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: [f32; 4]) {
        // SAFETY: four values are writable; an array has the alignment of its elements.
        unsafe { p.cast::<[f32; 4]>().write(v) }
    }
    #[inline(always)]
    unsafe fn stream(self, p: *mut f32, v: Self::V) {
        // SAFETY: the caller's promise.
        unsafe { self.store(p, v) }
    }
    #[inline(always)]
    fn fence(self) {}
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> [f32; 4] {
        let mut v = [0.0; 4];
        for (i, lane) in v.iter_mut().enumerate().take(n) {
            // SAFETY: `i < n`, and `n` values are readable.
            *lane = unsafe { *p.add(i) };
        }
        v
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: [f32; 4]) {
        for (i, &lane) in v.iter().enumerate().take(n) {
            // SAFETY: `i < n`, and `n` values are writable.
            unsafe { *p.add(i) = lane };
        }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, p: *const f32, (first, end): (usize, usize)) -> [f32; 4] {
        let mut v = [0.0; 4];
        for (i, lane) in v.iter_mut().enumerate().take(end).skip(first) {
            // SAFETY: lane `i` is readable.
            *lane = unsafe { *p.wrapping_add(i) };
        }
        v
    }
    #[inline(always)]
    unsafe fn store_lanes(self, p: *mut f32, (first, end): (usize, usize), v: [f32; 4]) {
        for (i, &lane) in v.iter().enumerate().take(end).skip(first) {
            // SAFETY: lane `i` is writable.
            unsafe { *p.wrapping_add(i) = lane };
        }
    }
    #[inline(always)]
    unsafe fn store_bytes_first(self, p: *mut u8, n: usize, v: [f32; 4]) {
        for (i, &lane) in v.iter().enumerate().take(n) {
            // SAFETY: `i < n`, and `n` bytes are writable.
            unsafe { *p.add(i) = lane as u8 };
        }
    }
    #[inline(always)]
    unsafe fn add_where(self, a: [f32; 4], b: [f32; 4], p: *const u8, number: u8) -> [f32; 4] {
        let mut v = a;
        for (i, (lane, b)) in v.iter_mut().zip(b).enumerate() {
            // SAFETY: `LANES` bytes are readable.
            *lane += if unsafe { *p.add(i) } == number { b } else { 0.0 };
        }
        v
    }
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}
    #[inline(always)]
    fn prefetch_to_second(self, _: *const f32) {}
    #[inline(always)]
    fn prefetch_to_write(self, _: *const f32) {}
    #[inline(always)]
    unsafe fn transpose(self, from: Lines, rows: usize, cols: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: loads and stores touch what the caller promised.
        unsafe {
            let mut row = [[0.0; 4]; 4];
            for (i, row) in row.iter_mut().enumerate() {
                *row = from.load(self, i, rows, cols);
            }
            let [a, b, c, d] = row;
            let columns = a.iter().zip(&b).zip(&c).zip(&d).take(cols);
            for (j, (((&a, &b), &c), &d)) in columns.enumerate() {
                self.store(to.add(j * to_stride), [a, b, c, d]);
            }
        }
    }
}
