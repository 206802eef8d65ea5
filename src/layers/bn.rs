//! `BN` of two forks: batch normalization with a factor and a summand of its own.

use std::sync::Arc;

use super::{
    Arity, Backward, Follow, Forward, Kind, Layer, LayerError, Outline, ParamOutline, Peers, Reads, Setup,
    Taken, Wanted, batch_norm::BatchNorm, filler::constant_of,
};
use crate::{
    config::proto::{BnParameter, FillerParameter, LayerParameter, Phase, bn_parameter::BnMode},
    kernels::norm::Moments,
    tensor::Shape,
};

/// The row of `BN`.
pub const KIND: Kind = Kind {
    name: "BN",
    summary: "batch normalization with a learned factor and bias, of SegNet and of PSPNet",
    settings: &["bn_param"],
    tops: Arity::Between(1, 3),
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
};

/// Two layers of one name, which tell themselves apart by their fields.
///
/// y = slope * (x - mean) / sqrt(variance + eps) + bias       dx, dslope, dbias: as of `BatchNorm` with `Scale` above
///
/// `slope_filler`, `bias_filler`, `momentum`, `eps`, `frozen`: yjxiong's, which PSPNet and ICNet have. By the batch in TRAIN,
/// where each pass does statistic = `momentum` * statistic + (1 - `momentum`) * the batch's, the variance as it is divided by.
/// By these running statistics in TEST; with `frozen` in TRAIN, too, and nothing is learned, whatever `lr_mult` says.
/// Params: slope, bias, running mean, running variance.
///
/// `bn_mode`, `scale_filler`, `shift_filler`: SegNet's and ENet's, with an eps of 1e-9. `LEARN`: by the batch, in TEST, too.
/// `INFERENCE`: y = slope * x + bias, into which SegNet's scripts work the statistics. Params: slope, bias.
///
/// Neither: yjxiong's. Fillers are 0 unless given, in both.
///
/// Shapes: bottom `N x C x ...`, top the same, params `1 x C x 1 x 1`; one axis is a single channel. In `LEARN` a second and a
/// third top are the batch's mean and variance, `1 x C x 1 x 1`, without a gradient. A `ReLU` above is done in the same passes.
/// Reference: Ioffe and Szegedy 2015. Caffe has none. Differs from the forks: any number of axes; the fork's cuDNN engine
/// keeps the running variance times m / (m - 1), of m values, its Caffe engine and this do not.
struct Bn {
    form: BnForm,
    fillers: [FillerParameter; 2],
    norm: BatchNorm,
    tops: usize,
}

/// Whose layer it is, and its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BnForm {
    /// SegNet's, by the batch.
    Batch,
    /// SegNet's, with statistics that are in the parameters.
    Folded,
    /// yjxiong's, with running statistics.
    Running {
        /// Share of the running statistics that is kept in an iteration.
        momentum: f32,
        /// Added to the variance.
        eps: f32,
        /// Whether nothing changes in training.
        frozen: bool,
    },
}

/// What SegNet adds to the variance.
pub const SEGNET_EPS: f32 = 1e-9;

fn setting(field: &str, message: impl Into<String>) -> LayerError {
    LayerError::setting(format!("bn_param.{field}"), message)
}

impl BnForm {
    /// Checks `bn_param`.
    ///
    /// # Errors
    /// For fields of both forks, and settings that no bottom fits.
    pub fn of(p: &BnParameter) -> Result<Self, LayerError> {
        let segnet = [
            ("bn_mode", p.bn_mode.is_some()),
            ("scale_filler", p.scale_filler.is_some()),
            ("shift_filler", p.shift_filler.is_some()),
        ];
        let pspnet = [
            ("slope_filler", p.slope_filler.is_some()),
            ("bias_filler", p.bias_filler.is_some()),
            ("momentum", p.momentum.is_some()),
            ("eps", p.eps.is_some()),
            ("frozen", p.frozen.is_some()),
            ("moving_average", p.moving_average.is_some()),
        ];
        let given =
            |fields: &[(&'static str, bool)]| fields.iter().find(|(_, given)| *given).map(|(name, _)| *name);
        if let (Some(one), Some(other)) = (given(&segnet), given(&pspnet)) {
            let message = format!("{one} is of SegNet's BN, {other} of PSPNet's: give the fields of one");
            return Err(setting(one, message));
        }
        if given(&segnet).is_some() {
            return Ok(if p.bn_mode() == BnMode::Inference { BnForm::Folded } else { BnForm::Batch });
        }
        let (momentum, eps) = (p.momentum(), p.eps());
        if !(0.0..=1.0).contains(&momentum) {
            return Err(setting("momentum", format!("momentum must be from 0 to 1, found {momentum}")));
        }
        if eps.is_nan() || eps < 0.0 {
            return Err(setting("eps", format!("eps must be 0 or more, found {eps}")));
        }
        if p.moving_average == Some(false) {
            let message = "running statistics are always kept; `bn_mode: LEARN`, SegNet's, goes by the batch in TEST, too";
            return Err(setting("moving_average", message));
        }
        Ok(BnForm::Running { momentum, eps, frozen: p.frozen() })
    }
}

fn from_config(config: &LayerParameter, setup: &Setup) -> Result<Box<dyn Layer>, LayerError> {
    let p = config.bn_param.clone().unwrap_or_default();
    let form = BnForm::of(&p)?;
    let tops = config.top.len();
    if tops > 1 && form != BnForm::Batch {
        return Err(LayerError::shape(
            "more than one top, the batch's mean and variance, only with bn_mode LEARN",
        ));
    }
    let norm = match form {
        BnForm::Batch => BatchNorm::new(false, SEGNET_EPS),
        BnForm::Folded => BatchNorm::new(true, 0.0),
        BnForm::Running { eps, frozen, .. } => BatchNorm::new(frozen || setup.phase == Phase::Test, eps),
    };
    let fillers = match form {
        BnForm::Running { .. } => [p.slope_filler, p.bias_filler],
        _ => [p.scale_filler, p.shift_filler],
    };
    Ok(Box::new(Bn { form, fillers: fillers.map(Option::unwrap_or_default), norm, tops }))
}

impl Layer for Bn {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let channels = self.norm.fit(&bottoms[0])?;
        let each = Shape::from([1, channels, 1, 1]);
        let [slope, bias] = &self.fillers;
        let frozen = matches!(self.form, BnForm::Running { frozen: true, .. });
        let own = |filler: &FillerParameter| match frozen {
            true => ParamOutline::fixed(each.clone(), filler.clone()),
            false => ParamOutline::learned(each.clone(), filler.clone()),
        };
        let mut params = vec![own(slope), own(bias)];
        match self.form {
            BnForm::Batch => {}
            // Nothing is taken off, nothing divided by.
            BnForm::Folded => self.norm.moments.fill(Moments { mean: 0.0, variance: 1.0 }),
            BnForm::Running { .. } => {
                let variance = constant_of(if frozen { 1.0 } else { 0.0 });
                params.push(ParamOutline::fixed(each.clone(), constant_of(0.0)));
                params.push(ParamOutline::fixed(each.clone(), variance));
            }
        }
        let mut tops = vec![each; self.tops.max(1)];
        tops[0] = bottoms[0].clone();
        Ok(Outline::of(tops).params(params).reads(Reads::BOTTOMS))
    }

    fn take_up(&mut self, next: Follow, _: Wanted) -> Taken {
        if next != Follow::Rectify || self.norm.relu || self.tops > 1 {
            return Taken::Nothing;
        }
        self.norm.relu = true;
        Taken::Both
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (top, others) = pass.tops.split_at_mut(1);
        let (x, y) = (pass.bottoms[0].data, &mut *top[0].data);
        let BnForm::Running { momentum, .. } = self.form else {
            if self.form == BnForm::Folded {
                self.norm.by_moments(pass.params, x, y);
            } else {
                self.norm.by_batch(pass.params, x, y);
            }
            for (top, of) in others.iter_mut().zip([|m: &Moments| m.mean, |m: &Moments| m.variance]) {
                top.data.iter_mut().zip(&self.norm.moments).for_each(|(to, moments)| *to = of(moments));
            }
            return Ok(());
        };
        let (own, mean, variance) = match (&mut *pass.state, pass.params) {
            ([mean, variance], [slope, bias]) => ([*slope, *bias], &mut **mean, &mut **variance),
            ([slope, bias, mean, variance], _) => ([&**slope, &**bias], &mut **mean, &mut **variance),
            _ => unreachable!("outlined with four parameters"),
        };
        let running = mean.iter_mut().zip(variance);
        if self.norm.global {
            for (moments, (mean, variance)) in self.norm.moments.iter_mut().zip(running) {
                *moments = Moments { mean: *mean, variance: *variance };
            }
            self.norm.by_moments(&own, x, y);
        } else {
            self.norm.by_batch(&own, x, y);
            for (moments, (mean, variance)) in self.norm.moments.iter().zip(running) {
                *mean = momentum * *mean + (1.0 - momentum) * moments.mean;
                *variance = momentum * *variance + (1.0 - momentum) * moments.variance;
            }
        }
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let own = match (pass.params, pass.state) {
            ([slope, bias], _) | (_, [slope, bias, ..]) => [*slope, *bias],
            _ => unreachable!("outlined with two parameters or more"),
        };
        self.norm.back(&own, pass);
    }

    fn join(&mut self, peers: Arc<dyn Peers>) {
        self.norm.join(peers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernels::random::Draw,
        layers::{
            Blob, BlobMut,
            gradient_check::{Case, Values, config, forward_with, refusal, refusal_of},
        },
    };

    const FROZEN: &[&[f32]] = &[&[0.5, -2.0], &[0.1, 0.2], &[0.2, -0.6], &[2.0, 5.0]];

    pub const GRADIENT: &[Case] = &[
        Case::new("type: 'BN'", &[(&[3, 2, 2, 3], Values::Any)]),
        Case::new("type: 'BN' bn_param { momentum: 0.5 eps: 0.1 }", &[(&[5, 3], Values::Any)]),
        Case::new("type: 'BN' bn_param { frozen: true }", &[(&[2, 2, 3], Values::Any)]).state(FROZEN),
        Case::new("type: 'BN' bn_param { slope_filler { value: 1 } }", &[(&[2, 2, 3], Values::Any)])
            .test()
            .state(&[&[0.2, -0.6], &[2.0, 5.0]]),
        Case::new("type: 'BN' bn_param { bn_mode: LEARN }", &[(&[3, 2, 2, 3], Values::Any)]),
        Case::new("type: 'BN' bn_param { bn_mode: LEARN }", &[(&[7], Values::Any)]).test(),
        Case::new("type: 'BN' bn_param { bn_mode: INFERENCE }", &[(&[3, 2, 4], Values::Any)]),
    ];

    const X: (&[usize], &[f32]) = (&[4, 1], &[1.0, 1.0, 3.0, 3.0]);

    /// A forward pass over one channel, with the parameters before and after.
    fn pass<const P: usize, const S: usize>(
        text: &str,
        phase: Phase,
        params: [f32; P],
        state: [f32; S],
    ) -> (Vec<f32>, [f32; S]) {
        let setup = Setup { phase, seed: 1, backward: true };
        let mut layer = from_config(&config(text), &setup).unwrap();
        let shape = Shape::from(X.0);
        layer.outline(std::slice::from_ref(&shape)).unwrap();
        let mut y = vec![f32::NAN; X.1.len()];
        let params = params.map(|v| [v]);
        let mut state = state.map(|v| [v]);
        let mut pass = Forward {
            phase,
            draw: Draw::new(1, "layer", 0),
            params: &params.each_ref().map(|v| &v[..]),
            state: &mut state.each_mut().map(|v| &mut v[..]),
            bottoms: &[Blob { shape: &shape, data: X.1 }],
            tops: &mut [BlobMut { shape: &shape, data: &mut y }],
            workspace: &mut [],
        };
        layer.forward(&mut pass).unwrap();
        (y, state.map(|v| v[0]))
    }

    #[test]
    fn running_statistics_are_kept_and_used() {
        let text = "type: 'BN' bn_param { momentum: 0.75 eps: 0 }";
        // Mean 2, variance 1.
        let (y, state) = pass(text, Phase::Train, [2.0, 1.0], [4.0, 2.0]);
        assert_eq!((y, state), (vec![-1.0, -1.0, 3.0, 3.0], [3.5, 1.75]));
        let (y, state) = pass(text, Phase::Test, [2.0, 1.0], [1.0, 4.0]);
        assert_eq!((y, state), (vec![1.0, 1.0, 3.0, 3.0], [1.0, 4.0]));
        let frozen = "type: 'BN' bn_param { frozen: true eps: 0 }";
        let (y, state) = pass(frozen, Phase::Train, [], [2.0, 1.0, 1.0, 4.0]);
        assert_eq!((y, state), (vec![1.0, 1.0, 3.0, 3.0], [2.0, 1.0, 1.0, 4.0]));
    }

    #[test]
    fn segnet_goes_by_the_batch_or_by_nothing() {
        let learn = "type: 'BN' bn_param { bn_mode: LEARN }";
        let tops = forward_with(learn, 3, &[X], &[&[2.0], &[1.0]]);
        assert_eq!(tops, [vec![-1.0, -1.0, 3.0, 3.0], vec![2.0], vec![1.0]]);
        assert_eq!(pass(learn, Phase::Test, [2.0, 1.0], []).0, tops[0]);
        let inference = "type: 'BN' bn_param { bn_mode: INFERENCE }";
        assert_eq!(pass(inference, Phase::Train, [2.0, 1.0], []).0, [3.0, 3.0, 7.0, 7.0]);
        assert_eq!(pass("type: 'BN' bn_param { shift_filler { } }", Phase::Test, [2.0, 1.0], []).0, tops[0]);
    }

    #[test]
    fn blobs_are_those_of_the_forks() {
        let blobs = |settings: &str| {
            let text = format!("type: 'BN' bn_param {{ {settings} }}");
            let setup = Setup { phase: Phase::Train, seed: 1, backward: true };
            let mut layer = from_config(&config(&text), &setup).unwrap();
            let params = layer.outline(&[[2, 3, 4, 5].into()]).unwrap().params;
            assert!(params.iter().all(|p| p.shape == Shape::from([1, 3, 1, 1])));
            params.iter().map(|p| (p.learned, p.filler.value())).collect::<Vec<_>>()
        };
        let pspnet = [(true, 1.0), (true, 0.5), (false, 0.0), (false, 0.0)];
        assert_eq!(blobs("slope_filler { value: 1 } bias_filler { value: 0.5 }"), pspnet);
        let frozen = [(false, 1.0), (false, 0.0), (false, 0.0), (false, 1.0)];
        assert_eq!(blobs("slope_filler { value: 1 } frozen: true"), frozen);
        assert_eq!(blobs("scale_filler { value: 1 } shift_filler { value: 0.5 }"), pspnet[..2]);
        assert_eq!(blobs("bn_mode: INFERENCE"), [(true, 0.0); 2]);
        assert_eq!(blobs("engine: CUDNN").len(), 4);
    }

    #[test]
    fn bad_settings_are_refused() {
        let refused = |settings: &str| refusal(&format!("type: 'BN' bn_param {{ {settings} }}"), &[&[2, 3]]);
        assert_eq!(
            refused("scale_filler { value: 1 } momentum: 0.9"),
            "scale_filler is of SegNet's BN, momentum of PSPNet's: give the fields of one"
        );
        assert_eq!(refused("momentum: 1.5"), "momentum must be from 0 to 1, found 1.5");
        assert_eq!(refused("momentum: nan"), "momentum must be from 0 to 1, found NaN");
        assert_eq!(refused("eps: -1"), "eps must be 0 or more, found -1");
        assert!(refused("moving_average: false").contains("always kept"));
        assert!(refusal_of("type: 'BN'", 2, &[&[2, 3]]).contains("only with bn_mode LEARN"));
        assert!(refusal("type: 'BN'", &[&[]]).contains("scalar"));
    }
}
