//! `convolution_param`, which the whole convolution family is set by: checked, then fitted to a bottom.

use super::{
    LayerError, ParamOutline,
    filter_window::{Window, wrong},
};
use crate::{
    config::proto::{ConvolutionParameter, FillerParameter},
    kernels::conv::MAX_AXES,
    tensor::Shape,
};

/// The settings, with all that can be refused without knowing a bottom refused.
pub struct ConvolutionSettings {
    num_output: Option<usize>,
    group: usize,
    axis: i32,
    kernel: PerAxis,
    stride: PerAxis,
    pad: PerAxis,
    dilation: PerAxis,
    weight_filler: FillerParameter,
    bias_filler: Option<FillerParameter>,
}

impl ConvolutionSettings {
    /// Checks `convolution_param`.
    pub fn new(config: Option<&ConvolutionParameter>) -> Result<Self, LayerError> {
        let default = ConvolutionParameter::default();
        let c = config.unwrap_or(&default);
        if c.num_output == Some(0) {
            return Err(wrong("num_output", "num_output must not be 0"));
        }
        if c.group() == 0 {
            return Err(wrong("group", "group must not be 0"));
        }
        Ok(Self {
            num_output: c.num_output.map(|n| n as usize),
            group: c.group() as usize,
            axis: c.axis(),
            kernel: PerAxis::new(
                ["kernel_size", "kernel_h", "kernel_w"],
                &c.kernel_size,
                c.kernel_h,
                c.kernel_w,
            )?
            .positive()?,
            stride: PerAxis::new(["stride", "stride_h", "stride_w"], &c.stride, c.stride_h, c.stride_w)?
                .or(1)
                .positive()?,
            pad: PerAxis::new(["pad", "pad_h", "pad_w"], &c.pad, c.pad_h, c.pad_w)?.or(0),
            dilation: PerAxis::new(["dilation"; 3], &c.dilation, None, None)?.or(1).positive()?,
            weight_filler: c.weight_filler.clone().unwrap_or_default(),
            bias_filler: c.bias_term().then(|| c.bias_filler.clone().unwrap_or_default()),
        })
    }

    /// `group`.
    pub fn group(&self) -> usize {
        self.group
    }

    /// `axis`, as it is written.
    pub fn axis(&self) -> i32 {
        self.axis
    }

    /// How many parameters there are: weights, and a bias unless it is left out.
    pub fn param_count(&self) -> usize {
        1 + usize::from(self.bias_filler.is_some())
    }

    /// `num_output`, which a convolution needs.
    pub fn num_output(&self) -> Result<usize, LayerError> {
        self.num_output.ok_or_else(|| wrong("num_output", "num_output is missing"))
    }

    /// With `group` = `channels`, and as many outputs as channels unless `num_output` says otherwise.
    pub fn depthwise(&self, channels: usize) -> Result<(usize, usize), LayerError> {
        if self.group != 1 && self.group != channels {
            let message = format!("group {} of a depthwise convolution with {channels} channels", self.group);
            return Err(wrong("group", message + ": leave it out, or give the number of channels"));
        }
        Ok((channels.max(1), self.num_output.unwrap_or(channels)))
    }

    /// Fits the settings to the bottoms, which must all have one shape.
    pub fn fit(&self, bottoms: &[Shape]) -> Result<Window, LayerError> {
        let bottom = &bottoms[0];
        if let Some((i, other)) = bottoms.iter().enumerate().find(|&(_, b)| b != bottom) {
            return Err(LayerError::shape(format!(
                "all bottoms must have one shape: bottom 0 is {bottom}, bottom {i} is {other}"
            )));
        }
        let axis = bottom.axis(self.axis).ok_or_else(|| {
            wrong("axis", format!("axis {} does not exist in the bottom of shape {bottom}", self.axis))
        })?;
        let sides = bottom[axis + 1..].to_vec();
        if sides.len() > MAX_AXES {
            let message = format!("at most {MAX_AXES} spatial axes, found {} in {bottom}", sides.len());
            return Err(LayerError::shape(message));
        }
        Ok(Window {
            axis,
            samples: bottom.count_of(..axis),
            channels: bottom[axis],
            kernel: self.kernel.spread(sides.len(), bottom)?,
            stride: self.stride.spread(sides.len(), bottom)?,
            pad: self.pad.spread(sides.len(), bottom)?,
            dilation: self.dilation.spread(sides.len(), bottom)?,
            sides,
        })
    }

    /// Weights of this shape, and a bias, if there is one, of that shape.
    pub fn params(&self, weights: impl Into<Shape>, bias: impl Into<Shape>) -> Vec<ParamOutline> {
        let weights = ParamOutline::learned(weights, self.weight_filler.clone());
        let bias = self.bias_filler.as_ref().map(|filler| ParamOutline::learned(bias, filler.clone()));
        std::iter::once(weights).chain(bias).collect()
    }
}

/// A setting of every spatial axis: given once for all, once for each, or under its `_h` and `_w` names.
struct PerAxis {
    /// Its three names.
    names: [&'static str; 3],
    values: Vec<usize>,
    /// Given as `_h` and `_w`, so for two spatial axes only.
    plane: bool,
    default: Option<usize>,
}

impl PerAxis {
    fn new(
        names: [&'static str; 3],
        list: &[u32],
        h: Option<u32>,
        w: Option<u32>,
    ) -> Result<Self, LayerError> {
        let [name, name_h, name_w] = names;
        let plane = h.is_some() || w.is_some();
        if plane && !list.is_empty() {
            return Err(wrong(name, format!("give either {name} or {name_h} and {name_w}, not both")));
        }
        let values = match (h, w) {
            (None, None) => list.iter().map(|&v| v as usize).collect(),
            // Of these Caffe lets only the pad have a default.
            (Some(h), Some(w)) => vec![h as usize, w as usize],
            _ if name == "pad" => vec![h.unwrap_or(0) as usize, w.unwrap_or(0) as usize],
            (Some(_), None) => return Err(wrong(name_h, format!("{name_h} is given without {name_w}"))),
            (None, Some(_)) => return Err(wrong(name_w, format!("{name_w} is given without {name_h}"))),
        };
        Ok(Self { names, values, plane, default: None })
    }

    fn or(self, default: usize) -> Self {
        Self { default: Some(default), ..self }
    }

    fn positive(self) -> Result<Self, LayerError> {
        match self.values.iter().position(|&v| v == 0) {
            None => Ok(self),
            Some(i) => {
                let name = self.names[if self.plane { i + 1 } else { 0 }];
                Err(wrong(name, format!("{name} must not be 0")))
            }
        }
    }

    /// One value for each of `n` spatial axes.
    fn spread(&self, n: usize, bottom: &Shape) -> Result<Vec<usize>, LayerError> {
        let [name, name_h, name_w] = self.names;
        match (&self.values[..], self.default) {
            (_, _) if self.plane && n != 2 => Err(wrong(
                name_h,
                format!(
                    "{name_h} and {name_w} need 2 spatial axes, a bottom of shape {bottom} has {n}: use {name}"
                ),
            )),
            (&[], Some(value)) | (&[value], _) => Ok(vec![value; n]),
            (&[], None) if n > 0 => Err(wrong(name, format!("{name} is missing"))),
            (values, _) if values.len() == n => Ok(values.to_vec()),
            (values, _) => Err(wrong(
                name,
                format!(
                    "{name} is given {} times, expected once or {n} times, for the spatial axes of {bottom}",
                    values.len()
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::gradient_check::config;

    fn settings(text: &str) -> Result<ConvolutionSettings, LayerError> {
        ConvolutionSettings::new(
            config(&format!("convolution_param {{ {text} }}")).convolution_param.as_ref(),
        )
    }

    fn refused(text: &str, bottoms: &[&[usize]]) -> String {
        let bottoms: Vec<Shape> = bottoms.iter().map(|&b| b.into()).collect();
        let window = settings(text).and_then(|s| s.fit(&bottoms));
        window.and_then(|w| w.convolved()).unwrap_err().to_string()
    }

    fn window(text: &str, bottom: &[usize]) -> Window {
        settings(text).unwrap().fit(&[bottom.into()]).unwrap()
    }

    #[test]
    fn settings_spread_over_the_spatial_axes() {
        let w = window("kernel_size: 5 pad: 2 dilation: 1 dilation: 3", &[7, 3, 32, 30]);
        assert_eq!((w.axis, w.samples, w.channels), (1, 7, 3));
        assert_eq!((&w.sides[..], &w.kernel[..]), (&[32, 30][..], &[5, 5][..]));
        assert_eq!((&w.stride[..], &w.pad[..], &w.dilation[..]), (&[1, 1][..], &[2, 2][..], &[1, 3][..]));
        let w = window("kernel_h: 3 kernel_w: 2 pad_w: 1 stride_h: 2 stride_w: 1", &[1, 1, 9, 9]);
        assert_eq!((&w.kernel[..], &w.pad[..], &w.stride[..]), (&[3, 2][..], &[0, 1][..], &[2, 1][..]));
        let w = window("kernel_size: 3 axis: -2", &[2, 3, 4, 6]);
        assert_eq!((w.axis, w.samples, w.channels, &w.sides[..]), (2, 6, 4, &[6][..]));
        assert!(window("", &[4, 10]).kernel.is_empty());
    }

    /// The worked examples of a 7x7 image under a 3x3 filter, and 32x32 under 5x5 with a rim of 2.
    #[test]
    fn sides_of_the_top() {
        let side = |text: &str, side| window(text, &[1, 1, side]).convolved().unwrap()[0].output;
        assert_eq!(side("kernel_size: 3", 7), 5);
        assert_eq!(side("kernel_size: 3 stride: 2", 7), 3);
        assert_eq!(side("kernel_size: 3 stride: 3", 7), 2);
        assert_eq!(side("kernel_size: 5 pad: 2", 32), 32);
        assert_eq!(side("kernel_size: 5", 28), 24);
        assert_eq!(side("kernel_size: 3 dilation: 2", 7), 3);
        assert_eq!(side("kernel_size: 1 pad: 1", 0), 2);
        let back = |text: &str, side| window(text, &[1, 1, side]).deconvolved().map(|axes| axes[0].input);
        assert_eq!(back("kernel_size: 4 stride: 2 pad: 1", 5), Ok(10));
        assert_eq!(back("kernel_size: 3 dilation: 2", 3), Ok(7));
        let e = back("kernel_size: 2 pad: 2", 3).unwrap_err().to_string();
        assert_eq!(e, "pad 2 leaves nothing of the output of an input of 3");
    }

    #[test]
    fn bad_settings_are_refused() {
        let square: &[&[usize]] = &[&[1, 1, 5, 5]];
        for (text, message) in [
            ("num_output: 0", "num_output must not be 0"),
            ("group: 0", "group must not be 0"),
            ("", "kernel_size is missing"),
            ("kernel_size: 0", "kernel_size must not be 0"),
            ("kernel_h: 3 kernel_w: 0", "kernel_w must not be 0"),
            ("kernel_size: 3 stride: 0", "stride must not be 0"),
            ("kernel_size: 3 stride_h: 0 stride_w: 1", "stride_h must not be 0"),
            ("kernel_size: 3 dilation: 0", "dilation must not be 0"),
            ("kernel_size: 3 kernel_h: 3", "give either kernel_size or kernel_h and kernel_w, not both"),
            ("kernel_size: 3 stride: 1 stride_w: 1", "give either stride or stride_h and stride_w, not both"),
            ("kernel_size: 3 pad: 1 pad_h: 1", "give either pad or pad_h and pad_w, not both"),
            ("kernel_h: 3", "kernel_h is given without kernel_w"),
            ("kernel_size: 3 stride_w: 3", "stride_w is given without stride_h"),
            ("kernel_size: 3 axis: 4", "axis 4 does not exist in the bottom of shape 1 x 1 x 5 x 5"),
            ("kernel_size: 7", "kernel_size 7 exceeds the padded input 5"),
            (
                "kernel_size: 3 dilation: 3 pad_h: 1",
                "kernel_size 3 with dilation 3 spans 7 and exceeds the padded input 5",
            ),
            (
                "kernel_size: [3, 3, 3]",
                "kernel_size is given 3 times, expected once or 2 times, for the spatial axes of 1 x 1 x 5 x 5",
            ),
            (
                "kernel_size: 3 pad: [1, 1, 1]",
                "pad is given 3 times, expected once or 2 times, for the spatial axes of 1 x 1 x 5 x 5",
            ),
        ] {
            assert_eq!(refused(text, square), message, "{text}");
        }
        assert_eq!(
            refused("kernel_h: 3 kernel_w: 3", &[&[1, 1, 5]]),
            "kernel_h and kernel_w need 2 spatial axes, a bottom of shape 1 x 1 x 5 has 1: use kernel_size"
        );
        assert_eq!(
            refused("kernel_size: 1", &[&[1, 1, 5], &[1, 1, 6]]),
            "all bottoms must have one shape: bottom 0 is 1 x 1 x 5, bottom 1 is 1 x 1 x 6"
        );
    }
}
