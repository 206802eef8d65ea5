//! `BatchNorm`: each channel to mean 0 and variance 1, by the batch's statistics or by running ones.

use std::sync::Arc;

use super::{
    Backward, Follow, Forward, Kind, Layer, LayerError, Outline, ParamOutline, Peers, Reads, Setup, Taken,
    Wanted,
};
use crate::{
    config::proto::{LayerParameter, Phase},
    kernels::{
        batch_norm::{self, Finish, Slopes, channel_moments, scale_by_deviation},
        channels::Channels,
        norm::Moments,
    },
    tensor::{OutOfMemory, Shape},
};

/// The row of `BatchNorm`.
pub const KIND: Kind = Kind {
    name: "BatchNorm",
    summary: "each channel to mean 0 and variance 1; learn factors with `Scale` above",
    settings: &["batch_norm_param"],
    #[cfg(test)]
    gradient: tests::GRADIENT,
    ..Kind::usual(from_config)
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
/// A `Scale` by channels and a `ReLU` above are done in the same passes.
/// Reference: Ioffe and Szegedy 2015. Differs from Caffe: no.
pub(super) struct BatchNorm {
    /// Whether the running statistics are used, and not the batch's.
    pub(super) global: bool,
    fraction: f32,
    eps: f32,
    dims: Channels,
    /// What the last forward pass used.
    pub(super) moments: Vec<Moments>,
    /// Sums of the backward pass.
    slopes: Vec<Slopes>,
    /// The layers above whose work is done here: a scale and a rectifier.
    scale: bool,
    pub(super) relu: bool,
    /// Whose batches count, too.
    peers: Option<Arc<dyn Peers>>,
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
    let global = param.use_global_stats.unwrap_or(setup.phase == Phase::Test);
    let fraction = param.moving_average_fraction();
    Ok(Box::new(BatchNorm { fraction, ..BatchNorm::new(global, param.eps()) }))
}

impl BatchNorm {
    /// Normalizes by statistics that are given, or by the batch's.
    pub(super) fn new(global: bool, eps: f32) -> Self {
        BatchNorm {
            global,
            fraction: 0.0,
            eps,
            dims: Channels::default(),
            moments: vec![],
            slopes: vec![],
            scale: false,
            relu: false,
            peers: None,
        }
    }

    /// Fixes the shapes; tells how many channels there are.
    pub(super) fn fit(&mut self, bottom: &Shape) -> Result<usize, LayerError> {
        self.dims = match bottom.len() {
            0 => return Err(LayerError::shape("the bottom needs an axis, found a scalar")),
            1 => Channels { images: bottom[0], channels: 1, inner: 1 },
            _ => Channels::of(bottom, 1, 2),
        };
        self.moments = per_channel(self.dims.channels)?;
        self.slopes = per_channel(self.dims.channels)?;
        Ok(self.dims.channels)
    }

    /// What is to be computed, given the learned parameters that follow.
    fn kernel<'a>(&self, params: &[&'a [f32]]) -> batch_norm::BatchNorm<'a> {
        let [scale, bias] = [0, 1].map(|i| params.get(i).copied());
        let finish = Finish { scale, bias, rectify: self.relu };
        batch_norm::BatchNorm { dims: self.dims, eps: self.eps, finish }
    }

    /// y by the moments that are there, with these parameters.
    pub(super) fn by_moments(&self, params: &[&[f32]], x: &[f32], y: &mut [f32]) {
        self.kernel(params).forward_given(&self.moments, x, y);
    }

    /// y by the moments of the batch, or of those of all ranks, which are kept.
    pub(super) fn by_batch(&mut self, params: &[&[f32]], x: &[f32], y: &mut [f32]) {
        let kernel = self.kernel(params);
        match self.peers.as_deref() {
            None => kernel.forward(x, y, &mut self.moments),
            Some(peers) => {
                channel_moments(self.dims, x, &mut self.moments);
                of_all_ranks(&mut self.moments, peers);
                kernel.forward_given(&self.moments, x, y);
            }
        }
    }

    /// The backward pass, with these parameters.
    pub(super) fn back(&mut self, params: &[&[f32]], pass: &mut Backward<'_>) {
        let (kernel, dy) = (self.kernel(params), pass.tops[0].diff);
        let learns = pass.param_diffs.iter().any(Option::is_some);
        let dx = pass.bottom_diffs[0].as_deref_mut();
        let x_and_dy = [pass.bottoms[0].data, dy];
        match dx {
            Some(dx) if self.global && params.is_empty() && !self.relu => {
                return scale_by_deviation(self.dims, self.eps, &self.moments, dy, dx);
            }
            Some(dx) if !self.global && self.peers.is_none() => {
                kernel.backward(&self.moments, x_and_dy, dx, &mut self.slopes);
            }
            Some(dx) if !self.global => {
                kernel.slopes(&self.moments, x_and_dy, &mut self.slopes);
                kernel.backward_given(&self.moments, &self.means(), x_and_dy, dx);
            }
            dx => {
                if learns {
                    kernel.slopes(&self.moments, x_and_dy, &mut self.slopes);
                }
                if let Some(dx) = dx {
                    kernel.backward_still(&self.moments, x_and_dy, dx);
                }
            }
        }
        let of_scale = |s: &Slopes| s.scale as f32;
        let of_bias = |s: &Slopes| s.bias as f32;
        for (diff, of) in pass.param_diffs.iter_mut().zip([of_scale as fn(&Slopes) -> f32, of_bias]) {
            if let Some(diff) = diff {
                diff.iter_mut().zip(&self.slopes).for_each(|(diff, slopes)| *diff += of(slopes));
            }
        }
    }

    /// The sums of the backward pass as means, over all ranks if there are several.
    fn means(&self) -> Vec<[f64; 2]> {
        let n = self.dims.per_channel() as f64;
        let mut means: Vec<[f64; 2]> = self.slopes.iter().map(|s| s.normalized.map(|sum| sum / n)).collect();
        if let Some(peers) = self.peers.as_deref() {
            peers.mean(means.as_flattened_mut());
        }
        means
    }
}

impl Layer for BatchNorm {
    fn outline(&mut self, bottoms: &[Shape]) -> Result<Outline, LayerError> {
        let bottom = &bottoms[0];
        let channels = self.fit(bottom)?;
        let params = [channels, channels, 1].map(|n| ParamOutline::state([n])).into();
        let alone = !self.scale && !self.relu;
        let reads = if self.global && alone { Reads::NOTHING } else { Reads::BOTTOMS };
        Ok(Outline::of([bottom.clone()]).params(params).reads(reads))
    }

    fn follows(&self) -> Option<Follow> {
        self.global.then_some(Follow::Normalize { eps: self.eps })
    }

    fn take_up(&mut self, next: Follow, _: Wanted) -> Taken {
        match next {
            Follow::Rectify if !self.relu => self.relu = true,
            Follow::Scale if !self.scale && !self.relu => self.scale = true,
            _ => return Taken::Nothing,
        }
        Taken::Both
    }

    fn forward(&mut self, pass: &mut Forward<'_>) -> Result<(), LayerError> {
        let (x, y) = (pass.bottoms[0].data, &mut *pass.tops[0].data);
        let [means, variances, factor] = &mut *pass.state else { unreachable!("outlined with three") };
        if self.global {
            running([means, variances, factor], &mut self.moments);
            self.by_moments(pass.params, x, y);
            return Ok(());
        }
        self.by_batch(pass.params, x, y);
        let m = (self.dims.per_channel() * self.peers.as_ref().map_or(1, |peers| peers.count())) as f32;
        let unbiased = if m > 1.0 { m / (m - 1.0) } else { 1.0 };
        let sums = means.iter_mut().zip(&mut **variances);
        for (moments, (mean, variance)) in self.moments.iter().zip(sums) {
            *mean = self.fraction * *mean + moments.mean;
            *variance = self.fraction * *variance + unbiased * moments.variance;
        }
        factor[0] = self.fraction * factor[0] + 1.0;
        Ok(())
    }

    fn backward(&mut self, pass: &mut Backward<'_>) {
        let params = pass.params;
        self.back(params, pass);
    }

    fn join(&mut self, peers: Arc<dyn Peers>) {
        self.peers = Some(peers);
    }
}

/// The moments that running statistics (sums of means, sums of variances, their factor) stand for.
pub(super) fn running([means, variances, factor]: [&[f32]; 3], moments: &mut [Moments]) {
    let share = if factor[0] == 0.0 { 0.0 } else { 1.0 / factor[0] };
    for (moments, (mean, variance)) in moments.iter_mut().zip(means.iter().zip(variances)) {
        *moments = Moments { mean: mean * share, variance: variance * share };
    }
}

/// From the moments of this rank's batch to those of all, which are equally long:
/// mean = mean of means, variance = mean of variances + variance of means.
fn of_all_ranks(moments: &mut [Moments], peers: &dyn Peers) {
    let mut means: Vec<f64> = moments.iter().map(|m| f64::from(m.mean)).collect();
    peers.mean(&mut means);
    let spread = |m: &Moments, mean: f64| f64::from(m.variance) + (f64::from(m.mean) - mean).powi(2);
    let mut variances: Vec<f64> = moments.iter().zip(&means).map(|(m, &mean)| spread(m, mean)).collect();
    peers.mean(&mut variances);
    for (moments, (mean, variance)) in moments.iter_mut().zip(means.iter().zip(variances)) {
        *moments = Moments { mean: *mean as f32, variance: variance as f32 };
    }
}

/// One for each channel. There may be more channels than values, where another axis is 0.
fn per_channel<T: Clone + Default>(channels: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut all = Vec::new();
    all.try_reserve_exact(channels).map_err(|_| OutOfMemory { values: channels * size_of::<T>() / 4 })?;
    all.resize(channels, T::default());
    Ok(all)
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
    fn more_channels_than_memory_are_refused() {
        let mut norm = BatchNorm::new(true, 1e-5);
        let refused = norm.fit(&Shape::from([4, usize::MAX / 64, 3, 0])).unwrap_err();
        assert!(refused.to_string().contains("GB of memory are needed"), "{refused}");
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

    /// Two ranks in one process.
    struct Two {
        sum: std::sync::Mutex<[Vec<f64>; 2]>,
        met: std::sync::Barrier,
    }

    struct Rank(Arc<Two>, usize);

    impl Peers for Rank {
        fn mean(&self, values: &mut [f64]) {
            self.0.sum.lock().unwrap()[self.1] = values.to_vec();
            self.0.met.wait();
            let all = self.0.sum.lock().unwrap().clone();
            self.0.met.wait();
            values.iter_mut().zip(all[0].iter().zip(&all[1])).for_each(|(v, (a, b))| *v = (a + b) / 2.0);
        }

        fn count(&self) -> usize {
            2
        }
    }

    /// Forward and backward over a batch: tops, bottom diffs and running statistics, one after the other.
    fn both_ways(x: &[f32], dy: &[f32], peers: Option<Rank>) -> [Vec<f32>; 3] {
        let setup = Setup { phase: Phase::Train, seed: 1, backward: true };
        let mut layer = from_config(&config("type: 'BatchNorm'"), &setup).unwrap();
        peers.into_iter().for_each(|peers| layer.join(Arc::new(peers)));
        let shape = Shape::from([x.len() / 6, 3, 2]);
        layer.outline(std::slice::from_ref(&shape)).unwrap();
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let (mut mean, mut variance, mut factor) = ([0.0; 3], [0.0; 3], [0.0]);
        layer
            .forward(&mut Forward {
                phase: Phase::Train,
                draw: Draw::new(1, "", 0),
                params: &[],
                state: &mut [&mut mean, &mut variance, &mut factor],
                bottoms: &[Blob { shape: &shape, data: x }],
                tops: &mut [BlobMut { shape: &shape, data: &mut y }],
                workspace: &mut [],
            })
            .unwrap();
        layer.backward(&mut Backward {
            params: &[],
            param_diffs: &mut [],
            state: &[],
            bottoms: &[Blob { shape: &shape, data: x }],
            tops: &[super::super::TopDiff { shape: &shape, data: &y, diff: dy }],
            bottom_diffs: &mut [Some(&mut dx)],
            workspace: &mut [],
        });
        [y, dx, [&mean[..], &variance].concat()]
    }

    #[test]
    fn joined_ranks_normalize_as_one_batch() {
        let value = |i: usize, k: usize| ((i * k) % 17) as f32 * 0.3 - 2.0 + (i % 3) as f32;
        let x: Vec<f32> = (0..24).map(|i| value(i, 7)).collect();
        let dy: Vec<f32> = (0..24).map(|i| value(i, 5)).collect();
        let whole = both_ways(&x, &dy, None);
        let two = Arc::new(Two { sum: Default::default(), met: std::sync::Barrier::new(2) });
        let halves = std::thread::scope(|scope| {
            let ranks = [0, 1].map(|rank| {
                let (x, dy, two) = (&x[rank * 12..][..12], &dy[rank * 12..][..12], two.clone());
                scope.spawn(move || both_ways(x, dy, Some(Rank(two, rank))))
            });
            ranks.map(|rank| rank.join().unwrap())
        });
        for part in [0, 1] {
            let joined = [&halves[0][part][..], &halves[1][part]].concat();
            let far = joined.iter().zip(&whole[part]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < 1e-5, "part {part}: {far}");
        }
        let alone = both_ways(&x[..12], &dy[..12], None);
        assert!(alone[0].iter().zip(&whole[0]).any(|(a, b)| (a - b).abs() > 1e-2), "the batches must differ");
        assert_eq!(halves[0][2].len(), whole[2].len());
        assert!(halves[0][2].iter().zip(&whole[2]).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
