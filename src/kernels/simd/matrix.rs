//! Row-major blocks: a writable one whose columns, too, can be handed to different threads, and one to read.

use std::marker::PhantomData;
use std::ops::Range;

/// `rows x cols` values, each row `stride` after the last, borrowed from a slice.
///
/// Two blocks of one matrix beside each other interleave in memory, so slices cannot describe them; this type can,
/// because it only ever touches its own columns.
pub struct MatMut<'a> {
    ptr: *mut f32,
    rows: usize,
    cols: usize,
    stride: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `MatMut` is an exclusive borrow of its values, as `&mut [f32]` is.
unsafe impl Send for MatMut<'_> {}
// SAFETY: a shared `MatMut` gives no access to its values.
unsafe impl Sync for MatMut<'_> {}

impl<'a> MatMut<'a> {
    /// The first `rows x cols` values of `data`, rows `stride >= cols` apart.
    ///
    /// # Panics
    /// When `data` is too short or rows overlap.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(rows <= 1 || stride >= cols, "rows {stride} apart overlap with {cols} columns");
        let need = if rows == 0 { 0 } else { (rows - 1) * stride + cols };
        assert!(data.len() >= need, "matrix needs {need} values, has {}", data.len());
        Self { ptr: data.as_mut_ptr(), rows, cols, stride, life: PhantomData }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The distance between rows.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The address of the first value.
    pub(super) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.ptr
    }

    /// A block of this matrix.
    ///
    /// # Panics
    /// When a range reaches outside.
    pub fn block(&mut self, rows: Range<usize>, cols: Range<usize>) -> MatMut<'_> {
        check_block(&rows, &cols, (self.rows, self.cols));
        MatMut {
            // An empty block may start past the end of the slice; it is never read, so wrapping is enough.
            ptr: self.ptr.wrapping_add(rows.start * self.stride + cols.start),
            rows: rows.len(),
            cols: cols.len(),
            stride: self.stride,
            life: PhantomData,
        }
    }

    /// The same values, to read.
    pub fn shared(&self) -> Mat<'_> {
        Mat { ptr: self.ptr, rows: self.rows, cols: self.cols, stride: self.stride, life: PhantomData }
    }

    /// The rows above `at`, and the rest.
    pub fn split_rows(mut self, at: usize) -> (MatMut<'a>, MatMut<'a>) {
        let (rows, cols) = (self.rows, self.cols);
        let (a, b) = (self.block(0..at, 0..cols).forget(), self.block(at..rows, 0..cols).forget());
        (a, b)
    }

    /// The columns left of `at`, and the rest.
    pub fn split_cols(mut self, at: usize) -> (MatMut<'a>, MatMut<'a>) {
        let (rows, cols) = (self.rows, self.cols);
        let (a, b) = (self.block(0..rows, 0..at).forget(), self.block(0..rows, at..cols).forget());
        (a, b)
    }

    /// Row `i`.
    ///
    /// # Panics
    /// When there is no row `i`.
    pub fn row(&mut self, i: usize) -> &mut [f32] {
        self.values_from(i, self.cols)
    }

    /// The `len` values from the start of row `i` on: the row, or several where they follow each other.
    ///
    /// # Panics
    /// When they are not all the matrix's.
    pub fn values_from(&mut self, i: usize, len: usize) -> &mut [f32] {
        let mine = if self.stride == self.cols { self.rows.saturating_sub(i) * self.cols } else { self.cols };
        assert!(i < self.rows && len <= mine, "{len} values from row {i} of {}", self.rows);
        // SAFETY: `new` checked that these rows lie in the borrowed slice, blocks stay inside their matrix, and between rows
        // as far apart as they are long nothing lies that is another's.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(i * self.stride), len) }
    }

    /// Lengthens the borrow of a half that `split_*` made; private, as the halves must be disjoint.
    fn forget<'b>(self) -> MatMut<'b> {
        MatMut { ptr: self.ptr, rows: self.rows, cols: self.cols, stride: self.stride, life: PhantomData }
    }
}

/// `rows x cols` values to read, each row `stride` after the last.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    ptr: *const f32,
    rows: usize,
    cols: usize,
    stride: usize,
    life: PhantomData<&'a [f32]>,
}

// SAFETY: a `Mat` is a shared borrow of its values, as `&[f32]` is.
unsafe impl Send for Mat<'_> {}
// SAFETY: as above.
unsafe impl Sync for Mat<'_> {}

impl<'a> Mat<'a> {
    /// The first `rows x cols` values of `data`, rows `stride` apart.
    ///
    /// # Panics
    /// When `data` is too short.
    pub fn new(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        let need = if rows == 0 || cols == 0 { 0 } else { (rows - 1) * stride + cols };
        assert!(data.len() >= need, "matrix needs {need} values, has {}", data.len());
        Self { ptr: data.as_ptr(), rows, cols, stride, life: PhantomData }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The distance between rows.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The address of the first value.
    pub(super) fn as_ptr(&self) -> *const f32 {
        self.ptr
    }

    /// A block of this matrix.
    ///
    /// # Panics
    /// When a range reaches outside.
    pub fn block(&self, rows: Range<usize>, cols: Range<usize>) -> Mat<'a> {
        check_block(&rows, &cols, (self.rows, self.cols));
        // An empty block may start past the end of the slice; it is never read, so wrapping is enough.
        let ptr = self.ptr.wrapping_add(rows.start * self.stride + cols.start);
        Mat { ptr, rows: rows.len(), cols: cols.len(), stride: self.stride, life: PhantomData }
    }
}

/// Refuses a block that reaches outside a matrix of this shape.
fn check_block(rows: &Range<usize>, cols: &Range<usize>, of: (usize, usize)) {
    assert!(rows.start <= rows.end && rows.end <= of.0, "rows {rows:?} of {}", of.0);
    assert!(cols.start <= cols.end && cols.end <= of.1, "columns {cols:?} of {}", of.1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_disjoint_and_whole() {
        let mut data = [0.0; 12];
        let (mut left, right) = MatMut::new(&mut data, 3, 4, 4).split_cols(1);
        let (mut top, mut rest) = right.split_rows(1);
        (0..3).for_each(|i| left.row(i).fill(1.0));
        top.row(0).fill(2.0);
        (0..2).for_each(|i| rest.row(i).fill(3.0));
        assert_eq!(data, [1.0, 2.0, 2.0, 2.0, 1.0, 3.0, 3.0, 3.0, 1.0, 3.0, 3.0, 3.0]);
    }

    #[test]
    fn rows_that_follow_each_other_are_one_piece() {
        let mut data = [0.0; 6];
        let (_, mut rest) = MatMut::new(&mut data, 3, 2, 2).split_rows(1);
        rest.values_from(0, 4).fill(1.0);
        assert_eq!(data, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    #[should_panic(expected = "2 values from row 0")]
    fn what_lies_between_rows_is_not_theirs() {
        MatMut::new(&mut [0.0; 6], 3, 2, 2).block(0..3, 0..1).values_from(0, 2);
    }

    #[test]
    #[should_panic(expected = "3 values from row 2")]
    fn values_after_the_last_row_are_refused() {
        MatMut::new(&mut [0.0; 7], 3, 2, 2).values_from(2, 3);
    }

    #[test]
    fn blocks_of_blocks_are_read_where_they_lie() {
        let mut data: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let read = |mat: Mat<'_>| {
            // SAFETY: the first value of a matrix that has some.
            (unsafe { *mat.as_ptr() }, mat.rows(), mat.cols(), mat.stride())
        };
        assert_eq!(read(Mat::new(&data, 3, 3, 4).block(1..3, 0..3).block(1..2, 1..3)), (9.0, 1, 2, 4));
        assert_eq!(read(MatMut::new(&mut data, 3, 4, 4).block(1..3, 2..4).shared()), (6.0, 2, 2, 4));
    }

    #[test]
    #[should_panic(expected = "matrix needs 11 values")]
    fn short_data_is_refused() {
        MatMut::new(&mut [0.0; 10], 3, 3, 4);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn overlapping_rows_are_refused() {
        MatMut::new(&mut [0.0; 10], 3, 3, 2);
    }
}
