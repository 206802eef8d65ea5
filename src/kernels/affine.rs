//! A factor and a summand for each channel.

use super::channels::Channels;

/// Channels whose sums are taken before their results are written.
const STRETCH: usize = 64;

/// y = x * scale + bias, by channel; no bias is 0.
pub fn scale(dims: Channels, scale: &[f32], bias: Option<&[f32]>, x: &[f32], y: &mut [f32]) {
    match bias {
        Some(bias) => dims.map(x, y, [scale, bias], |scale, bias, x| x * scale + bias),
        None => dims.map(x, y, [scale, scale], |scale, _, x| x * scale),
    }
}

/// y = x + bias, by channel.
pub fn add(dims: Channels, bias: &[f32], x: &[f32], y: &mut [f32]) {
    dims.map(x, y, [bias, bias], |bias, _, x| x + bias);
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
    dims.for_groups(dx, sums, |first, mut dx, sums| {
        for (i, sums) in sums.chunks_mut(STRETCH).enumerate() {
            let (at, len) = (first + i * STRETCH, sums.len());
            let f = |(), x: f32, dy: f32| [x * dy, dy];
            dims.sums(at, [x, dy], &[(); STRETCH][..len], f, |i, [slope, sum]| {
                sums[i] = [slope as f32, sum as f32];
            });
            if let Some(dx) = &mut dx {
                let columns = i * STRETCH * dims.inner..(i * STRETCH + len) * dims.inner;
                let dx = &mut dx.block(0..dims.images, columns);
                dims.apply(at, dx, [dy, dy], &scale[at..][..len], |scale, dy, _| dy * scale);
            }
        }
    });
}

/// The sum of dy for each channel.
pub fn add_backward(dims: Channels, dy: &[f32], sums: &mut [[f32; 2]]) {
    assert_eq!(dy.len(), dims.count());
    dims.for_groups(None, sums, |first, _, sums| {
        for (i, sums) in sums.chunks_mut(STRETCH).enumerate() {
            let none = &[(); STRETCH][..sums.len()];
            dims.sums(
                first + i * STRETCH,
                [dy, dy],
                none,
                |(), dy, _| [0.0, dy],
                |i, [_, sum]| {
                    sums[i] = [0.0, sum as f32];
                },
            );
        }
    });
}

/// sums += the sum of dy for each channel.
pub fn add_sums(dims: Channels, dy: &[f32], sums: &mut [f32]) {
    assert_eq!(dy.len(), dims.count());
    dims.for_groups(None, sums, |first, _, sums| {
        for (i, sums) in sums.chunks_mut(STRETCH).enumerate() {
            let (at, none) = (first + i * STRETCH, &[(); STRETCH][..sums.len()]);
            dims.sums(at, [dy, dy], none, |(), dy, _| [0.0, dy], |i, [_, sum]| sums[i] += sum as f32);
        }
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

            scale_backward(dims, &factor, [&x, &dy], Some(&mut dx), &mut sums);
            assert!((0..n).all(|i| dx[i] == dy[i] * factor[channel(i)]));
            let mut plain = vec![[0.0; 2]; channels];
            for i in 0..n {
                plain[channel(i)][0] += dy[i] * x[i];
                plain[channel(i)][1] += dy[i];
            }
            assert_eq!(sums, plain);
            add_backward(dims, &dy, &mut sums);
            assert!(sums.iter().zip(&plain).all(|(got, want)| got[1] == want[1]));
            let mut added = vec![1.0; channels];
            add_sums(dims, &dy, &mut added);
            assert!(added.iter().zip(&plain).all(|(got, want)| *got == 1.0 + want[1]));
        }
    }
}
