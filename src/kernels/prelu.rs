//! A slope for each channel below 0.

use super::{
    channels::{Channels, Sums, Terms},
    elementwise::map2,
    simd::Simd,
    sums::sum2,
};

/// The sum of a * b where a <= 0.
#[derive(Clone, Copy)]
struct Below;

impl Sums<0, 2, 1> for Below {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, _: [S::V; 0], [a, b]: [S::V; 2], [sum]: [S::V; 1]) -> [S::V; 1] {
        [simd.where_greater(a, simd.splat(0.0), sum, simd.fma(a, b, sum))]
    }
}

/// b where a > 0, else setting * b.
#[derive(Clone, Copy)]
struct Passed;

impl Terms<1, 2> for Passed {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, [slope]: [S::V; 1], [a, b]: [S::V; 2]) -> S::V {
        simd.where_greater(a, simd.splat(0.0), b, simd.mul(slope, b))
    }
}

/// a where a > 0, else setting * a.
#[derive(Clone, Copy)]
struct Bent;

impl Terms<1, 1> for Bent {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, slope: [S::V; 1], [a]: [S::V; 1]) -> S::V {
        Passed.of(simd, slope, [a, a])
    }
}

/// y = x if x > 0, else slope * x, by channel.
pub fn prelu(dims: Channels, slopes: &[f32], x: &[f32], y: &mut [f32]) {
    dims.map(x, y, [slopes], Bent);
}

/// dx = dy if x > 0, else slope * dy, if it is wanted; and for each channel the sum of x * dy where x <= 0.
pub fn prelu_backward(
    dims: Channels,
    slopes: &[f32],
    [x, dy]: [&[f32]; 2],
    dx: Option<&mut [f32]>,
    sums: &mut [f32],
) {
    assert!(x.len() == dims.count() && dy.len() == x.len() && slopes.len() == dims.channels);
    if let &[slope] = slopes {
        // One slope for all: cut by values, since there are no channels to cut by.
        sums[0] = sum2(x, dy, |x, dy| if x > 0.0 { 0.0 } else { x * dy }) as f32;
        if let Some(dx) = dx {
            map2(x, dy, dx, move |x, dy| if x > 0.0 { dy } else { slope * dy });
        }
        return;
    }
    dims.for_stretches(dx, sums, |first, dx, sums| {
        let settings = [&slopes[first..][..sums.len()]];
        let keep = |sum: &mut f32, [below]: [f64; 1]| *sum = below as f32;
        dims.sums((first, sums), [x, dy], None, [], (Below, keep));
        if let Some(dx) = dx {
            dims.apply(first, dx, [x, dy], settings, Passed);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::channels::tests::SHAPES;

    #[test]
    fn agrees_with_the_plain_form() {
        for (images, channels, inner) in SHAPES {
            let dims = Channels { images, channels, inner };
            let n = dims.count();
            let x: Vec<f32> = (0..n).map(|i| ((i * 37) % 11) as f32 - 5.0).collect();
            let dy: Vec<f32> = (0..n).map(|i| ((i * 13) % 7) as f32 - 3.0).collect();
            let slopes: Vec<f32> = (0..channels).map(|c| c as f32 * 0.5 - 1.0).collect();
            let (mut y, mut dx, mut sums) = (vec![f32::NAN; n], vec![f32::NAN; n], vec![f32::NAN; channels]);
            prelu(dims, &slopes, &x, &mut y);
            prelu_backward(dims, &slopes, [&x, &dy], Some(&mut dx), &mut sums);
            let mut want = vec![0f64; channels];
            for i in 0..n {
                let c = i / inner % channels;
                let slope = if x[i] > 0.0 { 1.0 } else { slopes[c] };
                assert_eq!((y[i], dx[i]), (slope * x[i], slope * dy[i]));
                want[c] += if x[i] > 0.0 { 0.0 } else { f64::from(x[i] * dy[i]) };
            }
            for (sum, want) in sums.iter().zip(want) {
                assert!((f64::from(*sum) - want).abs() <= 1e-5 * want.abs(), "{dims:?}: {sum} {want}");
            }
        }
    }
}
