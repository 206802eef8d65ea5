//! Neighbourhoods of channels.

use std::ops::Range;

use super::{
    super::{
        parallel::{CHUNK, for_chunks_mut},
        scratch,
        simd::{Asked, Isa, Job, Simd, each},
    },
    Any, Half, MAX_SIZE, Plain, Power, Ratio, Response, Slope, Squares, ThreeQuarters, Value, sum_rows,
};

/// Channels that are worked on together in backward: those at the ends are computed twice.
const BLOCK: usize = 32;

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
    with_power!(response, |power| {
        let planes = (CHUNK / dims.inner.max(1)).max(BLOCK);
        for_chunks_mut(dx, planes * dims.inner, |start, dx| {
            for_images(dims, start, dx, |image, channels, dx| {
                let range = image * dims.channels * dims.inner..(image + 1) * dims.channels * dims.inner;
                let (x, dy) = (&x[range.clone()], &dy[range]);
                let width = width(response);
                scratch::lend((2 * response.size + 1) * width, |scratch| {
                    let (sums, rings) = scratch.split_at_mut(width);
                    let (direct, ratios) = rings.split_at_mut(response.size * width);
                    let rings = Rings { direct, ratios, sums };
                    isa.run(Backward { dims, response, power, channels, x, dy, dx, rings });
                });
            });
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

/// Values of a row of the rings in backward: whole registers, and rings that stay in the first-level cache.
fn width(response: Response) -> usize {
    (4 * TILE / response.size / 16 * 16).clamp(16, TILE / 2)
}

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

/// Some channels of an image, backward. What a neighbourhood needs is kept in rings of its size.
struct Backward<'a, P> {
    dims: Across,
    response: Response,
    power: P,
    channels: Range<usize>,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    rings: Rings<'a>,
}

/// Tiles of the last channels, those of channel c in row c % size; and one of sums.
struct Rings<'a> {
    /// dy * s^-beta.
    direct: &'a mut [f32],
    ratios: &'a mut [f32],
    sums: &'a mut [f32],
}

impl<P: Power> Job for Backward<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let half = self.response.size / 2;
        let (first, end) = (self.channels.start.saturating_sub(half), self.channels.end + half);
        let end = end.min(self.dims.channels);
        for at in (0..self.dims.inner).step_by(width(self.response)) {
            for j in first..end + half {
                if j < end {
                    match near(self.dims, self.response, j).len() {
                        3 => self.ratios::<S, 5>(simd, j, at),
                        4 => self.ratios::<S, 6>(simd, j, at),
                        5 => self.ratios::<S, 7>(simd, j, at),
                        _ => self.ratios_of_many(simd, j, at),
                    }
                }
                // The neighbourhood of this channel has just become complete.
                if let Some(c) = j.checked_sub(half).filter(|c| self.channels.contains(c)) {
                    match near(self.dims, self.response, c).len() {
                        3 => self.gradient::<S, 5>(simd, c, at),
                        4 => self.gradient::<S, 6>(simd, c, at),
                        5 => self.gradient::<S, 7>(simd, c, at),
                        _ => self.gradient_of_many(simd, c, at),
                    }
                }
            }
        }
    }
}

impl<P: Power> Backward<'_, P> {
    /// Values of the tile from column `at` on.
    #[inline(always)]
    fn tile(&self, at: usize) -> usize {
        width(self.response).min(self.dims.inner - at)
    }

    /// Where the tile of channel `c` lies in the rings.
    #[inline(always)]
    fn ring(&self, c: usize, at: usize) -> Range<usize> {
        let start = c % self.response.size * width(self.response);
        start..start + self.tile(at)
    }

    /// The rings' tile of channel `j`; `N` is the number of its neighbours and 2.
    #[inline(always)]
    fn ratios<S: Simd, const N: usize>(&mut self, simd: S, j: usize, at: usize) {
        let (inner, first) = (self.dims.inner, near(self.dims, self.response, j).start);
        let mut rows = [&self.x[j * inner + at..]; N];
        for (i, row) in rows.iter_mut().enumerate().take(N - 2) {
            *row = &self.x[(first + i) * inner + at..];
        }
        rows[N - 1] = &self.dy[j * inner + at..];
        let (ring, asked) = (self.ring(j, at), self.next(j, at));
        let outs = [&mut self.rings.direct[ring.clone()], &mut self.rings.ratios[ring]];
        each(simd, rows, outs, asked, Ratio { response: self.response, power: self.power, near: Squares });
    }

    /// As [`Self::ratios`], with any number of neighbours.
    #[inline(always)]
    fn ratios_of_many<S: Simd>(&mut self, simd: S, j: usize, at: usize) {
        let (inner, ring, asked) = (self.dims.inner, self.ring(j, at), self.next(j, at));
        let sums = &mut self.rings.sums[..ring.len()];
        let rows = near(self.dims, self.response, j).map(|c| &self.x[c * inner + at..]);
        sum_rows::<S, true>(simd, rows, sums);
        let rows = [sums, &self.x[j * inner + at..], &self.dy[j * inner + at..]];
        let outs = [&mut self.rings.direct[ring.clone()], &mut self.rings.ratios[ring]];
        each(simd, rows, outs, asked, Ratio { response: self.response, power: self.power, near: Plain });
    }

    /// What the channel after `j` reads for the first time.
    #[inline(always)]
    fn next(&self, j: usize, at: usize) -> Asked<2, 0> {
        let (inner, half) = (self.dims.inner, self.response.size / 2);
        let x = self.x.as_ptr().wrapping_add((j + half + 1) * inner + at);
        Asked { reads: [x, self.dy.as_ptr().wrapping_add((j + 1) * inner + at)], writes: [] }
    }

    /// A tile of channel `c`; `N` is the number of its neighbours and 2.
    #[inline(always)]
    fn gradient<S: Simd, const N: usize>(&mut self, simd: S, c: usize, at: usize) {
        let first = near(self.dims, self.response, c).start;
        let mut rows = [&self.x[c * self.dims.inner + at..]; N];
        let (tile, size) = (self.tile(at), self.response.size);
        let mut place = first % size;
        for row in rows.iter_mut().take(N - 2) {
            *row = &self.rings.ratios[place * width(self.response)..][..tile];
            place = if place + 1 < size { place + 1 } else { 0 };
        }
        rows[N - 1] = &self.rings.direct[self.ring(c, at)];
        let (to, asked) = self.to(c, at);
        each(simd, rows, [&mut self.dx[to]], asked, Slope::of(self.response, Plain));
    }

    /// As [`Self::gradient`], with any number of neighbours.
    #[inline(always)]
    fn gradient_of_many<S: Simd>(&mut self, simd: S, c: usize, at: usize) {
        let (n, (to, asked)) = (self.tile(at), self.to(c, at));
        let (size, width) = (self.response.size, width(self.response));
        let Rings { direct, ratios, sums } = &mut self.rings;
        let (ratios, sums) = (&ratios[..], &mut sums[..n]);
        let rows = near(self.dims, self.response, c).map(|c| &ratios[c % size * width..]);
        sum_rows::<S, false>(simd, rows, sums);
        let rows = [sums, &self.x[c * self.dims.inner + at..], &direct[c % size * width..]];
        each(simd, rows, [&mut self.dx[to]], asked, Slope::of(self.response, Plain));
    }

    /// Where the tile of channel `c` is written; what the next writes is asked for.
    #[inline(always)]
    fn to(&self, c: usize, at: usize) -> (Range<usize>, Asked<0, 1>) {
        let start = (c - self.channels.start) * self.dims.inner + at;
        let next = self.dx.as_ptr().wrapping_add(start + self.dims.inner);
        (start..start + self.tile(at), Asked { reads: [], writes: [next] })
    }
}
