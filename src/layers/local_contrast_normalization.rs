//! `LocalContrastNormalization`: subtracts the mean of each pixel's neighbourhood and divides by its deviation.

use super::{Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup};
use crate::{
    config::proto::{
        LayerParameter, LocalContrastNormalizationParameter,
        local_contrast_normalization_parameter::Operation,
    },
    kernels::{
        channels::Channels,
        contrast::Contrast,
        elementwise::copy,
        pool::{Axis, Pool, Weights},
    },
    tensor::{Buffer, Shape},
};

/// The row of `LocalContrastNormalization`.
pub const KIND: Kind = Kind {
    name: "LocalContrastNormalization",
    summary: "subtracts the neighbourhood's mean and divides by its deviation",
    settings: &["local_contrast_normalization_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Local contrast normalization over all channels of an image.
///
/// v = x - G(mean x)       y = v / max(c, s), s = sqrt(G(mean v^2)), c = the image's mean of s
///
/// where means are over channels, and G is the mean over a square weighted by exp(-d^2 / (2 sigma^2)), of which only
/// what lies in the image counts. With G' its transpose, dv = dy / max(c, s) + 2 / C v G'(ds^2) and
/// dx = dv - mean over channels of G'(sum dv). SUBTRACTIVE gives v itself. The divisor is at least `eps`.
///
/// Shapes: bottom `N x C x ...`, top the same. Params: none.
/// Reference: Jarrett et al. 2009, section 3.1. Differs from Caffe: a layer of our own.
struct LocalContrastNormalization {
    param: LocalContrastNormalizationParameter,
    contrast: Option<Contrast>,
    /// s and the divisors of the last forward pass.
    deviations: Buffer,
    divisors: Buffer,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.local_contrast_normalization_param.unwrap_or_default();
    let refuse = |field: &str, message: String| {
        Err(LayerError::setting(format!("local_contrast_normalization_param.{field}"), message))
    };
    let size = param.kernel_size();
    if size % 2 != 1 || size > MAX_SIZE {
        return refuse(
            "kernel_size",
            format!("kernel_size must be odd and at most {MAX_SIZE}, found {size}"),
        );
    }
    if let Some(sigma) = param.sigma
        && !(sigma > 0.0 && sigma.is_finite())
    {
        return refuse("sigma", format!("sigma must be above 0, found {sigma}"));
    }
    if !(param.eps() > 0.0 && param.eps().is_finite()) {
        return refuse("eps", format!("eps must be above 0, found {}", param.eps()));
    }
    let (deviations, divisors) = Default::default();
    Ok(Box::new(LocalContrastNormalization { param, contrast: None, deviations, divisors }))
}

/// The largest side of a neighbourhood.
const MAX_SIZE: u32 = 511;

impl Layer for LocalContrastNormalization {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        if bottom.len() < 3 || bottom.count() == 0 {
            return Err(LayerError::shape(format!(
                "the bottom needs three axes or more (N x C x ...) that are not empty, found {bottom}"
            )));
        }
        let size = self.param.kernel_size() as usize;
        let around = |&input: &usize| Axis { input, output: input, kernel: size, stride: 1, pad: size / 2 };
        let pool = Pool { planes: bottom[0], axes: bottom[2..].iter().map(around).collect() };
        let sigma = self.param.sigma.unwrap_or(size as f32 / 4.0);
        let weights = Weights::gaussian(&pool, &vec![sigma; pool.axes.len()]);
        let dims = Channels { images: bottom[0], channels: bottom[1], inner: bottom.count_of(2..) };
        let contrast = Contrast { dims, pool, weights, eps: self.param.eps() };
        let pixels = contrast.pixels();
        let divides = self.divides();
        if divides {
            self.deviations.resize(pixels);
            self.divisors.resize(pixels);
        }
        self.contrast = Some(contrast);
        let reads = if divides { Reads::TOPS } else { Reads::NOTHING };
        Ok(Outline::of([bottom.clone()]).workspace(2 * pixels).reads(reads))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let divides = self.divides();
        let contrast = self.contrast.as_ref().expect("outlined before it runs");
        let (a, rest) = pass.workspace.split_at_mut(contrast.pixels());
        let scratch = [a, &mut rest[..contrast.pixels()]];
        let y = &mut *pass.tops[0].data;
        contrast.subtract(pass.bottoms[0].data, y, scratch);
        if divides {
            contrast.divide(y, &mut self.deviations, &mut self.divisors);
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let divides = self.divides();
        let Some(dx) = &mut pass.bottom_diffs[0] else { return };
        let contrast = self.contrast.as_ref().expect("outlined before it runs");
        let (a, rest) = pass.workspace.split_at_mut(contrast.pixels());
        let b = &mut rest[..contrast.pixels()];
        let top = &pass.tops[0];
        if divides {
            let kept = [&self.deviations[..], &self.divisors[..]];
            contrast.divide_backward([top.data, top.diff], kept, dx, [a, b]);
        } else {
            copy(top.diff, dx);
        }
        contrast.subtract_backward(dx, [a, b]);
    }
}

impl LocalContrastNormalization {
    fn divides(&self) -> bool {
        self.param.operation() == Operation::Divisive
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    /// Strong on the left, weak on the right: no deviation is near their mean, where the maximum has a kink.
    const CLEAR: [f32; 36] = [
        -2.0, 3.0, 1.3, 0.3, -0.3, 0.2, 3.0, 3.0, 1.3, 0.2, 0.2, 0.3, -2.2, 2.1, -2.0, 0.2, 0.3, -0.2, -1.8,
        -2.6, -1.9, 0.3, -0.3, 0.3, 2.7, -3.0, 1.7, -0.3, -0.2, 0.3, -2.9, -3.0, 1.2, 0.3, 0.2, -0.3,
    ];

    pub const GRADIENT: &[Case] = &[
        Case::new(
            "type: 'LocalContrastNormalization' local_contrast_normalization_param {
                operation: SUBTRACTIVE kernel_size: 3 }",
            &[(&[2, 2, 3, 4], Values::Any)],
        ),
        Case::new(
            "type: 'LocalContrastNormalization' local_contrast_normalization_param { kernel_size: 3 }",
            &[(&[1, 2, 3, 6], Values::Given(&CLEAR))],
        ),
        // A divisor that eps decides.
        Case::new(
            "type: 'LocalContrastNormalization' local_contrast_normalization_param { kernel_size: 5 eps: 2 }",
            &[(&[1, 1, 5, 4], Values::Any)],
        ),
    ];

    fn contrast(settings: &str) -> String {
        format!("type: 'LocalContrastNormalization' local_contrast_normalization_param {{ {settings} }}")
    }

    /// The formulas over one row of two channels with a window of three, plainly.
    #[test]
    fn a_row_by_hand() {
        let x = [1.0f64, 4.0, 2.0, 6.0, 0.0, 3.0];
        let w = (-0.5f64).exp();
        let blur = |p: [f64; 3]| {
            [
                (p[0] + w * p[1]) / (1.0 + w),
                (w * p[0] + p[1] + w * p[2]) / (1.0 + 2.0 * w),
                (w * p[1] + p[2]) / (1.0 + w),
            ]
        };
        let mean = blur([0, 1, 2].map(|p| (x[p] + x[3 + p]) / 2.0));
        let v: Vec<f64> = (0..6).map(|i| x[i] - mean[i % 3]).collect();
        let s = blur([0, 1, 2].map(|p| (v[p] * v[p] + v[3 + p] * v[3 + p]) / 2.0)).map(f64::sqrt);
        let c = s.iter().sum::<f64>() / 3.0;
        let y: Vec<f64> = (0..6).map(|i| v[i] / s[i % 3].max(c)).collect();

        let x: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        let bottom: (&[usize], &[f32]) = (&[1, 2, 3], &x);
        let close = |got: &[f32], want: &[f64]| {
            assert!(got.iter().zip(want).all(|(&g, w)| (f64::from(g) - w).abs() < 1e-5), "{got:?} {want:?}");
        };
        close(&forward(&contrast("kernel_size: 3 sigma: 1"), &[bottom])[0], &y);
        close(&forward(&contrast("operation: SUBTRACTIVE kernel_size: 3 sigma: 1"), &[bottom])[0], &v);
    }

    #[test]
    fn what_is_flat_becomes_zero() {
        let y = &forward(&contrast(""), &[(&[1, 2, 4, 4], &[3.0; 32])])[0];
        assert!(y.iter().all(|y| y.abs() < 0.01), "{y:?}");
    }

    #[test]
    fn bad_settings_are_refused() {
        let x: &[usize] = &[1, 1, 4, 4];
        assert!(refusal(&contrast("kernel_size: 4"), &[x]).contains("must be odd"));
        assert!(refusal(&contrast("sigma: 0"), &[x]).contains("sigma must be above 0"));
        assert!(refusal(&contrast("eps: 0"), &[x]).contains("eps must be above 0"));
        assert!(refusal(&contrast(""), &[&[3, 4]]).contains("three axes or more"));
    }
}
