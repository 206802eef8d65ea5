//! What a net is made of, in numbers: shapes, parameters, work, memory, and how far each value sees.

use super::{LayerView, Net, NetError, Options, Params};
use crate::{
    config::proto::{NetParameter, NetState, Phase},
    layers::Role,
    tensor::Shape,
};

/// How far a value of a blob sees in the input, and the distance between neighbours, along two axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// Pixels of the input that a value depends on; none where it is all of them.
    pub field: Option<[f64; 2]>,
    /// Pixels of the input from one value to the next.
    pub stride: [f64; 2],
}

/// A layer in numbers.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// Its tops with their shapes.
    pub tops: Vec<(String, Shape)>,
    /// Values that it learns, and those of running statistics. Shared ones count where they come first.
    pub parameters: [u64; 2],
    /// Multiply-adds of a forward pass.
    pub multiply_adds: u64,
    /// Values of its tops; 0 where they only show the bottom's.
    pub activations: u64,
    /// How far a value of its first top sees, for layers under a source of images.
    pub sight: Option<Sight>,
}

/// A net in numbers.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The net's name.
    pub name: String,
    /// What it was looked at for.
    pub phase: Phase,
    /// The layers, in order.
    pub rows: Vec<Row>,
    /// Samples of a batch: the first axis of the first source.
    pub batch: u64,
    /// Values of memory for blobs, their diffs and workspace, as planned: blobs share it.
    pub planned: u64,
    /// Whether gradients flow: then the plan is for training.
    pub training: bool,
}

impl Summary {
    /// Sums up the net in this state without taking memory for it.
    ///
    /// # Errors
    /// When the net cannot be built.
    pub fn new(net: &NetParameter, state: &NetState) -> Result<Self, NetError> {
        let mut params = Params::shapes_only();
        let phase = state.phase();
        let options = Options { state: state.clone(), ..Options::new(phase, 0) };
        let net = Net::new(net, options, &mut params)?;
        let mut seen = vec![false; params.len()];
        let mut sights: Vec<Option<Sight>> = vec![None; net.blobs.len()];
        let mut rows = Vec::new();
        for layer in net.layers() {
            let sight = see(&net, &layer, &sights);
            layer.tops.iter().for_each(|&t| sights[t] = sight);
            if layer.kind.name == "Split" && layer.config.name().ends_with("_split") {
                continue;
            }
            let mut parameters = [0; 2];
            for &id in layer.params.iter().filter(|&&id| !std::mem::replace(&mut seen[id], true)) {
                parameters[usize::from(!params[id].learned)] += params[id].shape.count() as u64;
            }
            let tops = layer.tops.iter().map(|&t| (net.blob_name(t).to_owned(), net.shape(t).clone()));
            let tops: Vec<(String, Shape)> = tops.collect();
            let values: u64 = tops.iter().map(|(_, shape)| shape.count() as u64).sum();
            rows.push(Row {
                name: layer.config.name().to_owned(),
                kind: layer.kind.name,
                tops,
                parameters,
                multiply_adds: layer.layer.multiply_adds(),
                activations: if layer.outline.alias { 0 } else { values },
                sight: sight.filter(|_| layer.kind.role != Role::Source),
            });
        }
        let source = net.layers().find(|l| l.kind.role == Role::Source);
        let batch = source.and_then(|l| net.shape(*l.tops.first()?).first().copied()).unwrap_or(1) as u64;
        let training = net.layers().any(|l| l.need.backward);
        Ok(Self { name: net.name().to_owned(), phase, rows, batch, planned: net.memory() as u64, training })
    }

    /// Values that are learned, and those of running statistics.
    pub fn parameters(&self) -> [u64; 2] {
        self.rows.iter().fold([0, 0], |[l, s], row| [l + row.parameters[0], s + row.parameters[1]])
    }

    /// Multiply-adds of a forward pass.
    pub fn multiply_adds(&self) -> u64 {
        self.rows.iter().map(|row| row.multiply_adds).sum()
    }

    /// Values of all tops, if each had its own memory.
    pub fn activations(&self) -> u64 {
        self.rows.iter().map(|row| row.activations).sum()
    }
}

/// How far a value of the layer's tops sees: windows add up, each step of theirs worth the steps below.
fn see(net: &Net, layer: &LayerView<'_>, sights: &[Option<Sight>]) -> Option<Sight> {
    if layer.kind.role == Role::Source {
        let image = layer.tops.first().is_some_and(|&t| net.shape(t).len() == 4);
        return image.then_some(Sight { field: Some([1.0; 2]), stride: [1.0; 2] });
    }
    // The widest of the bottoms counts.
    let below = layer.bottoms.iter().filter_map(|&b| sights[b]).reduce(|a, b| Sight {
        field: a.field.zip(b.field).map(|(a, b)| [a[0].max(b[0]), a[1].max(b[1])]),
        stride: [a.stride[0].max(b.stride[0]), a.stride[1].max(b.stride[1])],
    })?;
    let shape = net.shape(*layer.bottoms.first()?);
    let config = layer.config;
    let whole = Some(Sight { field: None, stride: below.stride });
    let window = match layer.kind.name {
        "Convolution" | "ConvolutionDepthwise" | "DepthwiseConvolution" | "LocallyConnected" | "Im2col" => {
            let p = config.convolution_param.clone().unwrap_or_default();
            let dilation = both(&p.dilation, None, None, 1);
            let kernel = both(&p.kernel_size, p.kernel_h, p.kernel_w, 1);
            let stride = both(&p.stride, p.stride_h, p.stride_w, 1);
            let span = [0, 1].map(|i| dilation[i] * (kernel[i] - 1.0) + 1.0);
            Some((span, stride))
        }
        "Deconvolution" => {
            let p = config.convolution_param.clone().unwrap_or_default();
            let kernel = both(&p.kernel_size, p.kernel_h, p.kernel_w, 1);
            let stride = both(&p.stride, p.stride_h, p.stride_w, 1);
            // An output sees every stride-th tap of the kernel, and neighbours are a stride-th apart.
            Some(([0, 1].map(|i| (kernel[i] / stride[i]).ceil()), stride.map(|s| 1.0 / s)))
        }
        "Pooling" => {
            let p = config.pooling_param.clone().unwrap_or_default();
            if p.global_pooling() {
                return whole;
            }
            let list = |all: Option<u32>| all.into_iter().collect::<Vec<u32>>();
            let [kernel_h, kernel_w] = p.kernel_sides();
            let kernel = both(&list(p.kernel_size), kernel_h, kernel_w, 1);
            Some((kernel, both(&list(p.stride), p.stride_h, p.stride_w, 1)))
        }
        "Interp" => {
            let p = config.interp_param.unwrap_or_default();
            let cut = f64::from(p.pad_beg()) + f64::from(p.pad_end());
            // Corners lie upon corners; a value lies between two, but for whole steps.
            let step = ratios(shape, net.shape(*layer.tops.first()?), |n, m| match n + cut - 1.0 {
                0.0 => 1.0,
                n => n / (m - 1.0).max(1.0),
            });
            Some((step.map(|step| if step.fract() == 0.0 { 1.0 } else { 2.0 }), step))
        }
        "Upsample" => {
            let step = ratios(shape, net.shape(*layer.tops.first()?), |n, m| 1.0 / (m / n).round().max(1.0));
            Some(([1.0; 2], step))
        }
        "Normalize" if config.norm_param.clone().unwrap_or_default().across_spatial() => return whole,
        "InnerProduct" | "SPP" | "ROIPooling" | "Reduction" | "LSTM" | "RNN" => return whole,
        _ if layer.kind.role == Role::Loss || layer.kind.role == Role::Measure => return whole,
        _ => None,
    };
    let Some((span, stride)) = window.filter(|_| shape.len() == 4) else { return Some(below) };
    let field = below.field.map(|field| [0, 1].map(|i| field[i] + (span[i] - 1.0) * below.stride[i]));
    Some(Sight { field, stride: [0, 1].map(|i| below.stride[i] * stride[i]) })
}

/// f(side of the bottom, side of the top) for height and width.
fn ratios(bottom: &Shape, top: &Shape, f: impl Fn(f64, f64) -> f64) -> [f64; 2] {
    let side = |shape: &Shape, i: usize| shape.get(i).map_or(1.0, |&n| n as f64);
    [2, 3].map(|i| f(side(bottom, i), side(top, i)))
}

/// A size for height and width.
fn both(list: &[u32], h: Option<u32>, w: Option<u32>, default: u32) -> [f64; 2] {
    let first = list.first().copied().unwrap_or(default);
    let second = list.get(1).copied().unwrap_or(first);
    [h.unwrap_or(first), w.unwrap_or(second)].map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::net_from_text;

    fn summary(text: &str) -> Summary {
        let net = net_from_text("net", text).unwrap().net;
        Summary::new(&net, &NetState { phase: Some(Phase::Test as i32), ..NetState::default() }).unwrap()
    }

    /// The course's example: ten 5 x 5 filters over three colours, each with a bias.
    #[test]
    fn ten_filters_have_760_parameters() {
        let s = summary(
            "layer { type: 'Input' top: 'x' input_param { shape { dim: [1, 3, 32, 32] } } }
             layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'y'
                     convolution_param { num_output: 10 kernel_size: 5 pad: 2 } }",
        );
        assert_eq!(s.parameters(), [760, 0]);
        assert_eq!(s.rows[1].tops[0].1, Shape::from([1, 10, 32, 32]));
        assert_eq!(s.multiply_adds(), 32 * 32 * 10 * 75);
        assert_eq!(s.activations(), (3 + 10) * 32 * 32);
    }

    #[test]
    fn windows_widen_the_sight() {
        let s = summary(
            "layer { type: 'Input' top: 'x' input_param { shape { dim: [1, 1, 64, 64] } } }
             layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'c'
                     convolution_param { num_output: 1 kernel_size: 7 stride: 2 } }
             layer { name: 'p' type: 'Pooling' bottom: 'c' top: 'p' pooling_param { kernel_size: 3 stride: 2 } }
             layer { name: 'd' type: 'Convolution' bottom: 'p' top: 'd'
                     convolution_param { num_output: 1 kernel_size: 3 dilation: 2 } }
             layer { name: 'u' type: 'Deconvolution' bottom: 'd' top: 'u'
                     convolution_param { num_output: 1 kernel_size: 4 stride: 2 } }
             layer { name: 'f' type: 'InnerProduct' bottom: 'u' top: 'f' inner_product_param { num_output: 1 } }",
        );
        let sight = |field, stride| Some(Sight { field: Some([field; 2]), stride: [stride; 2] });
        let sights: Vec<_> = s.rows.iter().map(|r| r.sight).collect();
        assert_eq!(sights[1..5], [sight(7.0, 2.0), sight(11.0, 4.0), sight(27.0, 4.0), sight(31.0, 2.0)]);
        assert_eq!(sights[5].unwrap().field, None);
        assert_eq!(sights[0], None);
    }

    #[test]
    fn planes_that_grow_narrow_the_stride() {
        let s = summary(
            "layer { type: 'Input' top: 'x' input_param { shape { dim: [1, 1, 9, 9] } } }
             layer { name: 's' type: 'Interp' bottom: 'x' top: 's' interp_param { shrink_factor: 2 } }
             layer { name: 'z' type: 'Interp' bottom: 's' top: 'z' interp_param { zoom_factor: 4 pad_end: -1 } }
             layer { name: 'p' type: 'Pooling' bottom: 'z' top: 'p' top: 'm' pooling_param { kernel_size: 2 stride: 2 } }
             layer { name: 'u' type: 'Upsample' bottom: 'p' bottom: 'm' top: 'u' upsample_param { pad_out_h: true } }",
        );
        let sight = |field, stride| Some(Sight { field: Some([field; 2]), stride: [stride; 2] });
        let sights: Vec<_> = s.rows.iter().map(|r| r.sight).collect();
        assert_eq!(sights[1..], [sight(1.0, 2.0), sight(3.0, 0.5), sight(3.5, 1.0), sight(3.5, 0.5)]);
    }
}
