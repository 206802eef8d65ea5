//! The loop over k of tiles of four rows and more, two registers each, in assembly: for each step two loads, and for each row a
//! broadcast and two multiply-adds; four steps at a time.
//!
//! A core (Zen 3) that runs one thread takes six instructions a cycle, more than two multiply-adds a cycle need. Where it runs two,
//! each thread gets three, so a step of 20 instructions for 12 multiply-adds takes 7 cycles instead of 6. The compiler's loop has up
//! to 29, and where four steps are written out it moves loads up until sums no longer fit the registers.

use std::arch::asm;
use std::arch::x86_64::__m256;

/// Bytes of a value.
const VALUE: usize = size_of::<f32>();
/// Rows of the right factor that are fetched ahead where they are lines, and otherwise.
const AHEAD: [usize; 2] = [16, 8];

/// Text of a step: after what is fetched, its row of the right factor begins `$b` after where that is, and its value of row i is at
/// `$a`, i, `$at`.
macro_rules! step {
    ($fetch:literal, $b:literal, $a:literal, $at:literal; $($i:literal)*) => {
        concat!(
            $fetch, "\n",
            "vmovups {b0}, [{b}", $b, "]\n",
            "vmovups {b1}, [{b}", $b, " + 32]\n",
            $(
                "vbroadcastss {x}, [", $a, $i, $at, "]\n",
                "vfmadd231ps {c", $i, "}, {x}, {b0}\n",
                "vfmadd231ps {d", $i, "}, {x}, {b1}\n",
            )*
        )
    };
}

/// All steps. First what stands around a row's number in the address of the left factor's value, in each of four steps, and what moves
/// that on after four and after one; then what is fetched in each, and moves that on; then operands of both, and each row's own.
macro_rules! steps {
    (($sum:ident, $k:ident, $b:ident),
        [$a0:literal $t0:literal $a1:literal $t1:literal $a2:literal $t2:literal $a3:literal $t3:literal, $a_four:literal $a_one:literal],
        [$f0:literal $f1:literal $f2:literal $f3:literal, $f_four:literal $f_one:literal],
        {$($left:tt)*} {$($fetched:tt)*}; $($i:literal $c:ident $d:ident {$($row:tt)*})*) => {
        asm!(
            "sub {k}, 4",
            "jb 3f",
            "2:",
            step!($f0, "", $a0, $t0; $($i)*),
            step!($f1, " + {sb}", $a1, $t1; $($i)*),
            step!($f2, " + 2*{sb}", $a2, $t2; $($i)*),
            step!($f3, " + {tb}", $a3, $t3; $($i)*),
            $a_four,
            "lea {b}, [{b} + 4*{sb}]",
            $f_four,
            "sub {k}, 4",
            "jae 2b",
            "3:",
            "add {k}, 4",
            "jz 5f",
            "4:",
            step!($f0, "", $a0, $t0; $($i)*),
            $a_one,
            "add {b}, {sb}",
            $f_one,
            "dec {k}",
            "jnz 4b",
            "5:",
            $($c = inout(ymm_reg) $sum[$i][0], $d = inout(ymm_reg) $sum[$i][1], $($row)*)*
            $($left)*
            b = inout(reg) $b.0 => _, sb = in(reg) VALUE * $b.1, tb = in(reg) 3 * VALUE * $b.1,
            $($fetched)*
            k = inout(reg) $k => _, b0 = out(ymm_reg) _, b1 = out(ymm_reg) _, x = out(ymm_reg) _,
            options(nostack, readonly)
        )
    };
}

/// All steps of `$MR` rows, whose values of the left factor lie in groups, one for each row, or in rows, wherever these begin. They
/// fetch `lines` from a place on, one a step, or `registers`, half as much, or what `both` factors need some steps later.
macro_rules! add {
    (groups $a:ident, $($rest:tt)*) => {
        add!(@ ["{a} + 4*" "" "{a} + {sa} + 4*" "" "{a} + 2*{sa} + 4*" "" "{a} + {ta} + 4*" "",
            "lea {a}, [{a} + 4*{sa}]" "add {a}, {sa}"],
            {a = inout(reg) $a.0 => _, sa = in(reg) VALUE * $a.1, ta = in(reg) 3 * VALUE * $a.1,},
            [0 c0 d0 {} 1 c1 d1 {} 2 c2 d2 {} 3 c3 d3 {}] [4 c4 d4 {}] [5 c5 d5 {}], $($rest)*)
    };
    (rows $a:ident, $($rest:tt)*) => {
        add!(@ ["{r" "} + {at}" "{r" "} + {at} + 4" "{r" "} + {at} + 8" "{r" "} + {at} + 12", "add {at}, 16" "add {at}, 4"],
            {at = inout(reg) 0_usize => _,},
            [0 c0 d0 {r0 = in(reg) $a[0],} 1 c1 d1 {r1 = in(reg) $a[1],} 2 c2 d2 {r2 = in(reg) $a[2],} 3 c3 d3 {r3 = in(reg) $a[3],}]
            [4 c4 d4 {r4 = in(reg) $a[4],}] [5 c5 d5 {r5 = in(reg) $a[5],}], $($rest)*)
    };
    (@ $left:tt, $held:tt, $rows0:tt $rows1:tt $rows2:tt, $MR:ident, $to:tt, lines $next:expr) => {
        add!(@ $left, $held, $rows0 $rows1 $rows2, $MR, $to, ["prefetcht0 [{next}]" "prefetcht0 [{next} + 64]"
            "prefetcht0 [{next} + 128]" "prefetcht0 [{next} + 192]", "sub {next}, -256" "sub {next}, -64"],
            {next = inout(reg) $next => _,})
    };
    (@ $left:tt, $held:tt, $rows0:tt $rows1:tt $rows2:tt, $MR:ident, $to:tt, registers $next:expr) => {
        add!(@ $left, $held, $rows0 $rows1 $rows2, $MR, $to, ["prefetcht0 [{next}]" "" "prefetcht0 [{next} + 64]" "",
            "sub {next}, -128" "add {next}, 32"], {next = inout(reg) $next => _,})
    };
    (@ $left:tt, $held:tt, $rows0:tt $rows1:tt $rows2:tt, $MR:ident, $to:tt, both $a:expr, $b:expr) => {
        add!(@ $left, $held, $rows0 $rows1 $rows2, $MR, $to, ["prefetcht0 [{p}]\nprefetcht0 [{q}]"
            "prefetcht0 [{p} + {sa}]\nprefetcht0 [{q} + {sb}]" "prefetcht0 [{p} + 2*{sa}]\nprefetcht0 [{q} + 2*{sb}]"
            "prefetcht0 [{p} + {ta}]\nprefetcht0 [{q} + {tb}]",
            "lea {p}, [{p} + 4*{sa}]\nlea {q}, [{q} + 4*{sb}]" "add {p}, {sa}\nadd {q}, {sb}"],
            {p = inout(reg) $a => _, q = inout(reg) $b => _,})
    };
    (@ $left:tt, $held:tt, [$($four:tt)*] [$($fifth:tt)*] [$($sixth:tt)*], $MR:ident, $to:tt, $fetch:tt, $fetched:tt) => {
        match $MR {
            4 => steps!($to, $left, $fetch, $held $fetched; $($four)*),
            5 => steps!($to, $left, $fetch, $held $fetched; $($four)* $($fifth)*),
            6 => steps!($to, $left, $fetch, $held $fetched; $($four)* $($fifth)* $($sixth)*),
            _ => unreachable!("tiles of four to six rows"),
        }
    };
}

/// As [`Simd::add_steps`](crate::kernels::simd::Simd::add_steps) says, where the left factor lies in groups so far apart. What is fetched
/// are registers from `next` on, or what comes of the right factor, whose rows are `LINES`, or of both.
///
/// # Safety
/// There are `k` steps of both factors.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) unsafe fn add_groups<const MR: usize, const NEXT: bool, const LINES: bool>(
    sum: &mut [[__m256; 2]; MR],
    k: usize,
    a: (*const f32, usize),
    b: (*const f32, usize),
    next: *const f32,
) {
    let ahead = |(at, step): (*const f32, usize)| at.wrapping_add(AHEAD[usize::from(!LINES)] * step);
    // SAFETY: the caller's promise; requests never fault.
    unsafe {
        if NEXT {
            add!(groups a, MR, (sum, k, b), registers next);
        } else if LINES {
            add!(groups a, MR, (sum, k, b), lines ahead(b));
        } else {
            add!(groups a, MR, (sum, k, b), both ahead(a), ahead(b));
        }
    }
}

/// The same, where the left factor lies in rows.
///
/// # Safety
/// As there.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) unsafe fn add_rows<const MR: usize, const NEXT: bool>(
    sum: &mut [[__m256; 2]; MR],
    k: usize,
    a: [*const f32; MR],
    b: (*const f32, usize),
    next: *const f32,
) {
    let ahead = b.0.wrapping_add(AHEAD[0] * b.1);
    // SAFETY: the caller's promise; requests never fault.
    unsafe {
        if NEXT {
            add!(rows a, MR, (sum, k, b), registers next);
        } else {
            add!(rows a, MR, (sum, k, b), lines ahead);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fma, Left, Simd};

    const ROWS: usize = 6;
    const STRIDE: usize = 24;

    /// Sums of `MR` rows and `k` steps are those of the definition, whatever is fetched.
    fn sums_of<const MR: usize>(fma: Fma, k: usize) {
        let value = |i: usize| (i * 7 % 13) as f32 - 6.0;
        let a: Vec<f32> = (0..ROWS * 16).map(value).collect();
        let b: Vec<f32> = (0..STRIDE * 16).map(|i| value(3 * i + 1)).collect();
        let (in_groups, in_rows) =
            (Left::Groups(a.as_ptr(), 7), Left::Rows(std::array::from_fn(|i| a[i * 15..].as_ptr())));
        for (left, at) in [(in_groups, [1, 7]), (in_rows, [15, 1])] {
            for (step, next) in [(16, None), (STRIDE, None), (16, Some(b.as_ptr()))] {
                let mut sum = [[fma.splat(1.0); 2]; MR];
                // SAFETY: both factors have room for 9 steps.
                assert!(unsafe { fma.add_steps(&mut sum, k, left, (b.as_ptr(), step), next) });
                for (i, sums) in sum.iter().enumerate() {
                    let mut got = [0.0; 16];
                    fma.write_first(&mut got, sums[0]);
                    fma.write_first(&mut got[8..], sums[1]);
                    for (j, got) in got.into_iter().enumerate() {
                        let want: f32 = (0..k).map(|x| a[i * at[0] + x * at[1]] * b[x * step + j]).sum();
                        assert_eq!(got, 1.0 + want, "{MR} rows, {k} steps, {left:?}, {step} apart: {i}, {j}");
                    }
                }
            }
        }
    }

    #[test]
    fn any_number_of_steps_is_summed() {
        let Some(fma) = Fma::new() else { return };
        for k in 0..=9 {
            sums_of::<4>(fma, k);
            sums_of::<5>(fma, k);
            sums_of::<6>(fma, k);
        }
    }

    #[test]
    fn other_tiles_are_left_alone() {
        let Some(fma) = Fma::new() else { return };
        let (mut few, mut narrow) = ([[fma.splat(0.0); 2]; 3], [[fma.splat(0.0); 1]; 6]);
        let x = [0.0; 64];
        let right = (x.as_ptr(), 8);
        // SAFETY: no steps, so nothing is read.
        unsafe {
            assert!(!fma.add_steps(&mut few, 0, Left::Groups(x.as_ptr(), 3), right, None));
            assert!(!fma.add_steps(&mut narrow, 0, Left::Groups(x.as_ptr(), 6), right, None));
        }
    }
}
