//! Sums of windows in two steps: down the columns of some rows, and along one long row. Lengths are checked once for many rows, as
//! rows may be shorter than a register.

use super::Simd;

/// Values ahead of the last read, and of the last written, whose lines are asked for.
const FAR: usize = 1024;
const AHEAD: usize = 128;

/// Rows of some planes, each the sum of `met` rows. A pair of distances is that of what is read, and of what is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows {
    /// How many planes.
    pub planes: usize,
    /// From plane to plane.
    pub plane: [usize; 2],
    /// How many rows of each.
    pub count: usize,
    /// From row to row.
    pub row: [usize; 2],
    /// How many rows each is the sum of.
    pub met: usize,
    /// From one of these to the next.
    pub line: usize,
    /// Values of a row.
    pub width: usize,
}

impl Rows {
    /// Where the last row ends of what is read, or written.
    fn end(&self, side: usize) -> usize {
        (self.planes - 1) * self.plane[side] + (self.count - 1) * self.row[side] + self.width
    }
}

/// Makes rows of `to`, and writes nothing between them. What is read is asked for ahead, unless it is `NEAR`.
///
/// # Panics
/// When a row reaches outside of `from`, or there is no room for one.
#[inline(always)]
pub fn down<S: Simd, const NEAR: bool>(simd: S, rows: &Rows, from: &[f32], to: &mut [f32]) {
    if rows.planes * rows.count * rows.width == 0 {
        return;
    }
    let met = rows.met.saturating_sub(1) * rows.line;
    assert!(rows.met == 0 || rows.end(0) + met <= from.len(), "a row reaches outside");
    assert!(rows.end(1) <= to.len(), "no room for a row");
    // SAFETY: all rows lie inside.
    unsafe {
        match rows.met {
            1 => down_of::<S, 1, NEAR>(simd, rows, from.as_ptr(), to.as_mut_ptr()),
            2 => down_of::<S, 2, NEAR>(simd, rows, from.as_ptr(), to.as_mut_ptr()),
            3 => down_of::<S, 3, NEAR>(simd, rows, from.as_ptr(), to.as_mut_ptr()),
            _ => down_of::<S, 0, NEAR>(simd, rows, from.as_ptr(), to.as_mut_ptr()),
        }
    }
}

/// [`down`] `N` rows, or as many as there are.
///
/// # Safety
/// All rows lie inside.
#[inline(always)]
unsafe fn down_of<S: Simd, const N: usize, const NEAR: bool>(
    simd: S,
    rows: &Rows,
    mut from: *const f32,
    mut to: *mut f32,
) {
    let (mut outer, mut inner) = ((rows.planes, rows.plane), (rows.count, rows.row));
    if rows.count == 1 {
        (outer, inner) = (inner, outer);
    }
    let (whole, rest) = (rows.width / S::LANES, rows.width % S::LANES);
    for _ in 0..outer.0 {
        let (mut p, mut q) = (from, to);
        for _ in 0..inner.0 {
            // SAFETY: the caller's promise; the registers of a row are those of its values.
            unsafe {
                for at in 0..whole {
                    let at = at * S::LANES;
                    simd.prefetch_to_write(q.wrapping_add(at + AHEAD));
                    simd.store(
                        q.add(at),
                        sum_of::<S, N, NEAR, true>(simd, rows, p.wrapping_add(at), S::LANES),
                    );
                }
                if rest > 0 {
                    let at = whole * S::LANES;
                    simd.prefetch_to_write(q.wrapping_add(at + AHEAD));
                    let sum = sum_of::<S, N, NEAR, false>(simd, rows, p.wrapping_add(at), rest);
                    simd.store_first(q.add(at), rest, sum);
                }
            }
            (p, q) = (p.wrapping_add(inner.1[0]), q.wrapping_add(inner.1[1]));
        }
        (from, to) = (from.wrapping_add(outer.1[0]), to.wrapping_add(outer.1[1]));
    }
}

/// The sum of a register, or of its first `n` lanes, of each row.
///
/// # Safety
/// So many values are there in each row.
#[inline(always)]
unsafe fn sum_of<S: Simd, const N: usize, const NEAR: bool, const WHOLE: bool>(
    simd: S,
    rows: &Rows,
    from: *const f32,
    n: usize,
) -> S::V {
    if !NEAR {
        simd.prefetch(from.wrapping_add(FAR));
        simd.prefetch(from.wrapping_add(FAR + rows.line));
    }
    let mut sum = simd.splat(0.0);
    for row in 0..if N == 0 { rows.met } else { N } {
        // SAFETY: the caller's promise.
        let value = unsafe {
            let from = from.add(row * rows.line);
            if WHOLE { simd.load(from) } else { simd.load_first(from, n) }
        };
        sum = if row == 0 { value } else { simd.add(sum, value) };
    }
    sum
}

/// A row of windows that follow one another, whatever rows of planes they come from.
#[derive(Clone, Copy, Debug)]
pub struct Long {
    /// From window to window: 1 or 2.
    pub step: usize,
    /// Values of a window.
    pub kernel: usize,
    /// How many windows.
    pub count: usize,
}

impl Long {
    /// Values that are read, by registers of any length.
    pub fn values(&self) -> usize {
        self.step * self.count.next_multiple_of(16) + self.kernel.next_multiple_of(2) + 16
    }
}

/// made = the sum of each window of `long`; what is in `made` behind the last is anything.
///
/// # Panics
/// When `long` is less than `Long::values`, or there is no room for whole registers.
#[inline(always)]
pub fn along<S: Simd>(simd: S, how: Long, long: &[f32], made: &mut [f32]) {
    assert!(how.values() <= long.len(), "a window reaches outside");
    assert!(how.count.next_multiple_of(S::LANES) <= made.len(), "no room for whole registers");
    let (from, to) = (long.as_ptr(), made.as_mut_ptr());
    // SAFETY: all windows, and what registers read behind the last, lie inside; there is room for all registers.
    unsafe {
        match (how.step, how.kernel) {
            (1, 3) => along_by::<S, 1>(simd, how.count, 3, from, to),
            (1, kernel) => along_by::<S, 1>(simd, how.count, kernel, from, to),
            (_, 2) => along_by::<S, 2>(simd, how.count, 2, from, to),
            (_, 3) => along_by::<S, 2>(simd, how.count, 3, from, to),
            (_, kernel) => along_by::<S, 2>(simd, how.count, kernel, from, to),
        }
    }
}

/// [`along`] windows that move by `STEP`.
///
/// # Safety
/// As it checks.
#[inline(always)]
unsafe fn along_by<S: Simd, const STEP: usize>(
    simd: S,
    count: usize,
    kernel: usize,
    long: *const f32,
    to: *mut f32,
) {
    for k in (0..count).step_by(S::LANES) {
        let mut sum = simd.splat(0.0);
        for column in (0..kernel).step_by(STEP) {
            // SAFETY: the caller's promise.
            unsafe {
                let from = long.add(STEP * k + column);
                let first = simd.load(from);
                if STEP == 1 {
                    sum = simd.add(sum, first);
                    continue;
                }
                let (even, odd) = simd.unzip(first, simd.load(from.add(S::LANES)));
                sum = simd.add(sum, even);
                if column + 1 < kernel {
                    sum = simd.add(sum, odd);
                }
            }
        }
        // SAFETY: the caller's promise.
        unsafe { simd.store(to.add(k), sum) };
    }
}

/// wide = for each of `how.count` positions, or pairs of them, the sum of the windows that hold it; `long` begins
/// `(kernel - 1) / step` windows before the one that begins at the first.
///
/// # Panics
/// When `long` is less than `Long::values`, or there is no room for whole registers.
#[inline(always)]
pub fn along_back<S: Simd>(simd: S, how: Long, long: &[f32], wide: &mut [f32]) {
    assert!(how.values() <= long.len(), "a window reaches outside");
    assert!(how.step * how.count.next_multiple_of(S::LANES) <= wide.len(), "no room for whole registers");
    let (from, to) = (long.as_ptr(), wide.as_mut_ptr());
    // SAFETY: all windows, and what registers read behind the last, lie inside; there is room for all registers.
    unsafe {
        match (how.step, how.kernel) {
            (1, 3) => back_by::<S, 1>(simd, how.count, 3, from, to),
            (1, 5) => back_by::<S, 1>(simd, how.count, 5, from, to),
            (1, kernel) => back_by::<S, 1>(simd, how.count, kernel, from, to),
            (_, 2) => back_by::<S, 2>(simd, how.count, 2, from, to),
            (_, 3) => back_by::<S, 2>(simd, how.count, 3, from, to),
            (_, kernel) => back_by::<S, 2>(simd, how.count, kernel, from, to),
        }
    }
}

/// [`along_back`] windows that move by `STEP`.
///
/// # Safety
/// As it checks.
#[inline(always)]
unsafe fn back_by<S: Simd, const STEP: usize>(
    simd: S,
    count: usize,
    kernel: usize,
    long: *const f32,
    wide: *mut f32,
) {
    let before = (kernel - 1) / STEP;
    for k in (0..count).step_by(S::LANES) {
        let mut sums = [simd.splat(0.0); STEP];
        // SAFETY: the caller's promise.
        unsafe {
            for window in 0..=before {
                let shares = simd.load(long.add(k + window));
                for (rest, sum) in sums.iter_mut().enumerate() {
                    if (before - window) * STEP + rest < kernel {
                        *sum = simd.add(*sum, shares);
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

#[cfg(test)]
mod tests {
    use super::{
        super::{Isa, Job},
        *,
    };

    struct Both;

    impl Job for Both {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let x: Vec<f32> = (0..2000).map(|i| (i * 37 % 64) as f32).collect();
            for (count, met, width) in [(1, 1, 3), (2, 0, 5), (4, 2, 8), (5, 3, 16), (2, 4, 19), (3, 5, 40)] {
                let rows = Rows { planes: 3, plane: [401, 307], count, row: [43, 60], met, line: 41, width };
                let mut to = vec![f32::NAN; 1000];
                down::<S, true>(simd, &rows, &x, &mut to);
                let mut written = 0;
                for (plane, row) in (0..3).flat_map(|plane| (0..count).map(move |row| (plane, row))) {
                    for column in 0..width {
                        let from = plane * 401 + row * 43 + column;
                        let sum: f32 = (0..met).map(|i| x[from + i * 41]).sum();
                        assert_eq!(to[plane * 307 + row * 60 + column], sum);
                        written += 1;
                    }
                }
                assert_eq!(to.iter().filter(|v| !v.is_nan()).count(), written);
            }
            for (step, kernel, count) in
                [(1, 3, 1), (1, 1, 17), (1, 4, 40), (2, 2, 16), (2, 3, 33), (2, 5, 9)]
            {
                let how = Long { step, kernel, count };
                let mut made = vec![f32::NAN; count.next_multiple_of(16)];
                along(simd, how, &x[..how.values()], &mut made);
                for (k, &made) in made[..count].iter().enumerate() {
                    assert_eq!(made, x[step * k..][..kernel].iter().sum::<f32>());
                }
                let (before, mut wide) = ((kernel - 1) / step, vec![f32::NAN; 2 * (count + 16)]);
                along_back(simd, how, &x[..how.values()], &mut wide);
                for (at, &wide) in wide[..step * count].iter().enumerate() {
                    let holds = |window: usize| {
                        (window * step..window * step + kernel).contains(&(at + before * step))
                    };
                    let sum: f32 =
                        (0..count + before).filter(|&window| holds(window)).map(|window| x[window]).sum();
                    assert_eq!(wide, sum, "position {at} of {how:?}");
                }
            }
        }
    }

    #[test]
    fn rows_and_windows_are_summed() {
        Isa::all().for_each(|isa| isa.run(Both));
    }

    struct Outside(Rows);

    impl Job for Outside {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            down::<S, false>(simd, &self.0, &[0.0; 10], &mut [0.0; 10]);
        }
    }

    #[test]
    #[should_panic(expected = "a row reaches outside")]
    fn rows_stay_inside() {
        Isa::best().run(Outside(Rows {
            planes: 1,
            count: 2,
            met: 2,
            line: 4,
            row: [4, 1],
            width: 3,
            ..Rows::default()
        }));
    }

    #[test]
    #[should_panic(expected = "no room for a row")]
    fn results_stay_inside() {
        Isa::best().run(Outside(Rows {
            planes: 2,
            plane: [1, 8],
            count: 1,
            met: 1,
            width: 3,
            ..Rows::default()
        }));
    }
}
