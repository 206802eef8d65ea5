//! Windows that leave rows of their input unseen.

use super::{Finding, Sketch, SketchLayer, View};
use crate::{
    config::proto::{ConvolutionParameter, PoolingParameter, pooling_parameter::RoundMode},
    tensor::Shape,
};

/// The windows along one axis.
struct Axis {
    kernel: usize,
    stride: usize,
    pad: usize,
    dilation: usize,
}

/// Strides that do not fit, so that the last rows or columns are never seen, and strides that leave gaps. Single
/// pixels are taken with a stride on purpose.
pub fn unseen(sketch: &Sketch, _: &View, found: &mut Vec<Finding>) {
    for layer in sketch.layers.iter().filter(|l| l.outline.is_some()) {
        let Some(shape) = sketch.bottom(layer, 0).and_then(|b| b.shape.as_ref()) else { continue };
        let (settings, axes, floor) = match layer.config.r#type() {
            "Convolution"
            | "ConvolutionDepthwise"
            | "DepthwiseConvolution"
            | "LocallyConnected"
            | "Im2col" => {
                let param = layer.config.convolution_param.clone().unwrap_or_default();
                let Some(channel) = shape.axis(param.axis()) else { continue };
                ("convolution_param", of_convolution(&param, shape.len() - channel - 1), true)
            }
            "Pooling" => {
                let param = layer.config.pooling_param.clone().unwrap_or_default();
                if param.global_pooling() || shape.len() < 3 {
                    continue;
                }
                let floor = param.round_mode() == RoundMode::Floor;
                ("pooling_param", of_pooling(&param, shape.len() - 2), floor)
            }
            _ => continue,
        };
        let sides = &shape[shape.len() - axes.len()..];
        found.extend(look(layer, settings, sides, &axes, floor, shape));
    }
}

fn look(
    layer: &SketchLayer,
    settings: &str,
    sides: &[usize],
    axes: &[Axis],
    floor: bool,
    shape: &Shape,
) -> Option<Finding> {
    let lost: Vec<usize> =
        sides.iter().zip(axes).map(|(&side, axis)| if floor { axis.lost(side) } else { 0 }).collect();
    let gap = axes.iter().zip(sides).find(|(axis, side)| axis.gap(**side) > 0);
    let field = format!("{settings}.stride");
    if let Some((axis, _)) = gap {
        let message = format!(
            "stride {} steps over {} between windows of {}: they are never seen",
            axis.stride,
            rows(axis.stride - axis.span()),
            axis.span()
        );
        return Some(Finding::warning(layer.index, field, message));
    }
    let first = lost.iter().position(|&l| l > 0)?;
    let names = |i: usize| match (sides.len(), i) {
        (1, _) => ("value", "values"),
        (2, 0) => ("row", "rows"),
        (2, _) => ("column", "columns"),
        _ => ("plane", "planes"),
    };
    let parts: Vec<String> =
        lost.iter()
            .enumerate()
            .filter(|&(_, &n)| n > 0)
            .map(|(i, &n)| {
                if n == 1 {
                    format!("the last {}", names(i).0)
                } else {
                    format!("the last {n} {}", names(i).1)
                }
            })
            .collect();
    let (axis, side) = (&axes[first], sides[first]);
    let exact = (side + 2 * axis.pad - axis.span()) as f64 / axis.stride as f64 + 1.0;
    let message =
        format!("{} of the bottom `{}` {} never seen", parts.join(" and "), layer.config.bottom[0], {
            if parts.len() == 1 && lost[first] == 1 { "is" } else { "are" }
        });
    let formula = format!(
        "({side} - {} + 2 x {}) / {} + 1 = {exact:.2} is no whole number",
        axis.span(),
        axis.pad,
        axis.stride
    );
    Some(Finding::warning(layer.index, field, message).hint(formula).note(format!("its shape is {shape}")))
}

fn rows(n: usize) -> String {
    if n == 1 { "a row".into() } else { format!("{n} rows") }
}

impl Axis {
    fn span(&self) -> usize {
        self.dilation * (self.kernel - 1) + 1
    }

    /// Values at the end of the side that no window reaches.
    fn lost(&self, side: usize) -> usize {
        let padded = side + 2 * self.pad;
        if self.kernel < 2 || self.span() > padded {
            return 0;
        }
        ((padded - self.span()) % self.stride).saturating_sub(self.pad)
    }

    /// Values between two windows, if there are two.
    fn gap(&self, side: usize) -> usize {
        let several = self.span() + self.stride <= side + 2 * self.pad;
        if self.kernel < 2 || !several { 0 } else { self.stride.saturating_sub(self.span()) }
    }
}

/// One value for each axis, given once for all, for each, or for height and width.
fn spread(list: &[u32], h: Option<u32>, w: Option<u32>, default: u32, n: usize) -> Vec<usize> {
    let at = |i: usize| match (h, w) {
        (None, None) => list.get(i).or(list.first()).copied().unwrap_or(default),
        _ if i == 0 => h.unwrap_or(default),
        _ => w.unwrap_or(default),
    };
    (0..n).map(|i| at(i) as usize).collect()
}

fn axes([kernel, stride, pad, dilation]: [Vec<usize>; 4]) -> Vec<Axis> {
    (0..kernel.len())
        .map(|i| Axis {
            kernel: kernel[i].max(1),
            stride: stride[i].max(1),
            pad: pad[i],
            dilation: dilation[i].max(1),
        })
        .collect()
}

fn of_convolution(p: &ConvolutionParameter, n: usize) -> Vec<Axis> {
    axes([
        spread(&p.kernel_size, p.kernel_h, p.kernel_w, 1, n),
        spread(&p.stride, p.stride_h, p.stride_w, 1, n),
        spread(&p.pad, p.pad_h, p.pad_w, 0, n),
        spread(&p.dilation, None, None, 1, n),
    ])
}

fn of_pooling(p: &PoolingParameter, n: usize) -> Vec<Axis> {
    let list = |all: Option<u32>, each: &[u32]| all.map_or(each.to_vec(), |v| vec![v]);
    let [kernel_h, kernel_w] = p.kernel_sides();
    axes([
        spread(&list(p.kernel_size, &p.kernel_sizes), kernel_h, kernel_w, 1, n),
        spread(&list(p.stride, &p.strides), p.stride_h, p.stride_w, 1, n),
        spread(&list(p.pad, &p.pads), p.pad_h, p.pad_w, 0, n),
        vec![1; n],
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_what_lies_between() {
        let axis = |kernel, stride, pad| Axis { kernel, stride, pad, dilation: 1 };
        let lost = |kernel, stride, pad, side| axis(kernel, stride, pad).lost(side);
        assert_eq!([lost(3, 1, 0, 7), lost(3, 2, 0, 7), lost(3, 3, 0, 7)], [0, 0, 1]);
        // The rest lies in the padding.
        assert_eq!([lost(7, 2, 3, 224), lost(11, 4, 0, 227), lost(11, 4, 0, 230)], [0, 0, 3]);
        assert_eq!([axis(3, 4, 0).gap(7), axis(3, 4, 0).gap(6), axis(1, 2, 0).gap(9)], [1, 0, 0]);
        assert_eq!(Axis { dilation: 2, ..axis(3, 2, 0) }.lost(8), 1);
    }
}
