//! Wide kernels of single channels that move far: the micro-kernels of upsampling by depthwise deconvolution. Lanes lie
//! along the kernel's rows, so that nothing is taken apart by the stride, and no line is copied: outputs are products
//! of two rows, lines of the input's gradient sums of rows of the kernel.

use std::ops::Range;

use super::{Epilogue, Isa, Job, MOST_LANES, Simd};

/// Sizes, height before width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wide {
    /// Size of the input.
    pub input: [usize; 2],
    /// Size of the output.
    pub output: [usize; 2],
    /// Size of the kernel.
    pub kernel: [usize; 2],
    /// Distance between outputs.
    pub stride: [usize; 2],
    /// Zeros before the input.
    pub pad: [usize; 2],
}

impl Wide {
    /// Where along axis `axis` output `o` meets the input, and with which taps.
    #[inline(always)]
    fn meets(&self, axis: usize, o: usize) -> (usize, Range<usize>) {
        let start = o * self.stride[axis];
        let first = self.pad[axis].saturating_sub(start);
        let end = (self.input[axis] + self.pad[axis]).saturating_sub(start).min(self.kernel[axis]);
        ((start + first).saturating_sub(self.pad[axis]), first..end.max(first))
    }

    /// The outputs that meet positions `from..from + n` of the input along axis `axis`.
    #[inline(always)]
    fn met_by(&self, axis: usize, from: usize, n: usize) -> Range<usize> {
        let (from, stride) = (from + self.pad[axis], self.stride[axis]);
        let first = (from + 1).saturating_sub(self.kernel[axis]).div_ceil(stride);
        first..((from + n - 1) / stride + 1).min(self.output[axis])
    }

    /// Panics unless planes and filters are `count` of each, and steps are not 0.
    fn check(&self, [input, output, weights]: [usize; 3], count: usize) {
        let area = |[height, width]: [usize; 2]| height * width;
        assert!(input >= area(self.input), "a plane of the input");
        assert!(output >= count * area(self.output), "planes of the output");
        assert!(weights >= count * area(self.kernel), "a filter for each plane");
        assert!(self.stride.iter().all(|&stride| stride > 0), "strides");
    }
}

/// Line `y` of the output of one filter, then the epilogue of row `row`.
///
/// # Panics
/// When something is too short, or there are no settings for the row.
pub fn wide_filter(
    isa: Isa,
    wide: &Wide,
    (plane, weights): (&[f32], &[f32]),
    (epilogue, row): (&Epilogue<'_>, usize),
    y: usize,
    out: &mut [f32],
) {
    wide.check([plane.len(), wide.output[0] * wide.output[1], weights.len()], 1);
    assert_eq!(out.len(), wide.output[1], "a line of the output");
    isa.run(Apply { wide, plane, weights, epilogue, row, y, out });
}

struct Apply<'a> {
    wide: &'a Wide,
    plane: &'a [f32],
    weights: &'a [f32],
    epilogue: &'a Epilogue<'a>,
    row: usize,
    y: usize,
    out: &'a mut [f32],
}

impl Job for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { wide, plane, weights, y, .. } = self;
        let (from, rows) = wide.meets(0, y);
        let epilogue = self.epilogue.row(self.row);
        let mut x = 0;
        for out in self.out.chunks_mut(S::LANES) {
            let mut values = [0.0; MOST_LANES];
            for value in &mut values[..out.len()] {
                let (column, taps) = wide.meets(1, x);
                let mut sums = [simd.splat(0.0); 4];
                for (from, row) in (from..).zip(rows.clone()) {
                    let plane = &plane[from * wide.input[1] + column..][..taps.len()];
                    let weights = &weights[row * wide.kernel[1]..][taps.clone()];
                    sums = dot(simd, plane, weights, sums);
                }
                let [a, b, c, d] = sums;
                let mut lanes = [0.0; MOST_LANES];
                simd.write_first(&mut lanes, simd.add(simd.add(a, b), simd.add(c, d)));
                *value = lanes[..S::LANES].iter().sum();
                x += 1;
            }
            let sum = simd.add(simd.read(&values), simd.splat(epilogue.bias));
            let [sum] = epilogue.finish(simd, [sum]);
            simd.write_first(out, sum);
        }
    }
}

/// Adds the products of `a` and `b`.
#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32], mut sums: [S::V; 4]) -> [S::V; 4] {
    for (a, b) in a.chunks(4 * S::LANES).zip(b.chunks(4 * S::LANES)) {
        if a.len() == 4 * S::LANES {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = simd.fma(simd.read(&a[v * S::LANES..]), simd.read(&b[v * S::LANES..]), *sum);
            }
        } else {
            for (a, b) in a.chunks(S::LANES).zip(b.chunks(S::LANES)) {
                sums[0] = simd.fma(simd.read_first(a), simd.read_first(b), sums[0]);
            }
        }
    }
    sums
}

/// Line `y` of the input's gradient: all planes of `top`, each with a filter of its own.
///
/// # Panics
/// When something is too short.
pub fn wide_spread(isa: Isa, wide: &Wide, (top, weights): (&[f32], &[f32]), y: usize, out: &mut [f32]) {
    let count = top.len() / (wide.output[0] * wide.output[1]).max(1);
    wide.check([wide.input[0] * wide.input[1], top.len(), weights.len()], count);
    assert_eq!(out.len(), wide.input[1], "a line of the input");
    isa.run(Spread { wide, top, weights, y, out });
}

struct Spread<'a> {
    wide: &'a Wide,
    top: &'a [f32],
    weights: &'a [f32],
    y: usize,
    out: &'a mut [f32],
}

impl Job for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { wide, top, weights, y, out } = self;
        let ([height, width], [kernel_height, kernel_width]) = (wide.output, wide.kernel);
        let rows = wide.met_by(0, y, 1);
        for (i, out) in out.chunks_mut(S::LANES).enumerate() {
            let x = i * S::LANES;
            let mut sum = simd.splat(0.0);
            for column in wide.met_by(1, x, out.len()) {
                // Lane l meets tap x + l + pad - column * stride.
                let (at, start) = (x + wide.pad[1], column * wide.stride[1]);
                let first = start.saturating_sub(at);
                let end = (start + kernel_width - at).min(S::LANES);
                let planes = top.chunks_exact(height * width);
                for (top, weights) in planes.zip(weights.chunks_exact(kernel_height * kernel_width)) {
                    for row in rows.clone() {
                        let tap = y + wide.pad[0] - row * wide.stride[0];
                        let weights = &weights[tap * kernel_width..][..kernel_width];
                        let from = weights.as_ptr().wrapping_add(at).wrapping_sub(start);
                        // SAFETY: these lanes lie inside the row of weights.
                        let values = unsafe { simd.load_lanes(from, (first, end)) };
                        sum = simd.fma(simd.splat(top[row * width + column]), values, sum);
                    }
                }
            }
            simd.write_first(out, sum);
        }
    }
}

/// Adds one plane's part of a filter's gradient to `sums`.
///
/// # Panics
/// When something is too short.
pub fn wide_correlate(isa: Isa, wide: &Wide, plane: &[f32], top: &[f32], sums: &mut [f32]) {
    wide.check([plane.len(), top.len(), sums.len()], 1);
    isa.run(Correlate { wide, plane, top, sums });
}

struct Correlate<'a> {
    wide: &'a Wide,
    plane: &'a [f32],
    top: &'a [f32],
    sums: &'a mut [f32],
}

impl Job for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let kernel = self.wide.kernel[1];
        for (tap, sums) in self.sums.chunks_exact_mut(kernel).enumerate() {
            let (sums, rest) = sums.split_at_mut(kernel / (4 * S::LANES) * (4 * S::LANES));
            for (i, sums) in sums.chunks_exact_mut(4 * S::LANES).enumerate() {
                columns::<S, 4>(simd, self.wide, (self.plane, self.top), [tap, 4 * i * S::LANES], sums);
            }
            let done = sums.len();
            for (i, sums) in rest.chunks_mut(S::LANES).enumerate() {
                columns::<S, 1>(simd, self.wide, (self.plane, self.top), [tap, done + i * S::LANES], sums);
            }
        }
    }
}

/// Adds to the gradient of `N` registers of taps from `column` on of row `tap`.
#[inline(always)]
fn columns<S: Simd, const N: usize>(
    simd: S,
    wide: &Wide,
    (plane, top): (&[f32], &[f32]),
    [tap, column]: [usize; 2],
    out: &mut [f32],
) {
    let ([height, width], [in_height, in_width]) = (wide.output, wide.input);
    let mut sums = [simd.splat(0.0); N];
    for x in 0..width {
        // Lane l reads position x * stride + column + l - pad.
        let (start, pad) = (x * wide.stride[1] + column, wide.pad[1]);
        let mut lanes = [(0, 0); N];
        for (v, lanes) in lanes.iter_mut().enumerate() {
            let start = start + v * S::LANES;
            let end = (in_width + pad).saturating_sub(start).min(S::LANES);
            *lanes = (pad.saturating_sub(start).min(end), end);
        }
        for y in 0..height {
            let row = (y * wide.stride[0] + tap).wrapping_sub(wide.pad[0]);
            if row >= in_height {
                continue;
            }
            let top = simd.splat(top[y * width + x]);
            let plane = &plane[row * in_width..][..in_width];
            let from = plane.as_ptr().wrapping_add(start).wrapping_sub(pad);
            for v in 0..N {
                // SAFETY: these lanes lie inside the row.
                let values = unsafe { simd.load_lanes(from.wrapping_add(v * S::LANES), lanes[v]) };
                sums[v] = simd.fma(top, values, sums[v]);
            }
        }
    }
    for (out, sum) in out.chunks_mut(S::LANES).zip(sums) {
        simd.write_first(out, simd.add(simd.read_first(out), sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_match_the_definition() {
        let numbers = |len: usize| (0..len).map(|v| (v * 7 % 11) as f32 - 5.0).collect::<Vec<_>>();
        let axis = |input, kernel, stride, pad| {
            [input, kernel, stride, pad, (input + 2 * pad - kernel) / stride + 1]
        };
        let cases = [
            [axis(7, 3, 2, 1), axis(75, 16, 8, 4)],
            [axis(5, 4, 4, 0), axis(150, 67, 32, 3)],
            [axis(2, 2, 9, 1), axis(90, 20, 40, 19)],
        ];
        for (isa, [y, x]) in Isa::all().flat_map(|isa| cases.map(|axes| (isa, axes))) {
            let [input, kernel, stride, pad, output] = std::array::from_fn(|i| [y[i], x[i]]);
            let wide = Wide { input, output, kernel, stride, pad };
            let [inputs, taps, area] = [input, kernel, output].map(|[height, width]| height * width);
            let (plane, weights, top) = (numbers(inputs), numbers(2 * taps), numbers(2 * area));
            let (mut want, mut spread, mut sums) = (vec![0.0; area], vec![0.0; inputs], vec![1.0; taps]);
            for (o, t) in (0..area).flat_map(|o| (0..taps).map(move |t| (o, t))) {
                let at = |axis: usize, o: usize, t: usize| (o * stride[axis] + t).wrapping_sub(pad[axis]);
                let iy = at(0, o / output[1], t / kernel[1]);
                let ix = at(1, o % output[1], t % kernel[1]);
                if iy < input[0] && ix < input[1] {
                    let i = iy * input[1] + ix;
                    want[o] += plane[i] * weights[t];
                    spread[i] += top[o] * weights[t] + top[area + o] * weights[taps + t];
                    sums[t] += plane[i] * top[o];
                }
            }
            let what = format!("{wide:?} on {}", isa.name());
            let (mut out, mut bottom, mut got) =
                (vec![f32::NAN; area], vec![f32::NAN; inputs], vec![1.0; taps]);
            let standards = Epilogue::standards_for_tests(2);
            let epilogue = Epilogue { bias: Some(&[0.0, 3.0]), standards: Some(&standards), relu: true };
            for (line, out) in out.chunks_mut(output[1]).enumerate() {
                wide_filter(isa, &wide, (&plane, &weights[..taps]), (&epilogue, 1), line, out);
            }
            for (line, bottom) in bottom.chunks_mut(input[1]).enumerate() {
                wide_spread(isa, &wide, (&top, &weights), line, bottom);
            }
            wide_correlate(isa, &wide, &plane, &top[..area], &mut got);
            let want: Vec<f32> = want.iter().map(|&v| epilogue.plain(1, v)).collect();
            assert_eq!((out, bottom, got), (want, spread, sums), "{what}");
        }
    }
}
