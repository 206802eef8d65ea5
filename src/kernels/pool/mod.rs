//! Pooling: one number for each window of a plane, over any number of axes.
//!
//! A window is a list of rows of the last axis. The outer axes only choose the rows (`lists.rs`), so windows that hang
//! over their edges are shorter lists and cost nothing. `max.rs` and `mean.rs` choose the way, by the shape alone; the
//! README.md of kernels has the table.

mod beside;
mod gather;
mod lists;
mod max;
mod maxima;
mod mean;
mod picks;
mod same;
mod square;
mod stochastic;
mod sums;

use std::ops::Range;

pub use max::{Taken, max, max_backward, max_taking};
pub use mean::{Norm, Weights, l2, l2_backward, weighted_mean, weighted_mean_backward};
pub use stochastic::{sample, stochastic_mean, stochastic_mean_backward};

use super::parallel::planes_per_chunk;

/// One axis of a window and of the plane that it slides over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Length of the input.
    pub input: usize,
    /// Length of the output: how many windows. Each holds some of the input.
    pub output: usize,
    /// Length of the window.
    pub kernel: usize,
    /// Step from window to window.
    pub stride: usize,
    /// How far the first window begins before the input.
    pub pad: usize,
}

impl Axis {
    /// One window on one value, as of an axis that is not there.
    const ONE: Self = Self { input: 1, output: 1, kernel: 1, stride: 1, pad: 0 };

    /// An axis with as many windows as fit; `ceil` counts a last one that hangs over the end, if any of it lies on
    /// the input. `None` if there are none.
    pub fn fit(input: usize, kernel: usize, stride: usize, pad: usize, ceil: bool) -> Option<Self> {
        let room = input as i64 + 2 * pad as i64 - kernel as i64;
        let steps = if ceil { -(-room).div_euclid(stride as i64) } else { room.div_euclid(stride as i64) };
        let inside = ((input + pad) as i64 - 1).div_euclid(stride as i64) + 1;
        let output = (steps + 1).min(inside);
        (output > 0 && input > 0).then_some(Self { input, output: output as usize, kernel, stride, pad })
    }

    /// The part of the input in window `o`.
    fn window(&self, o: usize) -> Range<usize> {
        let start = o * self.stride;
        start.saturating_sub(self.pad)..(start + self.kernel).saturating_sub(self.pad).min(self.input)
    }

    /// How many positions of window `o` the input with its padding holds.
    fn padded_extent(&self, o: usize) -> usize {
        let start = o * self.stride;
        (start + self.kernel).min(self.input + 2 * self.pad) - start
    }

    /// The position in window `o` of input `i`.
    fn tap(&self, o: usize, i: usize) -> usize {
        i + self.pad - o * self.stride
    }

    /// The outputs whose windows hold input `i`; it may end before it starts, where there is none.
    fn reaching(&self, i: usize) -> Range<usize> {
        let low = (i + self.pad + 1).saturating_sub(self.kernel).div_ceil(self.stride);
        low..((i + self.pad) / self.stride + 1).min(self.output)
    }
}

/// Windows over planes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How many planes, each by itself.
    pub planes: usize,
    /// The axes of a plane, outermost first; at least one.
    pub axes: Vec<Axis>,
}

impl Pool {
    /// Values in an input plane.
    pub fn inputs(&self) -> usize {
        self.axes.iter().map(|a| a.input).fold(1, usize::saturating_mul)
    }

    /// Values in an output plane.
    pub fn outputs(&self) -> usize {
        self.axes.iter().map(|a| a.output).fold(1, usize::saturating_mul)
    }

    /// Positions in a window.
    fn taps(&self) -> usize {
        self.axes.iter().map(|a| a.kernel).fold(1, usize::saturating_mul)
    }

    /// The axis along a row, and the axes that choose rows.
    fn split(&self) -> (&Axis, &[Axis]) {
        let (row, outer) = self.axes.split_last().expect("a plane has an axis");
        (row, outer)
    }

    /// Whether the one window is the whole plane.
    fn is_global(&self) -> bool {
        self.axes.iter().all(|a| a.output == 1 && a.window(0) == (0..a.input))
    }

    /// Planes per chunk, so that a chunk reads about so many values as any.
    fn planes_per_chunk(&self) -> usize {
        planes_per_chunk(self.inputs())
    }
}

/// Calls `f(row, tap)` for each row of the windows of output row `o`, in order: its index in the plane, and its place
/// in the window counted without regard to edges.
#[inline(always)]
fn for_rows(outer: &[Axis], o: usize, mut f: impl FnMut(usize, usize)) {
    match outer {
        [] => f(0, 0),
        [a] => a.window(o).for_each(|row| f(row, a.tap(o, row))),
        [a, b] => {
            let (p, q) = (o / b.output, o % b.output);
            for i in a.window(p) {
                for j in b.window(q) {
                    f(i * b.input + j, a.tap(p, i) * b.kernel + b.tap(q, j));
                }
            }
        }
        _ => nested(outer, o, 0, 0, &mut f),
    }
}

/// [`for_rows`] for any number of axes.
fn nested(outer: &[Axis], o: usize, row: usize, tap: usize, f: &mut dyn FnMut(usize, usize)) {
    let Some((a, rest)) = outer.split_first() else { return f(row, tap) };
    let below: usize = rest.iter().map(|a| a.output).product();
    let p = o / below;
    for i in a.window(p) {
        nested(rest, o % below, row * a.input + i, tap * a.kernel + a.tap(p, i), f);
    }
}

/// Calls `f(output row, tap)` for each row of outputs whose windows hold row `row`, in order, the tap as in [`for_rows`].
#[inline(always)]
fn for_reaching_rows(outer: &[Axis], row: usize, mut f: impl FnMut(usize, usize)) {
    match outer {
        [] => f(0, 0),
        [a] => a.reaching(row).for_each(|o| f(o, a.tap(o, row))),
        _ => nested_reaching(outer, row, 0, 0, &mut f),
    }
}

/// [`for_reaching_rows`] for any number of axes.
fn nested_reaching(outer: &[Axis], row: usize, o: usize, tap: usize, f: &mut dyn FnMut(usize, usize)) {
    let Some((a, rest)) = outer.split_first() else { return f(o, tap) };
    let below: usize = rest.iter().map(|a| a.input).product();
    let i = row / below;
    for p in a.reaching(i) {
        nested_reaching(rest, row % below, o * a.output + p, tap * a.kernel + a.tap(p, i), f);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Geometries that meet every path: kernels with and without loops of their own, edges, overhang, any axes.
    pub fn geometries() -> Vec<Pool> {
        let mut all = vec![];
        for (h, w) in [(1, 1), (5, 7), (9, 40), (23, 37)] {
            for (kernel, stride, pad) in [
                (1, 1, 0),
                (2, 2, 0),
                (3, 2, 0),
                (3, 2, 1),
                (3, 1, 1),
                (2, 1, 0),
                (5, 1, 2),
                (5, 3, 1),
                (2, 3, 0),
                (3, 3, 2),
                (7, 7, 3),
            ] {
                for ceil in [false, true] {
                    let axis = |n| Axis::fit(n, kernel, stride, pad, ceil);
                    if let (Some(a), Some(b), Some(c)) = (axis(h), axis(w), axis(3)) {
                        all.push(Pool { planes: 3, axes: vec![a, b] });
                        all.push(Pool { planes: 2, axes: vec![b] });
                        all.push(Pool { planes: 1, axes: vec![c, a, b] });
                        if w < 20 {
                            all.push(Pool { planes: 1, axes: vec![c, c, a, b] });
                        }
                    }
                }
            }
        }
        // Small planes that go side by side.
        for (h, w, kernel, stride, pad) in
            [(5, 5, 3, 2, 0), (7, 7, 3, 1, 1), (13, 6, 5, 3, 2), (4, 4, 2, 3, 0)]
        {
            let axis = |n| Axis::fit(n, kernel, stride, pad, true).unwrap();
            all.push(Pool { planes: 19, axes: vec![axis(h), axis(w)] });
            all.push(Pool { planes: 37, axes: vec![axis(w)] });
        }
        // Rows of outputs that registers just hold, several of them or a part.
        for w in [3, 4, 8, 9, 15, 16, 17, 18, 31, 32, 33, 34, 35, 65, 66] {
            for (kernel, pad) in [(2, 0), (3, 0), (3, 1)] {
                let axis = |n| Axis::fit(n, kernel, 2, pad, true).unwrap();
                all.push(Pool { planes: 3, axes: vec![axis(w / 2 + 5), axis(w)] });
            }
        }
        // Planes that windows just cover, more than a chunk of them.
        for (h, w, kernel) in [(16, 16, 3), (14, 16, 2), (8, 8, 3), (2, 14, 3)] {
            let axis = |n| Axis::fit(n, kernel, 2, 0, true).unwrap();
            all.push(Pool { planes: 16 * 1024 / (h * w) + 3, axes: vec![axis(h), axis(w)] });
        }
        // Planes that scratch holds in bands, and so many that it holds them in groups.
        for (kernel, stride, pad) in [(3, 1, 1), (3, 2, 0), (5, 3, 1)] {
            let axis = |n| Axis::fit(n, kernel, stride, pad, true).unwrap();
            all.push(Pool { planes: 2, axes: vec![axis(97), axis(83)] });
            all.push(Pool { planes: 1, axes: vec![axis(21), axis(22), axis(23)] });
            all.push(Pool { planes: 301, axes: vec![axis(5), axis(7)] });
        }
        // Rows longer than a band of them.
        let axis = |n| Axis::fit(n, 3, 1, 1, true).unwrap();
        all.push(Pool { planes: 2, axes: vec![axis(3), axis(2100)] });
        all.push(Pool { planes: 0, axes: vec![axis(4), axis(4)] });
        all.push(Pool { planes: 0, axes: vec![Axis::fit(4, 2, 2, 0, true).unwrap()] });
        all
    }

    /// The windows of a plane, plainly: for each output the inputs with their places in the window.
    pub fn windows(pool: &Pool) -> Vec<Vec<(usize, Vec<usize>)>> {
        let mut all = vec![vec![(0, vec![])]];
        for a in &pool.axes {
            let grow = |window: &Vec<(usize, Vec<usize>)>, o: usize| {
                let mut grown = vec![];
                for (at, taps) in window {
                    for k in 0..a.kernel {
                        let i = (o * a.stride + k) as i64 - a.pad as i64;
                        if (0..a.input as i64).contains(&i) {
                            let taps = taps.iter().copied().chain([k]).collect();
                            grown.push((at * a.input + i as usize, taps));
                        }
                    }
                }
                grown
            };
            all = all.iter().flat_map(|w| (0..a.output).map(move |o| grow(w, o))).collect();
        }
        all
    }

    /// Numbers with ties among them.
    pub fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + i / 13) % 23) as f32 / 4.0 - 2.0).collect()
    }

    pub fn assert_close(got: &[f32], want: &[f32], pool: &Pool) {
        assert_eq!(got.len(), want.len());
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() <= 1e-5 * w.abs().max(1.0), "{g} is not {w} in {pool:?}");
        }
    }

    #[test]
    fn outputs_as_caffe_counts_them() {
        let count = |n, k, s, p, ceil| Axis::fit(n, k, s, p, ceil).map(|a| a.output);
        assert_eq!(count(6, 3, 2, 0, true), Some(3));
        assert_eq!(count(6, 3, 2, 0, false), Some(2));
        // The last window would begin in the padding: 5 + 1 <= 2 * 3.
        assert_eq!(count(5, 2, 3, 1, true), Some(2));
        // A window may be a little larger than the input, if it hangs over.
        assert_eq!(count(5, 6, 2, 0, true), Some(1));
        assert_eq!(count(5, 6, 2, 0, false), None);
        assert_eq!(count(5, 7, 2, 0, true), None);
        assert_eq!(count(0, 1, 1, 0, true), None);
    }

    #[test]
    fn padding_counts_and_overhang_does_not() {
        let a = Axis::fit(6, 3, 3, 1, true).unwrap();
        assert_eq!((a.output, a.window(2), a.padded_extent(2)), (3, 5..6, 2));
        assert_eq!((a.window(0), a.padded_extent(0), a.reaching(1)), (0..2, 3, 0..1));
    }
}
