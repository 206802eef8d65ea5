//! Loops that read and write each element once: bound by memory, so they are cut into chunks and vectorized.

use super::parallel::{CHUNK, for_chunks_mut, sum_chunks};

/// Runs `f` compiled for the best instruction set of this machine; `f` must be an inlined loop.
#[inline(always)]
pub fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// y = f(x).
pub fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32 + Sync) {
    assert_eq!(x.len(), y.len());
    for_chunks_mut(y, CHUNK, |start, y| {
        let x = &x[start..][..y.len()];
        vectorized(|| y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x)));
    });
}

/// z = f(x, y).
pub fn map2(x: &[f32], y: &[f32], z: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    assert!(x.len() == z.len() && y.len() == z.len());
    for_chunks_mut(z, CHUNK, |start, z| {
        let (x, y) = (&x[start..][..z.len()], &y[start..][..z.len()]);
        vectorized(|| z.iter_mut().zip(x.iter().zip(y)).for_each(|(z, (&x, &y))| *z = f(x, y)));
    });
}

/// w = f(x, y, z).
pub fn map3(x: &[f32], y: &[f32], z: &[f32], w: &mut [f32], f: impl Fn(f32, f32, f32) -> f32 + Sync) {
    assert!(x.len() == w.len() && y.len() == w.len() && z.len() == w.len());
    for_chunks_mut(w, CHUNK, |start, w| {
        let n = w.len();
        let (x, y, z) = (&x[start..][..n], &y[start..][..n], &z[start..][..n]);
        vectorized(|| {
            for i in 0..n {
                w[i] = f(x[i], y[i], z[i]);
            }
        });
    });
}

/// y = f(x, y), in place.
pub fn update(x: &[f32], y: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    assert_eq!(x.len(), y.len());
    for_chunks_mut(y, CHUNK, |start, y| {
        let x = &x[start..][..y.len()];
        vectorized(|| y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x, *y)));
    });
}

/// x = f(x), in place.
pub fn apply(x: &mut [f32], f: impl Fn(f32) -> f32 + Sync) {
    for_chunks_mut(x, CHUNK, |_, x| vectorized(|| x.iter_mut().for_each(|x| *x = f(*x))));
}

/// y += a * x.
pub fn add_scaled(a: f32, x: &[f32], y: &mut [f32]) {
    update(x, y, |x, y| y + a * x);
}

/// y = x, in parallel.
pub fn copy(x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    for_chunks_mut(y, CHUNK, |start, y| y.copy_from_slice(&x[start..][..y.len()]));
}

/// The sum of f(x), in `f64` and in an order fixed by the length.
pub fn sum(x: &[f32], f: impl Fn(f32) -> f32 + Sync) -> f64 {
    sum_chunks(x.len(), CHUNK, |range| vectorized(|| sum_lanes(x[range].iter().map(|&x| f(x)))))
}

/// The sum of f(x, y), in `f64` and in an order fixed by the length.
pub fn sum2(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> f64 {
    assert_eq!(x.len(), y.len());
    sum_chunks(x.len(), CHUNK, |range| {
        vectorized(|| sum_lanes(x[range.clone()].iter().zip(&y[range.clone()]).map(|(&x, &y)| f(x, y))))
    })
}

/// A sum in eight lanes, so that it vectorizes; the order of additions is fixed.
#[inline(always)]
fn sum_lanes(values: impl ExactSizeIterator<Item = f32>) -> f64 {
    let mut lanes = [0f64; 8];
    for (i, v) in values.enumerate() {
        lanes[i % 8] += f64::from(v);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_visit_every_element() {
        for n in [0, 1, 17, 3 * CHUNK + 5] {
            let x: Vec<f32> = (0..n).map(|i| (i % 101) as f32).collect();
            let mut y = vec![f32::NAN; n];
            map(&x, &mut y, |x| x + 1.0);
            update(&x, &mut y, |x, y| y - x);
            assert!(y.iter().all(|&y| y == 1.0));
            add_scaled(2.0, &x, &mut y);
            let mut z = vec![f32::NAN; n];
            map2(&x, &y, &mut z, |x, y| y - 2.0 * x);
            assert_eq!(sum(&z, |z| z), n as f64);
            assert_eq!(sum2(&z, &z, |a, b| a * b), n as f64);
            map3(&x, &y, &z, &mut y.clone(), |_, _, z| z);
            apply(&mut z, |z| -z);
            copy(&z, &mut y);
            assert!(y.iter().all(|&y| y == -1.0));
        }
    }
}
