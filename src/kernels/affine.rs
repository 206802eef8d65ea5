//! A factor and a summand for each channel.

use super::{
    channels::{Channels, Terms},
    norm::{Plain, Products},
    simd::Simd,
};

/// a * setting.
#[derive(Clone, Copy)]
pub struct Scaled;

impl Terms<1, 1> for Scaled {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [scale]: [S::V; 1], [a]: [S::V; 1]) -> S::V {
        simd.mul(a, scale)
    }
}

/// a * setting + setting.
#[derive(Clone, Copy)]
struct Moved;

impl Terms<2, 1> for Moved {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [scale, bias]: [S::V; 2], [a]: [S::V; 1]) -> S::V {
        simd.fma(a, scale, bias)
    }
}

/// a + setting.
#[derive(Clone, Copy)]
struct Shifted;

impl Terms<1, 1> for Shifted {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [bias]: [S::V; 1], [a]: [S::V; 1]) -> S::V {
        simd.add(a, bias)
    }
}

/// a * setting + b.
#[derive(Clone, Copy)]
struct Added;

impl Terms<1, 2> for Added {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [scale]: [S::V; 1], [a, b]: [S::V; 2]) -> S::V {
        simd.fma(a, scale, b)
    }
}

/// y = x * scale + bias, by channel; no bias is 0.
pub fn scale(dims: Channels, scale: &[f32], bias: Option<&[f32]>, x: &[f32], y: &mut [f32]) {
    match bias {
        Some(bias) => dims.map(x, y, [scale, bias], Moved),
        None => dims.map(x, y, [scale], Scaled),
    }
}

/// y = x + bias, by channel.
pub fn add(dims: Channels, bias: &[f32], x: &[f32], y: &mut [f32]) {
    dims.map(x, y, [bias], Shifted);
}

/// z = x * scale + y, by channel.
pub fn scale_and_add(dims: Channels, scale: &[f32], [x, y]: [&[f32]; 2], z: &mut [f32]) {
    assert!(x.len() == dims.count() && y.len() == x.len() && z.len() == x.len());
    assert_eq!(scale.len(), dims.channels);
    dims.for_stretches(Some(z), &mut vec![(); dims.channels], |first, z, own| {
        if let Some(z) = z {
            dims.apply(first, z, [x, y], [&scale[first..][..own.len()]], Added);
        }
    });
}

/// dx = dy * scale, if it is wanted, and the sums of dy * x and of dy for each channel, in one pass over memory.
pub fn scale_backward(
    dims: Channels,
    scale: &[f32],
    [x, dy]: [&[f32]; 2],
    dx: Option<&mut [f32]>,
    sums: &mut [[f32; 2]],
) {
    assert!(
        x.len() == dims.count() && dy.len() == x.len() && dx.as_ref().is_none_or(|dx| dx.len() == x.len())
    );
    assert_eq!(scale.len(), dims.channels);
    dims.for_stretches(dx, sums, |first, dx, sums| {
        let settings = [&scale[first..][..sums.len()]];
        let keep = |sums: &mut [f32; 2], [sum, slope]: [f64; 2]| *sums = [slope as f32, sum as f32];
        dims.sums((first, sums), [dy, x], None, [], (Products, keep));
        if let Some(dx) = dx {
            dims.apply(first, dx, [dy], settings, Scaled);
        }
    });
}

/// sums += the sum of dy for each channel.
pub fn add_sums(dims: Channels, dy: &[f32], sums: &mut [f32]) {
    assert_eq!(sums.len(), dims.channels);
    add_sums_from(dims, 0, dy, sums);
}

/// sums += the sum of dy for as many channels from `start` on.
pub fn add_sums_from(dims: Channels, start: usize, dy: &[f32], sums: &mut [f32]) {
    assert!(dy.len() == dims.count() && start + sums.len() <= dims.channels);
    assert!(sums.len() == dims.channels || dims.inner != 1, "runs of one value are summed together");
    Channels { channels: sums.len(), ..dims }.for_stretches(None, sums, |first, _, sums| {
        let keep = |sum: &mut f32, [more]: [f64; 1]| *sum += more as f32;
        dims.sums((start + first, sums), [dy], None, [], (Plain, keep));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::channels::tests::SHAPES;

    #[test]
    fn every_shape_equals_the_plain_one() {
        for (images, channels, inner) in SHAPES {
            let dims = Channels { images, channels, inner };
            let n = dims.count();
            let channel = |i: usize| i / inner % channels;
            let x: Vec<f32> = (0..n).map(|i| (i % 17) as f32 - 8.0).collect();
            let dy: Vec<f32> = (0..n).map(|i| (i % 5) as f32).collect();
            let factor: Vec<f32> = (0..channels).map(|c| c as f32 / 2.0).collect();
            let bias: Vec<f32> = (0..channels).map(|c| 1.0 - c as f32).collect();
            let (mut y, mut dx, mut sums) = (vec![f32::NAN; n], vec![f32::NAN; n], vec![[9.0; 2]; channels]);
            scale(dims, &factor, None, &x, &mut y);
            assert!((0..n).all(|i| y[i] == x[i] * factor[channel(i)]));
            scale(dims, &factor, Some(&bias), &x, &mut y);
            assert!((0..n).all(|i| y[i] == x[i] * factor[channel(i)] + bias[channel(i)]));
            add(dims, &bias, &x, &mut y);
            assert!((0..n).all(|i| y[i] == x[i] + bias[channel(i)]));

            scale_and_add(dims, &factor, [&x, &dy], &mut y);
            assert!((0..n).all(|i| y[i] == x[i] * factor[channel(i)] + dy[i]));

            scale_backward(dims, &factor, [&x, &dy], Some(&mut dx), &mut sums);
            assert!((0..n).all(|i| dx[i] == dy[i] * factor[channel(i)]));
            let mut plain = vec![[0.0; 2]; channels];
            for i in 0..n {
                plain[channel(i)][0] += dy[i] * x[i];
                plain[channel(i)][1] += dy[i];
            }
            assert_eq!(sums, plain);
            let mut added = vec![1.0; channels];
            add_sums(dims, &dy, &mut added);
            assert!(added.iter().zip(&plain).all(|(got, want)| *got == 1.0 + want[1]));
        }
    }
}
