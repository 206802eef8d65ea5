//! The largest of whole planes: those of as many planes as a register has lanes are turned round and compared at once.
//! The first place is that of the first bit of comparisons with the largest.

use super::{Isa, Job, Lines, Simd, limits::SQUARE};

/// Values ahead of the last read whose lines are asked for.
const FAR: usize = 1024;
/// Bits that are looked through at once.
const BITS: usize = 64;

/// y = the largest of each plane of `plane` values, not a number where the first is not, and, if `taps` are not empty, taps = what
/// `tap_of` says for the first place that it has in its plane.
///
/// # Panics
/// When `x` is not as many planes as `y` has values, or `tap_of` is not for all places.
pub fn plane_maxima(isa: Isa, x: &[f32], plane: usize, y: &mut [f32], taps: (&mut [u8], &[u8])) {
    let (taps, tap_of) = taps;
    assert!(x.len() == plane * y.len() && plane > 0, "a value for each plane");
    assert!(taps.is_empty() || taps.len() == y.len() && tap_of.len() >= plane, "a tap for each place");
    isa.run(PlaneMaxima { x, plane, y, taps, tap_of });
}

struct PlaneMaxima<'a> {
    x: &'a [f32],
    plane: usize,
    y: &'a mut [f32],
    taps: &'a mut [u8],
    tap_of: &'a [u8],
}

impl Job for PlaneMaxima<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, plane, y, taps, tap_of } = self;
        let (mut lines, mut square) = ([0.0; SQUARE], [0.0; SQUARE]);
        for (i, (x, y)) in x.chunks(plane * S::LANES).zip(y.chunks_mut(S::LANES)).enumerate() {
            for (x, line) in x.chunks_exact(plane).zip(lines.chunks_exact_mut(S::LANES)) {
                simd.write_first(line, largest(simd, x));
            }
            let from = Lines { at: lines.as_ptr(), stride: S::LANES };
            // SAFETY: there are as many lines and columns as lanes, each of a register.
            unsafe { simd.transpose(from, S::LANES, S::LANES, square.as_mut_ptr(), S::LANES) };
            let mut best = simd.read(&square);
            for column in square.chunks_exact(S::LANES).take(S::LANES) {
                best = simd.max(simd.read(column), best);
            }
            simd.write_first(y, best);
            if taps.is_empty() {
                continue;
            }
            let taps = &mut taps[i * S::LANES..];
            for ((x, y), tap) in x.chunks_exact(plane).zip(y).zip(taps) {
                let place = first(simd, x, *y);
                // Of zeros the sign of the first.
                (*y, *tap) = (x[place], tap_of[place]);
            }
        }
    }
}

/// The largest of each so many values of a plane as there are lanes; not numbers where the first is not.
#[inline(always)]
fn largest<S: Simd>(simd: S, x: &[f32]) -> S::V {
    let mut best = simd.splat(x[0]);
    let parts = x.chunks_exact(S::LANES);
    let rest = parts.remainder();
    for part in parts {
        simd.prefetch(part.as_ptr().wrapping_add(FAR));
        best = simd.max(simd.read(part), best);
    }
    if !rest.is_empty() {
        simd.prefetch(rest.as_ptr().wrapping_add(FAR));
        best = simd.max(simd.first_lanes(rest.len(), simd.read_first(rest), x[0]), best);
    }
    best
}

/// The first place of a value in a plane, 0 if it has none.
#[inline(always)]
fn first<S: Simd>(simd: S, x: &[f32], value: f32) -> usize {
    let (value, left, mut place) = (simd.splat(value), x.len() % BITS, 0);
    let mut bits = |at: usize, count: usize| {
        let mut found = 0;
        for lane in (0..BITS).step_by(S::LANES) {
            let n = count.saturating_sub(lane).min(S::LANES);
            // SAFETY: `count` values lie there.
            let v = unsafe { simd.load_first(x.as_ptr().wrapping_add(at + lane), n) };
            // Lanes behind the last value come after it.
            found |= u64::from(simd.equal_bits(v, value)) << lane;
        }
        // Without a branch, which nobody could foresee.
        place = if found == 0 { place } else { at + found.trailing_zeros() as usize };
    };
    bits(x.len() - left, left);
    (0..x.len() / BITS).rev().for_each(|block| bits(block * BITS, BITS));
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_is_found() {
        for isa in Isa::all() {
            for (plane, planes) in [(1, 1), (15, 3), (16, 16), (49, 19), (64, 17), (65, 18), (169, 5), (3, 0)]
            {
                let mut x: Vec<f32> = (0..plane * planes).map(|i| (i * 37 % 101 / 9) as f32 - 11.0).collect();
                x.iter_mut().step_by(29).for_each(|v| *v = f32::NAN);
                let tap_of: Vec<u8> = (0..plane).map(|place| place as u8 ^ 1).collect();
                let (mut y, mut only, mut taps) = (vec![1.0; planes], vec![1.0; planes], vec![0; planes]);
                plane_maxima(isa, &x, plane, &mut only, (&mut [], &[]));
                plane_maxima(isa, &x, plane, &mut y, (&mut taps, &tap_of));
                for (p, x) in x.chunks_exact(plane).enumerate() {
                    let place = (0..plane).fold(0, |best, i| if x[i] > x[best] { i } else { best });
                    assert_eq!(y[p].to_bits(), x[place].to_bits());
                    assert!(only[p] == y[p] || only[p].is_nan() && y[p].is_nan());
                    assert_eq!(taps[p], place as u8 ^ 1, "{plane}");
                }
            }
        }
    }
}
