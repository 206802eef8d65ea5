//! The largest value of each window, the first of equals, and where it is.

use super::{Axis, Pool, cells, edges, for_rows};
use crate::kernels::{
    elementwise::vectorized,
    parallel::{for_chunks_mut, for_parts_mut},
};

/// y = the largest of each window.
pub fn max(pool: &Pool, x: &[f32], y: &mut [f32]) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(x.len() == pool.planes * inputs && y.len() == pool.planes * outputs);
    for_chunks_mut(y, planes * outputs, |start, y| {
        let x = &x[start / outputs * inputs..][..y.len() / outputs * inputs];
        for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
            plane::<false>(pool, x, y, &mut []);
        }
    });
}

/// y = the largest of each window; places = which element of its plane that is.
pub fn max_with_places(pool: &Pool, x: &[f32], y: &mut [f32], places: &mut [u32]) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(x.len() == pool.planes * inputs && y.len() == pool.planes * outputs && places.len() == y.len());
    assert!(inputs <= u32::MAX as usize, "a place in a plane fits 32 bits");
    for_parts_mut(y, planes * outputs, places, planes * outputs, |part, y, places| {
        let x = &x[part * planes * inputs..][..y.len() / outputs * inputs];
        let outs = y.chunks_exact_mut(outputs).zip(places.chunks_exact_mut(outputs));
        for (x, (y, places)) in x.chunks_exact(inputs).zip(outs) {
            plane::<true>(pool, x, y, places);
        }
    });
}

/// dx = each dy at the place of its maximum, added up.
pub fn max_backward(pool: &Pool, places: &[u32], dy: &[f32], dx: &mut [f32]) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(dx.len() == pool.planes * inputs && dy.len() == pool.planes * outputs);
    assert_eq!(places.len(), dy.len());
    for_chunks_mut(dx, planes * inputs, |start, dx| {
        let range = start / inputs * outputs..(start + dx.len()) / inputs * outputs;
        let from = dy[range.clone()].chunks_exact(outputs).zip(places[range].chunks_exact(outputs));
        for (dx, (dy, places)) in dx.chunks_exact_mut(inputs).zip(from) {
            dx.fill(0.0);
            dy.iter().zip(places).for_each(|(d, &place)| dx[place as usize] += d);
        }
    });
}

/// One plane, by the loop for its kernel and stride.
fn plane<const PLACES: bool>(pool: &Pool, x: &[f32], y: &mut [f32], places: &mut [u32]) {
    if pool.is_global() {
        return whole::<PLACES>(x, y, places);
    }
    let (axis, _) = pool.split();
    match (axis.kernel, axis.stride) {
        (2, 1) => rows::<PLACES>(pool, x, y, places, fixed::<2, 1, PLACES>),
        (2, 2) => rows::<PLACES>(pool, x, y, places, fixed::<2, 2, PLACES>),
        (3, 1) => rows::<PLACES>(pool, x, y, places, fixed::<3, 1, PLACES>),
        (3, 2) => rows::<PLACES>(pool, x, y, places, fixed::<3, 2, PLACES>),
        _ => rows::<PLACES>(pool, x, y, places, any::<PLACES>),
    }
}

/// A row of windows over a row of the plane.
struct Row<'a> {
    /// From the first value of the first window to the last of the last.
    x: &'a [f32],
    /// The place of `x[0]` in the plane.
    at: u32,
    /// Whether there is no maximum yet.
    first: bool,
    axis: &'a Axis,
}

/// Goes over the rows of each window with `interior`, and finishes the edges one by one.
#[inline(always)]
fn rows<const PLACES: bool>(
    pool: &Pool,
    x: &[f32],
    y: &mut [f32],
    places: &mut [u32],
    interior: impl Fn(Row<'_>, &mut [f32], &mut [u32]),
) {
    let (axis, outer) = pool.split();
    let inside = axis.interior();
    vectorized(
        #[inline(always)]
        || {
            for (o, y) in y.chunks_exact_mut(axis.output).enumerate() {
                let places = if PLACES { &mut places[o * axis.output..][..axis.output] } else { &mut [][..] };
                let mut first = true;
                for_rows(outer, o, |row, _| {
                    let start = row * axis.input;
                    let x = &x[start..start + axis.input];
                    for o in edges(axis, &inside) {
                        for i in axis.window(o) {
                            let none = first && i == axis.window(o).start;
                            if none || x[i] > y[o] {
                                y[o] = x[i];
                                if PLACES {
                                    places[o] = (start + i) as u32;
                                }
                            }
                        }
                    }
                    if !inside.is_empty() {
                        let begin = axis.window(inside.start).start;
                        let x = &x[begin..axis.window(inside.end - 1).end];
                        let places = if PLACES { &mut places[inside.clone()] } else { &mut [][..] };
                        let row = Row { x, at: (start + begin) as u32, first, axis };
                        interior(row, &mut y[inside.clone()], places);
                    }
                    first = false;
                });
            }
        },
    );
}

/// A kernel of `K` at stride `S`, with the maximum so far in registers.
#[inline(always)]
fn fixed<const K: usize, const S: usize, const PLACES: bool>(
    row: Row<'_>,
    y: &mut [f32],
    places: &mut [u32],
) {
    if row.first {
        taps::<K, S, PLACES, true>(row.x, row.at, y, places);
    } else {
        taps::<K, S, PLACES, false>(row.x, row.at, y, places);
    }
}

#[inline(always)]
fn taps<const K: usize, const S: usize, const PLACES: bool, const FIRST: bool>(
    x: &[f32],
    at: u32,
    y: &mut [f32],
    places: &mut [u32],
) {
    let n = y.len();
    let places = if PLACES { &mut places[..n] } else { places };
    let taps: [&[[f32; S]]; K] = std::array::from_fn(
        #[inline(always)]
        |k| cells(x, k, n),
    );
    for i in 0..n {
        let here = at + (i * S) as u32;
        let mut best = if FIRST { taps[0][i][0] } else { y[i] };
        let mut place = if FIRST || !PLACES { here } else { places[i] };
        for k in usize::from(FIRST)..K {
            let v = taps[k][i][k.min(S - 1)];
            let more = v > best;
            best = if more { v } else { best };
            place = if more { here + k as u32 } else { place };
        }
        y[i] = best;
        if PLACES {
            places[i] = place;
        }
    }
}

/// Any kernel and stride.
#[inline(always)]
fn any<const PLACES: bool>(row: Row<'_>, y: &mut [f32], places: &mut [u32]) {
    let (n, stride) = (y.len(), row.axis.stride);
    let places = if PLACES { &mut places[..n] } else { places };
    for k in 0..row.axis.kernel {
        let none = row.first && k == 0;
        if stride == 1 {
            let x = &row.x[k..][..n];
            for i in 0..n {
                let more = none | (x[i] > y[i]);
                y[i] = if more { x[i] } else { y[i] };
                if PLACES {
                    places[i] = if more { row.at + (i + k) as u32 } else { places[i] };
                }
            }
        } else {
            for i in 0..n {
                let v = row.x[i * stride + k];
                if none || v > y[i] {
                    y[i] = v;
                    if PLACES {
                        places[i] = row.at + (i * stride + k) as u32;
                    }
                }
            }
        }
    }
}

/// One window over the whole plane.
fn whole<const PLACES: bool>(x: &[f32], y: &mut [f32], places: &mut [u32]) {
    let mut best = x[0];
    vectorized(
        #[inline(always)]
        || {
            let (blocks, rest) = x.as_chunks::<16>();
            let mut lanes = [x[0]; 16];
            for block in blocks {
                for (lane, &v) in lanes.iter_mut().zip(block) {
                    *lane = if v > *lane { v } else { *lane };
                }
            }
            lanes.iter().chain(rest).for_each(|&v| best = if v > best { v } else { best });
        },
    );
    y[0] = best;
    if PLACES {
        // Only a first value that is not a number is equal to none.
        places[0] = x.iter().position(|&v| v == best).unwrap_or(0) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::pool::tests::{assert_close, geometries, values, windows};

    /// The places of the maxima, plainly.
    fn reference(pool: &Pool, x: &[f32]) -> Vec<u32> {
        let windows = windows(pool);
        let mut places = vec![];
        for x in x.chunks(pool.inputs()) {
            for window in &windows {
                let mut best = window[0].0;
                window.iter().for_each(|&(i, _)| best = if x[i] > x[best] { i } else { best });
                places.push(best as u32);
            }
        }
        places
    }

    #[test]
    fn every_geometry_equals_the_plain_one() {
        for pool in geometries() {
            let x = values(pool.planes * pool.inputs());
            let n = pool.planes * pool.outputs();
            let (mut y, mut only, mut places) = (vec![f32::NAN; n], vec![f32::NAN; n], vec![9; n]);
            max_with_places(&pool, &x, &mut y, &mut places);
            max(&pool, &x, &mut only);
            let want = reference(&pool, &x);
            assert_eq!(places, want, "{pool:?}");
            assert_eq!(y, only);
            let at = |o: usize| o / pool.outputs() * pool.inputs() + places[o] as usize;
            assert!((0..n).all(|o| y[o] == x[at(o)]));

            let dy: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let (mut dx, mut plain) = (vec![f32::NAN; x.len()], vec![0.0; x.len()]);
            max_backward(&pool, &places, &dy, &mut dx);
            (0..n).for_each(|o| plain[at(o)] += dy[o]);
            assert_close(&dx, &plain, &pool);
        }
    }

    #[test]
    fn what_is_not_a_number_stays_when_there_is_nothing_else() {
        let pool = Pool { planes: 1, axes: vec![Axis::fit(4, 2, 2, 0, true).unwrap(); 2] };
        let (mut y, mut places) = ([0.0; 4], [9; 4]);
        max_with_places(&pool, &[f32::NAN; 16], &mut y, &mut places);
        assert!(y.iter().all(|y| y.is_nan()));
        assert_eq!(places, [0, 2, 8, 10]);
        max_with_places(&pool, &[f32::NEG_INFINITY; 16], &mut y, &mut places);
        assert_eq!(y, [f32::NEG_INFINITY; 4]);
    }
}
