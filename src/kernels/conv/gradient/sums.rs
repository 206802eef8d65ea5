//! The sums of one task of the weights' gradient.

use crate::kernels::simd::MatMut;

/// The sums of a task, `rows` a panel of columns.
pub(super) struct Sums<'a> {
    pub rows: usize,
    /// Panels of all columns of a tile, one a row; and one of half of them, if there is one.
    pub whole: MatMut<'a>,
    pub half: &'a mut [f32],
}

impl Sums<'_> {
    /// The columns of all panels.
    pub fn cols(&self) -> usize {
        (self.whole.rows() * self.whole.cols() + self.half.len()) / self.rows
    }

    /// Panel number `index`.
    pub fn panel(&mut self, index: usize) -> &mut [f32] {
        if index < self.whole.rows() { self.whole.row(index) } else { self.half }
    }
}
