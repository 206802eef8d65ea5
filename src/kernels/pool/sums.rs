//! Weighted sums of windows, of squares or not, and back from sums to inputs, for windows and planes of any kind, in
//! two steps that leave few lanes idle. So sums round otherwise than in the order of the windows.
//!
//! Forward the rows that each row of windows meets are added; what that makes follows one another in scratch, zeros
//! between, whatever plane it is of, and is summed along as one long row. Backward the other way round: shares along
//! the long row first, where neighbouring registers of inputs of even and of odd number are woven, then down into the
//! rows of inputs, each written once, in order. Windows that move by more than 2 along a row move by 1, and those
//! between are nobody's: backward they are zeros.
//!
//! What lies between rows is never written, so zeros are put there once. A quotient is taken for each output, none for
//! each tap, while rows are copied to where they belong.

use super::{
    Axis, Pool,
    lists::{Bands, Lists, outermost},
};
use crate::kernels::{
    scratch,
    simd::{
        Divisors, Isa, Job, MOST_LANES, Simd,
        copy::{Layout, Over, OverRoot, Root, copy},
        long::{Long, along},
        rows::{Rows, down},
    },
};

/// About how many values of the long row lie in scratch at a time.
const BAND: usize = 2048;

/// What each input of a window gets of the gradient of its output.
#[derive(Clone, Copy)]
pub enum Share<'a> {
    /// Of a mean: the gradient over what it was divided by.
    Over(Divisors<'a>),
    /// Of the root of a sum of squares: over the output, one of these, where that is above 0.
    OverRoot(&'a [f32]),
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

    /// y = the sums of the windows of the first planes of `x`, as many as `y` has, divided by `norms`, or, with `SQUARES`, the roots
    /// of sums of squares.
    pub fn forward<const SQUARES: bool>(&self, isa: Isa, x: &[f32], y: &mut [f32], norms: Divisors<'_>) {
        self.lend(|long, made| isa.run(Forward::<SQUARES> { sums: self, x, y, norms, long, made }));
    }

    /// dx of the first planes, as many as it has, = the sum of the shares of all windows that hold it.
    pub fn backward(&self, isa: Isa, dy: &[f32], dx: &mut [f32], share: Share<'_>) {
        self.lend(|long, wide| isa.run(Backward { sums: self, dy, dx, share, long, wide }));
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
    norms: Divisors<'a>,
    long: &'a mut [f32],
    made: &'a mut [f32],
}

impl<const SQUARES: bool> Job for Forward<'_, SQUARES> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { sums, x, y, norms, long, made } = self;
        let (axis, outer) = sums.pool.split();
        let (inputs, outputs) = (sums.pool.inputs(), sums.pool.outputs());
        let (first, below) = outermost(outer, |a| a.output);
        let line = sums.step * sums.pitch;
        for (planes, steps) in sums.bands.all(y.len() / outputs, first.output) {
            let rows = steps.start * below..steps.end * below;
            let (plane, line) = ([inputs, rows.len() * line], [axis.input, line]);
            let (part, width) = (sums.lists.of(&rows), axis.input);
            let how = Rows { part, first: 0, planes: planes.len(), plane, line, width };
            let x = &x[planes.start * inputs..planes.end * inputs];
            down::<S, SQUARES, false>(simd, &how, x, &mut long[axis.pad..]);
            along::<S, false>(simd, sums.along(planes.len() * rows.len() * sums.pitch), long, made);
            let columns = axis.output;
            let outputs_of_plane = rows.start * columns..rows.end * columns;
            let y = &mut y[planes.start * outputs + outputs_of_plane.start..];
            let layout = if sums.apart == 1 {
                Layout { planes: planes.len(), rows: rows.len(), width: columns, line: [sums.pitch, columns] }
            } else {
                for i in 0..planes.len() * rows.len() {
                    for j in 0..columns {
                        made[i * columns + j] = made[i * sums.pitch + j * sums.apart];
                    }
                }
                Layout::whole_planes(planes.len(), outputs_of_plane.len())
            };
            if SQUARES {
                copy::<S, false, true>(simd, layout, (made, Root), y);
            } else {
                copy::<S, false, true>(simd, layout, (made, Over(norms.of(outputs_of_plane))), y);
            }
        }
    }
}

struct Backward<'a> {
    sums: &'a Sums<'a>,
    dy: &'a [f32],
    dx: &'a mut [f32],
    share: Share<'a>,
    long: &'a mut [f32],
    wide: &'a mut [f32],
}

impl Job for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { sums, dy, dx, share, long, wide } = self;
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
            let (layout, to) = if sums.apart == 1 {
                let (rows, line) = (held.len(), [columns, sums.pitch]);
                (Layout { planes: planes.len(), rows, width: columns, line }, &mut *long_row)
            } else {
                (Layout::whole_planes(planes.len(), at.len()), &mut *wide)
            };
            match share {
                Share::Over(norms) => copy::<S, true, false>(simd, layout, (dy, Over(norms.of(at))), to),
                Share::OverRoot(y) => copy::<S, true, false>(simd, layout, (dy, OverRoot(&y[first..])), to),
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
            let (part, first, width) = (sums.lists.of(&rows), held.start, axis.input);
            let how = Rows { part, first, planes: planes.len(), plane, line, width };
            let dx = &mut dx[planes.start * inputs + rows.start * axis.input..];
            down::<S, false, true>(simd, &how, &wide[axis.pad..], dx);
        }
    }
}
