//! Blobs seen as channels: each channel has a run of values in every image, and loops that go over a stretch of
//! channels at a time, so that what one pass has read is still in the cache for the next.
//!
//! A stretch is gone over image by image, so that small planes are one run of memory, while each channel's sums wait in
//! lanes on the stack. While sums are taken, what will be written is asked for; while results are written, last image
//! first, the first images of the next channels come to the second-level cache. Large planes are written past the
//! caches, so the next channels come while sums are taken, too. What is done with a value is a `Terms` or, with sums, a
//! `Sums` (`simd/terms.rs`). Where each image has one value of a channel, `channels/columns.rs` does it.

mod columns;
mod sums;

use std::{array, ops::Range};

pub use super::simd::{Sums, Terms};
pub use sums::sums_of;

use super::{
    parallel::{CHUNK, for_chunks_mut, for_columns_mut},
    simd::{Isa, Job, MatMut, Simd, store_terms},
};
use sums::Total;

/// `images x channels x inner` values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// Images: how many runs a channel has.
    pub images: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Values of a run.
    pub inner: usize,
}

/// The most channels that are worked on together.
pub const STRETCH: usize = 64;
/// The most values of all blobs that are kept near while a stretch is worked on: most of a second-level cache.
const NEAR: usize = 400 * 1024;
/// How many values ahead of the last written a line is asked for.
const AHEAD: usize = 128;
/// The most values that are the first of a channel, and the most images of one value each.
const FIRST: usize = 1024;
const FIRST_IMAGES: usize = 16;

impl Channels {
    /// The axes of `shape` before `from`, those from there to `to`, and the rest.
    pub fn of(shape: &[usize], from: usize, to: usize) -> Self {
        let product = |axes: &[usize]| axes.iter().copied().fold(1, usize::saturating_mul);
        Self {
            images: product(&shape[..from]),
            channels: product(&shape[from..to]),
            inner: product(&shape[to..]),
        }
    }

    /// All values.
    pub fn count(&self) -> usize {
        self.images * self.channels * self.inner
    }

    /// Values of a channel in all images.
    pub fn per_channel(&self) -> usize {
        self.images * self.inner
    }

    /// The run of channel `c` in image `n`.
    pub fn run(&self, n: usize, c: usize) -> Range<usize> {
        let start = (n * self.channels + c) * self.inner;
        start..start + self.inner
    }

    /// How many images of the next stretch there is room for near this one and what is written; they are on their way meanwhile.
    fn images_ahead<const B: usize>(&self, stretch: &Range<usize>) -> usize {
        let width = stretch.len() * self.inner;
        let room = NEAR.saturating_sub((B + 1) * self.images * width);
        if stretch.end == self.channels { 0 } else { room / (B * width).max(1) }
    }

    /// Calls `f(first, out, own)` for stretches of channels: their columns of `out`, a row for each image, and what they
    /// own, one `T` a channel. Where each image has one value of a channel all channels are one stretch.
    pub fn for_stretches<T: Send>(
        &self,
        out: Option<&mut [f32]>,
        own: &mut [T],
        f: impl Fn(usize, Option<MatMut<'_>>, &mut [T]) + Sync,
    ) {
        assert_eq!(own.len(), self.channels);
        let (group, stretch) = match self.inner {
            1 => (self.channels, self.channels.max(1)),
            _ => ((CHUNK / self.per_channel().max(1)).max(1), STRETCH),
        };
        let row = self.channels * self.inner;
        let matrix = out.map(|out| MatMut::new(out, self.images, row, row));
        for_columns_mut(matrix, self.inner, own, group, &|first, mut out, own| {
            for (i, own) in own.chunks_mut(stretch).enumerate() {
                let at = i * stretch;
                let columns = at * self.inner..(at + own.len()) * self.inner;
                let out = out.as_mut().map(|out| out.block(0..self.images, columns));
                f(first + at, out, own);
            }
        });
    }

    /// out = terms(settings, values of the blobs) for the stretch of channels from `first` on whose columns `out` is and which have
    /// these settings.
    pub fn apply<const P: usize, const B: usize>(
        self,
        first: usize,
        mut out: MatMut<'_>,
        blobs: [&[f32]; B],
        settings: [&[f32]; P],
        terms: impl Terms<P, B>,
    ) {
        if self.count() == 0 {
            return;
        }
        if self.inner == 1 {
            return columns::apply(self.channels, settings, blobs, out.values_from(0, self.count()), terms);
        }
        Isa::best().run(Apply { dims: self, first, out, blobs, settings, terms });
    }

    /// Calls `keep(own, sums)` with the sums over all values of the blobs for a stretch of channels from `first` on, which have these
    /// settings; its columns of `out`, if there are any, are asked for meanwhile, as they will be written.
    pub fn sums<T: Send, const P: usize, const B: usize, const N: usize>(
        self,
        (first, own): (usize, &mut [T]),
        blobs: [&[f32]; B],
        out: Option<&mut MatMut<'_>>,
        settings: [&[f32]; P],
        (terms, keep): (impl Sums<P, B, N>, impl Fn(&mut T, [f64; N]) + Sync),
    ) {
        if self.inner == 1 {
            return columns::sums(own, settings, blobs, terms, keep);
        }
        let (stretch, upto) = (first..first + own.len(), self.inner);
        let total = Total { dims: self, stretch, upto, blobs, out, settings, terms };
        hand_out(&Isa::best().run(total), own, keep);
    }

    /// As [`Channels::sums`], of the first values of each channel, [`Channels::first_count`] of them.
    pub fn first_sums<T: Send, const B: usize, const N: usize>(
        self,
        (first, own): (usize, &mut [T]),
        blobs: [&[f32]; B],
        terms: impl Sums<0, B, N>,
        keep: impl Fn(&mut T, [f64; N]) + Sync,
    ) {
        let upto = self.first_count();
        if self.inner == 1 {
            return columns::sums(own, [], blobs.map(|blob| &blob[..upto * self.channels]), terms, keep);
        }
        let (stretch, dims) = (first..first + own.len(), Self { images: self.images.min(1), ..self });
        let total = Total { dims, stretch, upto, blobs, out: None, settings: [], terms };
        hand_out(&Isa::best().run(total), own, keep);
    }

    /// How many values of a channel are first: of the first image, or, where each has one, of the first images.
    pub fn first_count(&self) -> usize {
        if self.inner == 1 { self.images.min(FIRST_IMAGES) } else { self.inner.min(FIRST) }
    }

    /// out = terms(settings of the channel, x) over the whole blob, in pieces that may cut runs; no moments are needed first.
    pub fn map<const P: usize>(
        self,
        x: &[f32],
        out: &mut [f32],
        settings: [&[f32]; P],
        terms: impl Terms<P, 1>,
    ) {
        assert!(x.len() == out.len() && settings.iter().all(|of_all| of_all.len() == self.channels));
        if self.inner == 1 {
            return columns::apply(self.channels, settings, [x], out, terms);
        }
        for_chunks_mut(out, CHUNK, |start, out| {
            Isa::best().run(Map { dims: self, start, x: &x[start..][..out.len()], out, settings, terms });
        });
    }
}

/// The loop of [`Channels::map`], from value number `start` of the blob on.
struct Map<'a, T, const P: usize> {
    dims: Channels,
    start: usize,
    x: &'a [f32],
    out: &'a mut [f32],
    settings: [&'a [f32]; P],
    terms: T,
}

impl<T: Terms<P, 1>, const P: usize> Job for Map<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { dims: Channels { channels, inner, .. }, start, mut x, mut out, settings, terms } = self;
        let (mut c, mut len) = (start / inner % channels, inner - start % inner);
        while !out.is_empty() {
            let (run, to);
            len = len.min(out.len());
            ((run, x), (to, out)) = (x.split_at(len), out.split_at_mut(len));
            let mut of_channel = [simd.splat(0.0); P];
            for (setting, of_all) in of_channel.iter_mut().zip(settings) {
                *setting = simd.splat(of_all[c]);
            }
            store_terms(simd, of_channel, [run], to, (AHEAD, None), terms);
            (c, len) = (if c + 1 == channels { 0 } else { c + 1 }, inner);
        }
    }
}

struct Apply<'a, T, const P: usize, const B: usize> {
    dims: Channels,
    first: usize,
    out: MatMut<'a>,
    blobs: [&'a [f32]; B],
    settings: [&'a [f32]; P],
    terms: T,
}

impl<T: Terms<P, B>, const P: usize, const B: usize> Job for Apply<'_, T, P, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (inner, width) = (self.dims.inner, self.out.cols());
        let ahead = self.dims.images_ahead::<B>(&(self.first..self.first + width / inner));
        for n in (0..self.dims.images).rev() {
            let (start, out) = (self.dims.run(n, self.first).start, self.out.row(n));
            let mut blobs = self.blobs;
            for blob in &mut blobs {
                *blob = &blob[start..][..width];
            }
            let next = (n < ahead).then_some(width);
            for (i, out) in out.chunks_exact_mut(inner).enumerate() {
                let settings = splat(simd, self.settings, i);
                let mut runs = blobs;
                for run in &mut runs {
                    *run = &run[i * inner..][..inner];
                }
                store_terms(simd, settings, runs, out, (AHEAD, next), self.terms);
            }
        }
    }
}

/// The settings of channel `i` of a stretch.
#[inline(always)]
fn splat<S: Simd, const P: usize>(simd: S, settings: [&[f32]; P], i: usize) -> [S::V; P] {
    let mut registers = [simd.splat(0.0); P];
    for (register, of_all) in registers.iter_mut().zip(settings) {
        *register = simd.splat(of_all[i]);
    }
    registers
}

/// Calls `keep(own, sums)` for each channel of a stretch.
fn hand_out<T, const N: usize>(totals: &[[f64; STRETCH]; N], own: &mut [T], keep: impl Fn(&mut T, [f64; N])) {
    for (i, own) in own.iter_mut().enumerate() {
        keep(own, array::from_fn(|k| totals[k][i]));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernels::norm::Plain;

    /// Shapes that meet every path.
    pub const SHAPES: [(usize, usize, usize); 10] = [
        (1, 1, 1),
        (3, 70, 1),
        (2, 3, 5),
        (7, 1, 1),
        (1, 5, 3000),
        (2, 200, 129),
        (3, 1, 40_000),
        (0, 3, 2),
        (2, 3, 0),
        (300, 130, 1),
    ];

    /// s * a - b.
    #[derive(Clone, Copy)]
    struct Less;

    impl Terms<1, 2> for Less {
        #[inline(always)]
        fn of<S: Simd>(self, simd: S, [s]: [S::V; 1], [a, b]: [S::V; 2]) -> S::V {
            simd.fma(s, a, simd.mul(b, simd.splat(-1.0)))
        }
    }

    /// The same, and a.
    #[derive(Clone, Copy)]
    struct Both;

    impl Sums<1, 2, 2> for Both {
        #[inline(always)]
        fn add<S: Simd>(self, simd: S, settings: [S::V; 1], values: [S::V; 2], sums: [S::V; 2]) -> [S::V; 2] {
            [simd.add(sums[0], Less.of(simd, settings, values)), simd.add(sums[1], values[0])]
        }
    }

    /// s + t + a.
    #[derive(Clone, Copy)]
    struct All;

    impl Terms<2, 1> for All {
        #[inline(always)]
        fn of<S: Simd>(self, simd: S, [s, t]: [S::V; 2], [a]: [S::V; 1]) -> S::V {
            simd.add(simd.add(s, t), a)
        }
    }

    #[test]
    fn loops_find_each_value_and_its_channel() {
        for (images, channels, inner) in SHAPES {
            let dims = Channels { images, channels, inner };
            let n = dims.count();
            let channel = |i: usize| i / inner % channels;
            let a: Vec<f32> = (0..n).map(|i| (i % 17) as f32).collect();
            let b: Vec<f32> = (0..n).map(|i| (i % 5) as f32).collect();
            let numbers: Vec<f32> = (0..channels).map(|c| c as f32).collect();
            let want: Vec<f32> = (0..n).map(|i| channel(i) as f32 * a[i] - b[i]).collect();
            let mut out = vec![f32::NAN; n];
            let mut sums = vec![[f64::NAN; 2]; channels];
            dims.for_stretches(Some(&mut out), &mut sums, |first, out, sums| {
                let settings = [&numbers[first..][..sums.len()]];
                let (mut out, blobs) = (out.unwrap(), [&a[..], &b]);
                let keep = |own: &mut [f64; 2], sums| *own = sums;
                dims.sums((first, sums), blobs, Some(&mut out), settings, (Both, keep));
                dims.apply(first, out, blobs, settings, Less);
                let mut of_first = vec![[f64::NAN]; sums.len()];
                dims.first_sums((first, &mut of_first), [&a], Plain, |own, sum| *own = sum);
                for (c, [of_first]) in (first..).zip(of_first) {
                    let all = (0..images).flat_map(|n| a[dims.run(n, c)].iter());
                    let head: f32 = all.take(dims.first_count()).sum();
                    assert!(images == 0 || of_first == f64::from(head));
                }
            });
            assert_eq!(out, want);
            let mut plain = vec![[0.0; 2]; channels];
            for i in 0..n {
                plain[channel(i)][0] += f64::from(want[i]);
                plain[channel(i)][1] += f64::from(a[i]);
            }
            for (got, want) in sums.iter().flatten().zip(plain.iter().flatten()) {
                assert!((got - want).abs() <= 1e-6 * want.abs().max(1.0), "{got} is not {want} in {dims:?}");
            }
            for isa in Isa::all().filter(|_| inner > 1) {
                let (len, blobs, mut again) = (channels.min(STRETCH), [&a[..], &b], vec![f32::NAN; n]);
                let settings = [&numbers[..len]];
                let mut matrix = MatMut::new(&mut again, images, channels * inner, channels * inner);
                let (stretch, upto, out) = (0..len, inner, None);
                let found = isa.run(Total { dims, stretch, upto, blobs, out, settings, terms: Both });
                for (i, plain) in plain[..len].iter().enumerate() {
                    assert!((0..2).all(|k| (found[k][i] - plain[k]).abs() <= 1e-6 * plain[k].abs().max(1.0)));
                }
                let out = matrix.block(0..images, 0..len * inner);
                isa.run(Apply { dims, first: 0, out, blobs, settings, terms: Less });
                assert!((0..n).all(|i| channel(i) >= len || again[i] == want[i]), "{dims:?}");
            }
            dims.map(&a, &mut out, [&numbers, &numbers], All);
            assert!((0..n).all(|i| out[i] == 2.0 * channel(i) as f32 + a[i]));
        }
    }
}
