//! Local contrast: subtracts the weighted mean of a neighbourhood over all channels, and divides by its deviation.
//!
//! With G the mean weighted by distance (its weights shrink to what lies in the image), and means over C channels:
//! v = x - G(mean x);  s = sqrt(G(mean v^2));  y = v / max(s, c, eps), where c is the image's mean of s.

use super::{
    channels::Channels,
    elementwise::vectorized,
    parallel::{for_chunks_mut, for_parts_mut},
    pool::{Pool, Weights, weighted_mean, weighted_mean_backward},
};

/// Images of channels, and the neighbourhoods of their pixels.
pub struct Contrast {
    /// Images, channels, and pixels of a channel.
    pub dims: Channels,
    /// A window around each pixel; a plane is an image.
    pub pool: Pool,
    /// Its weights.
    pub weights: Weights,
    /// The least divisor.
    pub eps: f32,
}

impl Contrast {
    /// Pixels of all images: the length of each scratch.
    pub fn pixels(&self) -> usize {
        self.dims.images * self.dims.inner
    }

    /// y = x - G(mean x).
    pub fn subtract(&self, x: &[f32], y: &mut [f32], [mean, blurred]: [&mut [f32]; 2]) {
        self.reduce([x, x], mean, |x, _| x);
        weighted_mean(&self.pool, &self.weights, mean, blurred);
        self.over(x, blurred, y, |x, mean| x - mean);
    }

    /// dx = dy - mean over the channels of G'(sum dy); `dx` may be what dy was copied into.
    pub fn subtract_backward(&self, dx: &mut [f32], [mean, blurred]: [&mut [f32]; 2]) {
        self.reduce([dx, dx], mean, |d, _| d);
        weighted_mean_backward(&self.pool, &self.weights, mean, blurred);
        self.update(dx, blurred, |d, mean| d - mean);
    }

    /// v = v / divisor; `deviations` (s) and `divisors` are kept for backward.
    pub fn divide(&self, v: &mut [f32], deviations: &mut [f32], divisors: &mut [f32]) {
        self.reduce([v, v], divisors, |v, _| v * v);
        weighted_mean(&self.pool, &self.weights, divisors, deviations);
        let inner = self.dims.inner.max(1);
        for_parts_mut(deviations, inner, divisors, inner, |_, deviations, divisors| {
            deviations.iter_mut().for_each(|s| *s = s.sqrt());
            let floor = mean(deviations).max(self.eps);
            divisors.iter_mut().zip(&*deviations).for_each(|(d, s)| *d = s.max(floor));
        });
        self.update(v, divisors, |v, divisor| v / divisor);
    }

    /// dv, given y and dy of [`Contrast::divide`].
    pub fn divide_backward(
        &self,
        [y, dy]: [&[f32]; 2],
        [deviations, divisors]: [&[f32]; 2],
        dv: &mut [f32],
        [slopes, blurred]: [&mut [f32]; 2],
    ) {
        let (channels, inner) = (self.dims.channels as f32, self.dims.inner.max(1));
        self.reduce([y, dy], slopes, |y, dy| y * dy * channels);
        // slopes: from the sum of dy * y, by way of the divisor, to the slope of s^2.
        for_chunks_mut(slopes, inner, |start, slopes| {
            let (s, d) = (&deviations[start..][..slopes.len()], &divisors[start..][..slopes.len()]);
            let mean = mean(s);
            let mut to_mean = 0.0;
            for i in 0..slopes.len() {
                let slope = -slopes[i] / d[i];
                let own = s[i] >= mean && s[i] >= self.eps;
                to_mean += if !own && mean >= self.eps { f64::from(slope) } else { 0.0 };
                slopes[i] = if own { slope } else { 0.0 };
            }
            let share = (to_mean / inner as f64) as f32;
            let of_square = |slope: f32, s: f32| if s > 0.0 { (slope + share) / (2.0 * s) } else { 0.0 };
            slopes.iter_mut().zip(s).for_each(|(slope, &s)| *slope = of_square(*slope, s));
        });
        weighted_mean_backward(&self.pool, &self.weights, slopes, blurred);
        // dv = dy / divisor + 2 / C * v * G'(slopes), with v = y * divisor.
        blurred.iter_mut().zip(divisors).for_each(|(b, d)| *b *= 2.0 / channels * d);
        self.over(dy, divisors, dv, |dy, divisor| dy / divisor);
        for_chunks_mut(dv, inner, |start, dv| {
            let (y, b) = (&y[start..][..dv.len()], &blurred[self.pixel(start)..][..dv.len()]);
            vectorized(
                #[inline(always)]
                || dv.iter_mut().zip(y.iter().zip(b)).for_each(|(dv, (y, b))| *dv += y * b),
            );
        });
    }

    /// The first pixel of the image that holds the value at `start`, which begins a channel.
    fn pixel(&self, start: usize) -> usize {
        start / (self.dims.inner * self.dims.channels) * self.dims.inner
    }

    /// out = the mean over the channels of f(a, b).
    fn reduce(&self, [a, b]: [&[f32]; 2], out: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
        let Channels { channels, inner, .. } = self.dims;
        for_chunks_mut(out, inner, |start, out| {
            let image = start / inner * channels * inner;
            vectorized(
                #[inline(always)]
                || {
                    out.fill(0.0);
                    for c in 0..channels {
                        let (a, b) = (&a[image + c * inner..][..inner], &b[image + c * inner..][..inner]);
                        out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (&a, &b))| *out += f(a, b));
                    }
                    out.iter_mut().for_each(|out| *out /= channels as f32);
                },
            );
        });
    }

    /// out = f(a, the pixel's value).
    fn over(&self, a: &[f32], pixels: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
        for_chunks_mut(out, self.dims.inner, |start, out| {
            let (a, p) = (&a[start..][..out.len()], &pixels[self.pixel(start)..][..out.len()]);
            vectorized(
                #[inline(always)]
                || out.iter_mut().zip(a.iter().zip(p)).for_each(|(out, (&a, &p))| *out = f(a, p)),
            );
        });
    }

    /// out = f(out, the pixel's value).
    fn update(&self, out: &mut [f32], pixels: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) {
        for_chunks_mut(out, self.dims.inner, |start, out| {
            let p = &pixels[self.pixel(start)..][..out.len()];
            vectorized(
                #[inline(always)]
                || out.iter_mut().zip(p).for_each(|(out, &p)| *out = f(*out, p)),
            );
        });
    }
}

/// The mean of an image's pixels.
fn mean(pixels: &[f32]) -> f32 {
    (pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / pixels.len() as f64) as f32
}
