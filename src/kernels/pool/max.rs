//! The largest value of each window, the first of equals, and which that is.

use std::ops::Range;

use super::{
    Axis, Pool, beside, for_rows,
    gather::{self, Outputs},
    lists::Lists,
    maxima, same, square,
};
use crate::kernels::{
    parallel::{for_chunks_mut, for_parts_mut},
    simd::{Isa, plane_maxima, squares::Squares},
};

/// Which element of its window each output is; what a tap in the padding meets counts as the first on the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its position in the window, where windows are small.
    Taps(Vec<u8>),
    /// Its place in the plane.
    Places(Vec<u32>),
}

impl Taken {
    /// For all windows of `pool`.
    pub fn new(pool: &Pool) -> Self {
        let outputs = pool.planes * pool.outputs();
        if pool.taps() <= 256 { Self::Taps(vec![0; outputs]) } else { Self::Places(vec![0; outputs]) }
    }

    /// The place in its plane of what output `o` took.
    pub fn place(&self, pool: &Pool, o: usize) -> usize {
        let taps = match self {
            Self::Taps(taps) => taps,
            Self::Places(places) => return places[o] as usize,
        };
        let (mut o, mut tap, mut place, mut step) = (o, usize::from(taps[o]), 0, 1);
        for a in pool.axes.iter().rev() {
            place += (o % a.output * a.stride + tap % a.kernel - a.pad) * step;
            (o, tap, step) = (o / a.output, tap / a.kernel, step * a.input);
        }
        place
    }
}

/// y = the largest of each window.
pub fn max(pool: &Pool, x: &[f32], y: &mut [f32]) {
    max_on(Isa::best(), pool, x, y);
}

/// [`max`] by one instruction set.
fn max_on(isa: Isa, pool: &Pool, x: &[f32], y: &mut [f32]) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(x.len() == pool.planes * inputs && y.len() == pool.planes * outputs);
    Way::lend(isa, pool, |way| {
        for_chunks_mut(y, planes * outputs, |start, y| {
            way.largest(isa, pool, &x[start / outputs * inputs..], (y, &mut []));
        });
    });
}

/// y = the largest of each window; taken, made for `pool`, = which element that is.
pub fn max_taking(pool: &Pool, x: &[f32], y: &mut [f32], taken: &mut Taken) {
    max_taking_on(Isa::best(), pool, x, y, taken);
}

/// [`max_taking`] by one instruction set.
fn max_taking_on(isa: Isa, pool: &Pool, x: &[f32], y: &mut [f32], taken: &mut Taken) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(x.len() == pool.planes * inputs && y.len() == pool.planes * outputs);
    assert!(inputs <= u32::MAX as usize, "a place in a plane fits 32 bits");
    let part = planes * outputs;
    Way::lend(isa, pool, |way| match taken {
        Taken::Taps(taps) => {
            assert_eq!(taps.len(), y.len());
            for_parts_mut(y, part, taps, part, |i, y, taps| {
                way.largest(isa, pool, &x[i * planes * inputs..], (y, taps));
            });
        }
        Taken::Places(places) => {
            assert_eq!(places.len(), y.len());
            for_parts_mut(y, part, places, part, |i, y, places| {
                let x = &x[i * planes * inputs..];
                way.largest(isa, pool, x, (&mut *y, &mut []));
                let to = y.chunks_exact(outputs).zip(places.chunks_exact_mut(outputs));
                x.chunks_exact(inputs).zip(to).for_each(|(x, (y, places))| find(pool, x, y, places));
            });
        }
    });
}

/// How largest values are found, and what all planes need for it.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// Of whole planes, by the tap that meets each place.
    Global(&'a [u8]),
    /// Of small planes as one long row, by what is added to what taps meet.
    Same(&'a [f32]),
    /// Straight from the plane, windows of two by two or three by three that move by two.
    ByTwo(&'a Squares),
    /// Of small planes side by side.
    Beside,
    /// Along the rows, then down the columns.
    Rows(Lists<'a>),
}

impl Way<'_> {
    /// Lends `f` the best.
    fn lend<R>(isa: Isa, pool: &Pool, f: impl FnOnce(Way<'_>) -> R) -> R {
        if pool.is_global() && pool.inputs() >= isa.lanes() {
            f(Way::Global(&taps_of_places(pool)))
        } else if same::fits(pool) {
            same::lend_edges(pool, maxima::ADDED, |edges| f(Way::Same(edges)))
        } else if square::fits(pool) && (square::fills(isa, pool) || !beside::maxima_pay(isa, pool)) {
            f(Way::ByTwo(&square::ready(isa, pool)))
        } else if beside::maxima_pay(isa, pool) {
            f(Way::Beside)
        } else {
            let kernel = pool.split().0.kernel;
            Lists::lend(pool, false, |tap| (tap * kernel) as f32, |lists| f(Way::Rows(lists)))
        }
    }

    /// The largest values of the first planes, as many as `y` has, and, where `taps` is not empty, their taps.
    fn largest(self, isa: Isa, pool: &Pool, x: &[f32], (y, taps): (&mut [f32], &mut [u8])) {
        match self {
            Self::Global(tap_of) => {
                let plane = pool.inputs();
                plane_maxima(isa, &x[..y.len() * plane], plane, y, (taps, tap_of));
            }
            Self::Same(edges) => maxima::largest_same(isa, pool, edges, x, y, taps),
            Self::ByTwo(how) => square::largest(isa, pool, how, x, y, taps),
            Self::Beside => beside::largest(isa, pool, x, y, taps),
            Self::Rows(lists) => maxima::largest_rows(isa, pool, lists, x, y, taps),
        }
    }
}

/// dx = each dy at the place of its maximum, added up in the order of the windows.
pub fn max_backward(pool: &Pool, taken: &Taken, dy: &[f32], dx: &mut [f32]) {
    max_backward_on(Isa::best(), pool, taken, dy, dx);
}

/// [`max_backward`] by one instruction set.
fn max_backward_on(isa: Isa, pool: &Pool, taken: &Taken, dy: &[f32], dx: &mut [f32]) {
    let (inputs, outputs, planes) = (pool.inputs(), pool.outputs(), pool.planes_per_chunk());
    assert!(dx.len() == pool.planes * inputs && dy.len() == pool.planes * outputs);
    match taken {
        Taken::Taps(taps) if gather::fits(isa, pool) => {
            for_chunks_mut(dx, planes * inputs, |start, dx| {
                gather::add(isa, pool, Outputs { dy, taps }, dx, start / inputs);
            });
        }
        Taken::Taps(taps) if pool.is_global() => {
            let ((axis, outer), offsets) = (pool.split(), offsets(pool));
            let first = first_of_row(outer, axis.input, 0).wrapping_sub(axis.pad);
            for_chunks_mut(dx, planes * inputs, |start, dx| {
                let outputs = dy[start / inputs..].iter().zip(&taps[start / inputs..]);
                for (dx, (d, &tap)) in dx.chunks_exact_mut(inputs).zip(outputs) {
                    dx.fill(0.0);
                    dx[first.wrapping_add(offsets[usize::from(tap)])] += d;
                }
            });
        }
        Taken::Taps(taps) => {
            let offsets = offsets(pool);
            for_planes(pool, dx, |dx, o| plane_backward(pool, &offsets, &dy[o.clone()], &taps[o], dx));
        }
        Taken::Places(places) => for_planes(pool, dx, |dx, o| {
            dy[o.clone()].iter().zip(&places[o]).for_each(|(d, &place)| dx[place as usize] += d);
        }),
    }
}

/// Calls `f` for each plane of inputs, which is 0, with the numbers of its outputs.
fn for_planes(pool: &Pool, dx: &mut [f32], f: impl Fn(&mut [f32], Range<usize>) + Sync) {
    let (inputs, outputs) = (pool.inputs(), pool.outputs());
    for_chunks_mut(dx, pool.planes_per_chunk() * inputs, |start, dx| {
        for (plane, dx) in (start / inputs..).zip(dx.chunks_exact_mut(inputs)) {
            dx.fill(0.0);
            f(dx, plane * outputs..(plane + 1) * outputs);
        }
    });
}

/// Where each tap of a window lies in the plane, counted from the window's first.
fn offsets(pool: &Pool) -> [usize; 256] {
    let mut offsets = [0; 256];
    for (tap, offset) in offsets.iter_mut().enumerate() {
        let (mut tap, mut step) = (tap, 1);
        for a in pool.axes.iter().rev() {
            *offset += tap % a.kernel * step;
            (tap, step) = (tap / a.kernel, step * a.input);
        }
    }
    offsets
}

/// Adds the gradients of a plane's outputs to the taps that they took.
fn plane_backward(pool: &Pool, offsets: &[usize; 256], dy: &[f32], taps: &[u8], dx: &mut [f32]) {
    let (axis, outer) = pool.split();
    let rows = dy.chunks_exact(axis.output).zip(taps.chunks_exact(axis.output));
    for (row, (dy, taps)) in rows.enumerate() {
        // A window may begin before the plane; what it took does not lie there.
        let mut at = match outer {
            [a] => (row * a.stride).wrapping_sub(a.pad).wrapping_mul(axis.input),
            _ => first_of_row(outer, axis.input, row),
        };
        at = at.wrapping_sub(axis.pad);
        for (d, &tap) in dy.iter().zip(taps) {
            dx[at.wrapping_add(offsets[usize::from(tap)])] += d;
            at = at.wrapping_add(axis.stride);
        }
    }
}

/// Where the windows of an output row begin, given the length of a row of inputs; before the plane if it wraps.
fn first_of_row(outer: &[Axis], mut step: usize, mut row: usize) -> usize {
    let mut at = 0usize;
    for a in outer.iter().rev() {
        at = at.wrapping_add((row % a.output * a.stride).wrapping_sub(a.pad).wrapping_mul(step));
        (row, step) = (row / a.output, step * a.input);
    }
    at
}

/// For each place of a plane that is one window the tap that meets it.
fn taps_of_places(pool: &Pool) -> [u8; 256] {
    let ((axis, outer), mut taps) = (pool.split(), [0; 256]);
    for_rows(outer, 0, |row, tap| {
        for i in axis.window(0) {
            if let Some(to) = taps.get_mut(row * axis.input + i) {
                *to = (tap * axis.kernel + axis.tap(0, i)) as u8;
            }
        }
    });
    taps
}

/// The first place of each window of a plane that holds the window's largest value.
fn find(pool: &Pool, x: &[f32], y: &[f32], places: &mut [u32]) {
    let (axis, outer) = pool.split();
    for (o, (y, place)) in y.iter().zip(places).enumerate() {
        let columns = axis.window(o % axis.output);
        let (mut first, mut found) = (None, None);
        for_rows(outer, o / axis.output, |row, _| {
            let at = row * axis.input + columns.start;
            first = first.or(Some(at));
            if found.is_none() {
                let column = x[at..][..columns.len()].iter().position(|v| v == y);
                found = column.map(|column| at + column);
            }
        });
        // Only a first value that is not a number is equal to none.
        *place = found.or(first).expect("a window holds some of the input") as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::pool::tests::{geometries, values, windows};

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
            let want = reference(&pool, &x);
            let at = |o: usize| o / pool.outputs() * pool.inputs() + want[o] as usize;
            for isa in Isa::all() {
                let mut only = vec![f32::NAN; n];
                max_on(isa, &pool, &x, &mut only);
                assert!((0..n).all(|o| only[o] == x[at(o)]), "{pool:?} on {}", isa.name());
            }

            let dy: Vec<f32> = (0..n).map(|i| i as f32 / 3.0).collect();
            let mut plain = vec![0.0; x.len()];
            (0..n).for_each(|o| plain[at(o)] += dy[o]);
            let kinds = || [Taken::new(&pool), Taken::Places(vec![9; n])];
            for (isa, mut taken) in Isa::all().flat_map(|isa| kinds().map(|taken| (isa, taken))) {
                let (mut y, mut dx) = (vec![f32::NAN; n], vec![f32::NAN; x.len()]);
                max_taking_on(isa, &pool, &x, &mut y, &mut taken);
                assert!((0..n).all(|o| y[o] == x[at(o)]), "{pool:?} on {}", isa.name());
                assert!((0..n).all(|o| taken.place(&pool, o) == want[o] as usize), "{pool:?}");
                max_backward_on(isa, &pool, &taken, &dy, &mut dx);
                assert_eq!(dx, plain, "the same sums in the same order in {pool:?}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_only_where_it_is_first() {
        let pool = Pool { planes: 1, axes: vec![Axis::fit(4, 2, 2, 0, true).unwrap(); 2] };
        for mut taken in [Taken::new(&pool), Taken::Places(vec![9; 4])] {
            let mut y = [0.0; 4];
            max_taking(&pool, &[f32::NAN; 16], &mut y, &mut taken);
            assert!(y.iter().all(|y| y.is_nan()));
            assert_eq!([0, 1, 2, 3].map(|o| taken.place(&pool, o)), [0, 2, 8, 10]);
            max_taking(&pool, &[f32::NEG_INFINITY; 16], &mut y, &mut taken);
            assert_eq!(y, [f32::NEG_INFINITY; 4]);
            assert_eq!([0, 1, 2, 3].map(|o| taken.place(&pool, o)), [0, 2, 8, 10]);
        }
        // With padding the first is the first on the input, wherever it stands in the window.
        let padded = Pool { planes: 1, axes: vec![Axis::fit(3, 3, 1, 1, true).unwrap(); 2] };
        let x = [f32::NAN, 1.0, 2.0, 3.0, f32::NAN, 5.0, 6.0, 7.0, f32::NAN];
        let (mut y, mut taken) = ([0.0; 9], Taken::new(&padded));
        max_taking(&padded, &x, &mut y, &mut taken);
        let want = [f32::NAN, f32::NAN, 5.0, f32::NAN, f32::NAN, 7.0, 7.0, 7.0, f32::NAN];
        assert!(y.iter().zip(&want).all(|(y, w)| y == w || y.is_nan() && w.is_nan()), "{y:?}");
        assert_eq!([0, 1, 2, 8].map(|o| taken.place(&padded, o)), [0, 0, 5, 4]);
    }

    #[test]
    fn what_is_not_finite_hides_nothing_beside_it() {
        for (side, kernel, stride, pad) in [(9, 3, 1, 1), (7, 3, 1, 1), (9, 3, 2, 0), (40, 3, 1, 1)] {
            let axis = Axis::fit(side, kernel, stride, pad, true).unwrap();
            let pool = Pool { planes: 17, axes: vec![axis; 2] };
            let mut x = values(pool.planes * pool.inputs());
            x.iter_mut().step_by(5).for_each(|v| *v = f32::NAN);
            x.iter_mut().skip(2).step_by(7).for_each(|v| *v = f32::NEG_INFINITY);
            x.iter_mut().skip(3).step_by(11).for_each(|v| *v = f32::INFINITY);
            let want = reference(&pool, &x);
            for isa in Isa::all() {
                let (mut y, mut taken) = (vec![0.0; want.len()], Taken::new(&pool));
                max_taking_on(isa, &pool, &x, &mut y, &mut taken);
                for (o, &place) in want.iter().enumerate() {
                    let first = x[o / pool.outputs() * pool.inputs() + place as usize];
                    assert_eq!(taken.place(&pool, o), place as usize, "{pool:?} on {}", isa.name());
                    assert!(y[o].to_bits() == first.to_bits() || y[o].is_nan() && first.is_nan());
                }
            }
        }
    }
}
