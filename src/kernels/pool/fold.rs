//! From windows to their outputs: rows are copied to scratch, and registers of windows done tap by tap.

use std::ops::Range;

use super::{
    Axis, Pool, for_rows,
    rows::{Layout, TOGETHER, outermost, scratch_len},
};
use crate::kernels::{
    scratch,
    simd::{
        Isa, Job, MOST_LANES, Simd,
        windows::{Tap, Taps},
    },
};

/// What becomes of windows.
pub trait Fold {
    /// Whether padding repeats the ends of a row, or else is 0.
    const REPEATS: bool;
    /// Does `N` registers of windows, whose lines lie `step` apart.
    fn fold<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        lines: &[f32],
        step: usize,
        taps: Taps<'_>,
        to: Outputs,
    );
}

/// Registers of outputs, of a row or at the same place in several planes.
#[derive(Clone, Copy)]
pub struct Outputs {
    /// The first of the first.
    pub first: usize,
    /// How far it is from register to register.
    pub step: usize,
    /// How far in the row.
    pub columns: usize,
    /// Number in its row of the first.
    pub column: usize,
    /// How many are left in the row, from the first on.
    pub count: usize,
}

impl Outputs {
    /// Those of register `i` and the rest of its row.
    #[inline(always)]
    pub fn range(&self, i: usize) -> Range<usize> {
        let first = self.first + i * self.step;
        first..first + self.count - i * self.columns
    }
}

/// Folds all windows of the first `planes` planes of `x`.
pub fn fold<F: Fold>(isa: Isa, pool: &Pool, (x, planes): (&[f32], usize), f: &mut F) {
    scratch::lend(scratch_len(pool, isa.lanes()), |scratch| isa.run(All { pool, x, planes, scratch, f }));
}

struct All<'a, F> {
    pool: &'a Pool,
    x: &'a [f32],
    planes: usize,
    scratch: &'a mut [f32],
    f: &'a mut F,
}

impl<F: Fold> Job for All<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        bands(simd, self.pool, (self.x, self.planes), self.scratch, self.f);
    }
}

/// [`fold`] by one instruction set, band by band.
#[inline(always)]
fn bands<S: Simd, F: Fold>(
    simd: S,
    pool: &Pool,
    (x, planes): (&[f32], usize),
    scratch: &mut [f32],
    f: &mut F,
) {
    let (axis, outer) = pool.split();
    let inputs = pool.inputs();
    let layout = Layout::forward(pool, S::LANES);
    let ((first, below_in), (_, below_out)) = (outermost(outer, |a| a.input), outermost(outer, |a| a.output));
    let (lines, list) = scratch.split_at_mut(layout.scratch());
    let list: &mut [Tap] = bytemuck::cast_slice_mut(&mut list[..2 * pool.taps()]);
    if !F::REPEATS {
        lines.fill(0.0);
    }
    // Loops and not closures: intrinsics are inlined only into code compiled for them.
    for (planes, steps) in layout.all(planes, first.output) {
        let rows = first.window(steps.start).start * below_in..first.window(steps.end - 1).end * below_in;
        for (plane, lines) in planes.clone().zip(lines.chunks_exact_mut(layout.plane())) {
            let x = &x[plane * inputs + rows.start * axis.input..][..rows.len() * axis.input];
            cut::<S, F>(simd, axis, layout.run, x, lines);
        }
        let ahead = &x[(planes.end - 1) * inputs + rows.end * axis.input..];
        let share = (planes.len() * rows.len() * axis.input).div_ceil(steps.len() * below_out);
        let (mut n, mut shape) = (0, None);
        for (i, row) in (steps.start * below_out..steps.end * below_out).enumerate() {
            // What the next band will read is on its way meanwhile.
            for at in (i * share..(i + 1) * share).step_by(MOST_LANES) {
                simd.prefetch(ahead.as_ptr().wrapping_add(at));
            }
            // The list serves all rows whose windows are alike.
            let (first, now) = match outer {
                [a] => (a.window(row).start, (a.window(row).len(), a.tap(row, a.window(row).start))),
                _ => (rows.start, (usize::MAX, row)),
            };
            if shape != Some(now) {
                n = window_taps(pool, &layout, row, first, list);
                shape = Some(now);
            }
            let lines = &lines[(first - rows.start) * layout.line..];
            windows(simd, pool, &layout, (&planes, row), (lines, Taps::new(&list[..n])), f);
        }
    }
}

/// Folds a row of windows in each of some planes.
#[inline(always)]
fn windows<S: Simd, F: Fold>(
    simd: S,
    pool: &Pool,
    layout: &Layout,
    (planes, row): (&Range<usize>, usize),
    (lines, taps): (&[f32], Taps<'_>),
    f: &mut F,
) {
    let (axis, _) = pool.split();
    let (outputs, plane) = (pool.outputs(), layout.plane());
    let first = planes.start * outputs + row * axis.output;
    let to = Outputs { first, step: outputs, columns: 0, column: 0, count: axis.output };
    let mut column = 0;
    while column < axis.output {
        let to = Outputs { first: first + column, column, count: axis.output - column, ..to };
        // Registers of a row go together only behind those that begin before the row, which may be unlike.
        if planes.len() == 1 && to.count > (TOGETHER - 1) * S::LANES && column >= axis.pad {
            let to = Outputs { step: S::LANES, columns: S::LANES, ..to };
            f.fold::<S, TOGETHER>(simd, &lines[column..], S::LANES, taps, to);
            column += TOGETHER * S::LANES;
            continue;
        }
        let mut slot = 0;
        while slot < planes.len() {
            let (to, lines) =
                (Outputs { first: to.first + slot * outputs, ..to }, &lines[slot * plane + column..]);
            if slot + TOGETHER <= planes.len() {
                f.fold::<S, TOGETHER>(simd, lines, plane, taps, to);
                slot += TOGETHER;
            } else {
                f.fold::<S, 1>(simd, lines, plane, taps, to);
                slot += 1;
            }
        }
        column += S::LANES;
    }
}

/// Lists the taps of the windows of an output row, in order, from input row `first` in scratch on; their number.
#[inline(always)]
fn window_taps(pool: &Pool, layout: &Layout, row: usize, first: usize, list: &mut [Tap]) -> usize {
    let (axis, outer) = pool.split();
    let mut n = 0;
    for_rows(outer, row, |row, place| {
        let (mut at, mut rest) = ((row - first) * layout.line, 0);
        for k in 0..axis.kernel {
            list[n] = [at as u32, (place * axis.kernel + k) as u32];
            (n, at, rest) = (n + 1, at + layout.run, rest + 1);
            if rest == axis.stride {
                (at, rest) = (at + 1 - layout.line, 0);
            }
        }
    });
    n
}

/// Copies rows with their padding to scratch: position q to run `q % stride`, place `q / stride`.
#[inline(always)]
fn cut<S: Simd, F: Fold>(simd: S, axis: &Axis, run: usize, x: &[f32], lines: &mut [f32]) {
    let rows = x.chunks_exact(axis.input).zip(lines.chunks_exact_mut(axis.stride * run));
    match axis.stride {
        1 => {
            for (x, line) in rows {
                let to = &mut line[axis.pad..axis.pad + axis.input];
                for at in (0..x.len()).step_by(S::LANES) {
                    simd.write_first(&mut to[at..], simd.read_first(&x[at..]));
                }
                repeat::<F>(axis, 1, run, x, line);
            }
        }
        2 => {
            for (x, line) in rows {
                let (even, odd) = line.split_at_mut(run);
                let (even, odd) = if axis.pad.is_multiple_of(2) {
                    (&mut even[axis.pad / 2..], &mut odd[axis.pad / 2..])
                } else {
                    (&mut odd[axis.pad / 2..], &mut even[axis.pad / 2 + 1..])
                };
                for (at, x) in x.chunks(2 * S::LANES).enumerate() {
                    let (low, high) = x.split_at(x.len().min(S::LANES));
                    let (first, second) = simd.unzip(simd.read_first(low), simd.read_first(high));
                    simd.write_first(&mut even[at * S::LANES..][..x.len().div_ceil(2)], first);
                    simd.write_first(&mut odd[at * S::LANES..][..x.len() / 2], second);
                }
                repeat::<F>(axis, 2, run, x, line);
            }
        }
        stride => {
            for (x, line) in rows {
                let (mut rest, mut place) = (axis.pad % stride, axis.pad / stride);
                for &v in x {
                    line[rest * run + place] = v;
                    rest += 1;
                    if rest == stride {
                        (rest, place) = (0, place + 1);
                    }
                }
                repeat::<F>(axis, stride, run, x, line);
            }
        }
    }
}

/// Repeats the ends of a row in its padding, as far as windows reach.
#[inline(always)]
fn repeat<F: Fold>(axis: &Axis, stride: usize, run: usize, x: &[f32], line: &mut [f32]) {
    if F::REPEATS {
        let mut put = |q: usize, v| line[q % stride * run + q / stride] = v;
        (0..axis.pad).for_each(|q| put(q, x[0]));
        let reach = (axis.output - 1) * axis.stride + axis.kernel;
        (axis.pad + x.len()..reach).for_each(|q| put(q, x[x.len() - 1]));
    }
}
