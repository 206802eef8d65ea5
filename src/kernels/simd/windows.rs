//! Registers of neighbouring windows, tap by tap: the innermost loops of pooling.
//!
//! Lines hold what windows read so that a tap of a register of windows is one read; `N` registers whose lines lie
//! `step` apart are worked on together, so that a tap's costs are shared.

use super::Simd;

/// A tap: where in a line its values begin, and its number in the window.
pub type Tap = [u32; 2];

/// Taps of a window, of which the furthest is known.
#[derive(Clone, Copy, Debug)]
pub struct Taps<'a> {
    list: &'a [Tap],
    furthest: usize,
    last: usize,
}

impl<'a> Taps<'a> {
    /// These taps.
    pub fn new(list: &'a [Tap]) -> Self {
        let largest = |i: usize| list.iter().map(|tap| tap[i]).max().unwrap_or(0) as usize;
        Self { list, furthest: largest(0), last: largest(1) }
    }

    /// Whether `n` lines hold a register from each tap on.
    #[inline(always)]
    fn check<S: Simd>(&self, values: usize, n: usize, step: usize) {
        assert!(self.furthest + (n - 1) * step + S::LANES <= values, "a tap reaches outside");
    }

    /// Whether there is an entry of `width` values for each number.
    #[inline(always)]
    fn check_numbers(&self, values: usize, width: usize) {
        assert!((self.last + 1) * width <= values, "a tap has no entry");
    }
}

/// The largest value of each window, the first of equals.
///
/// # Panics
/// When a tap reaches outside `lines`, or there is none.
#[inline(always)]
pub fn largest<S: Simd, const N: usize>(simd: S, lines: &[f32], step: usize, taps: Taps<'_>) -> [S::V; N] {
    taps.check::<S>(lines.len(), N, step);
    let (p, mut best) = (lines.as_ptr(), [simd.splat(0.0); N]);
    for (i, best) in best.iter_mut().enumerate() {
        // SAFETY: `check` saw that each tap's register lies inside `lines`.
        *best = unsafe { simd.load(p.add(taps.list[0][0] as usize + i * step)) };
    }
    for &[at, _] in &taps.list[1..] {
        for (i, best) in best.iter_mut().enumerate() {
            // SAFETY: as above.
            *best = simd.max(unsafe { simd.load(p.add(at as usize + i * step)) }, *best);
        }
    }
    best
}

/// [`largest`], and the entry in `table`, a register for each number, of the tap that has it.
///
/// # Panics
/// When a tap reaches outside `lines`, has no entry, or there is none.
#[inline(always)]
pub fn largest_with_entry<S: Simd, const N: usize>(
    simd: S,
    lines: &[f32],
    step: usize,
    taps: Taps<'_>,
    table: &[f32],
) -> ([S::V; N], [S::V; N]) {
    taps.check::<S>(lines.len(), N, step);
    taps.check_numbers(table.len(), S::LANES);
    let (p, entries) = (lines.as_ptr(), table.as_ptr());
    let (mut best, mut entry) = ([simd.splat(0.0); N], [simd.splat(0.0); N]);
    for (number, &[at, tap]) in taps.list.iter().enumerate() {
        // SAFETY: `check_numbers` saw that each tap has an entry.
        let this = unsafe { simd.load(entries.add(tap as usize * S::LANES)) };
        for i in 0..N {
            // SAFETY: `check` saw that each tap's register lies inside `lines`.
            let v = unsafe { simd.load(p.add(at as usize + i * step)) };
            if number == 0 {
                (best[i], entry[i]) = (v, this);
            } else {
                entry[i] = simd.where_greater(v, best[i], this, entry[i]);
                best[i] = simd.max(v, best[i]);
            }
        }
    }
    (best, entry)
}

/// The sum of each window, or of its squares, by the weight of each number; `weights` may be empty, for ones.
///
/// # Panics
/// When a tap reaches outside `lines` or has no weight.
#[inline(always)]
pub fn sum<S: Simd, const N: usize, const SQUARES: bool>(
    simd: S,
    lines: &[f32],
    step: usize,
    taps: Taps<'_>,
    weights: &[f32],
) -> [S::V; N] {
    taps.check::<S>(lines.len(), N, step);
    let (p, mut sum) = (lines.as_ptr(), [simd.splat(0.0); N]);
    if !weights.is_empty() {
        taps.check_numbers(weights.len(), 1);
    }
    for &[at, tap] in taps.list {
        for (i, sum) in sum.iter_mut().enumerate() {
            // SAFETY: `check` saw that each tap's register lies inside `lines`.
            let v = unsafe { simd.load(p.add(at as usize + i * step)) };
            let v = if SQUARES { simd.mul(v, v) } else { v };
            *sum = if weights.is_empty() {
                simd.add(*sum, v)
            } else {
                simd.fma(simd.splat(weights[tap as usize]), v, *sum)
            };
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Isa, Job},
        *,
    };

    /// Two registers of windows of three taps.
    struct Three;

    impl Job for Three {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let lines: Vec<f32> = (0..100).map(|i| (i * 37 % 64) as f32).collect();
            let list = [[3, 1], [20, 0], [4, 2]];
            let (taps, step) = (Taps::new(&list), 50);
            let table: Vec<f32> = (0..3 * S::LANES).map(|i| (i / S::LANES) as f32).collect();
            let lanes = |v: S::V| {
                let mut out = vec![f32::NAN; S::LANES];
                simd.write_first(&mut out, v);
                out
            };
            let best: [S::V; 2] = largest(simd, &lines, step, taps);
            let (again, entry): ([S::V; 2], _) = largest_with_entry(simd, &lines, step, taps, &table);
            let plain: [S::V; 2] = sum::<S, 2, false>(simd, &lines, step, taps, &[]);
            let squares: [S::V; 2] = sum::<S, 2, true>(simd, &lines, step, taps, &[1.0, 2.0, 3.0]);
            for (i, lane) in (0..2).flat_map(|i| (0..S::LANES).map(move |lane| (i, lane))) {
                let places = list.map(|[at, _]| at as usize + i * step + lane);
                let values = places.map(|at| lines[at]);
                let most = values.iter().copied().fold(0.0, f32::max);
                let number = list[values.iter().position(|&v| v == most).unwrap()][1];
                assert_eq!((lanes(best[i])[lane], lanes(again[i])[lane]), (most, most));
                assert_eq!(lanes(entry[i])[lane], number as f32);
                assert_eq!(lanes(plain[i])[lane], values.iter().sum::<f32>());
                let [a, b, c] = values;
                assert_eq!(lanes(squares[i])[lane], 2.0 * a * a + b * b + 3.0 * c * c);
            }
        }
    }

    #[test]
    fn taps_are_folded() {
        Isa::all().for_each(|isa| isa.run(Three));
    }

    struct Outside;

    impl Job for Outside {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let _: [S::V; 2] = largest(simd, &[0.0; 40], 20, Taps::new(&[[0, 0], [21, 1]]));
        }
    }

    #[test]
    #[should_panic(expected = "a tap reaches outside")]
    fn taps_stay_inside() {
        Isa::best().run(Outside);
    }
}
