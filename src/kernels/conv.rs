//! Convolution and its gradients, in any number of spatial axes, with groups, strides, padding and dilation.
//!
//! A deconvolution is the same three functions with input and output swapped: its forward is [`backward_input`], its
//! input gradient [`forward`], its weight gradient [`backward_weights`] with the two blobs exchanged.
//!
//! README.md has the ways, and the shapes that each is for.

mod columns;
mod convolve;
mod depthwise;
mod dims;
mod exchanged;
mod few;
mod gradient;
mod lines;
mod phased;
mod phases;
mod placed;
mod scratch_len;
mod spaced;
mod strided;
#[cfg(test)]
mod tests;
mod weave;
mod weights;
mod whole;
mod winograd;

pub use super::simd::{Epilogue, Standard};
pub use columns::{col2im, im2col};
pub use dims::{Axes, ConvAxis, ConvDims, Place};
pub use lines::MAX_AXES;
pub use placed::lies_within;
pub use scratch_len::{
    backward_input_scratch_len, backward_weights_scratch_len, forward_scratch_len, scratch_len,
};

use convolve::{Convolve, Weights};
use few::{Forward, Gradient, InputGradient};
use gradient::Cut;
use lines::{Line, Lines};
use phased::Phased;
use strided::Strided;
use winograd::Winograd;

use super::channels::Channels;
use super::elementwise::{Rectified, update_each};
use super::gemm::DEPTH;
use super::simd::Isa;
use super::{affine, parallel};

/// Outputs of a channel, of the whole batch, that are too few to pack weights for.
const FEW_OUTPUTS: usize = 100;
/// Multiply-adds that outweigh the start of a task.
const WORK: usize = 1 << 20;

/// What a gradient is added to while it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Onto<'a> {
    /// It is all there is.
    Nothing,
    /// What is there.
    Values,
    /// What is there; the sum becomes 0 where this is not above 0.
    Above0(&'a [f32]),
}

impl<'a> Onto<'a> {
    /// What says where `len` values from `start` on become 0.
    fn part(&self, start: usize, len: usize) -> Option<&'a [f32]> {
        match self {
            Self::Above0(x) => Some(&x[start..start + len]),
            Self::Nothing | Self::Values => None,
        }
    }
}

/// How a pass is computed.
#[expect(clippy::large_enum_variant, reason = "it lives for one call, on the stack: a box would allocate")]
enum Way<'a, F> {
    /// One output a channel: a product.
    Whole,
    /// One filter at a time.
    Depthwise,
    /// One convolution of all phases of few channels.
    Phased(Phased<'a>),
    /// Tiles of the image at points.
    Fast(Winograd),
    /// Few input channels, straight from their planes.
    Few(F),
    /// Sums of products, as they stand.
    Plain,
}

impl<'a, F> Way<'a, F> {
    /// The first that serves.
    fn of(
        dims: &ConvDims,
        whole: bool,
        phased: Option<Phased<'a>>,
        fast: Option<Winograd>,
        few: Option<F>,
    ) -> Self {
        match (phased, fast, few) {
            _ if whole => Self::Whole,
            _ if depthwise::serves(dims) => Self::Depthwise,
            (Some(phased), ..) => Self::Phased(phased),
            (_, Some(fast), _) => Self::Fast(fast),
            (.., Some(few)) => Self::Few(few),
            (..) => Self::Plain,
        }
    }
}

impl<'a> Way<'a, Forward<'a>> {
    fn forward(isa: Isa, dims: &'a ConvDims) -> Self {
        let few = Forward::new(isa, dims);
        let many = few.is_none() || !few::few_pairs(dims);
        let fast = Winograd::forward(isa, dims).filter(|_| many);
        Self::of(dims, whole::serves(dims), Phased::forward(isa, dims), fast, few)
    }
}

impl<'a> Way<'a, InputGradient<'a>> {
    fn backward_input(isa: Isa, dims: &'a ConvDims) -> Self {
        let few = InputGradient::new(isa, dims);
        let comes_first = few.as_ref().is_some_and(|few| few.comes_first(dims));
        let fast = Winograd::backward(isa, dims).filter(|_| !comes_first);
        Self::of(dims, whole::serves_input(dims), Phased::backward_input(isa, dims), fast, few)
    }
}

impl<'a> Way<'a, Gradient<'a>> {
    fn backward_weights(isa: Isa, dims: &'a ConvDims) -> Self {
        let few = Gradient::new(isa, dims);
        let fast = Winograd::gradient(isa, dims).filter(|_| !few.as_ref().is_some_and(Gradient::comes_first));
        Self::of(dims, whole::serves(dims), Phased::backward_weights(isa, dims), fast, few)
    }
}

/// output = input * weights, then the epilogue, a row a channel.
///
/// # Panics
/// When a slice does not have the length that `dims` asks for.
pub fn forward(
    dims: &ConvDims,
    input: &[f32],
    weights: &[f32],
    epilogue: Epilogue<'_>,
    output: &mut [f32],
    scratch: &mut [f32],
) {
    check(dims, input, weights, output);
    assert!(epilogue.bias.is_none_or(|bias| bias.len() == dims.out_channels), "bias length");
    assert!(epilogue.standards.is_none_or(|all| all.len() == dims.out_channels), "as many standards");
    if let Some(one) = placed::one_image(dims) {
        return placed::forward((dims, &one), input, weights, epilogue, output, scratch);
    }
    if let Some(exchanged) = exchanged::of_forward(dims) {
        return exchanged::forward((dims, &exchanged), input, weights, epilogue, output, scratch);
    }
    let isa = Isa::best();
    if input.is_empty() {
        // Nothing but padding.
        return parallel::for_chunks_mut(output, dims.out_area(), |start, area| {
            area.fill(epilogue.of_zero(isa, start / area.len() % dims.out_channels));
        });
    }
    match Way::forward(isa, dims) {
        Way::Whole => whole::forward(isa, dims, input, weights, epilogue, output),
        Way::Depthwise => depthwise::forward(isa, dims, input, weights, epilogue, output),
        Way::Phased(phased) => phased.run(input, weights, epilogue, output, scratch),
        Way::Fast(fast) => fast.run(input, weights, epilogue, output, scratch),
        Way::Few(few) => few.run(input, weights, epilogue, output, scratch),
        Way::Plain => plain_forward(dims, input, weights, epilogue, output, scratch),
    }
}

/// Whether weights meet so few outputs that they are read where they lie.
fn has_few_outputs(dims: &ConvDims) -> bool {
    dims.batch.saturating_mul(dims.out_area()) <= FEW_OUTPUTS
}

/// [`forward`] by way of weights, packed where they meet many outputs, and panels of taps.
fn plain_forward(
    dims: &ConvDims,
    input: &[f32],
    weights: &[f32],
    epilogue: Epilogue<'_>,
    output: &mut [f32],
    scratch: &mut [f32],
) {
    let isa = Isa::best();
    let weights = if has_few_outputs(dims) {
        Weights::Rows(weights)
    } else {
        let packed = &mut scratch[..dims.weight_len()];
        weights::pack_forward(isa, dims, weights, packed);
        Weights::Packed(packed)
    };
    let lines = Lines::new(dims.axes.iter().map(Line::forward));
    let whole = Convolve {
        isa,
        lines: &lines,
        channels: dims.group_in(),
        input,
        image_stride: dims.in_channels * dims.in_area(),
        weights,
        epilogue,
        onto: Onto::Nothing,
        row_tasks: 1,
    };
    whole.run_groups(dims.group, dims.out_channels, dims.out_place(), output);
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
    check(dims, bottom_diff, weights, top_diff);
    if let Some(one) = placed::one_image(dims) {
        return placed::backward_input((dims, &one), top_diff, weights, None, bottom_diff, scratch);
    }
    if let Some(exchanged) = exchanged::of(dims) {
        return exchanged::backward_input((dims, &exchanged), top_diff, weights, bottom_diff, scratch);
    }
    if top_diff.is_empty() {
        return bottom_diff.fill(0.0);
    }
    let isa = Isa::best();
    match Way::backward_input(isa, dims) {
        Way::Whole => whole::backward_input(dims, top_diff, weights, bottom_diff),
        Way::Depthwise => depthwise::backward_input(isa, dims, top_diff, weights, bottom_diff),
        Way::Phased(phased) => phased.run_back(top_diff, weights, bottom_diff, scratch),
        Way::Fast(fast) => fast.run(top_diff, weights, Epilogue::default(), bottom_diff, scratch),
        Way::Few(few) => few.run(top_diff, weights, bottom_diff, scratch),
        Way::Plain => plain_backward_input(dims, top_diff, weights, Onto::Nothing, bottom_diff, scratch),
    }
}

/// Whether [`add_backward_input`] serves `dims`, for any length of the axes: kernels of one tap whose sums are added to what is
/// there only once, since they are of one block of channels, or woven.
pub fn adds_backward_input(dims: &ConvDims) -> bool {
    let one_tap = dims.axes.iter().all(|axis| axis.kernel == 1 && axis.pad == 0);
    let once = dims.group_out() <= DEPTH || dims.axes.iter().any(|axis| axis.stride > 1);
    one_tap && once && (dims.group == 1 || dims.group_in() > 1)
}

/// Adds the input's gradient to `bottom_diff`, whose values then become 0 where those of `x`, if it is given, are not
/// above 0. The same bits as [`backward_input`] and a sum, which would move twice as many bytes: here it is done while
/// tiles are stored or lines woven.
///
/// # Panics
/// Where [`adds_backward_input`] says that it does not serve, or when a slice does not have the length that `dims` asks for.
pub fn add_backward_input(
    dims: &ConvDims,
    top_diff: &[f32],
    weights: &[f32],
    x: Option<&[f32]>,
    bottom_diff: &mut [f32],
    scratch: &mut [f32],
) {
    check(dims, bottom_diff, weights, top_diff);
    assert!(x.is_none_or(|x| x.len() == bottom_diff.len()), "input length");
    assert!(adds_backward_input(dims), "the gradient of {dims:?} is not added");
    if let Some(one) = placed::one_image(dims) {
        return placed::backward_input((dims, &one), top_diff, weights, Some(x), bottom_diff, scratch);
    }
    match x {
        Some(x) if top_diff.is_empty() => update_each(x, bottom_diff, Rectified),
        None if top_diff.is_empty() => {}
        _ => {
            let onto = x.map_or(Onto::Values, Onto::Above0);
            plain_backward_input(dims, top_diff, weights, onto, bottom_diff, scratch);
        }
    }
}

/// [`backward_input`] by phases, each by way of packed weights and panels of taps.
fn plain_backward_input(
    dims: &ConvDims,
    top_diff: &[f32],
    weights: &[f32],
    onto: Onto<'_>,
    bottom_diff: &mut [f32],
    scratch: &mut [f32],
) {
    let isa = Isa::best();
    let mut rest = &mut scratch[..dims.weight_len()];
    for (phase, alike) in phases::sets(dims) {
        let packed;
        (packed, rest) = rest.split_at_mut(dims.in_channels * alike * dims.group_out() * phase.lines.taps());
        weights::pack_backward(isa, dims, (&phase, alike), weights, packed);
    }
    let packed = &scratch[..dims.weight_len()];
    let Some((phase, _)) = phases::sets(dims).find(|(phase, _)| phase.is_everything()) else {
        return Strided { isa, dims, top_diff, packed, onto }.run(bottom_diff);
    };
    let [start, image_stride] = dims.out_start_and_image();
    let whole = Convolve {
        isa,
        lines: &phase.lines,
        channels: dims.group_out(),
        input: &top_diff[start..],
        image_stride,
        weights: Weights::Packed(packed),
        epilogue: Epilogue::default(),
        onto,
        row_tasks: 1,
    };
    let place = Place { first: 0, of: dims.in_channels };
    whole.run_groups(dims.group, dims.in_channels, place, bottom_diff);
}

/// Adds the weights' gradient, summed over the batch, to `weight_diff`, and, where it is wanted, the bias' gradient to
/// `bias_diff`, as [`backward_bias`] does.
///
/// # Panics
/// When a slice does not have the length that `dims` asks for.
pub fn backward_weights(
    dims: &ConvDims,
    input: &[f32],
    top_diff: &[f32],
    weight_diff: &mut [f32],
    bias_diff: Option<&mut [f32]>,
    scratch: &mut [f32],
) {
    check(dims, input, weight_diff, top_diff);
    assert!(bias_diff.as_ref().is_none_or(|bias| bias.len() == dims.out_channels), "bias length");
    if let Some(one) = placed::one_image(dims) {
        return placed::backward_weights((dims, &one), input, top_diff, weight_diff, bias_diff, scratch);
    }
    if let Some(exchanged) = exchanged::of(dims) {
        return exchanged::backward_weights(
            (dims, &exchanged),
            input,
            top_diff,
            weight_diff,
            bias_diff,
            scratch,
        );
    }
    let isa = Isa::best();
    if !input.is_empty() && !top_diff.is_empty() {
        match Way::backward_weights(isa, dims) {
            Way::Whole => whole::backward_weights(dims, input, top_diff, weight_diff),
            Way::Depthwise => depthwise::backward_weights(isa, dims, input, top_diff, weight_diff),
            Way::Phased(phased) => {
                return phased.add_gradient(input, top_diff, weight_diff, bias_diff, scratch);
            }
            Way::Fast(fast) => fast.add_gradient(input, top_diff, weight_diff, scratch),
            Way::Few(few) => return few.run(input, top_diff, weight_diff, bias_diff, scratch),
            Way::Plain => Cut::new(isa, dims).run(input, top_diff, weight_diff, scratch),
        }
    }
    if let Some(bias_diff) = bias_diff {
        backward_bias(dims, top_diff, bias_diff);
    }
}

/// Adds the bias' gradient, the sum of `top_diff` over images and positions, to `bias_diff`, one value a channel.
///
/// # Panics
/// When a slice does not have the length that `dims` asks for.
pub fn backward_bias(dims: &ConvDims, top_diff: &[f32], bias_diff: &mut [f32]) {
    assert_eq!(top_diff.len(), dims.output_len(), "output length");
    assert_eq!(bias_diff.len(), dims.out_channels, "bias length");
    if let Some(one) = placed::one_image(dims) {
        return placed::backward_bias((dims, &one), top_diff, bias_diff);
    }
    let Place { first, of } = dims.out_place();
    let of = Channels { images: dims.batch, channels: of, inner: dims.out_area() };
    affine::add_sums_from(of, first, top_diff, bias_diff);
}

fn check(dims: &ConvDims, input: &[f32], weights: &[f32], output: &[f32]) {
    assert!(dims.group > 0, "a convolution has at least one group");
    assert!(dims.in_channels.is_multiple_of(dims.group), "group divides the input channels");
    assert!(dims.out_channels.is_multiple_of(dims.group), "group divides the output channels");
    assert_eq!(input.len(), dims.input_len(), "input length");
    assert_eq!(weights.len(), dims.weight_len(), "weights length");
    assert_eq!(output.len(), dims.output_len(), "output length");
}
