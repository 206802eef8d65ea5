//! From outputs back to inputs: rows of outputs are copied to scratch with zeros around, and each register of inputs
//! gathers from the windows that hold it, in order. At stride 2 inputs of even and of odd number are gathered apart.

use std::ops::Range;

use super::{
    Axis, Pool, for_reaching_rows,
    rows::{Layout, TOGETHER, gathering, margin, outermost},
};
use crate::kernels::simd::{
    MOST_LANES, Simd,
    windows::{Tap, Taps},
};

/// What inputs gather from outputs.
pub trait Spread {
    /// Makes ready a row of outputs, to be written to `line`; `first` is its first output, `row` its number in its plane.
    fn line<S: Simd>(&mut self, simd: S, first: usize, row: usize, line: &mut [f32]);
    /// Brings output `at` near before it is read, if there is one.
    fn prefetch<S: Simd>(&self, simd: S, at: usize);
    /// Gathers `N` registers of inputs, whose lines lie `step` apart.
    fn gather<S: Simd, const N: usize>(
        &self,
        simd: S,
        lines: &[f32],
        step: usize,
        taps: Taps<'_>,
    ) -> [S::V; N];
}

/// Gathers all inputs, with [`super::rows::scratch_len`] values of scratch.
#[inline(always)]
pub fn spread<S: Simd>(simd: S, pool: &Pool, scratch: &mut [f32], dx: &mut [f32], f: &mut impl Spread) {
    let (axis, outer) = pool.split();
    let (inputs, outputs) = (pool.inputs(), pool.outputs());
    let (layout, before) = (Layout::backward(pool, S::LANES), margin(&gathering(pool)));
    let ((first, below_in), (_, below_out)) = (outermost(outer, |a| a.input), outermost(outer, |a| a.output));
    let (lines, list) = scratch.split_at_mut(layout.scratch());
    let list: &mut [Tap] = bytemuck::cast_slice_mut(&mut list[..2 * pool.taps()]);
    lines.fill(0.0);
    for (planes, steps) in layout.all(dx.len() / inputs, first.input) {
        let outs = first.reaching(steps.start).start..first.reaching(steps.end - 1).end;
        let rows = outs.start * below_out..outs.end.max(outs.start) * below_out;
        for (slot, plane) in planes.clone().enumerate() {
            for (i, row) in rows.clone().enumerate() {
                let line = &mut lines[slot * layout.plane() + i * layout.line..][before..layout.line];
                f.line(simd, plane * outputs + row * axis.output, row, &mut line[..axis.output]);
                if axis.stride > 2 {
                    for o in (1..axis.output).rev() {
                        line[o * axis.stride] = line[o];
                        line[o] = 0.0;
                    }
                }
            }
        }
        let (ahead, share) = (
            (planes.end - 1) * outputs + rows.end * axis.output,
            (planes.len() * rows.len() * axis.output).div_ceil(steps.len() * below_in),
        );
        let mut ready = Ready {
            pool,
            axis: gathering(pool),
            layout: &layout,
            planes: planes.len(),
            rows,
            lines,
            done: 0,
        };
        let all = steps.start * below_in..steps.end * below_in;
        // Rows of equal remainder by the stride after one another: most are held alike, and one list serves them.
        let skip = if let [a] = outer { a.stride } else { 1 };
        for begin in 0..skip.min(all.len()) {
            let (mut counts, mut shape) = ([0; 2], None);
            for row in all.clone().skip(begin).step_by(skip) {
                // What the next band will read is on its way meanwhile.
                for at in (ready.done * share..(ready.done + 1) * share).step_by(MOST_LANES) {
                    f.prefetch(simd, ahead + at);
                }
                ready.done += 1;
                let (first, now) = ready.shape(row);
                if shape != Some(now) {
                    counts = ready.list(row, first, list);
                    shape = Some(now);
                }
                let (taps, others) = list[..counts[0] + counts[1]].split_at(counts[0]);
                let dx = &mut dx[planes.start * inputs + row * axis.input..];
                ready.row(simd, first, [Taps::new(taps), Taps::new(others)], dx, f);
            }
        }
    }
}

/// Planes of outputs in scratch.
struct Ready<'a> {
    pool: &'a Pool,
    /// Along a row, as [`gathering`] says.
    axis: Axis,
    layout: &'a Layout,
    planes: usize,
    /// Rows of outputs.
    rows: Range<usize>,
    lines: &'a [f32],
    /// Rows of inputs gathered so far.
    done: usize,
}

impl Ready<'_> {
    /// The first row of outputs whose windows hold an input row, and what two rows that are held alike have in common.
    #[inline(always)]
    fn shape(&self, row: usize) -> (usize, (usize, usize)) {
        match self.pool.split().1 {
            [a] if !a.reaching(row).is_empty() => {
                let reaching = a.reaching(row);
                (reaching.start, (reaching.len(), a.tap(reaching.start, row)))
            }
            _ => (self.rows.start, (usize::MAX, row)),
        }
    }

    /// Lists the taps of the inputs of a row, from output row `first` on, windows in order: at stride 2 for those of even and
    /// those of odd number; how many there are of each.
    #[inline(always)]
    fn list(&self, row: usize, first: usize, list: &mut [Tap]) -> [usize; 2] {
        let (Axis { kernel, stride, pad, .. }, (_, outer)) = (self.axis, self.pool.split());
        let (mut n, mut ends) = (0, [0; 2]);
        for (rest, end) in ends.iter_mut().enumerate().take(stride) {
            let (nearest, tap) = ((rest + pad) / stride, (rest + pad) % stride);
            for_reaching_rows(outer, row, |row, place| {
                let at = (row - first) * self.layout.line + margin(&self.axis) + nearest;
                for (back, k) in (tap..kernel).step_by(stride).enumerate().rev() {
                    list[n] = [(at - back) as u32, (place * kernel + k) as u32];
                    n += 1;
                }
            });
            *end = n;
        }
        [ends[0], ends[1].saturating_sub(ends[0])]
    }

    /// A row of inputs in each plane, which lies at the start of `dx` in the first.
    #[inline(always)]
    fn row<S: Simd, F: Spread>(&self, simd: S, first: usize, taps: [Taps<'_>; 2], dx: &mut [f32], f: &F) {
        let axis = self.axis;
        let (inputs, plane, width) = (self.pool.inputs(), self.layout.plane(), axis.stride * S::LANES);
        let skip = (first - self.rows.start) * self.layout.line;
        let lines = &self.lines[skip..];
        let ahead = axis.stride * axis.input;
        let mut column = 0;
        while column < axis.input {
            let (from, count) = (column / axis.stride, axis.input - column);
            if self.planes == 1 && count > (TOGETHER - 1) * width {
                let to = Inputs { dx: &mut dx[column..], step: width, columns: width, count, ahead };
                registers::<S, F, TOGETHER>(simd, axis.stride, (&lines[from..], S::LANES), taps, to, f);
                column += TOGETHER * width;
                continue;
            }
            let mut slot = 0;
            while slot < self.planes {
                let lines = &lines[from + slot * plane..];
                let dx = &mut dx[slot * inputs + column..];
                let to = Inputs { dx, step: inputs, columns: 0, count, ahead };
                if slot + TOGETHER <= self.planes {
                    registers::<S, F, TOGETHER>(simd, axis.stride, (lines, plane), taps, to, f);
                    slot += TOGETHER;
                } else {
                    registers::<S, F, 1>(simd, axis.stride, (lines, plane), taps, to, f);
                    slot += 1;
                }
            }
            column += width;
        }
    }
}

/// Gathers registers of inputs.
#[inline(always)]
fn registers<S: Simd, F: Spread, const N: usize>(
    simd: S,
    stride: usize,
    (lines, step): (&[f32], usize),
    [taps, others]: [Taps<'_>; 2],
    to: Inputs<'_>,
    f: &F,
) {
    let first = f.gather::<S, N>(simd, lines, step, taps);
    let second = if stride == 2 { f.gather::<S, N>(simd, lines, step, others) } else { first };
    for i in 0..N {
        for line in 0..stride {
            let next = to.dx.as_ptr().wrapping_add(i * to.step + to.ahead + line * MOST_LANES);
            simd.prefetch_to_write(next);
        }
        let dx = &mut to.dx[i * to.step..][..to.count - i * to.columns];
        if stride == 1 {
            simd.write_first(dx, first[i]);
        } else {
            let (low, high) = simd.zip(first[i], second[i]);
            let (near, far) = dx.split_at_mut(dx.len().min(S::LANES));
            simd.write_first(near, low);
            simd.write_first(far, high);
        }
    }
}

/// Registers of inputs, from the start of `dx` on, `step` apart, further by `columns` in a row of which `count` are left.
struct Inputs<'a> {
    dx: &'a mut [f32],
    step: usize,
    columns: usize,
    count: usize,
    /// How far behind are those that are gathered soon.
    ahead: usize,
}
