//! Kernels that stride, or have more than five taps along an axis, as several of two to five: at the points the parts
//! are summed as channels are.
//!
//! Taps of equal remainder by the stride meet inputs that lie a stride apart, so they convolve these by one; and of
//! many taps each few convolve inputs that begin as many later. What is left over of a part has weights of zero.
//!
//! 7 x 7 is four of 4 x 4 (256 products for 25 outputs instead of 1225), 9 x 9 four of 5 x 5, 4 x 4 by two four of
//! 2 x 2 (144 for 25 instead of 400), 5 x 5 by two four of 3 x 3, 1 x 7 two of four taps (16 for 5 instead of 35).
//! 3 x 3 by two would take 144 products for 25 outputs instead of 225, which transforms eat up.

/// The most parts along an axis.
pub const MOST: usize = 4;
/// The most taps of a part.
const MOST_TAPS: usize = 5;

/// How the taps along both axes are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// All taps.
    pub kernel: [usize; 2],
    pub stride: usize,
    /// Taps of a part.
    pub taps: [usize; 2],
}

impl Parts {
    /// A single tap.
    pub const ONE: Self = Self { kernel: [1; 2], stride: 1, taps: [1; 2] };

    /// As few parts as there can be, all alike; `None` of single taps that stride, or of too many.
    pub fn new(kernel: [usize; 2], stride: usize) -> Option<Self> {
        Some(Self { kernel, stride, taps: [of_part(kernel[0], stride)?, of_part(kernel[1], stride)?] })
    }

    /// How many parts there are along each axis.
    pub fn counts(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.stride * self.kernel[axis].div_ceil(self.stride).div_ceil(self.taps[axis]))
    }

    /// Parts of both axes.
    pub fn count(&self) -> usize {
        self.counts().iter().product()
    }

    /// Part number `index` of both axes, the last the quickest.
    pub fn pair(&self, index: usize) -> [usize; 2] {
        let [_, across] = self.counts();
        [index / across, index % across]
    }

    /// Those of both axes.
    pub fn all(self) -> impl Iterator<Item = [usize; 2]> {
        (0..self.count()).map(move |index| self.pair(index))
    }

    /// The first tap of a part; the next is a stride away.
    pub fn first(&self, part: [usize; 2]) -> [usize; 2] {
        let Self { stride, taps, .. } = self;
        [0, 1].map(|axis| part[axis] / stride * taps[axis] * stride + part[axis] % stride)
    }

    /// Taps, those of zeros included.
    pub fn padded(&self) -> [usize; 2] {
        let counts = self.counts();
        [0, 1].map(|axis| counts[axis] * self.taps[axis])
    }

    /// Rows of taps that lie together, with zeros behind each: how many, the taps of each, and with the zeros. Where these are
    /// whole rows, all taps are one.
    pub fn rows(&self) -> (usize, [usize; 2]) {
        let ([height, width], [down, across]) = (self.kernel, self.padded());
        if width == across { (1, [height * width, down * across]) } else { (height, [width, across]) }
    }

    /// Taps of a part along the axes that have more than one.
    pub fn most_taps(&self) -> usize {
        self.taps[0].max(self.taps[1])
    }
}

/// Taps of a part along an axis.
fn of_part(kernel: usize, stride: usize) -> Option<usize> {
    let of_remainder = kernel.div_ceil(stride);
    let stretches = of_remainder.div_ceil(MOST_TAPS);
    let (taps, count) = (of_remainder.div_ceil(stretches), stride.checked_mul(stretches)?);
    ((taps > 1 || kernel * stride == 1) && count <= MOST).then_some(taps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_each_tap_once() {
        for (kernel, stride) in (1..=16).flat_map(|kernel| (1..=5).map(move |stride| (kernel, stride))) {
            let Some(parts) = Parts::new([kernel; 2], stride) else {
                assert!(
                    kernel <= stride || stride > MOST || kernel.div_ceil(stride) > MOST / stride * MOST_TAPS
                );
                continue;
            };
            let (taps, count, padded) = (parts.taps[1], parts.counts()[1], parts.padded()[1]);
            let of_part = |part| (0..taps).map(move |tap| parts.first([0, part])[1] + tap * stride);
            let mut all: Vec<usize> = (0..count).flat_map(of_part).collect();
            all.sort_unstable();
            assert_eq!(all, (0..padded).collect::<Vec<_>>(), "{parts:?}");
            assert!(padded >= kernel && (taps == kernel || (2..=MOST_TAPS).contains(&taps)), "{parts:?}");
        }
    }

    #[test]
    fn an_axis_may_have_a_single_tap() {
        let parts = Parts::new([1, 7], 1).unwrap();
        assert_eq!(parts, Parts { kernel: [1, 7], stride: 1, taps: [1, 4] });
        assert_eq!((parts.counts(), parts.padded(), parts.rows()), ([1, 2], [1, 8], (1, [7, 8])));
        assert_eq!(Parts::new([1, 7], 2), None);
    }
}
