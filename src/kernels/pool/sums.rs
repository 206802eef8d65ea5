//! Weighted sums of windows, and back from sums to inputs, for windows and planes of any kind, in two steps that leave few lanes
//! idle.
//!
//! Forward the rows that each row of windows meets are added; what that makes follows one another in scratch, zeros between,
//! whatever plane it is of, and is summed along as one long row. Backward the other way round: shares along the long row first, then
//! down into the rows of inputs. Windows that move by more than 2 along a row move by 1, and those between are nobody's.

use super::{
    Axis, Pool,
    lists::{Bands, Lists, outermost},
};
use crate::kernels::{
    scratch,
    simd::{
        Isa, Job, MOST_LANES, Simd,
        long::{Long, along},
        rows::{Over, OverRoot, Root, Rows, copy, down},
    },
};

/// About how many values of the long row lie in scratch at a time.
const BAND: usize = 2048;

/// What becomes of sums, or is made of gradients, of outputs.
#[derive(Clone, Copy)]
pub enum Finish<'a> {
    /// A mean: divided by the norm of each output of a plane; behind them comes -1 over each.
    Over([&'a [f32]; 2]),
    /// The root of a sum of squares; backward divided by this, by output, where it is above 0.
    Root(&'a [f32]),
}

/// Windows, and how sums of them lie in scratch.
pub struct Sums<'a> {
    pool: &'a Pool,
    /// The weight of each column of a window.
    weights: &'a [f32],
    lists: Lists<'a>,
    /// From window to window of the long row, 1 or 2.
    step: usize,
    /// From output to output, in windows.
    apart: usize,
    /// Windows before one that hold some of the same inputs.
    before: usize,
    /// How many windows of the long row there are to a row of the plane's, and to a row of inputs `step` times as many.
    pitch: usize,
    bands: Bands,
}

impl<'a> Sums<'a> {
    /// For sums, by their lists, whose numbers are weights of rows; `weights` are those of columns.
    pub fn new(pool: &'a Pool, weights: &'a [f32], lists: Lists<'a>) -> Self {
        let (axis, outer) = pool.split();
        let Axis { input, kernel, pad, .. } = *axis;
        let (step, apart) = step(axis);
        // The zeros before a row are those behind the one before.
        let reach = ((axis.output - 1) * apart * step + kernel).saturating_sub(pad);
        let pitch = (pad + input).max(reach).div_ceil(step);
        let (first, below) = outermost(outer, |a| a.output);
        let bands = Bands::fit(BAND / (step * pitch), first.output, |steps| below * steps);
        Self { pool, weights, lists, step, apart, before: 0, pitch, bands }
    }

    /// For gradients, by theirs, likewise.
    pub fn back(pool: &'a Pool, weights: &'a [f32], lists: Lists<'a>) -> Self {
        let (axis, outer) = pool.split();
        let (step, apart) = step(axis);
        let before = (axis.kernel - 1) / step;
        let behind = (axis.output - 1) * apart + 1 + before.saturating_sub(axis.pad / step);
        let pitch = behind.max((axis.input - 1 + axis.pad) / step + 1);
        let (first, below) = outermost(outer, |a| a.output);
        let held = |steps: usize| below * ((steps + first.kernel - 2) / first.stride + 1).min(first.output);
        let bands = Bands::fit(BAND / (step * pitch), first.input, held);
        Self { pool, weights, lists, step, apart, before, pitch, bands }
    }

    /// y = the sums of the windows of the first planes of `x`, as many as `y` has, or, with `SQUARES`, of their squares.
    pub fn forward<const SQUARES: bool>(&self, isa: Isa, x: &[f32], y: &mut [f32], finish: Finish<'_>) {
        self.lend(|long, made| isa.run(Forward::<SQUARES> { sums: self, x, y, finish, long, made }));
    }

    /// dx of the first planes, as many as it has, = the sum of the shares of all windows that hold it.
    pub fn backward(&self, isa: Isa, dy: &[f32], dx: &mut [f32], finish: Finish<'_>) {
        self.lend(|long, wide| isa.run(Backward { sums: self, dy, dx, finish, long, wide }));
    }

    /// Lends `f` a long row of zeros, and room for what is made of it.
    fn lend(&self, f: impl FnOnce(&mut [f32], &mut [f32])) {
        let (pad, count) = (self.pool.split().0.pad, self.bands.rows * self.pitch);
        let values = self.before + pad + self.along(count).values();
        scratch::lend(values + self.step * count.next_multiple_of(MOST_LANES) + pad, |lent| {
            let (long, made) = lent.split_at_mut(values);
            long.fill(0.0);
            f(long, made);
        });
    }

    /// So many windows of the long row.
    fn along(&self, count: usize) -> Long<'_> {
        Long { step: self.step, weights: self.weights, count }
    }
}

/// How far windows of the long row move, and how many of them outputs are apart.
fn step(axis: &Axis) -> (usize, usize) {
    if axis.stride > 2 { (1, axis.stride) } else { (axis.stride, 1) }
}

struct Forward<'a, const SQUARES: bool> {
    sums: &'a Sums<'a>,
    x: &'a [f32],
    y: &'a mut [f32],
    finish: Finish<'a>,
    long: &'a mut [f32],
    made: &'a mut [f32],
}

impl<const SQUARES: bool> Job for Forward<'_, SQUARES> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { sums, x, y, finish, long, made } = self;
        let (axis, outer) = sums.pool.split();
        let (inputs, outputs) = (sums.pool.inputs(), sums.pool.outputs());
        let (first, below) = outermost(outer, |a| a.output);
        let line = sums.step * sums.pitch;
        for (planes, steps) in sums.bands.all(y.len() / outputs, first.output) {
            let rows = steps.start * below..steps.end * below;
            let (plane, line) = ([inputs, rows.len() * line], [axis.input, line]);
            let ((list, term), terms) = (sums.lists.of(&rows), sums.lists.terms);
            let how = Rows {
                rows: list,
                terms,
                term,
                first: 0,
                planes: planes.len(),
                plane,
                line,
                width: axis.input,
            };
            let x = &x[planes.start * inputs..planes.end * inputs];
            down::<S, SQUARES, false>(simd, &how, x, &mut long[axis.pad..]);
            along::<S, false>(simd, sums.along(planes.len() * rows.len() * sums.pitch), long, made);
            let (columns, counts) = (axis.output, [planes.len(), rows.len()]);
            let y = &mut y[planes.start * outputs + rows.start * columns..];
            let mut lines = (counts, columns, [sums.pitch, columns]);
            if sums.apart > 1 {
                for i in 0..planes.len() * rows.len() {
                    for j in 0..columns {
                        made[i * columns + j] = made[i * sums.pitch + j * sums.apart];
                    }
                }
                lines = ([planes.len(), 1], rows.len() * columns, [rows.len() * columns; 2]);
            }
            let (counts, width, line) = lines;
            match finish {
                Finish::Over(norms) => {
                    let over = Over(norms.map(|norms| &norms[rows.start * columns..]));
                    copy::<S, false, true>(simd, counts, width, line, (made, over), y);
                }
                Finish::Root(_) => copy::<S, false, true>(simd, counts, width, line, (made, Root), y),
            }
        }
    }
}

struct Backward<'a> {
    sums: &'a Sums<'a>,
    dy: &'a [f32],
    dx: &'a mut [f32],
    finish: Finish<'a>,
    long: &'a mut [f32],
    wide: &'a mut [f32],
}

impl Job for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { sums, dy, dx, finish, long, wide } = self;
        let (axis, outer) = sums.pool.split();
        let (inputs, outputs) = (sums.pool.inputs(), sums.pool.outputs());
        let ((first, below), (_, above)) = (outermost(outer, |a| a.input), outermost(outer, |a| a.output));
        let line = sums.step * sums.pitch;
        for (planes, steps) in sums.bands.all(dx.len() / inputs, first.input) {
            let held = first.reaching(steps.start).start..first.reaching(steps.end - 1).end;
            let held = if held.is_empty() { 0..0 } else { held.start * above..held.end * above };
            let (columns, count) = (axis.output, planes.len() * held.len());
            let at = held.start * columns..held.end * columns;
            let first = planes.start * outputs + at.start;
            let dy = &dy[first..];
            let long_row = &mut long[sums.before..];
            let (counts, width, lines, to) = match sums.apart {
                1 => ([planes.len(), held.len()], columns, [columns, sums.pitch], &mut *long_row),
                _ => ([planes.len(), 1], at.len(), [at.len(); 2], &mut *wide),
            };
            match finish {
                Finish::Over(norms) => {
                    let over = Over(norms.map(|norms| &norms[at.clone()]));
                    copy::<S, true, false>(simd, counts, width, lines, (dy, over), to);
                }
                Finish::Root(y) => {
                    copy::<S, true, false>(simd, counts, width, lines, (dy, OverRoot(&y[first..])), to);
                }
            }
            if sums.apart > 1 {
                for (share, to) in wide.chunks_exact(columns).zip(long_row.chunks_mut(sums.pitch)).take(count)
                {
                    let to = to.iter_mut().step_by(sums.apart);
                    share.iter().zip(to).for_each(|(share, to)| *to = *share);
                }
            }
            let rows = steps.start * below..steps.end * below;
            along::<S, true>(simd, sums.along(count * sums.pitch), long, wide);
            let (plane, line) = ([held.len() * line, inputs], [line, axis.input]);
            let ((list, term), terms) = (sums.lists.of(&rows), sums.lists.terms);
            let (first, width) = (held.start, axis.input);
            let how = Rows { rows: list, terms, term, first, planes: planes.len(), plane, line, width };
            let dx = &mut dx[planes.start * inputs + rows.start * axis.input..];
            down::<S, false, true>(simd, &how, &wide[axis.pad..], dx);
        }
    }
}
