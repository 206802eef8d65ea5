//! Small planes side by side, one to a lane: what is done for one is done for all, in the same order, and no lane is idle.

use super::{Axis, Pool};
use crate::kernels::{
    scratch,
    simd::{
        Ahead, Isa, Job, Simd, Windows, beside, largest_of, one_by_one, one_by_one_bytes, quotient, sum_of,
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

/// Whether maxima are best taken so: transposing much that has small windows takes longer than idle lanes do.
pub fn maxima_pay(isa: Isa, pool: &Pool) -> bool {
    fits(isa, pool) && pool.outputs() <= FEW && (pool.taps() > 4 || pool.inputs() <= 64)
}

/// Whether sums, or, `back`, their gradients, are best taken so.
pub fn sums_pay(isa: Isa, pool: &Pool, back: bool) -> bool {
    let (axis, _) = pool.split();
    let few = !back && axis.stride > 2 && pool.outputs() <= FEW;
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

/// The means of the first planes' windows, as many as `y` has; each sum is divided by its norm, behind which
/// comes -1 over it.
pub fn mean(isa: Isa, pool: &Pool, norms: [&[f32]; 2], x: &[f32], y: &mut [f32]) {
    make_all(isa, pool, Means::<false> { from: x, norms }, y, &mut []);
}

/// dx of the first planes, as many as it has, given dy of [`mean`].
pub fn mean_backward(isa: Isa, pool: &Pool, norms: [&[f32]; 2], dy: &[f32], dx: &mut [f32]) {
    make_all(isa, pool, Means::<true> { from: dy, norms }, dx, &mut []);
}

/// Makes all values of `to` and, where they have numbers, `numbers`.
fn make_all<M: Make>(isa: Isa, pool: &Pool, make: M, to: &mut [f32], numbers: &mut [u8]) {
    let sheet = Sheet::new::<M>(pool);
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
            make.ready(isa, lines);
            isa.run(Group { sheet: &sheet, make, lines, values, taps, ahead });
            make.finish(isa, values);
            one_by_one(isa, values, plane, to, ahead);
            if M::NUMBERS {
                one_by_one_bytes(isa, taps, plane, &mut numbers[i * targets..][..to.len()]);
            }
        }
    });
}

/// What values of one side, inputs or outputs, are made of: windows over the planes of the other.
trait Make: Copy {
    /// Whether values are inputs, made of the outputs whose windows hold them; or else outputs.
    const BACK: bool;
    /// Whether with a value comes a number.
    const NUMBERS: bool = false;
    /// The other side.
    fn sources(&self) -> &[f32];
    /// What is to be done with the sources of all planes.
    fn ready(&self, _isa: Isa, _lines: &mut [f32]) {}
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
    /// Values of a plane of the other side.
    sources: usize,
}

impl Sheet {
    /// For what is made: a row has at most so many values.
    fn new<M: Make>(pool: &Pool) -> Self {
        let (column, outer) = pool.split();
        let row =
            outer.first().copied().unwrap_or(Axis { input: 1, output: 1, kernel: 1, stride: 1, pad: 0 });
        let sides = |axis: &Axis| if M::BACK { [axis.input, axis.output] } else { [axis.output, axis.input] };
        let ([height, others], [width, line]) = (sides(&row), sides(column));
        // Neighbours are made alike: every one of outputs, but of inputs those of equal remainder by the stride.
        let (step, advance) = if M::BACK { (column.stride, 1) } else { (1, column.stride) };
        let alike = Windows { advance, count: 1, line, kernel: column.kernel, step, ..Windows::default() };
        let (mut runs, mut count) = ([alike; FEW], 0);
        for start in 0..step.min(width) {
            let begin = count;
            for to in (start..width).step_by(step) {
                let [first, columns, number] = span_of::<M>(column, to);
                if let Some(last) = runs[begin..count].last_mut()
                    && (last.columns, last.number) == (columns, number)
                    && (columns == 0 || last.first + last.count * advance == first)
                {
                    last.count += 1;
                } else {
                    runs[count] = Windows { first, columns, number, to, ..alike };
                    count += 1;
                }
            }
        }
        Self { row, runs, count, height, width, sources: others * line }
    }

    /// Steps in which the windows of a row are folded.
    fn steps(&self) -> usize {
        self.runs[..self.count].iter().map(Windows::steps).sum()
    }
}

/// The window of output `i`, or the windows that hold input `i`: the first of what there is, how many, and the tap of the first of
/// a window.
fn span_of<M: Make>(axis: &Axis, i: usize) -> [usize; 3] {
    let range = if M::BACK { axis.reaching(i) } else { axis.window(i) };
    match range.is_empty() {
        true => [0; 3],
        false => [range.start, range.len(), if M::BACK { 0 } else { axis.tap(i, range.start) }],
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
            let [first, rows, tap] = span_of::<M>(&sheet.row, row);
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
    norms: [&'a [f32]; 2],
}

impl Job for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [norms, minus_inverses] = self.norms;
        for ((line, &norm), &minus_inverse) in
            self.lines.chunks_exact_mut(S::LANES).zip(norms).zip(minus_inverses)
        {
            let mean = quotient(simd, simd.read(line), simd.splat(norm), simd.splat(minus_inverse));
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
    const BACK: bool = false;
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

/// The mean of a window; or, `BACK`, the sum of the shares of all windows that hold an input.
#[derive(Clone, Copy)]
struct Means<'a, const BACK: bool> {
    from: &'a [f32],
    norms: [&'a [f32]; 2],
}

impl<const BACK: bool> Make for Means<'_, BACK> {
    const BACK: bool = BACK;

    fn sources(&self) -> &[f32] {
        self.from
    }

    fn ready(&self, isa: Isa, lines: &mut [f32]) {
        if BACK {
            isa.run(Divide { lines, norms: self.norms });
        }
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
        if !BACK {
            isa.run(Divide { lines, norms: self.norms });
        }
    }
}
