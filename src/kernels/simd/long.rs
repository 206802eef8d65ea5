//! Sums of windows along one long row, and back from sums to what they are made of.

use super::{
    Simd,
    copy::{Change, ask},
};

/// A row of windows that follow one another, whatever rows of planes they come from.
#[derive(Clone, Copy, Debug)]
pub struct Long<'a> {
    /// From window to window: 1 or 2.
    pub step: usize,
    /// The weight of each value of a window.
    pub weights: &'a [f32],
    /// How many windows.
    pub count: usize,
}

impl Long<'_> {
    /// Values that are read, by registers of any length.
    ///
    /// # Panics
    /// When windows are empty, or move by anything but 1 or 2.
    pub fn values(&self) -> usize {
        assert!(matches!(self.step, 1 | 2) && !self.weights.is_empty(), "windows that move by one or two");
        self.step * self.count.next_multiple_of(16) + self.weights.len().next_multiple_of(2) + 16
    }
}

/// made = the sum of each window of `long`; what is in `made` behind the last is anything. Or, `BACK`, for each of `how.count` positions,
/// or pairs of them, the sum of the windows that hold it, by the weight that it has there; then `long` begins `(kernel - 1) / step`
/// windows before the one that begins at the first.
///
/// # Panics
/// When `long` is less than `Long::values`, or there is no room for whole registers.
#[inline(always)]
pub fn along<S: Simd, const BACK: bool>(simd: S, how: Long<'_>, long: &[f32], made: &mut [f32]) {
    let each = if BACK { how.step } else { 1 };
    assert!(how.values() <= long.len(), "a window reaches outside");
    assert!(each * how.count.next_multiple_of(S::LANES) <= made.len(), "no room for whole registers");
    let (from, to) = (long.as_ptr(), made.as_mut_ptr());
    // SAFETY: all windows, and what registers read behind the last, lie inside; there is room for all registers.
    unsafe {
        match (how.step, how.weights.len()) {
            (1, 2) => by::<S, BACK, 1, 2>(simd, how, from, to),
            (1, 3) => by::<S, BACK, 1, 3>(simd, how, from, to),
            (1, 5) => by::<S, BACK, 1, 5>(simd, how, from, to),
            (1, _) => by::<S, BACK, 1, 0>(simd, how, from, to),
            (_, 2) => by::<S, BACK, 2, 2>(simd, how, from, to),
            (_, 3) => by::<S, BACK, 2, 3>(simd, how, from, to),
            (_, _) => by::<S, BACK, 2, 0>(simd, how, from, to),
        }
    }
}

/// [`along`] windows of `K` values, or of any number, that move by `STEP`.
///
/// # Safety
/// As it checks.
#[inline(always)]
unsafe fn by<S: Simd, const BACK: bool, const STEP: usize, const K: usize>(
    simd: S,
    how: Long<'_>,
    from: *const f32,
    to: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if BACK {
            back_by::<S, STEP, K>(simd, how, from, to)
        } else {
            along_by::<S, STEP, K>(simd, how, from, to)
        }
    }
}

/// The weights of a window, where their number is known when compiled.
#[inline(always)]
fn splat<S: Simd, const K: usize>(simd: S, weights: &[f32]) -> [S::V; K] {
    let mut all = [simd.splat(0.0); K];
    all.iter_mut().zip(weights).for_each(|(all, &weight)| *all = simd.splat(weight));
    all
}

/// [`by`], not back.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn along_by<S: Simd, const STEP: usize, const K: usize>(
    simd: S,
    how: Long<'_>,
    long: *const f32,
    to: *mut f32,
) {
    let (kernel, known) = (if K == 0 { how.weights.len() } else { K }, splat::<S, K>(simd, how.weights));
    for k in (0..how.count).step_by(S::LANES) {
        let mut sum = simd.splat(0.0);
        for column in (0..kernel).step_by(STEP) {
            // SAFETY: the caller's promise.
            let values = unsafe {
                let from = long.add(STEP * k + column);
                let first = simd.load(from);
                if STEP == 1 { (first, first) } else { simd.unzip(first, simd.load(from.add(S::LANES))) }
            };
            for i in 0..STEP.min(kernel - column) {
                let (column, v) = (column + i, if i == 0 { values.0 } else { values.1 });
                let weight = if K == 0 { simd.splat(how.weights[column]) } else { known[column] };
                sum = if column == 0 { simd.mul(weight, v) } else { simd.fma(weight, v, sum) };
            }
        }
        // SAFETY: the caller's promise.
        unsafe { simd.store(to.add(k), sum) };
    }
}

/// [`by`], back.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn back_by<S: Simd, const STEP: usize, const K: usize>(
    simd: S,
    how: Long<'_>,
    long: *const f32,
    wide: *mut f32,
) {
    let (kernel, known) = (if K == 0 { how.weights.len() } else { K }, splat::<S, K>(simd, how.weights));
    let before = (kernel - 1) / STEP;
    for k in (0..how.count).step_by(S::LANES) {
        let mut sums = [simd.splat(0.0); STEP];
        // SAFETY: the caller's promise.
        unsafe {
            for window in 0..=before {
                let shares = simd.load(long.add(k + window));
                for (rest, sum) in sums.iter_mut().enumerate() {
                    let column = (before - window) * STEP + rest;
                    if column < kernel {
                        let weight = if K == 0 { simd.splat(how.weights[column]) } else { known[column] };
                        *sum = simd.fma(weight, shares, *sum);
                    }
                }
            }
            if STEP == 1 {
                simd.store(wide.add(k), sums[0]);
            } else {
                let (low, high) = simd.zip(sums[0], sums[STEP - 1]);
                simd.store(wide.add(2 * k), low);
                simd.store(wide.add(2 * k + S::LANES), high);
            }
        }
    }
}

/// to = the sums of `kernel` values of `long`, 3 or 5, that are `distance` apart, changed; the first sum begins with the first. Of what the
/// taps meet those bits count that are set in `edges`, of which there are as many for each tap, whole registers; all of the middle tap.
/// What is read and written is asked for ahead as in [`copy`](super::copy::copy).
///
/// # Panics
/// When `kernel` is another, windows reach outside of `long` or `edges`, or the change is for fewer values.
#[inline(always)]
pub fn around<S: Simd, const FROM: bool, const TO: bool>(
    simd: S,
    [kernel, distance]: [usize; 2],
    edges: &[f32],
    long: &[f32],
    (to, change): (&mut [f32], impl Change),
) {
    let room = to.len().next_multiple_of(S::LANES);
    assert!((kernel - 1) * distance + room <= long.len(), "a window reaches outside");
    assert!(edges.len() / kernel >= room, "edges for all taps");
    change.check(1, to.len());
    // SAFETY: all that is read lies inside.
    unsafe {
        match kernel {
            3 => around_by::<S, FROM, TO, 3>(simd, distance, edges, long, (to, change)),
            5 => around_by::<S, FROM, TO, 5>(simd, distance, edges, long, (to, change)),
            _ => panic!("windows of 3 or 5 values, not {kernel}"),
        }
    }
}

/// [`around`] windows of `K` values.
///
/// # Safety
/// As it checks.
#[inline(always)]
unsafe fn around_by<S: Simd, const FROM: bool, const TO: bool, const K: usize>(
    simd: S,
    distance: usize,
    edges: &[f32],
    long: &[f32],
    (to, change): (&mut [f32], impl Change),
) {
    let (room, count) = (edges.len() / K, to.len());
    let (from, edges, to) = (long.as_ptr(), edges.as_ptr(), to.as_mut_ptr());
    for at in (0..count).step_by(S::LANES) {
        ask::<S, FROM, TO>(simd, from.wrapping_add(at), to.wrapping_add(at));
        // SAFETY: the caller's promise; as many lanes are written as there is room for.
        unsafe {
            let mut sum = simd.splat(0.0);
            for k in 0..K {
                let v = simd.load(from.add(at + k * distance));
                let v =
                    if 2 * k + 1 == K { v } else { simd.and_bits(v, simd.load(edges.add(k * room + at))) };
                sum = if k == 0 { v } else { simd.add(sum, v) };
            }
            let left = (count - at).min(S::LANES);
            let made = change.of(simd, sum, [at; 2], left);
            if left == S::LANES {
                simd.store(to.add(at), made);
            } else {
                simd.store_first(to.add(at), left, made);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Divisor, Isa, Job, copy::OverOne},
        *,
    };

    struct Around;

    impl Job for Around {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let x: Vec<f32> = (0..100).map(|i| (i * 37 % 64) as f32).collect();
            for (kernel, distance, count) in [(3, 1, 1), (3, 7, 40), (5, 1, 16), (5, 9, 33)] {
                // Each third value of the first tap does not count.
                let mut edges = vec![f32::from_bits(u32::MAX); kernel * 48];
                edges[..48].iter_mut().step_by(3).for_each(|edge| *edge = 0.0);
                let mut to = vec![f32::NAN; count];
                let over = OverOne(Divisor::new(9.0));
                around::<S, true, true>(simd, [kernel, distance], &edges, &x, (&mut to, over));
                for (at, to) in to.into_iter().enumerate() {
                    let counts = |k: &usize| *k > 0 || at % 3 > 0;
                    let sum: f32 = (0..kernel).filter(counts).map(|k| x[at + k * distance]).sum();
                    assert_eq!(to, sum / 9.0);
                }
            }
        }
    }

    #[test]
    fn neighbours_are_summed() {
        Isa::all().for_each(|isa| isa.run(Around));
    }

    struct Four;

    impl Job for Four {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let over = OverOne(Divisor::new(1.0));
            around::<S, true, true>(simd, [4, 1], &[0.0; 64], &[0.0; 64], (&mut [0.0; 16], over));
        }
    }

    #[test]
    #[should_panic(expected = "windows of 3 or 5 values, not 4")]
    fn other_neighbours_are_refused() {
        Isa::best().run(Four);
    }

    struct Windows;

    impl Job for Windows {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let x: Vec<f32> = (0..2000).map(|i| (i * 37 % 64) as f32).collect();
            for (step, kernel, count) in
                [(1, 3, 1), (1, 1, 17), (1, 2, 5), (1, 4, 40), (1, 5, 16), (2, 2, 16), (2, 3, 33), (2, 5, 9)]
            {
                let weights = &[1.0, 3.0, 2.0, 1.0, 4.0][..kernel];
                let how = Long { step, weights, count };
                let mut made = vec![f32::NAN; count.next_multiple_of(16)];
                along::<S, false>(simd, how, &x[..how.values()], &mut made);
                for (k, &made) in made[..count].iter().enumerate() {
                    let sum = x[step * k..].iter().zip(weights).map(|(x, weight)| x * weight).sum::<f32>();
                    assert_eq!(made, sum);
                }
                let (before, mut wide) = ((kernel - 1) / step, vec![f32::NAN; 2 * (count + 16)]);
                along::<S, true>(simd, how, &x[..how.values()], &mut wide);
                for (at, &wide) in wide[..step * count].iter().enumerate() {
                    let column = |window: usize| (at + before * step).wrapping_sub(window * step);
                    let share = |window: usize| weights.get(column(window)).map_or(0.0, |w| w * x[window]);
                    let sum: f32 = (0..count + before).map(share).sum();
                    assert_eq!(wide, sum, "position {at} of {how:?}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "windows that move by one or two")]
    fn other_steps_are_refused() {
        Long { step: 3, weights: &[1.0], count: 1 }.values();
    }

    #[test]
    fn windows_are_summed() {
        Isa::all().for_each(|isa| isa.run(Windows));
    }
}
