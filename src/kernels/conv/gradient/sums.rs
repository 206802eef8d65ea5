//! The sums of one task of the weights' gradient.

use crate::kernels::parallel::Rows;
use crate::kernels::simd::MatMut;

/// The sums of a task, `rows` a panel of columns.
pub(super) struct Sums<'a> {
    pub rows: usize,
    /// Panels of all columns of a tile, one a row; and one of half of them, if there is one.
    pub whole: MatMut<'a>,
    pub half: &'a mut [f32],
}

impl Rows for Sums<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn split_rows(self, at: usize) -> (Self, Self) {
        let width = |all: usize| all / self.rows.max(1) * at;
        let (above, below) = (width(self.whole.cols()), width(self.half.len()));
        let (whole, rest) = self.whole.split_cols(above);
        let (half, rest_half) = self.half.split_at_mut(below);
        (Sums { rows: at, whole, half }, Sums { rows: self.rows - at, whole: rest, half: rest_half })
    }
}

impl<'a> Sums<'a> {
    /// Panels of `width` columns, and what is left.
    pub fn new(sums: &'a mut [f32], rows: usize, width: usize) -> Self {
        let panels = sums.len() / (rows * width);
        let (whole, half) = sums.split_at_mut(panels * rows * width);
        Self { rows, whole: MatMut::new(whole, panels, rows * width, rows * width), half }
    }

    /// The same sums, for a shorter time.
    pub fn again(&mut self) -> Sums<'_> {
        let (rows, cols) = (self.whole.rows(), self.whole.cols());
        Sums { rows: self.rows, whole: self.whole.block(0..rows, 0..cols), half: self.half }
    }

    /// The columns of all panels.
    pub fn cols(&self) -> usize {
        (self.whole.rows() * self.whole.cols() + self.half.len()) / self.rows
    }

    /// Panel number `index`.
    pub fn panel(&mut self, index: usize) -> &mut [f32] {
        if index < self.whole.rows() { self.whole.row(index) } else { self.half }
    }
}
