//! From outputs back to inputs, the other way round from `long.rs`: along the long row of all rows of windows first, then down the
//! columns.

use super::{
    Axis, Pool,
    long::{BAND, LARGE, Run, Runs, SHORT, sides},
};
use crate::kernels::{
    scratch,
    simd::{
        Isa, Job, MOST_LANES, Simd,
        rows::{Long, Rows, along_back, down},
    },
};

/// dx of the first planes, as many as it has, = the sum of dy over its `norms` of all windows that hold it; says whether planes are
/// such as this is for.
pub fn sums_backward(isa: Isa, pool: &Pool, norms: &[f32], dy: &[f32], dx: &mut [f32]) -> bool {
    let Some(layout) = Layout::new(isa, pool) else { return false };
    let len = layout.shares() + layout.long() + layout.wide();
    scratch::lend(len, |lent| isa.run(Sums { layout: &layout, norms, dy, dx, lent }));
    true
}

/// How rows of windows lie in scratch.
struct Layout {
    rows: Axis,
    /// Windows that move by more than 2 move by 1, and those between are 0.
    columns: Axis,
    runs: Runs,
    /// From output to output in the long row.
    apart: usize,
    /// How many windows of the long row there are to a row, and to a row of inputs `columns.stride` times as many.
    pitch: usize,
    /// Windows before one that hold some of the same inputs.
    before: usize,
    /// Planes at a time.
    planes: usize,
}

impl Layout {
    /// For planes that are neither too large nor too small.
    fn new(isa: Isa, pool: &Pool) -> Option<Self> {
        let [rows, mut columns] = sides(pool)?;
        let mut apart = 1;
        if columns.stride > 2 {
            apart = columns.stride;
            columns = Axis { stride: 1, output: (columns.output - 1) * apart + 1, ..columns };
        }
        let Axis { input, output, kernel, stride, pad } = columns;
        // Zeros behind a row are those before the next.
        let before = (kernel - 1) / stride;
        let pitch = (output + before.saturating_sub(pad / stride)).max((input - 1 + pad) / stride + 1);
        let plane = stride * pitch * rows.output;
        if plane > LARGE || columns.input <= SHORT && isa.lanes() > SHORT {
            return None;
        }
        let mut runs = Runs::new();
        for rest in 0..rows.stride {
            for first in (rest..rows.input).step_by(rows.stride) {
                let (step, from) = (rows.stride, rows.reaching(first));
                runs.add(Run { first, count: 1, step, from: from.start, advance: 1, met: from.len() })?;
            }
        }
        Some(Self { rows, columns, runs, apart, pitch, before, planes: (BAND / plane).max(1) })
    }

    /// Rows of windows at a time.
    fn held(&self) -> usize {
        self.planes * self.rows.output
    }

    fn row(&self, planes: usize) -> Long {
        let Axis { kernel, stride, .. } = self.columns;
        Long { step: stride, kernel, count: planes * self.rows.output * self.pitch }
    }

    fn shares(&self) -> usize {
        self.held() * self.columns.output + MOST_LANES
    }

    fn long(&self) -> usize {
        self.before + self.row(self.planes).values()
    }

    fn wide(&self) -> usize {
        self.columns.stride * self.row(self.planes).count.next_multiple_of(MOST_LANES) + self.columns.pad
    }
}

struct Sums<'a> {
    layout: &'a Layout,
    norms: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    lent: &'a mut [f32],
}

impl Job for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { layout, norms, dy, dx, lent } = self;
        let Layout { rows, columns, ref runs, apart, pitch, before, planes } = *layout;
        let (shares, lent) = lent.split_at_mut(layout.shares());
        let (long, wide) = lent.split_at_mut(layout.long());
        long.fill(0.0);
        let width = (columns.output - 1) / apart + 1;
        let inputs = rows.input * columns.input;
        for (dx, dy) in dx.chunks_mut(planes * inputs).zip(dy.chunks(planes * norms.len())) {
            let planes = dx.len() / inputs;
            divide(simd, &dy[..planes * norms.len()], norms, shares);
            let count = planes * rows.output;
            if apart > 1 {
                for (shares, long) in
                    shares.chunks_exact(width).zip(long[before..].chunks_mut(pitch)).take(count)
                {
                    let long = long.iter_mut().step_by(apart);
                    shares.iter().zip(long).for_each(|(share, long)| *long = *share);
                }
            } else {
                let how = Rows { planes: 1, count, row: [width, pitch], met: 1, width, ..Rows::default() };
                down::<S, true>(simd, &how, shares, &mut long[before..]);
            }
            along_back(simd, layout.row(planes), long, wide);
            for run in runs.all() {
                let line = columns.stride * pitch;
                let how = Rows {
                    planes,
                    plane: [rows.output * line, inputs],
                    count: run.count,
                    row: [line, run.step * columns.input],
                    met: run.met,
                    line,
                    width: columns.input,
                };
                let from = &wide[(run.from * line + columns.pad).min(wide.len())..];
                down::<S, true>(simd, &how, from, &mut dx[run.first * columns.input..]);
            }
        }
    }
}

/// shares = dy over norms, plane by plane.
#[inline(always)]
fn divide<S: Simd>(simd: S, dy: &[f32], norms: &[f32], shares: &mut [f32]) {
    for (plane, dy) in dy.chunks_exact(norms.len()).enumerate() {
        let shares = &mut shares[plane * norms.len()..];
        for k in (0..norms.len()).step_by(S::LANES) {
            simd.prefetch(dy.as_ptr().wrapping_add(k + 1024));
            // What is written beyond the end of a plane is overwritten.
            let share = simd.div(simd.read_first(&dy[k..]), simd.read_first(&norms[k..]));
            simd.write_first(&mut shares[k..], share);
        }
    }
}
