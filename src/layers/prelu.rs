//! `PReLU`: x, or a learned slope times x below 0.

use super::{
    Backward, Forward, Kind, Layer, LayerError, Outline, ParamOutline, Reads, Setup, filler::constant_of,
};
use crate::{
    config::proto::{LayerParameter, PReLuParameter},
    kernels::{
        channels::Channels,
        prelu::{prelu, prelu_backward},
    },
    tensor::Shape,
};

/// The row of `PReLU`.
pub const KIND: Kind = Kind {
    name: "PReLU",
    summary: "x, or a learned slope times x below 0",
    settings: &["prelu_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Rectified linear unit with learned slopes, one for each channel or, with `channel_shared`, one for all.
///
/// y = x if x > 0, else a * x       dE/dx = dE/dy * (1 if x > 0, else a)
/// dE/da = sum of dE/dy * x over the x <= 0 of the channel
///
/// Shapes: bottom `N x C x ...`, top the same. Params: slopes `C`, or a scalar; 0.25 unless there is a filler.
/// Reference: He et al. 2015. Differs from Caffe: no.
struct PRelu {
    param: PReLuParameter,
    dims: Channels,
    sums: Vec<f32>,
}

fn from_config(config: &LayerParameter, _: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.prelu_param.clone().unwrap_or_default();
    Ok(Box::new(PRelu { param, dims: Channels::default(), sums: Vec::new() }))
}

impl Layer for PRelu {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        if bottom.len() < 2 {
            return Err(LayerError::shape(format!("the bottom must have 2 axes or more, found {bottom}")));
        }
        let shared = self.param.channel_shared();
        let slopes = if shared { Shape::default() } else { [bottom[1]].into() };
        self.dims = match shared {
            true => Channels { images: 1, channels: 1, inner: bottom.count() },
            false => Channels::of(bottom, 1, 2),
        };
        self.sums.resize(self.dims.channels, 0.0);
        let filler = self.param.filler.clone().unwrap_or(constant_of(0.25));
        let params = vec![ParamOutline::learned(slopes, filler)];
        Ok(Outline::of([bottom.clone()]).params(params).reads(Reads::BOTTOMS))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        prelu(self.dims, pass.params[0], pass.bottoms[0].data, pass.tops[0].data);
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let data = [pass.bottoms[0].data, pass.tops[0].diff];
        let dx = pass.bottom_diffs[0].as_deref_mut();
        prelu_backward(self.dims, pass.params[0], data, dx, &mut self.sums);
        if let Some(diff) = &mut pass.param_diffs[0] {
            diff.iter_mut().zip(&self.sums).for_each(|(diff, sum)| *diff += sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::gradient_check::{Case, Values, forward_with, refusal};

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'PReLU'", &[(&[2, 3, 4], Values::AwayFrom(&[0.0]))]),
        Case::new("type: 'PReLU'", &[(&[4, 3], Values::AwayFrom(&[0.0]))]),
        Case::new("type: 'PReLU'", &[(&[3, 1, 5], Values::AwayFrom(&[0.0]))]),
        Case::new(
            "type: 'PReLU' prelu_param { channel_shared: true }",
            &[(&[2, 3, 2], Values::AwayFrom(&[0.0]))],
        ),
    ];

    #[test]
    fn slopes_go_by_channel() {
        let x: (&[usize], &[f32]) = (&[1, 2, 2], &[-1.0, 2.0, -1.0, -4.0]);
        assert_eq!(forward_with("type: 'PReLU'", 1, &[x], &[&[0.5, 2.0]])[0], [-0.5, 2.0, -2.0, -8.0]);
        let shared = "type: 'PReLU' prelu_param { channel_shared: true }";
        assert_eq!(forward_with(shared, 1, &[x], &[&[0.5]])[0], [-0.5, 2.0, -0.5, -2.0]);
    }

    #[test]
    fn single_axes_are_refused() {
        assert_eq!(refusal("type: 'PReLU'", &[&[3]]), "the bottom must have 2 axes or more, found 3");
    }
}
