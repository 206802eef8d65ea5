//! Sums of windows in two steps that leave few lanes idle: first down the columns, for each row of windows; what that makes follows
//! one another in scratch, whatever plane it is of, with zeros between, and is summed along as one long row.

use super::{Axis, Pool};
use crate::kernels::{
    scratch,
    simd::{
        Isa, Job, MOST_LANES, Simd,
        rows::{Long, Rows, along, down},
    },
};

/// About how many values of small planes lie in the long row at a time, and the most of a plane.
pub const BAND: usize = 2048;
pub const LARGE: usize = 8192;
/// Values of rows that short are summed in fewer steps where planes lie side by side, unless registers are as short.
pub const SHORT: usize = 8;

/// y = the sum of each window of the first planes, as many as `y` has; says whether planes and windows are such as this is for.
pub fn sums(isa: Isa, pool: &Pool, x: &[f32], y: &mut [f32]) -> bool {
    let Some(layout) = Layout::new(isa, pool) else { return false };
    let x = &x[..y.len() / pool.outputs() * pool.inputs()];
    scratch::lend(layout.long() + layout.made(), |lent| isa.run(Sums { layout: &layout, x, y, lent }));
    true
}

/// The axes of a plane, if it has two, or one of which it is a row.
pub fn sides(pool: &Pool) -> Option<[Axis; 2]> {
    match pool.axes[..] {
        [columns] => Some([Axis { input: 1, output: 1, kernel: 1, stride: 1, pad: 0 }, columns]),
        [rows, columns] => Some([rows, columns]),
        _ => None,
    }
}

/// Rows that are made alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// The first, how many there are, and how far they are apart.
    pub first: usize,
    pub count: usize,
    pub step: usize,
    /// The first that it is made of, by how many this moves from row to row, and how many each is made of.
    pub from: usize,
    pub advance: usize,
    pub met: usize,
}

/// Runs of all rows.
pub struct Runs {
    runs: [Run; 32],
    count: usize,
}

impl Runs {
    /// None.
    pub fn new() -> Self {
        Self { runs: [Run::default(); 32], count: 0 }
    }

    /// One more row, `run` alone, or the next of the last run; `None` if there are too many runs.
    pub fn add(&mut self, run: Run) -> Option<()> {
        if let Some(last) = self.runs[..self.count].last_mut()
            && last.met == run.met
            && last.first + last.count * last.step == run.first
            && last.from + last.count * last.advance == run.from
        {
            last.count += 1;
        } else {
            *self.runs.get_mut(self.count)? = run;
            self.count += 1;
        }
        Some(())
    }

    /// All of them.
    pub fn all(&self) -> &[Run] {
        &self.runs[..self.count]
    }
}

/// How rows of windows lie in scratch.
struct Layout {
    rows: Axis,
    columns: Axis,
    runs: Runs,
    /// How many windows of the long row there are to a row of the plane's.
    pitch: usize,
    /// Planes at a time.
    planes: usize,
}

impl Layout {
    /// For planes that are neither too large nor too small, and windows that move by 1 or 2.
    fn new(isa: Isa, pool: &Pool) -> Option<Self> {
        let [rows, columns] = sides(pool)?;
        let Axis { input, output, kernel, stride, pad } = columns;
        // The zeros before a row are those behind the one before.
        let pitch = (pad + input).max(((output - 1) * stride + kernel).saturating_sub(pad)).div_ceil(stride);
        let plane = stride * pitch * rows.output;
        if plane > LARGE || stride > 2 || input <= SHORT && isa.lanes() > SHORT {
            return None;
        }
        let mut runs = Runs::new();
        for first in 0..rows.output {
            let met = rows.window(first);
            let advance = rows.stride;
            runs.add(Run { first, count: 1, step: 1, from: met.start, advance, met: met.len() })?;
        }
        Some(Self { rows, columns, runs, pitch, planes: (BAND / plane).max(1) })
    }

    /// The long row of `planes` planes.
    fn row(&self, planes: usize) -> Long {
        let count = planes * self.rows.output * self.pitch;
        Long { step: self.columns.stride, kernel: self.columns.kernel, count }
    }

    /// Values of the long row.
    fn long(&self) -> usize {
        self.row(self.planes).values() + self.columns.pad
    }

    /// Results of its windows.
    fn made(&self) -> usize {
        self.row(self.planes).count.next_multiple_of(MOST_LANES)
    }
}

struct Sums<'a> {
    layout: &'a Layout,
    x: &'a [f32],
    y: &'a mut [f32],
    lent: &'a mut [f32],
}

impl Job for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { layout, x, y, lent } = self;
        let Layout { rows, columns, ref runs, pitch, planes } = *layout;
        let (inputs, outputs) = (rows.input * columns.input, rows.output * columns.output);
        let (long, made) = lent.split_at_mut(layout.long());
        let line = columns.stride * pitch;
        long.fill(0.0);
        for (x, y) in x.chunks(planes * inputs).zip(y.chunks_mut(planes * outputs)) {
            let planes = y.len() / outputs;
            for run in runs.all() {
                let how = Rows {
                    planes,
                    plane: [inputs, rows.output * line],
                    count: run.count,
                    row: [run.advance * columns.input, line],
                    met: run.met,
                    line: columns.input,
                    width: columns.input,
                };
                let to = &mut long[run.first * line + columns.pad..];
                down::<S, false>(simd, &how, &x[run.from * columns.input..], to);
            }
            along(simd, layout.row(planes), long, made);
            let how = Rows {
                planes: 1,
                count: planes * rows.output,
                row: [pitch, columns.output],
                met: 1,
                width: columns.output,
                ..Rows::default()
            };
            down::<S, true>(simd, &how, made, y);
        }
    }
}
