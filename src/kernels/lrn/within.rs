//! Neighbourhoods of squares in a plane.

use super::{
    super::{
        elementwise::vectorized,
        parallel::{CHUNK, for_chunks_mut, for_parts_mut},
    },
    Any, Half, MAX_SIZE, Power, Response, TILE, ThreeQuarters,
};

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
