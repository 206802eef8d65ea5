//! The sums of one task of the weights' gradient.

use std::ops::Range;

use crate::kernels::parallel::Rows;
use crate::kernels::simd::MatMut;

/// The sums of a task.
pub(super) struct Sums<'a> {
    rows: usize,
    /// Columns, rounded up to registers.
    cols: usize,
    place: Place<'a>,
}

/// Where they are.
enum Place<'a> {
    /// Panels of all columns of a tile, one a row; and one of half of them, if there is one.
    Panels { whole: MatMut<'a>, half: &'a mut [f32] },
    /// A matrix.
    Rows(MatMut<'a>),
}

impl Rows for Sums<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn split_rows(self, at: usize) -> (Self, Self) {
        let Self { rows, cols, place } = self;
        let (above, below) = match place {
            Place::Panels { whole, half } => {
                let width = |all: usize| all / rows.max(1) * at;
                let (first, second) = (width(whole.cols()), width(half.len()));
                let (whole, rest) = whole.split_cols(first);
                let (half, rest_half) = half.split_at_mut(second);
                (Place::Panels { whole, half }, Place::Panels { whole: rest, half: rest_half })
            }
            Place::Rows(matrix) => {
                let (above, below) = matrix.split_rows(at);
                (Place::Rows(above), Place::Rows(below))
            }
        };
        (Sums { rows: at, cols, place: above }, Sums { rows: rows - at, cols, place: below })
    }
}

impl<'a> Sums<'a> {
    /// Panels of `width` columns, and what is left, `rows` rows each.
    pub fn new(sums: &'a mut [f32], rows: usize, width: usize) -> Self {
        let (panels, cols) = (sums.len() / (rows * width), sums.len() / rows);
        let (whole, half) = sums.split_at_mut(panels * rows * width);
        let whole = MatMut::new(whole, panels, rows * width, rows * width);
        Self { rows, cols, place: Place::Panels { whole, half } }
    }

    /// The rows of a matrix; registers have `lanes` values.
    pub fn rows_of(matrix: MatMut<'a>, lanes: usize) -> Self {
        let (rows, cols) = (matrix.rows(), matrix.cols().next_multiple_of(lanes));
        Self { rows, cols, place: Place::Rows(matrix) }
    }

    /// The same sums, for a shorter time.
    pub fn again(&mut self) -> Sums<'_> {
        let all = |matrix: &MatMut<'_>| (0..matrix.rows(), 0..matrix.cols());
        let place = match &mut self.place {
            Place::Panels { whole, half } => {
                let (rows, cols) = all(whole);
                Place::Panels { whole: whole.block(rows, cols), half }
            }
            Place::Rows(matrix) => {
                let (rows, cols) = all(matrix);
                Place::Rows(matrix.block(rows, cols))
            }
        };
        Sums { rows: self.rows, cols: self.cols, place }
    }

    /// The columns, rounded up to registers.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The tile of `width` columns from `col` on, where a panel begins.
    pub fn tile(&mut self, col: usize, width: usize, rows: Range<usize>) -> MatMut<'_> {
        match &mut self.place {
            Place::Panels { whole, half } => {
                let panels = whole.rows();
                let index = if panels == 0 { 0 } else { col * self.rows / whole.cols() };
                let panel = if index < panels { whole.row(index) } else { half };
                MatMut::new(&mut panel[rows.start * width..][..rows.len() * width], rows.len(), width, width)
            }
            Place::Rows(matrix) => {
                let end = matrix.cols().min(col + width);
                matrix.block(rows, col..end)
            }
        }
    }
}
