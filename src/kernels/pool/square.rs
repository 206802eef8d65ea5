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

/// Work on windows of `SIZE` by `SIZE` that begin `PAD` before the plane.
trait Windows {
    /// What the work returns.
    fn run<const SIZE: usize, const PAD: usize>(self, isa: Isa, axes: [Axis; 2]);
}

/// Does `work` if windows are of a size that it was compiled for; says whether.
fn for_squares(isa: Isa, pool: &Pool, work: impl Windows) -> bool {
    let &[y, x] = &pool.axes[..] else { return false };
    let of = |a: Axis| (a.kernel, a.stride, a.pad);
    if of(y) != of(x) {
        return false;
    }
    match of(x) {
        (2, STRIDE, 0) => work.run::<2, 0>(isa, [y, x]),
        (3, STRIDE, 0) => work.run::<3, 0>(isa, [y, x]),
        (3, STRIDE, 1) => work.run::<3, 1>(isa, [y, x]),
        _ => return false,
    }
    true
}

/// The largest values of the first planes, as many as `y` has, and, where `taps` is not empty, their taps; says whether windows
/// are such as this is for.
pub fn largest(isa: Isa, pool: &Pool, x: &[f32], y: &mut [f32], taps: &mut [u8]) -> bool {
    for_squares(isa, pool, Largest { x, y, taps })
}

/// dx of the first planes, as many as it has, = each dy at the tap that was taken; says whether windows are such as this is
/// for.
pub fn largest_backward(isa: Isa, pool: &Pool, dy: &[f32], taps: &[u8], dx: &mut [f32]) -> bool {
    // Where most lanes are idle, it is cheaper to go by the outputs.
    if pool.axes.last().is_none_or(|a| 2 * a.output < isa.lanes()) {
        return false;
    }
    for_squares(isa, pool, Backward { dy, taps, dx })
}

struct Largest<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    taps: &'a mut [u8],
}

impl Windows for Largest<'_> {
    fn run<const SIZE: usize, const PAD: usize>(self, isa: Isa, axes: [Axis; 2]) {
        if self.taps.is_empty() {
            isa.run(Fold::<SIZE, PAD, false> { axes, planes: self });
        } else {
            isa.run(Fold::<SIZE, PAD, true> { axes, planes: self });
        }
    }
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

struct Backward<'a> {
    dy: &'a [f32],
    taps: &'a [u8],
    dx: &'a mut [f32],
}

impl Windows for Backward<'_> {
    fn run<const SIZE: usize, const PAD: usize>(self, isa: Isa, axes: [Axis; 2]) {
        isa.run(Gather::<SIZE, PAD> { axes, planes: self });
    }
}

struct Gather<'a, const SIZE: usize, const PAD: usize> {
    axes: [Axis; 2],
    planes: Backward<'a>,
}

impl<const SIZE: usize, const PAD: usize> Job for Gather<'_, SIZE, PAD> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { axes: [rows, columns], planes: Backward { dy, taps, dx } } = self;
        let (inputs, outputs) = (rows.input * columns.input, rows.output * columns.output);
        let planes = dy.chunks_exact(outputs).zip(taps.chunks_exact(outputs));
        for ((dy, taps), dx) in planes.zip(dx.chunks_exact_mut(inputs)) {
            for (y, dx) in dx.chunks_mut(STRIDE * columns.input).enumerate() {
                for x in (0..columns.input.div_ceil(STRIDE)).step_by(S::LANES) {
                    for line in 0..STRIDE * STRIDE {
                        simd.prefetch_to_write(
                            dx.as_ptr().wrapping_add(STRIDE * STRIDE * x + line * LINE + AHEAD),
                        );
                    }
                    let sums = gather::<S, SIZE, PAD>(simd, [rows, columns], (dy, taps), [y, x]);
                    for (dx, [even, odd]) in dx.chunks_exact_mut(columns.input).zip(sums) {
                        let dx = &mut dx[STRIDE * x..];
                        let (low, high) = simd.zip(even, odd);
                        let (near, far) = dx.split_at_mut(dx.len().min(S::LANES));
                        simd.write_first(near, low);
                        simd.write_first(far, high);
                    }
                }
            }
        }
    }
}

/// The gradients of the inputs from `STRIDE * y`, `STRIDE * x` on: of `STRIDE` rows, those of even number and those of odd number.
#[inline(always)]
fn gather<S: Simd, const SIZE: usize, const PAD: usize>(
    simd: S,
    [rows, columns]: [Axis; 2],
    (dy, taps): (&[f32], &[u8]),
    [y, x]: [usize; 2],
) -> [[S::V; 2]; 2] {
    let mut sums = [[simd.splat(0.0); 2]; 2];
    let all = (dy, taps);
    gather_row::<S, SIZE, PAD, 0>(simd, [rows, columns], all, [y, x], &mut sums);
    gather_row::<S, SIZE, PAD, 1>(simd, [rows, columns], all, [y, x], &mut sums);
    gather_row::<S, SIZE, PAD, 2>(simd, [rows, columns], all, [y, x], &mut sums);
    sums
}

/// Adds what comes from a row of windows: 0 the one before, 1 here, 2 the one behind.
#[inline(always)]
fn gather_row<S: Simd, const SIZE: usize, const PAD: usize, const DOWN: usize>(
    simd: S,
    [rows, columns]: [Axis; 2],
    (dy, taps): (&[f32], &[u8]),
    [y, x]: [usize; 2],
    sums: &mut [[S::V; 2]; 2],
) {
    let o = (y + DOWN).wrapping_sub(1);
    if reaches::<SIZE, PAD>(DOWN) && o < rows.output {
        let row = o * columns.output..(o + 1) * columns.output;
        let row = (&dy[row.clone()], &taps[row]);
        gather_register::<S, SIZE, PAD, DOWN, 0>(simd, row, x, sums);
        gather_register::<S, SIZE, PAD, DOWN, 1>(simd, row, x, sums);
        gather_register::<S, SIZE, PAD, DOWN, 2>(simd, row, x, sums);
    }
}

/// Adds what comes from a register of windows, one before, here, or one behind.
#[allow(
    clippy::needless_range_loop,
    reason = "counts known when compiled, so that registers are not put in memory"
)]
#[inline(always)]
fn gather_register<S: Simd, const SIZE: usize, const PAD: usize, const DOWN: usize, const RIGHT: usize>(
    simd: S,
    (dy, taps): (&[f32], &[u8]),
    x: usize,
    sums: &mut [[S::V; 2]; 2],
) {
    if !reaches::<SIZE, PAD>(RIGHT) {
        return;
    }
    let at = (x + RIGHT).saturating_sub(1).min(dy.len());
    let (mut d, mut tap) = (simd.read_first(&dy[at..]), simd.read_bytes_first(&taps[at..]));
    if x + RIGHT == 0 {
        (d, tap) = (simd.shift(d), simd.shift(tap));
    }
    for i in 0..STRIDE {
        for j in 0..STRIDE {
            let (t, k) = (tap_of::<PAD>(i, DOWN), tap_of::<PAD>(j, RIGHT));
            if t < SIZE && k < SIZE {
                let number = simd.splat((t * SIZE + k) as f32);
                let taken = simd.where_equal(tap, number, d, simd.splat(0.0));
                sums[i][j] = simd.add(sums[i][j], taken);
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
