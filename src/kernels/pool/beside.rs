//! Small planes side by side, one to a lane: what is done for one is done for all, in the same order, margins are left
//! out, and no lane is idle.
//!
//! It serves maxima of few outputs, whose transposes cost less than idle lanes, and means of short rows. Transposes and
//! windows take turns in asking for what the next planes will read and write.

use super::{Axis, Pool};
use crate::kernels::{
    scratch,
    simd::{
        Ahead, Divisors, Isa, Job, Simd, Windows, beside, largest_of, one_by_one, one_by_one_bytes, quotient,
        sum_of,
    },
};

/// The most values of a plane: so many registers stay in the first-level cache.
const SMALL: usize = 256;
/// The most outputs of a plane, and values of a row on more lanes, for which it pays.
const FEW: usize = 64;
const SHORT: usize = 8;

/// Whether planes are so small and so many.
fn fits(isa: Isa, pool: &Pool) -> bool {
    let small = pool.inputs().max(pool.outputs()) <= SMALL && pool.taps() <= 256;
    small && pool.axes.len() <= 2 && 2 * pool.planes > isa.lanes()
}

/// Whether maxima are best taken so, if no other way fills its lanes: transposing much that has small windows takes longer than idle
/// lanes do.
pub fn maxima_pay(isa: Isa, pool: &Pool) -> bool {
    fits(isa, pool) && pool.outputs() <= FEW && (pool.taps() > 4 || pool.inputs() <= 64)
}

/// Whether sums are best taken so.
pub fn sums_pay(isa: Isa, pool: &Pool) -> bool {
    let (axis, _) = pool.split();
    let few = axis.stride > 2 && pool.outputs() <= FEW;
    fits(isa, pool) && (few || axis.input <= SHORT && isa.lanes() > SHORT)
}

/// The largest values of the first planes, as many as `y` has, and, where `taps` is not empty, their taps.
pub fn largest(isa: Isa, pool: &Pool, x: &[f32], y: &mut [f32], taps: &mut [u8]) {
    if taps.is_empty() {
        make_all(isa, pool, Largest::<false> { x }, y, taps);
    } else {
        make_all(isa, pool, Largest::<true> { x }, y, taps);
    }
}

/// The means of the first planes' windows, as many as `y` has; each sum is divided by its norm.
pub fn mean(isa: Isa, pool: &Pool, norms: Divisors<'_>, x: &[f32], y: &mut [f32]) {
    make_all(isa, pool, Means { x, norms }, y, &mut []);
}

/// Makes all values of `to` and, where they have numbers, `numbers`.
fn make_all<M: Make>(isa: Isa, pool: &Pool, make: M, to: &mut [f32], numbers: &mut [u8]) {
    let sheet = Sheet::new(pool);
    let (lanes, plane) = (isa.lanes(), sheet.height * sheet.width);
    let (sources, targets) = (lanes * sheet.sources, lanes * plane);
    // Transposes and windows take turns in asking for what the next planes need.
    let steps = sheet.sources.div_ceil(lanes) + sheet.height * sheet.steps() + plane.div_ceil(lanes);
    scratch::lend(sources + targets * if M::NUMBERS { 2 } else { 1 }, |lent| {
        let (lines, made) = lent.split_at_mut(sources);
        let (values, taps) = made.split_at_mut(targets);
        for (i, to) in to.chunks_mut(targets).enumerate() {
            let next = [make.sources().as_ptr().wrapping_add((i + 1) * sources), to.as_ptr_range().end];
            let ahead = &mut Ahead::new(next, [sheet.sources, plane], steps);
            beside(isa, &make.sources()[i * sources..], to.len() / plane, lines, ahead);
            isa.run(Group { sheet: &sheet, make, lines, values, taps, ahead });
            make.finish(isa, values);
            one_by_one(isa, values, plane, to, ahead);
            if M::NUMBERS {
                one_by_one_bytes(isa, taps, plane, &mut numbers[i * targets..][..to.len()]);
            }
        }
    });
}

/// What outputs are made of: windows over the planes of inputs.
trait Make: Copy {
    /// Whether with a value comes a number.
    const NUMBERS: bool = false;
    /// The inputs.
    fn sources(&self) -> &[f32];
    /// Makes of each window a register of values, and one of numbers.
    fn make<S: Simd>(
        &self,
        simd: S,
        lines: &[f32],
        windows: &Windows,
        ahead: &mut Ahead,
        made: [&mut [f32]; 2],
    );
    /// What is left to do with the values of all windows.
    fn finish(&self, _isa: Isa, _values: &mut [f32]) {}
}

/// How the values of a plane are made.
struct Sheet {
    /// The axis that chooses rows.
    row: Axis,
    /// Positions along the first row that are made alike; other rows differ only in the rows that they are made of.
    runs: [Windows; FEW],
    count: usize,
    height: usize,
    width: usize,
    /// Inputs of a plane.
    sources: usize,
}

impl Sheet {
    /// For outputs, of which a row has at most so many.
    fn new(pool: &Pool) -> Self {
        let (column, outer) = pool.split();
        let row = outer.first().copied().unwrap_or(Axis::ONE);
        let advance = column.stride;
        let alike =
            Windows { advance, count: 1, line: column.input, kernel: column.kernel, ..Windows::default() };
        let (mut runs, mut count) = ([alike; FEW], 0);
        for to in 0..column.output {
            let Span { first, count: columns, tap: number } = Span::of(column, to);
            if let Some(last) = runs[..count].last_mut()
                && (last.columns, last.number, last.first + last.count * advance) == (columns, number, first)
            {
                last.count += 1;
            } else {
                runs[count] = Windows { first, columns, number, to, ..alike };
                count += 1;
            }
        }
        let sources = row.input * column.input;
        Self { row, runs, count, height: row.output, width: column.output, sources }
    }

    /// Steps in which the windows of a row are folded.
    fn steps(&self) -> usize {
        self.runs[..self.count].iter().map(Windows::steps).sum()
    }
}

/// The window of an output.
struct Span {
    /// Its first input.
    first: usize,
    /// How many.
    count: usize,
    /// The tap that the first is.
    tap: usize,
}

impl Span {
    fn of(axis: &Axis, o: usize) -> Self {
        let window = axis.window(o);
        Self { first: window.start, count: window.len(), tap: axis.tap(o, window.start) }
    }
}

/// The values of up to `LANES` planes.
struct Group<'a, M> {
    sheet: &'a Sheet,
    make: M,
    lines: &'a [f32],
    values: &'a mut [f32],
    taps: &'a mut [f32],
    /// Of the next group.
    ahead: &'a mut Ahead,
}

impl<M: Make> Job for Group<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { sheet, make, lines, values, taps, ahead } = self;
        for row in 0..sheet.height {
            let Span { first, count: rows, tap } = Span::of(&sheet.row, row);
            for run in &sheet.runs[..sheet.count] {
                let windows = Windows {
                    first: first * run.line + run.first,
                    rows,
                    number: tap * run.kernel + run.number,
                    to: row * sheet.width + run.to,
                    ..*run
                };
                make.make(simd, lines, &windows, ahead, [values, taps]);
            }
        }
    }
}

/// Divides each register by its norm.
struct Divide<'a> {
    lines: &'a mut [f32],
    norms: Divisors<'a>,
}

impl Job for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Divisors { by, minus_inverse } = self.norms;
        for ((line, &by), &minus_inverse) in self.lines.chunks_exact_mut(S::LANES).zip(by).zip(minus_inverse)
        {
            let mean = quotient(simd, simd.read(line), simd.splat(by), simd.splat(minus_inverse));
            simd.write_first(line, mean);
        }
    }
}

/// The largest value of a window and its tap.
#[derive(Clone, Copy)]
struct Largest<'a, const TAKE: bool> {
    x: &'a [f32],
}

impl<const TAKE: bool> Make for Largest<'_, TAKE> {
    const NUMBERS: bool = TAKE;

    fn sources(&self) -> &[f32] {
        self.x
    }

    #[inline(always)]
    fn make<S: Simd>(
        &self,
        simd: S,
        lines: &[f32],
        windows: &Windows,
        ahead: &mut Ahead,
        [values, numbers]: [&mut [f32]; 2],
    ) {
        largest_of::<S, TAKE>(simd, lines, windows, ahead, values, numbers);
    }
}

/// The mean of a window.
#[derive(Clone, Copy)]
struct Means<'a> {
    x: &'a [f32],
    norms: Divisors<'a>,
}

impl Make for Means<'_> {
    fn sources(&self) -> &[f32] {
        self.x
    }

    #[inline(always)]
    fn make<S: Simd>(
        &self,
        simd: S,
        lines: &[f32],
        windows: &Windows,
        ahead: &mut Ahead,
        [values, _]: [&mut [f32]; 2],
    ) {
        sum_of(simd, lines, windows, ahead, values);
    }

    fn finish(&self, isa: Isa, lines: &mut [f32]) {
        isa.run(Divide { lines, norms: self.norms });
    }
}
