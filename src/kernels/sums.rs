//! Sums over arrays, in `f64` and in an order fixed by the length.

use super::{
    parallel::{CHUNK, sum_chunks},
    simd::{Asked, Each, Isa, Job, LINE, Simd, each},
};

/// The sum of f(x).
pub fn sum(x: &[f32], f: impl Fn(f32) -> f32 + Sync) -> f64 {
    sum_chunks(x.len(), CHUNK, |range| Isa::best().run(Sum(&x[range], &f)))
}

struct Sum<'a, F>(&'a [f32], &'a F);

impl<F: Fn(f32) -> f32> Job for Sum<'_, F> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        sum_lanes(simd, self.0, self.1)
    }
}

/// The sum of f(x, y).
pub fn sum2(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> f64 {
    assert_eq!(x.len(), y.len());
    sum_chunks(x.len(), CHUNK, |range| Isa::best().run(Sum2(&x[range.clone()], &y[range], &f)))
}

struct Sum2<'a, F>(&'a [f32], &'a [f32], &'a F);

impl<F: Fn(f32, f32) -> f32> Job for Sum2<'_, F> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        sum_lanes2(self.0, self.1, self.2)
    }
}

/// The sum of f(rows), a register of each at a time.
pub fn sum_of_each<const N: usize>(rows: [&[f32]; N], f: impl Each<N, 1> + Sync) -> f64 {
    let len = rows.first().map_or(0, |row| row.len());
    assert!(rows.iter().all(|row| row.len() == len), "lengths");
    sum_chunks(len, CHUNK, |range| {
        Isa::best().run(SumOfEach { rows: rows.map(|row| &row[range.clone()]), f })
    })
}

struct SumOfEach<'a, F, const N: usize> {
    rows: [&'a [f32]; N],
    f: F,
}

impl<F: Each<N, 1>, const N: usize> Job for SumOfEach<'_, F, N> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        // As many as stay near.
        let (mut values, mut sum, len) = ([0.0; 1024], 0.0, self.rows[0].len());
        for start in (0..len).step_by(values.len()) {
            let n = values.len().min(len - start);
            let rows = self.rows.map(|row| &row[start..]);
            each(simd, rows, [&mut values[..n]], Asked::NOTHING, self.f);
            sum += sum_lanes(simd, &values[..n], |v| v);
        }
        sum
    }
}

/// Running sums side by side: so many that the loop over them is not unrolled before it is vectorized.
const LANES: usize = 128;
/// How much further on lie values that are asked for: one array alone does not keep memory busy.
const AHEAD: usize = 1024;

/// The sum of f(x) for a loop inside a [`Job`]: value `i` goes to lane `i % LANES`.
#[inline(always)]
fn sum_lanes<S: Simd>(simd: S, x: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0f64; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for x in blocks {
        x.chunks(LINE).for_each(|line| simd.prefetch(line.as_ptr().wrapping_add(AHEAD)));
        for (lane, &x) in lanes.iter_mut().zip(x) {
            *lane += f64::from(f(x));
        }
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, &x)| *lane += f64::from(f(x)));
    sum_of(lanes)
}

/// The sum of f(x, y), likewise.
#[inline(always)]
fn sum_lanes2(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut lanes = [0f64; LANES];
    let ((blocks, rest), (y_blocks, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in blocks.iter().zip(y_blocks) {
        for (lane, (&x, &y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += f64::from(f(x, y));
        }
    }
    let rest = rest.iter().zip(y_rest);
    lanes.iter_mut().zip(rest).for_each(|(lane, (&x, &y))| *lane += f64::from(f(x, y)));
    sum_of(lanes)
}

/// The sum of all lanes: the upper half is added to the lower until one is left.
#[inline(always)]
fn sum_of(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        let (lower, upper) = lanes.split_at_mut(half);
        lower.iter_mut().zip(upper).for_each(|(a, b)| *a += *b);
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::elementwise::Rectified;

    #[test]
    fn every_value_is_added() {
        for n in [0, 1, 17, 1024, 3 * CHUNK + 1029] {
            let x: Vec<f32> = (0..n).map(|i| (i % 101) as f32).collect();
            let all = x.iter().map(|&x| f64::from(x)).sum::<f64>();
            assert_eq!(sum(&x, |x| x + 1.0), all + n as f64);
            assert_eq!(sum2(&x, &x, |x, y| x + y), 2.0 * all);
            let twice: Vec<f32> = x.iter().map(|x| 2.0 * x).collect();
            assert_eq!(sum_of_each([&twice, &x], Rectified), 2.0 * all);
        }
    }
}
