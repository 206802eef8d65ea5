//! Normalization beside the copy bandwidth: `cargo bench --bench norm [part of a name]...`
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod common;

use cnnctl::{
    kernels::{
        affine,
        batch_norm::{BatchNorm, Finish, Slopes},
        channels::Channels,
        lrn::{Across, Response, Within, across, across_backward, within, within_backward},
        norm::Moments,
    },
    tensor::Buffer,
};

/// Name, images, channels, side.
const BATCHES: &[(&str, usize, usize, usize)] = &[
    ("resnet conv1", 8, 64, 112),
    ("resnet res2c", 8, 256, 56),
    ("resnet res3", 8, 128, 28),
    ("resnet res4", 8, 1024, 14),
    ("resnet res5", 8, 2048, 7),
    ("mlp", 256, 1024, 1),
];

fn main() {
    common::memory_header("normalization");
    for &(name, images, channels, side) in BATCHES {
        let dims = Channels { images, channels, inner: side * side };
        let n = dims.count();
        let (x, dy) = (common::values(n, 1), common::values(n, 2));
        let (mut y, mut dx) = (Buffer::zeroed(n), Buffer::zeroed(n));
        let mut moments = vec![Moments::default(); channels];
        let (mut sums, mut slopes) = (vec![[0.0; 2]; channels], vec![Slopes::default(); channels]);
        let norm = BatchNorm { dims, eps: 1e-5, finish: Finish::default() };
        let (scale, bias) = (common::values(channels, 3), common::values(channels, 4));
        common::memory_row(&format!("{name} bn fwd"), 2 * n, || {
            norm.forward(&x, &mut y, &mut moments);
        });
        norm.forward(&x, &mut y, &mut moments);
        common::memory_row(&format!("{name} bn bwd"), 3 * n, || {
            norm.backward(&moments, [&x, &dy], &mut dx, &mut slopes);
        });
        common::memory_row(&format!("{name} bn test"), 2 * n, || norm.forward_given(&moments, &x, &mut dx));
        let finish = Finish { scale: Some(&scale), bias: Some(&bias), rectify: true };
        let whole = BatchNorm { finish, ..norm };
        common::memory_row(&format!("{name} bn scale relu fwd"), 2 * n, || {
            whole.forward(&x, &mut y, &mut moments);
        });
        common::memory_row(&format!("{name} bn scale relu bwd"), 3 * n, || {
            whole.backward(&moments, [&x, &dy], &mut dx, &mut slopes);
        });
        common::memory_row(&format!("{name} scale fwd"), 2 * n, || {
            affine::scale(dims, &scale, Some(&bias), &x, &mut dx);
        });
        common::memory_row(&format!("{name} scale bwd"), 3 * n, || {
            affine::scale_backward(dims, &scale, [&x, &dy], Some(&mut dx), &mut sums);
        });
    }
    let response = Response { size: 5, scale: 1e-4 / 5.0, k: 1.0, beta: 0.75 };
    for (name, images, channels, side) in [
        ("caffenet norm1", 16, 96, 27),
        ("caffenet norm2", 16, 256, 13),
        ("googlenet norm1", 16, 64, 56),
        ("googlenet norm2", 16, 192, 56),
    ] {
        let dims = Across { images, channels, inner: side * side };
        let n = images * channels * side * side;
        let (x, dy, mut y) = (common::values(n, 1), common::values(n, 2), Buffer::zeroed(n));
        common::memory_row(&format!("{name} fwd"), 2 * n, || across(dims, response, &x, &mut y));
        common::memory_row(&format!("{name} bwd"), 3 * n, || {
            across_backward(dims, response, &x, &dy, &mut y)
        });
    }
    let response = Response { size: 3, scale: 5e-5 / 9.0, k: 1.0, beta: 0.75 };
    for (name, planes, side) in
        [("cifar_full norm1", 3200, 16), ("cifar_full norm2", 3200, 8), ("wide plane", 320, 64)]
    {
        let dims = Within { planes, height: side, width: side };
        let n = planes * side * side;
        let (x, dy, mut y) = (common::values(n, 1), common::values(n, 2), Buffer::zeroed(n));
        common::memory_row(&format!("{name} fwd"), 2 * n, || within(dims, response, &x, &mut y));
        common::memory_row(&format!("{name} bwd"), 3 * n, || {
            within_backward(dims, response, &x, &dy, &mut y);
        });
    }
}
