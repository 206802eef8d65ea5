//! Against the reference twin: odd sizes, strides, dilations, groups, padding, one to three axes.

use super::*;
use crate::kernels::batch_norm::{BatchNorm, Finish};
use crate::kernels::norm::Moments;
use crate::kernels::reference;

/// Values without order: sums of evenly spread ones are so much smaller than their terms that errors look large.
pub fn values(len: usize, seed: u32) -> Vec<f32> {
    let mix = |i: u32| (i ^ (i >> 15)).wrapping_mul(0x2c1b_3c6d);
    (0..len as u32)
        .map(|i| mix(mix(i.wrapping_mul(2_654_435_761).wrapping_add(seed * 97))))
        .map(|bits| ((bits ^ (bits >> 12)) >> 8) as f32 / 8_388_608.0 - 1.0)
        .collect()
}

pub fn assert_close(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 1e-5 * scale, "{what}: element {i} is {g}, not {w}");
    }
}

/// `[batch, in, out, group]`, and input, kernel, stride, pad, dilation of each axis.
fn dims([batch, in_channels, out_channels, group]: [usize; 4], axes: &[[usize; 5]]) -> ConvDims {
    let axes = axes.iter().map(|&[i, k, s, p, d]| ConvAxis::new(i, k, s, p, d).unwrap()).collect();
    ConvDims { batch, in_channels, out_channels, group, axes, place: None }
}

pub fn cases() -> Vec<ConvDims> {
    vec![
        dims([2, 1, 20, 1], &[[28, 5, 1, 0, 1], [28, 5, 1, 0, 1]]),
        dims([3, 3, 5, 1], &[[7, 3, 1, 1, 1], [9, 3, 1, 1, 1]]),
        dims([2, 4, 6, 2], &[[11, 3, 2, 1, 1], [8, 5, 3, 2, 1]]),
        dims([1, 2, 3, 1], &[[13, 3, 1, 2, 2], [10, 2, 2, 0, 3]]),
        dims([2, 17, 33, 1], &[[6, 1, 1, 0, 1], [7, 1, 1, 0, 1]]),
        dims([2, 3, 4, 1], &[[9, 1, 2, 0, 1], [9, 1, 2, 0, 1]]),
        dims([2, 3, 2, 1], &[[1, 1, 1, 0, 1], [1, 1, 1, 0, 1]]),
        dims([1, 3, 7, 1], &[[4, 2, 1, 1, 1], [5, 3, 2, 1, 1], [6, 3, 1, 2, 2]]),
        dims([3, 2, 3, 1], &[[31, 4, 3, 5, 2]]),
        dims([2, 5, 5, 5], &[[9, 3, 1, 1, 1], [17, 3, 1, 1, 1]]),
        dims([2, 4, 8, 4], &[[9, 3, 2, 1, 1], [8, 3, 2, 1, 1]]),
        dims([3, 7, 7, 7], &[[19, 3, 1, 1, 1], [37, 3, 1, 1, 1]]),
        dims([2, 3, 3, 3], &[[5, 3, 1, 0, 1], [50, 3, 1, 2, 1]]),
        dims([1, 2, 2, 2], &[[3, 3, 1, 2, 1], [3, 3, 1, 0, 1]]),
        dims([2, 2, 2, 2], &[[1, 3, 1, 2, 1], [1, 3, 1, 1, 1]]),
        dims([3, 5, 5, 5], &[[21, 3, 2, 1, 1], [71, 3, 2, 1, 1]]),
        dims([2, 3, 3, 3], &[[12, 3, 2, 1, 1], [34, 3, 2, 1, 1]]),
        dims([2, 3, 3, 3], &[[2, 3, 2, 1, 1], [1, 3, 2, 1, 1]]),
        // One filter at a time: rows that share and rows that do not, several passes and blocks, two outputs a channel, strides,
        // dilations, any number of axes, no margins.
        dims([2, 5, 5, 5], &[[28, 5, 1, 2, 1], [28, 5, 1, 2, 1]]),
        dims([2, 3, 6, 3], &[[17, 5, 2, 2, 1], [35, 5, 2, 2, 1]]),
        dims([3, 4, 4, 4], &[[14, 7, 1, 3, 1], [14, 7, 1, 3, 1]]),
        dims([1, 2, 4, 2], &[[9, 4, 1, 0, 1], [11, 7, 1, 0, 1]]),
        dims([2, 3, 3, 3], &[[28, 3, 1, 2, 2], [29, 3, 1, 2, 2]]),
        dims([2, 3, 6, 3], &[[23, 3, 2, 3, 3], [31, 3, 3, 4, 2]]),
        dims([2, 3, 3, 3], &[[13, 3, 1, 12, 12], [13, 3, 1, 12, 12]]),
        dims([1, 2, 2, 2], &[[31, 11, 3, 5, 1], [70, 9, 1, 4, 1]]),
        dims([2, 2, 4, 2], &[[12, 8, 4, 2, 1], [13, 8, 4, 2, 1]]),
        dims([2, 3, 3, 3], &[[5, 2, 1, 1, 1], [9, 5, 1, 2, 1], [20, 3, 1, 1, 1]]),
        dims([1, 2, 4, 2], &[[5, 3, 2, 1, 1], [9, 3, 2, 1, 2], [20, 4, 2, 1, 1]]),
        dims([2, 3, 6, 3], &[[300, 7, 1, 3, 1]]),
        dims([2, 3, 3, 3], &[[100, 5, 2, 2, 3]]),
        dims([3, 4, 8, 4], &[]),
        // Rows of the kernel along the lanes.
        dims([2, 3, 3, 3], &[[150, 64, 32, 0, 1], [134, 64, 32, 3, 1]]),
        dims([2, 2, 6, 2], &[[37, 7, 2, 3, 1], [83, 17, 8, 4, 1]]),
        dims([1, 2, 2, 2], &[[9, 16, 8, 4, 1], [8, 16, 8, 4, 1]]),
        dims([2, 2, 2, 2], &[[3, 4, 40, 3, 1], [90, 20, 40, 19, 1]]),
        dims([3, 4, 4, 4], &[[7, 7, 1, 0, 1], [7, 7, 1, 0, 1]]),
        dims([2, 3, 4, 1], &[]),
        dims([0, 3, 4, 1], &[[5, 3, 1, 0, 1]]),
        dims([1, 40, 70, 1], &[[13, 3, 1, 1, 1], [13, 3, 1, 1, 1]]),
        dims([1, 2, 2, 1], &[[3, 2, 4, 3, 1], [3, 2, 5, 4, 1]]),
        dims([17, 6, 33, 3], &[[7, 3, 1, 1, 1], [7, 3, 1, 1, 1]]),
        dims([9, 2, 3, 1], &[[4, 1, 1, 3, 1], [6, 2, 1, 3, 1]]),
        // Strides: small images together, bands, planes of all images at once, lines of three phases, one axis.
        dims([9, 5, 7, 1], &[[7, 3, 2, 1, 1], [9, 3, 2, 1, 1]]),
        dims([2, 3, 200, 1], &[[9, 3, 2, 1, 1], [8, 3, 2, 1, 1]]),
        dims([1, 2, 3, 1], &[[70, 3, 2, 1, 1], [61, 2, 2, 0, 1]]),
        dims([1, 2, 6, 2], &[[70, 4, 3, 1, 1], [62, 2, 3, 0, 1]]),
        dims([1, 2, 3, 1], &[[4999, 3, 2, 1, 1]]),
        // Rows of a band cut, too: phases, lines that are woven, lines that no tap meets.
        dims([9, 90, 70, 1], &[[14, 3, 2, 1, 1], [13, 3, 2, 1, 1]]),
        dims([2, 200, 33, 1], &[[21, 1, 2, 0, 1], [19, 1, 2, 0, 1]]),
        // Phases that are alike: all, in two sets, all but one; woven by two, four, eight and by others, some shorter; groups, small images
        // together, bands.
        dims([2, 16, 20, 1], &[[32, 2, 2, 0, 1], [32, 2, 2, 0, 1]]),
        dims([3, 18, 14, 1], &[[9, 2, 2, 0, 1], [11, 3, 3, 0, 1]]),
        dims([1, 21, 19, 1], &[[88, 16, 8, 4, 1], [95, 16, 8, 4, 1]]),
        dims([2, 13, 30, 1], &[[40, 8, 8, 0, 1], [45, 8, 8, 0, 1]]),
        dims([2, 26, 28, 2], &[[21, 6, 4, 0, 1], [70, 4, 4, 0, 1]]),
        dims([2, 17, 14, 1], &[[24, 5, 5, 0, 1], [143, 24, 12, 3, 1]]),
        dims([1, 20, 16, 1], &[[5, 9, 8, 4, 1], [7, 9, 8, 4, 1]]),
        dims([2, 14, 20, 1], &[[301, 11, 4, 0, 1]]),
        // Sums of a register and a half of channels, their rows cut.
        dims([2, 90, 48, 1], &[[31, 1, 1, 0, 1], [23, 1, 1, 0, 1]]),
        // One tap: more of one side's channels, several images and bands, several blocks of taps.
        dims([9, 6, 70, 1], &[[7, 1, 1, 0, 1], [7, 1, 1, 0, 1]]),
        dims([2, 40, 6, 2], &[[41, 1, 1, 0, 1], [40, 1, 1, 0, 1]]),
        dims([1, 290, 19, 1], &[[31, 1, 1, 0, 1], [30, 1, 1, 0, 1]]),
        dims([2, 3, 4, 1], &[[9, 1, 2, 0, 1], [70, 1, 2, 0, 1]]),
        // Many taps; planes of all images at once, too.
        dims([3, 1030, 64, 1], &[[5, 1, 1, 0, 1], [3, 1, 1, 0, 1]]),
        dims([2, 1030, 192, 1], &[[3, 1, 2, 0, 1], [5, 1, 2, 0, 1]]),
        // Gradients added directly: of groups, and of two groups of images and of columns.
        dims([3, 140, 150, 2], &[[5, 1, 1, 0, 1], [6, 1, 1, 0, 1]]),
        dims([3, 390, 385, 1], &[[19, 1, 1, 0, 1], [20, 1, 1, 0, 1]]),
        // Two images share panels, and tasks the rows.
        dims([5, 150, 70, 1], &[[11, 1, 1, 0, 1], [12, 1, 1, 0, 1]]),
        // Few input channels, lines of whole registers or nearly.
        dims([3, 3, 13, 1], &[[47, 3, 1, 1, 1], [30, 3, 1, 1, 1]]),
        dims([2, 3, 9, 1], &[[67, 3, 2, 0, 1], [65, 3, 2, 1, 1]]),
        dims([2, 4, 6, 2], &[[9, 3, 4, 1, 1], [121, 3, 4, 1, 1]]),
        dims([1, 1, 3, 1], &[[200, 5, 3, 2, 2]]),
        // All phases together: in one go and in two, margins, kernels that are not square.
        dims([3, 3, 20, 1], &[[227, 11, 4, 0, 1], [200, 11, 4, 0, 1]]),
        dims([11, 4, 12, 1], &[[227, 11, 4, 0, 1], [227, 11, 4, 0, 1]]),
        dims([9, 4, 18, 1], &[[67, 9, 4, 3, 1], [90, 11, 4, 2, 1]]),
        // To few channels: by the convolution from them, but for margins that are wider than the taps reach; groups, one axis, dilation.
        dims([2, 60, 3, 1], &[[21, 3, 1, 1, 1], [37, 5, 1, 2, 1]]),
        dims([1, 150, 4, 2], &[[18, 3, 1, 2, 1], [24, 3, 1, 0, 1]]),
        dims([2, 40, 1, 1], &[[30, 5, 1, 4, 2], [33, 2, 1, 0, 3]]),
        dims([2, 49, 3, 1], &[[9, 3, 1, 3, 1], [9, 3, 1, 1, 1]]),
        dims([2, 12, 2, 1], &[[9, 3, 1, 1, 1], [9, 3, 1, 1, 1]]),
        dims([3, 40, 2, 1], &[[90, 9, 1, 4, 1]]),
        // Few channels of both kinds in a group, bands.
        dims([2, 24, 24, 3], &[[65, 3, 2, 1, 1], [66, 3, 2, 1, 1]]),
        dims([2, 10, 16, 2], &[[50, 2, 1, 1, 1], [47, 3, 1, 1, 1]]),
        // Fast enough to go by way of tiles.
        dims([3, 20, 50, 1], &[[31, 3, 1, 1, 1], [29, 3, 1, 0, 1]]),
        dims([17, 70, 36, 2], &[[13, 3, 1, 2, 1], [11, 3, 1, 1, 1]]),
        dims([33, 40, 33, 1], &[[8, 5, 1, 2, 1], [9, 5, 1, 4, 1]]),
        dims([20, 24, 24, 1], &[[12, 4, 1, 2, 1], [12, 4, 1, 1, 1]]),
        dims([33, 1, 20, 1], &[[10, 5, 1, 0, 1], [9, 5, 1, 2, 1]]),
        // Without margins the output's gradient has fewer tiles than the input's: images alone and together, groups, several
        // blocks of channels, margins that are cut off.
        dims([17, 20, 50, 1], &[[12, 5, 1, 0, 1], [12, 5, 1, 0, 1]]),
        dims([33, 40, 66, 2], &[[10, 3, 1, 0, 1], [9, 3, 1, 0, 1]]),
        dims([2, 90, 40, 1], &[[17, 3, 1, 0, 1], [23, 3, 1, 0, 1]]),
        dims([9, 24, 20, 1], &[[11, 5, 1, 1, 1], [10, 5, 1, 0, 1]]),
        // Kernels as large as the input, and nearly: products, and of many channels products with all taps, some channels at a time.
        dims([3, 20, 33, 1], &[[7, 7, 1, 0, 1], [5, 5, 1, 0, 1]]),
        dims([70, 9, 40, 1], &[[6, 6, 3, 0, 1], [1, 1, 2, 0, 1]]),
        dims([2, 5, 19, 1], &[[130, 130, 1, 0, 1]]),
        dims([1, 600, 19, 1], &[[1, 1, 1, 0, 1], [1, 1, 1, 0, 1]]),
        dims([1, 40, 24, 2], &[[16, 7, 1, 0, 1], [15, 7, 1, 0, 1]]),
        dims([2, 33, 17, 1], &[[30, 29, 1, 0, 1], [30, 27, 1, 0, 1]]),
        dims([2, 15, 9, 1], &[[21, 6, 2, 0, 1], [20, 8, 2, 0, 1]]),
        // Dilated: blocks of tiles that fit, that reach beyond the ends, bands, margins of all widths, eight points, weights that pass.
        dims([3, 20, 50, 1], &[[31, 3, 1, 2, 2], [29, 3, 1, 1, 2]]),
        dims([2, 40, 36, 2], &[[16, 3, 1, 2, 2], [24, 3, 1, 2, 2]]),
        dims([1, 33, 50, 1], &[[70, 3, 1, 3, 3], [41, 3, 1, 0, 3]]),
        dims([2, 32, 40, 1], &[[17, 3, 1, 12, 12], [13, 3, 1, 12, 12]]),
        dims([3, 40, 33, 1], &[[19, 5, 1, 4, 2], [22, 5, 1, 8, 2]]),
        dims([1, 90, 80, 1], &[[14, 3, 1, 2, 2], [9, 3, 1, 2, 2]]),
        // Several parts: kernels of more than five taps, dilated ones, strides, both; margins of all widths, groups, bands, channels
        // that leave lanes empty, weights that pass, phases woven together.
        dims([2, 32, 40, 1], &[[33, 7, 1, 3, 1], [30, 7, 1, 2, 1]]),
        dims([3, 20, 36, 1], &[[17, 6, 1, 0, 1], [23, 6, 1, 5, 1]]),
        dims([1, 40, 48, 2], &[[21, 9, 1, 4, 1], [40, 9, 1, 8, 1]]),
        dims([2, 33, 20, 1], &[[19, 11, 1, 5, 1], [24, 11, 1, 0, 1]]),
        dims([2, 24, 32, 1], &[[30, 6, 1, 4, 2], [27, 6, 1, 10, 2]]),
        dims([3, 40, 48, 1], &[[30, 4, 2, 1, 1], [33, 4, 2, 1, 1]]),
        dims([2, 36, 40, 2], &[[41, 5, 2, 2, 1], [70, 5, 2, 1, 1]]),
        dims([1, 40, 33, 1], &[[90, 4, 2, 3, 1], [51, 4, 2, 0, 1]]),
        dims([2, 20, 40, 1], &[[40, 7, 2, 3, 1], [39, 7, 2, 0, 1]]),
        dims([2, 24, 40, 1], &[[52, 9, 3, 4, 1], [61, 9, 3, 1, 1]]),
        dims([1, 24, 40, 1], &[[70, 13, 2, 6, 1], [61, 13, 2, 1, 1]]),
        dims([5, 90, 80, 1], &[[8, 4, 2, 1, 1], [8, 4, 2, 1, 1]]),
        dims([3, 70, 80, 1], &[[6, 7, 1, 3, 1], [7, 7, 1, 3, 1]]),
        dims([2, 40, 40, 1], &[[20, 2, 1, 1, 1], [21, 2, 1, 0, 1]]),
        // Columns behind the last tile's that no tap meets.
        dims([1, 40, 33, 1], &[[90, 4, 2, 3, 1], [53, 4, 2, 0, 1]]),
        dims([4, 40, 40, 2], &[[29, 6, 2, 0, 1], [29, 6, 2, 0, 1]]),
        dims([2, 32, 32, 1], &[[23, 4, 2, 0, 1], [23, 4, 2, 0, 1]]),
        // A row or a column of taps: one part, several, dilated; no margins, groups, bands, weights that pass, images of one line.
        dims([3, 40, 48, 1], &[[17, 1, 1, 0, 1], [17, 7, 1, 3, 1]]),
        dims([2, 40, 66, 2], &[[19, 7, 1, 3, 1], [17, 1, 1, 0, 1]]),
        dims([5, 33, 40, 1], &[[8, 1, 1, 0, 1], [9, 3, 1, 1, 1]]),
        dims([4, 40, 33, 1], &[[11, 3, 1, 0, 1], [8, 1, 1, 0, 1]]),
        dims([2, 32, 40, 1], &[[30, 1, 1, 0, 1], [70, 5, 1, 0, 1]]),
        dims([3, 24, 32, 1], &[[29, 5, 1, 4, 2], [21, 1, 1, 0, 3]]),
        dims([2, 24, 32, 1], &[[30, 1, 1, 0, 1], [27, 6, 1, 6, 2]]),
        dims([1, 40, 36, 1], &[[70, 3, 1, 3, 3], [40, 1, 1, 0, 1]]),
        dims([2, 90, 80, 1], &[[4, 1, 1, 0, 1], [4, 3, 1, 1, 1]]),
        dims([1, 90, 80, 1], &[[7, 13, 1, 6, 1], [5, 1, 1, 0, 1]]),
        dims([3, 32, 64, 1], &[[1, 1, 1, 0, 1], [130, 9, 1, 4, 1]]),
        dims([2, 40, 48, 2], &[[67, 5, 1, 2, 2]]),
        // Tiles so few that weights pass: two tasks' images, bands of groups, eight points.
        dims([20, 90, 80, 1], &[[7, 3, 1, 1, 1], [7, 3, 1, 1, 1]]),
        dims([1, 146, 150, 2], &[[40, 3, 1, 1, 1], [27, 3, 1, 0, 1]]),
        dims([2, 70, 65, 1], &[[6, 5, 1, 2, 1], [9, 5, 1, 0, 1]]),
    ]
}

#[test]
fn forward_matches_the_reference() {
    for d in cases() {
        let (input, weights) = (values(d.input_len(), 1), values(d.weight_len(), 2));
        let bias = values(d.out_channels, 3);
        let mut scratch = vec![f32::NAN; forward_scratch_len(&d)];
        let mut got = vec![f32::NAN; d.output_len()];
        forward(&d, &input, &weights, Epilogue::default(), &mut got, &mut scratch);
        let mut want = reference::conv_forward(&d, &input, &weights);
        assert_close(&got, &want, &format!("{d:?}"));
        let whole = Epilogue { bias: Some(&bias), relu: true, ..Epilogue::default() };
        forward(&d, &input, &weights, whole, &mut got, &mut scratch);
        for (i, v) in want.iter_mut().enumerate() {
            *v = (*v + bias[i / d.out_area() % d.out_channels]).max(0.0);
        }
        assert_close(&got, &want, &format!("bias and relu, {d:?}"));
    }
}

/// What stands behind a convolution gives the bits of a pass of its own, on every way.
#[test]
fn standards_change_no_bit() {
    // No channels, no values, no outputs.
    let empty =
        [([2, 0, 3, 1], [5, 3, 1, 1, 1]), ([2, 3, 4, 1], [0, 3, 1, 2, 1]), ([2, 3, 0, 1], [5, 3, 1, 1, 1])];
    for d in cases().into_iter().chain(empty.map(|(sizes, axis)| dims(sizes, &[axis, axis]))) {
        let (input, weights) = (values(d.input_len(), 1), values(d.weight_len(), 2));
        let [bias, scale, shift] = [3, 4, 5].map(|seed| values(d.out_channels, seed));
        let dims = Channels { images: d.batch, channels: d.out_channels, inner: d.out_area() };
        let moments: Vec<Moments> =
            (bias.iter().zip(&scale)).map(|(&b, &s)| Moments { mean: 0.3 * b, variance: s * s }).collect();
        let mut scratch = vec![f32::NAN; forward_scratch_len(&d)];
        for (own, finish) in [
            (None, Finish::default()),
            (Some(&bias[..]), Finish { rectify: true, ..Finish::default() }),
            (None, Finish { scale: Some(&scale), bias: Some(&shift), rectify: true }),
            (Some(&bias), Finish { scale: Some(&scale), bias: None, rectify: false }),
        ] {
            let norm = BatchNorm { dims, eps: 0.01, finish };
            let (mut x, mut got) = (vec![f32::NAN; d.output_len()], vec![f32::NAN; d.output_len()]);
            let mut want = got.clone();
            let plain = Epilogue { bias: own, ..Epilogue::default() };
            forward(&d, &input, &weights, plain, &mut x, &mut scratch);
            norm.forward_given(&moments, &x, &mut want);
            let mut standards = vec![Standard::default(); d.out_channels];
            norm.standards(&moments, &mut standards);
            let whole = Epilogue { standards: Some(&standards), relu: finish.rectify, ..plain };
            forward(&d, &input, &weights, whole, &mut got, &mut scratch);
            assert!(got.iter().zip(&want).all(|(g, w)| g.to_bits() == w.to_bits()), "{finish:?}, {d:?}");
        }
    }
}

#[test]
fn added_gradients_are_those_of_a_sum() {
    let (mut plain, mut strided) = (0, 0);
    let more = [
        dims([3, 4, 530, 1], &[[9, 1, 2, 0, 1], [1, 1, 2, 0, 1]]),
        dims([2, 3, 530, 1], &[[1, 1, 2, 0, 1], [1, 1, 2, 0, 1]]),
        dims([2, 6, 9, 3], &[[7, 1, 3, 0, 1], [8, 1, 1, 0, 1]]),
    ];
    for d in cases().into_iter().chain(more).filter(adds_backward_input) {
        *(if d.axes.iter().any(|axis| axis.stride > 1) { &mut strided } else { &mut plain }) += 1;
        let (top, weights) = (values(d.output_len(), 1), values(d.weight_len(), 2));
        let (before, x) = (values(d.input_len(), 3), values(d.input_len(), 4));
        let mut scratch = vec![f32::NAN; backward_input_scratch_len(&d)];
        let mut sum = vec![f32::NAN; d.input_len()];
        backward_input(&d, &top, &weights, &mut sum, &mut scratch);
        sum.iter_mut().zip(&before).for_each(|(sum, before)| *sum += before);
        for x in [None, Some(&x[..])] {
            let mut got = before.clone();
            scratch.fill(f32::NAN);
            add_backward_input(&d, &top, &weights, x, &mut got, &mut scratch);
            if let Some(x) = x {
                sum.iter_mut().zip(x).for_each(|(sum, &x)| *sum = if x > 0.0 { *sum } else { 0.0 });
            }
            assert_eq!(got, sum, "{d:?}, rectified: {}", x.is_some());
        }
    }
    assert!(plain > 5 && strided > 5, "{plain} {strided}");
}

#[test]
fn without_outputs_nothing_is_added() {
    for d in [dims([2, 3, 0, 1], &[[2, 1, 1, 0, 1]]), dims([0, 3, 4, 1], &[[2, 1, 2, 0, 1]])] {
        let mut got = vec![1.0; d.input_len()];
        let x: Vec<f32> = (0..d.input_len()).map(|i| i as f32 - 5.0).collect();
        let weights = vec![1.0; d.weight_len()];
        add_backward_input(&d, &[], &weights, None, &mut got, &mut []);
        assert_eq!(got, vec![1.0; d.input_len()]);
        add_backward_input(&d, &[], &weights, Some(&x), &mut got, &mut []);
        assert!(got.iter().zip(&x).all(|(&got, &x)| got == if x > 0.0 { 1.0 } else { 0.0 }));
    }
}

#[test]
fn backward_input_matches_the_reference() {
    for d in cases() {
        let (top, weights) = (values(d.output_len(), 1), values(d.weight_len(), 2));
        let mut scratch = vec![f32::NAN; backward_input_scratch_len(&d)];
        let mut got = vec![f32::NAN; d.input_len()];
        backward_input(&d, &top, &weights, &mut got, &mut scratch);
        assert_close(&got, &reference::conv_backward_input(&d, &top, &weights), &format!("{d:?}"));
    }
}

#[test]
fn backward_weights_adds_what_the_reference_finds() {
    for d in cases() {
        let (input, top) = (values(d.input_len(), 1), values(d.output_len(), 2));
        let mut scratch = vec![f32::NAN; backward_weights_scratch_len(&d)];
        let mut got = vec![1.0; d.weight_len()];
        backward_weights(&d, &input, &top, &mut got, None, &mut scratch);
        let want: Vec<f32> =
            reference::conv_backward_weights(&d, &input, &top).iter().map(|v| v + 1.0).collect();
        assert_close(&got, &want, &format!("{d:?}"));
        let (mut bias, mut want) = (vec![1.0; d.out_channels], vec![1.0; d.out_channels]);
        backward_weights(&d, &input, &top, &mut got, Some(&mut bias), &mut scratch);
        backward_bias(&d, &top, &mut want);
        assert_close(&bias, &want, &format!("bias, {d:?}"));
    }
}

#[test]
fn backward_bias_sums_images_and_positions() {
    let d = dims([2, 1, 2, 1], &[[3, 1, 1, 0, 1]]);
    let mut bias = [1.0, 1.0];
    backward_bias(&d, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0], &mut bias);
    assert_eq!(bias, [1.0 + 6.0 + 24.0, 1.0 + 15.0 + 33.0]);
}

#[test]
fn same_bytes_for_any_number_of_threads() {
    for d in cases() {
        let (input, top, weights) =
            (values(d.input_len(), 1), values(d.output_len(), 2), values(d.weight_len(), 3));
        let run = || {
            let mut scratch = vec![
                0.0;
                forward_scratch_len(&d)
                    .max(backward_input_scratch_len(&d))
                    .max(backward_weights_scratch_len(&d))
            ];
            let (mut output, mut bottom) = (vec![0.0; d.output_len()], vec![0.0; d.input_len()]);
            let (mut weight_diff, mut bias) = (vec![0.0; d.weight_len()], vec![0.0; d.out_channels]);
            forward(&d, &input, &weights, Epilogue::default(), &mut output, &mut scratch);
            backward_input(&d, &top, &weights, &mut bottom, &mut scratch);
            backward_weights(&d, &input, &top, &mut weight_diff, Some(&mut bias), &mut scratch);
            [output, bottom, weight_diff, bias].concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let with =
            |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
        let one = with(1);
        assert!((2..=3).all(|threads| with(threads) == one), "{d:?}");
    }
}

#[test]
fn without_outputs_nothing_goes_by_way_of_tiles() {
    let isa = Isa::best();
    for kernel in [3, 5] {
        for (batch, input) in [(0, 7), (2, 0)] {
            let d = dims([batch, 64, 64, 1], &[[input, kernel, 1, kernel - 1, 1]; 2]);
            let [forward, backward, gradient] =
                [Winograd::forward(isa, &d), Winograd::backward(isa, &d), Winograd::gradient(isa, &d)];
            assert!(backward.is_none(), "{d:?}");
            assert!(batch > 0 || forward.is_none() && gradient.is_none(), "{d:?}");
            assert!(scratch_len(&d) < 1 << 24, "{d:?}");
        }
    }
}

#[test]
fn each_way_is_tested() {
    let isa = Isa::best();
    let names = |name: fn(Isa, &ConvDims) -> &'static str| {
        let cases = cases();
        let of = |way: &str| cases.iter().filter(|d| name(isa, d) == way).count();
        ["whole", "depthwise", "phased", "fast", "in parts", "lines", "few", "plain"].map(of)
    };
    fn name<F>(way: Way<F>) -> &'static str {
        match way {
            Way::Whole => "whole",
            Way::Depthwise => "depthwise",
            Way::Phased(_) => "phased",
            Way::Fast(fast) if fast.is_line() => "lines",
            Way::Fast(fast) if fast.parts() > 1 => "in parts",
            Way::Fast(_) => "fast",
            Way::Few(_) => "few",
            Way::Plain => "plain",
        }
    }
    let counts = [
        names(|isa, d| name(Way::forward(isa, d))),
        names(|isa, d| name(Way::backward_input(isa, d))),
        names(|isa, d| name(Way::backward_weights(isa, d))),
    ];
    assert!(counts.iter().flatten().all(|&count| count >= 3), "{counts:?}");
    let count = |of: fn(&ConvDims) -> Option<ConvDims>| cases().iter().filter(|d| of(d).is_some()).count();
    let (forward, all) = (count(exchanged::of_forward), count(exchanged::of));
    assert!(forward >= 4 && all > forward, "{forward} {all}");
}
