//! Convolutions beside the multiply-add peak: `cargo bench --bench conv [part of a name]...`
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

mod common;

use std::time::Duration;

use cnnctl::{
    kernels::{
        conv::{self, ConvAxis, ConvDims, Epilogue},
        simd::Isa,
    },
    tensor::Buffer,
};

/// Input, kernel, stride, pad, dilation.
type Axis = [usize; 5];

const fn both(input: usize, kernel: usize, stride: usize, pad: usize, dilation: usize) -> [Axis; 2] {
    [[input, kernel, stride, pad, dilation]; 2]
}

/// Name; batch, input and output channels, group; both axes.
const LAYERS: &[(&str, [usize; 4], [Axis; 2])] = &[
    ("lenet conv1", [64, 1, 20, 1], both(28, 5, 1, 0, 1)),
    ("lenet conv2", [64, 20, 50, 1], both(12, 5, 1, 0, 1)),
    ("cifar conv1", [32, 3, 32, 1], both(32, 5, 1, 2, 1)),
    ("cifar conv2", [32, 32, 32, 1], both(16, 5, 1, 2, 1)),
    ("cifar conv3", [32, 32, 64, 1], both(8, 5, 1, 2, 1)),
    ("caffenet conv1", [8, 3, 96, 1], both(227, 11, 4, 0, 1)),
    ("caffenet conv2", [8, 96, 256, 2], both(27, 5, 1, 2, 1)),
    ("caffenet conv3", [8, 256, 384, 1], both(13, 3, 1, 1, 1)),
    ("caffenet conv4", [8, 384, 384, 2], both(13, 3, 1, 1, 1)),
    ("caffenet conv5", [8, 384, 256, 2], both(13, 3, 1, 1, 1)),
    ("vgg conv1_1", [2, 3, 64, 1], both(224, 3, 1, 1, 1)),
    ("vgg conv1_2", [2, 64, 64, 1], both(224, 3, 1, 1, 1)),
    ("vgg conv2_2", [2, 128, 128, 1], both(112, 3, 1, 1, 1)),
    ("vgg conv3_2", [2, 256, 256, 1], both(56, 3, 1, 1, 1)),
    ("vgg conv4_2", [2, 512, 512, 1], both(28, 3, 1, 1, 1)),
    ("vgg conv5_2", [2, 512, 512, 1], both(14, 3, 1, 1, 1)),
    ("resnet conv1", [4, 3, 64, 1], both(224, 7, 2, 3, 1)),
    ("squeezenet conv1", [8, 3, 64, 1], both(227, 3, 2, 0, 1)),
    ("mobilenet conv1", [8, 3, 32, 1], both(224, 3, 2, 1, 1)),
    ("resnet 1x1 64-256", [8, 64, 256, 1], both(56, 1, 1, 0, 1)),
    ("resnet 1x1 256-64", [8, 256, 64, 1], both(56, 1, 1, 0, 1)),
    ("resnet 1x1 s2", [8, 256, 512, 1], both(56, 1, 2, 0, 1)),
    ("resnet 3x3 s2", [8, 128, 128, 1], both(56, 3, 2, 1, 1)),
    ("resnet 3x3 s2 14", [8, 256, 512, 1], both(14, 3, 2, 1, 1)),
    ("resnet 1x1 2048-512", [8, 2048, 512, 1], both(7, 1, 1, 0, 1)),
    ("resnet 3x3 7x7", [8, 512, 512, 1], both(7, 3, 1, 1, 1)),
    ("squeeze 1x1 16-64", [8, 16, 64, 1], both(55, 1, 1, 0, 1)),
    ("squeeze 1x1 128-16", [8, 128, 16, 1], both(55, 1, 1, 0, 1)),
    ("squeeze 3x3 16-64", [8, 16, 64, 1], both(55, 3, 1, 1, 1)),
    ("mobilenet dw 112", [4, 64, 64, 64], both(112, 3, 1, 1, 1)),
    ("mobilenet dw 112 s2", [8, 64, 64, 64], both(112, 3, 2, 1, 1)),
    ("mobilenet dw 28 s2", [4, 256, 256, 256], both(28, 3, 2, 1, 1)),
    ("mobilenet dw 7", [8, 1024, 1024, 1024], both(7, 3, 1, 1, 1)),
    ("mobilenet dw 14", [8, 512, 512, 512], both(14, 3, 1, 1, 1)),
    ("mobilenet 1x1 112", [8, 32, 64, 1], both(112, 1, 1, 0, 1)),
    ("mobilenet 1x1 56", [8, 128, 128, 1], both(56, 1, 1, 0, 1)),
    ("mobilenet 1x1 14", [8, 512, 512, 1], both(14, 1, 1, 0, 1)),
    ("dcgan deconv 3", [16, 3, 128, 1], both(64, 4, 2, 1, 1)),
    ("resnext g32 4", [8, 128, 128, 32], both(28, 3, 1, 1, 1)),
    ("resnext g32 8 s2", [8, 256, 256, 32], both(28, 3, 2, 1, 1)),
    ("resnext g32 16", [8, 512, 512, 32], both(14, 3, 1, 1, 1)),
    ("efficientnet dw5", [8, 144, 144, 144], both(28, 5, 1, 2, 1)),
    ("efficientnet dw5 s2", [4, 144, 144, 144], both(56, 5, 2, 2, 1)),
    ("dw7 14", [4, 512, 512, 512], both(14, 7, 1, 3, 1)),
    ("dw3 d2", [4, 256, 256, 256], both(28, 3, 1, 2, 2)),
    ("fcn32s deconv g21", [1, 21, 21, 21], both(544, 64, 32, 0, 1)),
    ("fcn8s deconv", [1, 21, 21, 1], both(280, 16, 8, 0, 1)),
    ("deeplab d2", [2, 256, 256, 1], both(65, 3, 1, 2, 2)),
    ("deeplab d12", [1, 512, 1024, 1], both(41, 3, 1, 12, 12)),
    ("dilated 28 d2", [8, 64, 64, 1], both(28, 3, 1, 2, 2)),
    ("inception 1x7", [8, 128, 128, 1], [[17, 1, 1, 0, 1], [17, 7, 1, 3, 1]]),
    ("inception 7x1", [8, 128, 128, 1], [[17, 7, 1, 3, 1], [17, 1, 1, 0, 1]]),
    ("inception 1x3", [8, 384, 384, 1], [[8, 1, 1, 0, 1], [8, 3, 1, 1, 1]]),
    ("inception 3x1", [8, 384, 384, 1], [[8, 3, 1, 1, 1], [8, 1, 1, 0, 1]]),
    ("vgg fc6 as conv", [4, 512, 1024, 1], both(7, 7, 1, 0, 1)),
    ("fcn fc6", [1, 512, 1024, 1], both(16, 7, 1, 0, 1)),
    ("dcgan conv 2", [8, 64, 128, 1], both(64, 4, 2, 1, 1)),
    ("openpose 7x7", [1, 128, 128, 1], both(46, 7, 1, 3, 1)),
    ("9x9", [4, 64, 64, 1], both(64, 9, 1, 4, 1)),
    ("5x5 s2", [4, 128, 128, 1], both(56, 5, 2, 2, 1)),
    ("dcgan deconv 1", [64, 512, 100, 1], both(4, 4, 1, 0, 1)),
    ("deconv k8 s8", [4, 64, 64, 1], both(112, 8, 8, 0, 1)),
    ("text 3x300", [64, 1, 100, 1], [[60, 3, 1, 0, 1], [300, 300, 1, 0, 1]]),
    ("lenet5 conv2", [128, 6, 16, 1], both(12, 5, 1, 0, 1)),
    ("to image 64-3", [2, 64, 3, 1], both(224, 3, 1, 1, 1)),
    ("to image 9x9", [1, 64, 3, 1], both(224, 9, 1, 4, 1)),
    ("heatmap 256-4", [8, 256, 4, 1], both(38, 3, 1, 1, 1)),
    ("srcnn 32-1 5x5", [4, 32, 1, 1], both(112, 5, 1, 2, 1)),
    ("vdsr 64-1", [2, 64, 1, 1], both(224, 3, 1, 1, 1)),
    ("vgg-like 4x4", [1, 256, 256, 1], both(4, 3, 1, 1, 1)),
];

fn main() {
    println!(
        "{}: convolutions, best ms and share of the multiply-add peak, right after it, of one thread (1T) and two (2T)",
        Isa::best().name()
    );
    println!(
        "{:20} {:>8} | {:^22} | {:^22} | {:^22}",
        "", "GFLOP", "forward", "backward input", "backward weights"
    );
    let pools = [common::pool(1), common::pool(2)];
    for &(name, [batch, in_channels, out_channels, group], axes) in
        LAYERS.iter().filter(|l| common::wanted(l.0))
    {
        let axis = |[input, kernel, stride, pad, dilation]: Axis| {
            ConvAxis::new(input, kernel, stride, pad, dilation).expect("the kernel fits")
        };
        let dims = ConvDims {
            batch,
            in_channels,
            out_channels,
            group,
            axes: axes.map(axis).into_iter().collect(),
            place: None,
        };
        let (input, top, weights) = (
            common::values(dims.input_len(), 1),
            common::values(dims.output_len(), 2),
            common::values(dims.weight_len(), 3),
        );
        let (mut output, mut bottom, mut diff) = (
            Buffer::zeroed(dims.output_len()),
            Buffer::zeroed(dims.input_len()),
            Buffer::zeroed(dims.weight_len()),
        );
        let lens = [
            conv::forward_scratch_len(&dims),
            conv::backward_input_scratch_len(&dims),
            conv::backward_weights_scratch_len(&dims),
        ];
        let mut scratch = Buffer::zeroed(lens.into_iter().max().unwrap_or(0));
        let flops = 2.0 * dims.multiply_adds() as f64;
        let time = Duration::from_millis(150);
        print!("{name:20} {:8.3}", flops / 1e9);
        for pass in 0..3 {
            print!(" |");
            for (i, pool) in pools.iter().enumerate() {
                let mut run = || match pass {
                    0 => {
                        conv::forward(&dims, &input, &weights, Epilogue::default(), &mut output, &mut scratch)
                    }
                    1 => conv::backward_input(&dims, &top, &weights, &mut bottom, &mut scratch),
                    _ => conv::backward_weights(&dims, &input, &top, &mut diff, None, &mut scratch),
                };
                let (seconds, peak) = pool.install(|| {
                    let seconds = if i == 0 {
                        common::best_alone(time, &mut run)
                    } else {
                        common::best(time, &mut run)
                    };
                    (seconds, common::peak_after(&mut run))
                });
                print!(" {:6.2} {:4.2}", seconds * 1e3, flops / seconds / peak);
            }
        }
        println!();
    }
}
