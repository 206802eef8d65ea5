//! The gradient of windows of up to three by three that move by two, of their largest values or of sums: a register of inputs adds, in
//! order, what comes from those outputs around it whose byte names it, or from all. Inputs of even and of odd number are apart until
//! they are written.

use super::{LINE, Simd};

/// Bytes that must lie before and behind those of planes.
pub const MARGIN: usize = 32;

/// Values ahead of the last written whose lines are asked for.
const AHEAD: usize = 1024;
/// Step from window to window.
const STRIDE: usize = 2;

/// The sides of a plane, of rows and of columns, and the register that is made.
#[derive(Clone, Copy)]
struct Place {
    inputs: [usize; 2],
    outputs: [usize; 2],
    y: usize,
    x: usize,
}

/// dx = the sum of each dy of the windows of `SIZE` by `SIZE` that hold it, or, with `TAKE`, took it, which begin `PAD` before the
/// plane. `inputs` and `outputs` are rows and columns of a plane, and the numbers of taps that were taken are bytes from number
/// [`MARGIN`] of `taps` on.
///
/// # Panics
/// When `dx`, `dy` and `taps` are not of as many whole planes, or outputs fewer than half of the inputs.
#[inline(always)]
pub fn spread_by_two<S: Simd, const SIZE: usize, const PAD: usize, const TAKE: bool>(
    simd: S,
    [inputs, outputs]: [[usize; 2]; 2],
    dy: &[f32],
    taps: &[u8],
    dx: &mut [f32],
) {
    let [plane, other] = [inputs, outputs].map(|[rows, columns]| rows * columns);
    assert!(dy.len() == dx.len() / plane * other && dx.len().is_multiple_of(plane), "as many planes");
    assert!(!TAKE || taps.len() == dy.len() + 2 * MARGIN, "bytes around those of planes");
    assert!(inputs[1].div_ceil(STRIDE) <= outputs[1] + 1, "outputs for all columns");
    for (p, dx) in dx.chunks_exact_mut(plane).enumerate() {
        let dy = dy[p * other..].as_ptr();
        let taps = if TAKE { taps[MARGIN + p * other..].as_ptr() } else { taps.as_ptr() };
        for y in 0..inputs[0].div_ceil(STRIDE) {
            for x in (0..inputs[1].div_ceil(STRIDE)).step_by(S::LANES) {
                let mut sums = [[simd.splat(0.0); STRIDE]; STRIDE];
                let place = Place { inputs, outputs, y, x };
                // SAFETY: what is read of `dy` are rows of a plane's outputs; bytes are read from one before a row to a register and
                // two behind it, and there is a margin around all; rows and lanes that are written are the plane's.
                unsafe {
                    place.add_row::<S, SIZE, PAD, TAKE, 0>(simd, dy, taps, &mut sums);
                    place.add_row::<S, SIZE, PAD, TAKE, 1>(simd, dy, taps, &mut sums);
                    place.add_row::<S, SIZE, PAD, TAKE, 2>(simd, dy, taps, &mut sums);
                    place.store(simd, sums, dx.as_mut_ptr());
                }
            }
        }
    }
}

impl Place {
    /// Adds what comes from a row of windows: 0 the one before, 1 here, 2 the one behind.
    ///
    /// # Safety
    /// `dy` and `taps` are a plane's outputs, and there are margins around its bytes.
    #[inline(always)]
    unsafe fn add_row<S: Simd, const SIZE: usize, const PAD: usize, const TAKE: bool, const DOWN: usize>(
        self,
        simd: S,
        dy: *const f32,
        taps: *const u8,
        sums: &mut [[S::V; STRIDE]; STRIDE],
    ) {
        let (row, first) =
            ((self.y + DOWN).wrapping_sub(1), self.outputs[1].wrapping_mul((self.y + DOWN).wrapping_sub(1)));
        if reaches::<SIZE, PAD>(DOWN) && row < self.outputs[0] {
            let (dy, taps) = (dy.wrapping_add(first), taps.wrapping_add(first));
            // SAFETY: the caller's promise.
            unsafe {
                self.add::<S, SIZE, PAD, TAKE, DOWN, 0>(simd, dy, taps, sums);
                self.add::<S, SIZE, PAD, TAKE, DOWN, 1>(simd, dy, taps, sums);
                self.add::<S, SIZE, PAD, TAKE, DOWN, 2>(simd, dy, taps, sums);
            }
        }
    }

    /// Adds what comes from a register of windows of a row, one before, here, or one behind.
    ///
    /// # Safety
    /// As [`Self::add_row`], of a row.
    #[allow(
        clippy::needless_range_loop,
        reason = "counts known when compiled, so that registers are not put in memory"
    )]
    #[inline(always)]
    unsafe fn add<
        S: Simd,
        const SIZE: usize,
        const PAD: usize,
        const TAKE: bool,
        const DOWN: usize,
        const RIGHT: usize,
    >(
        self,
        simd: S,
        dy: *const f32,
        taps: *const u8,
        sums: &mut [[S::V; STRIDE]; STRIDE],
    ) {
        if !reaches::<SIZE, PAD>(RIGHT) {
            return;
        }
        // Outside of the row gradients are 0, whatever the bytes.
        let (at, before) = ((self.x + RIGHT).wrapping_sub(1), usize::from(self.x + RIGHT == 0));
        let end = (self.outputs[1] + 1).saturating_sub(self.x + RIGHT).min(S::LANES);
        // SAFETY: the lanes that are read are outputs; the bytes lie in the margins, if not in the plane.
        unsafe {
            let (p, bytes) = (dy.wrapping_add(at), taps.wrapping_add(at));
            let whole = before == 0 && end == S::LANES;
            let d = if whole { simd.load(p) } else { simd.load_lanes(p, (before.min(end), end)) };
            for i in 0..STRIDE {
                for j in 0..STRIDE {
                    let (t, k) = (tap_of::<PAD>(i, DOWN), tap_of::<PAD>(j, RIGHT));
                    if t < SIZE && k < SIZE {
                        let number = (t * SIZE + k) as u8;
                        sums[i][j] = if TAKE {
                            simd.add_where(sums[i][j], d, bytes, number)
                        } else {
                            simd.add(sums[i][j], d)
                        };
                    }
                }
            }
        }
    }

    /// Writes a register and the next of up to two rows.
    ///
    /// # Safety
    /// `dx` is a plane of inputs.
    #[inline(always)]
    unsafe fn store<S: Simd>(self, simd: S, sums: [[S::V; STRIDE]; STRIDE], dx: *mut f32) {
        let Self { inputs: [rows, columns], y, x, .. } = self;
        let (at, left) = (STRIDE * y * columns + STRIDE * x, columns - STRIDE * x);
        for line in 0..STRIDE * STRIDE {
            simd.prefetch_to_write(dx.wrapping_add(at + STRIDE * x + line * LINE + AHEAD));
        }
        for (row, [even, odd]) in sums.into_iter().enumerate().take(rows - STRIDE * y) {
            let (low, high) = simd.zip(even, odd);
            // SAFETY: the caller's promise; as many lanes are written as are left of the row.
            unsafe {
                let to = dx.add(at + row * columns);
                if left >= STRIDE * S::LANES {
                    simd.store(to, low);
                    simd.store(to.add(S::LANES), high);
                } else {
                    simd.store_first(to, left.min(S::LANES), low);
                    simd.store_first(to.wrapping_add(S::LANES), left.saturating_sub(S::LANES), high);
                }
            }
        }
    }
}

/// The tap by which input `rest`, counted from the stride, lies in a window: 0 the one before, 1 here, 2 the one behind.
const fn tap_of<const PAD: usize>(rest: usize, window: usize) -> usize {
    (rest + PAD + STRIDE).wrapping_sub(STRIDE * window)
}

/// Whether any input lies in that window.
const fn reaches<const SIZE: usize, const PAD: usize>(window: usize) -> bool {
    tap_of::<PAD>(0, window) < SIZE || tap_of::<PAD>(1, window) < SIZE
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Isa, Job},
        *,
    };

    /// Windows of `SIZE` by `SIZE` that begin `PAD` before planes of so many rows and columns.
    struct Planes<const SIZE: usize, const PAD: usize>([usize; 2], usize);

    impl<const SIZE: usize, const PAD: usize> Job for Planes<SIZE, PAD> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Self(inputs, margin) = self;
            let outputs = inputs.map(|n| (n + 2 * PAD).saturating_sub(SIZE).div_ceil(STRIDE) + 1);
            let (plane, other) = (inputs[0] * inputs[1], outputs[0] * outputs[1]);
            let (mut dy, mut taps) = (vec![0.0; 2 * other], vec![0; margin]);
            let (mut want, mut all) = (vec![0.0; 2 * plane], vec![0.0; 2 * plane]);
            for (o, dy) in dy.iter_mut().enumerate() {
                *dy = (o + 1) as f32;
                let place = [o % other / outputs[1], o % outputs[1]];
                let on =
                    |axis: usize, k: &usize| (PAD..inputs[axis] + PAD).contains(&(STRIDE * place[axis] + k));
                // Another tap of each window.
                let pick =
                    |axis, salt| (0..SIZE).cycle().skip(o * salt % SIZE).find(|k| on(axis, k)).unwrap();
                let tap = [pick(0, 5), pick(1, 7)];
                let at = |tap: [usize; 2]| {
                    let [y, x] = [0, 1].map(|axis| STRIDE * place[axis] + tap[axis] - PAD);
                    o / other * plane + y * inputs[1] + x
                };
                want[at(tap)] += *dy;
                for t in (0..SIZE).filter(|t| on(0, t)) {
                    (0..SIZE).filter(|k| on(1, k)).for_each(|k| all[at([t, k])] += *dy);
                }
                taps.push((tap[0] * SIZE + tap[1]) as u8);
            }
            taps.resize(taps.len() + margin, 0);
            let mut dx = vec![f32::NAN; want.len()];
            spread_by_two::<S, SIZE, PAD, true>(simd, [inputs, outputs], &dy, &taps, &mut dx);
            assert_eq!(dx, want, "{inputs:?} of {SIZE}, {PAD}");
            spread_by_two::<S, SIZE, PAD, false>(simd, [inputs, outputs], &dy, &[], &mut dx);
            assert_eq!(dx, all, "{inputs:?} of {SIZE}, {PAD}");
        }
    }

    #[test]
    fn inputs_add_what_they_gave() {
        for isa in Isa::all() {
            for inputs in [[2, 2], [3, 5], [8, 8], [7, 16], [5, 31], [4, 33], [9, 70]] {
                isa.run(Planes::<2, 0>(inputs, MARGIN));
                isa.run(Planes::<3, 0>(inputs, MARGIN));
                isa.run(Planes::<3, 1>(inputs, MARGIN));
            }
        }
    }

    #[test]
    #[should_panic(expected = "bytes around those of planes")]
    fn bytes_have_a_margin() {
        Isa::best().run(Planes::<3, 0>([4, 4], MARGIN - 1));
    }
}
