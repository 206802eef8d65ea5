//! Neighbourhoods of channels.
//!
//! Sum, power and product are one pass over registers, which asks for what comes next; short channels whose neighbours
//! lie alike are one row of it. Backward likewise: the ratios of a channel complete the gradient of the first of its
//! neighbours, and those of the others wait in the first-level cache.

use std::{array, ops::Range};

use super::{
    super::{
        parallel::{CHUNK, for_chunks_mut, for_column_blocks, for_row_blocks},
        scratch,
        simd::{Asked, Each, Isa, Job, MatMut, Simd, each},
    },
    Any, Half, MAX_SIZE, Plain, Power, Ratio, Response, Slope, Squares, ThreeQuarters, Value, sum, sum_rows,
};

/// The most channels that are worked on together in backward: those at the ends are computed twice.
const BLOCK: usize = 128;

/// Blobs whose neighbourhoods are channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Across {
    /// Images, each by itself.
    pub images: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Values of a channel.
    pub inner: usize,
}

/// y, over channels.
pub fn across(dims: Across, response: Response, x: &[f32], y: &mut [f32]) {
    across_on(Isa::best(), dims, response, x, y);
}

/// [`across`] by one instruction set.
pub(super) fn across_on(isa: Isa, dims: Across, response: Response, x: &[f32], y: &mut [f32]) {
    assert!(x.len() == y.len() && x.len() == dims.images * dims.channels * dims.inner);
    assert!(response.size <= MAX_SIZE);
    with_power!(response, |power| {
        let planes = (CHUNK / dims.inner.max(1)).max(1);
        for_chunks_mut(y, planes * dims.inner, |start, y| {
            for_images(dims, start, y, |image, channels, y| {
                let x = &x[image * dims.channels * dims.inner..][..dims.channels * dims.inner];
                isa.run(Normalize { dims, response, power, channels, x, y });
            });
        });
    });
}

/// dx, over channels, given x and dy.
pub fn across_backward(dims: Across, response: Response, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    across_backward_on(Isa::best(), dims, response, [x, dy], dx);
}

/// [`across_backward`] by one instruction set.
pub(super) fn across_backward_on(
    isa: Isa,
    dims: Across,
    response: Response,
    [x, dy]: [&[f32]; 2],
    dx: &mut [f32],
) {
    assert!(x.len() == dx.len() && dy.len() == dx.len());
    assert!(x.len() == dims.images * dims.channels * dims.inner && response.size <= MAX_SIZE);
    let Across { channels, inner, .. } = dims;
    let image = channels * inner;
    // Equal blocks.
    let parts = |n: usize, most: usize| n.div_ceil(n.div_ceil(most).max(1)).max(1);
    let height = parts(channels, BLOCK);
    let width = parts(inner, (4 * TILE / response.size).clamp(16, TILE / 2)).next_multiple_of(16);
    with_power!(response, |power| {
        for_chunks_mut(dx, (CHUNK / image.max(1)).max(1) * image, |start, dx| {
            for (i, dx) in dx.chunks_exact_mut(image).enumerate() {
                let [x, dy] = [x, dy].map(|blob| &blob[start + i * image..][..image]);
                for_column_blocks(MatMut::new(dx, channels, inner, inner), width, &|at, dx| {
                    for_row_blocks(dx, height, &|first, dx| {
                        scratch::lend(scratch_rows(response) * width, |scratch| {
                            isa.run(Backward { dims, response, power, x, dy, first, at, dx, scratch });
                        });
                    });
                });
            }
        });
    });
}

/// Cuts whole planes from `start` on by images: calls `f(image, channels, part)`.
fn for_images(dims: Across, start: usize, mut out: &mut [f32], f: impl Fn(usize, Range<usize>, &mut [f32])) {
    let mut plane = start / dims.inner;
    while !out.is_empty() {
        let (image, channel) = (plane / dims.channels, plane % dims.channels);
        let count = (dims.channels - channel).min(out.len() / dims.inner);
        let (part, rest) = out.split_at_mut(count * dims.inner);
        f(image, channel..channel + count, part);
        (plane, out) = (plane + count, rest);
    }
}

/// Values of a tile in forward.
const TILE: usize = 1024;

/// The channels near channel `c`.
#[inline(always)]
fn near(dims: Across, response: Response, c: usize) -> Range<usize> {
    c.saturating_sub(response.size / 2)..(c + response.size / 2 + 1).min(dims.channels)
}

/// Some channels of an image.
struct Normalize<'a, P> {
    dims: Across,
    response: Response,
    power: P,
    channels: Range<usize>,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl<P: Power> Job for Normalize<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let inner = self.dims.inner;
        for at in (0..inner).step_by(TILE) {
            let (mut c, n) = (self.channels.start, TILE.min(inner - at));
            while c < self.channels.end {
                // Short channels whose neighbours lie alike are one row.
                let near = |c| near(self.dims, self.response, c);
                let alike = |d: &usize| near(c + d) == (near(c).start + d..near(c).end + d);
                let count = match near(c).len() {
                    3..=5 if n == inner => (c..self.channels.end).map(|i| i - c).take_while(alike).count(),
                    _ => 1,
                };
                match near(c).len() {
                    3 => self.channels::<S, 4>(simd, c, at, count * n),
                    4 => self.channels::<S, 5>(simd, c, at, count * n),
                    5 => self.channels::<S, 6>(simd, c, at, count * n),
                    _ => self.channel_of_many(simd, c, at),
                }
                c += count;
            }
        }
    }
}

impl<P: Power> Normalize<'_, P> {
    /// `n` values from column `at` of a channel on; `N` is the number of its neighbours and 1.
    #[inline(always)]
    fn channels<S: Simd, const N: usize>(&mut self, simd: S, c: usize, at: usize, n: usize) {
        let (inner, first) = (self.dims.inner, near(self.dims, self.response, c).start);
        let mut rows = [&self.x[c * inner + at..]; N];
        for (i, row) in rows.iter_mut().enumerate().take(N - 1) {
            *row = &self.x[(first + i) * inner + at..];
        }
        let value = Value { response: self.response, power: self.power, near: Squares };
        let asked = self.next(c, at);
        each(simd, rows, [self.tile(c, at, n)], asked, value);
    }

    /// A tile of a channel with any number of neighbours.
    #[inline(always)]
    fn channel_of_many<S: Simd>(&mut self, simd: S, c: usize, at: usize) {
        let (inner, mut sums) = (self.dims.inner, [0.0; TILE]);
        let n = TILE.min(inner - at);
        let sums = &mut sums[..n];
        let rows = near(self.dims, self.response, c).map(|c| &self.x[c * inner + at..]);
        sum_rows::<S, true>(simd, rows, sums);
        let value = Value { response: self.response, power: self.power, near: Plain };
        let (x, asked) = (&self.x[c * inner + at..], self.next(c, at));
        each(simd, [sums, x], [self.tile(c, at, n)], asked, value);
    }

    /// What the next channel, or values so far away that they come in time, read for the first time and write.
    #[inline(always)]
    fn next(&self, c: usize, at: usize) -> Asked<1, 1> {
        let (inner, half) = (self.dims.inner, self.response.size / 2);
        let (x, y) = ((c + half) * inner, (c - self.channels.start) * inner);
        let ahead = at + inner.max(TILE / 2);
        Asked {
            reads: [self.x.as_ptr().wrapping_add(x + ahead)],
            writes: [self.y.as_ptr().wrapping_add(y + ahead)],
        }
    }

    /// `n` values of y.
    #[inline(always)]
    fn tile(&mut self, c: usize, at: usize, n: usize) -> &mut [f32] {
        &mut self.y[(c - self.channels.start) * self.dims.inner + at..][..n]
    }
}

/// Some channels and columns of an image, backward. What neighbourhoods need is kept in rings: the ratios of as many channels as they
/// have, and dy * s^-beta of those from the middle on.
struct Backward<'a, P> {
    dims: Across,
    response: Response,
    power: P,
    /// The image.
    x: &'a [f32],
    dy: &'a [f32],
    /// The first channel and column of dx.
    first: usize,
    at: usize,
    dx: MatMut<'a>,
    /// [`scratch_rows`] of whole registers.
    scratch: &'a mut [f32],
}

/// Rows of scratch in backward: the rings, zeros or sums, ones, and what becomes dx.
fn scratch_rows(response: Response) -> usize {
    response.size + (response.size / 2 + 1) + 3
}

impl<P: Power> Job for Backward<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.response.size {
            3 => self.channels::<S, 3, 2, 7>(simd),
            5 => self.channels::<S, 5, 3, 11>(simd),
            _ => self.channels_of_many(simd),
        }
    }
}

impl<'a, P: Power> Backward<'a, P> {
    /// With each channel's ratios dx of the first of its neighbours, which they complete. `SIZE` is the number of neighbours, `D` that of
    /// those from the middle on, and `N` is 2 `SIZE` + 1.
    #[inline(always)]
    fn channels<S: Simd, const SIZE: usize, const D: usize, const N: usize>(mut self, simd: S) {
        let (len, inner, before) = (self.dx.cols(), self.dims.inner, SIZE - 1);
        let mut rows = self.scratch.chunks_exact_mut(self.scratch.len() / scratch_rows(self.response));
        let mut row = || &mut rows.next().expect("as many rows as were asked for")[..len];
        let (zeros, ones, none) = (row(), row(), row());
        zeros.fill(0.0);
        ones.fill(1.0);
        let mut ratios: [_; SIZE] = array::from_fn(|_| row());
        let mut direct: [_; D] = array::from_fn(|_| row());
        // Channel i - `before`, or zeros where there is none.
        let (channels, zeros, ones) = (self.dims.channels, &*zeros, &*ones);
        let channel = |blob: &'a [f32], i: usize| match i.checked_sub(before) {
            Some(c) if c < channels => &blob[c * inner + self.at..],
            _ => zeros,
        };
        let both = Both::<_, SIZE> { response: self.response, power: self.power };
        for j in 0..before + self.dx.rows() {
            let i = self.first + j;
            ratios.rotate_left(1);
            direct.rotate_left(1);
            let ([old_ratios @ .., ratios], [old_direct, .., direct]) = (&mut ratios[..], &mut direct[..])
            else {
                return;
            };
            let mut rows = [channel(self.dy, i + SIZE / 2); N];
            for (k, row) in rows[..SIZE].iter_mut().enumerate() {
                *row = channel(self.x, i + k);
            }
            // Of a channel that is not there the power must be finite, also where k is 0: its ratio is 0 then.
            if i < SIZE / 2 || i >= channels + SIZE / 2 {
                rows[1..SIZE].fill(ones);
            }
            for (row, old) in rows[SIZE + 1..].iter_mut().zip(&*old_ratios) {
                *row = old;
            }
            rows[N - 1] = old_direct;
            let next = (i + 1) * inner + self.at;
            let reads = [
                self.x.as_ptr().wrapping_add(next),
                self.dy.as_ptr().wrapping_add(next).wrapping_sub(SIZE / 2 * inner),
            ];
            let dx = match j.checked_sub(before) {
                Some(c) => self.dx.row(c),
                None => &mut *none,
            };
            let asked = Asked { reads, writes: [dx.as_ptr().wrapping_add(inner)] };
            each(simd, rows, [dx, direct, ratios], asked, both);
        }
    }

    /// The same of any number of neighbours.
    #[inline(always)]
    fn channels_of_many<S: Simd>(mut self, simd: S) {
        let Self { dims, response, power, first, at, .. } = self;
        let (len, inner, half) = (self.dx.cols(), dims.inner, response.size / 2);
        let width = self.scratch.len() / scratch_rows(response);
        let (sums, rings) = self.scratch.split_at_mut(width);
        let (ratios, direct) = rings.split_at_mut(response.size * width);
        let sums = &mut sums[..len];
        // The place of a channel in a ring.
        let place = |c: usize, size: usize| (c + half - first) % size * width;
        let end = first + self.dx.rows();
        for j in first.saturating_sub(half)..end + half {
            if j < dims.channels {
                let rows = near(dims, response, j).map(|c| &self.x[c * inner + at..]);
                sum_rows::<S, true>(simd, rows, sums);
                let rows = [&*sums, &self.x[j * inner + at..], &self.dy[j * inner + at..]];
                let outs =
                    [&mut direct[place(j, half + 1)..][..len], &mut ratios[place(j, response.size)..][..len]];
                let [x, dy] = [(self.x, j + half + 1), (self.dy, j + 1)]
                    .map(|(blob, c)| blob.as_ptr().wrapping_add(c * inner + at));
                each(
                    simd,
                    rows,
                    outs,
                    Asked { reads: [x, dy], writes: [] },
                    Ratio { response, power, near: Plain },
                );
            }
            if let Some(c) = j.checked_sub(half).filter(|c| (first..end).contains(c)) {
                let rows = near(dims, response, c).map(|c| &ratios[place(c, response.size)..]);
                sum_rows::<S, false>(simd, rows, sums);
                let rows = [&*sums, &self.x[c * inner + at..], &direct[place(c, half + 1)..]];
                let dx = self.dx.row(c - first);
                let asked = Asked { reads: [], writes: [dx.as_ptr().wrapping_add(inner)] };
                each(simd, rows, [dx], asked, Slope::of(response, Plain));
            }
        }
    }
}

/// dx of the first of a channel's neighbours, dy * s^-beta and r, of x of all neighbours, of dy, of r of the other channels before, and
/// of dy * s^-beta of that first.
#[derive(Clone, Copy)]
struct Both<P, const SIZE: usize> {
    response: Response,
    power: P,
}

impl<P: Power, const SIZE: usize, const N: usize> Each<N, 3> for Both<P, SIZE> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, values: [S::V; N]) -> [S::V; 3] {
        let Self { response, power } = self;
        let (x, rest) = values.split_at(SIZE);
        let s = response.of(simd, sum::<S, true>(simd, x));
        let (power, inverse) = power.of(simd, s);
        let direct = simd.mul(rest[0], power);
        let ratio = simd.mul(simd.mul(direct, x[SIZE / 2]), inverse);
        let ratios = simd.add(sum::<S, false>(simd, &rest[1..SIZE]), ratio);
        let factor = simd.splat(-2.0 * response.scale * response.beta);
        [simd.fma(simd.mul(factor, x[0]), ratios, rest[SIZE]), direct, ratio]
    }
}
