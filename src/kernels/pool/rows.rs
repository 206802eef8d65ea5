//! How rows of planes lie in scratch, so that each tap of neighbouring windows is contiguous.
//!
//! Windows are folded from rows of the plane, copied with positions of equal remainder by the stride together: so for any
//! stride a tap of a register of outputs is one read, and padding is there to be read. Gradients are gathered from rows of
//! outputs, copied with zeros around. Scratch holds a band of a plane, or several small planes.

use std::ops::Range;

use super::{Axis, Pool};

/// About how many values of scratch are used at a time: half of a first-level cache.
const BUDGET: usize = 6 * 1024;

/// Registers that are worked on together.
pub const TOGETHER: usize = 4;

/// Values of scratch for folding and spreading with registers of `lanes`.
pub fn scratch_len(pool: &Pool, lanes: usize) -> usize {
    let (forward, backward) = (Layout::forward(pool, lanes), Layout::backward(pool, lanes));
    forward.scratch().max(backward.scratch()) + 2 * pool.taps()
}

/// How planes lie in scratch.
pub struct Layout {
    /// Values of a row's positions of one remainder.
    pub run: usize,
    /// Values of a row.
    pub line: usize,
    /// Rows of a plane, or of a band of it.
    pub rows: usize,
    /// Planes together.
    pub planes: usize,
    /// Steps along the outermost axis in a band.
    pub steps: usize,
}

impl Layout {
    /// Rows of inputs, for registers of outputs.
    pub fn forward(pool: &Pool, lanes: usize) -> Self {
        let (axis, outer) = pool.split();
        let windows = axis.output.next_multiple_of(lanes) + (axis.kernel - 1) / axis.stride;
        let run = windows.max((axis.pad + axis.input).div_ceil(axis.stride));
        let first = outer.first();
        Self::bands(
            run,
            axis.stride * run,
            outer.iter().skip(1).map(|a| a.input).product(),
            first.map_or(1, |a| a.output),
            |steps| first.map_or(1, |a| ((steps - 1) * a.stride + a.kernel).min(a.input)),
        )
    }

    /// Rows of outputs with zeros around, for registers of inputs.
    pub fn backward(pool: &Pool, lanes: usize) -> Self {
        let (axis, (_, outer)) = (&gathering(pool), pool.split());
        let (before, behind) = (margin(axis), axis.pad.div_ceil(axis.stride));
        let inputs = axis.input.div_ceil(axis.stride).next_multiple_of(lanes);
        let line = before + axis.output.max(inputs + behind);
        let first = outer.first();
        Self::bands(
            line,
            line,
            outer.iter().skip(1).map(|a| a.output).product(),
            first.map_or(1, |a| a.input),
            |steps| first.map_or(1, |a| ((steps + a.kernel - 2) / a.stride + 1).min(a.output)),
        )
    }

    /// Whole planes where they fit, else as many steps as do; `rows(steps)` are held at most, each of `below` lines.
    fn bands(run: usize, line: usize, below: usize, steps: usize, rows: impl Fn(usize) -> usize) -> Self {
        let lines = |steps| rows(steps) * below;
        let fits = |steps| lines(steps) * line <= BUDGET;
        let mut band = steps.max(1);
        while band > 1 && !fits(band) {
            band = band.div_ceil(2);
        }
        let planes = if band == steps { BUDGET / (lines(band) * line) } else { 1 };
        let planes = if planes > TOGETHER { planes / TOGETHER * TOGETHER } else { planes.max(1) };
        Self { run, line, rows: lines(band), planes, steps: band }
    }

    /// Values of a plane, or of a band of it.
    pub fn plane(&self) -> usize {
        self.rows * self.line
    }

    /// Values of all.
    pub fn scratch(&self) -> usize {
        self.planes * self.plane()
    }

    /// Each band of each group of planes: the planes, and the steps along the outermost axis.
    pub fn all(&self, planes: usize, steps: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let cut = |n: usize, by: usize| (0..n).step_by(by).map(move |i| i..n.min(i + by));
        let (group, band) = (self.planes, self.steps);
        cut(planes, group).flat_map(move |planes| cut(steps, band).map(move |steps| (planes.clone(), steps)))
    }
}

/// The axis along a row as inputs gather from it: for strides above 2 outputs lie in scratch with zeros between them, and
/// windows move by 1.
pub fn gathering(pool: &Pool) -> Axis {
    let (axis, _) = pool.split();
    if axis.stride <= 2 {
        *axis
    } else {
        Axis { stride: 1, output: (axis.output - 1) * axis.stride + 1, ..*axis }
    }
}

/// Zeros before a row of outputs, for windows that would begin before the first.
pub fn margin(axis: &Axis) -> usize {
    (axis.kernel - 1) / axis.stride
}

/// The outermost axis, and the product of the sizes of those between it and the rows.
pub fn outermost(outer: &[Axis], size: impl Fn(&Axis) -> usize) -> (Axis, usize) {
    match outer {
        [] => (Axis { input: 1, output: 1, kernel: 1, stride: 1, pad: 0 }, 1),
        [first, rest @ ..] => (*first, rest.iter().map(size).product()),
    }
}
