//! What is fetched while tiles are computed, for what comes after them.

use crate::kernels::simd::{LINE, Mat, Simd};

/// What will be read after a row of tiles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Next<'a> {
    /// As many registers as the product is deep are fetched with the last tile's steps.
    pub values: &'a [f32],
    /// Goes to the second-level cache, with each tile an equal part of it: a burst of requests would hold up the tiles' own.
    pub rows: Option<Mat<'a>>,
}

/// What of some rows is still to be fetched.
pub struct Soon {
    at: *const f32,
    /// Values from one row to the next; lines of a row, and those of it that are fetched.
    stride: usize,
    lines: usize,
    fetched: usize,
    /// Lines of all rows, and of a part.
    left: usize,
    part: usize,
}

impl Soon {
    /// All of `rows`, in so many parts.
    #[inline(always)]
    pub fn new(rows: Option<Mat<'_>>, parts: usize) -> Self {
        let Some(rows) = rows else {
            return Self { at: std::ptr::null(), stride: 0, lines: 0, fetched: 0, left: 0, part: 0 };
        };
        let lines = rows.cols().div_ceil(LINE);
        let left = rows.rows() * lines;
        Self { at: rows.as_ptr(), stride: rows.stride(), lines, fetched: 0, left, part: left.div_ceil(parts) }
    }

    /// Fetches the next part.
    #[inline(always)]
    pub fn fetch<S: Simd>(&mut self, simd: S) {
        let some = self.part.min(self.left);
        self.left -= some;
        for _ in 0..some {
            simd.prefetch_to_second(self.at.wrapping_add(self.fetched * LINE));
            self.fetched += 1;
            if self.fetched == self.lines {
                (self.at, self.fetched) = (self.at.wrapping_add(self.stride), 0);
            }
        }
    }
}
