//! The largest value of each window, the first of equals, and where it is.

use super::{Axis, Pool, edges, for_rows};
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
        (2, 1) => rows::<PLACES>(pool, x, y, places, columns_first::<2, 1, PLACES>),
        (2, 2) => rows::<PLACES>(pool, x, y, places, columns_first::<2, 2, PLACES>),
        (3, 1) => rows::<PLACES>(pool, x, y, places, columns_first::<3, 1, PLACES>),
        (3, 2) => rows::<PLACES>(pool, x, y, places, columns_first::<3, 2, PLACES>),
        _ => rows::<PLACES>(pool, x, y, places, row_by_row::<PLACES>),
    }
}

/// The windows of an output row that lie inside the rows of the plane.
struct Inside<'a> {
    plane: &'a [f32],
    /// Where the first of them begins in a row.
    begin: usize,
    axis: &'a Axis,
    outer: &'a [Axis],
    /// The output row.
    o: usize,
}

/// Does the windows of each output row that lie inside by `inside`, and those at the edges one by one.
#[inline(always)]
fn rows<const PLACES: bool>(
    pool: &Pool,
    x: &[f32],
    y: &mut [f32],
    places: &mut [u32],
    inside: impl Fn(&Inside<'_>, &mut [f32], &mut [u32]),
) {
    let (axis, outer) = pool.split();
    let interior = axis.interior();
    vectorized(
        #[inline(always)]
        || {
            for (o, y) in y.chunks_exact_mut(axis.output).enumerate() {
                let places = if PLACES { &mut places[o * axis.output..][..axis.output] } else { &mut [][..] };
                for at in edges(axis, &interior) {
                    let mut best = Best::none();
                    for_rows(outer, o, |row, _| {
                        for i in axis.window(at).map(|i| row * axis.input + i) {
                            best = best.or::<PLACES>(x[i], i as u32);
                        }
                    });
                    y[at] = best.value;
                    if PLACES {
                        places[at] = best.place;
                    }
                }
                if !interior.is_empty() {
                    let begin = axis.window(interior.start).start;
                    let places = if PLACES { &mut places[interior.clone()] } else { &mut [][..] };
                    inside(&Inside { plane: x, begin, axis, outer, o }, &mut y[interior.clone()], places);
                }
            }
        },
    );
}

/// The largest value so far, and its place; what is not a number gives way to what is.
#[derive(Clone, Copy)]
struct Best {
    value: f32,
    place: u32,
}

impl Best {
    fn none() -> Self {
        Self { value: f32::NAN, place: u32::MAX }
    }

    /// This, or a value met later if it is larger; of equals the one that comes first in the plane, where that matters.
    #[inline(always)]
    fn or<const PLACES: bool>(self, value: f32, place: u32) -> Self {
        let mut more = (value > self.value) | (self.value.is_nan() & !value.is_nan());
        if PLACES {
            let equal = (value == self.value) | (self.value.is_nan() & value.is_nan());
            more |= equal & (place < self.place);
        }
        Self { value: if more { value } else { self.value }, place: if more { place } else { self.place } }
    }
}

/// Outputs of a step, and the most inputs that they meet.
const STEP: usize = 64;
const MET: usize = 2 * STEP + LANES;
/// Values done at a time; of a row of at least as many, the last are done twice rather than one by one.
const LANES: usize = 16;

/// A kernel of `K` at stride `S`: first the largest of each column, then of `K` columns each.
#[inline(always)]
fn columns_first<const K: usize, const S: usize, const PLACES: bool>(
    inside: &Inside<'_>,
    y: &mut [f32],
    places: &mut [u32],
) {
    for start in (0..y.len()).step_by(STEP) {
        let n = STEP.min(y.len() - start);
        let met = (n - 1) * S + K;
        let (mut values, mut from) = ([f32::NAN; MET], [u32::MAX; MET]);
        for_rows(inside.outer, inside.o, |row, _| {
            let first = row * inside.axis.input + inside.begin + start * S;
            let x = &inside.plane[first..first + met];
            let mut at = 0;
            while at < met {
                if met < LANES {
                    let best =
                        Best { value: values[at], place: from[at] }.or::<PLACES>(x[at], (first + at) as u32);
                    (values[at], from[at]) = (best.value, best.place);
                    at += 1;
                    continue;
                }
                let begin = at.min(met - LANES);
                for i in begin..begin + LANES {
                    let best =
                        Best { value: values[i], place: from[i] }.or::<PLACES>(x[i], (first + i) as u32);
                    values[i] = best.value;
                    if PLACES {
                        from[i] = best.place;
                    }
                }
                at += LANES;
            }
        });
        let (mut largest, mut theirs) = ([0.0; STEP], [0; STEP]);
        for at in (0..n).step_by(LANES) {
            for i in at..at + LANES {
                let mut best = Best { value: values[i * S], place: from[i * S] };
                for k in 1..K {
                    best = best.or::<PLACES>(values[i * S + k], from[i * S + k]);
                }
                (largest[i], theirs[i]) = (best.value, best.place);
            }
        }
        y[start..start + n].copy_from_slice(&largest[..n]);
        if PLACES {
            places[start..start + n].copy_from_slice(&theirs[..n]);
        }
    }
}

/// Any kernel and stride.
#[inline(always)]
fn row_by_row<const PLACES: bool>(inside: &Inside<'_>, y: &mut [f32], places: &mut [u32]) {
    let Inside { axis, begin, .. } = *inside;
    let stride = axis.stride;
    let mut first = true;
    for_rows(inside.outer, inside.o, |row, _| {
        let start = row * axis.input + begin;
        for k in 0..axis.kernel {
            let x = &inside.plane[start + k..][..(y.len() - 1) * stride + 1];
            for (i, (y, &value)) in y.iter_mut().zip(x.iter().step_by(stride)).enumerate() {
                let old = if first { f32::NAN } else { *y };
                let more = (value > old) | first | (old.is_nan() & !value.is_nan());
                *y = if more { value } else { *y };
                if PLACES {
                    places[i] = if more { (start + k + i * stride) as u32 } else { places[i] };
                }
            }
            first = false;
        }
    });
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
