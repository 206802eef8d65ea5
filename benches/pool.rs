//! Pooling beside the copy bandwidth: `cargo bench --bench pool [part of a name]...`
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod common;

use cnnctl::kernels::pool::{
    Axis, Norm, Pool, Weights, max, max_backward, max_with_places, weighted_mean, weighted_mean_backward,
};

/// Name, planes, side, kernel, stride, pad.
const SHAPES: &[(&str, usize, usize, usize, usize, usize)] = &[
    ("lenet pool1", 64 * 20, 24, 2, 2, 0),
    ("cifar pool1", 100 * 32, 32, 3, 2, 0),
    ("caffenet pool1", 16 * 96, 55, 3, 2, 0),
    ("caffenet pool2", 16 * 256, 27, 3, 2, 0),
    ("resnet pool1", 8 * 64, 112, 3, 2, 1),
    ("vgg pool1", 4 * 64, 224, 2, 2, 0),
    ("googlenet 3x3 s1", 16 * 192, 28, 3, 1, 1),
    ("5x5 s1", 8 * 64, 28, 5, 1, 2),
    ("global 7x7", 8 * 2048, 7, 7, 1, 0),
];

fn main() {
    common::memory_header("pooling");
    for &(name, planes, side, kernel, stride, pad) in SHAPES {
        let axis = Axis::fit(side, kernel, stride, pad, true).expect("a window fits");
        let pool = Pool { planes, axes: vec![axis; 2] };
        let (inputs, outputs) = (planes * pool.inputs(), planes * pool.outputs());
        let (x, dy) = (common::values(inputs, 1), common::values(outputs, 2));
        let (mut y, mut dx, mut places) = (vec![0.0; outputs], vec![0.0; inputs], vec![0; outputs]);
        common::memory_row(&format!("{name} max test"), inputs + outputs, || max(&pool, &x, &mut y));
        common::memory_row(&format!("{name} max fwd"), inputs + 2 * outputs, || {
            max_with_places(&pool, &x, &mut y, &mut places);
        });
        max_with_places(&pool, &x, &mut y, &mut places);
        common::memory_row(&format!("{name} max bwd"), inputs + 2 * outputs, || {
            max_backward(&pool, &places, &dy, &mut dx);
        });
        let even = Weights::even(&pool, Norm::Padded);
        common::memory_row(&format!("{name} ave fwd"), inputs + outputs, || {
            weighted_mean(&pool, &even, &x, &mut y);
        });
        common::memory_row(&format!("{name} ave bwd"), inputs + outputs, || {
            weighted_mean_backward(&pool, &even, &dy, &mut dx);
        });
    }
}
