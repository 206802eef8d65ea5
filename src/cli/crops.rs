//! Where `classify` looks in an image.

/// A part of an image, of the size of the net's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// The first row.
    pub top: usize,
    /// The first column.
    pub left: usize,
    /// Left and right exchanged.
    pub flip: bool,
}

/// The centre alone; or the four corners, the centre, and all five flipped, in the order of Caffe's `oversample`.
pub fn crops(image: [usize; 2], input: [usize; 2], oversample: bool) -> Vec<Crop> {
    let [down, right] = [image[0] - input[0], image[1] - input[1]];
    let centre = (down / 2, right / 2);
    let places = match oversample {
        true => vec![(0, 0), (0, right), (down, 0), (down, right), centre],
        false => vec![centre],
    };
    let flips: &[bool] = if oversample { &[false, true] } else { &[false] };
    flips.iter().flat_map(|&flip| places.iter().map(move |&(top, left)| Crop { top, left, flip })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_then_centre_then_all_flipped() {
        let all = crops([10, 7], [4, 4], true);
        let places: Vec<_> = all.iter().map(|c| (c.top, c.left, c.flip)).collect();
        assert_eq!(places[..5], [(0, 0, false), (0, 3, false), (6, 0, false), (6, 3, false), (3, 1, false)]);
        assert!((0..5).all(|i| all[i + 5] == Crop { flip: true, ..all[i] }));
        assert_eq!(crops([4, 4], [4, 4], false), [Crop { top: 0, left: 0, flip: false }]);
    }
}
