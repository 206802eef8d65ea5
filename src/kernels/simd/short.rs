//! Rows so short that what is made of each of them is better kept in a lane.

use super::{MOST_LANES, Simd};

/// The largest, or the sum, of each of as many rows of `len` values as a register has lanes: lane i is row i's. What is not a number
/// is never the largest.
///
/// # Panics
/// When `x` is not so many rows.
#[inline(always)]
pub fn fold_rows<S: Simd, const LARGEST: bool>(simd: S, x: &[f32], len: usize) -> S::V {
    assert!(len > 0 && x.len() == S::LANES * len, "rows for all lanes");
    // SAFETY: so many lines are as many values.
    unsafe {
        if len > 1 && len < S::LANES && S::LANES.is_multiple_of(len) {
            // Several rows to a register.
            fold_lines::<S, LARGEST>(simd, x.as_ptr(), S::LANES, len)
        } else {
            fold_lines::<S, LARGEST>(simd, x.as_ptr(), len, S::LANES)
        }
    }
}

/// Registers made of `count` lines, from 2 to `LANES`, of `len` values each: neighbouring lanes of neighbouring registers are joined
/// until one is left.
///
/// # Safety
/// As many values are readable at `x`.
#[inline(always)]
unsafe fn fold_lines<S: Simd, const LARGEST: bool>(simd: S, x: *const f32, len: usize, count: usize) -> S::V {
    let mut joined = [simd.splat(0.0); MOST_LANES / 2];
    for (i, joined) in joined.iter_mut().enumerate().take(count / 2) {
        // SAFETY: both are lines.
        *joined = unsafe {
            let first = x.add(2 * i * len);
            join_lanes::<S, LARGEST>(
                simd,
                line::<S, LARGEST>(simd, first, len),
                line::<S, LARGEST>(simd, first.add(len), len),
            )
        };
    }
    let mut count = count / 4;
    while count > 0 {
        for i in 0..count {
            joined[i] = join_lanes::<S, LARGEST>(simd, joined[2 * i], joined[2 * i + 1]);
        }
        count /= 2;
    }
    joined[0]
}

/// The registers of a line, joined; the end of the last counts for nothing.
///
/// # Safety
/// `len` values are readable at `x`.
#[inline(always)]
unsafe fn line<S: Simd, const LARGEST: bool>(simd: S, x: *const f32, len: usize) -> S::V {
    let nothing = if LARGEST { f32::NEG_INFINITY } else { 0.0 };
    let (whole, rest) = ((len - 1) / S::LANES * S::LANES, (len - 1) % S::LANES + 1);
    // SAFETY: the caller's promise.
    unsafe {
        let end = simd.first_lanes(rest, simd.load_first(x.add(whole), rest), nothing);
        let mut all = join::<S, LARGEST>(simd, end, simd.splat(nothing));
        for at in (0..whole).step_by(S::LANES) {
            all = join::<S, LARGEST>(simd, simd.load(x.add(at)), all);
        }
        all
    }
}

/// Neighbouring lanes of `a` followed by `b`, joined.
#[inline(always)]
fn join_lanes<S: Simd, const LARGEST: bool>(simd: S, a: S::V, b: S::V) -> S::V {
    let (even, odd) = simd.unzip(a, b);
    join::<S, LARGEST>(simd, even, odd)
}

/// The larger, `b` where either is not a number; or the sum.
#[inline(always)]
fn join<S: Simd, const LARGEST: bool>(simd: S, a: S::V, b: S::V) -> S::V {
    if LARGEST { simd.max(a, b) } else { simd.add(a, b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Isa, Job};

    struct Folds<'a>(&'a [f32], usize);

    impl Job for Folds<'_> {
        type Output = [[f32; MOST_LANES]; 2];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let x = &self.0[..S::LANES * self.1];
            let mut lanes = [[f32::NAN; MOST_LANES]; 2];
            simd.write_first(&mut lanes[0], fold_rows::<S, true>(simd, x, self.1));
            simd.write_first(&mut lanes[1], fold_rows::<S, false>(simd, x, self.1));
            lanes
        }
    }

    #[test]
    fn each_row_has_a_lane() {
        for isa in Isa::all() {
            for len in 1..=40 {
                let x: Vec<f32> = (0..len * MOST_LANES).map(|i| ((i * 7919) % 101) as f32 - 120.0).collect();
                let [largest, sums] = isa.run(Folds(&x, len));
                for (i, row) in x.chunks(len).enumerate().take(isa.lanes()) {
                    assert_eq!(largest[i], row.iter().copied().fold(f32::NEG_INFINITY, f32::max), "{len}");
                    assert_eq!(sums[i], row.iter().sum::<f32>(), "{len}");
                }
            }
        }
    }
}
