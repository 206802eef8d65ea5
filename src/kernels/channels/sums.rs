//! Sums over channels: in registers while a run lasts, in `f32` lanes between runs, in `f64` over blocks of them.

use std::ops::Range;

use super::{Channels, NEAR, STRETCH, Settings, Terms, read, splat};
use crate::kernels::simd::{Isa, Job, MatMut, Simd};

/// Values that are summed in `f32` lanes before they go into an `f64`.
const BLOCK: usize = 1024;
/// Images whose values are summed so where each has one value of a channel, as many as a lane of a block.
const IMAGES: usize = 64;
/// How many images ahead a channel's values are asked for there: they lie far apart.
const AHEAD: usize = 8;
/// The widest register.
const LANES: usize = 16;

/// The sums of each channel of a stretch.
pub struct Total<'a, 'b, T, const P: usize, const B: usize, const N: usize> {
    pub dims: Channels,
    pub stretch: Range<usize>,
    /// Values of a run that are summed.
    pub upto: usize,
    pub blobs: [&'a [f32]; B],
    /// The stretch's columns of what will be written.
    pub out: Option<&'a mut MatMut<'b>>,
    pub settings: &'a Settings<P>,
    pub terms: T,
}

impl<T: Terms<P, B, N>, const P: usize, const B: usize, const N: usize> Job for Total<'_, '_, T, P, B, N> {
    type Output = [[f64; STRETCH]; N];

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> [[f64; STRETCH]; N] {
        let mut totals = [[0.0; STRETCH]; N];
        if self.dims.inner == 1 {
            self.add_columns(simd, &mut totals);
            return totals;
        }
        let mut sums = [Sums::<N>::NONE; STRETCH];
        let width = self.stretch.len() * self.dims.inner;
        let near = (B + 1) * self.dims.images * width <= NEAR;
        for n in 0..self.dims.images {
            let soon = self.out.as_mut().filter(|_| near).map(|out| out.row(n).as_ptr());
            for (i, (c, sums)) in self.stretch.clone().zip(&mut sums).enumerate() {
                let start = self.dims.run(n, c).start;
                let mut run = self.blobs;
                for blob in &mut run {
                    *blob = &blob[start..][..self.upto];
                }
                let soon = soon.map(|soon| soon.wrapping_add(i * self.dims.inner));
                sums.add(simd, run, soon, splat(simd, self.settings, i), self.terms);
            }
        }
        for (i, sums) in sums.into_iter().enumerate().take(self.stretch.len()) {
            let sums = sums.total();
            (0..N).for_each(|k| totals[k][i] = sums[k]);
        }
        totals
    }
}

impl<T: Terms<P, B, N>, const P: usize, const B: usize, const N: usize> Total<'_, '_, T, P, B, N> {
    /// Where a run is one value, channels lie side by side. The values of some images are summed in `f32`.
    #[inline(always)]
    fn add_columns<S: Simd>(&self, simd: S, totals: &mut [[f64; STRETCH]; N]) {
        let (width, row) = (self.stretch.len(), self.dims.channels);
        for first in (0..self.dims.images).step_by(IMAGES) {
            let mut sums = [[0f32; STRETCH]; N];
            for n in first..self.dims.images.min(first + IMAGES) {
                let mut blobs = self.blobs;
                for blob in &mut blobs {
                    *blob = &blob[n * row..][self.stretch.clone()];
                }
                for at in (0..width).step_by(S::LANES) {
                    let mut settings = [simd.splat(0.0); P];
                    for (register, of_all) in settings.iter_mut().zip(self.settings) {
                        *register = simd.read(&of_all[at..]);
                    }
                    for blob in blobs {
                        simd.prefetch(blob.as_ptr().wrapping_add(AHEAD * row + at));
                    }
                    let more = self.terms.of(simd, settings, read(simd, blobs, at));
                    for (sums, more) in sums.iter_mut().zip(more) {
                        let sum = simd.add(simd.read(&sums[at..]), more);
                        simd.write_first(&mut sums[at..], sum);
                    }
                }
            }
            for (totals, sums) in totals.iter_mut().zip(sums) {
                totals.iter_mut().zip(&sums[..width]).for_each(|(total, &sum)| *total += f64::from(sum));
            }
        }
    }
}

/// The sums of all terms(settings, values), in `f32` lanes by blocks and in `f64` over them.
pub fn sums_of<const P: usize, const B: usize, const N: usize>(
    values: [&[f32]; B],
    settings: [f32; P],
    terms: impl Terms<P, B, N>,
) -> [f64; N] {
    Isa::best().run(TotalOf { values, settings, terms })
}

struct TotalOf<'a, T, const P: usize, const B: usize, const N: usize> {
    values: [&'a [f32]; B],
    settings: [f32; P],
    terms: T,
}

impl<T: Terms<P, B, N>, const P: usize, const B: usize, const N: usize> Job for TotalOf<'_, T, P, B, N> {
    type Output = [f64; N];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [f64; N] {
        let mut settings = [simd.splat(0.0); P];
        for (register, v) in settings.iter_mut().zip(self.settings) {
            *register = simd.splat(v);
        }
        let mut sums = Sums::NONE;
        sums.add(simd, self.values, None, settings, self.terms);
        sums.total()
    }
}

/// Sums that several runs go into.
#[derive(Clone, Copy)]
struct Sums<const N: usize> {
    lanes: [[f32; LANES]; N],
    /// How many values the lanes hold.
    held: usize,
    sums: [f64; N],
}

impl<const N: usize> Sums<N> {
    const NONE: Self = Self { lanes: [[0.0; LANES]; N], held: 0, sums: [0.0; N] };

    #[inline(always)]
    fn add<S: Simd, const P: usize, const B: usize>(
        &mut self,
        simd: S,
        blobs: [&[f32]; B],
        soon: Option<*const f32>,
        settings: [S::V; P],
        terms: impl Terms<P, B, N>,
    ) {
        let (mut at, len) = (0, blobs[0].len());
        while at < len {
            let end = (at + BLOCK - self.held).min(len);
            let mut now = blobs;
            for blob in &mut now {
                *blob = &blob[at..end];
            }
            let soon = soon.map(|soon| soon.wrapping_add(at));
            self.add_to_lanes(simd, now, soon, settings, terms);
            (self.held, at) = (self.held + end - at, end);
            if self.held == BLOCK {
                self.empty();
            }
        }
    }

    /// Adds values to the lanes; registers of even and of odd number go their own ways.
    #[inline(always)]
    fn add_to_lanes<S: Simd, const P: usize, const B: usize>(
        &mut self,
        simd: S,
        blobs: [&[f32]; B],
        soon: Option<*const f32>,
        settings: [S::V; P],
        terms: impl Terms<P, B, N>,
    ) {
        let len = blobs[0].len();
        let (mut even, mut odd) = ([simd.splat(0.0); N], [simd.splat(0.0); N]);
        for (even, lanes) in even.iter_mut().zip(&self.lanes) {
            *even = simd.read(lanes);
        }
        let mut at = 0;
        while at + 2 * S::LANES <= len {
            if let Some(soon) = soon {
                for line in (at..at + 2 * S::LANES).step_by(LANES) {
                    simd.prefetch_to_write(soon.wrapping_add(line));
                }
            }
            let first = terms.of(simd, settings, read(simd, blobs, at));
            let second = terms.of(simd, settings, read(simd, blobs, at + S::LANES));
            for k in 0..N {
                even[k] = simd.add(even[k], first[k]);
                odd[k] = simd.add(odd[k], second[k]);
            }
            at += 2 * S::LANES;
        }
        for (even, odd) in even.iter_mut().zip(odd) {
            *even = simd.add(*even, odd);
        }
        while at < len {
            if let Some(soon) = soon {
                simd.prefetch_to_write(soon.wrapping_add(at));
            }
            let more = terms.of(simd, settings, read(simd, blobs, at));
            for (sum, more) in even.iter_mut().zip(more) {
                *sum = simd.add(*sum, simd.first_lanes(len - at, more, 0.0));
            }
            at += S::LANES;
        }
        for (lanes, sum) in self.lanes.iter_mut().zip(even) {
            simd.write_first(lanes, sum);
        }
    }

    /// Adds the lanes up, by halves.
    #[inline(always)]
    fn empty(&mut self) {
        for (sum, lanes) in self.sums.iter_mut().zip(&mut self.lanes) {
            for half in [8, 4, 2, 1] {
                let (low, high) = lanes.split_at_mut(half);
                low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
            }
            *sum += f64::from(lanes[0]);
            *lanes = [0.0; LANES];
        }
        self.held = 0;
    }

    #[inline(always)]
    fn total(mut self) -> [f64; N] {
        self.empty();
        self.sums
    }
}
