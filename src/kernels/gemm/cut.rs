//! C, or what is cut as it is, in tasks.

use crate::kernels::{parallel, simd::MatMut};

/// What is cut as C is: a matrix of its shape, or two such.
pub trait Cut: Send + Sized {
    /// Rows and columns.
    fn shape(&self) -> (usize, usize);
    /// The rows above `at`, and the rest.
    fn split_rows(self, at: usize) -> (Self, Self);
    /// The columns left of `at`, and the rest.
    fn split_cols(self, at: usize) -> (Self, Self);
}

impl Cut for MatMut<'_> {
    fn shape(&self) -> (usize, usize) {
        (self.rows(), self.cols())
    }
    fn split_rows(self, at: usize) -> (Self, Self) {
        MatMut::split_rows(self, at)
    }
    fn split_cols(self, at: usize) -> (Self, Self) {
        MatMut::split_cols(self, at)
    }
}

impl<A: Cut, B: Cut> Cut for (A, B) {
    fn shape(&self) -> (usize, usize) {
        assert_eq!(self.0.shape(), self.1.shape(), "matrices that are cut together");
        self.0.shape()
    }
    fn split_rows(self, at: usize) -> (Self, Self) {
        let ((a, c), (b, d)) = (self.0.split_rows(at), self.1.split_rows(at));
        ((a, b), (c, d))
    }
    fn split_cols(self, at: usize) -> (Self, Self) {
        let ((a, c), (b, d)) = (self.0.split_cols(at), self.1.split_cols(at));
        ((a, b), (c, d))
    }
}

/// Halves C, on boundaries of tasks, until one is left, which `f` computes: its first row and column, and itself.
pub fn split<C: Cut>(
    task: (usize, usize),
    row: usize,
    col: usize,
    c: C,
    f: &(impl Fn(usize, usize, C) + Sync),
) {
    let (rows, cols) = c.shape();
    let (rows, cols) = (rows.div_ceil(task.0), cols.div_ceil(task.1));
    if rows <= 1 && cols <= 1 {
        f(row, col, c);
    } else if rows > cols {
        let at = rows / 2 * task.0;
        let (top, rest) = c.split_rows(at);
        parallel::join(|| split(task, row, col, top, f), || split(task, row + at, col, rest, f));
    } else {
        let at = cols / 2 * task.1;
        let (left, rest) = c.split_cols(at);
        parallel::join(|| split(task, row, col, left, f), || split(task, row, col + at, rest, f));
    }
}
