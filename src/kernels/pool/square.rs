//! The largest of the windows that most nets have, two by two or three by three that move by two, and its gradient, straight
//! from the plane: nothing is copied to scratch. A tap beyond the plane meets what its neighbour meets, or comes as a zero gradient.

use super::{Axis, Pool};
use crate::kernels::simd::{Isa, Job, Simd};

/// Values ahead of the last written whose lines are asked for.
const AHEAD: usize = 128;
/// Values ahead of the last read whose lines are asked for.
const FAR: usize = 1024;
/// Values in a line of the cache.
const LINE: usize = 16;
/// Positions in the largest window.
const TAPS: usize = 9;
/// The most rows that four rows of outputs meet.
const MET: usize = 9;

/// The numbers of the lanes.
const LANES: [f32; 16] = [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];

/// Step from window to window.
const STRIDE: usize = 2;

/// Whether windows are of a size that this was compiled for.
pub fn fits(pool: &Pool) -> bool {
    let of = |a: &Axis| (a.kernel, a.stride, a.pad);
    matches!(&pool.axes[..], [y, x] if of(y) == of(x) && matches!(of(x), (2, STRIDE, 0) | (3, STRIDE, 0 | 1)))
}

/// The largest values of the first planes, as many as `y` has, and, where `taps` is not empty, their taps; only where it [`fits`].
pub fn largest(isa: Isa, pool: &Pool, x: &[f32], y: &mut [f32], taps: &mut [u8]) {
    let axes = [pool.axes[0], pool.axes[1]];
    let (kind, planes) = ((axes[1].kernel, axes[1].pad, taps.is_empty()), Largest { x, y, taps });
    match kind {
        (2, _, true) => isa.run(Fold::<2, 0, false> { axes, planes }),
        (2, _, false) => isa.run(Fold::<2, 0, true> { axes, planes }),
        (_, 0, true) => isa.run(Fold::<3, 0, false> { axes, planes }),
        (_, 0, false) => isa.run(Fold::<3, 0, true> { axes, planes }),
        (_, _, true) => isa.run(Fold::<3, 1, false> { axes, planes }),
        (_, _, false) => isa.run(Fold::<3, 1, true> { axes, planes }),
    }
}

struct Largest<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    taps: &'a mut [u8],
}

struct Fold<'a, const SIZE: usize, const PAD: usize, const TAKE: bool> {
    axes: [Axis; 2],
    planes: Largest<'a>,
}

impl<const SIZE: usize, const PAD: usize, const TAKE: bool> Job for Fold<'_, SIZE, PAD, TAKE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { axes: [rows, columns], planes: Largest { x, y, taps } } = self;
        let (inputs, outputs) = (rows.input * columns.input, rows.output * columns.output);
        for (p, (x, y)) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)).enumerate() {
            let taps = if TAKE { &mut taps[p * outputs..][..outputs] } else { &mut [] };
            let mut row = 0;
            while row < rows.output {
                let plane = Plane::<SIZE, PAD> { rows, columns, x, row };
                let at = row * columns.output;
                let (y, taps) = (&mut y[at..], if TAKE { &mut taps[at..] } else { &mut [] });
                row += match rows.output - row {
                    4.. => plane.fold::<S, 4, TAKE>(simd, y, taps),
                    2.. => plane.fold::<S, 2, TAKE>(simd, y, taps),
                    _ => plane.fold::<S, 1, TAKE>(simd, y, taps),
                };
            }
        }
    }
}

/// A plane, and a row of its outputs.
#[derive(Clone, Copy)]
struct Plane<'a, const SIZE: usize, const PAD: usize> {
    rows: Axis,
    columns: Axis,
    x: &'a [f32],
    row: usize,
}

impl<const SIZE: usize, const PAD: usize> Plane<'_, SIZE, PAD> {
    /// `N` rows of outputs; their number.
    #[inline(always)]
    fn fold<S: Simd, const N: usize, const TAKE: bool>(
        self,
        simd: S,
        y: &mut [f32],
        taps: &mut [u8],
    ) -> usize {
        let width = self.columns.output;
        for column in (0..width).step_by(S::LANES) {
            simd.prefetch_to_write(y.as_ptr().wrapping_add(N * column + AHEAD));
            let here = self.row * STRIDE * self.columns.input + N * STRIDE * STRIDE * column;
            for line in 0..N * STRIDE * STRIDE {
                simd.prefetch(self.x.as_ptr().wrapping_add(here + line * LINE + FAR));
            }
            let inside =
                column * STRIDE >= PAD && (column + S::LANES) * STRIDE + SIZE - PAD <= self.columns.input;
            if inside && column + S::LANES <= width {
                self.register::<S, N, TAKE, true>(simd, column, y, taps);
            } else {
                self.register::<S, N, TAKE, false>(simd, column, y, taps);
            }
        }
        N
    }

    /// A register of each of `N` rows of outputs.
    #[allow(
        clippy::needless_range_loop,
        reason = "counts known when compiled, so that registers are not put in memory"
    )]
    #[inline(always)]
    fn register<S: Simd, const N: usize, const TAKE: bool, const INSIDE: bool>(
        self,
        simd: S,
        column: usize,
        y: &mut [f32],
        taps: &mut [u8],
    ) {
        let (height, width) = (self.rows.input, self.columns.input);
        // Lanes whose second and third taps lie on the row.
        let on = |k: usize| (width + PAD).saturating_sub(column * STRIDE + k).div_ceil(STRIDE) as f32;
        let on = [simd.splat(on(1)), simd.splat(on(2))];
        let mut met = [[simd.splat(0.0); 3]; MET];
        for (r, met) in met.iter_mut().enumerate().take((N - 1) * STRIDE + SIZE) {
            let row = (self.row * STRIDE + r).saturating_sub(PAD).min(height - 1);
            *met = self.values::<S, INSIDE>(simd, &self.x[row * width..][..width], column, on);
        }
        let left = usize::from(!INSIDE && PAD > 0 && column == 0);
        let width = self.columns.output;
        for o in 0..N {
            let top = if PAD > 0 && self.row + o == 0 { 2 } else { 0 };
            let (head, numbers) = (&Numbers::<SIZE>::ALL[left + top], &Numbers::<SIZE>::ALL[left]);
            let (mut best, mut tap) = (met[o * STRIDE][0], simd.read(&head[0]));
            for t in 0..SIZE {
                let (met, numbers) = (&met[o * STRIDE + t], if t == 0 { head } else { numbers });
                for k in 0..SIZE {
                    if (t, k) != (0, 0) {
                        if TAKE {
                            tap = simd.where_greater(met[k], best, simd.read(&numbers[t * SIZE + k]), tap);
                        }
                        best = simd.max(met[k], best);
                    }
                }
            }
            simd.write_first(&mut y[o * width..][column..width], best);
            if TAKE {
                simd.write_bytes_first(&mut taps[o * width..][column..width], tap);
            }
        }
    }

    /// What the taps of a register of outputs meet in a row; `on` says how many of the second and third lie on it.
    #[inline(always)]
    fn values<S: Simd, const INSIDE: bool>(
        self,
        simd: S,
        row: &[f32],
        column: usize,
        on: [S::V; 2],
    ) -> [S::V; 3] {
        let (lanes, first) = (S::LANES, PAD > 0 && column == 0);
        let at = (column * STRIDE).saturating_sub(PAD);
        if INSIDE {
            let row = &row[at..];
            let (a, b) = simd.unzip(simd.read(row), simd.read(&row[lanes..]));
            let c =
                if SIZE == 3 { simd.unzip(simd.read(&row[2..]), simd.read(&row[lanes + 2..])).0 } else { b };
            return [a, b, c];
        }
        let behind = |more: usize| &row[(at + more).min(row.len())..];
        let (even, odd) = simd.unzip(simd.read_first(behind(0)), simd.read_first(behind(lanes)));
        let [a, b, c] = if first {
            [simd.shift(odd), even, odd]
        } else if SIZE == 3 {
            let next = simd.unzip(simd.read_first(behind(2)), simd.read_first(behind(lanes + 2))).0;
            [even, odd, next]
        } else {
            [even, odd, odd]
        };
        let numbers = simd.read(&LANES);
        let a = if first { simd.where_greater(simd.splat(1.0), numbers, b, a) } else { a };
        let b = simd.where_greater(on[0], numbers, b, a);
        [a, b, simd.where_greater(on[1], numbers, c, b)]
    }
}

/// Numbers of the taps, for each lane.
struct Numbers<const SIZE: usize>;

impl<const SIZE: usize> Numbers<SIZE> {
    /// As they are; where the first window begins before the row; where windows begin above the plane; both. There the tap beyond
    /// is the next one.
    const ALL: [[[f32; 16]; TAPS]; 4] = {
        let mut all = [[[0.0; 16]; TAPS]; 4];
        let mut at = 0;
        while at < 4 * SIZE * SIZE * 16 {
            let (lane, k, t, kind) = (at % 16, at / 16 % SIZE, at / 16 / SIZE % SIZE, at / 16 / SIZE / SIZE);
            let column = if kind % 2 == 1 && lane == 0 && k == 0 { 1 } else { k };
            let row = if kind / 2 == 1 && t == 0 { 1 } else { t };
            all[kind][t * SIZE + k][lane] = (row * SIZE + column) as f32;
            at += 1;
        }
        all
    };
}
