//! Convolution whose filters are not shared: each output position has filters of its own, and biases of its own.
//!
//! At one position the layer is a small matrix product over the batch; positions are the tasks. Weights therefore
//! lie position by position: row `p * out_channels + o` is the filter of output channel `o` at position `p`.

use super::{
    conv::{ConvDims, col2im, im2col},
    gemm::{Gemm, Matrix, gemm},
    parallel::for_chunks_mut,
    scratch,
};

/// How many values of unrolled input are held at once: images are taken together up to this, so that the weights,
/// which are many, are read once for all of them.
const UNROLLED: usize = 1 << 22;

/// The lengths that the functions below share.
struct Lens {
    /// Images that are taken together.
    images: usize,
    /// Positions.
    area: usize,
    /// Input and output values of an image.
    input: usize,
    output: usize,
    /// Values of an image's columns, and of one column.
    columns: usize,
    column: usize,
    /// Filters and weights of one group at one position.
    filters: usize,
    depth: usize,
}

impl Lens {
    fn of(dims: &ConvDims) -> Self {
        let (area, column) = (dims.out_area(), dims.in_channels * dims.kernel_area());
        let columns = area * column;
        Self {
            images: (UNROLLED / columns.max(1)).clamp(1, dims.batch.max(1)),
            area,
            input: dims.in_channels * dims.in_area(),
            output: dims.out_channels * area,
            columns,
            column,
            filters: dims.out_channels / dims.group,
            depth: dims.depth(),
        }
    }

    /// The first image and the number of images of every batch that is taken together.
    fn batches(&self, dims: &ConvDims) -> impl Iterator<Item = (usize, usize)> {
        let (all, each) = (dims.batch, self.images);
        (0..all).step_by(each).map(move |first| (first, each.min(all - first)))
    }
}

/// Number of units: output values of an image, each with weights and a bias of its own.
pub fn units(dims: &ConvDims) -> usize {
    dims.out_area().saturating_mul(dims.out_channels)
}

/// Number of weights.
pub fn weight_len(dims: &ConvDims) -> usize {
    units(dims) * dims.depth()
}

/// Floats of scratch that each function needs.
pub fn scratch_len(dims: &ConvDims) -> usize {
    let lens = Lens::of(dims);
    lens.images * (lens.columns + lens.output)
}

/// output = weighted sums of the input, plus a bias for each unit.
///
/// # Panics
/// When a slice does not have the length that `dims` asks for.
pub fn forward(
    dims: &ConvDims,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
    scratch: &mut [f32],
) {
    check(dims, input, weights, output, scratch);
    let lens = Lens::of(dims);
    let outs = dims.out_channels;
    if input.is_empty() {
        // Nothing but padding.
        return output.iter_mut().enumerate().for_each(|(i, y)| {
            let unit = i % lens.area * outs + i / lens.area % outs;
            *y = bias.map_or(0.0, |bias| bias[unit]);
        });
    }
    for (first, images) in lens.batches(dims) {
        let (columns, sums) = scratch.split_at_mut(images * lens.columns);
        unroll(dims, &lens, &input[first * lens.input..], columns);
        let sums = &mut sums[..images * lens.output];
        for_chunks_mut(sums, images * outs, |start, sums| {
            let position = start / (images * outs);
            for group in 0..dims.group {
                let x = columns_at(&lens, columns, position, group);
                let w = weights_at(dims, &lens, weights, position, group);
                let product = Gemm::new(images, lens.filters, lens.depth, x, w.transposed());
                gemm(&Gemm { c_stride: outs, ..product }, &mut sums[group * lens.filters..]);
            }
        });
        let output = &mut output[first * lens.output..][..images * lens.output];
        for_chunks_mut(output, lens.area, |start, line| {
            let (image, out) = (start / lens.output, start % lens.output / lens.area);
            for (position, y) in line.iter_mut().enumerate() {
                let bias = bias.map_or(0.0, |bias| bias[position * outs + out]);
                *y = sums[(position * images + image) * outs + out] + bias;
            }
        });
    }
}

/// `bottom_diff` = the input's gradient; what it held is overwritten.
///
/// # Panics
/// When a slice does not have the length that `dims` asks for.
pub fn backward_input(
    dims: &ConvDims,
    top_diff: &[f32],
    weights: &[f32],
    bottom_diff: &mut [f32],
    scratch: &mut [f32],
) {
    check(dims, bottom_diff, weights, top_diff, scratch);
    let lens = Lens::of(dims);
    for (first, images) in lens.batches(dims) {
        let columns = &mut scratch[..images * lens.columns];
        for_chunks_mut(columns, images * lens.column, |start, columns| {
            let position = start / (images * lens.column);
            for group in 0..dims.group {
                let dy = diffs_at(&lens, &top_diff[first * lens.output..], position, group);
                let w = weights_at(dims, &lens, weights, position, group);
                let product = Gemm::new(images, lens.depth, lens.filters, dy, w);
                gemm(&Gemm { c_stride: lens.column, ..product }, &mut columns[group * lens.depth..]);
            }
        });
        let bottom_diff = &mut bottom_diff[first * lens.input..][..images * lens.input];
        for_chunks_mut(bottom_diff, lens.input, |start, bottom_diff| {
            let image = start / lens.input;
            scratch::lend(lens.columns, |turned| {
                for (i, line) in turned.chunks_exact_mut(lens.area).enumerate() {
                    for (position, v) in line.iter_mut().enumerate() {
                        *v = columns[(position * images + image) * lens.column + i];
                    }
                }
                col2im(&dims.axes, dims.in_channels, turned, bottom_diff);
            });
        });
    }
}

/// Adds the weights' gradient, summed over the batch, to `weight_diff`.
///
/// # Panics
/// When a slice does not have the length that `dims` asks for.
pub fn backward_weights(
    dims: &ConvDims,
    input: &[f32],
    top_diff: &[f32],
    weight_diff: &mut [f32],
    scratch: &mut [f32],
) {
    check(dims, input, weight_diff, top_diff, scratch);
    if input.is_empty() {
        return;
    }
    let lens = Lens::of(dims);
    let per_position = dims.out_channels * lens.depth;
    for (first, images) in lens.batches(dims) {
        let columns = &mut scratch[..images * lens.columns];
        unroll(dims, &lens, &input[first * lens.input..], columns);
        for_chunks_mut(weight_diff, per_position, |start, weight_diff| {
            let position = start / per_position;
            for (group, weight_diff) in weight_diff.chunks_exact_mut(lens.filters * lens.depth).enumerate() {
                let dy = diffs_at(&lens, &top_diff[first * lens.output..], position, group);
                let x = columns_at(&lens, columns, position, group);
                let product = Gemm::new(lens.filters, lens.depth, images, dy.transposed(), x);
                gemm(&Gemm { beta: 1.0, ..product }, weight_diff);
            }
        });
    }
}

/// Adds the biases' gradient, the sum of `top_diff` over the images, to `bias_diff`, one value a unit.
///
/// # Panics
/// When a slice does not have the length that `dims` asks for.
pub fn backward_bias(dims: &ConvDims, top_diff: &[f32], bias_diff: &mut [f32]) {
    assert_eq!(top_diff.len(), dims.output_len(), "output length");
    assert_eq!(bias_diff.len(), units(dims), "bias length");
    let area = dims.out_area();
    for_chunks_mut(bias_diff, dims.out_channels, |start, sums| {
        let position = start / dims.out_channels;
        for image in top_diff.chunks_exact(dims.out_channels * area) {
            let values = image[position..].iter().step_by(area);
            sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
        }
    });
}

/// Fills the columns of as many images as there is room for.
fn unroll(dims: &ConvDims, lens: &Lens, input: &[f32], columns: &mut [f32]) {
    for_chunks_mut(columns, lens.columns, |start, columns| {
        let image = &input[start / lens.columns * lens.input..][..lens.input];
        im2col(&dims.axes, dims.in_channels, image, columns);
    });
}

/// The columns of one position and group: images x depth.
fn columns_at<'a>(lens: &Lens, columns: &'a [f32], position: usize, group: usize) -> Matrix<'a> {
    let data = &columns[group * lens.depth * lens.area + position..];
    Matrix { data, row_stride: lens.columns, col_stride: lens.area }
}

/// The output's gradient at one position, in one group: images x filters.
fn diffs_at<'a>(lens: &Lens, top_diff: &'a [f32], position: usize, group: usize) -> Matrix<'a> {
    let data = &top_diff[group * lens.filters * lens.area + position..];
    Matrix { data, row_stride: lens.output, col_stride: lens.area }
}

/// The weights of one position and group: filters x depth.
fn weights_at<'a>(
    dims: &ConvDims,
    lens: &Lens,
    weights: &'a [f32],
    position: usize,
    group: usize,
) -> Matrix<'a> {
    let first = position * dims.out_channels + group * lens.filters;
    Matrix::row_major(&weights[first * lens.depth..][..lens.filters * lens.depth], lens.depth)
}

fn check(dims: &ConvDims, input: &[f32], weights: &[f32], output: &[f32], scratch: &[f32]) {
    assert_eq!(input.len(), dims.input_len(), "input length");
    assert_eq!(weights.len(), weight_len(dims), "weights length");
    assert_eq!(output.len(), dims.output_len(), "output length");
    assert!(scratch.len() >= scratch_len(dims), "scratch length");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{conv::ConvAxis, reference};

    fn values(len: usize, seed: u32) -> Vec<f32> {
        (0..len as u32)
            .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed * 97) >> 8) as f32 / 8_388_608.0 - 1.0)
            .collect()
    }

    fn cases() -> Vec<ConvDims> {
        let dims = |[batch, in_channels, out_channels, group]: [usize; 4], axes: &[[usize; 5]]| ConvDims {
            batch,
            in_channels,
            out_channels,
            group,
            axes: axes.iter().map(|&[i, k, s, p, d]| ConvAxis::new(i, k, s, p, d).unwrap()).collect(),
            place: None,
        };
        vec![
            dims([3, 3, 5, 1], &[[7, 3, 1, 1, 1], [9, 3, 1, 1, 1]]),
            dims([2, 4, 6, 2], &[[11, 3, 2, 1, 1], [8, 5, 3, 2, 1]]),
            dims([1, 2, 3, 1], &[[4, 2, 1, 1, 1], [5, 3, 2, 1, 1], [6, 3, 1, 2, 2]]),
            dims([5, 2, 4, 1], &[[31, 4, 3, 5, 2]]),
            dims([2, 3, 4, 1], &[]),
            dims([0, 3, 4, 1], &[[5, 3, 1, 0, 1]]),
            // More than is unrolled at once.
            dims([3, 40, 3, 1], &[[65, 5, 1, 2, 1], [29, 5, 1, 2, 1]]),
        ]
    }

    fn close(got: &[f32], want: &[f32], what: &str) {
        assert_eq!(got.len(), want.len());
        let scale = want.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            assert!((g - w).abs() <= 2e-5 * scale, "{what}: element {i} is {g}, not {w}");
        }
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    }

    #[test]
    fn with_equal_filters_everywhere_it_is_a_convolution() {
        for d in cases() {
            let (input, filters) = (values(d.input_len(), 1), values(d.weight_len(), 2));
            let weights = filters.repeat(d.out_area());
            let bias = values(units(&d), 3);
            let mut got = vec![f32::NAN; d.output_len()];
            forward(&d, &input, &weights, Some(&bias), &mut got, &mut vec![f32::NAN; scratch_len(&d)]);
            let mut want = reference::conv_forward(&d, &input, &filters);
            for (i, v) in want.iter_mut().enumerate() {
                *v += bias[i % d.out_area() * d.out_channels + i / d.out_area() % d.out_channels];
            }
            close(&got, &want, &format!("{d:?}"));
        }
    }

    /// y is linear in x and in w, so <dy, y> = <dx, x> = <dw, w>; and with equal filters the gradients are a
    /// convolution's.
    #[test]
    fn gradients_agree_with_forward() {
        for d in cases() {
            let (x, w) = (values(d.input_len(), 1), values(weight_len(&d), 2));
            let dy = values(d.output_len(), 3);
            let mut scratch = vec![f32::NAN; scratch_len(&d)];
            let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
            let mut dw = vec![0.0; w.len()];
            forward(&d, &x, &w, None, &mut y, &mut scratch);
            backward_input(&d, &dy, &w, &mut dx, &mut scratch);
            backward_weights(&d, &x, &dy, &mut dw, &mut scratch);
            let want = dot(&dy, &y);
            let scale = dot(&y, &y).sqrt().max(1.0) * 1e-3;
            assert!((dot(&dx, &x) - want).abs() < scale, "{d:?}: {} {want}", dot(&dx, &x));
            assert!((dot(&dw, &w) - want).abs() < scale, "{d:?}: {} {want}", dot(&dw, &w));

            let filters = values(d.weight_len(), 4);
            backward_input(&d, &dy, &filters.repeat(d.out_area()), &mut dx, &mut scratch);
            close(&dx, &reference::conv_backward_input(&d, &dy, &filters), &format!("{d:?}"));
            let mut sums = vec![0.0; d.weight_len()];
            dw.chunks_exact(sums.len()).for_each(|part| sums.iter_mut().zip(part).for_each(|(s, v)| *s += v));
            close(&sums, &reference::conv_backward_weights(&d, &x, &dy), &format!("{d:?}"));
        }
    }

    #[test]
    fn each_unit_has_its_bias() {
        let axes = vec![ConvAxis::new(2, 1, 1, 0, 1).unwrap()].into();
        let d = ConvDims { batch: 2, in_channels: 1, out_channels: 3, group: 1, axes, place: None };
        let dy: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let mut db = [1.0; 6];
        backward_bias(&d, &dy, &mut db);
        assert_eq!(db, [7.0, 11.0, 15.0, 9.0, 13.0, 17.0]);
    }

    #[test]
    fn same_bytes_for_any_number_of_threads() {
        for d in cases() {
            let (x, w) = (values(d.input_len(), 1), values(weight_len(&d), 2));
            let dy = values(d.output_len(), 3);
            let run = || {
                let mut scratch = vec![0.0; scratch_len(&d)];
                let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
                let mut dw = vec![0.0; w.len()];
                forward(&d, &x, &w, None, &mut y, &mut scratch);
                backward_input(&d, &dy, &w, &mut dx, &mut scratch);
                backward_weights(&d, &x, &dy, &mut dw, &mut scratch);
                [y, dx, dw].concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let with = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(run);
            assert!(with(3) == with(1), "{d:?}");
        }
    }
}
