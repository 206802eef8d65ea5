//! Loops over each value beside the floor, a copy of the same array: `cargo bench --bench elementwise`.
//!
//! The arrays, 64 MiB each, lie in memory, not in a cache. Bytes count what a loop must read and write.

use std::hint::black_box;

use cnnctl::kernels::{
    dropout::{Keep, apply_mask, drop_values, mask_words},
    elementwise::{add_scaled, copy, map, map2, map3, sum, sum2},
    extremes::max2,
    math,
    random::Draw,
    rows::{Band, gather_rows, put_band, repeat_rows, take_band},
};
use divan::{Bencher, counter::BytesCount};

/// Values per array.
const LEN: usize = 16 << 20;

fn main() {
    divan::main();
}

/// An array of numbers from -8 to 8.
fn values() -> Vec<f32> {
    (0..LEN).map(|i| ((i * 7919) % 16_001) as f32 * 1e-3 - 8.0).collect()
}

/// Runs a loop that reads and writes so many arrays in all.
fn bench(bencher: Bencher, arrays: usize, mut f: impl FnMut(&mut [f32])) {
    let mut out = vec![0.0; LEN];
    f(&mut out);
    bencher.counter(BytesCount::new(arrays * LEN * size_of::<f32>())).bench_local(|| f(black_box(&mut out)));
}

/// A loop of one function of one array.
fn mapped(bencher: Bencher, f: impl Fn(f32) -> f32 + Sync + Copy) {
    let x = values();
    bench(bencher, 2, |y| map(&x, y, f));
}

#[divan::bench]
fn a_copy(bencher: Bencher) {
    let x = values();
    bench(bencher, 2, |y| copy(&x, y));
}

#[divan::bench]
fn relu(bencher: Bencher) {
    mapped(bencher, |x| if x > 0.0 { x } else { 0.1 * x });
}

#[divan::bench]
fn exp(bencher: Bencher) {
    mapped(bencher, math::exp);
}

#[divan::bench]
fn exp_of_std(bencher: Bencher) {
    mapped(bencher, f32::exp);
}

#[divan::bench]
fn ln(bencher: Bencher) {
    mapped(bencher, math::ln);
}

#[divan::bench]
fn softplus(bencher: Bencher) {
    mapped(bencher, math::softplus);
}

#[divan::bench]
fn sigmoid(bencher: Bencher) {
    mapped(bencher, math::sigmoid);
}

#[divan::bench]
fn tanh(bencher: Bencher) {
    mapped(bencher, math::tanh);
}

#[divan::bench]
fn axpy(bencher: Bencher) {
    let x = values();
    bench(bencher, 3, |y| add_scaled(1e-3, &x, y));
}

#[divan::bench]
fn add_2(bencher: Bencher) {
    let (x, y) = (values(), values());
    bench(bencher, 3, |z| map2(&x, &y, z, |x, y| x + y));
}

#[divan::bench]
fn add_3(bencher: Bencher) {
    let (x, y, z) = (values(), values(), values());
    bench(bencher, 4, |w| map3(&x, &y, &z, w, |x, y, z| x + y + z));
}

#[divan::bench]
fn maximum_2(bencher: Bencher) {
    let (x, y, mut taken) = (values(), values(), vec![0; LEN]);
    bench(bencher, 3, |z| max2(&x, &y, z, &mut taken));
}

#[divan::bench]
fn sum_of_squares(bencher: Bencher) {
    let x = values();
    bench(bencher, 1, |_| {
        black_box(sum(&x, |x| x * x));
    });
}

#[divan::bench]
fn dot(bencher: Bencher) {
    let (x, y) = (values(), values());
    bench(bencher, 2, |_| {
        black_box(sum2(&x, &y, |x, y| x * y));
    });
}

#[divan::bench(args = [0.5, 0.3])]
fn dropout(bencher: Bencher, ratio: f64) {
    let (x, mut mask) = (values(), vec![0; mask_words(LEN)]);
    let (keep, draw) = (Keep::with_probability(1.0 - ratio), Draw::new(1, "bench", 0));
    bench(bencher, 2, |y| drop_values(&x, 2.0, keep, draw, y, &mut mask));
}

#[divan::bench]
fn dropout_backward(bencher: Bencher) {
    let (x, mask) = (values(), vec![0x1234_5678; mask_words(LEN)]);
    bench(bencher, 2, |y| apply_mask(&x, 2.0, &mask, y));
}

/// Bands of rows as Concat and Slice make them: long ones, and the short ones of a fine image.
#[divan::bench(args = [28 * 28 * 32, 49])]
fn concat_two(bencher: Bencher, len: usize) {
    let x = values();
    let rows = LEN / (2 * len);
    bench(bencher, 2, |y| {
        let y = &mut y[..rows * 2 * len];
        put_band(&x[..rows * len], Band { row: 2 * len, start: 0, len }, y);
        put_band(&x[rows * len..][..rows * len], Band { row: 2 * len, start: len, len }, y);
    });
}

#[divan::bench(args = [28 * 28 * 32, 49])]
fn slice_half(bencher: Bencher, len: usize) {
    let x = values();
    let rows = LEN / (2 * len);
    bench(bencher, 1, |y| {
        take_band(&x[..rows * 2 * len], Band { row: 2 * len, start: len, len }, &mut y[..rows * len]);
    });
}

#[divan::bench]
fn gather(bencher: Bencher) {
    let (x, index) = (values(), (0..1024).rev().collect::<Vec<u32>>());
    bench(bencher, 2, |y| gather_rows(&x, LEN / 1024, &index, y));
}

#[divan::bench]
fn tile_4(bencher: Bencher) {
    let x = values();
    bench(bencher, 1, |y| repeat_rows(&x[..LEN / 4], 1024, 4, y));
}
