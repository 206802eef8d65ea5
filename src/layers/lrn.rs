//! `LRN`: divides each value by the strength of its neighbourhood.

use super::{Backward, Forward, Kind, Layer, LayerError, Outline, Reads, Setup};
use crate::{
    config::proto::{LayerParameter, lrn_parameter::NormRegion},
    kernels::lrn::{Across, MAX_SIZE, Response, Within, across, across_backward, within, within_backward},
    tensor::Shape,
};

/// The row of `LRN`.
pub const KIND: Kind = Kind {
    name: "LRN",
    summary: "local response normalization, across channels or within one",
    settings: &["lrn_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Local response normalization.
///
/// y = x * s^-beta       dx = dy * s^-beta - 2 alpha beta / m * x * sum dy x s^(-beta - 1)
///
/// s = k + alpha / m * sum x^2. ACROSS_CHANNELS: over `local_size` channels at the same place, m = local_size.
/// WITHIN_CHANNEL: over a square of that side, m = local_size^2 also at the edges, and k is always 1.
///
/// Shapes: bottom `N x C x ...` (WITHIN_CHANNEL: `N x C x H x W`), top the same. Params: none.
/// Reference: Krizhevsky et al. 2012. Differs from Caffe: ACROSS_CHANNELS takes any number of axes from two on.
struct Lrn {
    region: NormRegion,
    response: Response,
    dims: Dims,
}

enum Dims {
    Across(Across),
    Within(Within),
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.lrn_param.unwrap_or_default();
    let size = param.local_size() as usize;
    if size.is_multiple_of(2) || size > MAX_SIZE {
        let message = format!("local_size must be odd and at most {MAX_SIZE}, found {size}");
        return Err(LayerError::setting("lrn_param.local_size", message));
    }
    let (region, alpha) = (param.norm_region(), param.alpha());
    let (scale, k) = match region {
        NormRegion::AcrossChannels => (alpha / size as f32, param.k()),
        NormRegion::WithinChannel => (alpha / (size * size) as f32, 1.0),
    };
    Ok(Box::new(Lrn {
        region,
        response: Response { size, scale, k, beta: param.beta() },
        dims: Dims::Across(Across { images: 0, channels: 0, inner: 0 }),
    }))
}

impl Layer for Lrn {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        let outline = Outline::of([bottom.clone()]).reads(Reads::BOTTOMS);
        match (self.region, &bottom[..]) {
            (NormRegion::AcrossChannels, &[images, channels, ref rest @ ..]) => {
                self.dims = Dims::Across(Across { images, channels, inner: rest.iter().product() });
                Ok(outline)
            }
            (NormRegion::WithinChannel, &[n, c, height, width]) => {
                self.dims = Dims::Within(Within { planes: n * c, height, width });
                Ok(outline)
            }
            (NormRegion::AcrossChannels, _) => Err(LayerError::shape(format!(
                "the bottom needs two axes or more (N x C x ...), found {bottom}"
            ))),
            (NormRegion::WithinChannel, _) => Err(LayerError::shape(format!(
                "norm_region WITHIN_CHANNEL needs a bottom of four axes (N x C x H x W), found {bottom}"
            ))),
        }
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (x, y) = (pass.bottoms[0].data, &mut *pass.tops[0].data);
        match self.dims {
            Dims::Across(dims) => across(dims, self.response, x, y),
            Dims::Within(dims) => within(dims, self.response, x, y),
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(dx) = &mut pass.bottom_diffs[0] else { return };
        let (x, dy) = (pass.bottoms[0].data, pass.tops[0].diff);
        match self.dims {
            Dims::Across(dims) => across_backward(dims, self.response, x, dy, dx),
            Dims::Within(dims) => within_backward(dims, self.response, x, dy, dx),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'LRN' lrn_param { alpha: 2 }", &[(&[2, 7, 2, 3], Values::Any)]),
        Case::new(
            "type: 'LRN' lrn_param { local_size: 3 alpha: 1.5 beta: 0.6 k: 2 }",
            &[(&[2, 4], Values::Any)],
        ),
        Case::new(
            "type: 'LRN' lrn_param { local_size: 3 alpha: 2 norm_region: WITHIN_CHANNEL }",
            &[(&[2, 2, 4, 5], Values::Any)],
        ),
    ];

    fn lrn(settings: &str) -> String {
        format!("type: 'LRN' lrn_param {{ {settings} }}")
    }

    fn assert_close(got: &[f32], want: &[f32]) {
        assert!(
            got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6),
            "{got:?}"
        );
    }

    #[test]
    fn channels_by_hand() {
        let y = &forward(&lrn("local_size: 3 alpha: 3 beta: 1 k: 2"), &[(&[1, 3, 1], &[1.0, 2.0, 3.0])])[0];
        assert_close(y, &[1.0 / 7.0, 2.0 / 16.0, 3.0 / 15.0]);
    }

    #[test]
    fn squares_by_hand() {
        // s = 1 + 9 / 9 * sum, whatever k says, and divided by 9 at the edges too.
        let settings = "local_size: 3 alpha: 9 beta: 0.5 k: 5 norm_region: WITHIN_CHANNEL";
        let y = &forward(&lrn(settings), &[(&[1, 1, 1, 3], &[1.0, 1.0, 3.0])])[0];
        assert_close(y, &[1.0 / 3f32.sqrt(), 1.0 / 12f32.sqrt(), 3.0 / 11f32.sqrt()]);
    }

    #[test]
    fn bad_settings_are_refused() {
        assert_eq!(
            refusal(&lrn("local_size: 4"), &[&[1, 3, 2, 2]]),
            "local_size must be odd and at most 511, found 4"
        );
        assert!(refusal(&lrn(""), &[&[3]]).contains("two axes or more"));
        assert!(refusal(&lrn("norm_region: WITHIN_CHANNEL"), &[&[1, 3, 2]]).contains("four axes"));
    }
}
