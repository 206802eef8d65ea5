//! Sums over channels: in registers while a run lasts, in `f32` lanes between runs, in `f64` over blocks of them.

use std::ops::Range;

use super::{Channels, NEAR, STRETCH, Sums, splat};
use crate::kernels::simd::{Isa, Job, MOST_LANES, MatMut, Simd, goes_past, sum_terms};

/// Values that are summed in `f32` lanes before they go into an `f64`.
const BLOCK: usize = 1024;

/// Begins with a line of the cache, so that no register lies in two.
#[repr(C, align(64))]
struct Aligned<T>(T);

/// The sums of each channel of a stretch. Pieces of the runs of all channels, image by image, go into lanes that wait on the stack.
pub struct Total<'a, 'b, T, const P: usize, const B: usize, const N: usize> {
    pub dims: Channels,
    pub stretch: Range<usize>,
    /// Values of a run that are summed.
    pub upto: usize,
    pub blobs: [&'a [f32]; B],
    /// The stretch's columns of what will be written.
    pub out: Option<&'a mut MatMut<'b>>,
    pub settings: [&'a [f32]; P],
    pub terms: T,
}

impl<T: Sums<P, B, N>, const P: usize, const B: usize, const N: usize> Job for Total<'_, '_, T, P, B, N> {
    type Output = [[f64; STRETCH]; N];

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> [[f64; STRETCH]; N] {
        let mut totals = [[0.0; STRETCH]; N];
        let (count, inner) = (self.stretch.len(), self.dims.inner);
        let far = goes_past(inner);
        let near = (B + 1) * self.dims.images * count * inner <= NEAR && !far;
        // Where what is written need not be asked for, what the next stretch reads is.
        let ahead = if far && self.upto == inner { self.dims.images_ahead::<B>(&self.stretch) } else { 0 };
        let lanes = &mut Aligned([[[0.0; MOST_LANES]; N]; STRETCH]).0[..count];
        let mut held = 0;
        for n in 0..self.dims.images {
            let soon = self.out.as_mut().filter(|_| near).map(|out| out.row(n).as_ptr());
            let next = (n < ahead).then_some(count * inner);
            let start = self.dims.run(n, self.stretch.start).start;
            for piece in (0..self.upto).step_by(BLOCK) {
                let len = BLOCK.min(self.upto - piece);
                if held + len > BLOCK {
                    empty(lanes, &mut totals);
                    held = 0;
                }
                held += len;
                for (i, lanes) in lanes.iter_mut().enumerate() {
                    let (at, settings) = (i * inner + piece, splat(simd, self.settings, i));
                    let mut runs = self.blobs;
                    for run in &mut runs {
                        *run = &run[start + at..][..len];
                    }
                    let soon = soon.map(|soon| soon.wrapping_add(at));
                    let sums = sum_terms(simd, settings, runs, (soon, next), self.terms);
                    for (lanes, sum) in lanes.iter_mut().zip(sums) {
                        let sum = simd.add(simd.read(lanes), sum);
                        simd.write_first(lanes, sum);
                    }
                }
            }
        }
        empty(lanes, &mut totals);
        totals
    }
}

/// The sums over all values, in `f32` lanes by blocks and in `f64` over them.
pub fn sums_of<const P: usize, const B: usize, const N: usize>(
    values: [&[f32]; B],
    settings: [f32; P],
    terms: impl Sums<P, B, N>,
) -> [f64; N] {
    Isa::best().run(TotalOf { values, settings, terms })
}

struct TotalOf<'a, T, const P: usize, const B: usize, const N: usize> {
    values: [&'a [f32]; B],
    settings: [f32; P],
    terms: T,
}

impl<T: Sums<P, B, N>, const P: usize, const B: usize, const N: usize> Job for TotalOf<'_, T, P, B, N> {
    type Output = [f64; N];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [f64; N] {
        let mut settings = [simd.splat(0.0); P];
        for (register, v) in settings.iter_mut().zip(self.settings) {
            *register = simd.splat(v);
        }
        let (mut totals, mut lanes) = ([[0.0; STRETCH]; N], [[[0.0; MOST_LANES]; N]]);
        for at in (0..self.values[0].len()).step_by(BLOCK) {
            let mut runs = self.values;
            for run in &mut runs {
                *run = &run[at..run.len().min(at + BLOCK)];
            }
            let sums = sum_terms(simd, settings, runs, (None, None), self.terms);
            for (lanes, sum) in lanes[0].iter_mut().zip(sums) {
                simd.write_first(lanes, sum);
            }
            empty(&mut lanes, &mut totals);
        }
        totals.map(|of_all| of_all[0])
    }
}

/// Adds the lanes of each channel up, by halves, and to its totals.
#[inline(always)]
fn empty<const N: usize>(lanes: &mut [[[f32; MOST_LANES]; N]], totals: &mut [[f64; STRETCH]; N]) {
    for (i, lanes) in lanes.iter_mut().enumerate() {
        for (lanes, totals) in lanes.iter_mut().zip(&mut *totals) {
            for half in [8, 4, 2, 1] {
                let (low, high) = lanes.split_at_mut(half);
                low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
            }
            totals[i] += f64::from(lanes[0]);
            *lanes = [0.0; MOST_LANES];
        }
    }
}
