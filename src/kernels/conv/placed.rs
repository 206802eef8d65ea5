//! Outputs that lie among the channels of a larger blob (`ConvDims::place`), so that nobody has to copy them there.
//!
//! The ways that go from image to image take the blob's distance between them. Where another way serves, each image is a convolution
//! of its own.

use super::{ConvDims, Epilogue, Isa, Way, exchanged, phases};

/// Whether all passes serve outputs that lie in a larger blob as they serve those that lie alone.
pub fn lies_within(dims: &ConvDims) -> bool {
    let isa = Isa::best();
    let filled = dims.out_area() > 1 && dims.input_len() > 0 && dims.weight_len() > 0;
    filled
        && exchanged::of(dims).is_none()
        && matches!(Way::forward(isa, dims), Way::Fast(_) | Way::Plain)
        && match Way::backward_input(isa, dims) {
            Way::Fast(_) => true,
            Way::Plain => phases::sets(dims).any(|(phase, _)| phase.is_everything()),
            _ => false,
        }
        && matches!(Way::backward_weights(isa, dims), Way::Fast(_) | Way::Plain)
}

/// The convolution of one image, where outputs lie in a larger blob and must be made one by one.
pub fn one_image(dims: &ConvDims) -> Option<ConvDims> {
    (dims.place.is_some() && !lies_within(dims)).then(|| ConvDims { batch: 1, place: None, ..dims.clone() })
}

/// Where the inputs of image `n` lie, and its outputs.
fn images(dims: &ConvDims, one: &ConvDims, n: usize) -> [std::ops::Range<usize>; 2] {
    let ([start, image], len) = (dims.out_start_and_image(), one.input_len());
    let output = start + n * image;
    [n * len..(n + 1) * len, output..output + one.output_len()]
}

/// As [`super::forward`].
pub fn forward(
    (dims, one): (&ConvDims, &ConvDims),
    input: &[f32],
    weights: &[f32],
    epilogue: Epilogue<'_>,
    output: &mut [f32],
    scratch: &mut [f32],
) {
    for n in 0..dims.batch {
        let [from, to] = images(dims, one, n);
        super::forward(one, &input[from], weights, epilogue, &mut output[to], scratch);
    }
}

/// As [`super::backward_input`], or, with values beside, as [`super::add_backward_input`].
pub fn backward_input(
    (dims, one): (&ConvDims, &ConvDims),
    top_diff: &[f32],
    weights: &[f32],
    add: Option<Option<&[f32]>>,
    bottom_diff: &mut [f32],
    scratch: &mut [f32],
) {
    for n in 0..dims.batch {
        let [to, from] = images(dims, one, n);
        let (dy, dx) = (&top_diff[from], &mut bottom_diff[to.clone()]);
        match add {
            None => super::backward_input(one, dy, weights, dx, scratch),
            Some(x) => super::add_backward_input(one, dy, weights, x.map(|x| &x[to]), dx, scratch),
        }
    }
}

/// As [`super::backward_weights`].
pub fn backward_weights(
    (dims, one): (&ConvDims, &ConvDims),
    input: &[f32],
    top_diff: &[f32],
    weight_diff: &mut [f32],
    mut bias_diff: Option<&mut [f32]>,
    scratch: &mut [f32],
) {
    for n in 0..dims.batch {
        let [from, to] = images(dims, one, n);
        let bias = bias_diff.as_deref_mut();
        super::backward_weights(one, &input[from], &top_diff[to], weight_diff, bias, scratch);
    }
}

/// As [`super::backward_bias`].
pub fn backward_bias((dims, one): (&ConvDims, &ConvDims), top_diff: &[f32], bias_diff: &mut [f32]) {
    for n in 0..dims.batch {
        let [_, from] = images(dims, one, n);
        super::backward_bias(one, &top_diff[from], bias_diff);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Epilogue, Place, add_backward_input, adds_backward_input, backward_bias, backward_input,
        backward_weights, forward, scratch_len,
        tests::{assert_close, cases, values},
    };
    use super::*;

    /// Both, to the bit where `exact`.
    fn compare(exact: bool, got: &[f32], want: &[f32], what: &str) {
        if exact {
            assert!(got.iter().zip(want).all(|(g, w)| g.to_bits() == w.to_bits()), "{what}");
        }
        assert_close(got, want, what);
    }

    #[test]
    fn outputs_among_others_are_those_that_lie_alone() {
        let (mut fast, mut plain) = (0, 0);
        for d in cases() {
            let place = Place { first: 2, of: d.out_channels + 3 };
            let placed = ConvDims { place: Some(place), ..d.clone() };
            let exact = lies_within(&placed);
            if exact {
                let way = Way::forward(Isa::best(), &placed);
                *(if matches!(way, Way::Plain) { &mut plain } else { &mut fast }) += 1;
            }
            let [start, image] = placed.out_start_and_image();
            let len = d.out_channels * d.out_area();
            let own = |all: &[f32]| -> Vec<f32> {
                (0..d.batch).flat_map(|n| all[start + n * image..][..len].to_vec()).collect()
            };
            let mut scratch = vec![f32::NAN; scratch_len(&d).max(scratch_len(&placed))];
            let (x, w, bias) =
                (values(d.input_len(), 1), values(d.weight_len(), 2), values(d.out_channels, 3));
            let epilogue = Epilogue { bias: Some(&bias), relu: true, ..Epilogue::default() };
            let (mut all, mut want) = (vec![7.0; placed.output_len()], vec![f32::NAN; d.output_len()]);
            forward(&placed, &x, &w, epilogue, &mut all, &mut scratch);
            forward(&d, &x, &w, epilogue, &mut want, &mut scratch);
            compare(exact, &own(&all), &want, &format!("{d:?}"));
            let others = all.iter().enumerate().filter(|(i, _)| !(start..start + len).contains(&(i % image)));
            assert!(others.map(|(_, v)| *v).all(|v| v == 7.0), "{d:?} writes beside its place");

            let dy_all = values(placed.output_len(), 4);
            let dy = own(&dy_all);
            let (mut got, mut want) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
            backward_input(&placed, &dy_all, &w, &mut got, &mut scratch);
            backward_input(&d, &dy, &w, &mut want, &mut scratch);
            compare(exact, &got, &want, &format!("input, {d:?}"));
            if adds_backward_input(&d) {
                let beside = values(x.len(), 5);
                add_backward_input(&placed, &dy_all, &w, Some(&beside), &mut got, &mut scratch);
                add_backward_input(&d, &dy, &w, Some(&beside), &mut want, &mut scratch);
                compare(exact, &got, &want, &format!("added, {d:?}"));
            }
            let (mut got, mut want) = (vec![1.0; w.len()], vec![1.0; w.len()]);
            let (mut got_bias, mut want_bias) = (vec![1.0; bias.len()], vec![1.0; bias.len()]);
            backward_weights(&placed, &x, &dy_all, &mut got, Some(&mut got_bias), &mut scratch);
            backward_weights(&d, &x, &dy, &mut want, Some(&mut want_bias), &mut scratch);
            compare(exact, &got, &want, &format!("weights, {d:?}"));
            compare(exact, &got_bias, &want_bias, &format!("bias, {d:?}"));
            backward_bias(&placed, &dy_all, &mut got_bias);
            backward_bias(&d, &dy, &mut want_bias);
            compare(exact, &got_bias, &want_bias, &format!("bias alone, {d:?}"));
        }
        assert!(fast > 9 && plain > 9, "{fast} {plain}");
    }
}
