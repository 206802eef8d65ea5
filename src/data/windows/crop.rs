//! Where a window comes from in its image, and where it goes in the crop.

/// The part of the image under the window, `h x w` from `(y, x)`, goes to `to_h x to_w` from `(top, left)` of the
/// crop. What of the window lies outside the image stays empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crop {
    pub y: usize,
    pub x: usize,
    pub h: usize,
    pub w: usize,
    pub top: usize,
    pub left: usize,
    pub to_h: usize,
    pub to_w: usize,
}

/// A side of the window before and after it is cut at the image's borders.
struct Side {
    start: usize,
    len: usize,
    /// How much lies outside, before and after.
    outside: [f32; 2],
    whole: f32,
}

impl Crop {
    /// The window `[x1, y1, x2, y2]` of an image of `[h, w]` in a crop of `size`: with `pad` pixels of surroundings in the
    /// crop, and made square around its centre if `square`. `None` if nothing of it lies inside.
    pub fn new(
        window: [i32; 4],
        image: [usize; 2],
        size: usize,
        pad: usize,
        square: bool,
        flip: bool,
    ) -> Option<Self> {
        let [x1, y1, x2, y2] = if pad > 0 || square { widen(window, size, pad, square) } else { window };
        let (rows, columns) = (Side::new(y1, y2, image[0])?, Side::new(x1, x2, image[1])?);
        let (top, to_h) = rows.place(size, rows.outside[0])?;
        // A flipped window has its right margin at the left.
        let (left, to_w) = columns.place(size, columns.outside[usize::from(flip)])?;
        Some(Self { y: rows.start, x: columns.start, h: rows.len, w: columns.len, top, left, to_h, to_w })
    }
}

impl Side {
    fn new(from: i32, to: i32, len: usize) -> Option<Self> {
        let (from, to, len) = (i64::from(from), i64::from(to), len as i64);
        let (before, after) = ((-from).max(0), (to - len + 1).max(0));
        let (start, end) = (from + before, to - after + 1);
        (start < end).then(|| Self {
            start: start as usize,
            len: (end - start) as usize,
            outside: [before as f32, after as f32],
            whole: (to - from + 1) as f32,
        })
    }

    /// Where the inside starts in the crop after a margin of `outside`, and its length there.
    fn place(&self, size: usize, outside: f32) -> Option<(usize, usize)> {
        let scale = size as f32 / self.whole;
        let start = (outside * scale).round() as usize;
        let len = ((self.len as f32 * scale).round() as usize).min(size.checked_sub(start)?);
        (len > 0).then_some((start, len))
    }
}

/// Grows a window about its centre until `pad` pixels of the crop are surroundings.
fn widen([x1, y1, x2, y2]: [i32; 4], size: usize, pad: usize, square: bool) -> [i32; 4] {
    let scale = size as f32 / (size - 2 * pad) as f32;
    let half = |from: i32, to: i32| (to as f32 - from as f32 + 1.0) / 2.0;
    let (mut half_w, mut half_h) = (half(x1, x2), half(y1, y2));
    let (x, y) = (x1 as f32 + half_w, y1 as f32 + half_h);
    if square {
        half_w = half_w.max(half_h);
        half_h = half_w;
    }
    let around = |centre: f32, half: f32| {
        [(centre - half * scale).round() as i32, (centre + half * scale).round() as i32]
    };
    let ([x1, x2], [y1, y2]) = (around(x, half_w), around(y, half_h));
    [x1, y1, x2, y2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_window_fills_the_crop() {
        let crop = Crop::new([1, 2, 4, 3], [10, 10], 8, 0, false, false).unwrap();
        assert_eq!(crop, Crop { y: 2, x: 1, h: 2, w: 4, top: 0, left: 0, to_h: 8, to_w: 8 });
    }

    #[test]
    fn what_lies_outside_stays_empty() {
        // 8 wide from -4, 4 of them inside, at twice the size; flipped, the margin is on the other side.
        let crop = |flip| Crop::new([-4, 0, 3, 7], [8, 8], 16, 0, false, flip).unwrap();
        assert_eq!((crop(false).x, crop(false).w, crop(false).left, crop(false).to_w), (0, 4, 8, 8));
        assert_eq!((crop(true).left, crop(true).to_w), (0, 8));
        assert_eq!(Crop::new([8, 0, 9, 3], [8, 8], 16, 0, false, false), None);
        assert_eq!(Crop::new([3, 0, 2, 3], [8, 8], 16, 0, false, false), None, "it has no width");
    }

    #[test]
    fn context_and_squares_widen_about_the_centre() {
        // Half sides 2 and 1 about (4, 4); a pad of 2 in 8 doubles them.
        assert_eq!(widen([2, 3, 5, 4], 8, 2, false), [0, 2, 8, 6]);
        assert_eq!(widen([2, 3, 5, 4], 8, 2, true), [0, 0, 8, 8]);
    }
}
