//! Pooling beside the copy bandwidth: `cargo bench --bench pool [part of a name]...`
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod common;

use cnnctl::{
    kernels::pool::{
        Axis, Norm, Pool, Taken, Weights, max, max_backward, max_taking, weighted_mean,
        weighted_mean_backward,
    },
    tensor::Buffer,
};

/// Name, planes, side, kernel, stride, pad.
const SHAPES: &[(&str, usize, usize, usize, usize, usize)] = &[
    ("lenet pool1", 64 * 20, 24, 2, 2, 0),
    ("cifar pool1", 100 * 32, 32, 3, 2, 0),
    ("caffenet pool1", 16 * 96, 55, 3, 2, 0),
    ("caffenet pool2", 16 * 256, 27, 3, 2, 0),
    ("resnet pool1", 8 * 64, 112, 3, 2, 1),
    ("vgg pool1", 4 * 64, 224, 2, 2, 0),
    ("lenet pool2", 64 * 50, 8, 2, 2, 0),
    ("cifar pool2", 100 * 32, 16, 3, 2, 0),
    ("cifar pool3", 100 * 64, 8, 3, 2, 0),
    ("age_net pool1", 16 * 96, 56, 3, 2, 0),
    ("squeezenet pool1", 16 * 64, 113, 3, 2, 0),
    ("googlenet pool1", 16 * 64, 112, 3, 2, 0),
    ("googlenet pool2", 16 * 192, 56, 3, 2, 0),
    ("googlenet 3b", 16 * 256, 28, 3, 1, 1),
    ("googlenet 4b", 16 * 512, 14, 3, 1, 1),
    ("googlenet 5a", 16 * 832, 7, 3, 1, 1),
    ("googlenet loss1", 16 * 512, 14, 5, 3, 0),
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
        let (mut y, mut dx, mut taken) = (Buffer::zeroed(outputs), Buffer::zeroed(inputs), Taken::new(&pool));
        // A byte an output, where windows are small.
        let places = if matches!(taken, Taken::Taps(_)) { outputs / 4 } else { outputs };
        common::memory_row(&format!("{name} max test"), inputs + outputs, || max(&pool, &x, &mut y));
        common::memory_row(&format!("{name} max fwd"), inputs + outputs + places, || {
            max_taking(&pool, &x, &mut y, &mut taken);
        });
        max_taking(&pool, &x, &mut y, &mut taken);
        common::memory_row(&format!("{name} max bwd"), inputs + outputs + places, || {
            max_backward(&pool, &taken, &dy, &mut dx);
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
