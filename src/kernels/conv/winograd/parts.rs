//! Kernels that stride, or have more than five taps along an axis, as several of two to five: at the points the parts are summed
//! as channels are.
//!
//! Taps of equal remainder by the stride meet inputs that lie a stride apart, so they convolve these by one; and of many taps
//! each few convolve inputs that begin as many later. What is left over of a part has weights of zero.

/// The most parts along an axis.
pub const MOST: usize = 4;
/// The most taps of a part.
const MOST_TAPS: usize = 5;

/// How the taps along an axis are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// All taps.
    pub kernel: usize,
    pub stride: usize,
    /// Taps of a part, and how many parts there are.
    pub taps: usize,
    pub count: usize,
}

impl Parts {
    /// A single tap.
    pub const ONE: Self = Self { kernel: 1, stride: 1, taps: 1, count: 1 };

    /// As few parts as there can be, all alike; `None` of a single tap, or of too many.
    pub fn new(kernel: usize, stride: usize) -> Option<Self> {
        let of_remainder = kernel.div_ceil(stride);
        let stretches = of_remainder.div_ceil(MOST_TAPS);
        let (taps, count) = (of_remainder.div_ceil(stretches), stride.checked_mul(stretches)?);
        (taps > 1 && count <= MOST).then_some(Self { kernel, stride, taps, count })
    }

    /// Parts of both axes.
    pub fn square(&self) -> usize {
        self.count * self.count
    }

    /// Part number `index` of both axes, the last the quickest.
    pub fn pair(&self, index: usize) -> [usize; 2] {
        [index / self.count, index % self.count]
    }

    /// Those of both axes.
    pub fn all(self) -> impl Iterator<Item = [usize; 2]> {
        (0..self.square()).map(move |index| self.pair(index))
    }

    /// The first tap of a part; the next is a stride away.
    pub fn first(&self, part: usize) -> usize {
        part / self.stride * self.taps * self.stride + part % self.stride
    }

    /// Taps, those of zeros included.
    pub fn padded(&self) -> usize {
        self.count * self.taps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_each_tap_once() {
        for (kernel, stride) in (1..=16).flat_map(|kernel| (1..=5).map(move |stride| (kernel, stride))) {
            let Some(parts) = Parts::new(kernel, stride) else {
                assert!(
                    kernel <= stride || stride > MOST || kernel.div_ceil(stride) > MOST / stride * MOST_TAPS
                );
                continue;
            };
            let taps = |part| (0..parts.taps).map(move |tap| parts.first(part) + tap * stride);
            let mut all: Vec<usize> = (0..parts.count).flat_map(taps).collect();
            all.sort_unstable();
            assert_eq!(all, (0..parts.padded()).collect::<Vec<_>>(), "{parts:?}");
            assert!(parts.padded() >= kernel && (2..=MOST_TAPS).contains(&parts.taps), "{parts:?}");
        }
    }
}
