//! The weights' gradient: nine sums a channel, in registers over all images.

use super::columns::{Columns, load};
use super::{MANY, MET, Nine, Soon, met};
use crate::kernels::simd::{Isa, Job, MOST_LANES, Simd};

/// Where planes lie: those of image i and channel c are the `i * channels + c`-th of both slices.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    /// The input's planes.
    pub input: &'a [f32],
    /// The planes of the output's gradient.
    pub top: &'a [f32],
    /// Number of channels.
    pub channels: usize,
    /// A row of the input, all 0.
    pub zeros: &'a [f32],
}

/// Adds to `sums[9 * i + 3 * ty + tx]` the sum over images, y and x of channel `first + i`'s
/// `input[y * stride + ty - pad][x * stride + tx - pad] * top[y][x]`.
///
/// # Panics
/// When there are not as many planes of input as of output or whole images of them, or `zeros` is too short.
pub fn nine_correlate(isa: Isa, nine: &Nine, pairs: &Pairs<'_>, first: usize, sums: &mut [f32]) {
    nine.checked();
    assert!(sums.len().is_multiple_of(9) && first + sums.len() / 9 <= pairs.channels, "nine sums a channel");
    let planes = pairs.top.len() / nine.out_area();
    assert_eq!(planes * nine.out_area(), pairs.top.len(), "whole planes of outputs");
    assert_eq!(planes * nine.in_area(), pairs.input.len(), "as many planes of inputs");
    assert!(planes.is_multiple_of(pairs.channels.max(1)), "whole images");
    assert!(pairs.zeros.len() >= nine.input[1], "a row of zeros");
    isa.run(Correlate { nine, pairs, first, sums });
}

struct Correlate<'a> {
    nine: &'a Nine,
    pairs: &'a Pairs<'a>,
    first: usize,
    sums: &'a mut [f32],
}

impl Job for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.nine.stride == 1 { self.channels::<S, 1>(simd) } else { self.channels::<S, 2>(simd) }
    }
}

impl Correlate<'_> {
    #[inline(always)]
    fn channels<S: Simd, const STRIDE: usize>(self, simd: S) {
        let Self { nine, pairs, first, sums } = self;
        let planes = pairs.top.len() / nine.out_area();
        for (i, totals) in sums.chunks_exact_mut(9).enumerate() {
            let mut sums = [simd.splat(0.0); 9];
            for plane in (first + i..planes).step_by(pairs.channels) {
                let input = &pairs.input[plane * nine.in_area()..][..nine.in_area()];
                let top = &pairs.top[plane * nine.out_area()..][..nine.out_area()];
                let mut y = 0;
                while y < nine.output[0] {
                    let n = if y + MANY <= nine.output[0] { MANY } else { 1 };
                    let soon = match y + n {
                        next if next < nine.output[0] => Soon::new::<STRIDE>(nine, input, top, next),
                        // Of so few rows the next image's cost more than they save: what is near already.
                        _ if y == 0 => Soon::new::<STRIDE>(nine, input, top, 0),
                        // The channel's plane of the next image.
                        _ => Soon {
                            input: input.as_ptr().wrapping_add(pairs.channels * nine.in_area()),
                            output: top.as_ptr().wrapping_add(pairs.channels * nine.out_area()),
                            widths: [nine.input[1], nine.output[1]],
                        },
                    };
                    let top = top[y * nine.output[1]..].as_ptr();
                    // SAFETY: rows are those of the input or zeros; `top` has as many rows from `y` on.
                    sums = unsafe {
                        if n == MANY {
                            let rows = nine.rows::<STRIDE, MANY>(input, pairs.zeros, y);
                            correlate::<S, STRIDE, MANY>(simd, nine, (&rows, soon), top, sums)
                        } else {
                            let rows = nine.rows::<STRIDE, 1>(input, pairs.zeros, y);
                            correlate::<S, STRIDE, 1>(simd, nine, (&rows, soon), top, sums)
                        }
                    };
                    y += n;
                }
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                let mut lanes = [0.0; MOST_LANES];
                // SAFETY: no register is wider.
                unsafe { simd.store(lanes.as_mut_ptr(), sum) };
                *total += lanes[..S::LANES].iter().sum::<f32>();
            }
        }
    }
}

/// Adds `N` rows of outputs to the sums.
///
/// # Safety
/// `rows` have the values of a row of the input, `top` has those of `N` rows of the output.
#[inline(always)]
unsafe fn correlate<S: Simd, const STRIDE: usize, const N: usize>(
    simd: S,
    nine: &Nine,
    (rows, soon): (&[*const f32; MET], Soon),
    top: *const f32,
    mut sums: [S::V; 9],
) -> [S::V; 9] {
    for x in (0..nine.output[1]).step_by(S::LANES) {
        let columns = Columns::new::<S, STRIDE>(nine, x);
        // SAFETY: the caller's promise.
        sums = unsafe {
            let (soon, top) = (soon.at_column::<STRIDE>(x), (top.add(x), nine.output[1]));
            if columns.inside {
                register::<S, STRIDE, N, true>(simd, columns, (rows, soon), top, sums)
            } else {
                register::<S, STRIDE, N, false>(simd, columns, (rows, soon), top, sums)
            }
        };
    }
    sums
}

/// Adds a register of outputs in each of `N` rows, `stride` apart.
///
/// # Safety
/// As for [`correlate`]; `INSIDE` says what `columns` does.
#[inline(always)]
unsafe fn register<S: Simd, const STRIDE: usize, const N: usize, const INSIDE: bool>(
    simd: S,
    columns: Columns,
    (rows, soon): (&[*const f32; MET], Soon),
    (top, stride): (*const f32, usize),
    mut sums: [S::V; 9],
) -> [S::V; 9] {
    let n = if INSIDE { S::LANES } else { columns.n };
    let mut tops = [simd.splat(0.0); N];
    for (o, value) in tops.iter_mut().enumerate() {
        // SAFETY: row `o` of the output has `n` values from here on.
        *value = unsafe { load(simd, top.add(o * stride), n) };
        simd.prefetch(soon.output(o));
    }
    for (r, &row) in rows.iter().enumerate().take(met(STRIDE, N)) {
        // SAFETY: the caller's promise.
        let values = unsafe { columns.load::<S, STRIDE, INSIDE>(simd, row) };
        soon.ask::<S, STRIDE>(simd, r);
        for (o, &top) in tops.iter().enumerate() {
            let t = r.wrapping_sub(o * STRIDE);
            if t < 3 {
                for x in 0..3 {
                    sums[3 * t + x] = simd.fma(values[x], top, sums[3 * t + x]);
                }
            }
        }
    }
    sums
}
