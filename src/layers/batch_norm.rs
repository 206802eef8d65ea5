//! `BatchNorm`: each channel to mean 0 and variance 1, by the batch's statistics or by running ones.

use super::{Arity, Backward, Forward, Kind, Layer, LayerError, Outline, ParamOutline, Reads, Role, Setup};
use crate::{
    config::proto::{LayerParameter, Phase},
    kernels::{
        channels::Channels,
        norm::{Moments, batch_normalize, batch_normalize_backward, normalize, normalize_backward},
    },
    tensor::Shape,
};

/// The row of `BatchNorm`.
pub const KIND: Kind = Kind {
    name: "BatchNorm",
    summary: "each channel to mean 0 and variance 1; learn factors with `Scale` above",
    settings: &["batch_norm_param"],
    bottoms: Arity::Exactly(1),
    tops: Arity::Exactly(1),
    role: Role::Transform,
    no_gradient: &[],
    build: from_config,
    #[cfg(test)]
    gradient: tests::GRADIENT,
};

/// Batch normalization.
///
/// y = (x - mean) / sqrt(variance + eps)
/// by the batch:          dx = (dy - mean dy - y * mean(dy * y)) / sqrt(variance + eps)
/// by running statistics: dx = dy / sqrt(variance + eps)
///
/// Shapes: bottom `N x C x ...`, top the same; one axis is a single channel. Params, none of them learned: running sums of
/// the mean (C) and of the variance (C), and the factor (1) that they are divided by; 0 gives mean = variance = 0.
/// With m = N x ... values of a channel, each pass that uses the batch's statistics does
/// sum = moving_average_fraction * sum + statistic, where variance counts m / (m - 1) times and the factor's is 1.
/// Reference: Ioffe and Szegedy 2015. Differs from Caffe: no.
struct BatchNorm {
    /// Whether the running statistics are used, and not the batch's.
    global: bool,
    fraction: f32,
    eps: f32,
    dims: Channels,
    /// What the last forward pass used.
    moments: Vec<Moments>,
}

fn from_config(config: &LayerParameter, setup: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let param = config.batch_norm_param.unwrap_or_default();
    if let Some(spec) = config.param.iter().find(|spec| spec.lr_mult() != 0.0) {
        let message = format!(
            "BatchNorm's statistics are not learned: lr_mult must be 0, found {}; for a learned factor put a \
             Scale above",
            spec.lr_mult()
        );
        return Err(LayerError::setting("param.lr_mult", message));
    }
    if param.eps().is_nan() || param.eps() < 0.0 {
        let message = format!("eps must be 0 or more, found {}", param.eps());
        return Err(LayerError::setting("batch_norm_param.eps", message));
    }
    Ok(Box::new(BatchNorm {
        global: param.use_global_stats.unwrap_or(setup.phase == Phase::Test),
        fraction: param.moving_average_fraction(),
        eps: param.eps(),
        dims: Channels::default(),
        moments: vec![],
    }))
}

impl Layer for BatchNorm {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        self.dims = match bottom.len() {
            0 => return Err(LayerError::shape("the bottom needs an axis, found a scalar")),
            1 => Channels { images: bottom[0], channels: 1, inner: 1 },
            _ => Channels::of(bottom, 1, 2),
        };
        let channels = self.dims.channels;
        self.moments = vec![Moments::default(); channels];
        let params = [channels, channels, 1].map(|n| ParamOutline::state([n])).into();
        let reads = if self.global { Reads::NOTHING } else { Reads::TOPS };
        Ok(Outline::of([bottom.clone()]).params(params).reads(reads))
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (x, y) = (pass.bottoms[0].data, &mut *pass.tops[0].data);
        let [means, variances, factor] = &mut *pass.state else { return Ok(()) };
        let sums = means.iter_mut().zip(&mut **variances);
        if self.global {
            let share = if factor[0] == 0.0 { 0.0 } else { 1.0 / factor[0] };
            for (moments, (mean, variance)) in self.moments.iter_mut().zip(sums) {
                *moments = Moments { mean: *mean * share, variance: *variance * share };
            }
            normalize(self.dims, self.eps, &self.moments, x, y);
            return Ok(());
        }
        batch_normalize(self.dims, self.eps, x, y, &mut self.moments);
        let m = self.dims.per_channel() as f32;
        let unbiased = if m > 1.0 { m / (m - 1.0) } else { 1.0 };
        for (moments, (mean, variance)) in self.moments.iter().zip(sums) {
            *mean = self.fraction * *mean + moments.mean;
            *variance = self.fraction * *variance + unbiased * moments.variance;
        }
        factor[0] = self.fraction * factor[0] + 1.0;
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let Some(dx) = &mut pass.bottom_diffs[0] else { return };
        let top = &pass.tops[0];
        if self.global {
            normalize_backward(self.dims, self.eps, &self.moments, top.diff, dx);
        } else {
            batch_normalize_backward(self.dims, self.eps, &self.moments, [top.data, top.diff], dx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernels::random::Draw,
        layers::{
            Blob, BlobMut,
            gradient_check::{Case, Values, config, forward, refusal},
        },
    };

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'BatchNorm'", &[(&[3, 2, 2, 3], Values::Any)]),
        Case::new("type: 'BatchNorm' batch_norm_param { eps: 0.1 }", &[(&[5, 3], Values::Any)]),
        Case::new("type: 'BatchNorm'", &[(&[7], Values::Any)]),
        Case::new("type: 'BatchNorm'", &[(&[2, 2, 3], Values::Any)]).test().state(&[
            &[0.2, -0.6],
            &[2.0, 5.0],
            &[2.0],
        ]),
    ];

    /// A forward pass over one channel, with the statistics before and after.
    fn pass(text: &str, phase: Phase, x: &[f32], state: [f32; 3]) -> (Vec<f32>, [f32; 3]) {
        let setup = Setup { phase, seed: 1, backward: true };
        let mut layer = from_config(&config(text), &setup).unwrap();
        let shape = Shape::from([x.len(), 1]);
        layer.outline(std::slice::from_ref(&shape)).unwrap();
        let mut y = vec![f32::NAN; x.len()];
        let mut state = state.map(|v| [v]);
        let [mean, variance, factor] = &mut state;
        let mut pass = Forward {
            phase,
            draw: Draw::new(1, "layer", 0),
            params: &[],
            state: &mut [mean, variance, factor],
            bottoms: &[Blob { shape: &shape, data: x }],
            tops: &mut [BlobMut { shape: &shape, data: &mut y }],
            workspace: &mut [],
        };
        layer.forward(&mut pass).unwrap();
        (y, state.map(|v| v[0]))
    }

    #[test]
    fn the_batch_is_normalized() {
        let y =
            &forward("type: 'BatchNorm' batch_norm_param { eps: 0 }", &[(&[4], &[1.0, 1.0, 3.0, 3.0])])[0];
        assert_eq!(y, &[-1.0, -1.0, 1.0, 1.0]);
    }

    #[test]
    fn running_sums_by_hand() {
        let text = "type: 'BatchNorm' batch_norm_param { moving_average_fraction: 0.5 eps: 0 }";
        let (_, state) = pass(text, Phase::Train, &[1.0, 1.0, 3.0, 3.0], [4.0, 2.0, 1.0]);
        // Mean 2, variance 1 of four values: 4 / 3 in the sum.
        assert_eq!(state, [0.5 * 4.0 + 2.0, 0.5 * 2.0 + 4.0 / 3.0, 1.5]);
        // A single value has no unbiased variance.
        assert_eq!(pass(text, Phase::Train, &[3.0], [0.0; 3]).1, [3.0, 0.0, 1.0]);
    }

    #[test]
    fn running_statistics_are_used_in_test_and_stay() {
        let text = "type: 'BatchNorm' batch_norm_param { eps: 1 }";
        assert_eq!(pass(text, Phase::Test, &[1.0, 5.0], [2.0, 6.0, 2.0]), (vec![0.0, 2.0], [2.0, 6.0, 2.0]));
        // Nothing has run yet: mean and variance 0.
        assert_eq!(pass(text, Phase::Test, &[1.0, 5.0], [2.0, 6.0, 0.0]).0, [1.0, 5.0]);
        let text = "type: 'BatchNorm' batch_norm_param { use_global_stats: false }";
        assert_eq!(pass(text, Phase::Test, &[1.0, 3.0], [0.0; 3]).1, [2.0, 2.0, 1.0]);
    }

    #[test]
    fn bad_settings_are_refused() {
        assert!(
            refusal("type: 'BatchNorm' param { lr_mult: 1 }", &[&[2, 3]])
                .contains("lr_mult must be 0, found 1")
        );
        assert!(
            refusal("type: 'BatchNorm' batch_norm_param { eps: -1 }", &[&[2, 3]])
                .contains("eps must be 0 or more")
        );
        assert!(refusal("type: 'BatchNorm'", &[&[]]).contains("scalar"));
    }
}
