//! Loops over each value beside the copy bandwidth: `cargo bench --bench elementwise [part of a name]...`
//!
//! The arrays, 64 MiB each, lie in memory, not in a cache. Values moved are those that a loop must read and write.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod common;

use std::hint::black_box;

use cnnctl::{
    kernels::{
        dropout::{Keep, apply_mask, drop_values, mask_words},
        elementwise::{add_scaled, copy, evaluate, map, map2, map3},
        extremes::{max2, where_mask},
        permute::Permutation,
        power::Power,
        random::Draw,
        rows::{Band, gather_rows, put_band, repeat_rows, take_band},
        simd::{self, Each, Simd},
        softmax::{SoftmaxDims, softmax, softmax_backward},
        sums::{sum, sum2},
        update::{Gradient, with_one, with_two},
    },
    tensor::Buffer,
};

/// Values per array.
const LEN: usize = 16 << 20;

fn main() {
    common::memory_header("loops over each value");
    let [x, y, mut out] = [0; 3].map(|_| values());
    functions(&x, &mut out);
    arithmetic(&x, &y, &mut out);
    masks(&x, &mut out);
    rows(&x, &mut out);
    permutations(&x, &mut out);
    shares(&x, &y, &mut out);
    updates(out);
}

/// An array of numbers from -8 to 8.
fn values() -> Buffer {
    common::filled(LEN, |i| (u64::from(i) * 7919 % 16_001) as f32 * 1e-3 - 8.0)
}

/// Functions of a register as types.
macro_rules! functions {
    ($($type:ident: $function:ident),+) => {$(
        #[derive(Clone, Copy)]
        struct $type;

        impl Each<1, 1> for $type {
            #[inline(always)]
            fn of<S: Simd>(self, simd: S, [x]: [S::V; 1]) -> [S::V; 1] {
                [simd::$function(simd, x)]
            }
        }
    )+};
}

functions!(Exp: exp, Ln: ln, Softplus: softplus, Sigmoid: sigmoid, Tanh: tanh);

/// A power.
#[derive(Clone, Copy)]
struct Raised(Power);

impl Each<1, 1> for Raised {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x]: [S::V; 1]) -> [S::V; 1] {
        [self.0.of_lanes(simd, x)]
    }
}

/// One function of one array.
fn functions(x: &[f32], out: &mut [f32]) {
    common::memory_row("copy", 2 * LEN, || copy(x, out));
    common::memory_row("relu", 2 * LEN, || map(x, out, |x| if x > 0.0 { x } else { 0.1 * x }));
    common::memory_row("exp", 2 * LEN, || evaluate([x], out, Exp));
    common::memory_row("exp of std", 2 * LEN, || map(x, out, f32::exp));
    common::memory_row("ln", 2 * LEN, || evaluate([x], out, Ln));
    common::memory_row("softplus", 2 * LEN, || evaluate([x], out, Softplus));
    common::memory_row("sigmoid", 2 * LEN, || evaluate([x], out, Sigmoid));
    common::memory_row("tanh", 2 * LEN, || evaluate([x], out, Tanh));
    common::memory_row("power 0.75", 2 * LEN, || evaluate([x], out, Raised(Power::new(0.75))));
}

/// Sums of arrays and over arrays.
fn arithmetic(x: &[f32], y: &[f32], out: &mut [f32]) {
    common::memory_row("relu backward", 3 * LEN, || {
        map2(x, y, out, |x, d| if x > 0.0 { d } else { 0.0 });
    });
    common::memory_row("axpy", 3 * LEN, || add_scaled(1e-3, x, out));
    common::memory_row("add 2", 3 * LEN, || map2(x, y, out, |x, y| x + y));
    common::memory_row("add 3", 4 * LEN, || map3(x, y, x, out, |x, y, z| x + y + z));
    let mut taken = vec![0; LEN];
    common::memory_row("maximum of 2", 3 * LEN, || max2(x, y, out, &mut taken));
    common::memory_row("maximum of 2 backward", 2 * LEN, || where_mask(x, &taken, 1, out));
    common::memory_row("sum of squares", LEN, || {
        black_box(sum(x, |x| x * x));
    });
    common::memory_row("dot", 2 * LEN, || {
        black_box(sum2(x, y, |x, y| x * y));
    });
}

/// Dropout.
fn masks(x: &[f32], out: &mut [f32]) {
    let mut mask = vec![0; mask_words(LEN)];
    for (name, ratio) in [("dropout 0.5", 0.5), ("dropout 0.3", 0.3)] {
        let (keep, draw) = (Keep::with_probability(1.0 - ratio), Draw::new(1, "bench", 0));
        common::memory_row(name, 2 * LEN, || drop_values(x, 2.0, keep, draw, out, &mut mask));
    }
    common::memory_row("dropout backward", 2 * LEN, || apply_mask(x, 2.0, &mask, out));
}

/// Bands of rows as Concat and Slice make them, long ones and the short ones of a fine image, and whole rows.
fn rows(x: &[f32], out: &mut [f32]) {
    for len in [28 * 28 * 32, 49] {
        let rows = LEN / (2 * len);
        let row = 2 * len;
        common::memory_row(&format!("concat two of {len}"), 2 * rows * row, || {
            let out = &mut out[..rows * row];
            put_band(&x[..rows * len], Band { row, start: 0, len }, out);
            put_band(&x[rows * len..][..rows * len], Band { row, start: len, len }, out);
        });
        common::memory_row(&format!("slice half of {row}"), rows * row, || {
            take_band(&x[..rows * row], Band { row, start: len, len }, &mut out[..rows * len]);
        });
    }
    let index: Vec<u32> = (0..1024).rev().collect();
    common::memory_row("gather", 2 * LEN, || gather_rows(x, LEN / 1024, &index, out));
    common::memory_row("tile 4", LEN + LEN / 4, || repeat_rows(&x[..LEN / 4], 1024, 4, out));
}

/// Axes in another order: scores by box and back, and channels that groups deal out.
fn permutations(x: &[f32], out: &mut [f32]) {
    for (channels, pixels) in [(16, 38 * 38), (126, 19 * 19), (512, 32 * 32)] {
        let sides = [LEN / (channels * pixels), channels, pixels];
        let n = sides.iter().product();
        for (name, permutation) in [
            ("permute", Permutation::new(&sides, &[0, 2, 1])),
            ("permute back", Permutation::back(&sides, &[0, 2, 1])),
        ] {
            common::memory_row(&format!("{name} {channels} x {pixels}"), 2 * n, || {
                permutation.apply(&x[..n], &mut out[..n]);
            });
        }
    }
    let sides = [LEN / (240 * 784), 3, 80, 784];
    let (n, shuffle) = (sides.iter().product(), Permutation::new(&sides, &[0, 2, 1, 3]));
    common::memory_row("shuffle 240 of 784", 2 * n, || shuffle.apply(&x[..n], &mut out[..n]));
}

/// Softmax over rows, and over the channels of images.
fn shares(x: &[f32], y: &[f32], out: &mut [f32]) {
    for (name, outer, classes, inner) in [
        ("softmax 1000", 16_384, 1000, 1),
        ("softmax 10", 1 << 20, 10, 1),
        ("softmax 21 x 64 x 64", 190, 21, 4096),
    ] {
        let dims = SoftmaxDims { outer, classes, inner };
        let n = dims.count();
        common::memory_row(name, 2 * n, || softmax(&dims, &x[..n], &mut out[..n]));
        common::memory_row(&format!("{name} backward"), 3 * n, || {
            softmax_backward(&dims, &x[..n], &y[..n], &mut out[..n]);
        });
    }
}

/// SGD with momentum, which reads and writes weights, diffs and one history, and Adam, which has two.
fn updates(mut weights: Buffer) {
    let gradient = Gradient { scale: 1.0, decay: 5e-4, shrink: 0.0, l1: false, keep_step: false };
    let [mut diff, mut first, mut second] = [0; 3].map(|_| Buffer::zeroed(LEN));
    common::memory_row("update SGD", 6 * LEN, || {
        with_one(gradient, &mut weights, &mut diff, &mut first, |g, h| {
            *h = 1e-3 * g + 0.9 * *h;
            *h
        });
    });
    common::memory_row("update Adam", 8 * LEN, || {
        with_two(gradient, &mut weights, &mut diff, (&mut first, &mut second), |g, m, v| {
            *m = 0.9 * *m + 0.1 * g;
            *v = 0.999 * *v + 0.001 * g * g;
            1e-3 * *m / (v.sqrt() + 1e-8)
        });
    });
}
