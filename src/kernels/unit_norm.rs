//! Values over their Euclidean norm, times a factor of their channel: y = s x / n, where n = sqrt(eps + sum x^2).
//!
//! The sum is over an image, or over the channels at each of its places. With m = 1 / n, which is kept,
//! dx = s m dy - m^3 x * sum(s x dy)       ds = sum(m x dy)

use super::{
    affine,
    channels::{Channels, Sums, Terms},
    parallel::{CHUNK, for_chunks_mut, for_parts_mut},
    simd::{Asked, Each, Isa, Job, Simd, each},
    sums::sum_of_each,
};

/// Places whose sums over the channels are taken side by side, and channels whose sum is taken in `f32`.
const PLACES: usize = 64;
const TOGETHER: usize = 32;

/// What is divided by what.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UnitNorm {
    /// Images of channels.
    pub dims: Channels,
    /// Whether an image has one norm, and not each of its places one.
    pub whole: bool,
    /// Added to sums of squares.
    pub eps: f32,
}

/// What a backward pass reads.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// A factor for each channel, or one for all.
    pub scale: &'a [f32],
    /// The input.
    pub x: &'a [f32],
    /// What came back.
    pub dy: &'a [f32],
    /// One over each norm, as the forward pass left it.
    pub inverse: &'a [f32],
}

impl UnitNorm {
    /// How many norms there are.
    pub fn norms(&self) -> usize {
        if self.whole() { self.dims.images } else { self.dims.images * self.dims.inner }
    }

    /// Values of scratch that both passes are lent.
    pub fn scratch(&self) -> usize {
        let runs = self.dims.images * self.dims.channels;
        if self.whole() { 3 * runs } else { runs + self.norms() }
    }

    /// y, given a factor for each channel or one for all; `inverse` becomes one over each norm.
    pub fn forward(&self, scale: &[f32], x: &[f32], y: &mut [f32], inverse: &mut [f32], scratch: &mut [f32]) {
        self.check(scale, [x, y], inverse, scratch);
        if self.dims.count() == 0 {
            return;
        }
        let Channels { channels, inner, .. } = self.dims;
        let image = channels * inner;
        if self.whole() {
            for_chunks_mut(inverse, (CHUNK / image.max(1)).max(1), |first, inverse| {
                for (n, inverse) in (first..).zip(inverse) {
                    *inverse = self.inverse(sum_of_each([&x[n * image..][..image]], Square));
                }
            });
            let runs = self.runs();
            let factors = &mut scratch[..runs.channels];
            self.factors(scale, inverse, factors);
            return affine::scale(runs, factors, None, x, y);
        }
        for_parts_mut(y, image, inverse, inner, |n, y, inverse| {
            let x = &x[n * image..][..image];
            self.over_channels([x, x], &[1.0], inverse);
            inverse.iter_mut().for_each(|m| *m = self.inverse(f64::from(*m)));
            let (inverse, rows) = (&*inverse, (CHUNK / inner).max(1));
            for_chunks_mut(y, rows * inner, |start, y| {
                let (x, scale) = (&x[start..][..y.len()], from(scale, start / inner));
                Isa::best().run(Divide { x, inverse, scale, y });
            });
        });
    }

    /// dx, if it is wanted; and adds to the slopes of the factors, if they are wanted.
    pub fn backward(
        &self,
        known: Known<'_>,
        dx: Option<&mut [f32]>,
        slopes: Option<&mut [f32]>,
        scratch: &mut [f32],
    ) {
        self.check(known.scale, [known.x, known.dy], known.inverse, scratch);
        if self.dims.count() == 0 {
            return;
        }
        if self.whole() {
            self.backward_whole(known, dx, slopes, scratch);
        } else {
            self.backward_by_place(known, dx, slopes, scratch);
        }
    }

    fn backward_whole(
        &self,
        known: Known<'_>,
        dx: Option<&mut [f32]>,
        slopes: Option<&mut [f32]>,
        scratch: &mut [f32],
    ) {
        let Known { scale, x, dy, inverse } = known;
        let (runs, channels) = (self.runs(), self.dims.channels.max(1));
        let (sums, rest) = scratch.split_at_mut(runs.channels);
        let (factors, bends) = rest.split_at_mut(runs.channels);
        runs.for_stretches(None, sums, |first, _, sums| {
            let keep = |to: &mut f32, [sum]: [f64; 1]| *to = sum as f32;
            runs.sums((first, sums), [x, dy], None, [], (Product, keep));
        });
        if let Some(dx) = dx {
            self.factors(scale, inverse, factors);
            let of_images = sums.chunks_exact(channels).zip(bends.chunks_exact_mut(channels)).zip(inverse);
            for ((sums, bends), &m) in of_images {
                let sum: f64 =
                    (0..).zip(sums).map(|(c, &sum)| f64::from(at(scale, c)) * f64::from(sum)).sum();
                bends.fill(bend(sum, m));
            }
            runs.for_stretches(Some(dx), &mut vec![(); runs.channels], |first, dx, own| {
                let settings = [&*factors, &*bends].map(|all| &all[first..][..own.len()]);
                if let Some(dx) = dx {
                    runs.apply(first, dx, [dy, x], settings, Mixed);
                }
            });
        }
        let terms = sums.chunks_exact(channels).zip(inverse);
        add_slopes(slopes, self.dims.channels, |c| {
            terms.clone().map(|(sums, &m)| f64::from(sums[c]) * f64::from(m)).sum()
        });
    }

    fn backward_by_place(
        &self,
        known: Known<'_>,
        dx: Option<&mut [f32]>,
        slopes: Option<&mut [f32]>,
        scratch: &mut [f32],
    ) {
        let Known { scale, x, dy, inverse } = known;
        let Channels { channels, inner, .. } = self.dims;
        let (image, part, rows) = (channels * inner, channels + inner, (CHUNK / inner).max(1));
        let wanted = slopes.is_some();
        let of_image = |n: usize, dx: Option<&mut [f32]>, part: &mut [f32]| {
            let [x, dy] = [x, dy].map(|all| &all[n * image..][..image]);
            let inverse = &inverse[n * inner..][..inner];
            let (sums, bends) = part.split_at_mut(channels);
            if let Some(dx) = dx {
                self.over_channels([x, dy], scale, bends);
                bends.iter_mut().zip(inverse).for_each(|(to, &m)| *to = bend(f64::from(*to), m));
                let bends = &*bends;
                for_chunks_mut(dx, rows * inner, |start, dx| {
                    let [x, dy] = [x, dy].map(|all| &all[start..][..dx.len()]);
                    let scale = from(scale, start / inner);
                    Isa::best().run(Slope { x, dy, inverse, bends, scale, dx });
                });
            }
            if wanted {
                for_chunks_mut(sums, rows, |first, sums| {
                    for (c, sum) in (first..).zip(sums) {
                        let [x, dy] = [x, dy].map(|all| &all[c * inner..][..inner]);
                        *sum = sum_of_each([x, dy, inverse], Product) as f32;
                    }
                });
            }
        };
        match dx {
            Some(dx) => {
                for_parts_mut(dx, image, scratch, part, |n, dx, part| of_image(n, Some(dx), part));
            }
            None => for_chunks_mut(scratch, part, |start, scratch| of_image(start / part, None, scratch)),
        }
        let sums = scratch.chunks_exact(part);
        add_slopes(slopes, channels, |c| sums.clone().map(|sums| f64::from(sums[c])).sum());
    }

    /// Where an image has one place, its norm is that of the image.
    fn whole(&self) -> bool {
        self.whole || self.dims.inner == 1
    }

    /// Each channel of each image as a channel of its own.
    fn runs(&self) -> Channels {
        let Channels { images, channels, inner } = self.dims;
        Channels { images: 1, channels: images * channels, inner }
    }

    /// One over the norm.
    fn inverse(&self, squares: f64) -> f32 {
        (1.0 / (squares + f64::from(self.eps)).sqrt()) as f32
    }

    /// What each channel of each image is multiplied with.
    fn factors(&self, scale: &[f32], inverse: &[f32], factors: &mut [f32]) {
        for (factors, m) in factors.chunks_exact_mut(self.dims.channels.max(1)).zip(inverse) {
            factors.iter_mut().enumerate().for_each(|(c, factor)| *factor = at(scale, c) * m);
        }
    }

    /// For each place of an image, the sum of s * a * b over the channels.
    fn over_channels(&self, blobs: [&[f32]; 2], scale: &[f32], out: &mut [f32]) {
        let (channels, inner) = (self.dims.channels, self.dims.inner);
        let group = (CHUNK / (PLACES * channels.max(1))).max(1) * PLACES;
        for_chunks_mut(out, group, |first, out| {
            Isa::best().run(OverChannels { channels, inner, first, blobs, scale, out });
        });
    }

    fn check(&self, scale: &[f32], blobs: [&[f32]; 2], inverse: &[f32], scratch: &[f32]) {
        assert!(scale.len() == 1 || scale.len() == self.dims.channels, "a factor for each channel, or one");
        assert!(blobs.iter().all(|blob| blob.len() == self.dims.count()), "as many values as the shape has");
        assert!(inverse.len() == self.norms() && scratch.len() == self.scratch(), "lengths");
    }
}

/// The factor of channel `c`.
#[inline(always)]
fn at(scale: &[f32], c: usize) -> f32 {
    if let &[all] = scale { all } else { scale[c] }
}

/// The factors from channel `c` on.
fn from(scale: &[f32], c: usize) -> &[f32] {
    if scale.len() == 1 { scale } else { &scale[c..] }
}

/// What x is multiplied with in dx.
fn bend(sum: f64, m: f32) -> f32 {
    (-sum * f64::from(m).powi(3)) as f32
}

/// Adds a slope for each channel, or the sum of all where they have one factor.
fn add_slopes(slopes: Option<&mut [f32]>, channels: usize, slope: impl Fn(usize) -> f64) {
    match slopes {
        None => {}
        Some([all]) => *all += (0..channels).map(slope).sum::<f64>() as f32,
        Some(slopes) => (0..).zip(slopes).for_each(|(c, to)| *to += slope(c) as f32),
    }
}

/// a^2.
#[derive(Clone, Copy)]
struct Square;

impl Each<1, 1> for Square {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [a]: [S::V; 1]) -> [S::V; 1] {
        [simd.mul(a, a)]
    }
}

/// a * b, or a * b * c.
#[derive(Clone, Copy)]
struct Product;

impl Sums<0, 2, 1> for Product {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, _: [S::V; 0], [a, b]: [S::V; 2], [sum]: [S::V; 1]) -> [S::V; 1] {
        [simd.fma(a, b, sum)]
    }
}

impl Each<3, 1> for Product {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [a, b, c]: [S::V; 3]) -> [S::V; 1] {
        [simd.mul(simd.mul(a, b), c)]
    }
}

/// a * setting + b * setting.
#[derive(Clone, Copy)]
struct Mixed;

impl Terms<2, 2> for Mixed {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [s, t]: [S::V; 2], [a, b]: [S::V; 2]) -> S::V {
        simd.fma(a, s, simd.mul(b, t))
    }
}

/// s x m.
#[derive(Clone, Copy)]
struct Scaled(f32);

impl Each<2, 1> for Scaled {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x, m]: [S::V; 2]) -> [S::V; 1] {
        [simd.mul(x, simd.mul(m, simd.splat(self.0)))]
    }
}

/// s m dy + bend * x.
#[derive(Clone, Copy)]
struct Bent(f32);

impl Each<4, 1> for Bent {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [x, dy, m, bend]: [S::V; 4]) -> [S::V; 1] {
        [simd.fma(dy, simd.mul(m, simd.splat(self.0)), simd.mul(x, bend))]
    }
}

/// Channels of an image over the norms of its places.
struct Divide<'a> {
    x: &'a [f32],
    inverse: &'a [f32],
    scale: &'a [f32],
    y: &'a mut [f32],
}

impl Job for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let inner = self.inverse.len();
        for (c, (x, y)) in self.x.chunks_exact(inner).zip(self.y.chunks_exact_mut(inner)).enumerate() {
            each(simd, [x, self.inverse], [y], Asked::NOTHING, Scaled(at(self.scale, c)));
        }
    }
}

/// The slopes of channels of an image.
struct Slope<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    inverse: &'a [f32],
    bends: &'a [f32],
    scale: &'a [f32],
    dx: &'a mut [f32],
}

impl Job for Slope<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let inner = self.inverse.len();
        let rows = self.x.chunks_exact(inner).zip(self.dy.chunks_exact(inner));
        for (c, ((x, dy), dx)) in rows.zip(self.dx.chunks_exact_mut(inner)).enumerate() {
            let rows = [x, dy, self.inverse, self.bends];
            each(simd, rows, [dx], Asked::NOTHING, Bent(at(self.scale, c)));
        }
    }
}

/// Sums over the channels at the places from `first` on.
struct OverChannels<'a> {
    channels: usize,
    inner: usize,
    first: usize,
    blobs: [&'a [f32]; 2],
    scale: &'a [f32],
    out: &'a mut [f32],
}

impl Job for OverChannels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (i, out) in self.out.chunks_mut(PLACES).enumerate() {
            let (first, len) = (self.first + i * PLACES, out.len());
            let mut totals = [0.0; PLACES];
            for start in (0..self.channels).step_by(TOGETHER) {
                let mut sums = [0.0; PLACES];
                for c in start..self.channels.min(start + TOGETHER) {
                    let [a, b] = self.blobs.map(|blob| &blob[c * self.inner + first..][..len]);
                    let s = at(self.scale, c);
                    sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += s * (a * b));
                }
                totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += f64::from(sum));
            }
            out.iter_mut().zip(totals).for_each(|(out, total)| *out = total as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{channels::tests::SHAPES, norm::tests::assert_close};

    /// y, dx and ds, plainly.
    fn plain(how: UnitNorm, scale: &[f32], x: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
        let Channels { images, channels, inner } = how.dims;
        let (mut y, mut dx, mut ds) = (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; scale.len()]);
        let own = if how.whole { 1 } else { inner };
        for (n, p) in (0..images).flat_map(|n| (0..own).map(move |p| (n, p))) {
            let (image, step) = (n * channels * inner, if how.whole { 1 } else { inner });
            let all: Vec<usize> = (image + p..image + channels * inner).step_by(step).collect();
            let s = |i: usize| f64::from(at(scale, i / inner % channels));
            let v = |blob: &[f32], i: usize| f64::from(blob[i]);
            let norm = (all.iter().map(|&i| v(x, i).powi(2)).sum::<f64>() + f64::from(how.eps)).sqrt();
            let dot: f64 = all.iter().map(|&i| s(i) * v(x, i) * v(dy, i)).sum();
            for i in all {
                y[i] = s(i) * v(x, i) / norm;
                dx[i] = s(i) * v(dy, i) / norm - v(x, i) * dot / norm.powi(3);
                ds[i / inner % channels % scale.len()] += v(x, i) * v(dy, i) / norm;
            }
        }
        [y, dx, ds]
    }

    #[test]
    fn every_shape_equals_the_plain_one() {
        for ((images, channels, inner), whole) in SHAPES.into_iter().flat_map(|s| [(s, false), (s, true)]) {
            let how = UnitNorm { dims: Channels { images, channels, inner }, whole, eps: 0.5 };
            let n = how.dims.count();
            let x: Vec<f32> = (0..n).map(|i| ((i * 37 + i / 7) % 11) as f32 / 4.0 - 1.0).collect();
            let dy: Vec<f32> = (0..n).map(|i| ((i * 13) % 7) as f32 / 8.0 - 0.25).collect();
            let each: Vec<f32> = (0..channels).map(|c| 1.5 - (c % 5) as f32).collect();
            for scale in [&each[..], &[3.0]] {
                let mut y = vec![f32::NAN; n];
                let mut inverse = vec![f32::NAN; how.norms()];
                let mut scratch = vec![f32::NAN; how.scratch()];
                how.forward(scale, &x, &mut y, &mut inverse, &mut scratch);
                let [want_y, want_dx, want_ds] = plain(how, scale, &x, &dy);
                assert_close(&y, &want_y);
                for (to_x, to_scale) in [(true, true), (true, false), (false, true)] {
                    scratch.fill(f32::NAN);
                    let (mut dx, mut ds) = (vec![f32::NAN; n], vec![2.0; scale.len()]);
                    let (dx_here, ds_here) = (to_x.then_some(&mut dx[..]), to_scale.then_some(&mut ds[..]));
                    let known = Known { scale, x: &x, dy: &dy, inverse: &inverse };
                    how.backward(known, dx_here, ds_here, &mut scratch);
                    assert!(to_x || dx.iter().all(|dx| dx.is_nan()));
                    if to_x {
                        assert_close(&dx, &want_dx);
                    }
                    let add = |ds: &f64| if to_scale { 2.0 + ds } else { 2.0 };
                    assert_close(&ds, &want_ds.iter().map(add).collect::<Vec<f64>>());
                }
            }
        }
    }
}
