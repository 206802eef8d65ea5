//! Local response normalization: y = x * s^-beta, where s = k + scale * the sum of squares over a neighbourhood.
//!
//! dx = dy * s^-beta - 2 scale beta x * the sum over the neighbourhood of r, where r = dy * x * s^(-beta - 1).
//! Backward computes s anew from x: that costs less than to write it and read it back. Sums are taken afresh for
//! each position, since a running window keeps the rounding errors of large values that have left it.

use std::ops::Range;

use super::{
    elementwise::vectorized,
    parallel::{CHUNK, for_chunks_mut, for_parts_mut},
};

/// The largest side of a neighbourhood.
pub const MAX_SIZE: usize = 511;
/// Values in a tile's buffers, which live on the stack.
const TILE: usize = 1024;
/// Channels that are worked on together in backward: those at the ends are computed twice.
const BLOCK: usize = 32;

/// The formula's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    /// Side of the neighbourhood, odd, up to [`MAX_SIZE`].
    pub size: usize,
    /// What the sum of squares is multiplied with.
    pub scale: f32,
    /// What is added.
    pub k: f32,
    /// The power.
    pub beta: f32,
}

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

/// Blobs whose neighbourhoods are squares within a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// Planes, each by itself.
    pub planes: usize,
    /// Rows of a plane.
    pub height: usize,
    /// Columns of a plane.
    pub width: usize,
}

/// s -> (s^-beta, 1 / s).
trait Power: Copy + Sync {
    fn of(self, s: f32) -> (f32, f32);
}

/// beta = 3/4, for normal s > 0: Newton's method for s^-1/4, which needs neither root nor quotient.
#[derive(Clone, Copy)]
struct ThreeQuarters;

impl Power for ThreeQuarters {
    #[inline(always)]
    fn of(self, s: f32) -> (f32, f32) {
        // Within 3.1% at first; each step squares the error and multiplies it by 5/2: 2e-3, 1e-5, then rounding.
        let mut r = f32::from_bits(0x4f58_6000 - (s.to_bits() >> 2));
        for _ in 0..3 {
            let square = r * r;
            r *= 1.25 - 0.25 * (s * square) * square;
        }
        let square = r * r;
        (square * r, square * square)
    }
}

/// beta = 1/2.
#[derive(Clone, Copy)]
struct Half;

impl Power for Half {
    #[inline(always)]
    fn of(self, s: f32) -> (f32, f32) {
        let r = 1.0 / s.sqrt();
        (r, 1.0 / s)
    }
}

/// Any beta.
#[derive(Clone, Copy)]
struct Any(f32);

impl Power for Any {
    #[inline(always)]
    fn of(self, s: f32) -> (f32, f32) {
        (s.powf(-self.0), 1.0 / s)
    }
}

/// Runs the expression with `$power` bound to the power's fastest form.
macro_rules! with_power {
    ($response:expr, |$power:ident| $run:expr) => {
        match $response {
            Response { beta: 0.75, scale, k, .. } if scale >= 0.0 && k >= f32::MIN_POSITIVE => {
                let $power = ThreeQuarters;
                $run
            }
            Response { beta: 0.5, .. } => {
                let $power = Half;
                $run
            }
            Response { beta, .. } => {
                let $power = Any(beta);
                $run
            }
        }
    };
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

/// y, over squares within planes.
pub fn within(dims: Within, response: Response, x: &[f32], y: &mut [f32]) {
    let plane = dims.height * dims.width;
    assert!(x.len() == y.len() && x.len() == dims.planes * plane && response.size <= MAX_SIZE);
    with_power!(response, |power| {
        for_chunks_mut(y, plane * (CHUNK / plane.max(1)).max(1), |start, y| {
            let x = x[start..].chunks_exact(plane);
            for (x, y) in x.zip(y.chunks_exact_mut(plane)) {
                vectorized(
                    #[inline(always)]
                    || {
                        for_boxes(
                            dims,
                            response.size,
                            x,
                            |x| x * x,
                            |at, sums| {
                                let n = sums.len();
                                for (y, (x, sum)) in
                                    y[at..][..n].iter_mut().zip(x[at..][..n].iter().zip(sums))
                                {
                                    *y = x * power.of(response.k + response.scale * sum).0;
                                }
                            },
                        );
                    },
                );
            }
        });
    });
}

/// dx, over squares within planes, given x and dy; `ratios` is scratch as large as x.
pub fn within_backward(
    dims: Within,
    response: Response,
    x: &[f32],
    dy: &[f32],
    ratios: &mut [f32],
    dx: &mut [f32],
) {
    let plane = dims.height * dims.width;
    assert!(x.len() == dims.planes * plane && x.len() == dy.len() && x.len() == dx.len());
    assert!(x.len() == ratios.len() && response.size <= MAX_SIZE);
    let chunk = plane * (CHUNK / plane.max(1)).max(1);
    with_power!(response, |power| {
        for_parts_mut(dx, chunk, ratios, chunk, |part, dx, ratios| {
            let from = x[part * chunk..].chunks_exact(plane).zip(dy[part * chunk..].chunks_exact(plane));
            let to = dx.chunks_exact_mut(plane).zip(ratios.chunks_exact_mut(plane));
            for ((x, dy), (dx, ratios)) in from.zip(to) {
                within_plane_backward(dims, response, power, [x, dy], ratios, dx);
            }
        });
    });
}

fn within_plane_backward(
    dims: Within,
    response: Response,
    power: impl Power,
    [x, dy]: [&[f32]; 2],
    ratios: &mut [f32],
    dx: &mut [f32],
) {
    let slope = 2.0 * response.scale * response.beta;
    vectorized(
        #[inline(always)]
        || {
            for_boxes(
                dims,
                response.size,
                x,
                |x| x * x,
                |at, sums| {
                    let n = sums.len();
                    let (x, dy) = (&x[at..][..n], &dy[at..][..n]);
                    let (dx, ratios) = (&mut dx[at..][..n], &mut ratios[at..][..n]);
                    for i in 0..n {
                        let (power, inverse) = power.of(response.k + response.scale * sums[i]);
                        dx[i] = dy[i] * power;
                        ratios[i] = dy[i] * x[i] * power * inverse;
                    }
                },
            );
            for_boxes(
                dims,
                response.size,
                ratios,
                |r| r,
                |at, sums| {
                    let dx = dx[at..][..sums.len()].iter_mut();
                    dx.zip(x[at..].iter().zip(sums)).for_each(|(dx, (x, sum))| *dx -= slope * x * sum);
                },
            );
        },
    );
}

/// Calls `f(start, sums)` for tiles of a plane's rows: the sum of value(x) over the square around each element.
#[inline(always)]
fn for_boxes(
    dims: Within,
    size: usize,
    x: &[f32],
    value: impl Fn(f32) -> f32,
    mut f: impl FnMut(usize, &[f32]),
) {
    let (width, half) = (dims.width, size / 2);
    // Sums of columns, with zeros for what lies beside the plane; then sums along the row.
    let (mut columns, mut sums) = ([0f32; TILE], [0f32; TILE]);
    for row in 0..dims.height {
        let rows = row.saturating_sub(half)..(row + half + 1).min(dims.height);
        for at in (0..width).step_by(TILE - (size - 1)) {
            let n = (TILE - (size - 1)).min(width - at);
            let (from, to) = (at.saturating_sub(half), (at + n + half).min(width));
            let columns = &mut columns[..n + size - 1];
            columns.fill(0.0);
            let inside = &mut columns[from + half - at..][..to - from];
            for r in rows.clone() {
                let x = &x[r * width + from..][..to - from];
                inside.iter_mut().zip(x).for_each(|(sum, &x)| *sum += value(x));
            }
            let sums = &mut sums[..n];
            sums.copy_from_slice(&columns[..n]);
            for k in 1..size {
                sums.iter_mut().zip(&columns[k..]).for_each(|(sum, column)| *sum += column);
            }
            f(row * width + at, sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula in `f64`; `near(i)` gives the neighbourhood of an element.
    fn plain(
        response: Response,
        near: impl Fn(usize) -> Vec<usize>,
        x: &[f32],
        dy: &[f32],
    ) -> (Vec<f64>, Vec<f64>) {
        let Response { scale, k, beta, .. } = response;
        let x: Vec<f64> = x.iter().map(|&v| v.into()).collect();
        let s: Vec<f64> = (0..x.len())
            .map(|i| f64::from(k) + f64::from(scale) * near(i).iter().map(|&j| x[j] * x[j]).sum::<f64>())
            .collect();
        let beta = f64::from(beta);
        let r: Vec<f64> = (0..x.len()).map(|i| f64::from(dy[i]) * x[i] * s[i].powf(-beta - 1.0)).collect();
        let dx = (0..x.len()).map(|i| {
            let sum: f64 = near(i).iter().map(|&j| r[j]).sum();
            f64::from(dy[i]) * s[i].powf(-beta) - 2.0 * f64::from(scale) * beta * x[i] * sum
        });
        ((0..x.len()).map(|i| x[i] * s[i].powf(-beta)).collect(), dx.collect())
    }

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed) % 41) as f32 / 8.0 - 2.5).collect()
    }

    fn assert_close(got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (&g, &w) in got.iter().zip(want) {
            assert!((f64::from(g) - w).abs() <= 2e-6 * w.abs().max(1.0), "{g} is not {w}");
        }
    }

    const BETAS: [f32; 4] = [0.75, 0.5, 1.0, 0.3];

    #[test]
    fn across_equals_the_plain_one() {
        for (channels, inner) in [(1, 1), (3, 5), (70, 7), (9, 1300), (130, 129)] {
            for (size, beta) in [(1, 0.75), (3, 0.5), (5, 0.75), (7, 1.0), (11, 0.3), (301, 0.75)] {
                let dims = Across { images: 2, channels, inner };
                let response = Response { size, scale: 0.3, k: 1.5, beta };
                let n = 2 * channels * inner;
                let (x, dy) = (values(n, 0), values(n, 5));
                let near = |i: usize| {
                    let (image, c, at) = (i / inner / channels, i / inner % channels, i % inner);
                    let window = c.saturating_sub(size / 2)..(c + size / 2 + 1).min(channels);
                    window.map(|c| (image * channels + c) * inner + at).collect()
                };
                let (y, dx) = plain(response, near, &x, &dy);
                let mut got = vec![f32::NAN; n];
                across(dims, response, &x, &mut got);
                assert_close(&got, &y);
                across_backward(dims, response, &x, &dy, &mut got);
                assert_close(&got, &dx);
            }
        }
    }

    #[test]
    fn within_equals_the_plain_one() {
        for (height, width) in [(1, 1), (4, 7), (13, 3), (3, 1100)] {
            for (size, beta) in [1, 3, 5, 9].into_iter().zip(BETAS) {
                let dims = Within { planes: 2, height, width };
                let response = Response { size, scale: 0.2, k: 1.0, beta };
                let n = 2 * height * width;
                let (x, dy) = (values(n, 3), values(n, 8));
                let near = |i: usize| {
                    let (plane, row, column) = (i / width / height, i / width % height, i % width);
                    let rows = row.saturating_sub(size / 2)..(row + size / 2 + 1).min(height);
                    let columns = column.saturating_sub(size / 2)..(column + size / 2 + 1).min(width);
                    rows.flat_map(|r| columns.clone().map(move |c| (plane * height + r) * width + c))
                        .collect()
                };
                let (y, dx) = plain(response, near, &x, &dy);
                let (mut got, mut ratios) = (vec![f32::NAN; n], vec![f32::NAN; n]);
                within(dims, response, &x, &mut got);
                assert_close(&got, &y);
                within_backward(dims, response, &x, &dy, &mut ratios, &mut got);
                assert_close(&got, &dx);
            }
        }
    }

    #[test]
    fn the_power_is_exact_to_rounding() {
        let mut s = 1e-30f32;
        while s < 1e30 {
            let (power, inverse) = ThreeQuarters.of(s);
            assert!((f64::from(power) * f64::from(s).powf(0.75) - 1.0).abs() < 1e-6, "{s}");
            assert!((f64::from(inverse) * f64::from(s) - 1.0).abs() < 1e-6, "{s}");
            s *= 1.01;
        }
    }
}
