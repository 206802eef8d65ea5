//! `Normalize`: each image, or each of its places, over its Euclidean norm.

use super::{
    Backward, Forward, Kind, Layer, LayerError, Outline, ParamOutline, Reads, Setup, axes::make_room,
    filler::constant_of,
};
use crate::{
    config::proto::{LayerParameter, NormalizeParameter},
    kernels::{
        channels::Channels,
        unit_norm::{Known, UnitNorm},
    },
    tensor::Shape,
};

/// The row of `Normalize`.
pub const KIND: Kind = Kind {
    name: "Normalize",
    summary: "each image, or each of its places, over its norm, times a learned factor",
    settings: &["norm_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Euclidean normalization over a whole image or, without `across_spatial`, over the channels at each place, and a factor
/// for all channels or, without `channel_shared`, for each.
///
/// y = s x / n, where n = sqrt(eps + sum x^2)
/// dx = s dy / n - x / n^3 * sum(s x dy)       ds = sum(x dy / n)
///
/// Shapes: bottom `N x C x ...`, top the same. Params: s, a scalar or `C`; 1 unless there is a filler.
/// Reference: Liu et al. 2015 (ParseNet). Differs from SSD's fork: more than four axes; and its dx leaves s out of the sum,
/// multiplying with it afterwards, which is right only while all channels have one factor; its ds is NaN where s is 0.
/// NormFace's layer of this name is another.
struct Normalize {
    param: NormalizeParameter,
    how: UnitNorm,
    /// One over each norm.
    inverse: Vec<f32>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.norm_param.clone().unwrap_or_default();
    if param.eps().is_nan() || param.eps() < 0.0 {
        let message = format!("eps must be 0 or more, found {}", param.eps());
        return Err(LayerError::setting("norm_param.eps", message));
    }
    Ok(Box::new(Normalize { param, how: UnitNorm::default(), inverse: vec![] }))
}

impl Layer for Normalize {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let (bottom, p) = (&bottoms[0], &self.param);
        if bottom.len() < 2 {
            return Err(LayerError::shape(format!("the bottom must have 2 axes or more, found {bottom}")));
        }
        let dims = Channels::of(bottom, 1, 2);
        self.how = UnitNorm { dims, whole: p.across_spatial(), eps: p.eps() };
        make_room(&mut self.inverse, self.how.norms());
        let shape = if p.channel_shared() { Shape::default() } else { [dims.channels].into() };
        let scale = ParamOutline::learned(shape, p.scale_filler.clone().unwrap_or(constant_of(1.0)));
        let outline = Outline::of([bottom.clone()]).params(vec![scale]).reads(Reads::BOTTOMS);
        Ok(outline.workspace(self.how.scratch()))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (x, y) = (pass.bottoms[0].data, &mut *pass.tops[0].data);
        self.how.forward(pass.params[0], x, y, &mut self.inverse, pass.workspace);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let known = Known {
            scale: pass.params[0],
            x: pass.bottoms[0].data,
            dy: pass.tops[0].diff,
            inverse: &self.inverse,
        };
        let dx = pass.bottom_diffs[0].as_deref_mut();
        let slopes = pass.param_diffs[0].as_deref_mut();
        self.how.backward(known, dx, slopes, pass.workspace);
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward, forward_with, refusal};

    const AWAY: Values = Values::Between(0.4, 1.4);

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'Normalize'", &[(&[2, 3, 2, 2], Values::Any)]),
        Case::new("type: 'Normalize' norm_param { channel_shared: false }", &[(&[2, 3, 2], Values::Any)]),
        Case::new("type: 'Normalize' norm_param { across_spatial: false }", &[(&[2, 3, 2, 3], AWAY)]),
        Case::new(
            "type: 'Normalize' norm_param { across_spatial: false channel_shared: false eps: 0.5 }",
            &[(&[2, 3, 5], Values::Any)],
        ),
        Case::new("type: 'Normalize' norm_param { channel_shared: false }", &[(&[3, 4], AWAY)]),
    ];

    const X: (&[usize], &[f32]) = (&[1, 2, 2], &[3.0, 0.0, 4.0, 12.0]);

    fn normalized(settings: &str, scale: &[f32]) -> Vec<f32> {
        let text = format!("type: 'Normalize' norm_param {{ eps: 0 {settings} }}");
        forward_with(&text, 1, &[X], &[scale]).remove(0)
    }

    #[test]
    fn images_and_places_by_hand() {
        let close = |got: Vec<f32>, want: [f32; 4]| {
            assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{got:?}");
        };
        close(normalized("", &[13.0]), [3.0, 0.0, 4.0, 12.0]);
        close(normalized("channel_shared: false", &[13.0, -26.0]), [3.0, 0.0, -8.0, -24.0]);
        close(normalized("across_spatial: false", &[5.0]), [3.0, 0.0, 4.0, 5.0]);
        let by_place = "across_spatial: false channel_shared: false";
        close(normalized(by_place, &[5.0, 10.0]), [3.0, 0.0, 8.0, 10.0]);
    }

    #[test]
    fn zeros_stay_zeros() {
        assert_eq!(forward("type: 'Normalize'", &[(&[1, 3], &[0.0; 3])])[0], [0.0; 3]);
    }

    #[test]
    fn bad_settings_are_refused() {
        assert_eq!(refusal("type: 'Normalize'", &[&[3]]), "the bottom must have 2 axes or more, found 3");
        let text = "type: 'Normalize' norm_param { eps: -1 }";
        assert_eq!(refusal(text, &[&[2, 3]]), "eps must be 0 or more, found -1");
    }
}
