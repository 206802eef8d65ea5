//! The only module with `unsafe`: vector instructions behind safe functions, one token type per instruction set.
//!
//! A token (`Avx512`, `Fma`, `Portable`) can be made only where the processor has its instructions, so holding one is
//! the proof that running them is sound. `Isa::best` chooses once, at the first call.
#![allow(unsafe_code, reason = "vector intrinsics and disjoint blocks of one matrix; nowhere else")]

#[cfg(target_arch = "x86_64")]
mod avx512;
mod chacha;
pub mod copy;
mod direct;
mod dots;
mod each;
mod epilogue;
mod filter;
#[cfg(target_arch = "x86_64")]
mod fma;
pub mod folds;
mod functions;
mod gather;
mod images;
mod isa;
mod limits;
mod lines;
pub mod long;
mod margins;
mod matrix;
pub mod maxima;
mod nine;
mod outer;
mod panels;
mod past;
mod peak;
pub mod picks;
mod plane_maxima;
mod plane_sums;
mod planes;
mod portable;
pub mod rows;
mod short;
pub mod spread;
pub mod squares;
mod streams;
mod strips;
mod terms;
mod tile;
mod toom;
mod transpose;
mod wide;
mod winograd;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use chacha::{BLOCK, chacha8};
pub use direct::{Direct, Spot, direct};
pub use dots::{Dots, dots};
pub use each::{Asked, Cut, Each, Own, Renew, each, each_past, each_piece, renew, renew_pieces};
pub use epilogue::{Epilogue, Standard, standardize};
pub use filter::{Block, Filter, PASS, Pass, correlate, filter};
pub use functions::{
    Divisor, Divisors, exp, exp_below_0, exp_m1_below_0, inverse_root, ln, not_below_0, power,
    power_of_quarters, quotient, sigmoid, softplus, softplus_below_0, tanh, whole_power,
};
pub use gather::{Piece, gather};
pub use images::ImagesMut;
pub use isa::Isa;
pub use limits::{MOST_COLS, MOST_LANES, MOST_ROWS};
pub use lines::Lines;
pub use margins::pad_rows;
pub use matrix::{Mat, MatMut};
pub use nine::{Filters, Nine, Pairs, nine_correlate, nine_filter, nine_spread};
pub use outer::{Outer, Run, outer, outer_ahead};
pub use panels::{copy_groups, copy_panels};
pub use past::{LINE, begins_line, write_past};
pub use peak::peak;
pub use plane_maxima::plane_maxima;
pub use plane_sums::plane_sums;
pub use planes::{Ahead, Windows, beside, largest_of, one_by_one, one_by_one_bytes, sum_of};
pub use portable::Portable;
pub use short::fold_rows;
pub use streams::{Streams, streams};
pub use strips::{Pieces, STRIP, Strips, add_groups, strips};
pub use terms::{Sums, Terms, goes_past, store_columns, store_terms, sum_columns, sum_terms};
pub use tile::{Columns, Next, Tiles, multiply, multiply_across, multiply_down};
pub use toom::{HEIGHTS, POINTS, Toom, outputs, toom, transform_lines};
pub use transpose::{Transposed, copy_lines, interleave, transpose, transpose_copy};
pub use wide::{Wide, wide_correlate, wide_filter, wide_spread};
pub use winograd::{Grid, Map, Target, transform};

/// Vector arithmetic of one instruction set. Implemented by tokens that prove the processor supports it.
pub trait Simd: Copy + Send + Sync + 'static {
    /// One register of `LANES` values.
    type V: Copy;
    /// Values in a register.
    const LANES: usize;
    /// Whether [`Simd::fma`] rounds once.
    const FUSED: bool;
    /// The most rows of a tile of C whose accumulators, two registers a row, stay in registers; at most `LANES`.
    const ROWS: usize;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// `a * b + c`, rounded once where the instruction set can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// The larger of the two; `b` where either is not a number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of the two; `b` where either is not a number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a` with the sign of `b`.
    fn with_sign_of(self, a: Self::V, b: Self::V) -> Self::V;
    /// `i` where `a > b`, else `j`.
    fn where_greater(self, a: Self::V, b: Self::V, i: Self::V, j: Self::V) -> Self::V;
    /// `i` where `a <= b`, else `j`.
    fn where_at_most(self, a: Self::V, b: Self::V, i: Self::V, j: Self::V) -> Self::V;
    /// `i` where `a == b`, else `j`.
    fn where_equal(self, a: Self::V, b: Self::V, i: Self::V, j: Self::V) -> Self::V;
    /// The bit of each lane's number: whether `a == b`.
    fn equal_bits(self, a: Self::V, b: Self::V) -> u32;

    /// 0x4f58_6000 less a quarter of the lane's bits, as bits: within 3.1% of x^-1/4, for normal x > 0.
    fn inverse_fourth_root_guess(self, x: Self::V) -> Self::V;
    /// 2^k where a lane is 1.5 * 2^23 + 127 + k, for whole k from -126 to 127; 0 for k = -127, infinity for 128.
    fn power_of_two(self, shifted: Self::V) -> Self::V;
    /// a 2^k, with k as [`Simd::power_of_two`] takes it but of any size.
    #[inline(always)]
    fn times_power_of_two(self, a: Self::V, k: Self::V) -> Self::V {
        functions::in_two_steps(self, a, k)
    }
    /// What a power that is not whole makes of x: `y` of finite x > 0, of zeros and infinities these, 0 or infinity; NaN else.
    #[inline(always)]
    fn ends_of_power(self, x: Self::V, y: Self::V, at_0: f32, at_infinity: f32) -> Self::V {
        functions::ends_of_power(self, x, y, at_0, at_infinity)
    }
    /// The logarithm of each lane, as [`ln`] gives it.
    #[inline(always)]
    fn ln(self, x: Self::V) -> Self::V {
        functions::ln_by_bits(self, x)
    }
    /// k and m, from sqrt(1/2) to sqrt(2), with x = 2^k m, for normal x > 0.
    fn split_by_sqrt_half(self, x: Self::V) -> (Self::V, Self::V);

    /// `a + b` of the lanes' bits as whole numbers, modulo 2^32.
    fn add_bits(self, a: Self::V, b: Self::V) -> Self::V;
    /// The bits that are set in both.
    fn and_bits(self, a: Self::V, b: Self::V) -> Self::V;
    /// The bits in which `a` and `b` differ.
    fn xor_bits(self, a: Self::V, b: Self::V) -> Self::V;
    /// The lanes' bits turned round by `N` places, from 1 to 31, towards the highest.
    fn turn_bits<const N: u32>(self, a: Self::V) -> Self::V;
    /// `i` where the bit of the lane's number is 1, else `j`.
    fn where_set(self, bits: u32, i: Self::V, j: Self::V) -> Self::V;

    /// Lane i + 1 = lane i; lane 0 is 0.
    fn shift(self, v: Self::V) -> Self::V;
    /// Lane i = lane `numbers[i]`, whose lanes are whole numbers below `LANES` as bits.
    fn pick(self, v: Self::V, numbers: Self::V) -> Self::V;
    /// [`Simd::pick`] where the lane's number is below `LANES`; 0 where it is `LANES`.
    fn pick_or_0(self, v: Self::V, numbers: Self::V) -> Self::V;
    /// Lane i = lane `numbers[i]` of `a` followed by `b`; the numbers are whole, below twice `LANES`, as bits.
    fn pick_two(self, a: Self::V, b: Self::V, numbers: Self::V) -> Self::V;
    /// The even and the odd values of `a` followed by `b`.
    fn unzip(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// The values of `a` and `b` in turns; inverse of `unzip`.
    fn zip(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);

    /// Reads a register.
    ///
    /// # Safety
    /// `LANES` values are readable at `p`.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// Writes a register.
    ///
    /// # Safety
    /// `LANES` values are writable at `p`.
    unsafe fn store(self, p: *mut f32, v: Self::V);
    /// Writes a register past the caches, where the set can: its line is not read before. Other threads may read it after a
    /// [`Simd::fence`].
    ///
    /// # Safety
    /// `LANES` values are writable at `p`, whose address is a multiple of a register's size.
    unsafe fn stream(self, p: *mut f32, v: Self::V);
    /// Ends what was streamed.
    fn fence(self);
    /// Reads the first `n <= LANES` lanes; the others are 0.
    ///
    /// # Safety
    /// `n` values are readable at `p`.
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V;
    /// Writes the first `n <= LANES` lanes.
    ///
    /// # Safety
    /// `n` values are writable at `p`.
    unsafe fn store_first(self, p: *mut f32, n: usize, v: Self::V);
    /// Reads lane i of `lanes`, which end at most at `LANES`, at `p + i`; the others are 0, and `p` may lie outside.
    ///
    /// # Safety
    /// The lanes' values are readable.
    unsafe fn load_lanes(self, p: *const f32, lanes: (usize, usize)) -> Self::V;
    /// Writes lane i of `lanes`, which end at most at `LANES`, to `p + i`; `p` may lie outside.
    ///
    /// # Safety
    /// The lanes' values are writable.
    unsafe fn store_lanes(self, p: *mut f32, lanes: (usize, usize), v: Self::V);
    /// Writes the first `n <= LANES` lanes, whole numbers from 0 to 255, as bytes.
    ///
    /// # Safety
    /// `n` bytes are writable at `p`.
    unsafe fn store_bytes_first(self, p: *mut u8, n: usize, v: Self::V);
    /// `a + b` where the lane's byte at `p` is `number`, else `a`, or `a + 0`.
    ///
    /// # Safety
    /// `LANES` bytes are readable at `p`.
    unsafe fn add_where(self, a: Self::V, b: Self::V, p: *const u8, number: u8) -> Self::V;
    /// Adds the products of `k` steps, in order, to a tile's sums, where the set has a loop for such tiles; `false` where it has none.
    /// A step multiplies a value for each row of the left factor by `NV` registers of the right one, whose rows are so far apart.
    /// Registers from `next` on are fetched, one a step; or else what the right factor needs soon.
    ///
    /// # Safety
    /// There are `k` steps of both factors.
    #[inline(always)]
    unsafe fn add_steps<const MR: usize, const NV: usize>(
        self,
        _sum: &mut [[Self::V; NV]; MR],
        _k: usize,
        _left: Left<MR>,
        _right: (*const f32, usize),
        _next: Option<*const f32>,
    ) -> bool {
        false
    }
    /// Asks for the cache line of `p`, which will be read; `p` may point anywhere.
    fn prefetch(self, p: *const f32);
    /// Asks for the cache line of `p`, which will be read later, to wait in the second-level cache; `p` may point anywhere.
    fn prefetch_to_second(self, p: *const f32);
    /// Asks for the cache line of `p`, which will be written; `p` may point anywhere.
    fn prefetch_to_write(self, p: *const f32);
    /// Transposes up to `LANES x LANES` values: column j of the `rows x cols` values at `from` becomes the `LANES`
    /// values at `to + j * to_stride`, those from `rows` on 0.
    ///
    /// Columns are written in order, so what one writes beyond the next's start is overwritten.
    ///
    /// # Safety
    /// `rows` lines of `cols` values, `from_stride` apart, are readable, and `cols` lines of `LANES` values writable.
    unsafe fn transpose(self, from: Lines, rows: usize, cols: usize, to: *mut f32, to_stride: usize);

    /// The first `LANES` values, of which there must be so many.
    #[inline(always)]
    fn read(self, x: &[f32]) -> Self::V {
        assert!(x.len() >= Self::LANES, "fewer values than lanes");
        // SAFETY: there are `LANES` values.
        unsafe { self.load(x.as_ptr()) }
    }
    /// The first values, as many as fit or there are; the other lanes are 0.
    #[inline(always)]
    fn read_first(self, x: &[f32]) -> Self::V {
        // SAFETY: there are as many values.
        unsafe {
            if x.len() >= Self::LANES { self.load(x.as_ptr()) } else { self.load_first(x.as_ptr(), x.len()) }
        }
    }
    /// The first `n` lanes of `v`, if it has so many, and `other` in those behind.
    #[inline(always)]
    fn first_lanes(self, n: usize, v: Self::V, other: f32) -> Self::V {
        self.where_greater(self.splat(n as f32), self.read(&NUMBERS), v, self.splat(other))
    }
    /// Writes the first lanes, as many as fit.
    #[inline(always)]
    fn write_first(self, y: &mut [f32], v: Self::V) {
        // SAFETY: there is room for as many lanes.
        unsafe {
            if y.len() >= Self::LANES {
                self.store(y.as_mut_ptr(), v);
            } else {
                self.store_first(y.as_mut_ptr(), y.len(), v);
            }
        }
    }
    /// `a + b` where the lane's byte, of which there must be `LANES`, is `number`, else `a`, or `a + 0`.
    #[inline(always)]
    fn add_where_byte(self, a: Self::V, b: Self::V, bytes: &[u8], number: u8) -> Self::V {
        assert!(bytes.len() >= Self::LANES, "fewer bytes than lanes");
        // SAFETY: there are `LANES` bytes.
        unsafe { self.add_where(a, b, bytes.as_ptr(), number) }
    }
    /// Writes the first lanes, whole numbers from 0 to 255, as many as fit.
    #[inline(always)]
    fn write_bytes_first(self, y: &mut [u8], v: Self::V) {
        // SAFETY: there is room for as many lanes.
        unsafe { self.store_bytes_first(y.as_mut_ptr(), y.len().min(Self::LANES), v) }
    }
}

/// Where a step of a tile's sums finds a value for each row.
#[derive(Clone, Copy, Debug)]
pub enum Left<const MR: usize> {
    /// Together, and the next step's so far on.
    Groups(*const f32, usize),
    /// In rows, each the next after this.
    Rows([*const f32; MR]),
}

/// The bits of sqrt(1/2).
const SQRT_HALF: i32 = 0x3f35_04f3;

/// The numbers of lanes.
static NUMBERS: [f32; MOST_LANES] = [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];

/// Work compiled once per instruction set. `run` must be `#[inline(always)]` to take part in it, and so must what it calls for each
/// register: loops over an array of them go by index, as `zip` and `map` are calls where the optimizer leaves them.
pub trait Job {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each operation on lanes, written out.
    struct Lanes;

    impl Job for Lanes {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            assert!(S::LANES <= MOST_LANES && S::ROWS <= MOST_ROWS);
            let n = S::LANES;
            let numbers: Vec<f32> = (0..2 * n).map(|v| v as f32).collect();
            let lanes = |v: S::V| {
                let mut out = vec![f32::NAN; n];
                simd.write_first(&mut out, v);
                out
            };
            let (a, b) = (simd.read(&numbers), simd.read(&numbers[n..]));
            let (even, odd) = simd.unzip(a, b);
            assert!(
                (0..n).all(|i| (lanes(even)[i], lanes(odd)[i]) == (2.0 * i as f32, 2.0 * i as f32 + 1.0))
            );
            let back: Vec<f32> = (0..n as u32).rev().map(f32::from_bits).collect();
            assert!(lanes(simd.pick(b, simd.read(&back))).iter().eq(numbers[n..].iter().rev()));
            let some =
                lanes(simd.pick_or_0(b, simd.read(&(1..=n as u32).map(f32::from_bits).collect::<Vec<_>>())));
            assert!(some[..n - 1] == numbers[n + 1..] && some[n - 1] == 0.0);
            let back: Vec<f32> = (0..2 * n as u32).rev().map(f32::from_bits).collect();
            let two = |at: usize| lanes(simd.pick_two(a, b, simd.read(&back[at..])));
            assert!([two(0), two(n)].concat().iter().eq(numbers.iter().rev()));
            let (low, high) = simd.zip(even, odd);
            assert_eq!([lanes(low), lanes(high)].concat(), numbers);
            assert!(lanes(simd.div(b, simd.splat(4.0))).iter().zip(n..).all(|(&q, i)| q == i as f32 / 4.0));
            assert!(lanes(simd.sqrt(simd.mul(a, a))) == numbers[..n]);
            for count in 0..=n {
                let mut out = vec![-1.0; n];
                simd.write_first(&mut out[..count], simd.read_first(&numbers[1..][..count]));
                assert!((0..n).all(|i| out[i] == if i < count { i as f32 + 1.0 } else { -1.0 }));
                let (mut inner, lanes_of) = (vec![-1.0; n], (count / 2, count));
                // SAFETY: both hold `LANES` values.
                unsafe {
                    let v = simd.load_lanes(numbers[1..].as_ptr(), lanes_of);
                    simd.store_lanes(inner.as_mut_ptr(), lanes_of, simd.add(v, v));
                    assert!((0..n).all(|i| i >= count / 2 && i < count || lanes(v)[i] == 0.0));
                }
                let doubled = |i| if i >= count / 2 && i < count { 2.0 * i as f32 + 2.0 } else { -1.0 };
                assert!((0..n).all(|i| inner[i] == doubled(i)));
                let first = lanes(simd.first_lanes(count, b, -2.0));
                assert!((0..n).all(|i| first[i] == if i < count { (n + i) as f32 } else { -2.0 }));
                let mut bytes = vec![7; n];
                simd.write_bytes_first(&mut bytes[..count], simd.mul(a, simd.splat(17.0)));
                assert!((0..n).all(|i| bytes[i] == if i < count { 17 * i as u8 } else { 7 }));
                let sum = lanes(simd.add_where_byte(a, b, &bytes, 7));
                assert!((0..n).all(|i| sum[i] == if i < count { i as f32 } else { (2 * i + n) as f32 }));
            }
            for k in -127..=128 {
                let shifted = 12_582_912.0 + 127.0 + k as f32;
                let want = if k == -127 { 0.0 } else { (k as f32).exp2() };
                assert!(lanes(simd.power_of_two(simd.splat(shifted))).iter().all(|&v| v == want), "{k}");
            }
            let whole = |f: fn(u32) -> u32| (0..n as u32).map(f).collect::<Vec<_>>();
            let bits = |v: S::V| lanes(v).into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let of = |word: u32| simd.splat(f32::from_bits(word));
            let count: Vec<f32> = whole(|i| 0xf000_0001 + 7 * i).into_iter().map(f32::from_bits).collect();
            let count = simd.read(&count);
            assert_eq!(bits(simd.add_bits(count, of(0x1000_0000))), whole(|i| 1 + 7 * i));
            assert_eq!(bits(simd.and_bits(count, of(0xff))), whole(|i| (0xf000_0001 + 7 * i) & 0xff));
            assert_eq!(bits(simd.xor_bits(count, of(0xff))), whole(|i| (0xf000_0001 + 7 * i) ^ 0xff));
            assert_eq!(bits(simd.turn_bits::<16>(count)), whole(|i| (0xf000_0001 + 7 * i).rotate_left(16)));
            assert_eq!(bits(simd.turn_bits::<8>(count)), whole(|i| (0xf000_0001 + 7 * i).rotate_left(8)));
            assert_eq!(bits(simd.turn_bits::<7>(count)), whole(|i| (0xf000_0001 + 7 * i).rotate_left(7)));
            let set = lanes(simd.where_set(0xfff1_a596, a, simd.splat(-1.0)));
            assert!((0..n).all(|i| set[i] == if 0xa596 >> i & 1 == 1 { i as f32 } else { -1.0 }));
            let two = simd.splat(2.0);
            let greater = lanes(simd.where_greater(a, two, a, simd.splat(-1.0)));
            assert!((0..n).all(|i| greater[i] == if i > 2 { i as f32 } else { -1.0 }));
            let at_most = lanes(simd.where_at_most(a, two, a, simd.splat(-1.0)));
            assert!((0..n).all(|i| at_most[i] == if i <= 2 { i as f32 } else { -1.0 }));
            let equal = lanes(simd.where_equal(a, two, a, simd.splat(-1.0)));
            assert!((0..n).all(|i| equal[i] == if i == 2 { 2.0 } else { -1.0 }));
            assert_eq!(simd.equal_bits(a, two), 4);
            assert_eq!(simd.equal_bits(simd.splat(f32::NAN), simd.splat(f32::NAN)), 0);
            let none = simd.where_at_most(a, simd.splat(f32::NAN), a, two);
            assert!(lanes(none).iter().all(|&v| v == 2.0));
            let none = simd.where_greater(a, simd.splat(f32::NAN), a, two);
            assert!(lanes(none).iter().all(|&v| v == 2.0));
        }
    }

    #[test]
    fn lanes_do_as_they_say() {
        Isa::all().for_each(|isa| isa.run(Lanes));
    }
}
