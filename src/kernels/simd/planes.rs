//! Planes side by side: lane p of register i is value i of plane p. So no lane is idle, however small planes are, and
//! windows of any kind are met by whole registers.

use super::{Isa, Job, Lines, Simd, limits::SQUARE};

/// Windows that are folded together.
const TOGETHER: usize = 4;

/// The numbers of taps, as lanes hold them.
static NUMBERS: [f32; 256] = {
    let (mut all, mut n) = ([0.0; 256], 0);
    while n < 256 {
        all[n] = n as f32;
        n += 1;
    }
    all
};

/// Windows beside each other: each has `rows`, `line` apart, of `columns` positions. Each position has a number, that of
/// the first being `number`, that of the next in the row larger by 1, and of the next below by `kernel`; all are below 256.
#[derive(Clone, Copy, Debug, Default)]
pub struct Windows {
    /// The first position of the first.
    pub first: usize,
    /// Positions from window to window.
    pub advance: usize,
    /// How many windows.
    pub count: usize,
    /// Rows of each.
    pub rows: usize,
    /// Positions from row to row.
    pub line: usize,
    /// Positions of a row.
    pub columns: usize,
    /// Number of the first.
    pub number: usize,
    /// What is added to it from row to row.
    pub kernel: usize,
    /// The register that becomes of the first; that of the next follows.
    pub to: usize,
}

/// What is asked for ahead, a share at a time: lines that will be read, then lines that will be written.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    read: *const f32,
    write: *const f32,
    /// Registers left of both.
    reads: usize,
    writes: usize,
    share: usize,
}

impl Ahead {
    /// So many registers from `read` and from `write` on, which may point anywhere, in about `steps` steps.
    pub fn new([read, write]: [*const f32; 2], [reads, writes]: [usize; 2], steps: usize) -> Self {
        Self { read, write, reads, writes, share: (reads + writes).div_ceil(steps.max(1)) }
    }

    /// Asks for a share.
    #[inline(always)]
    pub fn step<S: Simd>(&mut self, simd: S) {
        let share = self.share.min(self.reads);
        for i in 0..share {
            simd.prefetch(self.read.wrapping_add(i * S::LANES));
        }
        self.read = self.read.wrapping_add(share * S::LANES);
        self.reads -= share;
        let share = (self.share - share).min(self.writes);
        for i in 0..share {
            simd.prefetch_to_write(self.write.wrapping_add(i * S::LANES));
        }
        self.write = self.write.wrapping_add(share * S::LANES);
        self.writes -= share;
    }
}

impl Windows {
    /// Steps in which they are folded.
    pub fn steps(&self) -> usize {
        self.count / TOGETHER + self.count % TOGETHER
    }

    /// Whether all positions are among those of `x`.
    #[inline(always)]
    fn check<S: Simd>(&self, x: &[f32]) {
        let last = self.first + self.count.saturating_sub(1) * self.advance;
        let end = last + self.rows.saturating_sub(1) * self.line + self.columns;
        assert!(end * S::LANES <= x.len(), "a window reaches outside");
    }

    /// Whether all results find room in `y`.
    #[inline(always)]
    fn check_room<S: Simd>(&self, y: &[f32]) {
        assert!((self.to + self.count) * S::LANES <= y.len(), "no room");
    }

    /// Folds all windows.
    ///
    /// # Safety
    /// Their positions, and those of their results, are such as `fold` may read and write.
    #[inline(always)]
    unsafe fn fold<S: Simd>(&self, simd: S, ahead: &mut Ahead, fold: impl Fold<S>) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.columns {
                1 => self.fold_columns::<S, 1>(simd, ahead, fold),
                2 => self.fold_columns::<S, 2>(simd, ahead, fold),
                3 => self.fold_columns::<S, 3>(simd, ahead, fold),
                5 => self.fold_columns::<S, 5>(simd, ahead, fold),
                _ => self.fold_columns::<S, 0>(simd, ahead, fold),
            }
        }
    }

    /// [`Self::fold`] of `K` columns, or of as many as there are.
    #[inline(always)]
    unsafe fn fold_columns<S: Simd, const K: usize>(&self, simd: S, ahead: &mut Ahead, fold: impl Fold<S>) {
        let mut i = 0;
        // SAFETY: the caller's promise.
        unsafe {
            while i + TOGETHER <= self.count {
                self.fold_together::<S, K, TOGETHER>(simd, i, fold);
                ahead.step(simd);
                i += TOGETHER;
            }
            while i < self.count {
                self.fold_together::<S, K, 1>(simd, i, fold);
                ahead.step(simd);
                i += 1;
            }
        }
    }

    /// [`Self::fold_columns`] of `N` windows from number `i` on.
    #[inline(always)]
    unsafe fn fold_together<S: Simd, const K: usize, const N: usize>(
        &self,
        simd: S,
        i: usize,
        fold: impl Fold<S>,
    ) {
        let (mut at, mut number) = (self.first + i * self.advance, self.number);
        // SAFETY: the caller's promise.
        unsafe {
            let mut states = [fold.start(simd, at, simd.splat(NUMBERS[number % 256])); N];
            for (n, state) in states.iter_mut().enumerate().skip(1) {
                *state = fold.start(simd, at + n * self.advance, simd.splat(NUMBERS[number % 256]));
            }
            for _ in 0..self.rows {
                for k in 0..if K == 0 { self.columns } else { K } {
                    let tap = simd.splat(NUMBERS[(number + k) % 256]);
                    for (n, state) in states.iter_mut().enumerate() {
                        *state = fold.meet(simd, at + k + n * self.advance, tap, *state);
                    }
                }
                (at, number) = (at + self.line, number + self.kernel);
            }
            for (n, state) in states.into_iter().enumerate() {
                fold.store(simd, self.to + i + n, state);
            }
        }
    }
}

/// What is done with windows. Positions are counted in registers.
trait Fold<S: Simd>: Copy {
    /// What there is of a window so far.
    type State: Copy;
    /// Before anything was met; `at` is the first position.
    unsafe fn start(self, simd: S, at: usize, number: S::V) -> Self::State;
    /// Meets a position.
    unsafe fn meet(self, simd: S, at: usize, number: S::V, state: Self::State) -> Self::State;
    /// Writes the result.
    unsafe fn store(self, simd: S, to: usize, state: Self::State);
}

/// y = the largest value of each window, the first of equals, and, with `TAKE`, numbers = its number.
///
/// # Panics
/// When a window reaches outside `x`, or there is no room for a result.
#[inline(always)]
pub fn largest_of<S: Simd, const TAKE: bool>(
    simd: S,
    x: &[f32],
    windows: &Windows,
    ahead: &mut Ahead,
    y: &mut [f32],
    numbers: &mut [f32],
) {
    windows.check::<S>(x);
    windows.check_room::<S>(y);
    if TAKE {
        windows.check_room::<S>(numbers);
    }
    assert!(windows.rows > 0 && windows.columns > 0, "nothing has no largest");
    let largest = Largest::<TAKE> { x: x.as_ptr(), y: y.as_mut_ptr(), numbers: numbers.as_mut_ptr() };
    // SAFETY: all was checked.
    unsafe { windows.fold(simd, ahead, largest) };
}

#[derive(Clone, Copy)]
struct Largest<const TAKE: bool> {
    x: *const f32,
    y: *mut f32,
    numbers: *mut f32,
}

impl<S: Simd, const TAKE: bool> Fold<S> for Largest<TAKE> {
    type State = (S::V, S::V);

    #[inline(always)]
    unsafe fn start(self, simd: S, at: usize, number: S::V) -> Self::State {
        // SAFETY: the caller's promise.
        (unsafe { simd.load(self.x.add(at * S::LANES)) }, number)
    }

    #[inline(always)]
    unsafe fn meet(self, simd: S, at: usize, number: S::V, (best, of): Self::State) -> Self::State {
        // SAFETY: the caller's promise.
        let v = unsafe { simd.load(self.x.add(at * S::LANES)) };
        (simd.max(v, best), if TAKE { simd.where_greater(v, best, number, of) } else { of })
    }

    #[inline(always)]
    unsafe fn store(self, simd: S, to: usize, (best, of): Self::State) {
        // SAFETY: the caller's promise.
        unsafe {
            simd.store(self.y.add(to * S::LANES), best);
            if TAKE {
                simd.store(self.numbers.add(to * S::LANES), of);
            }
        }
    }
}

/// y = the sum of each window.
///
/// # Panics
/// When a window reaches outside `x`, or there is no room for a result.
#[inline(always)]
pub fn sum_of<S: Simd>(simd: S, x: &[f32], windows: &Windows, ahead: &mut Ahead, y: &mut [f32]) {
    windows.check::<S>(x);
    windows.check_room::<S>(y);
    // SAFETY: all was checked.
    unsafe { windows.fold(simd, ahead, Sum { x: x.as_ptr(), y: y.as_mut_ptr() }) };
}

#[derive(Clone, Copy)]
struct Sum {
    x: *const f32,
    y: *mut f32,
}

impl<S: Simd> Fold<S> for Sum {
    type State = S::V;

    #[inline(always)]
    unsafe fn start(self, simd: S, _: usize, _: S::V) -> S::V {
        simd.splat(0.0)
    }

    #[inline(always)]
    unsafe fn meet(self, simd: S, at: usize, _: S::V, sum: S::V) -> S::V {
        // SAFETY: the caller's promise.
        simd.add(sum, unsafe { simd.load(self.x.add(at * S::LANES)) })
    }

    #[inline(always)]
    unsafe fn store(self, simd: S, to: usize, sum: S::V) {
        // SAFETY: the caller's promise.
        unsafe { simd.store(self.y.add(to * S::LANES), sum) };
    }
}

/// `lines[i * lanes + p] = x[p * plane + i]` for the first `planes` planes, at most `lanes`; 0 in the other lanes. `lines` is a
/// register for each value of a plane.
///
/// # Panics
/// When it has fewer or more, or there are more planes than lanes or in `x`.
pub fn beside(isa: Isa, x: &[f32], planes: usize, lines: &mut [f32], ahead: &mut Ahead) {
    let plane = lines.len() / isa.lanes();
    assert!(planes <= isa.lanes() && planes * plane <= x.len() && lines.len() == plane * isa.lanes());
    isa.run(Beside { x, plane, planes, lines, ahead });
}

struct Beside<'a> {
    x: &'a [f32],
    plane: usize,
    planes: usize,
    lines: &'a mut [f32],
    ahead: &'a mut Ahead,
}

impl Job for Beside<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, plane, planes, lines, ahead } = self;
        for (i, lines) in lines.chunks_mut(S::LANES * S::LANES).enumerate() {
            let from = Lines { at: x.as_ptr().wrapping_add(i * S::LANES), stride: plane };
            // SAFETY: `x` has so many planes, and each what `lines` has registers for.
            unsafe { simd.transpose(from, planes, lines.len() / S::LANES, lines.as_mut_ptr(), S::LANES) };
            ahead.step(simd);
        }
    }
}

/// `y[p * plane + i] = lines[i * lanes + p]` for all planes of `y`.
///
/// # Panics
/// When there are more planes than lanes, or `lines` is not a register for each value of a plane.
pub fn one_by_one(isa: Isa, lines: &[f32], plane: usize, y: &mut [f32], ahead: &mut Ahead) {
    assert!(lines.len() == plane * isa.lanes() && y.len() <= lines.len() && y.len().is_multiple_of(plane));
    isa.run(OneByOne { lines, plane, y, ahead });
}

struct OneByOne<'a> {
    lines: &'a [f32],
    plane: usize,
    y: &'a mut [f32],
    ahead: &'a mut Ahead,
}

impl Job for OneByOne<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { lines, plane, y, ahead } = self;
        let planes = y.len() / plane;
        let mut square = [0.0; SQUARE];
        for first in (0..plane).step_by(S::LANES) {
            ahead.step(simd);
            // The last register of a plane begins before the end of the one before.
            let first = first.min(plane.saturating_sub(S::LANES));
            let from = Lines { at: lines[first * S::LANES..].as_ptr(), stride: S::LANES };
            if plane >= S::LANES {
                // SAFETY: `lines` has a square from there on, and each plane room for a register.
                unsafe { simd.transpose(from, S::LANES, planes, y.as_mut_ptr().add(first), plane) };
                continue;
            }
            // SAFETY: `lines` has `plane` registers; a square has one for each plane.
            unsafe { simd.transpose(from, plane, planes, square.as_mut_ptr(), S::LANES) };
            for (y, line) in y.chunks_exact_mut(plane).zip(square.chunks_exact(S::LANES)) {
                simd.write_first(y, simd.read(line));
            }
        }
    }
}

/// [`one_by_one`] of whole numbers from 0 to 255, as bytes.
///
/// # Panics
/// As there.
pub fn one_by_one_bytes(isa: Isa, lines: &[f32], plane: usize, y: &mut [u8]) {
    assert!(lines.len() == plane * isa.lanes() && y.len() <= lines.len() && y.len().is_multiple_of(plane));
    isa.run(OneByOneBytes { lines, plane, y });
}

struct OneByOneBytes<'a> {
    lines: &'a [f32],
    plane: usize,
    y: &'a mut [u8],
}

impl Job for OneByOneBytes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut square = [0.0; SQUARE];
        for (i, lines) in self.lines.chunks(S::LANES * S::LANES).enumerate() {
            let (first, n) = (i * S::LANES, lines.len() / S::LANES);
            let from = Lines { at: lines.as_ptr(), stride: S::LANES };
            // SAFETY: `lines` has `n` registers; a square has one for each plane.
            unsafe { simd.transpose(from, n, self.y.len() / self.plane, square.as_mut_ptr(), S::LANES) };
            for (y, line) in self.y.chunks_exact_mut(self.plane).zip(square.chunks_exact(S::LANES)) {
                simd.write_bytes_first(&mut y[first..first + n], simd.read(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing_ahead() -> Ahead {
        Ahead::new([std::ptr::null(); 2], [0; 2], 1)
    }

    #[test]
    fn planes_come_back_from_lanes() {
        for isa in Isa::all() {
            let lanes = isa.lanes();
            for (plane, planes) in [(1, 1), (3, lanes), (16, 2), (17, lanes - 1), (49, lanes)] {
                let x: Vec<f32> = (0..plane * planes).map(|i| (i % 251) as f32).collect();
                let (mut lines, mut y) = (vec![f32::NAN; plane * lanes], vec![f32::NAN; x.len()]);
                beside(isa, &x, planes, &mut lines, &mut nothing_ahead());
                for (i, register) in lines.chunks_exact(lanes).enumerate() {
                    for (p, &v) in register.iter().enumerate() {
                        assert_eq!(v, if p < planes { x[p * plane + i] } else { 0.0 });
                    }
                }
                one_by_one(isa, &lines, plane, &mut y, &mut nothing_ahead());
                assert_eq!(y, x);
                let mut bytes = vec![255; x.len()];
                one_by_one_bytes(isa, &lines, plane, &mut bytes);
                assert!(bytes.iter().zip(&x).all(|(&byte, &v)| f32::from(byte) == v));
            }
        }
    }

    /// Windows of two by three that move by two.
    struct Fold(Windows);

    impl Job for Fold {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let x: Vec<f32> = (0..22 * S::LANES).map(|i| (i * 37 % 64) as f32).collect();
            let new = || vec![f32::NAN; 8 * S::LANES];
            let (mut best, mut numbers, mut sums) = (new(), new(), new());
            largest_of::<S, true>(simd, &x, &self.0, &mut nothing_ahead(), &mut best, &mut numbers);
            sum_of(simd, &x, &self.0, &mut nothing_ahead(), &mut sums);
            for i in 0..8usize {
                for lane in 0..S::LANES {
                    let taps = [0, 1, 2, 8, 9, 10]
                        .map(|tap| x[(2 * (i % 7) + tap).saturating_sub(1) * S::LANES + lane]);
                    let most = taps.iter().copied().fold(0.0, f32::max);
                    let number = [7, 8, 9, 12, 13, 14][taps.iter().position(|&v| v == most).unwrap()];
                    let at = i * S::LANES + lane;
                    if (1..7).contains(&i) {
                        assert_eq!(
                            [best[at], numbers[at], sums[at]],
                            [most, number as f32, taps.iter().sum()]
                        );
                    } else {
                        assert!(best[at].is_nan() && numbers[at].is_nan() && sums[at].is_nan());
                    }
                }
            }
        }
    }

    const WINDOWS: Windows =
        Windows { first: 1, advance: 2, count: 6, rows: 2, line: 8, columns: 3, number: 7, kernel: 5, to: 1 };

    #[test]
    fn windows_are_folded() {
        Isa::all().for_each(|isa| isa.run(Fold(WINDOWS)));
    }

    #[test]
    #[should_panic(expected = "a window reaches outside")]
    fn windows_stay_inside() {
        Isa::best().run(Fold(Windows { first: 2, ..WINDOWS }));
    }

    #[test]
    #[should_panic(expected = "no room")]
    fn results_stay_inside() {
        Isa::best().run(Fold(Windows { to: 3, ..WINDOWS }));
    }
}
