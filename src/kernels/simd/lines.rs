//! Lines of values that lie apart.

use super::Simd;

/// Lines of values in memory.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    /// The first value.
    pub at: *const f32,
    /// Distance between lines.
    pub stride: usize,
}

impl Lines {
    /// The first `n` values of line `i`; zeros where `i` is not below `count`.
    ///
    /// # Safety
    /// `n` values of every line below `count` are readable.
    #[inline(always)]
    pub(super) unsafe fn load<S: Simd>(self, simd: S, i: usize, count: usize, n: usize) -> S::V {
        if i >= count {
            return simd.splat(0.0);
        }
        // SAFETY: line `i` is one of the readable.
        unsafe {
            let p = self.at.add(i * self.stride);
            if n == S::LANES { simd.load(p) } else { simd.load_first(p, n) }
        }
    }
}
