//! Neighbourhoods of channels.

use std::ops::Range;

use super::{
    super::{
        elementwise::vectorized,
        parallel::{CHUNK, for_chunks_mut},
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
    assert!(x.len() == y.len() && x.len() == dims.images * dims.channels * dims.inner);
    assert!(response.size <= MAX_SIZE);
    with_power!(response, |power| {
        let planes = (CHUNK / dims.inner.max(1)).max(1);
        for_chunks_mut(y, planes * dims.inner, |start, y| {
            for_images(dims, start, y, |image, channels, y| {
                let x = &x[image * dims.channels * dims.inner..][..dims.channels * dims.inner];
                across_block(dims, response, power, channels, x, y);
            });
        });
    });
}

/// dx, over channels, given x and dy.
pub fn across_backward(dims: Across, response: Response, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert!(x.len() == dx.len() && dy.len() == dx.len());
    assert!(x.len() == dims.images * dims.channels * dims.inner && response.size <= MAX_SIZE);
    with_power!(response, |power| {
        let planes = (CHUNK / dims.inner.max(1)).max(BLOCK);
        for_chunks_mut(dx, planes * dims.inner, |start, dx| {
            for_images(dims, start, dx, |image, channels, dx| {
                let range = image * dims.channels * dims.inner..(image + 1) * dims.channels * dims.inner;
                across_block_backward(dims, response, power, channels, [&x[range.clone()], &dy[range]], dx);
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

/// Some channels of an image.
fn across_block(
    dims: Across,
    response: Response,
    power: impl Power,
    channels: Range<usize>,
    x: &[f32],
    y: &mut [f32],
) {
    let (inner, half) = (dims.inner, response.size / 2);
    vectorized(
        #[inline(always)]
        || {
            let mut sums = [0f32; TILE];
            for at in (0..inner).step_by(TILE) {
                let n = TILE.min(inner - at);
                for c in channels.clone() {
                    let window = c.saturating_sub(half)..(c + half + 1).min(dims.channels);
                    squares(window, inner, &x[at..], &mut sums[..n]);
                    let x = &x[c * inner + at..][..n];
                    let y = &mut y[(c - channels.start) * inner + at..][..n];
                    for (y, (x, sum)) in y.iter_mut().zip(x.iter().zip(&sums[..n])) {
                        *y = x * power.of(response.k + response.scale * sum).0;
                    }
                }
            }
        },
    );
}

/// sums = the sum of squares of these rows of `x`, which begin `stride` apart.
#[inline(always)]
fn squares(rows: Range<usize>, stride: usize, x: &[f32], sums: &mut [f32]) {
    let x = &x[rows.start * stride..];
    match rows.len() {
        1 => fused_squares::<1>(stride, x, sums),
        2 => fused_squares::<2>(stride, x, sums),
        3 => fused_squares::<3>(stride, x, sums),
        4 => fused_squares::<4>(stride, x, sums),
        rows => {
            fused_squares::<5>(stride, x, sums);
            for r in 5..rows {
                sums.iter_mut().zip(&x[r * stride..]).for_each(|(sum, x)| *sum += x * x);
            }
        }
    }
}

#[inline(always)]
fn fused_squares<const N: usize>(stride: usize, x: &[f32], sums: &mut [f32]) {
    let n = sums.len();
    let rows: [&[f32]; N] = std::array::from_fn(
        #[inline(always)]
        |r| &x[r * stride..][..n],
    );
    for i in 0..n {
        let mut sum = rows[0][i] * rows[0][i];
        for row in &rows[1..] {
            sum += row[i] * row[i];
        }
        sums[i] = sum;
    }
}

/// Some channels of an image, backward. The powers and r of a neighbourhood are kept in rings of its size.
fn across_block_backward(
    dims: Across,
    response: Response,
    power: impl Power,
    channels: Range<usize>,
    [x, dy]: [&[f32]; 2],
    dx: &mut [f32],
) {
    let (inner, size, half) = (dims.inner, response.size, response.size / 2);
    let slope = 2.0 * response.scale * response.beta;
    let width = (4 * TILE / size).min(TILE / 4);
    vectorized(
        #[inline(always)]
        || {
            let (mut powers, mut ratios) = ([0f32; 4 * TILE], [0f32; 4 * TILE]);
            let mut sums = [0f32; TILE / 4];
            for at in (0..inner).step_by(width) {
                let n = width.min(inner - at);
                let near = channels.start.saturating_sub(half)..(channels.end + half).min(dims.channels);
                for j in near.start..near.end + half {
                    if j < near.end {
                        let window = j.saturating_sub(half)..(j + half + 1).min(dims.channels);
                        squares(window, inner, &x[at..], &mut sums[..n]);
                        let ring = j % size * width;
                        let (p, r) = (&mut powers[ring..][..n], &mut ratios[ring..][..n]);
                        let (x, dy) = (&x[j * inner + at..][..n], &dy[j * inner + at..][..n]);
                        let sums = &sums[..n];
                        for i in 0..n {
                            let (power, inverse) = power.of(response.k + response.scale * sums[i]);
                            p[i] = power;
                            r[i] = dy[i] * x[i] * power * inverse;
                        }
                    }
                    // The neighbourhood of this channel has just become complete.
                    let Some(c) = j.checked_sub(half).filter(|c| channels.contains(c)) else { continue };
                    let sums = &mut sums[..n];
                    sums.fill(0.0);
                    for j in c.saturating_sub(half)..(c + half + 1).min(dims.channels) {
                        let r = &ratios[j % size * width..][..n];
                        sums.iter_mut().zip(r).for_each(|(sum, r)| *sum += r);
                    }
                    let p = &powers[c % size * width..][..n];
                    let (x, dy) = (&x[c * inner + at..][..n], &dy[c * inner + at..][..n]);
                    let dx = &mut dx[(c - channels.start) * inner + at..][..n];
                    for i in 0..n {
                        dx[i] = dy[i] * p[i] - slope * x[i] * sums[i];
                    }
                }
            }
        },
    );
}
