//! Maxima over several arrays that remember which array each came from, in a byte.

use super::{
    elementwise::vectorized,
    parallel::{CHUNK, for_chunks_mut, for_chunks_mut2},
};

/// y = the larger of a and b, `taken` 0 or 1 accordingly; of equal values b's is taken.
pub fn max2(a: &[f32], b: &[f32], y: &mut [f32], taken: &mut [u8]) {
    assert!(a.len() == y.len() && b.len() == y.len());
    for_chunks_mut2(y, taken, CHUNK, |start, y, taken| {
        let (a, b) = (&a[start..][..y.len()], &b[start..][..y.len()]);
        vectorized(|| {
            for ((y, taken), (&a, &b)) in y.iter_mut().zip(taken).zip(a.iter().zip(b)) {
                let first = a > b;
                *y = if first { a } else { b };
                *taken = u8::from(!first);
            }
        });
    });
}

/// Where x is larger than y: y = x, and `taken` is `k`.
pub fn max_update(x: &[f32], k: u8, y: &mut [f32], taken: &mut [u8]) {
    assert_eq!(x.len(), y.len());
    for_chunks_mut2(y, taken, CHUNK, |start, y, taken| {
        let x = &x[start..][..y.len()];
        vectorized(|| {
            for ((y, taken), &x) in y.iter_mut().zip(taken).zip(x) {
                let larger = x > *y;
                *y = if larger { x } else { *y };
                *taken = if larger { k } else { *taken };
            }
        });
    });
}

/// y = x where `taken` is `k`, else 0.
pub fn where_mask(x: &[f32], taken: &[u8], k: u8, y: &mut [f32]) {
    assert!(x.len() == y.len() && taken.len() == y.len());
    for_chunks_mut(y, CHUNK, |start, y| {
        let (x, taken) = (&x[start..][..y.len()], &taken[start..][..y.len()]);
        vectorized(|| {
            for (y, (&x, &t)) in y.iter_mut().zip(x.iter().zip(taken)) {
                *y = if t == k { x } else { 0.0 };
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_second_then_stay() {
        let (a, b, c) = ([1.0, 5.0, 2.0, 0.0], [1.0, 4.0, 3.0, 0.0], [1.0, 5.0, 4.0, -1.0]);
        let (mut y, mut taken) = ([f32::NAN; 4], [9; 4]);
        max2(&a, &b, &mut y, &mut taken);
        assert_eq!((y, taken), ([1.0, 5.0, 3.0, 0.0], [1, 0, 1, 1]));
        max_update(&c, 2, &mut y, &mut taken);
        assert_eq!((y, taken), ([1.0, 5.0, 4.0, 0.0], [1, 0, 2, 1]));
        where_mask(&[1.0, 2.0, 3.0, 4.0], &taken, 1, &mut y);
        assert_eq!(y, [1.0, 0.0, 0.0, 4.0]);
    }
}
