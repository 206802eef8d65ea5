//! Neighbourhoods of channels.

use std::ops::Range;

use super::{
    super::{
        gemm::scratch,
        parallel::{CHUNK, for_chunks_mut},
        simd::{Isa, Job, Simd},
    },
    Any, Half, MAX_SIZE, Power, Response, TILE, ThreeQuarters,
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
                scratch::lend(2 * response.size * width(response), |scratch| {
                    let (powers, ratios) = scratch.split_at_mut(scratch.len() / 2);
                    let rings = Rings { powers, ratios };
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

/// Values of a row of the rings in backward: whole registers, and rings that stay in the first-level cache.
fn width(response: Response) -> usize {
    (4 * TILE / response.size / 16 * 16).clamp(16, TILE / 4)
}

/// The channels near channel `c`.
#[inline(always)]
fn near(dims: Across, response: Response, c: usize) -> Range<usize> {
    c.saturating_sub(response.size / 2)..(c + response.size / 2 + 1).min(dims.channels)
}

/// Rows of an image near each other, from a column on.
#[derive(Clone, Copy)]
struct Rows<'a> {
    /// From the first row's first value on.
    values: &'a [f32],
    /// Distance between rows.
    stride: usize,
    count: usize,
}

impl<'a> Rows<'a> {
    /// These rows of `x`, from column `at` on.
    #[inline(always)]
    fn new(x: &'a [f32], stride: usize, rows: Range<usize>, at: usize) -> Self {
        Self { values: &x[rows.start * stride + at..], stride, count: rows.len() }
    }

    /// The sum of a register of each, `i` columns further, or of their squares; `N` is how many there are, if they are not 0.
    #[inline(always)]
    fn sum<S: Simd, const N: usize, const SQUARES: bool>(self, simd: S, i: usize) -> S::V {
        let mut sum = simd.splat(0.0);
        for r in 0..if N == 0 { self.count } else { N } {
            let v = simd.read_first(&self.values[r * self.stride + i..]);
            sum = if SQUARES { simd.fma(v, v, sum) } else { simd.add(sum, v) };
        }
        sum
    }
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
        for at in (0..self.dims.inner).step_by(TILE) {
            for c in self.channels.clone() {
                match near(self.dims, self.response, c).len() {
                    1 => self.channel::<S, 1>(simd, c, at),
                    2 => self.channel::<S, 2>(simd, c, at),
                    3 => self.channel::<S, 3>(simd, c, at),
                    4 => self.channel::<S, 4>(simd, c, at),
                    5 => self.channel::<S, 5>(simd, c, at),
                    _ => self.channel::<S, 0>(simd, c, at),
                }
            }
        }
    }
}

impl<P: Power> Normalize<'_, P> {
    /// A tile of a channel, from column `at` on, which has `N` neighbours.
    #[inline(always)]
    fn channel<S: Simd, const N: usize>(&mut self, simd: S, c: usize, at: usize) {
        let (inner, Response { size, scale, k, .. }) = (self.dims.inner, self.response);
        let rows = Rows::new(self.x, inner, near(self.dims, self.response, c), at);
        let x = &self.x[c * inner + at..];
        let y = &mut self.y[(c - self.channels.start) * inner + at..];
        let (scale, k, n) = (simd.splat(scale), simd.splat(k), TILE.min(inner - at));
        for i in (0..n).step_by(S::LANES) {
            // What the next channel reads for the first time, and what it writes.
            simd.prefetch(x.as_ptr().wrapping_add((size / 2 + 1) * inner + i));
            simd.prefetch_to_write(y.as_ptr().wrapping_add(inner + i));
            let s = simd.fma(scale, rows.sum::<S, N, true>(simd, i), k);
            let v = simd.mul(simd.read_first(&x[i..]), self.power.of(simd, s).0);
            simd.write_first(&mut y[i..n.min(i + S::LANES)], v);
        }
    }
}

/// Some channels of an image, backward. The powers and ratios of a neighbourhood are kept in rings of its size.
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

impl<P: Power> Job for Backward<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (size, half) = (self.response.size, self.response.size / 2);
        let (first, end) = (self.channels.start.saturating_sub(half), self.channels.end + half);
        let end = end.min(self.dims.channels);
        for at in (0..self.dims.inner).step_by(width(self.response)) {
            for j in first..end + half {
                if j < end {
                    match near(self.dims, self.response, j).len() {
                        1 => self.ratios::<S, 1>(simd, j, at),
                        2 => self.ratios::<S, 2>(simd, j, at),
                        3 => self.ratios::<S, 3>(simd, j, at),
                        4 => self.ratios::<S, 4>(simd, j, at),
                        5 => self.ratios::<S, 5>(simd, j, at),
                        _ => self.ratios::<S, 0>(simd, j, at),
                    }
                }
                // The neighbourhood of this channel has just become complete.
                if let Some(c) = j.checked_sub(half).filter(|c| self.channels.contains(c)) {
                    match size {
                        3 => self.gradient::<S, 3>(simd, c, at),
                        5 => self.gradient::<S, 5>(simd, c, at),
                        _ => self.gradient::<S, 0>(simd, c, at),
                    }
                }
            }
        }
    }
}

/// Powers and ratios of tiles of the last channels, those of channel c in row c % size.
struct Rings<'a> {
    powers: &'a mut [f32],
    ratios: &'a mut [f32],
}

impl<P: Power> Backward<'_, P> {
    /// Powers and ratios of a tile of channel `j`, which has `N` neighbours.
    #[inline(always)]
    fn ratios<S: Simd, const N: usize>(&mut self, simd: S, j: usize, at: usize) {
        let (inner, Response { size, scale, k, .. }) = (self.dims.inner, self.response);
        let rows = Rows::new(self.x, inner, near(self.dims, self.response, j), at);
        let (x, dy) = (&self.x[j * inner + at..], &self.dy[j * inner + at..]);
        let (scale, k, width) = (simd.splat(scale), simd.splat(k), width(self.response));
        let ring = j % size * width..(j % size + 1) * width;
        let (powers, ratios) = (&mut self.rings.powers[ring.clone()], &mut self.rings.ratios[ring]);
        for i in (0..width.min(inner - at)).step_by(S::LANES) {
            // What the next channel reads for the first time.
            simd.prefetch(x.as_ptr().wrapping_add((size / 2 + 1) * inner + i));
            simd.prefetch(dy.as_ptr().wrapping_add(inner + i));
            let s = simd.fma(scale, rows.sum::<S, N, true>(simd, i), k);
            let (power, inverse) = self.power.of(simd, s);
            let product = simd.mul(simd.read_first(&dy[i..]), simd.read_first(&x[i..]));
            simd.write_first(&mut powers[i..], power);
            simd.write_first(&mut ratios[i..], simd.mul(simd.mul(product, power), inverse));
        }
    }

    /// A tile of channel `c`; `N` is the size of neighbourhoods, if they are whole.
    #[inline(always)]
    fn gradient<S: Simd, const N: usize>(&mut self, simd: S, c: usize, at: usize) {
        let (inner, Response { size, scale, beta, .. }) = (self.dims.inner, self.response);
        let (x, dy) = (&self.x[c * inner + at..], &self.dy[c * inner + at..]);
        let dx = &mut self.dx[(c - self.channels.start) * inner + at..];
        let (slope, width) = (simd.splat(-2.0 * scale * beta), width(self.response));
        let (powers, ratios) = (&self.rings.powers[c % size * width..], &*self.rings.ratios);
        let n = width.min(inner - at);
        let around = near(self.dims, self.response, c);
        for i in (0..n).step_by(S::LANES) {
            simd.prefetch_to_write(dx.as_ptr().wrapping_add(inner + i));
            let mut sum = simd.splat(0.0);
            if N > 0 && around.len() == N {
                // Whole rings in their own order.
                for r in 0..N {
                    sum = simd.add(sum, simd.read(&ratios[r * width + i..]));
                }
            } else {
                for j in around.clone() {
                    sum = simd.add(sum, simd.read(&ratios[j % size * width + i..]));
                }
            }
            let direct = simd.mul(simd.read_first(&dy[i..]), simd.read(&powers[i..]));
            let dx_here = simd.fma(simd.mul(slope, simd.read_first(&x[i..])), sum, direct);
            simd.write_first(&mut dx[i..n.min(i + S::LANES)], dx_here);
        }
    }
}
