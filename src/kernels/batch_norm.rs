//! Normalization of the channels of a batch, with what follows it: a scale and a bias for each channel, and a rectifier.
//!
//! A channel's values are read for its moments and again, while they are near, for all that follows in one go. Backward
//! likewise: once for four sums, once for the gradient, which is computed as the layers one by one would round it. Only
//! the input is kept for the backward pass.

use std::array;

use super::{
    affine::Scaled,
    channels::{Channels, Sums, Terms},
    elementwise::{at_least, vectorized},
    norm::{Distance, Moments, Plain},
    scratch,
    simd::{MatMut, Simd, Standard, standardize},
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

/// y = v * scale + bias of v = (x - mean) * inverse, cut off at and below `floor`; the settings are the mean taken with the
/// other sign, `inverse`, `scale`, `bias` and `floor`.
#[derive(Clone, Copy)]
struct Value;

impl Value {
    /// v, and y before it is cut off.
    #[inline(always)]
    fn of<S: Simd>(simd: S, [minus_mean, inverse, scale, bias, _]: [S::V; 5], x: S::V) -> [S::V; 2] {
        standardize(simd, [minus_mean, inverse, scale, bias], x)
    }
}

impl Terms<5, 1> for Value {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, settings: [S::V; 5], [x]: [S::V; 1]) -> S::V {
        let [_, y] = Value::of(simd, settings, x);
        simd.where_at_most(y, settings[4], settings[4], y)
    }
}

/// With g = dE/dy where y was not cut off, and h = dE/dv = g * scale: the sums of v * g, g, h and h * v.
#[derive(Clone, Copy)]
struct Slope;

impl Slope {
    /// v and h, and g between.
    #[inline(always)]
    fn of<S: Simd>(simd: S, settings: [S::V; 5], [x, dy]: [S::V; 2]) -> [S::V; 3] {
        let [v, y] = Value::of(simd, settings, x);
        let g = simd.where_at_most(y, settings[4], simd.splat(0.0), dy);
        [v, g, simd.mul(g, settings[2])]
    }
}

impl Sums<5, 2, 4> for Slope {
    #[inline(always)]
    fn add<S: Simd>(
        self,
        simd: S,
        settings: [S::V; 5],
        values: [S::V; 2],
        [vg_sum, g_sum, h_sum, hv_sum]: [S::V; 4],
    ) -> [S::V; 4] {
        let [v, g, h] = Slope::of(simd, settings, values);
        [simd.fma(v, g, vg_sum), simd.add(g_sum, g), simd.add(h_sum, h), simd.fma(h, v, hv_sum)]
    }
}

/// dx = (h - mean h - v * mean(h * v)) * inverse; the settings are those of [`Value`] and both means with the other sign.
#[derive(Clone, Copy)]
struct Descent;

impl Terms<7, 2> for Descent {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, settings: [S::V; 7], values: [S::V; 2]) -> S::V {
        let [a, inverse, b, c, d, minus_mean, minus_slope] = settings;
        let [v, _, h] = Slope::of(simd, [a, inverse, b, c, d], values);
        simd.mul(simd.fma(v, minus_slope, simd.add(h, minus_mean)), inverse)
    }
}

impl BatchNorm<'_> {
    /// Lends settings of the channels from `first` on, whose moments these are and means of h and of h * v. What does not follow
    /// changes no bit: a factor of 1, a summand of -0, a floor below everything.
    fn with_settings<const P: usize>(
        &self,
        first: usize,
        moments: &[Moments],
        means: impl Fn(usize) -> [f64; 2],
        f: impl FnOnce([&[f32]; P]),
    ) {
        let count = moments.len();
        let Finish { scale, bias, rectify } = self.finish;
        let of = |values: Option<&[f32]>, i: usize, none| values.map_or(none, |values| values[first + i]);
        let floor = if rectify { 0.0 } else { f32::NEG_INFINITY };
        scratch::lend(P * count, |settings| {
            for (k, row) in settings.chunks_exact_mut(count.max(1)).enumerate() {
                match k {
                    0 => row.iter_mut().zip(moments).for_each(|(to, m)| *to = -m.mean),
                    1 => vectorized(|| {
                        row.iter_mut().zip(moments).for_each(|(to, m)| *to = m.inverse(self.eps));
                    }),
                    2 => row.iter_mut().enumerate().for_each(|(i, to)| *to = of(scale, i, 1.0)),
                    3 => row.iter_mut().enumerate().for_each(|(i, to)| *to = of(bias, i, -0.0)),
                    4 => row.fill(floor),
                    _ => row.iter_mut().enumerate().for_each(|(i, to)| *to = -(means(i)[k - 5] as f32)),
                }
            }
            let settings = &*settings;
            f(array::from_fn(|k| &settings[k * count..][..count]));
        });
    }

    /// y, by the moments of each channel of x, which are kept.
    pub fn forward(&self, x: &[f32], y: &mut [f32], moments: &mut [Moments]) {
        assert!(x.len() == y.len() && x.len() == self.dims.count());
        self.dims.for_stretches(Some(y), moments, |first, y, moments| {
            let Some(mut y) = y else { return };
            find_moments(self.dims, first, x, Some(&mut y), moments);
            self.standardize(first, moments, x, y);
        });
    }

    /// y, by the moments given.
    pub fn forward_given(&self, moments: &[Moments], x: &[f32], y: &mut [f32]) {
        assert!(x.len() == y.len() && x.len() == self.dims.count() && moments.len() == self.dims.channels);
        self.dims.for_stretches(Some(y), &mut vec![(); self.dims.channels], |first, y, own| {
            let Some(y) = y else { return };
            self.standardize(first, &moments[first..][..own.len()], x, y);
        });
    }

    /// What [`BatchNorm::forward_given`] does to each channel before negative results are cut off, for whoever makes x.
    pub fn standards(&self, moments: &[Moments], standards: &mut [Standard]) {
        assert!(moments.len() == standards.len());
        self.with_settings(
            0,
            moments,
            |_| [0.0; 2],
            |settings: [&[f32]; 4]| {
                for (i, standard) in standards.iter_mut().enumerate() {
                    *standard = settings.map(|of_channels| of_channels[i]);
                }
            },
        );
    }

    /// y for a stretch of channels from `first` on.
    fn standardize(&self, first: usize, moments: &[Moments], x: &[f32], y: MatMut<'_>) {
        self.with_settings(
            first,
            moments,
            |_| [0.0; 2],
            |settings| {
                self.dims.apply(first, y, [x], settings, Value);
            },
        );
    }

    /// dx and the sums of each channel, given x and dy of [`BatchNorm::forward`]:
    /// (h - mean h - v * mean(h * v)) / sqrt(variance + eps).
    pub fn backward(&self, moments: &[Moments], [x, dy]: [&[f32]; 2], dx: &mut [f32], slopes: &mut [Slopes]) {
        assert!(x.len() == dx.len() && dy.len() == dx.len() && dx.len() == self.dims.count());
        assert_eq!(moments.len(), self.dims.channels);
        let n = self.dims.per_channel() as f64;
        self.dims.for_stretches(Some(dx), slopes, |first, dx, slopes| {
            let Some(mut dx) = dx else { return };
            let moments = &moments[first..][..slopes.len()];
            self.find_slopes(first, moments, [x, dy], Some(&mut dx), slopes);
            let means = |i: usize| slopes[i].normalized.map(|sum| sum / n);
            self.descend(first, moments, means, [x, dy], dx);
        });
    }

    /// The sums of each channel, given x and dy.
    pub fn slopes(&self, moments: &[Moments], [x, dy]: [&[f32]; 2], slopes: &mut [Slopes]) {
        assert!(x.len() == self.dims.count() && dy.len() == x.len() && moments.len() == self.dims.channels);
        self.dims.for_stretches(None, slopes, |first, _, slopes| {
            self.find_slopes(first, &moments[first..][..slopes.len()], [x, dy], None, slopes);
        });
    }

    /// As [`BatchNorm::backward`], with the means of h and of h * v given: those of several batches, say.
    pub fn backward_given(
        &self,
        moments: &[Moments],
        means: &[[f64; 2]],
        [x, dy]: [&[f32]; 2],
        dx: &mut [f32],
    ) {
        assert!(x.len() == dx.len() && dy.len() == dx.len() && dx.len() == self.dims.count());
        assert!(moments.len() == self.dims.channels && means.len() == moments.len());
        self.dims.for_stretches(Some(dx), &mut vec![(); self.dims.channels], |first, dx, own| {
            let Some(dx) = dx else { return };
            self.descend(first, &moments[first..][..own.len()], |i| means[first + i], [x, dy], dx);
        });
    }

    /// dx where the moments do not depend on x: h / sqrt(variance + eps).
    pub fn backward_still(&self, moments: &[Moments], [x, dy]: [&[f32]; 2], dx: &mut [f32]) {
        assert!(x.len() == dx.len() && dy.len() == dx.len() && dx.len() == self.dims.count());
        assert_eq!(moments.len(), self.dims.channels);
        self.dims.for_stretches(Some(dx), &mut vec![(); self.dims.channels], |first, dx, own| {
            let Some(dx) = dx else { return };
            self.descend(first, &moments[first..][..own.len()], |_| [0.0; 2], [x, dy], dx);
        });
    }

    /// The sums of a stretch of channels from `first` on.
    fn find_slopes(
        &self,
        first: usize,
        moments: &[Moments],
        [x, dy]: [&[f32]; 2],
        dx: Option<&mut MatMut<'_>>,
        slopes: &mut [Slopes],
    ) {
        let keep = |slopes: &mut Slopes, [scale, bias, h, hv]: [f64; 4]| {
            *slopes = Slopes { scale, bias, normalized: [h, hv] };
        };
        self.with_settings(
            first,
            moments,
            |_| [0.0; 2],
            |settings| {
                self.dims.sums((first, slopes), [x, dy], dx, settings, (Slope, keep));
            },
        );
    }

    /// dx for a stretch of channels from `first` on, given the means of h and of h * v.
    fn descend(
        &self,
        first: usize,
        moments: &[Moments],
        means: impl Fn(usize) -> [f64; 2],
        x_and_dy: [&[f32]; 2],
        dx: MatMut<'_>,
    ) {
        self.with_settings(first, moments, means, |settings| {
            self.dims.apply(first, dx, x_and_dy, settings, Descent);
        });
    }
}

/// The moments of each channel of x.
pub fn channel_moments(dims: Channels, x: &[f32], moments: &mut [Moments]) {
    assert!(x.len() == dims.count() && moments.len() == dims.channels);
    dims.for_stretches(None, moments, |first, _, moments| find_moments(dims, first, x, None, moments));
}

/// dx where the moments are given and nothing follows, so that x is not needed: dy / sqrt(variance + eps).
pub fn scale_by_deviation(dims: Channels, eps: f32, moments: &[Moments], dy: &[f32], dx: &mut [f32]) {
    assert!(dy.len() == dx.len() && dx.len() == dims.count() && moments.len() == dims.channels);
    dims.for_stretches(Some(dx), &mut vec![(); dims.channels], |first, dx, own| {
        let Some(dx) = dx else { return };
        scratch::lend(own.len(), |inverses| {
            let of_moments = moments[first..].iter().map(|moments| moments.inverse(eps));
            inverses.iter_mut().zip(of_moments).for_each(|(to, inverse)| *to = inverse);
            dims.apply(first, dx, [dy], [&*inverses], Scaled);
        });
    });
}

/// a * scale * inverse, one after the other.
#[derive(Clone, Copy)]
struct Through;

impl Terms<2, 1> for Through {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [scale, inverse]: [S::V; 2], [a]: [S::V; 1]) -> S::V {
        simd.mul(simd.mul(a, scale), inverse)
    }
}

/// dx where y = (x - mean) * inverse * scale + bias by given moments, as [`BatchNorm::standards`] has them:
/// dy * scale * inverse.
pub fn through_standards(dims: Channels, standards: &[Standard], dy: &[f32], dx: &mut [f32]) {
    assert!(dy.len() == dx.len() && dx.len() == dims.count() && standards.len() == dims.channels);
    dims.for_stretches(Some(dx), &mut vec![(); dims.channels], |first, dx, own| {
        let Some(dx) = dx else { return };
        scratch::lend(2 * own.len(), |settings| {
            let (scales, inverses) = settings.split_at_mut(own.len());
            for (i, &[_, inverse, scale, _]) in standards[first..][..own.len()].iter().enumerate() {
                (scales[i], inverses[i]) = (scale, inverse);
            }
            dims.apply(first, dx, [dy], [&*scales, &*inverses], Through);
        });
    });
}

/// The moments of a stretch of channels from `first` on.
fn find_moments(
    dims: Channels,
    first: usize,
    x: &[f32],
    y: Option<&mut MatMut<'_>>,
    moments: &mut [Moments],
) {
    // Distances are taken from a value near the mean, that of a channel's first values, so that their squares do not cancel.
    let (n, first_n) = (dims.per_channel().max(1) as f64, dims.first_count().max(1) as f64);
    dims.first_sums((first, moments), [x], Plain, |moments, [sum]| moments.mean = (sum / first_n) as f32);
    scratch::lend(moments.len(), |minus| {
        minus.iter_mut().zip(&*moments).for_each(|(minus, near)| *minus = -near.mean);
        let keep = |moments: &mut Moments, [sum, squares]: [f64; 2]| {
            let variance = at_least(((squares - sum * sum / n) / n) as f32, 0.0);
            *moments = Moments { mean: (f64::from(moments.mean) + sum / n) as f32, variance };
        };
        dims.sums((first, moments), [x], y, [&*minus], (Distance, keep));
    });
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

    #[test]
    fn no_number_makes_moments_that_are_none() {
        for (images, channels, inner) in SHAPES {
            let dims = Channels { images, channels, inner };
            for bad in [f32::NAN, f32::INFINITY].into_iter().filter(|_| dims.count() > 0) {
                let (mut x, mut moments) = (values(dims.count(), 0), vec![Moments::default(); channels]);
                let mut y = vec![0.0; x.len()];
                x[0] = bad;
                BatchNorm { dims, eps: 0.1, finish: Finish::default() }.forward(&x, &mut y, &mut moments);
                let none = |moments: &Moments| moments.variance.is_nan() && !moments.mean.is_finite();
                assert!(
                    none(&moments[0]) && moments[1..].iter().all(|m| m.variance.is_finite()),
                    "{moments:?}"
                );
                assert!(dims.run(0, 0).all(|i| y[i].is_nan()), "{dims:?} {bad}");
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
                assert_eq!((&dx, again), (&want, slopes));
                let still = vec![[0.0; 2]; channels];
                whole.backward_given(&moments, &still, [&x, &dy], &mut want);
                whole.backward_still(&moments, [&x, &dy], &mut dx);
                assert_eq!(dx, want);
            }
        }
    }

    #[test]
    fn gradients_come_through_standards() {
        for (images, channels, inner) in SHAPES {
            let dims = Channels { images, channels, inner };
            let dy = values(dims.count(), 5);
            let standards: Vec<Standard> =
                (0..channels).map(|c| [f32::NAN, 0.3 + c as f32, 0.7 - 0.1 * c as f32, f32::NAN]).collect();
            let mut dx = vec![f32::NAN; dims.count()];
            through_standards(dims, &standards, &dy, &mut dx);
            for (i, (&dx, &dy)) in dx.iter().zip(&dy).enumerate() {
                let [_, inverse, scale, _] = standards[i / inner % channels];
                assert_eq!(dx, dy * scale * inverse, "{dims:?}: {i}");
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
