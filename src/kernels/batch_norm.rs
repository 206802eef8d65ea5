//! Normalization of the channels of a batch, with what follows it: a scale and a bias for each channel, and a rectifier.

use super::{
    channels::{Channels, sums_of},
    norm::Moments,
    simd::MatMut,
};

/// What happens to a normalized value v before it is stored: y = v * scale + bias, then max(0, y).
#[derive(Clone, Copy, Debug, Default)]
pub struct Finish<'a> {
    /// A factor for each channel.
    pub scale: Option<&'a [f32]>,
    /// A summand for each channel.
    pub bias: Option<&'a [f32]>,
    /// Whether negative results become 0.
    pub rectify: bool,
}

/// Channels to normalize: v = (x - mean) / sqrt(variance + eps), y = finish(v).
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchNorm<'a> {
    /// Images, channels, values of each.
    pub dims: Channels,
    /// Added to the variance.
    pub eps: f32,
    /// What follows.
    pub finish: Finish<'a>,
}

/// Sums over a channel, with g = dE/dy where y was not cut off, and h = dE/dv = g * scale.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slopes {
    /// Sum of g * v: the scale's gradient.
    pub scale: f64,
    /// Sum of g: the bias's gradient.
    pub bias: f64,
    /// Sums of h and of h * v.
    pub normalized: [f64; 2],
}

/// Channels whose settings are made together, on the stack.
const STRETCH: usize = 64;

/// Values whose mean is taken to be near that of all.
const FIRST: usize = 1024;

/// One channel's v = (x - mean) * inverse and y = v * scale + bias, cut off at and below `floor`.
#[derive(Clone, Copy, Default)]
struct Setting {
    mean: f32,
    inverse: f32,
    scale: f32,
    bias: f32,
    floor: f32,
}

impl Setting {
    #[inline(always)]
    fn normalized(self, x: f32) -> f32 {
        (x - self.mean) * self.inverse
    }

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        let y = self.normalized(x) * self.scale + self.bias;
        if y <= self.floor { self.floor } else { y }
    }

    /// v and g.
    #[inline(always)]
    fn slope(self, x: f32, dy: f32) -> [f32; 2] {
        let v = self.normalized(x);
        [v, if v * self.scale + self.bias <= self.floor { 0.0 } else { dy }]
    }
}

impl BatchNorm<'_> {
    /// Settings of the channels from `first` on, whose moments these are. What does not follow changes no bit: a factor of
    /// 1, a summand of -0, a floor below everything.
    fn settings(&self, first: usize, moments: &[Moments]) -> [Setting; STRETCH] {
        let of = |values: Option<&[f32]>, i: usize, none| values.map_or(none, |values| values[first + i]);
        let mut settings = [Setting::default(); STRETCH];
        for (i, (setting, moments)) in settings.iter_mut().zip(moments).enumerate() {
            *setting = Setting {
                mean: moments.mean,
                inverse: moments.inverse(self.eps),
                scale: of(self.finish.scale, i, 1.0),
                bias: of(self.finish.bias, i, -0.0),
                floor: if self.finish.rectify { 0.0 } else { f32::NEG_INFINITY },
            };
        }
        settings
    }

    /// y, by the moments of each channel of x, which are kept.
    pub fn forward(&self, x: &[f32], y: &mut [f32], moments: &mut [Moments]) {
        assert!(x.len() == y.len() && x.len() == self.dims.count());
        self.dims.for_groups(Some(y), moments, |first, y, moments| {
            let Some(mut y) = y else { return };
            for (i, moments) in moments.chunks_mut(STRETCH).enumerate() {
                find_moments(self.dims, first + i * STRETCH, x, moments);
                let y = &mut columns(self.dims, &mut y, i * STRETCH, moments.len());
                self.standardize(first + i * STRETCH, moments, x, y);
            }
        });
    }

    /// y, by the moments given.
    pub fn forward_given(&self, moments: &[Moments], x: &[f32], y: &mut [f32]) {
        assert!(x.len() == y.len() && x.len() == self.dims.count() && moments.len() == self.dims.channels);
        self.dims.for_groups(Some(y), &mut vec![(); self.dims.channels], |first, y, own| {
            let Some(mut y) = y else { return };
            for (i, moments) in moments[first..][..own.len()].chunks(STRETCH).enumerate() {
                let y = &mut columns(self.dims, &mut y, i * STRETCH, moments.len());
                self.standardize(first + i * STRETCH, moments, x, y);
            }
        });
    }

    /// y for a stretch of channels from `first` on.
    fn standardize(&self, first: usize, moments: &[Moments], x: &[f32], y: &mut MatMut<'_>) {
        let settings = &self.settings(first, moments)[..moments.len()];
        self.dims.apply(first, y, [x, x], settings, |setting, x, _| setting.value(x));
    }

    /// dx and the sums of each channel, given x and dy of [`BatchNorm::forward`]:
    /// (h - mean h - v * mean(h * v)) / sqrt(variance + eps).
    pub fn backward(&self, moments: &[Moments], [x, dy]: [&[f32]; 2], dx: &mut [f32], slopes: &mut [Slopes]) {
        assert!(x.len() == dx.len() && dy.len() == dx.len() && dx.len() == self.dims.count());
        assert_eq!(moments.len(), self.dims.channels);
        let n = self.dims.per_channel() as f64;
        self.dims.for_groups(Some(dx), slopes, |first, dx, slopes| {
            let Some(mut dx) = dx else { return };
            for (i, slopes) in slopes.chunks_mut(STRETCH).enumerate() {
                let (at, len) = (first + i * STRETCH, slopes.len());
                let moments = &moments[at..][..len];
                self.find_slopes(at, moments, [x, dy], slopes);
                let dx = &mut columns(self.dims, &mut dx, i * STRETCH, len);
                let means = |i: usize| slopes[i].normalized.map(|sum| sum / n);
                self.descend(at, moments, means, [x, dy], dx);
            }
        });
    }

    /// The sums of each channel, given x and dy.
    pub fn slopes(&self, moments: &[Moments], [x, dy]: [&[f32]; 2], slopes: &mut [Slopes]) {
        assert!(x.len() == self.dims.count() && dy.len() == x.len() && moments.len() == self.dims.channels);
        self.dims.for_groups(None, slopes, |first, _, slopes| {
            for (i, slopes) in slopes.chunks_mut(STRETCH).enumerate() {
                let at = first + i * STRETCH;
                self.find_slopes(at, &moments[at..][..slopes.len()], [x, dy], slopes);
            }
        });
    }

    /// As [`BatchNorm::backward`], with the means of h and of h * v given: those of several batches, say. With means of 0,
    /// moments that do not depend on x: h / sqrt(variance + eps).
    pub fn backward_given(
        &self,
        moments: &[Moments],
        means: &[[f64; 2]],
        [x, dy]: [&[f32]; 2],
        dx: &mut [f32],
    ) {
        assert!(x.len() == dx.len() && dy.len() == dx.len() && dx.len() == self.dims.count());
        assert!(moments.len() == self.dims.channels && means.len() == moments.len());
        self.dims.for_groups(Some(dx), &mut vec![(); self.dims.channels], |first, dx, own| {
            let Some(mut dx) = dx else { return };
            for (i, moments) in moments[first..][..own.len()].chunks(STRETCH).enumerate() {
                let at = first + i * STRETCH;
                let dx = &mut columns(self.dims, &mut dx, i * STRETCH, moments.len());
                self.descend(at, moments, |i| means[at + i], [x, dy], dx);
            }
        });
    }

    /// The sums of a stretch of channels from `first` on.
    fn find_slopes(&self, first: usize, moments: &[Moments], [x, dy]: [&[f32]; 2], slopes: &mut [Slopes]) {
        let settings = &self.settings(first, moments)[..slopes.len()];
        self.dims.sums(
            first,
            [x, dy],
            settings,
            #[inline(always)]
            |setting, x, dy| {
                let [v, g] = setting.slope(x, dy);
                let h = g * setting.scale;
                [v * g, g, h, h * v]
            },
            |i, [scale, bias, h, hv]| slopes[i] = Slopes { scale, bias, normalized: [h, hv] },
        );
    }

    /// dx for a stretch of channels from `first` on, given the means of h and of h * v.
    fn descend(
        &self,
        first: usize,
        moments: &[Moments],
        means: impl Fn(usize) -> [f64; 2],
        x_and_dy: [&[f32]; 2],
        dx: &mut MatMut<'_>,
    ) {
        let settings = self.settings(first, moments);
        let mut all = [(Setting::default(), [0f32; 2]); STRETCH];
        for (i, (all, setting)) in all.iter_mut().zip(settings).enumerate().take(moments.len()) {
            *all = (setting, means(i).map(|mean| mean as f32));
        }
        self.dims.apply(
            first,
            dx,
            x_and_dy,
            &all[..moments.len()],
            #[inline(always)]
            |(setting, [mean, slope]), x, dy| {
                let [v, g] = setting.slope(x, dy);
                (g * setting.scale - mean - v * slope) * setting.inverse
            },
        );
    }
}

/// The moments of each channel of x.
pub fn channel_moments(dims: Channels, x: &[f32], moments: &mut [Moments]) {
    assert!(x.len() == dims.count() && moments.len() == dims.channels);
    dims.for_groups(None, moments, |first, _, moments| {
        for (i, moments) in moments.chunks_mut(STRETCH).enumerate() {
            find_moments(dims, first + i * STRETCH, x, moments);
        }
    });
}

/// dx where the moments are given and nothing follows, so that x is not needed: dy / sqrt(variance + eps).
pub fn scale_by_deviation(dims: Channels, eps: f32, moments: &[Moments], dy: &[f32], dx: &mut [f32]) {
    assert!(dy.len() == dx.len() && dx.len() == dims.count() && moments.len() == dims.channels);
    dims.for_groups(Some(dx), &mut vec![(); dims.channels], |first, dx, own| {
        let Some(mut dx) = dx else { return };
        for (i, moments) in moments[first..][..own.len()].chunks(STRETCH).enumerate() {
            let mut inverses = [0f32; STRETCH];
            inverses.iter_mut().zip(moments).for_each(|(inverse, m)| *inverse = m.inverse(eps));
            let dx = &mut columns(dims, &mut dx, i * STRETCH, moments.len());
            let inverses = &inverses[..moments.len()];
            dims.apply(first + i * STRETCH, dx, [dy, dy], inverses, |inverse, dy, _| dy * inverse);
        }
    });
}

/// The columns of `len` channels from the `at`-th on.
fn columns<'a>(dims: Channels, out: &'a mut MatMut<'_>, at: usize, len: usize) -> MatMut<'a> {
    out.block(0..dims.images, at * dims.inner..(at + len) * dims.inner)
}

/// The moments of a stretch of channels from `first` on.
fn find_moments(dims: Channels, first: usize, x: &[f32], moments: &mut [Moments]) {
    let (n, len) = (dims.per_channel().max(1) as f64, moments.len());
    // Distances are taken from a value near the mean, so that their squares do not cancel: the mean of a channel's first
    // values, or, where each image has one, that of all.
    let mut near = [0f32; STRETCH];
    let rounds = if dims.inner > 1 && dims.images > 0 {
        for (i, near) in near.iter_mut().enumerate().take(len) {
            let values = &x[dims.run(0, first + i)];
            let values = &values[..values.len().min(FIRST)];
            *near = (sums_of([values, values], |x, _| [x])[0] / values.len() as f64) as f32;
        }
        1
    } else {
        2
    };
    for _ in 0..rounds {
        let around = near;
        let f = |near: f32, x: f32, _| [x - near, (x - near) * (x - near)];
        dims.sums(first, [x, x], &around[..len], f, |i, [sum, squares]| {
            near[i] = (f64::from(around[i]) + sum / n) as f32;
            let variance = ((squares - sum * sum / n) / n).max(0.0) as f32;
            moments[i] = Moments { mean: near[i], variance };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{
        affine,
        channels::tests::SHAPES,
        norm::tests::{assert_close, plain, values},
    };

    #[test]
    fn channels_equal_the_plain_ones() {
        for (images, channels, inner) in SHAPES {
            let norm =
                BatchNorm { dims: Channels { images, channels, inner }, eps: 0.1, finish: Finish::default() };
            let n = norm.dims.count();
            let (x, dy) = (values(n, 0), values(n, 5));
            let (mut y, mut dx) = (vec![f32::NAN; n], vec![f32::NAN; n]);
            let mut moments = vec![Moments::default(); channels];
            norm.forward(&x, &mut y, &mut moments);
            norm.backward(&moments, [&x, &dy], &mut dx, &mut vec![Slopes::default(); channels]);
            let (mut given, mut back) = (vec![f32::NAN; n], vec![f32::NAN; n]);
            norm.forward_given(&moments, &x, &mut given);
            scale_by_deviation(norm.dims, 0.1, &moments, &dy, &mut back);
            assert_eq!(given, y);
            for (c, moments) in moments.iter().enumerate().filter(|_| n > 0) {
                let own: Vec<usize> = (0..images).flat_map(|n| norm.dims.run(n, c)).collect();
                let pick = |v: &[f32]| own.iter().map(|&i| v[i]).collect::<Vec<_>>();
                let factor = |variance: f64| 1.0 / (variance + 0.1f64).sqrt();
                let (mean, variance, want_y, want_dx) = plain(&own, &x, &dy, factor, true);
                assert_close(&[moments.mean, moments.variance], &[mean, variance]);
                assert_close(&pick(&y), &want_y);
                assert_close(&pick(&dx), &want_dx);
                let want: Vec<f64> = pick(&dy).iter().map(|&d| f64::from(d) * factor(variance)).collect();
                assert_close(&pick(&back), &want);
            }
        }
    }

    /// What follows gives the bits of steps taken one after the other.
    #[test]
    fn a_finish_changes_no_bit() {
        for (images, channels, inner) in SHAPES {
            let dims = Channels { images, channels, inner };
            let n = dims.count();
            let (x, dy) = (values(n, 0), values(n, 5));
            let scale: Vec<f32> = (0..channels).map(|c| 0.3 * c as f32 - 1.0).collect();
            let bias: Vec<f32> = (0..channels).map(|c| 0.2 - 0.1 * c as f32).collect();
            for (bias, rectify) in
                [(None, false), (Some(&bias[..]), false), (None, true), (Some(&bias), true)]
            {
                let alone = BatchNorm { dims, eps: 0.1, finish: Finish::default() };
                let whole = BatchNorm { finish: Finish { scale: Some(&scale), bias, rectify }, ..alone };
                let mut moments = vec![Moments::default(); channels];
                let [mut v, mut z, mut y, mut dx] =
                    [const { Vec::new() }; 4].map(|_: Vec<f32>| vec![f32::NAN; n]);
                alone.forward(&x, &mut v, &mut moments);
                affine::scale(dims, &scale, bias, &v, &mut z);
                whole.forward(&x, &mut y, &mut moments);
                let cut = |z: f32| if rectify && z <= 0.0 { 0.0 } else { z };
                assert!(y.iter().zip(&z).all(|(y, &z)| y.to_bits() == cut(z).to_bits()));

                let mut slopes = vec![Slopes::default(); channels];
                whole.backward(&moments, [&x, &dy], &mut dx, &mut slopes);
                let g: Vec<f32> =
                    dy.iter().zip(&z).map(|(&dy, &z)| if rectify && z <= 0.0 { 0.0 } else { dy }).collect();
                let (mut h, mut sums, mut want) = (vec![0.0; n], vec![[0.0; 2]; channels], vec![0.0; n]);
                affine::scale_backward(dims, &scale, [&v, &g], Some(&mut h), &mut sums);
                alone.backward(&moments, [&x, &h], &mut want, &mut vec![Slopes::default(); channels]);
                assert_eq!(dx, want);
                assert!(slopes.iter().zip(&sums).all(|(s, sums)| [s.scale as f32, s.bias as f32] == *sums));

                let means: Vec<[f64; 2]> =
                    slopes.iter().map(|s| s.normalized.map(|sum| sum / dims.per_channel() as f64)).collect();
                let mut again = vec![Slopes::default(); channels];
                whole.slopes(&moments, [&x, &dy], &mut again);
                whole.backward_given(&moments, &means, [&x, &dy], &mut dx);
                assert_eq!((dx, again), (want, slopes));
            }
        }
    }

    #[test]
    fn a_large_mean_does_not_drown_the_variance() {
        let x: Vec<f32> = (0..30_000).map(|i| 1e4 + if i % 2 == 0 { 0.5 } else { -0.5 }).collect();
        for (images, inner) in [(3, 10_000), (30_000, 1)] {
            let mut moments = [Moments::default()];
            channel_moments(Channels { images, channels: 1, inner }, &x, &mut moments);
            assert!((moments[0].variance - 0.25).abs() < 1e-5, "{moments:?}");
        }
    }
}
