//! Planes that grow: by values that go to given places, or by values that are repeated.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{
    elementwise::vectorized,
    parallel::{CHUNK, for_chunks_mut, for_parts_mut, planes_per_chunk},
};

/// Planes of `small` values that become planes of `large`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planes {
    /// Values of a plane before.
    pub small: usize,
    /// Values of a plane after.
    pub large: usize,
}

/// Takes the places from `mask`, whole numbers below `large` of which fractions are cut off, and puts the values of x there; 0
/// elsewhere. Where several go to one place the last stays.
///
/// # Errors
/// The first value of `mask` that is no place, by its number.
pub fn put(planes: Planes, x: &[f32], mask: &[f32], places: &mut [u32], y: &mut [f32]) -> Result<(), usize> {
    let Planes { small, large } = planes;
    assert!(x.len() == mask.len() && places.len() == x.len() && u32::try_from(large).is_ok());
    if small == 0 || large == 0 {
        y.fill(0.0);
        return if mask.is_empty() { Ok(()) } else { Err(0) };
    }
    assert_eq!(x.len() / small, y.len() / large);
    let wrong = AtomicUsize::new(usize::MAX);
    let group = planes_per_chunk(large.max(small));
    for_parts_mut(y, group * large, places, group * small, |part, y, places| {
        y.fill(0.0);
        let start = part * group * small;
        let planes = y.chunks_exact_mut(large).zip(places.chunks_exact_mut(small));
        for (plane, (y, places)) in planes.enumerate() {
            let first = start + plane * small;
            for (i, place) in (first..).zip(places) {
                let number = mask[i];
                *place = number as u32;
                match y.get_mut(*place as usize) {
                    // Not so where it is not a number.
                    Some(y) if number > -1.0 => *y = x[i],
                    _ => {
                        wrong.fetch_min(i, Ordering::Relaxed);
                        return;
                    }
                }
            }
        }
    });
    match wrong.into_inner() {
        usize::MAX => Ok(()),
        first => Err(first),
    }
}

/// dx of [`put`]: the value of dy at each place.
pub fn take(planes: Planes, dy: &[f32], places: &[u32], dx: &mut [f32]) {
    let Planes { small, large } = planes;
    assert_eq!(places.len(), dx.len());
    let group = planes_per_chunk(large.max(small));
    for_chunks_mut(dx, group * small, |start, dx| {
        let places = places[start..][..dx.len()].chunks_exact(small);
        let planes =
            dx.chunks_exact_mut(small).zip(places).zip(dy[start / small * large..].chunks_exact(large));
        for ((dx, places), dy) in planes {
            dx.iter_mut().zip(places).for_each(|(dx, &place)| *dx = dy[place as usize]);
        }
    });
}

/// Each value of rows of `width` becomes a square of `scale` x `scale`.
pub fn repeat(width: usize, scale: usize, x: &[f32], y: &mut [f32]) {
    assert_eq!(y.len(), x.len() * scale * scale);
    if y.is_empty() {
        return;
    }
    let wide = width * scale;
    // All rows that one row becomes are one piece.
    let piece = wide * scale;
    let group = (CHUNK / piece).max(1);
    for_chunks_mut(y, group * piece, |start, y| {
        let rows = x[start / piece * width..].chunks_exact(width);
        for (y, x) in y.chunks_exact_mut(piece).zip(rows) {
            let (first, others) = y.split_at_mut(wide);
            first.chunks_exact_mut(scale).zip(x).for_each(|(y, x)| y.fill(*x));
            others.chunks_exact_mut(wide).for_each(|y| y.copy_from_slice(first));
        }
    });
}

/// dx of [`repeat`]: the sum of each square.
pub fn sum_repeated(width: usize, scale: usize, dy: &[f32], dx: &mut [f32]) {
    assert_eq!(dy.len(), dx.len() * scale * scale);
    if dx.is_empty() {
        return;
    }
    let wide = width * scale;
    let group = (CHUNK / (wide * scale)).max(1);
    for_chunks_mut(dx, group * width, |start, dx| {
        let pieces = dy[start / width * wide * scale..].chunks_exact(wide * scale);
        for (dx, dy) in dx.chunks_exact_mut(width).zip(pieces) {
            dx.fill(0.0);
            for dy in dy.chunks_exact(wide) {
                let dx = &mut *dx;
                vectorized(|| {
                    for (dx, dy) in dx.iter_mut().zip(dy.chunks_exact(scale)) {
                        *dx += dy.iter().sum::<f32>();
                    }
                });
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_to_their_places_and_come_back() {
        for (count, small, large) in
            [(1, 1, 1), (3, 4, 9), (5, 7, 7), (2, 20_000, 80_000), (0, 2, 8), (37, 6, 24)]
        {
            let n = count * small;
            let x: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            // Each place but once, with a fraction.
            let place = |i: usize| (i % small) * (large / small) + (i / small) % (large / small);
            let mask: Vec<f32> = (0..n).map(|i| place(i) as f32 + 0.25).collect();
            let (mut places, mut y) = (vec![9; n], vec![f32::NAN; count * large]);
            let planes = Planes { small, large };
            assert_eq!(put(planes, &x, &mask, &mut places, &mut y), Ok(()));
            let mut want = vec![0.0; count * large];
            (0..n).for_each(|i| want[i / small * large + place(i)] = x[i]);
            assert_eq!(y, want);
            let mut back = vec![f32::NAN; n];
            take(planes, &y, &places, &mut back);
            assert_eq!(back, x);
        }
    }

    #[test]
    fn the_first_wrong_place_is_found() {
        let planes = Planes { small: 3, large: 5 };
        let n = 3 * 4000;
        for wrong in [5.0, -1.0, f32::NAN, f32::INFINITY] {
            let mut mask = vec![4.0; n];
            for at in [11_000, 700, 9_001] {
                mask[at] = wrong;
            }
            let (x, mut places, mut y) = (vec![1.0; n], vec![0; n], vec![0.0; 5 * 4000]);
            assert_eq!(put(planes, &x, &mask, &mut places, &mut y), Err(700), "{wrong}");
        }
    }

    #[test]
    fn squares_are_made_and_summed() {
        for (rows, width, scale) in [(3, 4, 2), (1, 1, 3), (2, 5, 1), (0, 3, 2), (300, 57, 2)] {
            let x: Vec<f32> = (0..rows * width).map(|i| (i % 97) as f32).collect();
            let (mut y, mut dx) = (vec![f32::NAN; x.len() * scale * scale], vec![f32::NAN; x.len()]);
            repeat(width, scale, &x, &mut y);
            let wide = width * scale;
            for (o, &y) in y.iter().enumerate() {
                assert_eq!(y, x[o / wide / scale * width + o % wide / scale]);
            }
            sum_repeated(width, scale, &y, &mut dx);
            assert!(dx.iter().zip(&x).all(|(&dx, &x)| dx == x * (scale * scale) as f32));
        }
    }
}
