//! `Pooling`: one number for each window that slides over the axes after N and C.

use super::{
    Arity, Backward, Clearing, Forward, Kind, Layer, LayerError, Outline, Setup, axes,
    pooler::{Method, Pooler},
};
use crate::{
    config::proto::{
        LayerParameter, PoolingParameter,
        pooling_parameter::{PoolMethod, RoundMode},
    },
    kernels::{
        parallel::{CHUNK, for_chunks_mut},
        pool::{Axis, Pool},
    },
    tensor::Shape,
};

/// The row of `Pooling`.
pub const KIND: Kind = Kind {
    name: "Pooling",
    summary: "maximum, mean, norm or random element of sliding windows",
    settings: &["pooling_param"],
    tops: Arity::Between(1, 2),
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Pooling over windows of any number of axes.
///
/// MAX: y = max x            dx = dy at the first largest
/// AVE: y = sum x / area     dx = sum dy / area, where padding counts as area but overhang does not
/// L2: y = sqrt(sum x^2)     dx = sum dy * x / y
/// GAUSSIAN: y = sum w x / sum w, w = exp(-d^2 / (2 sigma^2)), d from the window's centre; outside counts nothing
/// STOCHASTIC: in TRAIN y = one x with probability x / sum x; in TEST y = sum x^2 / sum x
///
/// Shapes: bottom `N x C x ...`, top `N x C x ...` with ceil((n + 2 pad - kernel) / stride) + 1 along each axis
/// (floor with `round_mode: FLOOR`), less the windows that begin in the padding at the end. The second top, for MAX,
/// is the place of each maximum in its plane. Params: none.
/// Reference: Zeiler and Fergus 2013 (STOCHASTIC), Sermanet et al. 2012 (L2).
/// Differs from Caffe: any number of axes; STOCHASTIC on the CPU, the other methods with padding; L2 and GAUSSIAN;
/// windows that hold nothing at all (possible without padding when stride exceeds kernel) are left out, where Caffe
/// gives -FLT_MAX or NaN.
struct Pooling {
    settings: PoolingSettings,
    setup: Setup,
    second_top: bool,
    pooler: Option<Pooler>,
}

/// `pooling_param`, checked. Sizes by axis; a single one counts for all.
pub struct PoolingSettings {
    method: Method,
    ceil: bool,
    /// None: the whole plane.
    kernel: Option<Vec<usize>>,
    stride: Vec<usize>,
    pad: Vec<usize>,
}

fn from_config(config: &LayerParameter, setup: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.pooling_param.clone().unwrap_or_default();
    let settings = PoolingSettings::of(&param)?;
    let second_top = config.top.len() > 1;
    if second_top && settings.method != Method::Max {
        return Err(setting("pool", "a second top needs pool MAX: it holds the places of the maxima"));
    }
    Ok(Box::new(Pooling { settings, setup: *setup, second_top, pooler: None }))
}

fn setting(field: &str, message: impl Into<String>) -> LayerError {
    LayerError::setting(format!("pooling_param.{field}"), message)
}

impl PoolingSettings {
    /// Checks `pooling_param`.
    ///
    /// # Errors
    /// For settings that no bottom fits.
    pub fn of(p: &PoolingParameter) -> Result<Self, LayerError> {
        let method = match p.pool() {
            PoolMethod::Max => Method::Max,
            PoolMethod::Ave => Method::Mean,
            PoolMethod::Stochastic => Method::Stochastic,
            PoolMethod::L2 => Method::L2,
            PoolMethod::Gaussian => Method::Gaussian(p.sigma),
        };
        if let Some(sigma) = p.sigma
            && !(sigma > 0.0 && sigma.is_finite())
        {
            return Err(setting("sigma", format!("sigma must be above 0, found {sigma}")));
        }
        let [kernel_h, kernel_w] = p.kernel_sides();
        let kernel = sizes(
            ["kernel_size", "kernel_h", "kernel_w", "kernel_sizes"],
            [p.kernel_size, kernel_h, kernel_w],
            &p.kernel_sizes,
        )?;
        let stride = sizes(
            ["stride", "stride_h", "stride_w", "strides"],
            [p.stride, p.stride_h, p.stride_w],
            &p.strides,
        )?
        .unwrap_or(vec![1]);
        let pad =
            sizes(["pad", "pad_h", "pad_w", "pads"], [p.pad, p.pad_h, p.pad_w], &p.pads)?.unwrap_or(vec![0]);
        if stride.contains(&0) {
            return Err(setting("stride", "stride must be at least 1, found 0"));
        }
        if p.global_pooling() {
            if kernel.is_some() {
                return Err(setting(
                    "kernel_size",
                    "global_pooling takes the whole plane: leave kernel_size out",
                ));
            }
            if pad.iter().any(|&p| p != 0) || stride.iter().any(|&s| s != 1) {
                return Err(setting("global_pooling", "global_pooling needs pad 0 and stride 1"));
            }
        } else {
            let Some(kernel) = &kernel else {
                return Err(setting("kernel_size", "kernel_size is missing, and global_pooling is not set"));
            };
            if kernel.contains(&0) {
                return Err(setting("kernel_size", "kernel_size must be at least 1, found 0"));
            }
        }
        Ok(Self { method, ceil: p.round_mode() == RoundMode::Ceil, kernel, stride, pad })
    }

    /// What becomes of a window.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The windows over planes of these sides.
    ///
    /// # Errors
    /// When the settings do not fit them.
    pub fn pool(&self, planes: usize, sides: &[usize]) -> Result<Pool, LayerError> {
        let along = |name: &str, sizes: &[usize]| match sizes.len() {
            1 => Ok(vec![sizes[0]; sides.len()]),
            n if n == sides.len() => Ok(sizes.to_vec()),
            n => Err(LayerError::shape(format!(
                "{name} is given for {n} axes, but the bottom has {} after N and C",
                sides.len()
            ))),
        };
        let kernel = self.kernel.as_deref().map_or(Ok(sides.to_vec()), |k| along("kernel_size", k))?;
        let (stride, pad) = (along("stride", &self.stride)?, along("pad", &self.pad)?);
        let axis = |d: usize| {
            let (input, kernel, pad) = (sides[d], kernel[d], pad[d]);
            if pad >= kernel && input > 0 {
                return Err(setting(
                    "pad",
                    format!("pad must be less than kernel_size {kernel}, found {pad}"),
                ));
            }
            Axis::fit(input, kernel, stride[d], pad, self.ceil).ok_or_else(|| {
                let padded = input + 2 * pad;
                setting("kernel_size", format!("kernel_size {kernel} exceeds the padded input {padded}"))
            })
        };
        Ok(Pool { planes, axes: (0..sides.len()).map(axis).collect::<Result<_, _>>()? })
    }
}

/// A size as given by one of its fields: one for all axes, height and width, or axis by axis.
fn sizes(
    names: [&str; 4],
    [all, h, w]: [Option<u32>; 3],
    each: &[u32],
) -> Result<Option<Vec<usize>>, LayerError> {
    let forms = [all.is_some(), h.is_some() || w.is_some(), !each.is_empty()];
    if forms.iter().filter(|&&given| given).count() > 1 {
        let [all, h, w, each] = names;
        return Err(setting(all, format!("give one of {all}, {h} with {w}, and {each}, not several")));
    }
    match (all, h, w) {
        (Some(all), ..) => Ok(Some(vec![all as usize])),
        (_, Some(h), Some(w)) => Ok(Some(vec![h as usize, w as usize])),
        (_, Some(_), None) => Err(setting(names[2], format!("{} needs {} beside it", names[1], names[2]))),
        (_, None, Some(_)) => Err(setting(names[1], format!("{} needs {} beside it", names[2], names[1]))),
        _ if each.is_empty() => Ok(None),
        _ => Ok(Some(each.iter().map(|&v| v as usize).collect())),
    }
}

/// The longest side of a window.
const WIDEST: usize = 1 << 28;

impl Layer for Pooling {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        if bottom.len() < 3 {
            return Err(LayerError::shape(format!(
                "the bottom needs three axes or more (N x C x ...), found {bottom}"
            )));
        }
        let pool = self.settings.pool(bottom.count_of(..2), &bottom[2..])?;
        // An axis of 0 may stand beside one that no memory holds, and windows have weights of their own.
        if let Some(axis) = pool.axes.iter().find(|axis| axis.kernel > WIDEST) {
            let message = format!("a window of {} is beyond reason: at most {WIDEST}", axis.kernel);
            return Err(LayerError::shape(message));
        }
        let sides = pool.axes.iter().map(|a| a.output);
        let sides: Vec<usize> = bottom[..2].iter().copied().chain(sides).collect();
        let Some(top) = axes::counted(sides.clone()) else {
            return Err(LayerError::shape(format!("the top would be {}: too large", Shape::from(sides))));
        };
        let pooler = Pooler::new(self.settings.method, pool, &self.setup, self.second_top);
        let reads = pooler.reads();
        self.pooler = Some(pooler);
        Ok(Outline::of(vec![top; 1 + usize::from(self.second_top)]).reads(reads))
    }

    fn clear(&mut self, _: usize) -> Clearing {
        if self.settings.method == Method::Max { Clearing::AtTop } else { Clearing::Nothing }
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let pooler = self.pooler.as_mut().expect("outlined before it runs");
        let (top, rest) = pass.tops.split_at_mut(1);
        pooler.forward(pass.bottoms[0].data, top[0].data, pass.draw)?;
        if let [second] = rest {
            for_chunks_mut(second.data, CHUNK, |start, out| {
                out.iter_mut().zip(start..).for_each(|(out, o)| *out = pooler.place(o) as f32);
            });
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(diff) = &mut pass.bottom_diffs[0] else { return };
        let pooler = self.pooler.as_ref().expect("outlined before it runs");
        pooler.backward(pass.bottoms[0].data, pass.tops[0].data, pass.tops[0].diff, diff);
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, forward_with, refusal};

    const POSITIVE: Values = Values::Between(0.1, 1.0);

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'Pooling' pooling_param { kernel_size: 3 stride: 2 pad: 1 }",
            &[(&[2, 2, 5, 6], Values::Distinct)],
        ),
        Case::new(
            "type: 'Pooling' pooling_param { global_pooling: true }",
            &[(&[2, 3, 3, 2], Values::Distinct)],
        ),
        Case::new(
            "type: 'Pooling' pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }",
            &[(&[2, 2, 5, 6], Values::Any)],
        ),
        Case::new(
            "type: 'Pooling' pooling_param { pool: AVE kernel_size: 2 }",
            &[(&[1, 2, 3, 2, 3], Values::Any)],
        ),
        Case::new(
            "type: 'Pooling' pooling_param { pool: L2 kernel_size: 2 stride: 2 }",
            &[(&[2, 2, 3, 5], POSITIVE)],
        ),
        Case::new(
            "type: 'Pooling' pooling_param { pool: GAUSSIAN kernel_size: 3 pad: 1 }",
            &[(&[2, 1, 4, 3], Values::Any)],
        ),
        Case::new(
            "type: 'Pooling' pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }",
            &[(&[1, 2, 4, 4], POSITIVE)],
        ),
        Case::new(
            "type: 'Pooling' pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 }",
            &[(&[2, 1, 5, 4], POSITIVE)],
        )
        .test(),
    ];

    const X: (&[usize], &[f32]) = (&[1, 1, 3, 3], &[1.0, 2.0, 5.0, 4.0, 5.0, 3.0, 0.0, 7.0, 7.0]);

    fn pooling(settings: &str) -> String {
        format!("type: 'Pooling' pooling_param {{ {settings} }}")
    }

    #[test]
    fn windows_by_hand() {
        assert_eq!(forward(&pooling("kernel_size: 2 stride: 2"), &[X])[0], [5.0, 5.0, 7.0, 7.0]);
        assert_eq!(forward(&pooling("kernel_size: 2 round_mode: FLOOR stride: 2"), &[X])[0], [5.0]);
        // Overhang does not count for the area, padding does.
        assert_eq!(forward(&pooling("pool: AVE kernel_size: 2 stride: 2"), &[X])[0], [3.0, 4.0, 3.5, 7.0]);
        let padded = forward(&pooling("pool: AVE kernel_size: 2 stride: 2 pad: 1"), &[X]);
        assert_eq!(padded[0], [0.25, 1.75, 1.0, 5.5]);
        assert_eq!(forward(&pooling("pool: AVE global_pooling: true"), &[X])[0], [34.0 / 9.0]);
        assert_eq!(
            forward(&pooling("pool: L2 kernel_h: 1 kernel_w: 3"), &[(&[1, 1, 1, 3], &[2.0, 3.0, 6.0])])[0],
            [7.0]
        );
    }

    #[test]
    fn the_second_top_is_the_first_largest_place() {
        let tops = forward_with(&pooling("kernel_size: 3"), 2, &[X], &[]);
        assert_eq!((tops[0][0], tops[1][0]), (7.0, 7.0));
        let tops = forward_with(&pooling("kernel_size: 2"), 2, &[X], &[]);
        assert_eq!(tops[1], [4.0, 2.0, 7.0, 7.0]);
    }

    #[test]
    fn weights_fall_with_the_distance() {
        let x: (&[usize], &[f32]) = (&[1, 1, 3], &[1.0, 0.0, 0.0]);
        let w = (-0.5f32).exp();
        let y = forward(&pooling("pool: GAUSSIAN kernel_size: 3 sigma: 1"), &[x])[0][0];
        assert!((y - w / (1.0 + 2.0 * w)).abs() < 1e-6);
        // Outside the image nothing counts: what is the same everywhere stays.
        let ones: (&[usize], &[f32]) = (&[1, 1, 3], &[1.0; 3]);
        let y = &forward(&pooling("pool: GAUSSIAN kernel_size: 3 pad: 1"), &[ones])[0];
        assert!(y.len() == 3 && y.iter().all(|y| (y - 1.0).abs() < 1e-6));
    }

    #[test]
    fn sizes_may_differ_by_axis() {
        let x: Vec<f32> = (0..16).map(|v| v as f32).collect();
        let tops = forward(&pooling("kernel_sizes: [1, 2, 4] strides: [1, 2, 1]"), &[(&[1, 1, 2, 2, 4], &x)]);
        assert_eq!(tops[0], [7.0, 15.0]);
    }

    #[test]
    fn a_single_side_beside_kernel_size_means_nothing() {
        let [one, other] = ["kernel_size: 2 kernel_h: 3", "kernel_size: 2 kernel_w: 1"]
            .map(|text| forward(&pooling(text), &[X]));
        assert_eq!((&one, &other), (&forward(&pooling("kernel_size: 2"), &[X]), &one));
    }

    #[test]
    fn drawn_elements_come_from_their_window() {
        let y = &forward(&pooling("pool: STOCHASTIC kernel_size: 1"), &[X])[0];
        assert_eq!(y, X.1);
    }

    #[test]
    fn bad_settings_are_refused() {
        let refused = |settings: &str, shape: &[usize]| refusal(&pooling(settings), &[shape]);
        let x = &[1, 1, 4, 4];
        assert!(refused("", x).contains("kernel_size is missing"));
        assert!(refused("kernel_size: 0", x).contains("at least 1, found 0"));
        assert!(refused("kernel_size: 2 stride: 0", x).contains("at least 1, found 0"));
        assert_eq!(refused("kernel_size: 2 pad: 2", x), "pad must be less than kernel_size 2, found 2");
        assert_eq!(refused("kernel_size: 7 pad: 1", x), "kernel_size 7 exceeds the padded input 6");
        assert!(refused("kernel_size: 2 kernel_h: 2 kernel_w: 2", x).contains("not several"));
        assert_eq!(refused("kernel_h: 2", x), "kernel_h needs kernel_w beside it");
        assert!(refused("global_pooling: true kernel_size: 2", x).contains("leave kernel_size out"));
        assert!(refused("global_pooling: true pad: 1", x).contains("needs pad 0"));
        assert!(refused("kernel_size: 2", &[4, 4]).contains("three axes or more"));
        let wide = refused("global_pooling: true", &[0, 1, (1 << 28) + 1, 1]);
        assert_eq!(wide, "a window of 268435457 is beyond reason: at most 268435456");
        assert!(refused("kernel_h: 2 kernel_w: 2", &[1, 1, 4, 4, 4]).contains("given for 2 axes"));
        assert!(refused("kernel_size: 2", &[1, 1, 0, 4]).contains("exceeds"));
        assert!(refused("pool: GAUSSIAN sigma: -1 kernel_size: 2", x).contains("above 0"));
    }
}
