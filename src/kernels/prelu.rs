//! A slope for each channel below 0.

use super::{
    channels::Channels,
    elementwise::{map2, sum2},
};

/// Channels whose sums are taken before their results are written.
const STRETCH: usize = 64;

/// y = x if x > 0, else slope * x, by channel.
pub fn prelu(dims: Channels, slopes: &[f32], x: &[f32], y: &mut [f32]) {
    dims.map(x, y, [slopes, slopes], |slope, _, x| if x > 0.0 { x } else { slope * x });
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
    let below = |x: f32, dy: f32| if x > 0.0 { 0.0 } else { x * dy };
    let passed = |slope: f32, x: f32, dy: f32| if x > 0.0 { dy } else { slope * dy };
    if let &[slope] = slopes {
        // One slope for all: cut by values, since there are no channels to cut by.
        sums[0] = sum2(x, dy, below) as f32;
        if let Some(dx) = dx {
            map2(x, dy, dx, |x, dy| passed(slope, x, dy));
        }
        return;
    }
    dims.for_groups(dx, sums, |first, mut dx, sums| {
        for (i, sums) in sums.chunks_mut(STRETCH).enumerate() {
            let (at, len) = (first + i * STRETCH, sums.len());
            let none = &[(); STRETCH][..len];
            dims.sums(at, [x, dy], none, |(), x, dy| [below(x, dy), 0.0], |i, [sum, _]| sums[i] = sum as f32);
            if let Some(dx) = &mut dx {
                let columns = i * STRETCH * dims.inner..(i * STRETCH + len) * dims.inner;
                let dx = &mut dx.block(0..dims.images, columns);
                dims.apply(at, dx, [x, dy], &slopes[at..][..len], passed);
            }
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
