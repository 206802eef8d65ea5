//! Matrix multiplication beside the multiply-add peak: `cargo bench --bench gemm [part of a name]...`
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod common;

use std::time::Duration;

use cnnctl::{
    kernels::{
        gemm::{Gemm, Matrix, gemm, gemm_parallel},
        simd::Isa,
        update::{Gradient, by_product, with_one},
    },
    tensor::Buffer,
};
use rayon::ThreadPool;

/// Name, whether A and B are transposed, m, n, k.
const SHAPES: &[(&str, &str, usize, usize, usize)] = &[
    ("lenet conv1 fwd", "NN", 20, 576, 25),
    ("lenet conv1 dW", "NT", 20, 25, 576),
    ("lenet conv2 fwd", "NN", 50, 64, 500),
    ("lenet conv2 dW", "NT", 50, 500, 64),
    ("lenet ip1 fwd", "NT", 64, 500, 800),
    ("lenet ip1 dW", "TN", 500, 800, 64),
    ("lenet ip1 dX", "NN", 64, 800, 500),
    ("cifar conv1 fwd", "NN", 32, 1024, 75),
    ("cifar conv1 dW", "NT", 32, 75, 1024),
    ("cifar conv2 fwd", "NN", 32, 256, 800),
    ("cifar conv3 dX", "TN", 800, 64, 64),
    ("alex conv1 fwd", "NN", 96, 3025, 363),
    ("alex conv2g fwd", "NN", 128, 729, 1200),
    ("alex conv2g dX", "TN", 1200, 729, 128),
    ("alex conv3 fwd", "NN", 384, 169, 2304),
    ("alex conv3 dW", "NT", 384, 2304, 169),
    ("alex fc6 fwd 256", "NT", 256, 4096, 9216),
    ("alex fc6 fwd 16", "NT", 16, 4096, 9216),
    ("alex fc6 dW 256", "TN", 4096, 9216, 256),
    ("alex fc6 dW 16", "TN", 4096, 9216, 16),
    ("alex fc6 dX 256", "NN", 256, 9216, 4096),
    ("alex fc6 dX 16", "NN", 16, 9216, 4096),
    ("alex fc6 fwd 1", "NT", 1, 4096, 9216),
    ("vgg fc6 fwd 4", "NT", 4, 4096, 25088),
    ("vgg fc6 dW 4", "TN", 4096, 25088, 4),
    ("vgg fc6 dX 4", "NN", 4, 25088, 4096),
    ("fc 1", "NT", 1, 1000, 4096),
    ("fc 2", "NT", 2, 1000, 4096),
    ("fc 4", "NT", 4, 1000, 4096),
    ("fc 6", "NT", 6, 1000, 4096),
    ("fc 8", "NT", 8, 1000, 4096),
    ("fc small 1", "NT", 1, 500, 800),
    ("fc small 4", "NT", 4, 500, 800),
    ("fc small 6", "NT", 6, 500, 800),
    ("fc small 8", "NT", 8, 500, 800),
    ("fc small 12", "NT", 12, 500, 800),
    ("fc small 16", "NT", 16, 500, 800),
    ("fc 12", "NT", 12, 1000, 4096),
    ("fc 16", "NT", 16, 1000, 4096),
    ("resnet fc fwd 8", "NT", 8, 1000, 2048),
    ("square 512", "NN", 512, 512, 512),
    ("square 1024", "NN", 1024, 1024, 1024),
    ("square 1024 NT", "NT", 1024, 1024, 1024),
    ("square 1024 TN", "TN", 1024, 1024, 1024),
    ("square 2048", "NN", 2048, 2048, 2048),
];

/// Name, batch, outputs, inputs of a fully connected layer.
const LAYERS: &[(&str, usize, usize, usize)] = &[
    ("lenet ip1 step", 64, 500, 800),
    ("alex fc6 step 16", 16, 4096, 9216),
    ("age fc6 step 50", 50, 512, 18816),
    ("vgg fc6 step 4", 4, 4096, 25088),
];

fn main() {
    let pools = [common::pool(1), common::pool(2)];
    println!(
        "{}: gemm, best times; share of the multiply-add peak of one and of two threads right after it ({:.0} GFLOP/s when nothing went before)",
        Isa::best().name(),
        pools[0].install(|| common::peak_after(|| std::thread::sleep(Duration::from_millis(5)))) / 1e9
    );
    println!(
        "{:20} {:2} {:>16} {:>9} {:>8} {:>6} {:>9} {:>8} {:>6}",
        "", "", "m x n x k", "us", "GFLOP/s", "1T", "us 2T", "GFLOP/s", "2T"
    );
    for &(name, ops, m, n, k) in SHAPES.iter().filter(|s| common::wanted(s.0)) {
        let (a, b) = (common::values(m * k, 1), common::values(k * n, 2));
        let mut c = Buffer::zeroed(m * n);
        let matrix = |data, rows, cols, op: &str| match op {
            "N" => Matrix::row_major(data, cols),
            _ => Matrix::row_major(data, rows).transposed(),
        };
        let product = Gemm::new(m, n, k, matrix(&a, m, k, &ops[..1]), matrix(&b, k, n, &ops[1..]));
        let time = Duration::from_millis(200);
        let flops = (2 * m * n * k) as f64;
        print!("{name:20} {ops} {:>16}", format!("{m}x{n}x{k}"));
        for (i, pool) in pools.iter().enumerate() {
            let (seconds, peak) = pool.install(|| {
                let seconds = if i == 0 {
                    common::best_alone(time, || gemm(&product, &mut c))
                } else {
                    common::best(time, || gemm_parallel(&product, &mut c))
                };
                (seconds, common::peak_after(|| gemm_parallel(&product, &mut c)))
            });
            let rate = flops / seconds;
            print!(" {:9.1} {:8.1} {:6.2}", seconds * 1e6, rate / 1e9, rate / peak);
        }
        println!();
    }
    for &(name, batch, outputs, inputs) in LAYERS.iter().filter(|s| common::wanted(s.0)) {
        step(name, &pools, [batch, outputs, inputs]);
    }
}

/// Gradients of weights and inputs together with the weights' update, whose weights and history are read and written.
fn step(name: &str, pools: &[ThreadPool], [batch, outputs, inputs]: [usize; 3]) {
    let (top, bottom) = (common::values(batch * outputs, 1), common::values(batch * inputs, 2));
    let [mut weights, mut history] = [3, 4].map(|seed| common::values(outputs * inputs, seed));
    let mut back = Buffer::zeroed(batch * inputs);
    let gradient = Gradient { scale: 1.0, decay: 5e-4, shrink: 0.0, l1: false, keep_step: false };
    let product = Gemm::new(
        outputs,
        inputs,
        batch,
        Matrix::row_major(&top, outputs).transposed(),
        Matrix::row_major(&bottom, inputs),
    );
    let flops = (4 * batch * outputs * inputs) as f64;
    print!("{name:20}    {:>16}", format!("{batch}x{inputs}x{outputs}"));
    for (i, pool) in pools.iter().enumerate() {
        let mut run = || {
            by_product(&product, &mut weights, [&mut history, &mut []], Some(&mut back), |w, d, h, _| {
                with_one(gradient, w, d, h, |g, h| {
                    *h = 0.9 * *h + 1e-3 * g;
                    *h
                });
            });
        };
        let time = Duration::from_millis(200);
        let (seconds, peak) = pool.install(|| {
            let seconds =
                if i == 0 { common::best_alone(time, &mut run) } else { common::best(time, &mut run) };
            (seconds, common::peak_after(&mut run))
        });
        let rate = flops / seconds;
        print!(" {:9.1} {:8.1} {:6.2}", seconds * 1e6, rate / 1e9, rate / peak);
    }
    println!();
}
