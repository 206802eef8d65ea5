//! Three taps by three over planes of one channel: the micro-kernels of depthwise convolution whose kernel moves by one
//! or two. They read the image itself: rows beyond it are a line of zeros, columns beyond it masked or shifted in.
//!
//! Some rows of outputs share the rows they meet. A stride of two takes registers apart into even and odd columns, and
//! its input gradient puts them together again. What is left is near the cost of a copy.

mod columns;
mod correlate;

pub use correlate::{Pairs, nine_correlate};

use super::epilogue::Row;
use super::past::LINE;
use super::{Epilogue, Isa, Job, Simd};
use columns::{Columns, load, store};

/// Rows of outputs computed together, which share rows of the input: the sides of most images are multiples of seven. With 16
/// registers taps are then read from the first-level cache, which costs more than it saves where the kernel moves by two.
const MANY: usize = 7;
const FEW: usize = 2;
/// The most rows of the input that these meet.
const MET: usize = met(2, MANY);

/// Rows of the input that `rows` rows of outputs meet.
const fn met(stride: usize, rows: usize) -> usize {
    (rows - 1) * stride + 3
}

/// The planes' sizes, height before width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nine {
    /// Size of the input.
    pub input: [usize; 2],
    /// Size of the output.
    pub output: [usize; 2],
    /// Zeros before the input, at most two.
    pub pad: [usize; 2],
    /// Distance between outputs: 1, or 2 where `pad` is 1 along both axes.
    pub stride: usize,
}

impl Nine {
    fn checked(&self) {
        assert!(self.pad.iter().all(|&pad| pad <= 2), "at most two zeros before the input: {self:?}");
        assert!(
            self.stride == 1 || (self.stride == 2 && self.pad == [1, 1]),
            "a stride of one or two: {self:?}"
        );
        assert!(self.in_area() > 0 && self.out_area() > 0, "planes have values: {self:?}");
    }

    /// Values of an input plane.
    pub fn in_area(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Values of an output plane.
    pub fn out_area(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// The input rows that `N` rows of outputs from `y` on meet, `zeros` where there is none.
    #[inline(always)]
    fn rows<const STRIDE: usize, const N: usize>(
        &self,
        plane: &[f32],
        zeros: &[f32],
        y: usize,
    ) -> [*const f32; MET] {
        assert!(plane.len() >= self.in_area(), "a plane is too short");
        let mut rows = [zeros.as_ptr(); MET];
        for (r, row) in rows.iter_mut().enumerate().take(met(STRIDE, N)) {
            let y = (y * STRIDE + r).wrapping_sub(self.pad[0]);
            // Chosen, not sliced: in small planes branches would cost as much as the sums.
            let inside = plane.as_ptr().wrapping_add(y.wrapping_mul(self.input[1]));
            *row = if y < self.input[0] { inside } else { zeros.as_ptr() };
        }
        rows
    }
}

/// The rows that come after those being computed, asked for line by line of the cache: the processor foresees neither so
/// many at a time nor the ends of so short ones.
#[derive(Clone, Copy)]
struct Soon {
    input: *const f32,
    output: *const f32,
    /// Values of their rows.
    widths: [usize; 2],
}

impl Soon {
    /// Output rows from `y` on, and those of the input that none before meets.
    #[inline(always)]
    fn new<const STRIDE: usize>(nine: &Nine, input: &[f32], output: &[f32], y: usize) -> Self {
        let met = (y * STRIDE + 3 - STRIDE).wrapping_sub(nine.pad[0]);
        Self {
            input: input.as_ptr().wrapping_add(met.wrapping_mul(nine.input[1])),
            output: output.as_ptr().wrapping_add(y * nine.output[1]),
            widths: [nine.input[1], nine.output[1]],
        }
    }

    /// The same, at output column `x`.
    #[inline(always)]
    fn at_column<const STRIDE: usize>(self, x: usize) -> Self {
        Self { input: self.input.wrapping_add(STRIDE * x), output: self.output.wrapping_add(x), ..self }
    }

    /// Asks for what a register of outputs will meet in the row of the input that comes `N` rows of outputs after row `r`, if
    /// it is not met now.
    #[inline(always)]
    fn ask<S: Simd, const STRIDE: usize>(self, simd: S, r: usize) {
        let Some(r) = (r + STRIDE).checked_sub(3) else { return };
        let row = self.input.wrapping_add(r * self.widths[0]);
        (0..STRIDE * S::LANES).step_by(LINE).for_each(|at| simd.prefetch(row.wrapping_add(at)));
    }

    /// The output in row `r`.
    #[inline(always)]
    fn output(self, r: usize) -> *const f32 {
        self.output.wrapping_add(r * self.widths[1])
    }
}

/// A filter of nine values for each channel; planes take them in turns.
#[derive(Clone, Copy, Debug)]
pub struct Filters<'a> {
    /// Nine values a channel, rows first.
    pub weights: &'a [f32],
    /// The channel of the first plane.
    pub first: usize,
    /// Whether the filters are turned round: the last value comes first.
    pub turned: bool,
    /// What happens to the outputs before they are stored, a row a channel.
    pub epilogue: Epilogue<'a>,
}

impl Filters<'_> {
    fn channels(&self) -> usize {
        self.weights.len() / 9
    }

    /// The filter of plane `plane`.
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, plane: usize) -> Filter<'_, S> {
        let channel = (self.first + plane) % self.channels();
        let mut taps = [simd.splat(0.0); 9];
        for (t, tap) in taps.iter_mut().enumerate() {
            *tap = simd.splat(self.weights[channel * 9 + if self.turned { 8 - t } else { t }]);
        }
        let row = self.epilogue.row(channel);
        Filter { taps, bias: simd.splat(row.bias), row }
    }

    fn check(&self) {
        assert!(self.channels() > 0 && self.weights.len().is_multiple_of(9), "nine weights a channel");
        assert!(self.epilogue.serves(self.channels()), "settings of the epilogue are too few");
    }
}

/// A channel's filter, a register a value, and what follows.
struct Filter<'a, S: Simd> {
    taps: [S::V; 9],
    bias: S::V,
    row: Row<'a>,
}

/// `output[y][x] =` the sum over ty, tx of `w[ty][tx] * input[y * stride + ty - pad][x * stride + tx - pad]`, then the
/// epilogue, for each plane. `zeros` is a row of the input, all 0.
///
/// # Panics
/// When there are not as many planes of input as of output, or `zeros` is too short.
pub fn nine_filter(
    isa: Isa,
    nine: &Nine,
    (input, zeros): (&[f32], &[f32]),
    filters: &Filters<'_>,
    output: &mut [f32],
) {
    nine.checked();
    filters.check();
    let planes = output.len() / nine.out_area();
    assert_eq!(planes * nine.out_area(), output.len(), "whole planes of outputs");
    assert_eq!(planes * nine.in_area(), input.len(), "as many planes of inputs");
    assert!(zeros.len() >= nine.input[1], "a row of zeros");
    isa.run(Apply { nine, input, zeros, filters, output });
}

struct Apply<'a> {
    nine: &'a Nine,
    input: &'a [f32],
    zeros: &'a [f32],
    filters: &'a Filters<'a>,
    output: &'a mut [f32],
}

impl Job for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match (self.nine.stride, S::LANES) {
            (1, _) => self.planes::<S, 1, MANY>(simd),
            (_, 16) => self.planes::<S, 2, MANY>(simd),
            (_, _) => self.planes::<S, 2, FEW>(simd),
        }
    }
}

impl Apply<'_> {
    #[inline(always)]
    fn planes<S: Simd, const STRIDE: usize, const ROWS: usize>(self, simd: S) {
        let Self { nine, zeros, filters, .. } = self;
        let planes = self.input.chunks_exact(nine.in_area());
        for (p, (input, output)) in planes.zip(self.output.chunks_exact_mut(nine.out_area())).enumerate() {
            let filter = filters.of(simd, p);
            let mut y = 0;
            while y < nine.output[0] {
                let n = if y + ROWS <= nine.output[0] { ROWS } else { 1 };
                let soon = Soon::new::<STRIDE>(nine, input, output, y + n);
                let out = output[y * nine.output[1]..].as_mut_ptr();
                // SAFETY: rows are those of the input or zeros; the output has as many rows from `y` on.
                unsafe {
                    if n == ROWS {
                        let rows = nine.rows::<STRIDE, ROWS>(input, zeros, y);
                        apply::<S, STRIDE, ROWS>(simd, nine, (&rows, soon), &filter, out);
                    } else {
                        let rows = nine.rows::<STRIDE, 1>(input, zeros, y);
                        apply::<S, STRIDE, 1>(simd, nine, (&rows, soon), &filter, out);
                    }
                }
                y += n;
            }
        }
    }
}

/// `N` rows of outputs.
///
/// # Safety
/// `rows` have the values of a row of the input, `out` has those of `N` rows of the output.
#[inline(always)]
unsafe fn apply<S: Simd, const STRIDE: usize, const N: usize>(
    simd: S,
    nine: &Nine,
    (rows, soon): (&[*const f32; MET], Soon),
    filter: &Filter<'_, S>,
    out: *mut f32,
) {
    for x in (0..nine.output[1]).step_by(S::LANES) {
        let columns = Columns::new::<S, STRIDE>(nine, x);
        // SAFETY: the caller's promise.
        unsafe {
            let (soon, out) = (soon.at_column::<STRIDE>(x), (out.add(x), nine.output[1]));
            if columns.inside {
                register::<S, STRIDE, N, true>(simd, columns, (rows, soon), filter, out);
            } else {
                register::<S, STRIDE, N, false>(simd, columns, (rows, soon), filter, out);
            }
        }
    }
}

/// A register of outputs in each of `N` rows, `stride` apart.
///
/// # Safety
/// As for [`apply`]; `INSIDE` says what `columns` does.
#[inline(always)]
unsafe fn register<S: Simd, const STRIDE: usize, const N: usize, const INSIDE: bool>(
    simd: S,
    columns: Columns,
    (rows, soon): (&[*const f32; MET], Soon),
    filter: &Filter<'_, S>,
    (out, stride): (*mut f32, usize),
) {
    let mut sum = [filter.bias; N];
    for (r, &row) in rows.iter().enumerate().take(met(STRIDE, N)) {
        // SAFETY: the caller's promise.
        let values = unsafe { columns.load::<S, STRIDE, INSIDE>(simd, row) };
        soon.ask::<S, STRIDE>(simd, r);
        for (o, sum) in sum.iter_mut().enumerate() {
            let t = r.wrapping_sub(o * STRIDE);
            if t < 3 {
                for (x, &value) in values.iter().enumerate() {
                    *sum = simd.fma(filter.taps[3 * t + x], value, *sum);
                }
            }
        }
    }
    let n = if INSIDE { S::LANES } else { columns.n };
    for (o, sum) in filter.row.finish(simd, sum).into_iter().enumerate() {
        // SAFETY: row `o` of the output has `n` values from here on.
        unsafe { store(simd, out.add(o * stride), n, sum) };
        simd.prefetch_to_write(soon.output(o));
    }
}

/// The transpose of [`nine_filter`] of stride 2, without bias: `input` is overwritten with what each of its values
/// contributes to. `zeros` is a row of the output, all 0.
///
/// # Panics
/// When the stride is not 2, there are not as many planes of input as of output, or `zeros` is too short.
pub fn nine_spread(
    isa: Isa,
    nine: &Nine,
    (top, zeros): (&[f32], &[f32]),
    filters: &Filters<'_>,
    input: &mut [f32],
) {
    nine.checked();
    filters.check();
    assert_eq!(nine.stride, 2, "spread goes by twos");
    let planes = top.len() / nine.out_area();
    assert_eq!(planes * nine.out_area(), top.len(), "whole planes of outputs");
    assert_eq!(planes * nine.in_area(), input.len(), "as many planes of inputs");
    assert!(zeros.len() >= nine.output[1], "a row of zeros");
    isa.run(Spread { nine, top, zeros, filters, input });
}

struct Spread<'a> {
    nine: &'a Nine,
    top: &'a [f32],
    zeros: &'a [f32],
    filters: &'a Filters<'a>,
    input: &'a mut [f32],
}

impl Job for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { nine, top, zeros, filters, input } = self;
        let ([height, width], [in_height, in_width]) = (nine.output, nine.input);
        let planes = top.chunks_exact(nine.out_area()).zip(input.chunks_exact_mut(nine.in_area()));
        for (p, (top, input)) in planes.enumerate() {
            let filter = filters.of(simd, p);
            for y in 0..in_height.div_ceil(2) {
                let row = |y: usize| if y < height { top[y * width..].as_ptr() } else { zeros.as_ptr() };
                let input = &mut input[2 * y * in_width..];
                let second = input.len() > in_width;
                // SAFETY: both are rows of the output's gradient or zeros; the input has the first row from `2 y` on,
                // and `second` says whether it has the next.
                unsafe { spread(simd, nine, [row(y), row(y + 1)], &filter.taps, second, input.as_mut_ptr()) };
            }
        }
    }
}

/// Two rows of the input's gradient, of which the second may be missing.
///
/// # Safety
/// `top` have the values of a row of the output, `out` those of the rows of the input.
#[inline(always)]
unsafe fn spread<S: Simd>(
    simd: S,
    nine: &Nine,
    top: [*const f32; 2],
    taps: &[S::V; 9],
    second: bool,
    out: *mut f32,
) {
    let (width, in_width) = (nine.output[1], nine.input[1]);
    for x in (0..in_width.div_ceil(2)).step_by(S::LANES) {
        let (from, next) = (x.min(width), (x + 1).min(width));
        let (n, m) = ((width - from).min(S::LANES), (width - next).min(S::LANES));
        let all = (in_width - 2 * x).min(2 * S::LANES);
        let first = all.min(S::LANES);
        // SAFETY: the output has `n` and `m` values from `from` and `next` on, the input `all` from `2 x` on.
        unsafe {
            // The output here, to the right, below, and below to the right.
            let (a, b) = (load(simd, top[0].add(from), n), load(simd, top[0].add(next), m));
            let (c, d) = (load(simd, top[1].add(from), n), load(simd, top[1].add(next), m));
            let even = simd.mul(taps[4], a);
            let odd = simd.fma(taps[3], b, simd.mul(taps[5], a));
            let (low, high) = simd.zip(even, odd);
            let p = out.add(2 * x);
            store(simd, p, first, low);
            store(simd, p.add(first), all - first, high);
            if second {
                let even = simd.fma(taps[1], c, simd.mul(taps[7], a));
                let odd = simd.fma(taps[6], b, simd.mul(taps[8], a));
                let odd = simd.fma(taps[0], d, simd.fma(taps[2], c, odd));
                let (low, high) = simd.zip(even, odd);
                let p = p.add(in_width);
                store(simd, p, first, low);
                store(simd, p.add(first), all - first, high);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|v| (v * 7 % 11) as f32 - 5.0).collect()
    }

    /// Calls `f(output, input, tap)` for the places of a plane that meet.
    fn meetings(nine: &Nine, mut f: impl FnMut(usize, usize, usize)) {
        let [height, width] = nine.input;
        for (y, x, t) in (0..nine.output[0])
            .flat_map(|y| (0..nine.output[1]).flat_map(move |x| (0..9).map(move |t| (y, x, t))))
        {
            let at = |o: usize, t: usize, axis: usize| (o * nine.stride + t).wrapping_sub(nine.pad[axis]);
            let (iy, ix) = (at(y, t / 3, 0), at(x, t % 3, 1));
            if iy < height && ix < width {
                f(y * nine.output[1] + x, iy * width + ix, t);
            }
        }
    }

    #[test]
    fn planes_match_the_definition() {
        const PLANES: usize = 6;
        let sizes = [1, 2, 3, 4, 7, 14, 15, 16, 17, 31, 33, 35, 36, 70];
        for (isa, width) in Isa::all().flat_map(|isa| sizes.map(|width| (isa, width))) {
            for (stride, pad) in [(1, 0), (1, 1), (1, 2), (2, 1)] {
                let height = 3 + width % 7;
                if width + 2 * pad < 3 {
                    continue;
                }
                let output = [height, width].map(|size| (size + 2 * pad - 3) / stride + 1);
                let nine = Nine { input: [height, width], output, pad: [pad; 2], stride };
                let (input, top) = (numbers(PLANES * nine.in_area()), numbers(PLANES * nine.out_area()));
                let (weights, bias) = (numbers(27), [1.0, -2.0, 3.0]);
                let weight = |plane: usize, t: usize| weights[(plane + 2) % 3 * 9 + t];
                let filters =
                    Filters { weights: &weights, first: 2, turned: false, epilogue: Epilogue::default() };
                let what = format!("{nine:?} on {}", isa.name());

                let (mut want, mut spread) = (vec![0.0; top.len()], vec![0.0; input.len()]);
                let mut sums = [1.0; 18];
                for plane in 0..PLANES {
                    meetings(&nine, |o, i, t| {
                        let (o, i) = (plane * nine.out_area() + o, plane * nine.in_area() + i);
                        want[o] += weight(plane, t) * input[i];
                        spread[i] += weight(plane, t) * top[o];
                        if plane % 3 > 0 {
                            sums[(plane % 3 - 1) * 9 + t] += top[o] * input[i];
                        }
                    });
                }
                let zeros = vec![0.0; width.max(output[1])];
                let mut got = vec![f32::NAN; top.len()];
                nine_filter(isa, &nine, (&input, &zeros), &filters, &mut got);
                assert_eq!(got, want, "{what}");
                let mut got = [1.0; 18];
                let pairs = Pairs { input: &input, top: &top, channels: 3, zeros: &zeros };
                nine_correlate(isa, &nine, &pairs, 1, &mut got);
                assert_eq!(got, sums, "{what}");
                if stride == 2 {
                    let mut got = vec![f32::NAN; input.len()];
                    nine_spread(isa, &nine, (&top, &zeros), &filters, &mut got);
                    assert_eq!(got, spread, "{what}");
                }

                want.fill(0.0);
                for plane in 0..PLANES {
                    meetings(&nine, |o, i, t| {
                        want[plane * nine.out_area() + o] +=
                            weight(plane, 8 - t) * input[plane * nine.in_area() + i];
                    });
                }
                let standards = Epilogue::standards_for_tests(3);
                for standards in [None, Some(&standards[..])] {
                    let epilogue = Epilogue { bias: Some(&bias), standards, relu: true };
                    let filters = Filters { turned: true, epilogue, ..filters };
                    let mut got = vec![f32::NAN; top.len()];
                    nine_filter(isa, &nine, (&input, &zeros), &filters, &mut got);
                    let row = |o: usize| (o / nine.out_area() + 2) % 3;
                    let want: Vec<f32> =
                        want.iter().enumerate().map(|(o, &v)| epilogue.plain(row(o), v)).collect();
                    assert_eq!(got, want, "turned, {what}");
                }
            }
        }
    }
}
