//! Registers of planes that are sums of picks from those of other planes.

use super::Simd;

/// Values ahead of the last written whose lines are asked for.
const AHEAD: usize = 256;

/// Of each register of a plane, which begins where the one before ends, the values of the other side that its lanes add.
#[derive(Clone, Copy, Debug)]
pub struct Picks<'a> {
    /// Picks of a register.
    pub each: usize,
    /// From which value of a plane on each reads a register.
    pub first: &'a [u32],
    /// For each pick and lane the number of a lane of what is read, or `LANES` for nothing.
    pub lanes: &'a [f32],
}

/// to = the sums of what is picked for each value, plane by plane, `plane` being values of what is read, and of what is written. What is
/// written is asked for ahead.
///
/// # Panics
/// When picks are not for all registers of a plane, a pick reads outside of `from`, or `to` is not whole planes.
#[inline(always)]
pub fn sum_picks<S: Simd>(simd: S, picks: Picks<'_>, plane: [usize; 2], from: &[f32], to: &mut [f32]) {
    match picks.each {
        1 => sum_by::<S, 1>(simd, picks, plane, from, to),
        2 => sum_by::<S, 2>(simd, picks, plane, from, to),
        4 => sum_by::<S, 4>(simd, picks, plane, from, to),
        _ => sum_by::<S, 0>(simd, picks, plane, from, to),
    }
}

/// [`sum_picks`] of `N` picks, or of any number.
#[inline(always)]
fn sum_by<S: Simd, const N: usize>(
    simd: S,
    Picks { each, first, lanes }: Picks<'_>,
    [read, written]: [usize; 2],
    from: &[f32],
    to: &mut [f32],
) {
    let (each, planes) = (if N == 0 { each } else { N }, to.len() / written);
    assert!(planes * written == to.len(), "whole planes");
    let count = written.div_ceil(S::LANES);
    assert!(first.len() == each * count && lanes.len() == S::LANES * first.len(), "picks for all registers");
    let furthest = first.iter().copied().max().unwrap_or(0) as usize;
    assert!(planes == 0 || (planes - 1) * read + furthest + S::LANES <= from.len(), "a pick reads outside");
    let (mut from, end) = (from.as_ptr(), to.len());
    for start in (0..end).step_by(written) {
        for register in 0..count {
            let at = start + register * S::LANES;
            // SAFETY: all that is picked was checked; a register that ends behind its plane is written before the next.
            unsafe {
                let mut sum = simd.splat(0.0);
                for pick in register * each..(register + 1) * each {
                    let v = simd.load(from.add(*first.get_unchecked(pick) as usize));
                    let v = simd.pick_or_0(v, simd.load(lanes.as_ptr().add(pick * S::LANES)));
                    sum = if pick == register * each { v } else { simd.add(sum, v) };
                }
                let to = to.as_mut_ptr().add(at);
                simd.prefetch_to_write(to.wrapping_add(AHEAD));
                if at + S::LANES <= end {
                    simd.store(to, sum);
                } else {
                    simd.store_first(to, end - at, sum);
                }
            }
        }
        from = from.wrapping_add(read);
    }
}
