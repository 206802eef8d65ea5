//! Against the reference twin, on every instruction set.

use super::{Forward, Gradient, InputGradient};
use crate::kernels::conv::tests::{assert_close, values};
use crate::kernels::conv::{ConvAxis, ConvDims, Epilogue};
use crate::kernels::reference;
use crate::kernels::simd::Isa;

/// Batch, input and output channels, groups; input, kernel, stride, pad and dilation of each axis.
const CASES: [([usize; 4], [[usize; 5]; 2]); 23] = [
    ([2, 1, 20, 1], [[28, 5, 1, 0, 1], [28, 5, 1, 0, 1]]),
    ([1, 3, 33, 1], [[32, 5, 1, 2, 1], [32, 5, 1, 2, 1]]),
    ([1, 3, 17, 1], [[67, 11, 4, 0, 1], [67, 11, 4, 0, 1]]),
    ([2, 3, 40, 1], [[31, 7, 2, 3, 1], [34, 7, 2, 3, 1]]),
    ([1, 3, 5, 1], [[47, 3, 2, 0, 1], [45, 3, 2, 1, 1]]),
    ([2, 4, 6, 2], [[9, 3, 4, 1, 1], [121, 3, 4, 1, 1]]),
    ([1, 2, 3, 1], [[13, 3, 1, 2, 2], [10, 2, 2, 0, 3]]),
    ([3, 8, 6, 2], [[9, 3, 3, 2, 1], [12, 15, 2, 4, 1]]),
    ([1, 4, 1, 1], [[1, 3, 1, 1, 1], [2, 3, 1, 4, 1]]),
    ([1, 2, 2, 1], [[3, 2, 4, 3, 1], [3, 2, 5, 4, 1]]),
    ([1, 1, 2, 1], [[2, 9, 1, 4, 1], [700, 9, 1, 4, 1]]),
    ([2, 3, 35, 1], [[70, 3, 1, 1, 1], [70, 3, 1, 1, 1]]),
    ([2, 4, 8, 4], [[6, 4, 3, 0, 1], [5, 4, 1, 1, 1]]),
    // By points: lines that are not whole tiles or registers, several bands.
    ([2, 6, 34, 2], [[31, 5, 1, 1, 1], [34, 5, 1, 0, 1]]),
    ([1, 4, 5, 1], [[68, 5, 1, 1, 1], [70, 3, 1, 0, 1]]),
    ([2, 3, 35, 1], [[41, 3, 1, 1, 1], [35, 3, 1, 1, 1]]),
    ([1, 4, 40, 1], [[101, 3, 1, 0, 1], [64, 3, 1, 2, 1]]),
    // Weights' gradients of several bands whose lines begin anywhere, and kernels that stride and are dilated.
    ([2, 3, 9, 1], [[75, 3, 2, 0, 1], [73, 3, 2, 1, 1]]),
    ([1, 2, 5, 1], [[120, 2, 3, 4, 2], [37, 4, 1, 5, 3]]),
    // Taps that leave lines out.
    ([1, 2, 7, 1], [[100, 2, 7, 3, 2], [64, 3, 4, 0, 1]]),
    // One axis.
    ([2, 3, 10, 1], [[1, 1, 1, 0, 1], [200, 9, 1, 4, 1]]),
    ([1, 4, 6, 2], [[1, 1, 1, 0, 1], [99, 5, 2, 1, 1]]),
    ([0, 3, 4, 1], [[5, 3, 1, 0, 1], [5, 3, 1, 0, 1]]),
];

/// Few channels of both kinds in a group.
const GROUPS: [([usize; 4], [[usize; 5]; 2]); 12] = [
    ([2, 128, 128, 32], [[9, 3, 1, 1, 1], [11, 3, 1, 1, 1]]),
    ([1, 24, 24, 3], [[13, 3, 2, 1, 1], [14, 3, 2, 1, 1]]),
    ([2, 10, 26, 2], [[28, 3, 1, 1, 1], [28, 3, 1, 1, 1]]),
    ([1, 16, 9, 1], [[15, 5, 1, 2, 1], [35, 5, 1, 2, 1]]),
    ([3, 6, 16, 1], [[12, 5, 1, 0, 1], [12, 5, 1, 0, 1]]),
    ([1, 15, 6, 3], [[9, 3, 1, 2, 2], [17, 3, 1, 2, 2]]),
    ([1, 16, 16, 2], [[11, 3, 2, 2, 2], [8, 2, 3, 1, 1]]),
    ([1, 6, 6, 2], [[7, 1, 2, 0, 1], [19, 5, 2, 3, 1]]),
    ([1, 22, 20, 2], [[5, 4, 3, 1, 1], [7, 2, 4, 0, 1]]),
    ([1, 8, 6, 2], [[2, 3, 1, 4, 1], [3, 3, 2, 4, 1]]),
    ([1, 4, 4, 2], [[80, 3, 1, 1, 1], [70, 3, 1, 1, 1]]),
    ([1, 10, 8, 2], [[99, 3, 2, 1, 1], [97, 3, 2, 1, 1]]),
];

#[test]
fn forward_matches_the_reference() {
    for (isa, d) in Isa::all().flat_map(|isa| cases().chain(GROUPS.map(dims)).map(move |d| (isa, d))) {
        let (input, weights, bias) =
            (values(d.input_len(), 1), values(d.weight_len(), 2), values(d.out_channels, 3));
        let forward = Forward::new(isa, &d).expect("few channels");
        let mut scratch = vec![f32::NAN; forward.scratch_len()];
        let mut got = vec![f32::NAN; d.output_len()];
        let epilogue = Epilogue { bias: Some(&bias), relu: true, ..Epilogue::default() };
        forward.run(&input, &weights, epilogue, &mut got, &mut scratch);
        let mut want = reference::conv_forward(&d, &input, &weights);
        for (i, v) in want.iter_mut().enumerate() {
            *v = (*v + bias[i / d.out_area() % d.out_channels]).max(0.0);
        }
        assert_close(&got, &want, &format!("{d:?} on {}", isa.name()));
    }
}

#[test]
fn input_gradient_matches_the_reference() {
    // Bands of one image, lines and columns that no tap meets, or only the padding does, kernels as large as the image.
    let more: [([usize; 4], [[usize; 5]; 2]); 6] = [
        ([2, 6, 64, 2], [[140, 5, 1, 2, 1], [41, 3, 1, 1, 1]]),
        ([1, 1, 9, 1], [[101, 3, 5, 1, 2], [37, 4, 7, 2, 3]]),
        ([1, 2, 8, 1], [[12, 2, 2, 5, 1], [9, 2, 3, 4, 1]]),
        ([1, 4, 300, 1], [[64, 4, 2, 1, 1], [64, 4, 2, 1, 1]]),
        ([3, 1, 10, 1], [[7, 7, 1, 0, 1], [6, 6, 1, 0, 1]]),
        ([1, 3, 64, 1], [[47, 3, 1, 1, 1], [300, 3, 1, 1, 1]]),
    ];
    let mut served = 0;
    for (isa, d) in Isa::all()
        .flat_map(|isa| CASES.into_iter().chain(more).chain(GROUPS).map(dims).map(move |d| (isa, d)))
    {
        let (top_diff, weights) = (values(d.output_len(), 1), values(d.weight_len(), 2));
        let Some(gradient) = InputGradient::new(isa, &d) else { continue };
        let mut got = vec![f32::NAN; d.input_len()];
        let mut scratch = vec![f32::NAN; gradient.scratch_len()];
        gradient.run(&top_diff, &weights, &mut got, &mut scratch);
        assert_close(
            &got,
            &reference::conv_backward_input(&d, &top_diff, &weights),
            &format!("{d:?} on {}", isa.name()),
        );
        served += 1;
    }
    assert!(served >= 20 * Isa::all().count(), "{served}");
}

#[test]
fn gradient_matches_the_reference() {
    for (isa, d) in Isa::all().flat_map(|isa| cases().chain(GROUPS.map(dims)).map(move |d| (isa, d))) {
        let (input, top) = (values(d.input_len(), 1), values(d.output_len(), 2));
        let Some(gradient) = Gradient::new(isa, &d) else {
            // Neither lines that fill registers nor, of few input channels, taps side by side.
            assert!(d.axes[1].dilation > 1 || d.in_channels / d.group > 4, "{d:?}");
            continue;
        };
        let mut scratch = vec![f32::NAN; gradient.scratch_len()];
        let (mut got, mut bias) = (vec![0.0; d.weight_len()], vec![0.0; d.out_channels]);
        gradient.run(&input, &top, &mut got, Some(&mut bias), &mut scratch);
        let want = reference::conv_backward_weights(&d, &input, &top);
        assert_close(&got, &want, &format!("{d:?} on {}", isa.name()));
        let mut want = vec![0.0; d.out_channels];
        for (i, area) in top.chunks(d.out_area()).enumerate() {
            want[i % d.out_channels] += area.iter().sum::<f32>();
        }
        assert_close(&bias, &want, &format!("bias, {d:?} on {}", isa.name()));
        let mut twice = got.clone();
        gradient.run(&input, &top, &mut twice, None, &mut scratch);
        got.iter_mut().for_each(|v| *v *= 2.0);
        assert_close(&twice, &got, &format!("added, {d:?} on {}", isa.name()));
    }
}

fn cases() -> impl Iterator<Item = ConvDims> {
    CASES.into_iter().map(dims)
}

fn dims(([batch, in_channels, out_channels, group], axes): ([usize; 4], [[usize; 5]; 2])) -> ConvDims {
    // A first axis of one position is left out.
    let axes = axes.into_iter().skip_while(|axis| *axis == [1, 1, 1, 0, 1]);
    let axes = axes.map(|[i, k, s, p, d]| ConvAxis::new(i, k, s, p, d).expect("the kernel fits")).collect();
    ConvDims { batch, in_channels, out_channels, group, axes, place: None }
}
