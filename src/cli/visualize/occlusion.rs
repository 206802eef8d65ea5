//! What a net no longer sees when a part of an image is covered.

use super::{Failure, look::Look};
use crate::{
    measures::softmax,
    net::{BlobId, Net, Params},
};

/// The square that covers a part of the image.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    /// Its side in pixels.
    pub side: usize,
    /// Pixels from place to place.
    pub step: usize,
}

/// Images in a batch.
const BATCH: usize = 16;

/// For each pixel, the mean over all squares that cover it of how much the logarithm of the probability of `class` falls; 0 where
/// it rises. `scores` is the blob of scores; the image has been run.
pub fn map(
    look: &Look,
    net: &mut Net,
    params: &mut Params,
    scores: BlobId,
    class: usize,
    patch: Patch,
) -> Result<Vec<f32>, Failure> {
    let [_, c, h, w] = look.shape[..] else { return Ok(Vec::new()) };
    let classes = net.shape(scores).count();
    let (_, whole) = softmax(net.values(scores), class);
    let corners = corners([h, w], patch);
    let mut sums = vec![(0.0, 0_u32); h * w];
    for some in corners.chunks(BATCH) {
        let mut batch = look.values.repeat(some.len());
        for (image, &corner) in batch.chunks_exact_mut(c * h * w).zip(some) {
            for plane in image.chunks_exact_mut(h * w) {
                // The mean of the images, after it is subtracted.
                covered(corner, patch.side, w).for_each(|i| plane[i] = 0.0);
            }
        }
        look.feed(net, [some.len(), c, h, w].into(), &batch)?;
        look.forward(net, params)?;
        for (row, &corner) in net.values(scores).chunks_exact(classes).zip(some) {
            let fall = (whole - softmax(row, class).1).max(0.0);
            covered(corner, patch.side, w).for_each(|i| {
                sums[i].0 += fall;
                sums[i].1 += 1;
            });
        }
    }
    Ok(sums.into_iter().map(|(sum, count)| (sum / f64::from(count.max(1))) as f32).collect())
}

/// The upper left corners of all places of a square, those at the far borders included.
fn corners([h, w]: [usize; 2], Patch { side, step }: Patch) -> Vec<[usize; 2]> {
    let along = |length: usize| {
        let last = length - side;
        (0..last).step_by(step).chain([last]).collect::<Vec<_>>()
    };
    let lefts = along(w);
    along(h).into_iter().flat_map(|top| lefts.iter().map(move |&left| [top, left])).collect()
}

/// The pixels below a square.
fn covered([top, left]: [usize; 2], side: usize, width: usize) -> impl Iterator<Item = usize> {
    (top..top + side).flat_map(move |y| (left..left + side).map(move |x| y * width + x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_covered() {
        for (size, side, step) in [([8, 8], 2, 1), ([7, 10], 3, 2), ([5, 5], 5, 9), ([4, 6], 1, 1)] {
            let mut seen = vec![0; size[0] * size[1]];
            for corner in corners(size, Patch { side, step }) {
                covered(corner, side, size[1]).for_each(|i| seen[i] += 1);
            }
            assert!(step > side || seen.iter().all(|&n| n > 0), "{size:?} {side} {step}: {seen:?}");
        }
        assert_eq!(
            corners([5, 6], Patch { side: 3, step: 2 }),
            [[0, 0], [0, 2], [0, 3], [2, 0], [2, 2], [2, 3]]
        );
    }
}
