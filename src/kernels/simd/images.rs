//! A writable block of every image of a batch, whose rows and columns can be handed to different threads.

use std::marker::PhantomData;

/// For each of some images `rows x cols` values, borrowed from a slice.
///
/// As with [`super::MatMut`], two blocks beside each other interleave in memory; each only ever touches its own values.
pub struct ImagesMut<'a> {
    ptr: *mut f32,
    images: usize,
    rows: usize,
    cols: usize,
    /// Distance between images, and between rows.
    image: usize,
    stride: usize,
    /// Values to read that lie as these do; null if there are none.
    beside: *const f32,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: an `ImagesMut` is an exclusive borrow of its values, as `&mut [f32]` is.
unsafe impl Send for ImagesMut<'_> {}
// SAFETY: a shared `ImagesMut` gives no access to its values.
unsafe impl Sync for ImagesMut<'_> {}

impl<'a> ImagesMut<'a> {
    /// All of `images x rows x cols` values.
    ///
    /// # Panics
    /// When `data` is too short.
    pub fn new(data: &'a mut [f32], images: usize, rows: usize, cols: usize) -> Self {
        Self::spaced(data, images, rows * cols, [rows, cols])
    }

    /// The first `rows x cols` values of every `image`.
    ///
    /// # Panics
    /// When `data` is too short or images overlap.
    pub fn spaced(data: &'a mut [f32], images: usize, image: usize, [rows, cols]: [usize; 2]) -> Self {
        assert!(images <= 1 || image >= rows * cols, "images {image} apart overlap");
        let need = if images == 0 { 0 } else { (images - 1) * image + rows * cols };
        assert!(data.len() >= need, "images need {need} values, there are {}", data.len());
        let (ptr, beside) = (data.as_mut_ptr(), std::ptr::null());
        Self { ptr, images, rows, cols, image, stride: cols, beside, life: PhantomData }
    }

    /// The same block of all of `images x rows x cols` values, with a value to read beside each: a tile that is stored in
    /// it becomes 0 where that is not above 0.
    ///
    /// # Panics
    /// When there are not as many values.
    pub fn where_above_0(self, beside: Option<&'a [f32]>) -> Self {
        let Some(beside) = beside else { return self };
        let all = self.images * self.rows * self.cols;
        assert!(self.image == self.rows * self.cols && beside.len() == all, "a value beside each of {all}");
        Self { beside: beside.as_ptr(), ..self }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Rows of an image.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of an image.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The distance between rows.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// The distance between images.
    pub(super) fn image_stride(&self) -> usize {
        self.image
    }

    /// The address of the first value of row `row` of image `image`.
    ///
    /// # Panics
    /// When there is no such row.
    pub(super) fn row_ptr(&mut self, image: usize, row: usize) -> *mut f32 {
        assert!(image < self.images && row < self.rows, "row {row} of image {image}");
        self.ptr.wrapping_add(image * self.image + row * self.stride)
    }

    /// The address of what lies beside that value, if anything does.
    pub(super) fn beside_ptr(&self, image: usize, row: usize) -> Option<*const f32> {
        let at = image * self.image + row * self.stride;
        (!self.beside.is_null()).then(|| self.beside.wrapping_add(at))
    }

    /// What lies beside the block that begins `at` values later.
    fn beside_from(&self, at: usize) -> *const f32 {
        if self.beside.is_null() { self.beside } else { self.beside.wrapping_add(at) }
    }

    /// Row `row` of image `image`.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&mut self, image: usize, row: usize) -> &mut [f32] {
        // SAFETY: `new` checked that all rows lie in the borrowed slice, and blocks stay inside their images.
        unsafe { std::slice::from_raw_parts_mut(self.row_ptr(image, row), self.cols) }
    }

    /// The same block, for a shorter time.
    pub fn again(&mut self) -> ImagesMut<'_> {
        ImagesMut { life: PhantomData, ..*self }
    }

    /// The rows above `at`, and the rest, of every image.
    ///
    /// # Panics
    /// When there are fewer rows.
    pub fn split_rows(self, at: usize) -> (ImagesMut<'a>, ImagesMut<'a>) {
        assert!(at <= self.rows, "row {at} of {}", self.rows);
        // An empty block may start past the end of the slice; it is never read, so wrapping is enough.
        let (rest, beside) = (self.ptr.wrapping_add(at * self.stride), self.beside_from(at * self.stride));
        (ImagesMut { rows: at, ..self }, ImagesMut { ptr: rest, beside, rows: self.rows - at, ..self })
    }

    /// The columns left of `at`, and the rest, of every image.
    ///
    /// # Panics
    /// When there are fewer columns.
    pub fn split_cols(self, at: usize) -> (ImagesMut<'a>, ImagesMut<'a>) {
        assert!(at <= self.cols, "column {at} of {}", self.cols);
        let (rest, beside) = (self.ptr.wrapping_add(at), self.beside_from(at));
        (ImagesMut { cols: at, ..self }, ImagesMut { ptr: rest, beside, cols: self.cols - at, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_disjoint_and_whole() {
        let mut data = [0.0; 24];
        let (mut left, right) = ImagesMut::new(&mut data, 2, 3, 4).split_cols(1);
        let (mut top, mut rest) = right.split_rows(1);
        for image in 0..2 {
            (0..3).for_each(|i| left.row(image, i).fill(1.0));
            top.row(image, 0).fill(2.0);
            (0..2).for_each(|i| rest.again().row(image, i).fill(3.0));
        }
        assert_eq!(data[..12], [1.0, 2.0, 2.0, 2.0, 1.0, 3.0, 3.0, 3.0, 1.0, 3.0, 3.0, 3.0]);
        assert_eq!(data[12..], data[..12]);
    }

    #[test]
    fn what_lies_between_images_is_not_theirs() {
        let mut data = [0.0; 9];
        let (mut left, _) = ImagesMut::spaced(&mut data, 2, 5, [2, 2]).split_cols(1);
        (0..4).for_each(|i| left.row(i / 2, i % 2).fill(1.0));
        assert_eq!(data, [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn what_lies_beside_is_cut_alike() {
        let (mut data, beside) = ([0.0; 24], std::array::from_fn::<_, 24, _>(|i| i as f32));
        let images = ImagesMut::new(&mut data, 2, 3, 4).where_above_0(Some(&beside));
        let (first, mut images) = (images.beside_ptr(0, 0).unwrap(), images);
        assert_eq!(first, beside.as_ptr());
        let (_, rest) = images.again().split_rows(1);
        let (_, rest) = rest.split_cols(3);
        assert_eq!(rest.beside_ptr(1, 1), Some(first.wrapping_add(12 + 8 + 3)));
        assert_eq!(ImagesMut::new(&mut [0.0; 4], 1, 2, 2).split_rows(1).1.beside_ptr(0, 0), None);
    }

    #[test]
    #[should_panic(expected = "a value beside each of 12")]
    fn too_little_beside_is_refused() {
        let _ = ImagesMut::new(&mut [0.0; 12], 2, 2, 3).where_above_0(Some(&[0.0; 11]));
    }

    #[test]
    #[should_panic(expected = "images 3 apart overlap")]
    fn overlapping_images_are_refused() {
        ImagesMut::spaced(&mut [0.0; 9], 2, 3, [2, 2]);
    }

    #[test]
    #[should_panic(expected = "images need 12 values")]
    fn short_data_is_refused() {
        ImagesMut::new(&mut [0.0; 11], 2, 3, 2);
    }

    #[test]
    #[should_panic(expected = "row 2 of image 0")]
    fn rows_stay_inside() {
        ImagesMut::new(&mut [0.0; 12], 2, 2, 3).row(0, 2);
    }
}
